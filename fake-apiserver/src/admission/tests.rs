//! Stories of admission, told through the server's outer interface.

use crate::ids::SeededIds;
use crate::json;
use crate::json::Value;
use crate::server::{
    ApiServer, Authorization, CallId, Config, Cx, Output, RequestId, ServerId, WebhookReply,
};
use crate::time::Timestamp;
use base64::Engine as _;
use bytes::Bytes;

struct World {
    server: ApiServer,
    ids: SeededIds,
    now: Timestamp,
    next: u64,
}

impl World {
    fn new() -> World {
        let config = Config {
            caches_follow: true,
            authorization: Authorization::AlwaysAllow,
            ..Config::default()
        };
        World {
            server: ApiServer::new(&config),
            ids: SeededIds::new(7),
            now: Timestamp(config.began.micros() + 1_000_000),
            next: 0,
        }
    }

    fn submit(&mut self, method: &str, path: &str, body: &Value) -> Vec<Output> {
        self.next += 1;
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(
                "content-type",
                match method {
                    "PATCH" => "application/merge-patch+json",
                    _ => "application/json",
                },
            )
            .body(Bytes::from(json::to_vec(body)))
            .unwrap();
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        self.server
            .submit(&mut cx, ServerId(0), RequestId(self.next), request)
    }

    fn answer(&mut self, call: CallId, reply: WebhookReply) -> Vec<Output> {
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        self.server.answer(&mut cx, call, reply)
    }

    /// Lets time pass.
    fn wait(&mut self, seconds: u64) -> Vec<Output> {
        self.now = self.now + std::time::Duration::from_secs(seconds);
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        self.server.advance(&mut cx)
    }

    /// A webhook configuration for ConfigMaps with hooks of these names.
    fn configure(&mut self, kind: &str, hooks: &[(&str, Value)]) {
        let hooks: Vec<Value> = hooks
            .iter()
            .map(|(name, more)| {
                let mut hook = json!({
                    "name": *name, "sideEffects": "None", "admissionReviewVersions": ["v1"],
                    "clientConfig": {"url": (format!("http://hooks/{name}"))},
                    "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
                });
                hook["clientConfig"]["url"] = format!("https://hooks/{name}").into();
                hook["clientConfig"]["caBundle"] = "YQ==".into();
                for (key, value) in more.as_object().into_iter().flatten() {
                    hook[key] = value.clone();
                }
                hook
            })
            .collect();
        let plural = format!("{}s", kind.to_ascii_lowercase());
        let body = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": {"name": "c"}, "webhooks": (Value::Array(hooks)),
        });
        let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}");
        let outputs = self.submit("POST", &path, &body);
        assert_eq!(replied(&outputs).0, 201, "{}", replied(&outputs).1);
    }

    fn create(&mut self, name: &str) -> Vec<Output> {
        let body = json!({"metadata": {"name": name}, "data": {"k": "v"}});
        self.submit("POST", "/api/v1/namespaces/default/configmaps", &body)
    }
}

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/";

/// The causes of a policy's refusal, with this `spec` beside what every policy needs.
fn refused(plural: &str, kind: &str, more: Value) -> Vec<String> {
    let mut spec = json!({
        "matchConstraints": {"resourceRules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]},
        "validations": [{"expression": "true"}], "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}],
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    let body = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "p"}, "spec": spec});
    let outputs = World::new().submit("POST", &format!("{POLICIES}{plural}"), &body);
    let (_, answer) = replied(&outputs);
    let causes = answer.array_at(&["details", "causes"]).iter();
    causes
        .map(|cause| {
            format!(
                "{}: {}",
                cause.str_at(&["field"]),
                cause.str_at(&["message"])
            )
        })
        .collect()
}

#[test]
fn ad7_what_a_policy_may_say() {
    let check = |more: Value, want: &[&str]| {
        let got = refused(
            "validatingadmissionpolicies",
            "ValidatingAdmissionPolicy",
            more,
        );
        assert_eq!(got, want);
    };
    check(json!({}), &[]);
    check(
        json!({"paramKind": {"apiVersion": "a/b/c", "kind": "x y"}}),
        &[
            "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            "spec.paramKind.kind: Invalid value: \"x y\": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ],
    );
    check(
        json!({"auditAnnotations": [{"key": "k", "valueExpression": " "}, {"key": "k", "valueExpression": "'a'"}]}),
        &[
            "spec.auditAnnotations[0].valueExpression: Required value: valueExpression is not specified",
            "spec.auditAnnotations[1].key: Duplicate value: \"k\"",
        ],
    );
    check(
        json!({"variables": [{"name": "for", "expression": "1"}]}),
        &["spec.variables[0].name: Invalid value: \"for\": must be a valid CEL identifier"],
    );
    // Without variables there is nothing of that name; messages cannot ask who may do what.
    let undeclared = |field: &str, text: &str, name: &str| {
        format!(
            "spec.validations[0].{field}: Invalid value: \"{text}\": compilation failed: ERROR: <input>:1:1: undeclared reference to '{name}' (in container '')\n | {text}\n | ^"
        )
    };
    check(
        json!({"validations": [{"expression": "variables.a"}]}),
        &[&undeclared("expression", "variables.a", "variables")],
    );
    check(
        json!({"validations": [{"expression": "true", "messageExpression": "authorizer"}]}),
        &[&undeclared("messageExpression", "authorizer", "authorizer")],
    );
}

#[test]
fn ad7a_what_is_being_deleted_cannot_be_mutated() {
    let rules = json!([{"operations": ["DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "resourceNames": ["a", "a"]}]);
    let more = json!({"matchConstraints": {"resourceRules": rules}});
    let got = refused("mutatingadmissionpolicies", "MutatingAdmissionPolicy", more);
    assert_eq!(
        got,
        [
            "spec.matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: \"a\"",
            "spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"UPDATE\"",
        ]
    );
}

fn replied(outputs: &[Output]) -> (u16, Value) {
    for output in outputs {
        if let Output::Reply { response, .. } = output {
            let body = json::parse(response.body()).unwrap_or_default();
            return (response.status().as_u16(), body);
        }
    }
    panic!("no reply among {outputs:?}")
}

/// The calls under way: number, URL, review.
fn called(outputs: &[Output]) -> Vec<(CallId, String, Value)> {
    let mut calls = Vec::new();
    for output in outputs {
        if let Output::Call { call, request, .. } = output {
            calls.push((
                *call,
                request.url.clone(),
                json::parse(&request.body).unwrap(),
            ));
        }
    }
    calls
}

fn allowed(review: &Value, patch: Option<Value>) -> WebhookReply {
    let mut response = json!({"uid": (review["request"]["uid"].clone()), "allowed": true});
    if let Some(patch) = patch {
        let text = base64::engine::general_purpose::STANDARD.encode(json::to_vec(&patch));
        response["patch"] = text.into();
        response["patchType"] = "JSONPatch".into();
    }
    reply(
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}),
    )
}

fn reply(body: Value) -> WebhookReply {
    WebhookReply::Answered {
        status: 200,
        body: json::to_vec(&body).into(),
    }
}

#[test]
fn ad1_mutating_webhooks_one_by_one_then_validating_ones_at_once() {
    let mut world = World::new();
    let none = Value::object();
    world.configure(
        "MutatingWebhookConfiguration",
        &[
            ("a.example.com", none.clone()),
            ("b.example.com", none.clone()),
        ],
    );
    world.configure(
        "ValidatingWebhookConfiguration",
        &[("v.example.com", none.clone()), ("w.example.com", none)],
    );
    let outputs = world.create("x");
    let calls = called(&outputs);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].1, "https://hooks/a.example.com?timeout=10s");
    let patch = json!([{"op": "add", "path": "/data/a", "value": "1"}]);
    let outputs = world.answer(calls[0].0, allowed(&calls[0].2, Some(patch)));
    let calls = called(&outputs);
    assert_eq!(calls.len(), 1, "b sees what a did");
    assert_eq!(
        calls[0].2["request"]["object"]["data"],
        json!({"a": "1", "k": "v"})
    );
    let outputs = world.answer(calls[0].0, allowed(&calls[0].2, None));
    let calls = called(&outputs);
    assert_eq!(calls.len(), 2);
    assert!(
        world
            .answer(calls[1].0, allowed(&calls[1].2, None))
            .is_empty()
    );
    let (code, object) = replied(&world.answer(calls[0].0, allowed(&calls[0].2, None)));
    assert_eq!(
        (code, object["data"].clone()),
        (201, json!({"a": "1", "k": "v"}))
    );
}

#[test]
fn ad4_a_failed_call_refuses_unless_failures_are_ignored() {
    let mut world = World::new();
    world.configure(
        "ValidatingWebhookConfiguration",
        &[("v.example.com", Value::object())],
    );
    let calls = called(&world.create("x"));
    let (code, status) = replied(&world.answer(calls[0].0, WebhookReply::TimedOut));
    assert_eq!(code, 500);
    assert_eq!(
        status.str_at(&["message"]),
        "Internal error occurred: failed calling webhook \"v.example.com\": failed to call webhook: Post \"https://hooks/v.example.com?timeout=10s\": context deadline exceeded"
    );
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/c";
    world.submit("DELETE", path, &Value::object());
    let ignore = json!({"failurePolicy": "Ignore"});
    world.configure(
        "ValidatingWebhookConfiguration",
        &[("v.example.com", ignore)],
    );
    let calls = called(&world.create("x"));
    let (code, _) = replied(&world.answer(calls[0].0, WebhookReply::TimedOut));
    assert_eq!(code, 201);
}

#[test]
fn d13_the_calls_of_a_write_share_its_time() {
    let patient = json!({"failurePolicy": "Ignore", "timeoutSeconds": 30});
    let hooks = ["a.example.com", "b.example.com"].map(|name| (name, patient.clone()));
    let mut world = World::new();
    world.configure("MutatingWebhookConfiguration", &hooks);
    assert_eq!(called(&world.create("x")).len(), 1);
    let began = world.now;
    let seconds = |n: u64| began + std::time::Duration::from_secs(n);
    assert_eq!(world.server.next_deadline(), Some(seconds(30)));
    let outputs = world.wait(30);
    assert!(called(&outputs)[0].1.contains("b.example.com"));
    assert_eq!(world.server.next_deadline(), Some(seconds(34)));
    let (code, status) = replied(&world.wait(4));
    assert_eq!((code, status.str_at(&["reason"])), (504, "Timeout"));
    assert_eq!(
        status.str_at(&["message"]),
        "Timeout: request did not complete within requested timeout - context deadline exceeded"
    );
    let target = "/api/v1/namespaces/default/configmaps/x";
    let found = world.submit("GET", target, &Value::Null);
    assert_eq!(replied(&found).0, 404, "nothing is stored");
}

#[test]
fn ad4b_a_client_may_ask_for_less_time_than_a_second() {
    let mut world = World::new();
    world.configure(
        "MutatingWebhookConfiguration",
        &[("a.example.com", Value::object())],
    );
    let target = "/api/v1/namespaces/default/configmaps?timeout=1ms500us";
    let began = world.now;
    world.submit("POST", target, &json!({"metadata": {"name": "x"}}));
    let deadline = Timestamp(began.micros() + 1_500);
    assert_eq!(world.server.next_deadline(), Some(deadline));
    let (code, status) = replied(&world.wait(1));
    assert_eq!((code, status.get("kind")), (504, None));
}

#[test]
fn ad8_a_write_that_lost_the_race_is_asked_about_again() {
    let mut world = World::new();
    assert_eq!(replied(&world.create("x")).0, 201);
    let only = json!({"rules": [{"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
        "objectSelector": {"matchLabels": {"slow": "1"}}});
    world.configure("ValidatingWebhookConfiguration", &[("v.example.com", only)]);
    let path = "/api/v1/namespaces/default/configmaps/x";
    let slow = json!({"metadata": {"labels": {"slow": "1"}}, "data": {"a": "1"}});
    let calls = called(&world.submit("PATCH", path, &slow));
    assert_eq!(calls.len(), 1);
    // Another write lands while the webhook thinks.
    let (code, _) = replied(&world.submit("PATCH", path, &json!({"data": {"b": "2"}})));
    assert_eq!(code, 200);
    let outputs = world.answer(calls[0].0, allowed(&calls[0].2, None));
    let again = called(&outputs);
    assert_eq!(again.len(), 1, "called again with the newer state");
    assert_eq!(
        again[0].2["request"]["oldObject"]["data"],
        json!({"b": "2", "k": "v"})
    );
    let (code, object) = replied(&world.answer(again[0].0, allowed(&again[0].2, None)));
    assert_eq!(code, 200);
    assert_eq!(object["data"], json!({"a": "1", "b": "2", "k": "v"}));
}

#[test]
fn ad7_a_validating_policy_denies_with_its_message() {
    let mut world = World::new();
    let group = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({"metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]},
        "variables": [{"name": "k", "expression": "object.data.k"}],
        "validations": [{"expression": "variables.k != 'v'", "messageExpression": "'k is ' + variables.k"}],
    }});
    let outputs = world.submit(
        "POST",
        &format!("{group}/validatingadmissionpolicies"),
        &policy,
    );
    assert_eq!(replied(&outputs).0, 201, "{}", replied(&outputs).1);
    assert_eq!(replied(&world.create("before")).0, 201);
    let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    world.submit(
        "POST",
        &format!("{group}/validatingadmissionpolicybindings"),
        &binding,
    );
    let (code, status) = replied(&world.create("x"));
    assert_eq!(code, 422);
    assert_eq!(
        status.str_at(&["message"]),
        "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: k is v"
    );
}

#[test]
fn ad7a_a_mutating_policy_builds_what_it_applies() {
    let mut world = World::new();
    let group = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({"metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]},
        "reinvocationPolicy": "Never",
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{metadata: Object.metadata{labels: {'a': object.data.k}}}"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('b'), value: object.metadata.labels.a + '!'}]"}},
        ],
    }});
    let outputs = world.submit(
        "POST",
        &format!("{group}/mutatingadmissionpolicies"),
        &policy,
    );
    assert_eq!(replied(&outputs).0, 201, "{}", replied(&outputs).1);
    let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p"}});
    world.submit(
        "POST",
        &format!("{group}/mutatingadmissionpolicybindings"),
        &binding,
    );
    let (code, object) = replied(&world.create("x"));
    assert_eq!(code, 201, "{object}");
    assert_eq!(object["data"], json!({"b": "v!", "k": "v"}));
    assert_eq!(object["metadata"]["labels"], json!({"a": "v"}));
}

/// What a mutating policy with these mutations makes of a ConfigMap.
fn mutated(mutations: Value) -> (u16, Value) {
    let mut world = World::new();
    let spec = json!({
        "matchConstraints": {"resourceRules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]},
        "reinvocationPolicy": "Never", "mutations": mutations,
    });
    for (plural, kind, spec) in [
        ("mutatingadmissionpolicies", "MutatingAdmissionPolicy", spec),
        (
            "mutatingadmissionpolicybindings",
            "MutatingAdmissionPolicyBinding",
            json!({"policyName": "p"}),
        ),
    ] {
        let body = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "p"}, "spec": spec});
        let outputs = world.submit("POST", &format!("{POLICIES}{plural}"), &body);
        assert_eq!(replied(&outputs).0, 201, "{}", replied(&outputs).1);
    }
    let outputs = world.create("a");
    replied(&outputs)
}

#[test]
fn ad7a_apply_configurations_are_checked_as_applies_are() {
    let check = |expression: &str, want: &str| {
        let (code, answer) = mutated(
            json!([{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]),
        );
        assert_eq!(
            (code, answer.str_at(&["reason"])),
            (403, "Invalid"),
            "{expression}"
        );
        let want = format!("policy 'p' with binding 'p' denied request: {want}");
        assert_eq!(answer.str_at(&["message"]), want);
    };
    check(
        "Object{nope: 1}",
        "error applying patch: failed to convert patch object to typed object: .nope: field not declared in schema",
    );
    check(
        "Object{metadata: Object.spec{name: 'x'}}",
        "type mismatch: unexpected type name \"Object.spec\", expected \"Object.metadata\", which matches field name path from root Object type",
    );
    let (code, answer) = mutated(
        json!([{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{data: {'x': '1'}}"}}]),
    );
    assert_eq!((code, &answer["data"]), (201, &json!({"k": "v", "x": "1"})));
}

#[test]
fn ad7a_json_patches_of_policies() {
    let patched = |operations: &str| {
        mutated(json!([{"patchType": "JSONPatch", "jsonPatch": {"expression": operations}}]))
    };
    // A failed test is no failure: nothing is patched.
    let (code, answer) = patched(
        "[JSONPatch{op: 'test', path: '/data/k', value: 'other'}, JSONPatch{op: 'remove', path: '/data/k'}]",
    );
    assert_eq!((code, &answer["data"]), (201, &json!({"k": "v"})));
    let (code, answer) = patched("[JSONPatch{op: 'add', path: '/nope', value: 1}]");
    let want = "Internal error occurred: strict decoding error: unknown field \"nope\"";
    assert_eq!((code, answer.str_at(&["message"])), (500, want));
    let (code, answer) = patched("[JSONPatch{op: 'replace', path: '/no/x', value: 1}]");
    let want = "policy 'p' with binding 'p' denied request: JSON Patch: replace operation does not apply: doc is missing path: /no/x: missing value";
    assert_eq!((code, answer.str_at(&["message"])), (403, want));
}
