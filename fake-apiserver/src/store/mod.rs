//! Storage: one revision counter, live objects by key, an append-only log, compaction.
//!
//! Owns what etcd owns for a real server: every write takes the next revision and appends one [`Entry`]; reads may be at any
//! revision that is not compacted (served by undoing the log). Does not own caches (`store::cache`), watches (`server`) nor
//! what is written.
//! A store is cheap to copy: sets of objects are shared until written.

pub mod cache;
mod object;
mod view;

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub(crate) use object::tail_of;
pub use object::{Key, Object};
pub use view::View;

use crate::json::{CompactString, Value};
use crate::registry::ResourceId;
use crate::server::RequestId;
use crate::time::Timestamp;

/// Who made a write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A client's request.
    Request(RequestId),
    /// An actor inside the cluster, by name (`garbage-collector`, `namespace-controller`, …).
    Actor(&'static str),
}

/// One write.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The revision it made.
    pub revision: u64,
    /// The set of objects.
    pub resource: ResourceId,
    /// The object's key.
    pub key: Key,
    /// The object before, `None` = created.
    pub old: Option<Arc<Object>>,
    /// The object after. After a deletion this is the last state with the deletion's revision (W9).
    pub object: Arc<Object>,
    /// True if the object is gone now.
    pub deleted: bool,
    /// Who wrote.
    pub origin: Origin,
    /// When.
    pub time: Timestamp,
}

impl Entry {
    /// The object after the write, `None` = deleted.
    #[expect(clippy::new_ret_no_self, reason = "new is the counterpart of old here")]
    pub fn new(&self) -> Option<&Arc<Object>> {
        (!self.deleted).then_some(&self.object)
    }

    /// uid of the object.
    pub fn uid(&self) -> &str {
        self.object.uid()
    }
}

/// One set of objects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collection {
    pub(crate) live: BTreeMap<Key, Arc<Object>>,
    /// Writes to this set, oldest first; at least those after the compaction.
    pub(crate) history: VecDeque<Arc<Entry>>,
}

/// All stored objects.
#[derive(Clone, Debug)]
pub struct Store {
    revision: u64,
    compacted: u64,
    collections: BTreeMap<ResourceId, Arc<Collection>>,
    log: VecDeque<Arc<Entry>>,
}

impl Store {
    /// An empty store whose next write is revision 2 (etcd starts at 1).
    pub fn new() -> Store {
        Store {
            revision: 1,
            compacted: 0,
            collections: BTreeMap::new(),
            log: VecDeque::new(),
        }
    }

    /// The revision of the last write.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Reads below this revision are gone.
    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    /// The live object of a key.
    pub fn get(&self, resource: ResourceId, key: &Key) -> Option<&Arc<Object>> {
        self.collections.get(&resource)?.live.get(key)
    }

    /// Live objects in key order.
    pub fn objects(&self, resource: ResourceId) -> impl Iterator<Item = (&Key, &Arc<Object>)> {
        let collection = self.collections.get(&resource);
        collection.into_iter().flat_map(|set| set.live.iter())
    }

    /// Live objects of a namespace in key order.
    pub fn in_namespace<'a>(
        &'a self,
        resource: ResourceId,
        namespace: &str,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Object>)> {
        let (from, to) = Key::namespace_range(namespace);
        let collection = self.collections.get(&resource);
        collection
            .into_iter()
            .flat_map(move |set| set.live.range(from.clone()..to.clone()))
    }

    /// Number of live objects.
    pub fn len(&self, resource: ResourceId) -> usize {
        self.collections
            .get(&resource)
            .map_or(0, |set| set.live.len())
    }

    /// Sets of objects that were ever written.
    pub fn resources(&self) -> impl Iterator<Item = ResourceId> {
        self.collections.keys().copied()
    }

    /// All writes after a revision, in order, as far as they are kept.
    pub fn log_since(&self, revision: u64) -> impl Iterator<Item = &Arc<Entry>> {
        self.log.range(first_after(&self.log, revision)..)
    }

    /// Writes to one set after a revision, in order.
    pub fn history_since(
        &self,
        resource: ResourceId,
        revision: u64,
    ) -> impl DoubleEndedIterator<Item = &Arc<Entry>> {
        let collection = self.collections.get(&resource);
        collection.into_iter().flat_map(move |set| {
            let from = first_after(&set.history, revision);
            set.history.range(from..)
        })
    }

    /// The objects of a set as they were at a revision (which must not be compacted, nor in the future).
    pub fn at(&self, resource: ResourceId, revision: u64) -> View<'_> {
        View::new(self.collections.get(&resource).map(|set| &**set), revision)
    }

    /// Writes an object: creates or replaces it. Sets `metadata.resourceVersion`.
    pub(crate) fn put(
        &mut self,
        resource: ResourceId,
        key: Key,
        value: Value,
        origin: Origin,
        time: Timestamp,
    ) -> Arc<Entry> {
        let old = self.get(resource, &key);
        let views = old.map(|old| old.views_with_metadata(&value["metadata"]));
        let views = views.unwrap_or_default();
        self.put_with_views(resource, key, value, views, origin, time)
    }

    /// Writes an object together with what a conversion webhook made of it.
    pub(crate) fn put_with_views(
        &mut self,
        resource: ResourceId,
        key: Key,
        mut value: Value,
        views: Vec<(CompactString, Value)>,
        origin: Origin,
        time: Timestamp,
    ) -> Arc<Entry> {
        self.revision += 1;
        set_revision(&mut value, self.revision);
        let revision = self.revision;
        let set = self.collection(resource);
        let (old, object) = match set.live.entry(key.clone()) {
            Slot::Occupied(mut slot) => {
                let object = Object::after(value, revision, slot.get()).with_views(views);
                let object = Arc::new(object);
                (Some(slot.insert(object.clone())), object)
            }
            Slot::Vacant(slot) => {
                let object = Arc::new(Object::new(value, revision).with_views(views));
                (None, slot.insert(object).clone())
            }
        };
        self.append(Entry {
            revision,
            resource,
            key,
            old,
            object,
            deleted: false,
            origin,
            time,
        })
    }

    /// Deletes an object; `None` if there was none.
    pub(crate) fn delete(
        &mut self,
        resource: ResourceId,
        key: &Key,
        origin: Origin,
        time: Timestamp,
    ) -> Option<Arc<Entry>> {
        let old = self.collection(resource).live.remove(key)?;
        self.revision += 1;
        Some(self.append(Entry {
            revision: self.revision,
            resource,
            key: key.clone(),
            object: Arc::new(old.with_revision(self.revision)),
            old: Some(old),
            deleted: true,
            origin,
            time,
        }))
    }

    /// Forgets what is older than a revision.
    pub(crate) fn compact(&mut self, revision: u64, keep: impl Fn(ResourceId) -> u64) {
        self.compacted = self.compacted.max(revision.min(self.revision));
        let compacted = self.compacted;
        let cut = |history: &mut VecDeque<Arc<Entry>>, limit: u64| {
            let gone = history.partition_point(|entry| entry.revision <= limit);
            history.drain(..gone);
        };
        cut(&mut self.log, compacted);
        for (resource, set) in &mut self.collections {
            let limit = compacted.min(keep(*resource));
            if set
                .history
                .front()
                .is_some_and(|entry| entry.revision <= limit)
            {
                cut(&mut Arc::make_mut(set).history, limit);
            }
        }
    }

    /// Makes what is stored now the beginning: no log, nothing older readable. Used for the shared base.
    pub(crate) fn rebase(&mut self) {
        self.log.clear();
        for set in self.collections.values_mut() {
            Arc::make_mut(set).history.clear();
        }
        self.compacted = self.revision;
    }

    fn collection(&mut self, resource: ResourceId) -> &mut Collection {
        Arc::make_mut(self.collections.entry(resource).or_default())
    }

    fn append(&mut self, entry: Entry) -> Arc<Entry> {
        let entry = Arc::new(entry);
        let set = self.collection(entry.resource);
        set.history.push_back(entry.clone());
        // Invariant: revisions strictly increase along the log.
        debug_assert!(
            self.log
                .back()
                .is_none_or(|last| last.revision < entry.revision)
        );
        self.log.push_back(entry.clone());
        entry
    }
}

impl Default for Store {
    fn default() -> Store {
        Store::new()
    }
}

/// Where the writes after a revision begin. Whoever asks has mostly seen all but the last few, so it is looked for from the
/// end: a search by halves would read a dozen old entries, none of them in any cache.
fn first_after(entries: &VecDeque<Arc<Entry>>, revision: u64) -> usize {
    let (mut low, mut high, mut step) = (entries.len(), entries.len(), 1);
    while low > 0 && entries[low - 1].revision > revision {
        high = low;
        low = low.saturating_sub(step);
        step *= 2;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if entries[middle].revision <= revision {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn set_revision(value: &mut Value, revision: u64) {
    let text = itoa(revision);
    value
        .make_object()
        .object("metadata")
        .insert("resourceVersion", text);
}

/// A revision as clients see it.
pub fn itoa(revision: u64) -> CompactString {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = revision;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return CompactString::from_utf8(&digits[start..]).expect("digits are ASCII");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    const SET: ResourceId = ResourceId(3);

    fn put(store: &mut Store, name: &str, n: i64) -> u64 {
        let value = json!({"metadata": {"name": name}, "n": n});
        store
            .put(
                SET,
                Key::new("x", name),
                value,
                Origin::Actor("test"),
                Timestamp(0),
            )
            .revision
    }

    fn names(view: &View<'_>) -> Vec<String> {
        let items = view.range(None, None);
        items
            .map(|(key, o)| format!("{}={}", key.name(), o.value()["n"]))
            .collect()
    }

    #[test]
    fn h7_reads_at_a_revision_are_exact() {
        let mut store = Store::new();
        let first = put(&mut store, "a", 1);
        put(&mut store, "b", 1);
        let third = put(&mut store, "a", 2);
        store.delete(
            SET,
            &Key::new("x", "b"),
            Origin::Actor("test"),
            Timestamp(0),
        );
        assert_eq!(names(&store.at(SET, first)), ["a=1"]);
        assert_eq!(names(&store.at(SET, third)), ["a=2", "b=1"]);
        assert_eq!(names(&store.at(SET, store.revision())), ["a=2"]);
    }

    #[test]
    fn w9_a_deletion_carries_the_last_state_with_its_own_revision() {
        let mut store = Store::new();
        put(&mut store, "a", 1);
        let key = Key::new("x", "a");
        let entry = store
            .delete(SET, &key, Origin::Actor("test"), Timestamp(0))
            .unwrap();
        assert!(entry.deleted);
        assert_eq!(
            entry
                .object
                .value()
                .str_at(&["metadata", "resourceVersion"]),
            entry.revision.to_string()
        );
        assert_eq!(entry.object.value()["n"], json!(1));
    }

    #[test]
    fn writes_after_a_revision_are_found_wherever_they_begin() {
        let mut store = Store::new();
        let revisions: Vec<u64> = (0..40).map(|n| put(&mut store, "a", n)).collect();
        for from in 0..=revisions[39] + 1 {
            let later = revisions.iter().filter(|revision| **revision > from);
            let found = store.log_since(from).map(|entry| &entry.revision);
            assert!(found.eq(later.clone()), "after {from}");
            let found = store.history_since(SET, from);
            assert!(found.map(|entry| &entry.revision).eq(later), "after {from}");
        }
    }
}
