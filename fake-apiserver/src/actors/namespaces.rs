//! The namespace controller (N4, N5): empties a terminating namespace, tells what is left in its conditions, finalizes it.
//!
//! Pods go first; while one is left nothing else is touched. A pass that leaves something is repeated when an object of the
//! namespace goes, or after some seconds.
//! Source: kube-controller-manager `pkg/controller/namespace/deletion`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Chore;
use crate::json;
use crate::json::{CompactString, Value};
use crate::registry::Resource;
use crate::request::DeleteOptions;
use crate::server::{Core, Cx, last_finalizer_gone, remove};
use crate::store::{Entry, Key, Object, Origin};
use crate::time::Timestamp;

const ACTOR: Origin = Origin::Actor("namespace-controller");
const FINALIZER: &str = "kubernetes";
const RETRY: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
enum Work {
    Now,
    At(Timestamp),
}

/// Terminating namespaces and when to look at them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespaces {
    work: BTreeMap<CompactString, Work>,
}

impl Namespaces {
    pub(super) fn observe(core: &mut Core, entry: &Arc<Entry>) {
        let namespaces = core.registry.find("", "v1", "namespaces");
        if namespaces.is_some_and(|row| row.id == entry.resource) {
            let name = CompactString::from(entry.key.as_str());
            let unfinished = entry
                .new()
                .is_some_and(|namespace| namespace.is_terminating() && is_held(namespace.value()));
            let known = core.actors.namespaces().work.contains_key(&name);
            match (unfinished, known) {
                (true, false) => drop(core.actors.namespaces().work.insert(name, Work::Now)),
                (false, true) => drop(core.actors.namespaces().work.remove(&name)),
                _ => {}
            }
        } else if entry.deleted {
            let work = &mut core.actors.namespaces().work;
            if let Some(work) = work.get_mut(entry.key.namespace()) {
                *work = Work::Now;
            }
        }
    }

    pub(super) fn chores(&self, now: Timestamp, chores: &mut Vec<Chore>) {
        for (name, work) in &self.work {
            let ready = match work {
                Work::Now => true,
                Work::At(time) => *time <= now,
            };
            if ready {
                chores.push(Chore::Namespace { name: name.clone() });
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let times = self.work.values().filter_map(|work| match work {
            Work::Now => None,
            Work::At(time) => Some(*time),
        });
        times.min()
    }

    /// One pass over a terminating namespace.
    pub(super) fn perform(core: &mut Core, cx: &mut Cx<'_>, name: &str) {
        let Some(row) = core.registry.find("", "v1", "namespaces").cloned() else {
            return;
        };
        let key = Key::new("", name);
        let alive = core.store.get(row.id, &key).is_some();
        let work = &mut core.actors.namespaces().work;
        if !alive || !work.contains_key(name) {
            work.remove(name);
            return;
        }
        let left = empty(core, cx, name);
        let Some(namespace) = core.store.get(row.id, &key).cloned() else {
            return;
        };
        let mut value = namespace.value().clone();
        set_conditions(&mut value, &left, cx.now);
        if value["status"] != namespace.value()["status"] {
            let value = core.tracked(
                &row,
                "status",
                namespace.value(),
                value,
                "namespace-controller",
                cx.now,
            );
            core.put(&row, key.clone(), value, ACTOR, cx.now);
        }
        if left.objects.is_empty() {
            finalize(core, cx, &row, &key);
        } else if let Some(work) = core.actors.namespaces().work.get_mut(name) {
            *work = Work::At(cx.now + RETRY);
        }
    }
}

fn is_held(namespace: &Value) -> bool {
    let finalizers = namespace.array_at(&["spec", "finalizers"]);
    finalizers.iter().any(|finalizer| *finalizer == *FINALIZER)
}

/// What a pass could not delete.
#[derive(Default)]
struct Left {
    /// `plural.group` and how many, by name.
    objects: BTreeMap<String, usize>,
    /// Finalizers and how many objects have them.
    finalizers: BTreeMap<String, usize>,
    /// Pods held everything else up.
    pods: Option<String>,
}

/// Deletes what can be deleted.
fn empty(core: &mut Core, cx: &mut Cx<'_>, namespace: &str) -> Left {
    let mut seen = BTreeSet::new();
    let rows = core
        .registry
        .rows()
        .filter(|row| row.namespaced && row.verbs.has("deletecollection") && seen.insert(row.id));
    let mut rows: Vec<Arc<Resource>> = rows.cloned().collect();
    rows.sort_by_key(|row| !row.is("", "pods"));
    let mut left = Left::default();
    for row in rows {
        delete_all(core, cx, &row, namespace);
        let remaining = core.store.in_namespace(row.id, namespace);
        let remaining: Vec<Arc<Object>> = remaining.map(|(_, object)| object.clone()).collect();
        if remaining.is_empty() {
            continue;
        }
        let resource = format!("{}.{}", row.plural, row.group);
        left.objects.insert(resource, remaining.len());
        for object in &remaining {
            for finalizer in object.value().array_at(&["metadata", "finalizers"]) {
                let name = finalizer.as_str().unwrap_or_default().to_owned();
                *left.finalizers.entry(name).or_default() += 1;
            }
        }
        if row.is("", "pods") {
            left.pods = Some(namespace.to_owned());
            break;
        }
    }
    left
}

fn delete_all(core: &mut Core, cx: &mut Cx<'_>, row: &Resource, namespace: &str) {
    let objects = core.store.in_namespace(row.id, namespace);
    let objects: Vec<Arc<Object>> = objects.map(|(_, object)| object.clone()).collect();
    let options = DeleteOptions {
        propagation: Some("Background".to_owned()),
        ..DeleteOptions::default()
    };
    for object in objects {
        remove(core, row, &object, &options, ACTOR, cx.now);
    }
}

/// The five conditions, in the order the controller writes them.
fn set_conditions(namespace: &mut Value, left: &Left, now: Timestamp) {
    let count = |counts: &BTreeMap<String, usize>, verb: &str| {
        let parts = counts
            .iter()
            .map(|(name, n)| format!("{name} {verb} {n} resource instances"));
        parts.collect::<Vec<_>>().join(", ")
    };
    let content = match &left.pods {
        Some(namespace) => (
            "True",
            "ContentDeletionFailed",
            format!(
                "Failed to delete all resource types, 1 remaining: unexpected items still remain in namespace: {namespace} for gvr: /v1, Resource=pods"
            ),
        ),
        None => (
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization".to_owned(),
        ),
    };
    // A pass that pods stopped tells nothing more.
    let told = left.pods.is_none();
    let remaining = if told && !left.objects.is_empty() {
        (
            "True",
            "SomeResourcesRemain",
            format!(
                "Some resources are remaining: {}",
                count(&left.objects, "has")
            ),
        )
    } else {
        (
            "False",
            "ContentRemoved",
            "All content successfully removed".to_owned(),
        )
    };
    let finalizers = if told && !left.finalizers.is_empty() {
        (
            "True",
            "SomeFinalizersRemain",
            format!(
                "Some content in the namespace has finalizers remaining: {}",
                count(&left.finalizers, "in")
            ),
        )
    } else {
        (
            "False",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished".to_owned(),
        )
    };
    let wanted = [
        (
            "NamespaceDeletionDiscoveryFailure",
            (
                "False",
                "ResourcesDiscovered",
                "All resources successfully discovered".to_owned(),
            ),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            (
                "False",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed".to_owned(),
            ),
        ),
        ("NamespaceDeletionContentFailure", content),
        ("NamespaceContentRemaining", remaining),
        ("NamespaceFinalizersRemaining", finalizers),
    ];
    let conditions = namespace
        .make_object()
        .object("status")
        .get_or_insert("conditions", Value::Array(Vec::new()));
    let Some(conditions) = conditions.as_array_mut() else {
        return;
    };
    for (kind, (status, reason, message)) in wanted {
        let condition = json!({"type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": now.rfc3339()});
        let known = conditions.iter_mut().find(|known| known["type"] == kind);
        match known {
            None => conditions.push(condition),
            Some(known) => {
                let same = ["status", "reason", "message"]
                    .iter()
                    .all(|field| known[*field] == condition[*field]);
                if !same {
                    *known = condition;
                }
            }
        }
    }
}

/// Takes the controller's finalizer off; the namespace goes if nothing else holds it.
fn finalize(core: &mut Core, cx: &mut Cx<'_>, row: &Arc<Resource>, key: &Key) {
    let Some(namespace) = core.store.get(row.id, key).cloned() else {
        return;
    };
    let mut value = namespace.value().clone();
    if let Some(Value::Array(finalizers)) = value.at_mut(&["spec", "finalizers"]) {
        finalizers.retain(|finalizer| *finalizer != *FINALIZER);
        if finalizers.is_empty() {
            value.remove(&["spec", "finalizers"]);
        }
    }
    if last_finalizer_gone(row, &namespace, &value) {
        core.delete(row, key, ACTOR, cx.now);
        return;
    }
    let value = core.tracked(
        row,
        "finalize",
        namespace.value(),
        value,
        "namespace-controller",
        cx.now,
    );
    core.put(row, key.clone(), value, ACTOR, cx.now);
}
