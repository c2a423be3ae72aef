//! The garbage collector (I): dependents of owners that are gone, foreground deletion, orphaning.
//!
//! Owns the graph of owner references and the queue of objects to look at. An object gets into the queue by a write (its own
//! or its owner's) and out of it by being looked at; only then are owners looked up, as the real collector does.
//! Source: kube-controller-manager `pkg/controller/garbagecollector`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Chore;
use crate::ids::Ids;
use crate::json;
use crate::json::{CompactString, Value};
use crate::registry::{Resource, ResourceId};
use crate::request::{DeleteOptions, WriteOptions};
use crate::server::{Change, Core, FOREGROUND, Halt, ORPHAN, Session, delete_one, store_change};
use crate::status::go_quote;
use crate::store::{Entry, Key, Object, itoa};
use crate::time::Timestamp;

const ACTOR: &str = "garbage-collector";
/// How long something refused is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// An object with owners.
#[derive(Clone, Debug)]
struct Node {
    resource: ResourceId,
    key: Key,
    terminating: bool,
    /// Owner uid, whether it is blocked by this dependent.
    owners: Vec<(CompactString, bool)>,
}

/// The dependents that block an owner, by uid.
#[derive(Clone, Debug, Default)]
struct Blockers {
    all: BTreeSet<CompactString>,
    /// Those that looking at the owner gets looked at: neither in the queue nor terminating. Kept, so that an owner that is
    /// looked at after each of its dependents costs no more than they do.
    idle: BTreeSet<CompactString>,
}

/// The collector's state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collector {
    /// Objects with owners, by uid.
    nodes: BTreeMap<CompactString, Node>,
    /// Dependents by owner uid.
    dependents: BTreeMap<CompactString, BTreeSet<CompactString>>,
    /// Blocking dependents by owner uid.
    blockers: BTreeMap<CompactString, Blockers>,
    /// Objects to look at, by uid.
    queue: BTreeMap<CompactString, (ResourceId, Key)>,
    /// Objects of the queue that are left alone until a time.
    later: BTreeMap<CompactString, Timestamp>,
    /// Kinds of custom objects that were deleted: their owners are gone even when the kind is (the REST mapper remembers).
    gone_kinds: BTreeSet<(CompactString, CompactString)>,
    /// Where the objects of a kind are, by uid: made when a reference is first looked for in all namespaces, then kept.
    located: BTreeMap<ResourceId, BTreeMap<CompactString, CompactString>>,
    /// Owners that dependents still refer to and that are known to be nowhere: nobody has to look for them again.
    absent: BTreeSet<CompactString>,
}

fn owners(object: &Value) -> &[Value] {
    object.array_at(&["metadata", "ownerReferences"])
}

fn has_finalizer(object: &Object, name: &str) -> bool {
    let finalizers = object.value().array_at(&["metadata", "finalizers"]);
    finalizers.iter().any(|finalizer| *finalizer == *name)
}

/// True while an object waits for its dependents to go.
fn waits(object: &Object) -> bool {
    object.is_terminating() && has_finalizer(object, FOREGROUND)
}

fn blocks(reference: &Value) -> bool {
    reference["blockOwnerDeletion"] == Value::Bool(true)
}

impl Collector {
    pub(super) fn observe(core: &mut Core, entry: &Arc<Entry>) {
        if let Some(located) = core.actors.collector().located.get_mut(&entry.resource) {
            match entry.new() {
                None => drop(located.remove(entry.uid())),
                Some(new) if entry.old.is_none() => {
                    located.insert(new.uid().into(), new.namespace().into());
                }
                Some(_) => {}
            }
        }
        let old_owners = entry
            .old
            .as_ref()
            .map_or(&[][..], |old| owners(old.value()));
        let new_owners = entry.new().map_or(&[][..], |new| owners(new.value()));
        let changed = old_owners != new_owners;
        if !changed && entry.new().is_some_and(|new| !new.is_terminating()) {
            return;
        }
        let uid = CompactString::from(entry.uid());
        if changed {
            core.actors.collector().relink(entry, &uid, new_owners);
        } else {
            core.actors.collector().rest(&uid);
        }
        let place = (entry.resource, entry.key.clone());
        match entry.new() {
            None => {
                let custom = core.registry.by_id(entry.resource);
                let custom = custom.is_none_or(|row| row.is_custom());
                let collector = core.actors.collector();
                if custom {
                    let value = entry.object.value();
                    let text = |name: &str| CompactString::from(value.str_at(&[name]));
                    let kind = (text("apiVersion"), text("kind"));
                    collector.gone_kinds.insert(kind);
                }
                collector.dequeue(&uid);
                collector.later.remove(&uid);
                if collector.dependents.contains_key(&uid) {
                    collector.absent.insert(uid.clone());
                }
                collector.enqueue_dependents(&uid);
                for owner in old_owners {
                    Collector::enqueue_waiting_owner(core, &entry.key, owner);
                }
            }
            Some(new) => {
                if changed
                    && new_owners
                        .iter()
                        .any(|owner| !is_present(core, &place.1, owner))
                {
                    let collector = core.actors.collector();
                    collector.enqueue(uid.clone(), place.clone());
                }
                // An owner is freed when a reference to it goes or stops blocking.
                for before in old_owners.iter().filter(|owner| changed && blocks(owner)) {
                    let still = new_owners
                        .iter()
                        .any(|owner| owner["uid"] == before["uid"] && blocks(owner));
                    if !still {
                        Collector::enqueue_waiting_owner(core, &entry.key, before);
                    }
                }
                let was_waiting = entry.old.as_ref().is_some_and(|old| waits(old));
                if waits(new) && !was_waiting {
                    let collector = core.actors.collector();
                    collector.enqueue_dependents(&uid);
                    collector.enqueue(uid.clone(), place.clone());
                }
                let orphans =
                    |object: &Object| object.is_terminating() && has_finalizer(object, ORPHAN);
                if orphans(new) && !entry.old.as_ref().is_some_and(|old| orphans(old)) {
                    core.actors.collector().enqueue(uid, place);
                }
            }
        }
    }

    fn relink(&mut self, entry: &Entry, uid: &CompactString, owners: &[Value]) {
        if let Some(node) = self.nodes.remove(uid) {
            for (owner, _) in node.owners {
                if let Some(blockers) = self.blockers.get_mut(&owner) {
                    blockers.all.remove(uid);
                    blockers.idle.remove(uid);
                    if blockers.all.is_empty() {
                        self.blockers.remove(&owner);
                    }
                }
                if let Some(set) = self.dependents.get_mut(&owner) {
                    set.remove(uid);
                    if set.is_empty() {
                        self.dependents.remove(&owner);
                        self.absent.remove(&owner);
                    }
                }
            }
        }
        if owners.is_empty() {
            return;
        }
        let terminating = entry.object.is_terminating();
        let mut linked = Vec::with_capacity(owners.len());
        for owner in owners {
            let owner_uid = CompactString::from(owner.str_at(&["uid"]));
            let set = self.dependents.entry(owner_uid.clone()).or_default();
            set.insert(uid.clone());
            if blocks(owner) {
                let blockers = self.blockers.entry(owner_uid.clone()).or_default();
                blockers.all.insert(uid.clone());
                if !terminating && !self.queue.contains_key(uid) {
                    blockers.idle.insert(uid.clone());
                }
            }
            linked.push((owner_uid, blocks(owner)));
        }
        let node = Node {
            resource: entry.resource,
            key: entry.key.clone(),
            terminating,
            owners: linked,
        };
        self.nodes.insert(uid.clone(), node);
    }

    /// A dependent that terminates is not looked at for its owner's sake.
    fn rest(&mut self, uid: &CompactString) {
        if let Some(node) = self.nodes.get_mut(uid) {
            node.terminating = true;
            self.set_idle(uid, false);
        }
    }

    fn enqueue(&mut self, uid: CompactString, place: (ResourceId, Key)) {
        self.set_idle(&uid, false);
        self.queue.insert(uid, place);
    }

    fn dequeue(&mut self, uid: &str) -> Option<(ResourceId, Key)> {
        let place = self.queue.remove(uid)?;
        self.set_idle(uid, true);
        Some(place)
    }

    /// Keeps what its owners know of a dependent that enters the queue or leaves it.
    fn set_idle(&mut self, uid: &str, idle: bool) {
        let Some(node) = self.nodes.get(uid) else {
            return;
        };
        let idle = idle && !node.terminating;
        for (owner, _) in node.owners.iter().filter(|(_, blocks)| *blocks) {
            if let Some(blockers) = self.blockers.get_mut(owner) {
                if idle {
                    blockers.idle.insert(uid.into());
                } else {
                    blockers.idle.remove(uid);
                }
            }
        }
    }

    fn enqueue_all(&mut self, uids: BTreeSet<CompactString>) {
        for uid in uids {
            if let Some(node) = self.nodes.get(&uid) {
                let place = (node.resource, node.key.clone());
                self.enqueue(uid, place);
            }
        }
    }

    fn enqueue_dependents(&mut self, owner: &str) {
        if let Some(dependents) = self.dependents.get(owner).cloned() {
            self.enqueue_all(dependents);
        }
    }

    /// Looks again at the dependents that block an owner; false if none does.
    fn enqueue_blockers(&mut self, owner: &str) -> bool {
        let Some(blockers) = self.blockers.get_mut(owner) else {
            return false;
        };
        let idle = std::mem::take(&mut blockers.idle);
        self.enqueue_all(idle);
        true
    }

    /// Looks again at an owner in foreground deletion.
    fn enqueue_waiting_owner(core: &mut Core, dependent: &Key, reference: &Value) {
        let Some(Some((row, owner))) = find_owner(core, dependent, reference) else {
            return;
        };
        if waits(&owner) {
            let uid = CompactString::from(owner.uid());
            let key = Key::new(owner.namespace(), owner.name());
            core.actors.collector().enqueue(uid, (row.id, key));
        }
    }

    pub(super) fn chores(&self, now: Timestamp) -> impl Iterator<Item = Chore> {
        let waits = move |uid| self.later.get(uid).is_some_and(|time| *time > now);
        let queue = self.queue.iter().filter(move |(uid, _)| !waits(*uid));
        queue.map(|(uid, (resource, key))| Chore::CollectGarbage {
            resource: *resource,
            key: key.clone(),
            uid: uid.clone(),
        })
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.later.values().min().copied()
    }

    /// Looks at one object of the queue. What admission refuses is tried again later.
    pub(super) fn act(s: &mut Session<'_>, uid: &str) -> Result<(), Halt> {
        s.actor = Some(ACTOR);
        let collector = s.core.actors.collector();
        let place = match collector.dequeue(uid) {
            Some(place) => {
                collector.later.remove(uid);
                s.attempt.done = vec![place.0.0.to_string(), place.1.as_str().to_owned()];
                Some(place)
            }
            // Run again after a wait: the queue has been left already.
            None => match s.attempt.done.as_slice() {
                [resource, key] => resource
                    .parse()
                    .ok()
                    .map(|id| (ResourceId(id), Key::from_text(key))),
                _ => None,
            },
        };
        let Some((resource, key)) = place else {
            return Ok(());
        };
        let Some(row) = s.core.registry.by_id(resource).cloned() else {
            return Ok(());
        };
        let Some(object) = s.core.store.get(resource, &key).cloned() else {
            return Ok(());
        };
        if object.uid() != uid {
            return Ok(());
        }
        let result = if object.is_terminating() && has_finalizer(&object, ORPHAN) {
            orphan_dependents(s, &row, &object)
        } else if waits(&object) {
            release_if_alone(s, &row, &object)
        } else if !object.is_terminating() {
            attempt_to_delete(s, &row, &object)
        } else {
            Ok(())
        };
        match result {
            Err(Halt::Failed(_)) => {
                let later = s.now + RETRY;
                let collector = s.core.actors.collector();
                collector.enqueue(uid.into(), (resource, key));
                collector.later.insert(uid.into(), later);
                Ok(())
            }
            other => other,
        }
    }
}

/// The owner a reference names: `None` if its kind cannot be resolved, `Some(None)` if there is no such object.
fn find_owner(
    core: &Core,
    dependent: &Key,
    reference: &Value,
) -> Option<Option<(Arc<Resource>, Arc<Object>)>> {
    let api_version = reference.str_at(&["apiVersion"]);
    let kind = reference.str_at(&["kind"]);
    let Some(row) = core.row_of_kind(api_version, kind) else {
        let gone = &core.actors.collector_ref().gone_kinds;
        return gone
            .contains(&(api_version.into(), kind.into()))
            .then_some(None);
    };
    let namespace = dependent.namespace();
    if row.namespaced && namespace.is_empty() {
        return None;
    }
    let name = reference.str_at(&["name"]);
    let owner = core.object(&row, namespace, name).cloned();
    let owner = owner.filter(|owner| reference["uid"] == *owner.uid());
    Some(owner.map(|owner| (row, owner)))
}

fn is_present(core: &Core, dependent: &Key, reference: &Value) -> bool {
    matches!(find_owner(core, dependent, reference), Some(Some(_)))
}

/// I1, I2: deletes an object all of whose owners are gone, or drops the references to those that are.
fn attempt_to_delete(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    object: &Arc<Object>,
) -> Result<(), Halt> {
    let key = Key::new(object.namespace(), object.name());
    let (mut solid, mut dangling, mut waiting) = (0, Vec::new(), Vec::new());
    let references = owners(object.value());
    for reference in references {
        match find_owner(s.core, &key, reference) {
            // I7: a kind that is not known yet may be later.
            None => {
                report_wrong_namespace(s, object, reference);
                return Ok(());
            }
            Some(None) => dangling.push(reference["uid"].clone()),
            Some(Some((_, owner))) if waits(&owner) => waiting.push(reference["uid"].clone()),
            Some(Some(_)) => solid += 1,
        }
    }
    for reference in references {
        if dangling.contains(&reference["uid"]) {
            report_wrong_namespace(s, object, reference);
        }
    }
    if references.is_empty() || (dangling.is_empty() && waiting.is_empty()) {
        return Ok(());
    }
    if solid > 0 {
        let gone = |reference: &Value| {
            dangling.contains(&reference["uid"]) || waiting.contains(&reference["uid"])
        };
        return rewrite_owners(s, row, object, |owners| owners.retain(|owner| !gone(owner)));
    }
    let uid = object.uid();
    let dependents = s.core.actors.collector().dependents.get(uid).cloned();
    let policy = if !waiting.is_empty() && dependents.is_some_and(|set| !set.is_empty()) {
        // I8: in a circle nobody may wait for anybody.
        let circle = any_dependent_waits(s.core, uid);
        let mut current = object.clone();
        if circle {
            rewrite_owners(s, row, object, |owners| {
                for owner in owners {
                    if blocks(owner) {
                        owner["blockOwnerDeletion"] = Value::Bool(false);
                    }
                }
            })?;
            if let Some(now) = s.core.store.get(row.id, &key) {
                current = now.clone();
            }
        }
        return delete(s, row, &current, "Foreground");
    } else if has_finalizer(object, ORPHAN) {
        "Orphan"
    } else if has_finalizer(object, FOREGROUND) {
        "Foreground"
    } else {
        "Background"
    };
    delete(s, row, object, policy)
}

fn delete(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    object: &Arc<Object>,
    policy: &str,
) -> Result<(), Halt> {
    let options = DeleteOptions {
        propagation: Some(policy.to_owned()),
        uid: Some(object.uid().to_owned()),
        resource_version: Some(itoa(object.revision()).to_string()),
        ..DeleteOptions::default()
    };
    delete_one(s, row, object, object.name(), &options).map(|_| ())
}

fn any_dependent_waits(core: &mut Core, uid: &str) -> bool {
    dependents(core, uid)
        .iter()
        .any(|(_, object)| waits(object))
}

/// The live dependents of an owner.
fn dependents(core: &mut Core, uid: &str) -> Vec<(Arc<Resource>, Arc<Object>)> {
    let collector = core.actors.collector();
    let Some(set) = collector.dependents.get(uid) else {
        return Vec::new();
    };
    let places = set.iter().filter_map(|uid| collector.nodes.get(uid));
    let places: Vec<(ResourceId, Key)> = places
        .map(|node| (node.resource, node.key.clone()))
        .collect();
    let live = places.into_iter().filter_map(|(resource, key)| {
        let row = core.registry.by_id(resource)?.clone();
        Some((row, core.store.get(resource, &key)?.clone()))
    });
    live.collect()
}

/// I3: takes `foregroundDeletion` off an owner that no dependent blocks any more; else has the blocking ones looked at.
fn release_if_alone(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    owner: &Arc<Object>,
) -> Result<(), Halt> {
    if s.core.actors.collector().enqueue_blockers(owner.uid()) {
        return Ok(());
    }
    drop_finalizer(s, row, owner, FOREGROUND)
}

/// I4: takes the owner's reference off its dependents, then `orphan` off the owner.
fn orphan_dependents(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    owner: &Arc<Object>,
) -> Result<(), Halt> {
    let uid = owner.uid().to_owned();
    for (row, dependent) in dependents(s.core, &uid) {
        rewrite_owners(s, &row, &dependent, |owners| {
            owners.retain(|owner| owner["uid"] != *uid.as_str());
        })?;
    }
    drop_finalizer(s, row, owner, ORPHAN)
}

fn rewrite_owners(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    object: &Arc<Object>,
    change: impl FnOnce(&mut Vec<Value>),
) -> Result<(), Halt> {
    let mut value = object.value().clone();
    if let Some(Value::Array(owners)) = value.at_mut(&["metadata", "ownerReferences"]) {
        change(owners);
        if owners.is_empty() {
            value.remove(&["metadata", "ownerReferences"]);
        }
    }
    write(s, row, object, value, "PatchOptions")
}

fn drop_finalizer(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    object: &Arc<Object>,
    name: &str,
) -> Result<(), Halt> {
    let mut value = object.value().clone();
    if let Some(Value::Array(finalizers)) = value.at_mut(&["metadata", "finalizers"]) {
        finalizers.retain(|finalizer| *finalizer != *name);
        if finalizers.is_empty() {
            value.remove(&["metadata", "finalizers"]);
        }
    }
    write(s, row, object, value, "UpdateOptions")
}

/// A change as the collector asks for it: admitted, validated, tracked.
fn write(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    object: &Arc<Object>,
    value: Value,
    options_kind: &'static str,
) -> Result<(), Halt> {
    let (live, now) = (object.value(), s.now);
    let wanted = s.core.tracked(row, "", live, value, ACTOR, now);
    let change = Change {
        row: row.clone(),
        subresource: "",
        existing: object.clone(),
        object: wanted,
        options: &WriteOptions::default(),
        options_kind,
    };
    store_change(s, change).map(|_| ())
}

/// I6: an owner that exists, but where this dependent cannot refer to it, is told in an Event.
fn report_wrong_namespace(s: &mut Session<'_>, object: &Arc<Object>, owner: &Value) {
    let Some(row) = s
        .core
        .row_of_kind(owner.str_at(&["apiVersion"]), owner.str_at(&["kind"]))
    else {
        return;
    };
    let uid = owner.str_at(&["uid"]);
    if !row.namespaced || s.core.actors.collector().absent.contains(uid) {
        return;
    }
    let place = |(key, other): (&Key, &Arc<Object>)| (other.uid().into(), key.namespace().into());
    let (store, collector) = (&s.core.store, s.core.actors.collector());
    let located = collector
        .located
        .entry(row.id)
        .or_insert_with(|| store.objects(row.id).map(place).collect());
    let here = located
        .get(uid)
        .map(|namespace| *namespace == object.namespace());
    match here {
        Some(true) => return,
        Some(false) => {}
        None => {
            s.core.actors.collector().absent.insert(uid.into());
            return;
        }
    }
    let Some(events) = s.core.registry.find("", "v1", "events").cloned() else {
        return;
    };
    let namespace = match object.namespace() {
        "" => "default",
        namespace => namespace,
    };
    let name = format!("{}.{:x}", object.name(), s.now.micros() as u64 * 1000);
    let key = Key::new(namespace, &name);
    if s.core.store.get(events.id, &key).is_some() {
        return;
    }
    let message = format!(
        "ownerRef [{}/{}, namespace: {}, name: {}, uid: {uid}] does not exist in namespace {}",
        owner.str_at(&["apiVersion"]),
        owner.str_at(&["kind"]),
        object.namespace(),
        owner.str_at(&["name"]),
        go_quote(object.namespace())
    );
    let now = s.now.rfc3339();
    let mut value = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": name, "namespace": namespace, "uid": s.uid(), "creationTimestamp": now.as_str()},
        "involvedObject": {
            "apiVersion": object.value()["apiVersion"].clone(), "kind": object.value()["kind"].clone(),
            "name": object.name(), "namespace": object.namespace(), "uid": object.uid(),
        },
        "reason": "OwnerRefInvalidNamespace", "message": message, "type": "Warning", "count": 1,
        "firstTimestamp": now.as_str(), "lastTimestamp": now.as_str(), "eventTime": null,
        "source": {"component": "garbage-collector-controller"},
        "reportingComponent": "garbage-collector-controller", "reportingInstance": "",
    });
    if object.namespace().is_empty() {
        value.remove(&["involvedObject", "namespace"]);
    }
    let (origin, at) = (s.origin(), s.now);
    s.core.put(&events, key, value, origin, at);
}
