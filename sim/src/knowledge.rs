//! What replicas have seen: the versions of objects that reached them, per reconcile and per cache.
//!
//! Owns the *base of a write*: the resourceVersion it carries; else the newest version of the object that its reconcile
//! read; else what the replica's cache held when that reconcile began. Reads outside any reconcile (a reflector's list and
//! watch, an operator with a loop of its own) count as the cache.
//!
//! Simplification: what a reply carried counts as seen when it is delivered, whether or not the operator looks at it.

use std::collections::BTreeMap;

use fake_apiserver::json::CompactString;
use serde::Deserialize;

use crate::event::{Base, BaseSource, Call, ObjectKey, ReconcileId, ReplicaId, Revision, StepId};
use crate::metadata;

/// Group, resource and namespace ("" for all) of a list.
type Scope = (CompactString, CompactString, CompactString);

/// When each version arrived, and the newest that had by then.
#[derive(Default)]
struct Versions(Vec<(StepId, Revision)>);

#[derive(Default)]
struct Seen {
    /// Versions of single objects, with the step at which each arrived.
    objects: BTreeMap<ObjectKey, Versions>,
    /// Revisions of whole lists.
    lists: BTreeMap<Scope, Versions>,
}

/// What all replicas have seen.
#[derive(Default)]
pub(crate) struct Knowledge {
    caches: BTreeMap<ReplicaId, Seen>,
    reconciles: BTreeMap<ReconcileId, Seen>,
    began: BTreeMap<ReconcileId, StepId>,
}

/// The part of an object, a list or a patch that versions are read from.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Head {
    metadata: Metadata,
    preconditions: Preconditions,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    resource_version: CompactString,
    name: CompactString,
    namespace: CompactString,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Preconditions {
    resource_version: CompactString,
}

/// A list's items.
#[derive(Deserialize, Default)]
#[serde(default)]
struct List {
    items: Vec<Head>,
}

/// A watch event's line.
#[derive(Deserialize)]
struct Line {
    object: Head,
}

/// What a reply or a watch event is about.
pub(crate) struct About {
    pub(crate) name: CompactString,
    pub(crate) namespace: CompactString,
    pub(crate) revision: Option<Revision>,
}

impl From<metadata::Metadata<'_>> for About {
    fn from(found: metadata::Metadata<'_>) -> About {
        About {
            name: found.name.into(),
            namespace: found.namespace.into(),
            revision: revision(found.resource_version),
        }
    }
}

fn revision(text: &str) -> Option<Revision> {
    text.parse().ok().map(Revision)
}

/// Reads the metadata of an object or a list.
pub(crate) fn about(body: &[u8]) -> About {
    if let Some(quick) = metadata::of_object(body) {
        return quick.into();
    }
    let head: Head = serde_json::from_slice(body).unwrap_or_default();
    About {
        revision: revision(&head.metadata.resource_version),
        name: head.metadata.name,
        namespace: head.metadata.namespace,
    }
}

/// Reads the metadata of a list's items.
pub(crate) fn items(body: &[u8]) -> Vec<About> {
    let list: List = serde_json::from_slice(body).unwrap_or_default();
    let items = list.items.into_iter().map(|head| About {
        revision: revision(&head.metadata.resource_version),
        name: head.metadata.name,
        namespace: head.metadata.namespace,
    });
    items.collect()
}

/// Reads the metadata of the object in a watch event's line.
pub(crate) fn about_line(line: &[u8]) -> About {
    if let Some(quick) = metadata::of_line(line) {
        return quick.into();
    }
    let head = serde_json::from_slice::<Line>(line)
        .map(|line| line.object)
        .unwrap_or_default();
    About {
        revision: revision(&head.metadata.resource_version),
        name: head.metadata.name,
        namespace: head.metadata.namespace,
    }
}

/// The resourceVersion a write carries: the object's own, a precondition, or the `test` of a JSON patch.
fn carried(body: &[u8]) -> Option<Revision> {
    if body.first() == Some(&b'[') {
        #[derive(Deserialize)]
        struct Operation {
            op: String,
            path: String,
            #[serde(default)]
            value: serde_json::Value,
        }
        let operations: Vec<Operation> = serde_json::from_slice(body).ok()?;
        let test = operations.iter().find(|operation| {
            operation.op != "remove" && operation.path == "/metadata/resourceVersion"
        })?;
        return revision(test.value.as_str()?);
    }
    let head: Head = serde_json::from_slice(body).ok()?;
    revision(&head.metadata.resource_version)
        .or_else(|| revision(&head.preconditions.resource_version))
}

impl Knowledge {
    /// A process is gone, and what it knew with it.
    pub(crate) fn forget(&mut self, replica: ReplicaId) {
        self.caches.remove(&replica);
    }

    pub(crate) fn reconcile_began(&mut self, reconcile: ReconcileId, at: StepId) {
        self.began.insert(reconcile, at);
    }

    /// A version of an object reached a replica.
    pub(crate) fn saw_object(
        &mut self,
        replica: ReplicaId,
        reconcile: Option<ReconcileId>,
        key: ObjectKey,
        revision: Revision,
        at: StepId,
    ) {
        self.seen(replica, reconcile)
            .objects
            .entry(key)
            .or_default()
            .push(at, revision);
    }

    /// A list without a selector reached a replica: every object of the scope, as it was at that revision.
    pub(crate) fn saw_list(
        &mut self,
        replica: ReplicaId,
        reconcile: Option<ReconcileId>,
        call: &Call,
        revision: Revision,
        at: StepId,
    ) {
        let scope = (
            call.group.clone(),
            call.resource.clone(),
            call.namespace.clone(),
        );
        self.seen(replica, reconcile)
            .lists
            .entry(scope)
            .or_default()
            .push(at, revision);
    }

    /// The newest version of an object in a replica's cache at a step.
    pub(crate) fn cached(
        &self,
        replica: ReplicaId,
        key: &ObjectKey,
        at: StepId,
    ) -> Option<Revision> {
        self.caches.get(&replica)?.newest(key, Some(at))
    }

    /// The newest version of an object that a reconcile has read.
    pub(crate) fn read(&self, reconcile: ReconcileId, key: &ObjectKey) -> Option<Revision> {
        self.reconciles.get(&reconcile)?.newest(key, None)
    }

    /// The step at which a version of an object, or a newer one, first reached a reconcile, else its replica.
    pub(crate) fn arrived(
        &self,
        replica: ReplicaId,
        reconcile: Option<ReconcileId>,
        key: &ObjectKey,
        revision: Revision,
    ) -> Option<StepId> {
        let read = reconcile.and_then(|id| self.reconciles.get(&id)?.arrived(key, revision));
        read.or_else(|| self.caches.get(&replica)?.arrived(key, revision))
    }

    fn seen(&mut self, replica: ReplicaId, reconcile: Option<ReconcileId>) -> &mut Seen {
        match reconcile {
            Some(reconcile) => self.reconciles.entry(reconcile).or_default(),
            None => self.caches.entry(replica).or_default(),
        }
    }

    /// The base of a write.
    pub(crate) fn base(
        &self,
        replica: ReplicaId,
        reconcile: Option<ReconcileId>,
        call: &Call,
        body: &[u8],
    ) -> Option<Base> {
        let key = call.key()?;
        if let Some(revision) = carried(body) {
            return Some(Base {
                revision,
                source: BaseSource::Carried,
            });
        }
        let read = reconcile.and_then(|id| self.read(id, &key));
        if let Some(revision) = read {
            return Some(Base {
                revision,
                source: BaseSource::Read,
            });
        }
        let before = reconcile.and_then(|id| self.began.get(&id).copied());
        let revision = self.caches.get(&replica)?.newest(&key, before)?;
        Some(Base {
            revision,
            source: BaseSource::Cache,
        })
    }
}

impl Seen {
    fn arrived(&self, key: &ObjectKey, revision: Revision) -> Option<StepId> {
        let scope = |namespace: &str| (key.group.clone(), key.resource.clone(), namespace.into());
        let lists = [scope(""), scope(&key.namespace)];
        let lists = lists.iter().filter_map(|scope| self.lists.get(scope));
        let all = self.objects.get(key).into_iter().chain(lists);
        all.filter_map(|versions| versions.first_from(revision))
            .min()
    }

    /// The newest version of an object seen not after `before`.
    fn newest(&self, key: &ObjectKey, before: Option<StepId>) -> Option<Revision> {
        let last = |versions: &Versions| versions.newest(before);
        let object = self.objects.get(key).and_then(last);
        let list = |namespace: &str| {
            let scope = (key.group.clone(), key.resource.clone(), namespace.into());
            self.lists.get(&scope).and_then(last)
        };
        let all = list("");
        let namespaced = if key.namespace.is_empty() {
            None
        } else {
            list(&key.namespace)
        };
        object.max(all).max(namespaced)
    }
}

impl Versions {
    fn push(&mut self, at: StepId, revision: Revision) {
        let newest = self
            .0
            .last()
            .map_or(revision, |(_, newest)| revision.max(*newest));
        self.0.push((at, newest));
    }

    fn first_from(&self, revision: Revision) -> Option<StepId> {
        let at = self.0.partition_point(|(_, newest)| *newest < revision);
        self.0.get(at).map(|(step, _)| *step)
    }

    fn newest(&self, before: Option<StepId>) -> Option<Revision> {
        let end = before.map_or(self.0.len(), |before| {
            self.0.partition_point(|(at, _)| *at <= before)
        });
        self.0[..end].last().map(|(_, newest)| *newest)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    const R: ReplicaId = ReplicaId(0);

    fn call() -> Call {
        Call::read(&Method::PUT, "/api/v1/namespaces/a/configmaps/b", "")
    }

    fn base(
        knowledge: &Knowledge,
        reconcile: Option<u64>,
        body: &str,
    ) -> Option<(u64, BaseSource)> {
        let base = knowledge.base(R, reconcile.map(ReconcileId), &call(), body.as_bytes());
        base.map(|base| (base.revision.0, base.source))
    }

    #[test]
    fn the_base_is_carried_else_read_else_cached_when_the_reconcile_began() {
        let mut knowledge = Knowledge::default();
        let key = call().key().expect("the call names an object");
        let list = Call::read(&Method::GET, "/api/v1/configmaps", "");
        assert_eq!(base(&knowledge, Some(1), "{}"), None);
        knowledge.saw_list(R, None, &list, Revision(5), StepId(1));
        knowledge.reconcile_began(ReconcileId(1), StepId(2));
        knowledge.saw_object(R, None, key.clone(), Revision(8), StepId(3));
        assert_eq!(
            base(&knowledge, Some(1), "{}"),
            Some((5, BaseSource::Cache))
        );
        assert_eq!(base(&knowledge, None, "{}"), Some((8, BaseSource::Cache)));
        knowledge.saw_object(R, Some(ReconcileId(1)), key, Revision(7), StepId(4));
        assert_eq!(base(&knowledge, Some(1), "{}"), Some((7, BaseSource::Read)));
        let body = r#"{"metadata":{"resourceVersion":"6"}}"#;
        assert_eq!(
            base(&knowledge, Some(1), body),
            Some((6, BaseSource::Carried))
        );
        let patch = r#"[{"op":"test","path":"/metadata/resourceVersion","value":"4"}]"#;
        assert_eq!(
            base(&knowledge, Some(1), patch),
            Some((4, BaseSource::Carried))
        );
    }
}
