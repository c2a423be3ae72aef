//! Random histories against a simple model: what watches tell, folded, is what lists show (W2, W14, H7, MS1).
//!
//! Several clients write through several lagging servers; chores are done in a random order. Checked all along: events of a
//! watch rise in revision, come once and carry the object of their revision. Checked at the end, with every cache caught up:
//! each watch's folded state is the list's, and a list at an old revision is what was live then.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::ids::SeededIds;
use crate::json;
use crate::json::Value;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SERVERS: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Create(u8),
    Patch(u8, u8),
    Delete(u8),
    /// Opens a watch on a server from that many revisions ago.
    Watch(u32, u64),
    /// Does one of the enabled chores.
    Chore(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..4u8).prop_map(Step::Create),
        4 => (0..4u8, 0..3u8).prop_map(|(name, n)| Step::Patch(name, n)),
        2 => (0..4u8).prop_map(Step::Delete),
        1 => (0..SERVERS, 0..6u64).prop_map(|(server, back)| Step::Watch(server, back)),
        6 => (0..64usize).prop_map(Step::Chore),
    ];
    prop::collection::vec(step, 1..80)
}

/// What a watch has told so far.
#[derive(Debug, Default)]
struct Told {
    revision: u64,
    objects: BTreeMap<String, String>,
}

struct History {
    server: ApiServer,
    ids: SeededIds,
    now: Timestamp,
    next: u64,
    watches: BTreeMap<WatchId, Told>,
    /// Live objects after each revision.
    states: BTreeMap<u64, BTreeMap<String, String>>,
}

impl History {
    fn new() -> History {
        let config = Config {
            servers: SERVERS,
            check_watches: true,
            ..Config::default()
        };
        let server = ApiServer::new(&config);
        let began = server.store().revision();
        History {
            server,
            ids: SeededIds::new(9),
            now: config.began,
            next: 0,
            watches: BTreeMap::new(),
            states: BTreeMap::from([(began, BTreeMap::new())]),
        }
    }

    fn submit(&mut self, server: u32, method: &str, target: &str, body: Value) -> Option<Value> {
        self.next += 1;
        let content = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = match body {
            Value::Null => Bytes::new(),
            body => json::to_vec(&body).into(),
        };
        let request = http::Request::builder()
            .method(method)
            .uri(target)
            .header("content-type", content)
            .body(body)
            .unwrap();
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        let id = RequestId(self.next);
        let outputs = self.server.submit(&mut cx, ServerId(server), id, request);
        let reply = self.note(outputs);
        self.remember();
        reply
    }

    /// Live objects now, by name with their revision.
    fn live(&self) -> BTreeMap<String, String> {
        let row = self.server.registry().find("", "v1", "configmaps").unwrap();
        let objects = self.server.store().objects(row.id);
        objects
            .map(|(key, object)| (key.name().to_owned(), object.revision().to_string()))
            .collect()
    }

    fn remember(&mut self) {
        let live = self.live();
        self.states.insert(self.server.store().revision(), live);
    }

    fn note(&mut self, outputs: Vec<Output>) -> Option<Value> {
        let mut reply = None;
        for output in outputs {
            match output {
                Output::Event {
                    watch,
                    kind,
                    revision,
                    line,
                } => {
                    let told = self.watches.get_mut(&watch).expect("an open watch");
                    let event = json::parse(&line).unwrap();
                    let metadata = &event["object"]["metadata"];
                    let name = metadata.str_at(&["name"]).to_owned();
                    let version = metadata.str_at(&["resourceVersion"]).to_owned();
                    assert_eq!(version, revision.to_string(), "{event}");
                    assert!(
                        revision > told.revision,
                        "told twice or out of order: {event}"
                    );
                    told.revision = revision;
                    match kind {
                        EventKind::Added => {
                            assert_eq!(told.objects.insert(name, version), None, "{event}");
                        }
                        EventKind::Modified => {
                            assert!(told.objects.insert(name, version).is_some(), "{event}");
                        }
                        EventKind::Deleted => {
                            assert!(told.objects.remove(&name).is_some(), "{event}");
                        }
                        EventKind::Bookmark | EventKind::Error => panic!("{event}"),
                    }
                }
                Output::Reply { response, .. } => reply = json::parse(response.body()).ok(),
                _ => {}
            }
        }
        reply
    }

    fn watch(&mut self, server: u32, back: u64) {
        // From a revision whose state is known, so that the fold has a start.
        let known: Vec<u64> = self.states.keys().copied().collect();
        let revision = known[known.len().saturating_sub(1 + back as usize)];
        let told = Told {
            revision,
            objects: self.states[&revision].clone(),
        };
        self.watches.insert(WatchId(self.next + 1), told);
        let target = format!("{MAPS}?watch=1&resourceVersion={revision}");
        self.submit(server, "GET", &target, Value::Null);
    }

    fn chore(&mut self, pick: usize) {
        let chores = self.server.chores(self.now);
        if chores.is_empty() {
            return;
        }
        let chore = chores[pick % chores.len()].clone();
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        let outputs = self.server.perform(&mut cx, &chore);
        self.note(outputs);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Create(name) => {
                let body = json!({"metadata": {"name": format!("m{name}")}});
                self.submit(0, "POST", MAPS, body);
            }
            Step::Patch(name, n) => {
                let body = json!({"data": {"n": n.to_string()}});
                self.submit(1, "PATCH", &format!("{MAPS}/m{name}"), body);
            }
            Step::Delete(name) => {
                self.submit(2, "DELETE", &format!("{MAPS}/m{name}"), Value::Null);
            }
            Step::Watch(server, back) => self.watch(*server, *back),
            Step::Chore(pick) => self.chore(*pick),
        }
    }

    fn list(&mut self, query: &str) -> BTreeMap<String, String> {
        let list = self
            .submit(0, "GET", &format!("{MAPS}{query}"), Value::Null)
            .unwrap();
        let items = list.array_at(&["items"]).iter();
        items
            .map(|item| {
                let text = |name| item.str_at(&["metadata", name]).to_owned();
                (text("name"), text("resourceVersion"))
            })
            .collect()
    }

    fn finish(&mut self) {
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        let outputs = self.server.settle(&mut cx);
        self.note(outputs);
        assert_eq!(self.server.check_watches(), None);
        let live = self.list("");
        assert_eq!(live, self.live());
        for (id, told) in &self.watches {
            assert_eq!(told.objects, live, "{id:?}");
        }
        for (revision, then) in self.states.clone() {
            let query = format!("?resourceVersion={revision}&resourceVersionMatch=Exact");
            assert_eq!(self.list(&query), then, "at {revision}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn w2_watches_over_lagging_servers_tell_what_lists_show(steps in steps()) {
        let mut history = History::new();
        for step in &steps {
            history.step(step);
        }
        history.finish();
    }

    #[test]
    fn equal_histories_give_equal_bytes(steps in steps()) {
        let run = || {
            let mut history = History::new();
            for step in &steps {
                history.step(step);
            }
            history.list("")
        };
        prop_assert_eq!(run(), run());
    }
}
