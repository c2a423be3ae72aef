//! The server through its outer interface, rule by rule.

use bytes::Bytes;

use super::*;
use crate::ids::SeededIds;
use crate::json;
use crate::json::Value;

/// A cluster, a clock and a source of ids.
pub(super) struct World {
    server: ApiServer,
    ids: SeededIds,
    now: Timestamp,
    requests: u64,
}

impl World {
    fn new(config: Config) -> World {
        World {
            server: ApiServer::new(&config),
            ids: SeededIds::new(1),
            now: config.began,
            requests: 0,
        }
    }

    pub(super) fn quick() -> World {
        World::new(Config {
            caches_follow: true,
            ..Config::default()
        })
    }

    fn request(method: &str, target: &str, body: Option<Value>) -> http::Request<Bytes> {
        let body = body.map_or(Bytes::new(), |value| json::to_vec(&value).into());
        let content = if method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        http::Request::builder()
            .method(method)
            .uri(target)
            .header("content-type", content)
            .body(body)
            .unwrap()
    }

    /// The `Warning` headers of an answer.
    pub(super) fn warnings(
        &mut self,
        method: &str,
        target: &str,
        body: Option<Value>,
    ) -> Vec<String> {
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        let request = World::request(method, target, body);
        let response = self.server.handle(&mut cx, ServerId(0), request);
        let headers = response.headers().get_all("warning").iter();
        headers
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    }

    pub(super) fn call(&mut self, method: &str, target: &str, body: Option<Value>) -> (u16, Value) {
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        let request = World::request(method, target, body);
        let response = self.server.handle(&mut cx, ServerId(0), request);
        let value = json::parse(response.body()).unwrap_or_default();
        (response.status().as_u16(), value)
    }

    fn submit(&mut self, server: u32, method: &str, target: &str) -> Vec<String> {
        self.requests += 1;
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        let request = World::request(method, target, None);
        let id = RequestId(self.requests);
        let outputs = self.server.submit(&mut cx, ServerId(server), id, request);
        outputs.iter().map(shown).collect()
    }

    fn settle(&mut self) -> Vec<String> {
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        let outputs = self.server.settle(&mut cx);
        outputs.iter().map(shown).collect()
    }

    fn later(&mut self, seconds: i64) -> Vec<String> {
        self.now = Timestamp(self.now.0 + seconds * 1_000_000);
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        let outputs = self.server.advance(&mut cx);
        outputs.iter().map(shown).collect()
    }
}

fn shown(output: &Output) -> String {
    match output {
        Output::Reply { response, .. } => format!("reply {}", response.status().as_u16()),
        Output::Opened { .. } => "opened".to_owned(),
        Output::Event { kind, line, .. } => {
            let value = json::parse(line).unwrap();
            format!(
                "{} {}",
                kind.as_str(),
                value.str_at(&["object", "metadata", "name"])
            )
        }
        Output::Ended { .. } => "ended".to_owned(),
        Output::Call { request, .. } => format!("call {}", request.url),
        Output::Wait { .. } => "wait".to_owned(),
    }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Option<Value> {
    Some(json!({"metadata": {"name": name}, "data": {"k": "v"}}))
}

#[test]
fn d1_created_objects_can_be_read_and_listed() {
    let mut world = World::quick();
    let (code, created) = world.call("POST", MAPS, map("a"));
    assert_eq!(code, 201, "{created}");
    let (code, read) = world.call("GET", &format!("{MAPS}/a"), None);
    assert_eq!((code, &read), (200, &created));
    let (_, list) = world.call("GET", MAPS, None);
    assert_eq!(list["kind"], "ConfigMapList");
    assert_eq!(list["items"][0].get("kind"), None);
    assert_eq!(world.call("POST", MAPS, map("a")).0, 409);
}

#[test]
fn d7_a_write_without_effect_is_silent() {
    let mut world = World::quick();
    world.call("POST", MAPS, map("a"));
    let before = world.server.store().revision();
    let patch = json!({"data": {"k": "v"}});
    let (code, _) = world.call("PATCH", &format!("{MAPS}/a"), Some(patch));
    assert_eq!(code, 200);
    assert_eq!(world.server.store().revision(), before);
}

#[test]
fn g3_the_last_finalizer_deletes() {
    let mut world = World::quick();
    let mut held = map("a").unwrap();
    held.set(&["metadata", "finalizers"], vec!["example.com/hold"]);
    world.call("POST", MAPS, Some(held));
    let target = format!("{MAPS}/a");
    let (code, marked) = world.call("DELETE", &target, None);
    assert_eq!(code, 200);
    assert!(marked.at(&["metadata", "deletionTimestamp"]).is_some());
    let free = json!({"metadata": {"finalizers": null}});
    assert_eq!(world.call("PATCH", &target, Some(free)).0, 200);
    assert_eq!(world.call("GET", &target, None).0, 404);
}

#[test]
fn w2_a_watch_shows_what_follows_its_revision() {
    let mut world = World::quick();
    world.call("POST", MAPS, map("a"));
    let from = world.server.store().revision();
    world.call("POST", MAPS, map("b"));
    let target = format!("{MAPS}?watch=1&resourceVersion={from}");
    assert_eq!(world.submit(0, "GET", &target), ["opened", "ADDED b"]);
    assert_eq!(
        world.submit(0, "DELETE", &format!("{MAPS}/a")),
        ["DELETED a", "reply 200"]
    );
}

#[test]
fn ms2_a_lagging_server_shows_old_state_until_it_catches_up() {
    let mut world = World::new(Config {
        servers: 2,
        ..Config::default()
    });
    world.call("POST", MAPS, map("a"));
    let now = world.server.store().revision();
    let any = format!("{MAPS}?resourceVersion=0");
    let (_, stale) = world.call("GET", &any, None);
    assert_eq!(stale["items"], json!([]));
    let exact = format!("{MAPS}/a?resourceVersion={now}");
    assert_eq!(world.submit(1, "GET", &exact), ["wait"]);
    assert_eq!(world.later(3), ["reply 504"]);
    assert_eq!(world.submit(1, "GET", &exact), ["wait"]);
    assert_eq!(world.settle(), ["reply 200"]);
}

fn owned(name: &str, owner: &Value, blocks: bool) -> Option<Value> {
    let mut object = map(name).unwrap();
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "name": owner.str_at(&["metadata", "name"]), "uid": owner.str_at(&["metadata", "uid"]),
        "blockOwnerDeletion": blocks});
    object.set(&["metadata", "ownerReferences"], vec![reference]);
    Some(object)
}

#[test]
fn i5_dependents_go_after_their_owner_and_not_before() {
    let mut world = World::quick();
    let (_, owner) = world.call("POST", MAPS, map("owner"));
    world.call("POST", MAPS, owned("dependent", &owner, false));
    world.settle();
    world.call("DELETE", &format!("{MAPS}/owner"), None);
    assert_eq!(world.call("GET", &format!("{MAPS}/dependent"), None).0, 200);
    world.settle();
    assert_eq!(world.call("GET", &format!("{MAPS}/dependent"), None).0, 404);
}

#[test]
fn i3_foreground_deletion_waits_for_blocking_dependents() {
    let mut world = World::quick();
    let (_, owner) = world.call("POST", MAPS, map("owner"));
    let mut held = owned("dependent", &owner, true).unwrap();
    held.set(&["metadata", "finalizers"], vec!["example.com/hold"]);
    world.call("POST", MAPS, Some(held));
    world.call(
        "DELETE",
        &format!("{MAPS}/owner?propagationPolicy=Foreground"),
        None,
    );
    world.settle();
    let (code, owner) = world.call("GET", &format!("{MAPS}/owner"), None);
    assert_eq!(code, 200);
    assert_eq!(owner.str_at(&["metadata", "name"]), "owner");
    let free = json!({"metadata": {"finalizers": null}});
    world.call("PATCH", &format!("{MAPS}/dependent"), Some(free));
    world.settle();
    assert_eq!(world.call("GET", &format!("{MAPS}/owner"), None).0, 404);
}

#[test]
fn i4_orphans_lose_the_reference_and_stay() {
    let mut world = World::quick();
    let (_, owner) = world.call("POST", MAPS, map("owner"));
    world.call("POST", MAPS, owned("dependent", &owner, true));
    world.call(
        "DELETE",
        &format!("{MAPS}/owner?propagationPolicy=Orphan"),
        None,
    );
    world.settle();
    assert_eq!(world.call("GET", &format!("{MAPS}/owner"), None).0, 404);
    let (code, dependent) = world.call("GET", &format!("{MAPS}/dependent"), None);
    assert_eq!(code, 200);
    assert_eq!(dependent.at(&["metadata", "ownerReferences"]), None);
}

#[test]
fn i6_an_owner_in_another_namespace_is_no_owner() {
    let mut world = World::quick();
    let (_, owner) = world.call("POST", MAPS, map("owner"));
    let other = "/api/v1/namespaces/kube-public/configmaps";
    world.call("POST", other, owned("dependent", &owner, false));
    world.settle();
    assert_eq!(
        world.call("GET", &format!("{other}/dependent"), None).0,
        404
    );
    let (_, events) = world.call("GET", "/api/v1/namespaces/kube-public/events", None);
    assert_eq!(events["items"][0]["reason"], "OwnerRefInvalidNamespace");
}

#[test]
fn n4_a_terminating_namespace_is_emptied_and_then_goes() {
    let mut world = World::quick();
    let space = json!({"metadata": {"name": "x"}});
    world.call("POST", "/api/v1/namespaces", Some(space));
    let maps = "/api/v1/namespaces/x/configmaps";
    let mut held = map("held").unwrap();
    held.set(&["metadata", "finalizers"], vec!["example.com/hold"]);
    world.call("POST", maps, Some(held));
    world.call("DELETE", "/api/v1/namespaces/x", None);
    let (code, refused) = world.call("POST", maps, map("late"));
    assert_eq!(code, 403);
    assert_eq!(
        refused["details"]["causes"][0]["reason"],
        "NamespaceTerminating"
    );
    world.settle();
    let (_, space) = world.call("GET", "/api/v1/namespaces/x", None);
    assert_eq!(
        space["status"]["conditions"][3]["reason"],
        "SomeResourcesRemain"
    );
    let free = json!({"metadata": {"finalizers": null}});
    world.call("PATCH", &format!("{maps}/held"), Some(free));
    world.settle();
    assert_eq!(world.call("GET", "/api/v1/namespaces/x", None).0, 404);
}

#[test]
fn c4_generated_names_are_drawn_again_when_taken() {
    /// Always the same suffix first.
    struct Stuck(SeededIds, u32);
    impl Ids for Stuck {
        fn uid(&mut self) -> String {
            self.0.uid()
        }
        fn suffix(&mut self) -> String {
            self.1 += 1;
            if self.1 < 4 {
                "bbbbb".into()
            } else {
                self.0.suffix()
            }
        }
        fn number(&mut self, below: u64) -> u64 {
            self.0.number(below)
        }
    }
    let mut world = World::quick();
    let mut ids = Stuck(SeededIds::new(3), 0);
    let mut names = Vec::new();
    for _ in 0..2 {
        let mut cx = Cx {
            now: world.now,
            ids: &mut ids,
        };
        let body = json!({"metadata": {"generateName": "a-"}});
        let request = World::request("POST", MAPS, Some(body));
        let response = world.server.handle(&mut cx, ServerId(0), request);
        assert_eq!(response.status(), 201);
        let value = json::parse(response.body()).unwrap();
        names.push(value.str_at(&["metadata", "name"]).to_owned());
    }
    assert_eq!(names[0], "a-bbbbb");
    assert_ne!(names[0], names[1]);
}

#[test]
fn h6_a_page_of_a_compacted_revision_offers_an_inconsistent_token() {
    let mut world = World::quick();
    for name in ["a", "b", "c"] {
        world.call("POST", MAPS, map(name));
    }
    let (_, page) = world.call("GET", &format!("{MAPS}?limit=1"), None);
    assert_eq!(page["metadata"]["remainingItemCount"], 2);
    let token = page.str_at(&["metadata", "continue"]).to_owned();
    world.call("DELETE", &format!("{MAPS}/b"), None);
    for _ in 0..2 {
        world.later(300);
        let chores = world.server.chores(world.now);
        let compact = chores
            .iter()
            .find(|chore| matches!(chore, Chore::Compact { .. }));
        let compact = compact.expect("a compaction is due").clone();
        let mut cx = Cx {
            now: world.now,
            ids: &mut world.ids,
        };
        world.server.perform(&mut cx, &compact);
    }
    let (code, gone) = world.call("GET", &format!("{MAPS}?limit=1&continue={token}"), None);
    assert_eq!((code, &gone["reason"]), (410, &json!("Expired")));
    let token = gone.str_at(&["metadata", "continue"]).to_owned();
    let (code, rest) = world.call("GET", &format!("{MAPS}?continue={token}"), None);
    assert_eq!(code, 200);
    assert_eq!(rest["items"][0].str_at(&["metadata", "name"]), "c");
}

#[test]
fn w7_a_busy_resource_forgets_old_revisions() {
    let mut world = World::quick();
    world.call("POST", MAPS, map("a"));
    let from = world.server.store().revision();
    // A revision of another resource lies between.
    world.call(
        "POST",
        "/api/v1/namespaces/default/secrets",
        map("a").map(|mut secret| {
            secret.remove(&["data"]);
            secret
        }),
    );
    for n in 0..100 {
        // A minute between writes: the window does not grow.
        world.now = Timestamp(world.now.0 + 60_000_000);
        let patch = json!({"data": {"n": n.to_string()}});
        world.call("PATCH", &format!("{MAPS}/a"), Some(patch));
    }
    let target = format!("{MAPS}?watch=1&resourceVersion={from}");
    assert_eq!(
        world.submit(0, "GET", &target),
        ["opened", "ERROR ", "ended"]
    );
    let target = format!("{MAPS}?watch=1&resourceVersion={}", from + 1);
    assert_eq!(world.submit(0, "GET", &target).len(), 101);
}

#[test]
fn o2_events_expire() {
    let mut world = World::quick();
    let events = "/api/v1/namespaces/default/events";
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}});
    assert_eq!(world.call("POST", events, Some(event)).0, 201);
    world.later(3599);
    world.settle();
    assert_eq!(world.call("GET", &format!("{events}/e"), None).0, 200);
    world.later(1);
    world.settle();
    assert_eq!(world.call("GET", &format!("{events}/e"), None).0, 404);
}

#[test]
fn d10_a_dry_run_stores_nothing() {
    let mut world = World::quick();
    let before = world.server.store().revision();
    let (code, made) = world.call("POST", &format!("{MAPS}?dryRun=All"), map("a"));
    assert_eq!(code, 201);
    assert_eq!(made.at(&["metadata", "resourceVersion"]), None);
    assert!(made.at(&["metadata", "uid"]).is_some());
    assert_eq!(world.server.store().revision(), before);
}
