//! Watch caches: one cursor into the log per (server, resource), and the window of history each keeps (W7).
//!
//! A cache has seen every write to its resource up to its cursor. Writes to other resources move it along (the real cache
//! asks storage for progress), so a cache with nothing pending is as new as the store.
//! Simplification: windows never shrink; a real one halves when idle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Entry, Store};
use crate::registry::ResourceId;
use crate::server::ServerId;

/// Smallest window.
const CAPACITY_MIN: usize = 100;
/// Largest window.
const CAPACITY_MAX: usize = 102_400;
/// A full window younger than this grows.
const FRESH: Duration = Duration::from_secs(75);

#[derive(Clone, Debug)]
struct Cache {
    /// Revision of the last write applied.
    applied: u64,
    /// Watches from below this revision are too old.
    floor: u64,
    held: usize,
    capacity: usize,
}

/// The caches of all servers.
#[derive(Clone, Debug)]
pub struct Caches {
    servers: u32,
    /// Revision at which all caches began.
    began: u64,
    caches: BTreeMap<(ServerId, ResourceId), Cache>,
    /// Caches with writes to apply.
    pending: BTreeSet<(ServerId, ResourceId)>,
}

impl Caches {
    /// Caches of this many servers, all beginning at a revision.
    pub fn new(servers: u32, began: u64) -> Caches {
        Caches {
            servers: servers.max(1),
            began,
            caches: BTreeMap::new(),
            pending: BTreeSet::new(),
        }
    }

    /// Number of servers.
    pub fn servers(&self) -> u32 {
        self.servers
    }

    /// A write happened: every server's cache of the resource has something to apply.
    pub(crate) fn notice(&mut self, entry: &Entry) {
        for server in 0..self.servers {
            self.pending.insert((ServerId(server), entry.resource));
        }
    }

    /// Caches with writes to apply, in order.
    pub fn pending(&self) -> impl Iterator<Item = (ServerId, ResourceId)> {
        self.pending.iter().copied()
    }

    /// The next write a cache has not applied.
    pub fn next<'s>(
        &self,
        store: &'s Store,
        server: ServerId,
        resource: ResourceId,
    ) -> Option<&'s Arc<Entry>> {
        if !self.pending.contains(&(server, resource)) {
            return None;
        }
        let applied = self.applied(server, resource);
        store.history_since(resource, applied).next()
    }

    /// Applies the next write to a cache and returns it.
    pub(crate) fn advance(
        &mut self,
        store: &Store,
        server: ServerId,
        resource: ResourceId,
    ) -> Option<Arc<Entry>> {
        let applied = self.applied(server, resource);
        let mut ahead = store.history_since(resource, applied);
        let entry = ahead.next().cloned();
        let more = ahead.next().is_some();
        if !more {
            self.pending.remove(&(server, resource));
        }
        let entry = entry?;
        let began = self.began;
        let cache = self
            .caches
            .entry((server, resource))
            .or_insert_with(|| Cache::new(began));
        cache.applied = entry.revision;
        if cache.held == cache.capacity {
            let mut held = store.history_since(resource, cache.floor);
            let oldest = held.next();
            let fresh = oldest.is_none_or(|oldest| entry.time - oldest.time < FRESH);
            if fresh && cache.capacity < CAPACITY_MAX {
                cache.capacity *= 2;
            } else {
                cache.held -= 1;
                cache.floor = held.next().map_or(entry.revision, |next| next.revision) - 1;
            }
        }
        cache.held += 1;
        Some(entry)
    }

    /// The revision of the last write a cache has applied: what it tells readers that take anything.
    pub fn applied(&self, server: ServerId, resource: ResourceId) -> u64 {
        let cache = self.caches.get(&(server, resource));
        cache.map_or(self.began, |cache| cache.applied)
    }

    /// The revision a cache stands at: what it has applied, or the store's own when nothing is pending.
    pub fn revision(&self, store: &Store, server: ServerId, resource: ResourceId) -> u64 {
        self.next(store, server, resource)
            .map_or(store.revision(), |entry| entry.revision - 1)
    }

    /// Watches from below this revision are refused (W6).
    pub fn floor(&self, server: ServerId, resource: ResourceId) -> u64 {
        let cache = self.caches.get(&(server, resource));
        cache.map_or(self.began, |cache| cache.floor)
    }

    /// The oldest revision any cache of the resource still needs.
    pub(crate) fn oldest_needed(&self, resource: ResourceId) -> u64 {
        (0..self.servers)
            .map(|server| {
                let cache = self.caches.get(&(ServerId(server), resource));
                cache.map_or(self.began, |cache| cache.floor.min(cache.applied))
            })
            .min()
            .unwrap_or(0)
    }

    /// A new resource: its caches begin now, nothing older can be watched.
    pub(crate) fn begin(&mut self, resource: ResourceId, revision: u64) {
        for server in 0..self.servers {
            let cache = Cache::new(revision);
            self.caches.insert((ServerId(server), resource), cache);
        }
    }
}

impl Cache {
    fn new(began: u64) -> Cache {
        Cache {
            applied: began,
            floor: began,
            held: 0,
            capacity: CAPACITY_MIN,
        }
    }
}
