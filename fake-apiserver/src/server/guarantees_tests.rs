//! The checker of watches: silent on what the server does, and loud on each planted mistake.

use bytes::Bytes;

use super::*;
use crate::ids::SeededIds;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

struct Cluster {
    server: ApiServer,
    ids: SeededIds,
    now: Timestamp,
    requests: u64,
}

impl Cluster {
    fn new() -> Cluster {
        let config = Config {
            check_watches: true,
            ..Config::default()
        };
        Cluster {
            server: ApiServer::new(&config),
            ids: SeededIds::new(1),
            now: config.began,
            requests: 0,
        }
    }

    fn submit(&mut self, method: &str, target: &str, body: &str) {
        self.requests += 1;
        let content = if method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let request = http::Request::builder()
            .method(method)
            .uri(target)
            .header("content-type", content)
            .body(Bytes::from(body.to_owned()))
            .unwrap();
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        let id = RequestId(self.requests);
        self.server.submit(&mut cx, ServerId(0), id, request);
    }

    fn chores(&mut self, of: impl Fn(&Chore) -> bool) {
        let chores = self.server.chores(self.now);
        for chore in chores.into_iter().filter(of) {
            let mut cx = Cx {
                now: self.now,
                ids: &mut self.ids,
            };
            self.server.perform(&mut cx, &chore);
        }
    }

    fn create(&mut self, name: &str, labels: &str) {
        let body = format!("{{\"metadata\":{{\"name\":\"{name}\",\"labels\":{labels}}}}}");
        self.submit("POST", MAPS, &body);
    }

    fn relabel(&mut self, name: &str, labels: &str) {
        let body = format!("{{\"metadata\":{{\"labels\":{labels}}}}}");
        self.submit("PATCH", &format!("{MAPS}/{name}"), &body);
    }

    fn settle(&mut self) {
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        self.server.settle(&mut cx);
    }

    /// Watches of each way to begin, two objects, and their changes through a selector.
    fn story(&mut self, occasion: usize, defect: Option<Defect>) {
        let mut moment = 0;
        let mut plant = |cluster: &mut Cluster| {
            if let (Some(defect), true) = (defect, moment == occasion) {
                cluster.server.plant(defect);
            }
            moment += 1;
        };
        self.create("a", "{\"app\":\"x\"}");
        self.settle();
        let known = self.server.store().revision();
        self.submit("GET", &format!("{MAPS}?watch=1&labelSelector=app%3Dx"), "");
        self.create("b", "{}");
        self.relabel("a", "{\"app\":\"y\"}");
        plant(self);
        self.settle();
        let resumed = format!("{MAPS}?watch=1&resourceVersion={known}&allowWatchBookmarks=true");
        self.submit("GET", &resumed, "");
        self.relabel("a", "{\"app\":\"x\"}");
        plant(self);
        self.settle();
        self.chores(|chore| matches!(chore, Chore::Bookmark { .. }));
        let listed = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        plant(self);
        let streamed = format!("{MAPS}?watch=1&{listed}&allowWatchBookmarks=true");
        self.submit("GET", &streamed, "");
        self.submit("DELETE", &format!("{MAPS}/b"), "");
        self.relabel("a", "{\"app\":\"z\"}");
        plant(self);
        self.settle();
        self.chores(|chore| matches!(chore, Chore::Bookmark { .. }));
    }
}

fn breach(occasion: usize, defect: Option<Defect>) -> Option<String> {
    let mut cluster = Cluster::new();
    cluster.story(occasion, defect);
    cluster.server.check_watches().map(str::to_owned)
}

#[test]
fn a_server_without_defects_breaks_nothing() {
    assert_eq!(breach(0, None), None);
}

#[test]
fn each_defect_is_found_wherever_it_is_made() {
    for occasion in 0..4 {
        for (defect, word) in [
            (Defect::Lose, "complete"),
            (Defect::Repeat, "revision"),
            (Defect::Mistake, "revision"),
            (Defect::BookmarkEarly, "revision"),
        ] {
            let found = breach(occasion, Some(defect));
            let found = found.unwrap_or_else(|| panic!("{defect:?} at {occasion} goes unseen"));
            assert!(
                found.contains(word) || found.contains("bookmark"),
                "{defect:?} at {occasion}: {found}"
            );
        }
    }
}

#[test]
fn a_breach_says_which_watch_and_what_is_wrong() {
    let found = breach(1, Some(Defect::Repeat)).unwrap();
    assert!(found.starts_with("watch "), "{found}");
    assert!(
        found.contains(" of configmaps: ordered, unique: "),
        "{found}"
    );
    let found = breach(1, Some(Defect::BookmarkEarly)).unwrap();
    assert!(found.contains("bookmarkable: the bookmark"), "{found}");
}

#[test]
fn nobody_checks_unless_asked() {
    let mut cluster = Cluster::new();
    cluster.server = ApiServer::new(&Config::default());
    cluster.story(0, Some(Defect::Lose));
    assert_eq!(cluster.server.check_watches(), None);
}
