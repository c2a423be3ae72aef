//! The state behind the requests: registry, storage, caches, watches, controllers, and the one way to write.
//!
//! Owns that every write is noticed by everybody who has to (caches, collector, namespace controller, registry).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::watch::Watch;
use super::{Config, Cx, Output, RequestId, ServerId, WatchId};
use crate::actors::{Actors, Chore};
use crate::json;
use crate::json::{CompactString, Value};
use crate::registry::{Registry, Resource, ResourceId, api_version};
use crate::store::cache::Caches;
use crate::store::{Entry, Key, Origin, Store};
use crate::time::Timestamp;

/// The state of a cluster.
#[derive(Debug)]
pub struct Core {
    /// How the cluster is made.
    pub config: Config,
    /// Served resources.
    pub registry: Registry,
    /// Stored objects.
    pub store: Store,
    /// Watch caches.
    pub caches: Caches,
    pub(crate) actors: Actors,
    pub(crate) watches: BTreeMap<WatchId, Watch>,
    /// Watches by what they follow.
    pub(crate) by_cache: BTreeMap<(ServerId, ResourceId), BTreeSet<WatchId>>,
    /// Watches by when they end.
    pub(crate) watch_ends: BTreeSet<(Timestamp, WatchId)>,
    pub(crate) outputs: Vec<Output>,
    /// First events of a watch: they follow the output that opens it.
    pub(crate) outputs_after_open: Vec<Output>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

impl Core {
    pub(super) fn new(config: &Config, base: Store) -> Core {
        Core {
            config: config.clone(),
            registry: Registry::new(),
            caches: Caches::new(config.servers, base.revision()),
            actors: Actors::new(config, base.revision()),
            store: base,
            watches: BTreeMap::new(),
            by_cache: BTreeMap::new(),
            watch_ends: BTreeSet::new(),
            outputs: Vec::new(),
            outputs_after_open: Vec::new(),
        }
    }

    /// The same cluster, with no watch open.
    pub(super) fn copy(&self) -> Core {
        Core {
            config: self.config.clone(),
            registry: self.registry.clone(),
            store: self.store.clone(),
            caches: self.caches.clone(),
            actors: self.actors.clone(),
            watches: BTreeMap::new(),
            by_cache: BTreeMap::new(),
            watch_ends: BTreeSet::new(),
            outputs: Vec::new(),
            outputs_after_open: Vec::new(),
        }
    }

    /// Stores an object.
    pub fn put(
        &mut self,
        row: &Resource,
        key: Key,
        value: Value,
        origin: Origin,
        now: Timestamp,
    ) -> Arc<Entry> {
        let entry = self.store.put(row.id, key, value, origin, now);
        self.noticed(&entry);
        entry
    }

    /// Stores an object together with what a conversion webhook made of it.
    pub(crate) fn put_with_views(
        &mut self,
        row: &Resource,
        key: Key,
        (value, views): (Value, Vec<(CompactString, Value)>),
        origin: Origin,
        now: Timestamp,
    ) -> Arc<Entry> {
        let entry = self
            .store
            .put_with_views(row.id, key, value, views, origin, now);
        self.noticed(&entry);
        entry
    }

    /// Deletes an object.
    pub fn delete(
        &mut self,
        row: &Resource,
        key: &Key,
        origin: Origin,
        now: Timestamp,
    ) -> Option<Arc<Entry>> {
        let entry = self.store.delete(row.id, key, origin, now)?;
        self.noticed(&entry);
        Some(entry)
    }

    fn noticed(&mut self, entry: &Arc<Entry>) {
        self.caches.notice(entry);
        Actors::observe(self, entry);
        let cached = self
            .registry
            .by_id(entry.resource)
            .is_none_or(|row| row.facts.cached);
        if self.config.caches_follow || !cached {
            for server in 0..self.caches.servers() {
                self.advance_cache(ServerId(server), entry.resource);
            }
        }
    }

    /// Lets a cache see one more write, and its watches with it.
    pub(crate) fn advance_cache(&mut self, server: ServerId, resource: ResourceId) {
        if let Some(entry) = self.caches.advance(&self.store, server, resource) {
            self.fan_out(server, &entry);
        }
    }

    /// Caches with something to see.
    fn advances(&self) -> impl Iterator<Item = Chore> {
        let pending = self.caches.pending();
        pending.map(|(server, resource)| Chore::Advance { server, resource })
    }

    /// The first chore without which the cluster does not come to rest.
    pub(super) fn next_settling(&self, now: Timestamp) -> Option<Chore> {
        self.advances().chain(self.actors.settling(now)).next()
    }

    /// Chores that could be done now.
    pub(super) fn chores(&self, now: Timestamp) -> Vec<Chore> {
        let mut chores: Vec<Chore> = self.advances().collect();
        self.actors.chores(self, now, &mut chores);
        chores
    }

    pub(super) fn perform(&mut self, cx: &mut Cx<'_>, chore: &Chore) {
        match chore {
            Chore::Advance { server, resource } => self.advance_cache(*server, *resource),
            Chore::Bookmark { watch } => self.bookmark(*watch),
            other => Actors::perform(self, cx, other),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let watch = self.watch_ends.first().map(|(end, _)| *end);
        let actors = self.actors.next_deadline(&self.config);
        watch.into_iter().chain(actors).min()
    }

    pub(super) fn advance(&mut self, cx: &mut Cx<'_>) {
        let late = self.watch_ends.iter();
        let late = late.take_while(|(end, _)| *end <= cx.now);
        let late: BTreeSet<WatchId> = late.map(|(_, id)| *id).collect();
        for watch in late {
            self.close_watch(watch);
            self.outputs.push(Output::Ended { watch });
        }
    }

    /// Forgets revisions older than this one.
    pub fn compact(&mut self, revision: u64) {
        let caches = &self.caches;
        self.store
            .compact(revision, |resource| caches.oldest_needed(resource));
    }

    /// A change of a controller as it is stored: with its fields managed.
    pub(crate) fn tracked(
        &self,
        row: &Resource,
        subresource: &str,
        live: &Value,
        mut new: Value,
        manager: &str,
        now: Timestamp,
    ) -> Value {
        let registry = &self.registry;
        super::managed::track_actor(registry, now, row, subresource, live, &mut new, manager);
        new
    }

    /// The row of an object's kind, if it is served.
    pub fn row_of_kind(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        let (group, version) = crate::registry::split_api_version(api_version);
        self.registry.find_kind(group, version, kind).cloned()
    }

    /// A live object by row and place.
    pub fn object(
        &self,
        row: &Resource,
        namespace: &str,
        name: &str,
    ) -> Option<&Arc<crate::store::Object>> {
        let namespace = if row.namespaced { namespace } else { "" };
        self.store.get(row.id, &Key::new(namespace, name))
    }
}

/// The objects a cluster is born with: its namespaces and the roles everybody has.
pub(super) fn bootstrap() -> Store {
    let mut store = Store::new();
    let registry = Registry::new();
    let began = Config::default().began;
    let origin = Origin::Request(RequestId(0));
    let row = registry
        .find("", "v1", "namespaces")
        .expect("namespaces are built in");
    for (n, name) in ["kube-system", "kube-public", "kube-node-lease", "default"]
        .into_iter()
        .enumerate()
    {
        let value = json!({
            "apiVersion": api_version("", "v1"),
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "uid": crate::ids::uid_from(0, n as u64 + 1),
                "creationTimestamp": began.rfc3339(),
                "labels": {"kubernetes.io/metadata.name": name},
            },
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        });
        store.put(row.id, Key::new("", name), value, origin.clone(), began);
    }
    let roles = crate::auth::bootstrap().into_iter();
    let born = roles.chain(crate::admission::plugins::bootstrap());
    for (n, (plural, mut value)) in born.enumerate() {
        let (group, version) = crate::registry::split_api_version(value.str_at(&["apiVersion"]));
        let row = registry
            .find(group, version, plural)
            .expect("bootstrap kinds are built in");
        let name = value.str_at(&["metadata", "name"]).to_owned();
        value.set(&["metadata", "uid"], crate::ids::uid_from(1, n as u64 + 1));
        value.set(&["metadata", "creationTimestamp"], began.rfc3339());
        store.put(row.id, Key::new("", &name), value, origin.clone(), began);
    }
    store.rebase();
    store
}
