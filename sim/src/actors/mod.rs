//! Stand-ins for the controllers of a cluster's workloads, so that operators that wait for Pods make progress.
//!
//! Each is a controller as real ones are: it sees the cluster through informers of its own, which may lag behind the API
//! server's watch cache, keeps a queue of keys, and asks the API server for one write at a time, through admission, with
//! the resourceVersion or uid it has seen. What a node would do with a Pod is a list of stages with delays ([`stages`]).
//! Owns the queue ([`StandIn`]) and what a controller is ([`Control`]); the controllers are one module each. Does not own
//! when anything happens: the world offers each sight and each step as a choice (`world::actors`).
//!
//! Simplifications: one step a key at a time where real ones work in batches; a key waits until the informer has shown
//! the stand-in's own last write (real controllers have expectations for creations and deletions only); no Events; a write
//! that fails is tried again after 1 s, 2 s, … and given up after six tries until the object changes.
//! Source: kube-controller-manager `pkg/controller/*`, kubelet `pkg/kubelet/status`.

pub mod stages;

mod claims;
mod deployments;
mod endpoints;
mod jobs;
mod objects;
mod pods;
mod replicasets;
mod statefulsets;
mod template;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waiting_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use fake_apiserver::json::{self, Value};
use fake_apiserver::registry::ResourceId;
use fake_apiserver::server::{ApiServer, ServerId};
use fake_apiserver::store::{Entry, Key, Object};
use fake_apiserver::time::Timestamp;

use self::stages::Pace;
use crate::event::StepId;
use crate::setup::Actor;
use crate::time::DurationRange;

/// The server that stand-ins talk to.
pub(crate) const SERVER: ServerId = ServerId(0);

/// Tries of one step before the object must change.
const TRIES_MAX: u32 = 6;

/// A resource that a stand-in watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) kind: &'static str,
}

impl Kind {
    const fn new(
        group: &'static str,
        version: &'static str,
        plural: &'static str,
        kind: &'static str,
    ) -> Kind {
        Kind {
            group,
            version,
            plural,
            kind,
        }
    }

    pub(crate) fn api_version(self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    fn path(self, namespace: &str) -> String {
        let root = if self.group.is_empty() {
            "/api"
        } else {
            "/apis"
        };
        format!(
            "{root}/{}/namespaces/{namespace}/{}",
            self.api_version(),
            self.plural
        )
    }
}

pub(crate) const PODS: Kind = Kind::new("", "v1", "pods", "Pod");
pub(crate) const CLAIMS: Kind =
    Kind::new("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim");
pub(crate) const SERVICES: Kind = Kind::new("", "v1", "services", "Service");
pub(crate) const ENDPOINTS: Kind = Kind::new("", "v1", "endpoints", "Endpoints");
pub(crate) const SLICES: Kind =
    Kind::new("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice");
pub(crate) const REPLICASETS: Kind = Kind::new("apps", "v1", "replicasets", "ReplicaSet");
pub(crate) const DEPLOYMENTS: Kind = Kind::new("apps", "v1", "deployments", "Deployment");
pub(crate) const STATEFULSETS: Kind = Kind::new("apps", "v1", "statefulsets", "StatefulSet");
pub(crate) const JOBS: Kind = Kind::new("batch", "v1", "jobs", "Job");

/// When a step is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum When {
    /// As soon as the controller gets to it.
    Soon,
    /// After a stage of this length.
    After(DurationRange),
    /// Not before this time.
    At(Timestamp),
}

/// The next thing a controller does for an object.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// In words; a plan that says the same again is the same step, whose time is kept.
    pub(crate) what: String,
    pub(crate) when: When,
    pub(crate) ask: Ask,
}

/// A request of a controller.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: http::Method,
    path: String,
    body: Value,
}

impl Ask {
    /// POST.
    pub(crate) fn create(kind: Kind, namespace: &str, body: Value) -> Ask {
        Ask {
            method: http::Method::POST,
            path: kind.path(namespace),
            body,
        }
    }

    /// PUT of an object as the controller has seen it, changed; its resourceVersion is kept.
    pub(crate) fn update(kind: Kind, object: &Object, value: Value) -> Ask {
        Ask {
            method: http::Method::PUT,
            path: format!("{}/{}", kind.path(object.namespace()), object.name()),
            body: value,
        }
    }

    /// PUT or POST below an object.
    pub(crate) fn below(kind: Kind, object: &Object, part: &str, value: Value) -> Ask {
        let mut ask = Ask::update(kind, object, value);
        if part == "binding" {
            ask.method = http::Method::POST;
        }
        ask.path = format!("{}/{part}", ask.path);
        ask
    }

    /// DELETE of exactly this object.
    pub(crate) fn delete(kind: Kind, object: &Object, grace_seconds: Option<i64>) -> Ask {
        let mut options = fake_apiserver::json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": object.uid()},
        });
        match grace_seconds {
            Some(seconds) => options.set(&["gracePeriodSeconds"], seconds),
            None => options.set(&["propagationPolicy"], "Background"),
        }
        Ask {
            method: http::Method::DELETE,
            path: format!("{}/{}", kind.path(object.namespace()), object.name()),
            body: options,
        }
    }

    /// As the server takes it.
    pub(crate) fn request(&self, manager: &str) -> Option<http::Request<Bytes>> {
        let query = match self.method {
            http::Method::DELETE => String::new(),
            _ => format!("?fieldManager={manager}"),
        };
        http::Request::builder()
            .method(self.method.clone())
            .uri(format!("{}{query}", self.path))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(json::to_vec(&self.body)))
            .ok()
    }
}

/// A controller.
pub(crate) trait Control {
    /// What it watches; the first is what it looks after.
    fn watches(&self) -> &'static [Kind];

    /// Its name as a field manager.
    fn manager(&self) -> &'static str {
        "kube-controller-manager"
    }

    /// The objects that it looks at again because another kind's object changed: its controller, unless said otherwise.
    fn concerned(&self, _seen: &Seen, _of: Kind, object: &Object) -> Vec<Key> {
        let kind = self.watches()[0].kind;
        let owner = objects::controller(object.value()).filter(|owner| owner.kind == kind);
        let key = owner.map(|owner| Key::new(object.namespace(), owner.name));
        key.into_iter().collect()
    }

    /// What it does next for an object; nothing if all is as it should be.
    fn next(&mut self, seen: &Seen, key: &Key, now: Timestamp) -> Option<Step>;
}

/// What a stand-in has seen of the cluster.
#[derive(Default)]
pub(crate) struct Seen {
    sets: BTreeMap<&'static str, BTreeMap<Key, Arc<Object>>>,
}

impl Seen {
    pub(crate) fn get(&self, kind: Kind, key: &Key) -> Option<&Arc<Object>> {
        self.sets.get(kind.plural)?.get(key)
    }

    pub(crate) fn in_namespace<'a>(
        &'a self,
        kind: Kind,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        let (from, to) = Key::namespace_range(namespace);
        let set = self.sets.get(kind.plural);
        set.into_iter()
            .flat_map(move |set| set.range(from.clone()..to.clone()))
            .map(|(_, object)| object)
    }

    /// The objects that one controls.
    pub(crate) fn controlled_by<'a>(
        &'a self,
        kind: Kind,
        owner: &'a Object,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        self.in_namespace(kind, owner.namespace()).filter(|object| {
            objects::controller(object.value()).is_some_and(|of| of.uid == owner.uid())
        })
    }
}

/// A view of one resource that follows a watch cache at its own pace.
pub(crate) struct Informer {
    kind: Kind,
    resource: ResourceId,
    /// The last write seen.
    seen: u64,
}

/// A step that waits for its time.
pub(crate) struct Offered {
    pub(crate) number: u64,
    pub(crate) step: Step,
    pub(crate) cause: Option<StepId>,
}

/// Why a key is left alone for now.
#[derive(Default)]
struct Hold {
    /// Until its informers have seen these revisions, by informer.
    until_seen: BTreeMap<usize, u64>,
    /// Until the object or something that concerns it changes.
    until_changed: bool,
    /// Until the API server has answered.
    until_answered: bool,
    not_before: Option<Timestamp>,
    tries: u32,
}

/// A controller with its view and its queue.
pub(crate) struct StandIn {
    pub(crate) name: &'static str,
    pub(crate) pace: Pace,
    control: Box<dyn Control>,
    pub(crate) informers: Vec<Informer>,
    seen: Seen,
    dirty: BTreeMap<Key, Option<StepId>>,
    holds: BTreeMap<Key, Hold>,
    pub(crate) offers: BTreeMap<Key, Offered>,
}

/// What changed of a stand-in's plan.
pub(crate) enum Plan {
    /// A new step is offered.
    Offer {
        key: Key,
        step: Step,
        cause: Option<StepId>,
    },
    /// A step is not offered any more.
    Drop { number: u64 },
}

impl StandIn {
    fn new(
        name: &'static str,
        pace: Pace,
        control: Box<dyn Control>,
        server: &ApiServer,
    ) -> StandIn {
        let mut informers = Vec::new();
        let mut seen = Seen::default();
        let mut dirty = BTreeMap::new();
        for (at, kind) in control.watches().iter().enumerate() {
            let Some(row) = server
                .registry()
                .find(kind.group, kind.version, kind.plural)
            else {
                continue;
            };
            informers.push(Informer {
                kind: *kind,
                resource: row.id,
                seen: server.store().revision(),
            });
            let objects = server.store().objects(row.id);
            let objects: BTreeMap<Key, Arc<Object>> = objects
                .map(|(key, object)| (key.clone(), object.clone()))
                .collect();
            if at == 0 {
                dirty.extend(objects.keys().map(|key| (key.clone(), None)));
            }
            seen.sets.insert(kind.plural, objects);
        }
        StandIn {
            name,
            pace,
            control,
            informers,
            seen,
            dirty,
            holds: BTreeMap::new(),
            offers: BTreeMap::new(),
        }
    }

    /// The next write that an informer could see.
    pub(crate) fn ahead<'a>(
        &self,
        server: &'a ApiServer,
        informer: usize,
    ) -> Option<&'a Arc<Entry>> {
        let informer = &self.informers[informer];
        let entry = server
            .store()
            .history_since(informer.resource, informer.seen)
            .next()?;
        let cached = server.core().caches.applied(SERVER, informer.resource);
        (entry.revision <= cached).then_some(entry)
    }

    /// An informer sees the next write.
    pub(crate) fn see(&mut self, at: usize, entry: &Arc<Entry>, cause: Option<StepId>) {
        let informer = &mut self.informers[at];
        informer.seen = entry.revision;
        let kind = informer.kind;
        let set = self.seen.sets.entry(kind.plural).or_default();
        match entry.new() {
            Some(object) => set.insert(entry.key.clone(), object.clone()),
            None => set.remove(&entry.key),
        };
        let mut keys = BTreeSet::new();
        if kind == self.control.watches()[0] {
            keys.insert(entry.key.clone());
        } else {
            let objects = entry.old.iter().chain([&entry.object]);
            keys.extend(
                objects.flat_map(|object| self.control.concerned(&self.seen, kind, object)),
            );
        }
        for key in keys {
            if let Some(hold) = self.holds.get_mut(&key) {
                hold.until_changed = false;
                hold.not_before = None;
            }
            self.dirty.insert(key, cause);
        }
        for (key, hold) in &mut self.holds {
            let was = hold.until_seen.len();
            hold.until_seen
                .retain(|of, revision| *of != at || *revision > entry.revision);
            if hold.until_seen.len() < was {
                self.dirty.entry(key.clone()).or_insert(cause);
            }
        }
    }

    /// Plans anew for what has changed.
    pub(crate) fn plan(&mut self, now: Timestamp) -> Vec<Plan> {
        let mut plans = Vec::new();
        while let Some((key, cause)) = self.dirty.pop_first() {
            let hold = self.holds.get(&key);
            let held = hold.is_some_and(|hold| {
                !hold.until_seen.is_empty() || hold.until_changed || hold.until_answered
            });
            let mut next = match held {
                true => None,
                false => self.control.next(&self.seen, &key, now),
            };
            if let (Some(step), Some(at)) = (&mut next, hold.and_then(|hold| hold.not_before)) {
                step.when = When::At(at);
            }
            let same = |offered: &Offered, step: &Step| offered.step.what == step.what;
            match (self.offers.get_mut(&key), next) {
                (Some(offered), Some(step)) if same(offered, &step) => offered.step.ask = step.ask,
                (offered, next) => {
                    if let Some(offered) = offered {
                        let number = offered.number;
                        self.offers.remove(&key);
                        plans.push(Plan::Drop { number });
                    }
                    if let Some(step) = next {
                        plans.push(Plan::Offer { key, step, cause });
                    }
                }
            }
        }
        plans
    }

    /// The plural that an informer watches.
    pub(crate) fn plural_of(&self, informer: usize) -> &'static str {
        self.informers[informer].kind.plural
    }

    /// A step is offered under a number.
    pub(crate) fn offer(&mut self, key: Key, number: u64, step: Step, cause: Option<StepId>) {
        let offered = Offered {
            number,
            step,
            cause,
        };
        self.offers.insert(key, offered);
    }

    /// The step of that number is done now: with the times of now in what it writes.
    pub(crate) fn take(&mut self, number: u64, now: Timestamp) -> Option<(Key, Offered)> {
        let of = self
            .offers
            .iter()
            .find(|(_, offered)| offered.number == number);
        let key = of.map(|(key, _)| key.clone())?;
        let mut offered = self.offers.remove(&key)?;
        if let Some(step) = self.control.next(&self.seen, &key, now) {
            offered.step.ask = step.ask;
        }
        self.holds.entry(key.clone()).or_default().until_answered = true;
        Some((key, offered))
    }

    /// The API server has answered a step.
    pub(crate) fn answered(
        &mut self,
        key: &Key,
        status: u16,
        ended: bool,
        writes: &[Arc<Entry>],
        now: Timestamp,
    ) {
        let informers = &self.informers;
        let hold = self.holds.entry(key.clone()).or_default();
        hold.until_answered = false;
        hold.not_before = None;
        if status < 300 {
            hold.tries = 0;
            for entry in writes {
                let at = informers
                    .iter()
                    .position(|one| one.resource == entry.resource);
                if let Some(at) = at.filter(|at| informers[*at].seen < entry.revision) {
                    hold.until_seen.insert(at, entry.revision);
                }
            }
            // What changed nothing is not asked again before something else does.
            hold.until_changed = writes.is_empty();
        } else {
            hold.tries += 1;
            if ended || hold.tries > TRIES_MAX {
                hold.until_changed = true;
            } else {
                let wait_us = 1_000_000_i64 << (hold.tries - 1);
                hold.not_before = Some(Timestamp(now.0 + wait_us));
            }
        }
        self.dirty.entry(key.clone()).or_insert(None);
    }
}

/// The stand-ins of a setup.
pub(crate) fn stand_ins(actors: &[Actor], server: &ApiServer) -> Vec<StandIn> {
    let mut list = Vec::new();
    for actor in actors {
        let (pace, control): (Pace, Box<dyn Control>) = match actor {
            Actor::GarbageCollector | Actor::Namespaces => continue,
            Actor::Pods(stages) => (stages.pace, Box::new(pods::Pods::new(stages.clone()))),
            Actor::ReplicaSets(pace) => (*pace, Box::<replicasets::ReplicaSets>::default()),
            Actor::Deployments(pace) => (*pace, Box::new(deployments::Deployments)),
            Actor::StatefulSets(pace) => (*pace, Box::new(statefulsets::StatefulSets)),
            Actor::Jobs(pace) => (*pace, Box::<jobs::Jobs>::default()),
            Actor::PersistentVolumeClaims(stages) => {
                (stages.pace, Box::new(claims::Claims::new(*stages)))
            }
            Actor::Endpoints(pace) => (*pace, Box::new(endpoints::EndpointLists)),
        };
        list.push(StandIn::new(actor.name(), pace, control, server));
    }
    list
}

impl StandIn {
    /// The name under which it writes.
    pub(crate) fn manager(&self) -> &'static str {
        self.control.manager()
    }
}
