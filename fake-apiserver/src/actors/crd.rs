//! The life of a CustomResourceDefinition: names, establishing, approval, cleaning up (L1, L10, L11).
//!
//! Owns the conditions and accepted names, when a resource begins and ends to be served, and the deletion of its objects.
//! Each step is one write by the manager `apiserver`, done as a chore of its own, so that clients see every one of them. Does
//! not own what makes a definition valid (`schema::crd`) nor the served rows (`registry::custom`).
//!
//! Simplification: the approval condition always follows the names (the real server races).
//! Source: apiextensions-apiserver `pkg/controller/{status,establish,finalizer,apiapproval}`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Chore;
use crate::apply::{self, Ignored, Tracking};
use crate::json;
use crate::json::{CompactString, Map, Value};
use crate::registry::{Resource, ResourceId};
use crate::request::DeleteOptions;
use crate::schema::crd::{self, Approval, CLEANUP_FINALIZER};
use crate::server::{Core, Cx};
use crate::store::{Entry, Key, Object, Origin};
use crate::time::Timestamp;

const ORIGIN: Origin = Origin::Actor("apiextensions");
const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";

/// What the controllers of definitions remember.
#[derive(Clone, Debug, Default)]
pub(crate) struct Definitions {
    // The set of all definitions, once known.
    id: Option<ResourceId>,
    // Names of definitions that have to be looked at.
    queue: BTreeSet<CompactString>,
    // Definitions being deleted, by the set of their objects.
    cleaning: BTreeMap<ResourceId, CompactString>,
}

impl Definitions {
    pub(crate) fn chores(&self) -> impl Iterator<Item = Chore> {
        let queue = self.queue.iter();
        queue.map(|name| Chore::Definition { name: name.clone() })
    }
}

fn row(core: &Core) -> Arc<Resource> {
    let row = core.registry.find(GROUP, "v1", PLURAL);
    row.cloned().expect("definitions are built in")
}

/// A write happened: queue the definition, and let the registry follow.
pub(crate) fn observe(core: &mut Core, entry: &Arc<Entry>) {
    if let Some(name) = core.actors.definitions.cleaning.get(&entry.resource) {
        let name = name.clone();
        core.actors.definitions.queue.insert(name);
    }
    let id = match core.actors.definitions.id {
        Some(id) => id,
        None => row(core).id,
    };
    core.actors.definitions.id = Some(id);
    if entry.resource != id {
        return;
    }
    let name = CompactString::from(entry.key.name());
    let new = entry.object.value();
    if entry.deleted {
        core.actors.definitions.queue.remove(&name);
        if let Some(id) = core.registry.custom().id(&name) {
            core.actors.definitions.cleaning.remove(&id);
            core.registry.custom_mut().withdraw(&name);
            core.end_watches(id);
        }
        // Names that this one held are free.
        let group = new.str_at(&["spec", "group"]).to_owned();
        let others: Vec<CompactString> = same_group(core, &group).map(|(name, _)| name).collect();
        core.actors.definitions.queue.extend(others);
        return;
    }
    let old = entry.old.as_ref().map(|old| old.value());
    serve(core, old, new, entry.revision);
    if needs_work(core, new) {
        core.actors.definitions.queue.insert(name);
    }
}

// L11: what is served follows the definition; its storage begins anew when the names or the spec change.
fn serve(core: &mut Core, old: Option<&Value>, new: &Value, revision: u64) {
    if crd::condition(new, "Established") != "True" {
        return;
    }
    let was = old.is_some_and(|old| crd::condition(old, "Established") == "True");
    let same = |path: &[&str]| old.and_then(|old| old.at(path)) == new.at(path);
    let unchanged = was && same(&["spec"]) && same(&["status", "acceptedNames"]);
    let terminating = |value: &Value| crd::condition(value, "Terminating") == "True";
    if unchanged && old.is_some_and(|old| terminating(old) == terminating(new)) {
        return;
    }
    let id = core.registry.custom_mut().serve(new);
    if !unchanged {
        core.end_watches(id);
        core.caches.begin(id, revision);
    }
}

fn needs_work(core: &Core, definition: &Value) -> bool {
    next_names(core, definition).is_some()
        || establishes(definition)
        || approval(definition).is_some()
        || definition.at(&["metadata", "deletionTimestamp"]).is_some()
}

/// Looks at a definition and does the next thing there is to do.
pub(crate) fn perform(core: &mut Core, cx: &mut Cx<'_>, name: &str) {
    core.actors.definitions.queue.remove(name);
    let row = row(core);
    let Some(existing) = core.object(&row, "", name).cloned() else {
        return;
    };
    let mut value = existing.value().clone();
    if let Some((names, condition, established)) = next_names(core, &value) {
        value.set(&["status", "acceptedNames"], names);
        set_condition(&mut value, condition, cx.now);
        set_condition(&mut value, established, cx.now);
    } else if establishes(&value) {
        let condition = Condition::new(
            "Established",
            "True",
            "InitialNamesAccepted",
            "the initial names have been accepted",
        );
        set_condition(&mut value, condition, cx.now);
    } else if let Some(condition) = approval(&value) {
        set_condition(&mut value, condition, cx.now);
    } else if value.at(&["metadata", "deletionTimestamp"]).is_some() {
        finalize(core, cx, &row, &existing);
        return;
    } else {
        return;
    }
    store(core, cx, &row, &existing, value, "status");
}

fn store(
    core: &mut Core,
    cx: &Cx<'_>,
    row: &Resource,
    existing: &Object,
    mut value: Value,
    subresource: &str,
) {
    if let Some(schema) = row.schema {
        let tracking = Tracking {
            schema,
            api_version: "apiextensions.k8s.io/v1",
            subresource,
            manager: "apiserver",
            now: cx.now,
            ignored: Ignored::builtin(GROUP, PLURAL, subresource),
            by_webhook: false,
            converted: &[],
            other_version: &|_| None,
        };
        apply::track(&tracking, Some(existing.value()), &mut value);
    }
    core.put(row, Key::new("", existing.name()), value, ORIGIN, cx.now);
}

struct Condition {
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Condition {
    fn new(
        kind: &'static str,
        status: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Condition {
        Condition {
            kind,
            status,
            reason,
            message: message.into(),
        }
    }

    fn is_in(&self, definition: &Value) -> bool {
        let mut conditions = definition.array_at(&["status", "conditions"]).iter();
        conditions.any(|found| {
            let text = |name: &str| found.str_at(&[name]);
            text("type") == self.kind
                && text("status") == self.status
                && text("reason") == self.reason
                && text("message") == self.message
        })
    }
}

// A condition keeps its place and, with its status, its time.
fn set_condition(definition: &mut Value, condition: Condition, now: Timestamp) {
    let mut new = json!({
        "lastTransitionTime": now.rfc3339(),
        "message": condition.message,
        "reason": condition.reason,
        "status": condition.status,
        "type": condition.kind
    });
    let conditions = definition
        .make_object()
        .object("status")
        .get_or_insert("conditions", Value::Null);
    if !conditions.is_array() {
        *conditions = Value::Array(Vec::new());
    }
    let Some(list) = conditions.as_array_mut() else {
        return;
    };
    match list
        .iter_mut()
        .find(|found| found.str_at(&["type"]) == condition.kind)
    {
        Some(found) => {
            if found.str_at(&["status"]) == condition.status
                && let Some(time) = found.get("lastTransitionTime")
            {
                new.set(&["lastTransitionTime"], time);
            }
            *found = new;
        }
        None => list.push(new),
    }
}

fn same_group(core: &Core, group: &str) -> impl Iterator<Item = (CompactString, Arc<Object>)> {
    let objects = core.store.objects(row(core).id);
    let objects =
        objects.filter(move |(_, object)| object.value().str_at(&["spec", "group"]) == group);
    objects.map(|(key, object)| (CompactString::from(key.name()), object.clone()))
}

/// The names to accept and the conditions to set, if they differ from what is there.
fn next_names(core: &Core, definition: &Value) -> Option<(Value, Condition, Condition)> {
    let wanted = definition.at(&["spec", "names"])?;
    let none = Value::Null;
    let accepted = definition.at(&["status", "acceptedNames"]).unwrap_or(&none);
    let group = definition.str_at(&["spec", "group"]);
    let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for (_, other) in same_group(core, group) {
        let names = &other.value()["status"]["acceptedNames"];
        let text = |name: &str| names.str_at(&[name]).to_owned();
        resources.extend([text("plural"), text("singular")]);
        let short = names
            .array_at(&["shortNames"])
            .iter()
            .filter_map(Value::as_str);
        resources.extend(short.map(str::to_owned));
        kinds.extend([text("kind"), text("listKind")]);
    }
    let mut names = Map::new();
    names.insert("kind", accepted.str_at(&["kind"]));
    names.insert("plural", accepted.str_at(&["plural"]));
    for name in ["singular", "listKind"] {
        put(&mut names, name, accepted.get(name));
    }
    put(&mut names, "shortNames", accepted.get("shortNames"));
    put(&mut names, "categories", wanted.get("categories"));
    let mut conflict: Option<(&'static str, String)> = None;
    for (name, reason, used) in [
        ("plural", "PluralConflict", &resources),
        ("singular", "SingularConflict", &resources),
        ("shortNames", "ShortNamesConflict", &resources),
        ("kind", "KindConflict", &kinds),
        ("listKind", "ListKindConflict", &kinds),
    ] {
        let in_use = |text: &str| format!("{} is already in use", crate::status::go_quote(text));
        if name == "shortNames" {
            let ours = accepted.array_at(&[name]);
            let clashes = wanted
                .array_at(&[name])
                .iter()
                .filter(|short| !ours.contains(short));
            let clashes = clashes
                .filter_map(Value::as_str)
                .filter(|short| used.contains(*short));
            let clashes: Vec<String> = clashes.map(in_use).collect();
            match clashes.len() {
                0 => put(&mut names, name, wanted.get(name)),
                1 => conflict = Some((reason, clashes.join(""))),
                _ => conflict = Some((reason, format!("[{}]", clashes.join(", ")))),
            }
            continue;
        }
        let text = wanted.str_at(&[name]);
        if text != accepted.str_at(&[name]) && used.contains(text) {
            conflict = Some((reason, in_use(text)));
        } else {
            names.insert(name, text);
        }
    }
    let condition = match conflict {
        Some((reason, message)) => Condition::new("NamesAccepted", "False", reason, message),
        None => Condition::new("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
    };
    let established = match crd::condition(definition, "Established") {
        "True" => None,
        _ if condition.status == "True" => Some(Condition::new(
            "Established",
            "False",
            "Installing",
            "the initial names have been accepted",
        )),
        // Once there, it stays as it is.
        "False" => None,
        _ => Some(Condition::new(
            "Established",
            "False",
            "NotAccepted",
            "not all names are accepted",
        )),
    };
    let settled = established
        .as_ref()
        .is_none_or(|established| established.is_in(definition));
    let names = Value::Object(names);
    if names == *accepted && condition.is_in(definition) && settled {
        return None;
    }
    let established = established.or_else(|| current(definition, "Established"));
    Some((names, condition, established?))
}

fn put(names: &mut Map, name: &'static str, value: Option<&Value>) {
    let empty = match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    };
    match value {
        Some(value) if !empty => drop(names.insert(name, value)),
        _ => drop(names.remove(name)),
    }
}

// The condition as it is.
fn current(definition: &Value, kind: &'static str) -> Option<Condition> {
    let mut conditions = definition.array_at(&["status", "conditions"]).iter();
    let found = conditions.find(|found| found.str_at(&["type"]) == kind)?;
    let reason = match found.str_at(&["reason"]) {
        "InitialNamesAccepted" => "InitialNamesAccepted",
        "Installing" => "Installing",
        _ => "NotAccepted",
    };
    let status = if found.str_at(&["status"]) == "True" {
        "True"
    } else {
        "False"
    };
    Some(Condition::new(
        kind,
        status,
        reason,
        found.str_at(&["message"]),
    ))
}

fn establishes(definition: &Value) -> bool {
    crd::condition(definition, "NamesAccepted") == "True"
        && crd::condition(definition, "Established") == "False"
        && crd::condition(definition, "Terminating") != "True"
}

fn approval(definition: &Value) -> Option<Condition> {
    const KIND: &str = "KubernetesAPIApprovalPolicyConformant";
    let condition = match crd::approval_of(definition) {
        Approval::NotNeeded => return None,
        Approval::Approved(link) => Condition::new(
            KIND,
            "True",
            "ApprovedAnnotation",
            format!("approved in {link}"),
        ),
        Approval::Unapproved(text) => {
            let message = format!("not approved: {}", crate::status::go_quote(&text));
            Condition::new(KIND, "False", "UnapprovedAnnotation", message)
        }
        Approval::Missing => Condition::new(
            KIND,
            "False",
            "MissingAnnotation",
            "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
        ),
        Approval::Invalid(_) => Condition::new(
            KIND,
            "False",
            "InvalidAnnotation",
            "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111",
        ),
    };
    (!condition.is_in(definition)).then_some(condition)
}

/// L10: what the first DELETE of a definition does to it.
pub(crate) fn mark_terminating(definition: &mut Value, now: Timestamp) {
    definition.set(&["metadata", "deletionTimestamp"], now.rfc3339());
    let mut finalizers = definition.array_at(&["metadata", "finalizers"]).to_vec();
    if !finalizers
        .iter()
        .any(|finalizer| finalizer == CLEANUP_FINALIZER)
    {
        finalizers.push(Value::from(CLEANUP_FINALIZER));
    }
    definition.set(&["metadata", "finalizers"], Value::Array(finalizers));
    let message =
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set_condition(
        definition,
        Condition::new("Terminating", "True", "InstanceDeletionPending", message),
        now,
    );
}

// One step of the cleanup: say so, delete the objects, then let go.
fn finalize(core: &mut Core, cx: &mut Cx<'_>, row: &Arc<Resource>, existing: &Arc<Object>) {
    let held = existing.value().array_at(&["metadata", "finalizers"]);
    if !held.iter().any(|finalizer| finalizer == CLEANUP_FINALIZER) {
        return;
    }
    let name = existing.name().to_owned();
    let progress = Condition::new(
        "Terminating",
        "True",
        "InstanceDeletionInProgress",
        "CustomResource deletion is in progress",
    );
    let id = core.registry.custom().id(&name);
    if !progress.is_in(existing.value()) {
        let mut value = existing.value().clone();
        set_condition(&mut value, progress, cx.now);
        if let Some(id) = id {
            core.actors
                .definitions
                .cleaning
                .insert(id, name.clone().into());
        }
        store(core, cx, row, existing, value, "status");
        return;
    }
    if let Some(id) = id {
        let live: Vec<Arc<Object>> = core
            .store
            .objects(id)
            .map(|(_, object)| object.clone())
            .collect();
        let served = core.registry.by_id(id).cloned();
        if let Some(served) = served {
            for object in live.iter().filter(|object| !object.is_terminating()) {
                let options = DeleteOptions::default();
                crate::server::remove(core, &served, object, &options, ORIGIN, cx.now);
            }
        }
        if core.store.len(id) > 0 {
            return;
        }
        core.actors.definitions.cleaning.remove(&id);
    }
    let mut value = existing.value().clone();
    let left = held
        .iter()
        .filter(|finalizer| *finalizer != CLEANUP_FINALIZER);
    let left: Vec<Value> = left.cloned().collect();
    if left.is_empty() {
        core.delete(row, &Key::new("", &name), ORIGIN, cx.now);
        return;
    }
    value.set(&["metadata", "finalizers"], Value::Array(left));
    let done = Condition::new(
        "Terminating",
        "False",
        "InstanceDeletionCompleted",
        "removed all instances",
    );
    set_condition(&mut value, done, cx.now);
    store(core, cx, row, existing, value, "status");
}
