//! The server through its outer interface, rule by rule.

use bytes::Bytes;

use super::*;
use crate::ids::SeededIds;
use crate::json;
use crate::json::Value;

/// A cluster, a clock and a source of ids.
struct World {
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

    fn quick() -> World {
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

    fn call(&mut self, method: &str, target: &str, body: Option<Value>) -> (u16, Value) {
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
