//! The cluster under test: three lagging servers, a webhook that takes its time, clients that remember what they were told.
//!
//! Owns sending what a step says and checking what comes back: against the reference, against the log of writes, and against
//! what other clients were told.

use std::collections::BTreeMap;

use bytes::Bytes;
use fake_apiserver::actors::Chore;
use fake_apiserver::ids::SeededIds;
use fake_apiserver::json::{self, Value};
use fake_apiserver::registry::ResourceId;
use fake_apiserver::server::{
    ApiServer, CallId, Config, Cx, Output, RequestId, ServerId, WatchId, WebhookReply,
};
use fake_apiserver::time::Timestamp;

use super::defect::Defect;
use super::history::{History, Span, Told};
use super::reference::{Model, Object, Outcome, Policy, SERVERS, Step, Write};
use super::watches::Watches;
use crate::growth::{APPLY, JSON, MAPS, MERGE};

const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
/// A webhook for what is written by a manager called `slow`.
const HOOK: &str = r#"{"metadata":{"name":"slow"},"webhooks":[{"name":"slow.example.com","admissionReviewVersions":["v1"],"sideEffects":"None",
"timeoutSeconds":30,"clientConfig":{"url":"https://slow.example.com/","caBundle":"Y29uZm9ybQ=="},"rules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE","UPDATE"],
"resources":["configmaps"]}],"matchConditions":[{"name":"slow","expression":"has(request.options.fieldManager) && request.options.fieldManager == 'slow'"}]}]}"#;
const FINALIZER: &str = "example.com/hold";

/// A write as the cluster's log has it.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) revision: u64,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) object: Value,
}

/// A request under way.
#[derive(Debug)]
struct Sent {
    reference: Option<u64>,
    name: String,
    step: usize,
    /// The revision a replacement was based on.
    base: u64,
    create: bool,
}

/// The cluster and everything clients know.
#[derive(Debug)]
pub(crate) struct Cluster {
    server: ApiServer,
    ids: SeededIds,
    now: Timestamp,
    next: u64,
    maps: ResourceId,
    pub(crate) defect: Option<Defect>,
    began: u64,
    pub(crate) log: Vec<Logged>,
    /// How much of the log each server's cache has seen.
    cursors: [usize; SERVERS as usize],
    pub(crate) watches: Watches,
    sent: BTreeMap<RequestId, Sent>,
    calls: BTreeMap<u64, (CallId, String)>,
    /// Revisions each object that there is has had, by name.
    revisions: BTreeMap<String, Vec<u64>>,
    uids: BTreeMap<u32, String>,
    pub(crate) history: History,
    /// Answers to writes of this step: reference number and code.
    answered: Vec<(u64, u16)>,
    waiting: Vec<u64>,
}

impl Cluster {
    pub(crate) fn new(defect: Option<Defect>) -> Cluster {
        let config = Config {
            servers: SERVERS,
            ..Config::default()
        };
        let server = ApiServer::new(&config);
        let maps = server
            .registry()
            .find("", "v1", "configmaps")
            .expect("built in")
            .id;
        let mut cluster = Cluster {
            server,
            ids: SeededIds::new(21),
            now: config.began,
            next: 0,
            maps,
            defect,
            began: 0,
            log: Vec::new(),
            cursors: [0; SERVERS as usize],
            watches: Watches::default(),
            sent: BTreeMap::new(),
            calls: BTreeMap::new(),
            revisions: BTreeMap::new(),
            uids: BTreeMap::from([(0, "00000000-0000-4000-8000-000000000000".to_owned())]),
            history: History::default(),
            answered: Vec::new(),
            waiting: Vec::new(),
        };
        cluster.send(0, "POST", HOOKS, JSON, HOOK.to_owned(), None);
        let mut cx = Cx {
            now: cluster.now,
            ids: &mut cluster.ids,
        };
        cluster.server.settle(&mut cx);
        cluster.began = cluster.server.store().revision();
        cluster
    }

    fn with(
        &mut self,
        act: impl FnOnce(&mut ApiServer, &mut Cx<'_>) -> Vec<Output>,
    ) -> Vec<Output> {
        self.now = Timestamp(self.now.micros() + 1_000);
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        act(&mut self.server, &mut cx)
    }

    fn send(
        &mut self,
        server: u32,
        method: &str,
        target: &str,
        kind: &str,
        body: String,
        sent: Option<Sent>,
    ) -> Option<(u16, Value)> {
        let request = http::Request::builder()
            .method(method)
            .uri(target)
            .header("content-type", kind)
            .body(Bytes::from(body))
            .expect("the parts are valid");
        self.next += 1;
        let id = RequestId(self.next);
        if let Some(sent) = sent {
            self.sent.insert(id, sent);
        }
        let outputs = self.with(|cluster, cx| cluster.submit(cx, ServerId(server), id, request));
        let mut answer = self.take(outputs, id);
        // A read may wait for its server's cache; what it waits for comes.
        while answer.is_none()
            && self.server.next_deadline().is_some()
            && self.is_behind(server)
            && !self.calls_for(id)
        {
            answer = self.advance(server, id);
        }
        answer
    }

    fn calls_for(&self, id: RequestId) -> bool {
        let number = self.sent.get(&id).and_then(|sent| sent.reference);
        number.is_some_and(|number| self.calls.contains_key(&number))
    }

    /// Notes what came out; the answer to one of the requests.
    fn take(&mut self, outputs: Vec<Output>, wanted: RequestId) -> Option<(u16, Value)> {
        self.read_log();
        let mut answer = None;
        for output in outputs {
            match output {
                Output::Reply { id, response } => {
                    let code = response.status().as_u16();
                    let body = json::parse(response.body()).unwrap_or_default();
                    if let Some(sent) = self.sent.remove(&id) {
                        self.answer(sent, code, &body);
                    }
                    if id == wanted {
                        answer = Some((code, body));
                    }
                }
                Output::Opened { id, .. } if id == wanted => answer = Some((200, Value::Null)),
                Output::Event { watch, line, .. } => self.watches.hear(watch, &line, self.defect),
                Output::Call { call, id, request } => {
                    let review = json::parse(&request.body).expect("a review is JSON");
                    let uid = review.str_at(&["request", "uid"]).to_owned();
                    let number = self.sent.get(&id).and_then(|sent| sent.reference);
                    let number = number.expect("only writes are reviewed");
                    self.calls.insert(number, (call, uid));
                    self.waiting.push(number);
                }
                _ => {}
            }
        }
        answer
    }

    /// A write has been answered: what it was told is kept for the history.
    fn answer(&mut self, sent: Sent, code: u16, body: &Value) {
        let Some(number) = sent.reference else {
            return;
        };
        self.answered.push((number, code));
        let revision = body
            .str_at(&["metadata", "resourceVersion"])
            .parse()
            .unwrap_or(0);
        let fresh = self
            .log
            .last()
            .is_some_and(|last| last.revision == revision);
        let told = match code {
            200 | 201 if revision == 0 => Told::Stored(self.server.store().revision()),
            200 | 201 if fresh => Told::Stored(revision),
            200 | 201 => Told::Unchanged(revision),
            404 => Told::Absent,
            409 if sent.create => Told::Exists,
            409 => Told::Differs(sent.base),
            other => panic!("{other}: {body}"),
        };
        let answered = self.history.now();
        self.history.note(Span {
            name: sent.name,
            sent: sent.step,
            answered,
            told,
        });
    }

    fn read_log(&mut self) {
        let last = self.log.last().map_or(self.began, |last| last.revision);
        if self.began == 0 {
            return;
        }
        for entry in self.server.store().log_since(last) {
            assert_eq!(entry.resource, self.maps, "nothing else is written");
            let kind = match (&entry.old, entry.deleted) {
                (_, true) => "DELETED",
                (None, _) => "ADDED",
                _ => "MODIFIED",
            };
            let revisions = self.revisions.entry(entry.key.name().to_owned());
            match entry.deleted {
                true => revisions.or_default().clear(),
                false => revisions.or_default().push(entry.revision),
            }
            self.log.push(Logged {
                revision: entry.revision,
                name: entry.key.name().to_owned(),
                kind,
                object: entry.object.value().clone(),
            });
        }
    }

    /// Objects after so many writes, by name with their revision.
    fn state(&self, writes: usize) -> BTreeMap<String, u64> {
        let mut state = BTreeMap::new();
        for write in &self.log[..writes] {
            match write.kind {
                "DELETED" => drop(state.remove(&write.name)),
                _ => drop(state.insert(write.name.clone(), write.revision)),
            }
        }
        state
    }

    fn live(&self, name: &str) -> Option<Value> {
        let last = self.log.iter().rev().find(|write| write.name == name)?;
        (last.kind != "DELETED").then(|| last.object.clone())
    }

    fn is_behind(&self, server: u32) -> bool {
        self.cursors[server as usize] < self.log.len()
    }

    fn advance(&mut self, server: u32, wanted: RequestId) -> Option<(u16, Value)> {
        let chore = Chore::Advance {
            server: ServerId(server),
            resource: self.maps,
        };
        let enabled = self.server.chores(self.now).contains(&chore);
        assert_eq!(
            enabled,
            self.is_behind(server),
            "a cache that is behind can go on"
        );
        if !enabled {
            return None;
        }
        self.cursors[server as usize] += 1;
        let outputs = self.with(|cluster, cx| cluster.perform(cx, &chore));
        let answer = self.take(outputs, wanted);
        self.check_watches();
        answer
    }

    /// Does a step and compares with what the reference says of it.
    pub(crate) fn step(&mut self, model: &Model, step: &Step) {
        let writes = self.log.len();
        self.answered.clear();
        self.waiting.clear();
        match step {
            Step::Write {
                server,
                name,
                write,
                slow,
            } => self.write(model, *server, *name, write, *slow),
            Step::Answer(_) => self.answer_call(model),
            Step::Get {
                server,
                name,
                cached,
            } => self.get(*server, *name, *cached),
            Step::List {
                server,
                limit,
                cached,
                back,
            } => self.list(*server, *limit, *cached, *back),
            Step::Watch { server, back } => {
                let from = back.map(|back| self.revision_of(back));
                self.watch(*server, from);
            }
            Step::Resume { pick, server } => {
                if let Some((id, position)) = self.watches.close(*pick) {
                    self.server.cancel(RequestId(id.0));
                    let skipped = u64::from(self.defect == Some(Defect::SkippingResume));
                    self.watch_from(*server, Some(position), position + skipped);
                }
            }
            Step::Advance { server } => drop(self.advance(*server, RequestId(0))),
            Step::Collect => self.collect(),
        }
        self.check_outcome(model, writes);
        self.check_objects(model);
        self.check_watches();
        let state = self.state(self.log.len());
        self.history.step(state);
    }

    fn write(&mut self, model: &Model, server: u32, name: u8, write: &Write, slow: bool) {
        let number = model.requests;
        let text = format!("n{name}");
        let target = format!("{MAPS}/{text}");
        let live = self.live(&text);
        let manager = if slow { "slow" } else { "fast" };
        let (method, target, kind, body) = match write {
            Write::Create { owner, finalizer } => (
                "POST",
                format!("{MAPS}?fieldManager={manager}"),
                JSON,
                self.created(&text, *owner, *finalizer),
            ),
            Write::Put { value, stale } => (
                "PUT",
                format!("{target}?fieldManager={manager}"),
                JSON,
                self.replaced(live, &text, *value, *stale),
            ),
            Write::Patch { value } => (
                "PATCH",
                format!("{target}?fieldManager={manager}"),
                MERGE,
                self.patched(live, *value),
            ),
            Write::Apply { value } => {
                let body = format!(
                    r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{text}"}},"data":{{"v":"{value}"}}}}"#
                );
                let target = format!("{target}?force=true&fieldManager={manager}");
                ("PATCH", target, APPLY, body)
            }
            Write::Delete { policy } => (
                "DELETE",
                format!("{target}?propagationPolicy={policy:?}"),
                JSON,
                String::new(),
            ),
            Write::Release => ("PATCH", target, MERGE, released(live)),
        };
        let base = json::parse(body.as_bytes()).unwrap_or_default();
        let base = base
            .str_at(&["metadata", "resourceVersion"])
            .parse()
            .unwrap_or(0);
        let sent = Sent {
            reference: Some(number),
            name: text,
            step: self.history.now(),
            base,
            create: matches!(write, Write::Create { .. }),
        };
        self.send(server, method, &target, kind, body, Some(sent));
    }

    fn created(&self, name: &str, owner: Option<u8>, finalizer: bool) -> String {
        let mut object = Value::object();
        object.set(&["metadata", "name"], name);
        if finalizer {
            object.set(&["metadata", "finalizers"], vec![FINALIZER]);
        }
        if let Some(owner) = owner {
            let owner = format!("n{owner}");
            let uid = self
                .live(&owner)
                .map(|live| live.str_at(&["metadata", "uid"]).to_owned());
            let uid = uid.unwrap_or_else(|| self.uids[&0].clone());
            let mut reference = Value::object();
            reference.set(&["apiVersion"], "v1");
            reference.set(&["kind"], "ConfigMap");
            reference.set(&["name"], owner);
            reference.set(&["uid"], uid);
            reference.set(&["blockOwnerDeletion"], true);
            object.set(&["metadata", "ownerReferences"], vec![reference]);
        }
        object.to_string()
    }

    fn replaced(&self, live: Option<Value>, name: &str, value: u8, stale: bool) -> String {
        let mut object = live.unwrap_or_else(|| {
            let mut object = Value::object();
            object.set(&["metadata", "name"], name);
            object
        });
        object.set(&["data", "v"], value.to_string());
        let revisions = self.revisions.get(name).map_or(&[][..], Vec::as_slice);
        if let [.., before, _] = revisions
            && stale
            && self.defect != Some(Defect::LostUpdate)
        {
            object.set(&["metadata", "resourceVersion"], before.to_string());
        }
        object.to_string()
    }

    fn patched(&self, live: Option<Value>, value: u8) -> String {
        let same = live.is_some_and(|live| live.str_at(&["data", "v"]) == value.to_string());
        if same && self.defect == Some(Defect::NoisyNoOp) {
            return format!(
                r#"{{"data":{{"v":"{value}"}},"metadata":{{"annotations":{{"n":"{}"}}}}}}"#,
                self.next
            );
        }
        format!(r#"{{"data":{{"v":"{value}"}}}}"#)
    }

    fn answer_call(&mut self, model: &Model) {
        let number = match model.outcome {
            Outcome::Answered { id, .. } | Outcome::Waits { id } => id,
            _ => return,
        };
        let (call, uid) = self.calls.remove(&number).expect("the webhook was asked");
        let body = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{uid}","allowed":true}}}}"#
        );
        if self.defect == Some(Defect::ForgottenWrite) {
            let found = self
                .sent
                .iter()
                .find(|(_, sent)| sent.reference == Some(number));
            if let Some(id) = found.map(|(id, _)| *id) {
                self.server.cancel(id);
                self.sent.remove(&id);
                self.answered.push((number, 200));
                return;
            }
        }
        let reply = WebhookReply::Answered {
            status: 200,
            body: body.into(),
        };
        let outputs = self.with(|cluster, cx| cluster.answer(cx, call, reply));
        self.take(outputs, RequestId(0));
    }

    fn get(&mut self, server: u32, name: u8, cached: bool) {
        let name = format!("n{name}");
        let stale = self.defect == Some(Defect::StaleRead);
        let query = if cached || stale {
            "?resourceVersion=0"
        } else {
            ""
        };
        let (code, body) = self
            .send(
                server,
                "GET",
                &format!("{MAPS}/{name}{query}"),
                JSON,
                String::new(),
                None,
            )
            .expect("reads are answered");
        let read = (code == 200).then(|| {
            body.str_at(&["metadata", "resourceVersion"])
                .parse()
                .expect("a revision")
        });
        if cached {
            let then = self.state(self.cursors[server as usize]);
            assert_eq!(
                read,
                then.get(&name).copied(),
                "a cache shows what it has seen"
            );
        } else {
            let now = self.history.now();
            self.history.note(Span {
                name,
                sent: now,
                answered: now,
                told: Told::Read(read),
            });
        }
    }

    fn list(&mut self, server: u32, limit: u8, cached: bool, back: Option<u8>) {
        let exact = back.map(|back| self.revision_of(back));
        let mut query = match (exact, cached) {
            (Some(revision), _) => {
                let off =
                    u64::from(self.defect == Some(Defect::InexactList) && revision > self.began);
                format!(
                    "resourceVersion={}&resourceVersionMatch=Exact",
                    revision - off
                )
            }
            (None, true) => "resourceVersion=0".to_owned(),
            (None, false) => String::new(),
        };
        if limit > 0 && (!cached || exact.is_some()) {
            query.push_str(&format!("&limit={limit}"));
        }
        let mut shown = BTreeMap::new();
        let mut token = String::new();
        loop {
            let target = if token.is_empty() {
                format!("{MAPS}?{query}")
            } else {
                format!("{MAPS}?limit={limit}&continue={token}")
            };
            let answer = self.send(server, "GET", &target, JSON, String::new(), None);
            let (code, list) = answer.expect("reads are answered");
            assert_eq!(code, 200, "{target}: {list}");
            for item in list.array_at(&["items"]) {
                let revision = item
                    .str_at(&["metadata", "resourceVersion"])
                    .parse()
                    .expect("a revision");
                let twice = shown.insert(item.str_at(&["metadata", "name"]).to_owned(), revision);
                assert_eq!(twice, None, "a list shows an object once");
            }
            token = list.str_at(&["metadata", "continue"]).to_owned();
            if token.is_empty() {
                break;
            }
        }
        let writes = match exact {
            Some(revision) => self
                .log
                .iter()
                .filter(|write| write.revision <= revision)
                .count(),
            None if cached => self.cursors[server as usize],
            None => self.log.len(),
        };
        assert_eq!(
            shown,
            self.state(writes),
            "a list is what was live at its revision"
        );
    }

    /// The revision so many writes ago.
    fn revision_of(&self, back: u8) -> u64 {
        let at = self.log.len().checked_sub(1 + usize::from(back));
        at.map_or(self.began, |at| self.log[at].revision)
    }

    fn watch(&mut self, server: u32, from: Option<u64>) {
        let asked = from.unwrap_or(0);
        self.watch_from(server, from, asked);
    }

    fn watch_from(&mut self, server: u32, from: Option<u64>, asked: u64) {
        let id = WatchId(self.next + 1);
        let seen = self.state(self.cursors[server as usize]);
        self.watches.open(
            id,
            server,
            from,
            self.log[..self.cursors[server as usize]].last(),
            &seen,
            self.began,
        );
        let query = match from {
            Some(_) => format!("?watch=1&resourceVersion={asked}"),
            None => "?watch=1".to_owned(),
        };
        self.send(
            server,
            "GET",
            &format!("{MAPS}{query}"),
            JSON,
            String::new(),
            None,
        );
    }

    fn collect(&mut self) {
        if self.defect == Some(Defect::NoCollector) {
            return;
        }
        for _ in 0..1_000 {
            let chores = self.server.chores(self.now);
            let Some(chore) = chores
                .into_iter()
                .find(|chore| matches!(chore, Chore::CollectGarbage { .. }))
            else {
                return;
            };
            let outputs = self.with(|cluster, cx| cluster.perform(cx, &chore));
            self.take(outputs, RequestId(0));
        }
        panic!("the collector does not come to an end");
    }

    fn check_outcome(&self, model: &Model, writes: usize) {
        let stored = self.log.len() - writes;
        let answered = self.answered.as_slice();
        match &model.outcome {
            Outcome::Nothing => assert_eq!((answered, stored), (&[][..], 0)),
            Outcome::Waits { id } => {
                assert_eq!(
                    (answered, stored),
                    (&[][..], 0),
                    "a request that waits has done nothing"
                );
                assert_eq!(self.waiting, [*id], "the webhook is asked");
            }
            Outcome::Answered {
                id,
                code,
                stored: changes,
            } => {
                assert_eq!(answered, [(*id, *code)]);
                assert_eq!(
                    stored,
                    usize::from(*changes),
                    "a write is stored once, one that changes nothing never"
                );
            }
            Outcome::Collected => assert_eq!(answered, []),
        }
    }

    /// What is stored is what the reference has.
    fn check_objects(&mut self, model: &Model) {
        let now = self.state(self.log.len());
        let names: Vec<String> = model
            .objects
            .keys()
            .map(|name| format!("n{name}"))
            .collect();
        assert_eq!(
            now.keys().cloned().collect::<Vec<_>>(),
            names,
            "the objects there are"
        );
        for (name, object) in &model.objects {
            let live = self.live(&format!("n{name}")).expect("it is there");
            let uid = live.str_at(&["metadata", "uid"]).to_owned();
            assert_eq!(
                *self.uids.entry(object.uid).or_insert_with(|| uid.clone()),
                uid,
                "the same object"
            );
            self.check_object(object, &live);
        }
    }

    fn check_object(&self, object: &Object, live: &Value) {
        let value = object.value.map(|value| value.to_string());
        assert_eq!(
            live.str_at(&["data", "v"]),
            value.unwrap_or_default(),
            "{live}"
        );
        let owners = live.array_at(&["metadata", "ownerReferences"]).iter();
        let owners: Vec<&str> = owners.map(|owner| owner.str_at(&["uid"])).collect();
        let wanted: Vec<&str> = object
            .owner
            .iter()
            .map(|owner| self.uids[owner].as_str())
            .collect();
        assert_eq!(owners, wanted, "{live}");
        let going = live.at(&["metadata", "deletionTimestamp"]).is_some();
        assert_eq!(going, object.going.is_some(), "{live}");
        let finalizers = live.array_at(&["metadata", "finalizers"]);
        let own = object.finalizer.then_some(FINALIZER);
        let mut wanted: Vec<&str> = own.into_iter().chain(mark(object.going)).collect();
        let mut found: Vec<&str> = finalizers.iter().filter_map(Value::as_str).collect();
        wanted.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, wanted, "{live}");
    }

    fn check_watches(&self) {
        self.watches.check(&self.log, &self.cursors);
    }

    /// Everything catches up; then each watch, folded, is what there is.
    pub(crate) fn finish(mut self) {
        for server in 0..SERVERS {
            while self.is_behind(server) {
                self.advance(server, RequestId(0));
            }
        }
        self.watches.check_folded(&self.state(self.log.len()));
        self.history.check();
    }
}

fn mark(going: Option<Policy>) -> Option<&'static str> {
    match going? {
        Policy::Background => None,
        Policy::Foreground => Some("foregroundDeletion"),
        Policy::Orphan => Some("orphan"),
    }
}

/// A patch that takes the client's own finalizer off and leaves the others.
fn released(live: Option<Value>) -> String {
    let live = live.unwrap_or_default();
    let finalizers = live.array_at(&["metadata", "finalizers"]);
    let kept: Vec<Value> = finalizers
        .iter()
        .filter(|finalizer| **finalizer != *FINALIZER)
        .cloned()
        .collect();
    let mut patch = Value::object();
    patch.set(
        &["metadata", "finalizers"],
        if kept.is_empty() {
            Value::Null
        } else {
            Value::Array(kept)
        },
    );
    patch.to_string()
}
