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
use crate::request::{DeleteOptions, WriteOptions};
use crate::server::{Change, Core, Halt, Session, delete_one, store_change};
use crate::status::Status;
use crate::store::{Entry, Key, Object};
use crate::time::Timestamp;

const ACTOR: &str = "namespace-controller";
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
        if core.registry.namespaces().id == entry.resource {
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

    pub(super) fn chores(&self, now: Timestamp) -> impl Iterator<Item = Chore> {
        let ready = self.work.iter().filter(move |(_, work)| match work {
            Work::Now => true,
            Work::At(time) => *time <= now,
        });
        ready.map(|(name, _)| Chore::Namespace { name: name.clone() })
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let times = self.work.values().filter_map(|work| match work {
            Work::Now => None,
            Work::At(time) => Some(*time),
        });
        times.min()
    }

    /// One pass over a terminating namespace.
    pub(super) fn act(s: &mut Session<'_>, name: &str) -> Result<(), Halt> {
        s.actor = Some(ACTOR);
        let Some(row) = s.core.registry.find("", "v1", "namespaces").cloned() else {
            return Ok(());
        };
        let key = Key::new("", name);
        let alive = s.core.store.get(row.id, &key).is_some();
        let work = &mut s.core.actors.namespaces().work;
        if !alive || !work.contains_key(name) {
            work.remove(name);
            return Ok(());
        }
        // A pass that waits for a webhook is not begun again meanwhile.
        let later = s.now + RETRY;
        if let Some(work) = work.get_mut(name) {
            *work = Work::At(later);
        }
        let left = empty(s, name)?;
        let Some(namespace) = s.core.store.get(row.id, &key).cloned() else {
            return Ok(());
        };
        let mut value = namespace.value().clone();
        set_conditions(&mut value, &left, s.now);
        if value["status"] != namespace.value()["status"] {
            write(s, &row, &namespace, value, "status")?;
        }
        if left.objects.is_empty() && left.failure.is_none() {
            return finalize(s, &row, &key);
        }
        Ok(())
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
    /// Why the content could not be deleted.
    failure: Option<String>,
    /// Pods held everything else up.
    pods: bool,
}

/// Deletes what can be deleted.
fn empty(s: &mut Session<'_>, namespace: &str) -> Result<Left, Halt> {
    let mut seen = BTreeSet::new();
    let rows =
        s.core.registry.rows().filter(|row| {
            row.namespaced && row.verbs.has("deletecollection") && seen.insert(row.id)
        });
    let mut rows: Vec<Arc<Resource>> = rows.cloned().collect();
    rows.sort_by_key(|row| !row.is("", "pods"));
    let mut left = Left::default();
    let mut failures = Vec::new();
    for row in rows {
        if let Err(status) = delete_all(s, &row, namespace)? {
            failures.push(status.message.clone());
        }
        let remaining = s.core.store.in_namespace(row.id, namespace);
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
            left.pods = true;
            failures.push(format!(
                "unexpected items still remain in namespace: {namespace} for gvr: /v1, Resource=pods"
            ));
            break;
        }
    }
    if !failures.is_empty() {
        left.failure = Some(format!(
            "Failed to delete all resource types, {} remaining: {}",
            failures.len(),
            failures.join(", ")
        ));
    }
    Ok(left)
}

/// Deletes the objects of one resource; the inner error is the first refusal.
fn delete_all(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    namespace: &str,
) -> Result<Result<(), Status>, Halt> {
    let objects = s.core.store.in_namespace(row.id, namespace);
    let objects: Vec<Arc<Object>> = objects.map(|(_, object)| object.clone()).collect();
    let options = DeleteOptions {
        propagation: Some("Background".to_owned()),
        ..DeleteOptions::default()
    };
    let mut refused = Ok(());
    for object in objects {
        // A collection is deleted without a name (G11).
        match delete_one(s, row, &object, "", &options) {
            Ok(_) => {}
            Err(Halt::Failed(status)) => {
                if refused.is_ok() {
                    refused = Err(status);
                }
            }
            Err(halt) => return Err(halt),
        }
    }
    Ok(refused)
}

/// The five conditions, in the order the controller writes them.
fn set_conditions(namespace: &mut Value, left: &Left, now: Timestamp) {
    let count = |counts: &BTreeMap<String, usize>, verb: &str| {
        let parts = counts
            .iter()
            .map(|(name, n)| format!("{name} {verb} {n} resource instances"));
        parts.collect::<Vec<_>>().join(", ")
    };
    let content = match &left.failure {
        Some(failure) => ("True", "ContentDeletionFailed", failure.clone()),
        None => (
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization".to_owned(),
        ),
    };
    // A pass that pods stopped tells nothing more.
    let told = !left.pods;
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
fn finalize(s: &mut Session<'_>, row: &Arc<Resource>, key: &Key) -> Result<(), Halt> {
    let Some(namespace) = s.core.store.get(row.id, key).cloned() else {
        return Ok(());
    };
    let mut value = namespace.value().clone();
    if let Some(Value::Array(finalizers)) = value.at_mut(&["spec", "finalizers"]) {
        finalizers.retain(|finalizer| *finalizer != *FINALIZER);
        if finalizers.is_empty() {
            value.remove(&["spec", "finalizers"]);
        }
    }
    write(s, row, &namespace, value, "finalize")
}

/// A change as the controller asks for it: admitted, validated, tracked.
fn write(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    namespace: &Arc<Object>,
    value: Value,
    subresource: &str,
) -> Result<(), Halt> {
    let (live, now) = (namespace.value(), s.now);
    let wanted = s.core.tracked(row, subresource, live, value, ACTOR, now);
    let change = Change {
        row: row.clone(),
        subresource,
        existing: namespace.clone(),
        object: wanted,
        options: &WriteOptions::default(),
        options_kind: "UpdateOptions",
    };
    store_change(s, change).map(|_| ())
}
