//! Work grows with the size of what is sent, not with its square.
//!
//! Work is the time that this thread spent on a processor, so neighbours on the machine do not count; a case is run small
//! and eight times as large. Twice as slow as linear passes, quadratic (sixty-four times the work) does not. Of several
//! tries the least counts, of the small ones too: what only the first does would hide a square.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fake_apiserver::actors::Chore;
use fake_apiserver::ids::SeededIds;
use fake_apiserver::server::{ApiServer, Config, Cx, Output, RequestId, ServerId, WebhookReply};
use http::Response;
use rustix::time::{ClockId, clock_gettime};

/// How much larger the large case is.
const TIMES: usize = 8;
/// What the large case may cost, as a multiple of the small one: linear is 8, quadratic 64.
const RATIO_MAX: f64 = 24.0;
/// Below this chance says more than the size does.
const NANOSECONDS_MIN: u64 = 200_000;

/// Nanoseconds that this thread has spent on a processor, exact at the moment it asks.
fn spent() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanoseconds = time.tv_sec * 1_000_000_000 + time.tv_nsec;
    u64::try_from(nanoseconds).expect("a thread has not spent less than nothing")
}

/// Runs a case at a size and at eight times that size. `prepare` makes what is not measured.
pub(crate) fn linear<T>(name: &str, size: usize, prepare: impl Fn(usize) -> T, run: impl Fn(T)) {
    let cost = |size: usize| {
        let input = prepare(size);
        let before = spent();
        run(input);
        spent() - before
    };
    let (mut small, mut large) = (u64::MAX, u64::MAX);
    let mut ratio = f64::MAX;
    for _ in 0..6 {
        small = small.min(cost(size)).min(cost(size));
        large = large.min(cost(size * TIMES));
        ratio = large as f64 / small.max(NANOSECONDS_MIN) as f64;
        if ratio <= RATIO_MAX {
            return;
        }
    }
    panic!("{name}: {TIMES} times the size is {ratio:.0} times the work ({small} ns, {large} ns)");
}

/// A server whose caches follow at once.
pub(crate) struct Plain {
    pub(crate) server: ApiServer,
    pub(crate) ids: SeededIds,
    pub(crate) config: Config,
    next: u64,
    /// What webhooks answer, but for the uid.
    patch: String,
}

impl Plain {
    pub(crate) fn new() -> Plain {
        let config = Config {
            caches_follow: true,
            ..Config::default()
        };
        Plain {
            server: ApiServer::new(&config),
            ids: SeededIds::new(5),
            config,
            next: 0,
            patch: String::new(),
        }
    }

    fn cx<'a>(ids: &'a mut SeededIds, config: &Config) -> Cx<'a> {
        Cx {
            now: config.began,
            ids,
        }
    }

    /// A request and its answer.
    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        kind: &str,
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        let request = http::Request::builder()
            .method(method)
            .uri(target)
            .header("content-type", kind)
            .body(body.into());
        self.ask(request.expect("the parts are valid"))
    }

    /// What is shown in columns.
    pub(crate) fn table(&mut self, target: &str) -> Response<Bytes> {
        let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
        let request = http::Request::get(target).header("accept", table);
        self.ask(request.body(Bytes::new()).expect("the parts are valid"))
    }

    fn ask(&mut self, request: http::Request<Bytes>) -> Response<Bytes> {
        self.next += 1;
        let id = RequestId(self.next);
        let mut cx = Plain::cx(&mut self.ids, &self.config);
        let mut outputs = self.server.submit(&mut cx, ServerId(0), id, request);
        if let [Output::Wait { until, .. }] = outputs.as_slice() {
            cx.now = *until;
            outputs = self.server.advance(&mut cx);
        }
        while let [Output::Call { call, request, .. }] = outputs.as_slice() {
            let review = fake_apiserver::json::parse(&request.body).expect("JSON");
            let uid = review.str_at(&["request", "uid"]);
            let body = format!(
                r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{uid}","allowed":true,"patchType":"JSONPatch","patch":"{}"}}}}"#,
                self.patch
            );
            let reply = WebhookReply::Answered {
                status: 200,
                body: body.into(),
            };
            outputs = self.server.answer(&mut cx, *call, reply);
        }
        let reply = outputs.into_iter().find_map(|output| match output {
            Output::Reply { response, .. } => Some(response),
            Output::Opened { .. } => Some(Response::default()),
            _ => None,
        });
        reply.expect("the request answers at once")
    }

    /// A request that must succeed.
    pub(crate) fn must(
        &mut self,
        method: &str,
        target: &str,
        kind: &str,
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        let answer = self.send(method, target, kind, body);
        let text = String::from_utf8_lossy(answer.body());
        assert!(
            answer.status().is_success(),
            "{}: {}",
            answer.status(),
            &text[..text.len().min(400)]
        );
        answer
    }

    pub(crate) fn settle(&mut self) {
        let mut cx = Plain::cx(&mut self.ids, &self.config);
        self.server.settle(&mut cx);
    }

    fn perform(&mut self, chore: &Chore) {
        let mut cx = Plain::cx(&mut self.ids, &self.config);
        self.server.perform(&mut cx, chore);
    }

    /// Serves a custom resource `things.example.com` with a schema of `spec`.
    pub(crate) fn define(&mut self, spec: &str) {
        let crd = format!(
            r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"things.example.com"}},
            "spec":{{"group":"example.com","scope":"Namespaced","names":{{"plural":"things","kind":"Thing"}},"versions":[{{"name":"v1","served":true,
            "storage":true,"schema":{{"openAPIV3Schema":{{"type":"object","properties":{{"spec":{spec}}}}}}}}}]}}}}"#
        );
        self.must(
            "POST",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            JSON,
            crd,
        );
        self.settle();
    }
}

/// A schema that takes whatever is sent.
pub(crate) const ANYTHING: &str =
    r#"{"type":"object","x-kubernetes-preserve-unknown-fields":true}"#;
pub(crate) const JSON: &str = "application/json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";
pub(crate) const MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(crate) const THINGS: &str = "/apis/example.com/v1/namespaces/default/things";

/// `count` items written one after the other, with commas between.
pub(crate) fn joined(count: usize, item: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for i in 0..count {
        let comma = if i == 0 { "" } else { "," };
        write!(text, "{comma}{}", item(i)).expect("writing to a string");
    }
    text
}

fn map_with(data: &str) -> String {
    format!(r#"{{"metadata":{{"name":"a"}},"data":{{{data}}}}}"#)
}

fn stored(data: &str) -> Plain {
    let mut plain = Plain::new();
    plain.must("POST", MAPS, JSON, map_with(data));
    plain
}

/// A server with a custom resource that takes any `spec`.
fn things() -> Plain {
    let mut plain = Plain::new();
    plain.define(ANYTHING);
    plain
}

fn thing_with_list(length: usize) -> String {
    let list = joined(length, |_| "0".to_owned());
    format!(
        r#"{{"apiVersion":"example.com/v1","kind":"Thing","metadata":{{"name":"a"}},"spec":{{"list":[{list}]}}}}"#
    )
}

#[test]
fn e2_json_patches_that_insert_into_a_large_object() {
    let data = |n: usize| joined(n * 8, |i| format!(r#""k{i:06}":"""#));
    let patch = |n| {
        let ops = joined(n, |i| {
            format!(
                r#"{{"op":"add","path":"/data/a{:06}","value":""}}"#,
                999_999 - i
            )
        });
        format!("[{ops}]")
    };
    linear(
        "adds",
        1_000,
        |n| (stored(&data(n)), patch(n)),
        |(mut plain, patch)| {
            plain.must("PATCH", &format!("{MAPS}/a"), JSON_PATCH, patch);
        },
    );
}

#[test]
fn e2_json_patches_that_insert_into_and_remove_from_a_long_list() {
    let ops = |n: usize| {
        let pairs = joined(n / 2, |_| {
            r#"{"op":"add","path":"/spec/list/0","value":"x"},{"op":"remove","path":"/spec/list/1"}"#.to_owned()
        });
        format!("[{pairs}]")
    };
    let prepare = |n: usize| {
        let mut plain = things();
        plain.must("POST", THINGS, JSON, thing_with_list(n * 20));
        (plain, ops(n))
    };
    linear("list operations", 1_200, prepare, |(mut plain, patch)| {
        plain.must("PATCH", &format!("{THINGS}/a"), JSON_PATCH, patch);
    });
}

#[test]
fn e2_json_patches_that_move_a_long_list() {
    let prepare = |n: usize| {
        let mut plain = things();
        plain.must("POST", THINGS, JSON, thing_with_list(n * 20));
        let there_and_back = r#"{"op":"move","from":"/spec/list","path":"/spec/b"},{"op":"move","from":"/spec/b","path":"/spec/list"}"#;
        let patch = joined(n / 2, |_| there_and_back.to_owned());
        (plain, format!("[{patch}]"))
    };
    linear("moves", 1_200, prepare, |(mut plain, patch)| {
        plain.must("PATCH", &format!("{THINGS}/a"), JSON_PATCH, patch);
    });
}

#[test]
fn ad5_patches_of_webhooks_over_a_long_list() {
    let prepare = |operations: &'static str| {
        move |n: usize| {
            let mut plain = things();
            let hooks = r#"{"metadata":{"name":"h"},"webhooks":[{"name":"a.example.com","clientConfig":{"url":"https://h.example","caBundle":"YQ=="},
                "admissionReviewVersions":["v1"],"sideEffects":"None","rules":[{"apiGroups":["example.com"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["things"]}]}]}"#;
            let target = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
            plain.must("POST", target, JSON, hooks);
            plain.settle();
            let patch = format!("[{}]", joined(n, |_| operations.to_owned()));
            plain.patch = STANDARD.encode(patch);
            (plain, thing_with_list(n * 20))
        }
    };
    for operations in [
        r#"{"op":"add","path":"/spec/list/0","value":"x"},{"op":"remove","path":"/spec/list/1"}"#,
        r#"{"op":"move","from":"/spec/list/0","path":"/spec/list/-"}"#,
        r#"{"op":"test","path":"/spec/list/0","value":0}"#,
        r#"{"op":"move","from":"/spec/list","path":"/spec/other"},{"op":"move","from":"/spec/other","path":"/spec/list"}"#,
    ] {
        linear(
            operations,
            600,
            prepare(operations),
            |(mut plain, thing)| {
                plain.must("POST", THINGS, JSON, thing);
            },
        );
    }
}

#[test]
fn e3_merge_patches_over_a_large_object() {
    let data = |n| joined(n, |i| format!(r#""k{i:06}":"""#));
    let patch = |n| {
        let fields = joined(n, |i| format!(r#""k{i:06}":null,"a{i:06}":"""#));
        format!(r#"{{"data":{{{fields}}}}}"#)
    };
    linear(
        "merge",
        4_000,
        |n| (stored(&data(n)), patch(n)),
        |(mut plain, patch)| {
            plain.must("PATCH", &format!("{MAPS}/a"), MERGE, patch);
        },
    );
}

#[test]
fn e4_strategic_merges_over_a_large_object() {
    let data = |n| joined(n, |i| format!(r#""k{i:06}":"""#));
    for (name, item) in [
        (
            "replace",
            (|i| format!(r#""k{i:06}":"1""#)) as fn(usize) -> String,
        ),
        ("remove", |i| format!(r#""k{i:06}":null"#)),
        ("add", |i| format!(r#""a{i:06}":"1""#)),
        ("order", |i| format!(r#""$setElementOrder/k{i:06}":[]"#)),
        ("delete from lists", |i| {
            format!(r#""$deleteFromPrimitiveList/a{i:06}":null"#)
        }),
    ] {
        let patch = |n| format!(r#"{{"data":{{{}}}}}"#, joined(n, item));
        linear(
            name,
            4_000,
            |n| (stored(&data(n)), patch(n)),
            |(mut plain, patch)| {
                plain.send("PATCH", &format!("{MAPS}/a"), STRATEGIC, patch);
            },
        );
    }
}

#[test]
fn e4_strategic_merges_of_long_lists() {
    let pod = |n: usize, from: usize| {
        let env = joined(n, |i| {
            format!(r#"{{"name":"E{:06}","value":"1"}}"#, i + from)
        });
        format!(
            r#"{{"metadata":{{"name":"a"}},"spec":{{"containers":[{{"name":"c","image":"i","env":[{env}]}}]}}}}"#
        )
    };
    let template = |pod: &str| {
        let (_, spec) = pod.split_once(r#""spec":"#).expect("a pod has a spec");
        let spec = spec.strip_suffix('}').expect("the pod ends");
        format!(
            r#"{{"metadata":{{"name":"a"}},"spec":{{"selector":{{"matchLabels":{{"a":"b"}}}},"template":{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{spec}}}}}}}"#
        )
    };
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let prepare = |n| {
        let mut plain = Plain::new();
        plain.must("POST", deployments, JSON, template(&pod(n, 0)));
        (plain, template(&pod(n, n / 2)))
    };
    for kind in [STRATEGIC, APPLY] {
        linear(
            "environment variables",
            1_000,
            prepare,
            |(mut plain, patch)| {
                let typed = format!(
                    r#"{{"apiVersion":"apps/v1","kind":"Deployment",{}"#,
                    &patch[1..]
                );
                let target = format!("{deployments}/a?fieldManager=m&force=true");
                let target = if kind == APPLY {
                    target
                } else {
                    format!("{deployments}/a")
                };
                plain.must(
                    "PATCH",
                    &target,
                    kind,
                    if kind == APPLY { typed } else { patch },
                );
            },
        );
    }
}

#[test]
fn c12_many_owner_references() {
    let owners = |n| {
        joined(n, |i| {
            format!(r#"{{"apiVersion":"v1","kind":"Pod","name":"p","uid":"{i}"}}"#)
        })
    };
    let body = |n| {
        format!(
            r#"{{"metadata":{{"name":"a","ownerReferences":[{}]}}}}"#,
            owners(n)
        )
    };
    linear(
        "owners",
        2_000,
        |n| (Plain::new(), body(n)),
        |(mut plain, body)| {
            plain.must("POST", MAPS, JSON, body);
        },
    );
    let twice = |n| {
        format!(
            r#"{{"metadata":{{"name":"a","ownerReferences":[{0},{0}]}}}}"#,
            owners(n)
        )
    };
    linear(
        "owners twice",
        1_000,
        |n| (Plain::new(), twice(n)),
        |(mut plain, body)| {
            plain.send("POST", MAPS, JSON, body);
        },
    );
}

#[test]
fn d2_a_field_manager_of_control_characters() {
    let target = |n: usize| format!("{MAPS}?fieldManager={}", "%01".repeat(n));
    linear(
        "characters",
        2_500,
        |n| (Plain::new(), target(n)),
        |(mut plain, target)| {
            let answer = plain.send("POST", &target, JSON, map_with(""));
            assert_eq!(answer.status(), 422);
            let size = answer.body().len();
            assert!(size < 16 << 20, "{size} bytes");
        },
    );
}

#[test]
fn d11_many_unknown_fields() {
    let unknown = |n| joined(n, |i| format!(r#""u{i:06}":1"#));
    for validation in ["Warn", "Strict", "Ignore"] {
        let target = format!("{MAPS}?fieldValidation={validation}");
        let body = |n| format!(r#"{{"metadata":{{"name":"a"}},{}}}"#, unknown(n));
        linear(
            validation,
            3_000,
            |n| (Plain::new(), body(n)),
            |(mut plain, body)| {
                let answer = plain.send("POST", &target, JSON, body);
                let wanted = if validation == "Strict" { 400 } else { 201 };
                assert_eq!(answer.status(), wanted, "{:?}", answer.body().get(..200));
                assert!(!answer.body().is_empty());
            },
        );
        let custom = |n| {
            let mut plain = Plain::new();
            plain.define(r#"{"type":"object"}"#);
            let body = format!(
                r#"{{"apiVersion":"example.com/v1","kind":"Thing","metadata":{{"name":"a"}},"spec":{{{}}}}}"#,
                unknown(n)
            );
            (plain, body)
        };
        let target = format!("{THINGS}?fieldValidation={validation}");
        linear(validation, 3_000, custom, |(mut plain, body)| {
            let answer = plain.send("POST", &target, JSON, body);
            let wanted = if validation == "Strict" { 400 } else { 201 };
            assert_eq!(answer.status(), wanted, "{:?}", answer.body().get(..200));
            assert!(!answer.body().is_empty());
        });
    }
}

#[test]
fn f7_sets_with_keys_in_an_order_that_is_not_theirs() {
    // Blanks in front of a value are no part of the key, so what comes sorted as text goes in backwards.
    let blank = |i: usize| -> String {
        (0..9)
            .map(|digit| [" ", "\\r", "\\n", "\\t"][i >> (2 * (8 - digit)) & 3])
            .collect()
    };
    let fields = |n: usize| joined(n, |i| format!(r#""v:{}\"{i:06}\"":{{}}"#, blank(i)));
    let body = |n| {
        format!(
            r#"{{"metadata":{{"name":"a","managedFields":[{{"manager":"m","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{{"f:data":{{{}}}}}}}]}},"data":{{"x":"y"}}}}"#,
            fields(n)
        )
    };
    linear(
        "keys",
        4_000,
        |n| (stored(""), body(n)),
        |(mut plain, body)| {
            plain.must("PUT", &format!("{MAPS}/a"), JSON, body);
        },
    );
}

#[test]
fn f3_conflicts_over_long_paths() {
    let prepare = |n: usize| {
        let mut plain = things();
        let body = |value: usize| {
            let fields = joined(n, |i| format!(r#""k{i:06}":{value}"#));
            let long = "p".repeat(40 * n);
            format!(
                r#"{{"apiVersion":"example.com/v1","kind":"Thing","metadata":{{"name":"a"}},"spec":{{"{long}":{{{fields}}}}}}}"#
            )
        };
        plain.must(
            "PATCH",
            &format!("{THINGS}/a?fieldManager=one"),
            APPLY,
            body(1),
        );
        (plain, body(2))
    };
    linear("conflicts", 1_000, prepare, |(mut plain, body)| {
        let answer = plain.send(
            "PATCH",
            &format!("{THINGS}/a?fieldManager=two"),
            APPLY,
            body,
        );
        assert_eq!(answer.status(), 409);
        assert!(
            answer.body().len() < 64 << 20,
            "{} bytes of conflicts",
            answer.body().len()
        );
    });
}

#[test]
fn b3_many_errors_below_a_long_path() {
    let prepare = |n: usize| {
        let mut plain = Plain::new();
        plain.define(r#"{"type":"object","additionalProperties":{"type":"array","items":{"type":"string","maxLength":1}}}"#);
        let items = joined(n, |_| r#""22""#.to_owned());
        let wrong = joined(n, |_| "1".to_owned());
        let long = "p".repeat(40 * n);
        let body = |items: &str| {
            format!(
                r#"{{"apiVersion":"example.com/v1","kind":"Thing","metadata":{{"name":"a"}},"spec":{{"{long}":[{items}]}}}}"#
            )
        };
        (plain, body(&items), body(&wrong))
    };
    linear("errors", 1_000, prepare, |(mut plain, long, wrong)| {
        for body in [long, wrong] {
            for (method, target, kind) in [
                ("POST", THINGS.to_owned(), JSON),
                ("PATCH", format!("{THINGS}/a?fieldManager=m"), APPLY),
            ] {
                let answer = plain.send(method, &target, kind, body.clone());
                assert!(
                    answer.status().is_client_error() || answer.status() == 500,
                    "{}",
                    answer.status()
                );
                assert!(
                    answer.body().len() < 64 << 20,
                    "{} bytes of errors",
                    answer.body().len()
                );
            }
        }
    });
}

#[test]
fn h10_selectors_with_many_values_over_many_objects() {
    let prepare = |n: usize| {
        let mut plain = Plain::new();
        for i in 0..n {
            let body = format!(r#"{{"metadata":{{"name":"m{i:05}","labels":{{"a":"v{i:05}"}}}}}}"#);
            plain.must("POST", MAPS, JSON, body);
        }
        let values = joined(n * 4, |i| format!("v{:05}", i * 2 + 1));
        (plain, format!("{MAPS}?labelSelector=a%20in%20({values})"))
    };
    linear("values", 200, prepare, |(mut plain, target)| {
        plain.must("GET", &target, JSON, "");
    });
}

#[test]
fn l8_expressions_with_many_errors() {
    use fake_apiserver::cel::{Environment, check, parse};
    let undeclared = |n| format!("[{}]", joined(n, |_| "a".to_owned()));
    let no_tokens = |n| format!("a == {}", "@".repeat(2 * n));
    for text in [&undeclared as &dyn Fn(usize) -> String, &no_tokens] {
        linear("errors", 4_000, text, |text| {
            let environment = Environment::with(Vec::new());
            let issues = check(&text, &environment).expect_err("nothing is declared");
            let told = parse::render(&text, &issues);
            assert!(told.ends_with(" more errors were truncated"));
            assert!(told.len() < 24 << 20);
        });
    }
}

/// A ConfigMap `a` and how many depend on it and block it; its uid.
fn owned(n: usize) -> (Plain, String) {
    let mut plain = Plain::new();
    let owner = plain.must("POST", MAPS, JSON, map_with(""));
    let owner = fake_apiserver::json::parse(owner.body()).expect("JSON");
    let uid = owner.str_at(&["metadata", "uid"]).to_owned();
    for i in 0..n {
        let body = format!(
            r#"{{"metadata":{{"name":"d{i:05}","ownerReferences":[{{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"{uid}","blockOwnerDeletion":true}}]}}}}"#
        );
        plain.must("POST", MAPS, JSON, body);
    }
    (plain, uid)
}

#[test]
fn i1_many_dependents_of_owners_that_go() {
    for policy in ["Background", "Orphan", "Foreground"] {
        linear(policy, 250, owned, |(mut plain, _)| {
            let target = format!("{MAPS}/a?propagationPolicy={policy}");
            plain.must("DELETE", &target, JSON, "");
            plain.settle();
            let left = if policy == "Orphan" { 200 } else { 404 };
            for (name, status) in [("a", 404), ("d00000", left)] {
                let answer = plain.send("GET", &format!("{MAPS}/{name}"), JSON, "");
                assert_eq!(answer.status(), status, "{policy}: {name}");
            }
        });
    }
}

#[test]
fn i3_an_owner_that_is_looked_at_after_each_of_its_dependents() {
    linear("foreground", 250, owned, |(mut plain, owner)| {
        let target = format!("{MAPS}/a?propagationPolicy=Foreground");
        plain.must("DELETE", &target, JSON, "");
        let chores = plain.server.chores(plain.config.began);
        let is_owner =
            |chore: &&Chore| matches!(chore, Chore::CollectGarbage { uid, .. } if *uid == *owner);
        let last = chores.iter().find(is_owner).expect("the owner waits");
        for chore in &chores {
            plain.perform(chore);
            plain.perform(last);
        }
        assert_eq!(
            plain.send("GET", &format!("{MAPS}/a"), JSON, "").status(),
            404
        );
    });
}

#[test]
fn j1_a_namespace_full_of_objects_goes() {
    let prepare = |n: usize| {
        let mut plain = Plain::new();
        plain.must(
            "POST",
            "/api/v1/namespaces",
            JSON,
            r#"{"metadata":{"name":"full"}}"#,
        );
        for i in 0..n {
            let body = format!(r#"{{"metadata":{{"name":"m{i:05}"}}}}"#);
            plain.must("POST", "/api/v1/namespaces/full/configmaps", JSON, body);
        }
        plain
    };
    linear("namespace", 250, prepare, |mut plain| {
        plain.must("DELETE", "/api/v1/namespaces/full", JSON, "");
        plain.settle();
    });
}

#[test]
fn w2_many_watches_come_and_go() {
    let prepare = |n: usize| {
        let mut plain = Plain::new();
        for _ in 0..n {
            plain.must(
                "GET",
                &format!("{MAPS}?watch=1&resourceVersion=0"),
                JSON,
                "",
            );
        }
        plain
    };
    linear("close", 400, prepare, |mut plain| {
        for id in 1..=plain.next {
            plain.server.next_deadline();
            plain.server.cancel(RequestId(id));
        }
    });
}
