//! Ownership after a plain write: create, update, the patches, `/status`, `/scale` (F7, F8).
//!
//! Owns who gains and who loses fields, and when an entry's time moves. Does not own apply (`applying`).
//! Source: apimachinery `util/managedfields/internal/{fieldmanager,managedfieldsupdater,stripmeta,skipnonapplied}.go`,
//! structured-merge-diff v6 `merge/update.go`.

use super::compare::{Comparison, added, compare};
use super::entries::{self, Entry};
use super::field_set::{FieldSet, SELF, children, is_member};
use super::ignored::Ignored;
use super::shape::Shape;
use super::typed;
use crate::json::{CompactString, Map, Value};
use crate::schema::Schema;
use crate::time::Timestamp;

/// Who writes, through which endpoint, and what the types are.
pub struct Tracking<'a> {
    /// The schema of the object's kind in the request's version.
    pub schema: &'a Schema,
    /// The request's version, `apps/v1`.
    pub api_version: &'a str,
    /// The subresource written through; empty for the object itself.
    pub subresource: &'a str,
    /// The field manager.
    pub manager: &'a str,
    /// Now.
    pub now: Timestamp,
    /// What the endpoint ignores.
    pub ignored: Ignored,
    /// True if a webhook converts between versions: what the object looks like in another one is not known here, but for
    /// what stands in `converted`.
    pub by_webhook: bool,
    /// The object before and after in other versions, by version, as a webhook converted them.
    pub converted: &'a [(CompactString, [Value; 2])],
    /// The schema of the same kind in another version, `None` where there is no such version: entries of it are dropped.
    pub other_version: &'a dyn Fn(&str) -> Option<&'a Schema>,
}

impl Tracking<'_> {
    pub(crate) fn shape(&self) -> Shape<'_> {
        Shape::of(self.schema)
    }

    pub(crate) fn shape_of_version(&self, api_version: &str) -> Option<Shape<'_>> {
        if api_version == self.api_version {
            return Some(self.shape());
        }
        (self.other_version)(api_version).map(Shape::of)
    }

    pub(crate) fn time(&self) -> Option<CompactString> {
        Some(self.now.rfc3339())
    }
}

/// Sets the managedFields of an object about to be created (`live` is none) or updated.
///
/// `new` is as the client wants it, decoded and defaulted, with the managedFields that the client sent; the strategy has not
/// touched it yet. A failure to make sense of sent managedFields is no error: the live ones count.
pub fn track(tracking: &Tracking<'_>, live: Option<&Value>, new: &mut Value) {
    let sent = take_managed_fields(new);
    let Some(live) = live else {
        // F8: what a client sends with a create is dropped.
        let mut entries = Vec::new();
        if converts(tracking, std::iter::empty(), &[&*new]) {
            entries.extend(first(tracking, new));
        }
        return entries::write(new, entries);
    };
    let stored = live.at(&["metadata", "managedFields"]);
    let Some(mut entries) = entries_in_force(tracking, stored, sent) else {
        // F11: without managedFields nothing is tracked until the first apply.
        return;
    };
    let known = |entry: &Entry| tracking.shape_of_version(&entry.api_version).is_some();
    if tracking.schema.name().is_none() && !entries.iter().all(known) {
        // A custom resource cannot be converted to a version that is gone: all that is tracked is lost (F12).
        return;
    }
    let versions = entries.iter().map(|entry| entry.api_version.as_str());
    if !converts(tracking, versions, &[live, &*new]) {
        return;
    }
    entries.retain(known);
    reconcile(tracking, &mut entries);
    record(tracking, live, new, &mut entries, tracking.manager);
    entries::cap(&mut entries);
    entries::write(new, entries);
}

/// Whether a custom resource fits the types of all versions that entries were made in, before and after. If it does not,
/// all that is tracked is lost: conversion without a webhook changes nothing but the version (F12, L9).
fn converts<'e>(
    tracking: &Tracking<'_>,
    versions: impl Iterator<Item = &'e str>,
    values: &[&Value],
) -> bool {
    if tracking.schema.name().is_some() {
        return true;
    }
    let mut versions: Vec<&str> = versions.filter(|_| !tracking.by_webhook).collect();
    versions.push(tracking.api_version);
    versions.sort_unstable();
    versions.dedup();
    let shapes = versions
        .iter()
        .filter_map(|version| tracking.shape_of_version(version));
    let fits = |shape| values.iter().all(|value| typed::converts(shape, value));
    shapes.into_iter().all(fits)
}

/// The entries a write starts from: the client's own if it sent usable ones, else the live ones (F10).
fn entries_in_force(
    tracking: &Tracking<'_>,
    stored: Option<&Value>,
    sent: Option<Value>,
) -> Option<Vec<Entry>> {
    let non_empty = |entries: Vec<Entry>| (!entries.is_empty()).then_some(entries);
    if let Some(sent) = sent
        && tracking.subresource.is_empty()
    {
        if Some(&sent) == stored {
            return non_empty(entries::read_stored(sent));
        }
        if entries::is_reset(&sent) {
            return None;
        }
        if let Some(entries) = entries::read_sent(&sent).and_then(non_empty) {
            return Some(entries);
        }
    }
    non_empty(entries::read_stored(stored?.clone()))
}

/// Takes managedFields out of an object.
pub(crate) fn take_managed_fields(object: &mut Value) -> Option<Value> {
    object
        .get_mut("metadata")?
        .as_object_mut()?
        .remove("managedFields")
}

/// The entry of an object that comes new; none if nothing of it is tracked.
fn first(tracking: &Tracking<'_>, new: &Value) -> Option<Entry> {
    let mut fields = added(tracking.shape(), new, [&TOP_NAMES, &METADATA_NAMES]);
    debug_assert_eq!(fields, {
        let mut compared = compare(tracking.shape(), &Value::object(), new).taken;
        strip(&mut compared);
        compared
    });
    tracking.ignored.filter(&mut fields);
    (!fields.is_empty()).then(|| update_entry(tracking, tracking.manager, fields))
}

fn update_entry(tracking: &Tracking<'_>, manager: &str, fields: FieldSet) -> Entry {
    Entry {
        manager: manager.into(),
        applied: false,
        api_version: tracking.api_version.into(),
        subresource: tracking.subresource.into(),
        time: tracking.time(),
        fields,
    }
}

/// Books the difference of two objects on a manager's Update entry.
pub(crate) fn record(
    tracking: &Tracking<'_>,
    old: &Value,
    new: &Value,
    entries: &mut Vec<Entry>,
    manager: &str,
) {
    let changes = changes(tracking, tracking.shape(), old, new);
    let mut versions = Versions::new(tracking, old, new, changes);
    let mut own = update_entry(tracking, manager, FieldSet::new());
    let last = entries.iter().position(|entry| entry.same_manager(&own));
    if let Some(at) = last
        && entries[at].holds(&versions.own)
    {
        // Mostly a manager writes what it wrote before: its fields stay as they are.
        entries[at].time = own.time;
        return settle(&mut versions, entries, Some(at));
    }
    settle(&mut versions, entries, None);
    own.fields = versions.own.taken;
    strip(&mut own.fields);
    if own.fields.is_empty() {
        return;
    }
    match entries.iter_mut().find(|entry| entry.same_manager(&own)) {
        Some(entry) => {
            own.fields.union(std::mem::take(&mut entry.fields));
            *entry = own;
        }
        None => entries.push(own),
    }
}

impl Entry {
    /// True if a change takes fields that the entry has anyway, and nothing else happens.
    fn holds(&self, changes: &Comparison) -> bool {
        let taken = &changes.taken;
        let stripped = TOP.iter().any(|key| taken.tree().contains_key(key));
        let something = !taken.is_empty() && changes.removed.is_empty();
        something && !stripped && self.fields.contains(taken)
    }
}

/// What a write changes, in one version, without what the endpoint ignores.
pub(crate) fn changes(
    tracking: &Tracking<'_>,
    shape: Shape<'_>,
    old: &Value,
    new: &Value,
) -> Comparison {
    let mut changes = compare(shape, old, new);
    tracking.ignored.filter_comparison(&mut changes);
    changes
}

/// Takes changed and removed fields from all entries but one; entries left with nothing go.
pub(crate) fn settle(
    versions: &mut Versions<'_, '_>,
    entries: &mut Vec<Entry>,
    but: Option<usize>,
) {
    for (index, entry) in entries.iter_mut().enumerate() {
        if Some(index) != but {
            let changes = versions.changes(&entry.api_version);
            entry.fields.subtract(&changes.taken);
            entry.fields.subtract(&changes.removed);
        }
    }
    entries.retain(|entry| !entry.fields.is_empty());
}

/// What a write changes, as entries of each version see it. What the endpoint ignores counts in its own version only.
pub(crate) struct Versions<'a, 't> {
    tracking: &'a Tracking<'t>,
    old: &'a Value,
    new: &'a Value,
    own: Comparison,
    others: Vec<(CompactString, Comparison)>,
}

impl<'a, 't> Versions<'a, 't> {
    pub(crate) fn new(
        tracking: &'a Tracking<'t>,
        old: &'a Value,
        new: &'a Value,
        own: Comparison,
    ) -> Versions<'a, 't> {
        Versions {
            tracking,
            old,
            new,
            own,
            others: Vec::new(),
        }
    }

    pub(crate) fn changes(&mut self, api_version: &str) -> &Comparison {
        if api_version == self.tracking.api_version {
            return &self.own;
        }
        let known = self
            .others
            .iter()
            .position(|(version, _)| version == api_version);
        let at = known.unwrap_or_else(|| {
            let shape = self.tracking.shape_of_version(api_version);
            let shape = shape.unwrap_or_else(|| self.tracking.shape());
            let converted = self.tracking.converted.iter();
            let mut converted = converted.filter(|(version, _)| version == api_version);
            let (old, new) = match converted.next() {
                Some((_, [old, new])) => (old, new),
                None => (self.old, self.new),
            };
            let changes = compare(shape, old, new);
            self.others.push((api_version.into(), changes));
            self.others.len() - 1
        });
        &self.others[at].1
    }
}

/// Fields of an object of which at least the node itself is never tracked.
const TOP: [&str; 3] = ["f:apiVersion", "f:kind", "f:metadata"];

/// Those of them that are no objects.
const TOP_NAMES: [&str; 2] = ["apiVersion", "kind"];

/// Fields of metadata that are never tracked.
const METADATA_NAMES: [&str; 8] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// Takes out what is never tracked (F7).
pub(crate) fn strip(set: &mut FieldSet) {
    set.drop_members_below("f:metadata", &METADATA_NAMES);
    for key in TOP {
        set.drop_member(&[key]);
    }
}

/// Fits stored sets to a schema in which something became one piece (custom resources only: built-in types stay).
pub(crate) fn reconcile(tracking: &Tracking<'_>, entries: &mut [Entry]) {
    if tracking.schema.name().is_some() {
        return;
    }
    for entry in entries {
        if let Some(shape) = tracking.shape_of_version(&entry.api_version)
            && !fits(shape, entry.fields.tree())
        {
            entry.fields = fitted(shape, entry.fields.tree());
        }
    }
}

fn child_shape<'s>(shape: Shape<'s>, key: &str) -> Shape<'s> {
    match key.strip_prefix("f:") {
        Some(name) => shape.child(name),
        None if shape.is_list() => shape.list().items,
        None => Shape::Deduced,
    }
}

fn in_one_piece(shape: Shape<'_>) -> bool {
    match shape {
        Shape::Typed { .. } if shape.is_list() => shape.list().is_atomic(),
        Shape::Typed { .. } => !shape.is_granular_map(),
        _ => false,
    }
}

fn fits(shape: Shape<'_>, level: &Map) -> bool {
    children(level).all(|(key, node)| {
        let child = child_shape(shape, key);
        node.is_empty() || (!in_one_piece(child) && fits(child, node))
    })
}

fn fitted(shape: Shape<'_>, level: &Map) -> FieldSet {
    let mut out = FieldSet::new();
    for (key, node) in children(level) {
        let child = child_shape(shape, key);
        if node.keys().any(|key| key != SELF) && in_one_piece(child) {
            out.put(key, FieldSet::new(), true);
        } else {
            out.put(key, fitted(child, node), is_member(node));
        }
    }
    out
}

/// Puts the old times back where a write changed nothing but times of managedFields (D7).
pub fn keep_times(old: &Value, new: &mut Value) {
    let path = ["metadata", "managedFields"];
    let (Some(Value::Array(stored)), Some(Value::Array(sent))) = (old.at(&path), new.at(&path))
    else {
        return;
    };
    let (Some(a), Some(b)) = (old.as_object(), new.as_object()) else {
        return;
    };
    // Most writes change something, which shows at once; the lists are compared last.
    let rest_equal = a.len() == b.len()
        && a.iter().zip(b.iter()).all(|((k1, v1), (k2, v2))| {
            k1 == k2
                && if k1 == "metadata" {
                    same_but("managedFields", v1, v2)
                } else {
                    v1 == v2
                }
        });
    let but_time = |a: &Value, b: &Value| same_but("time", a, b);
    let times_only = rest_equal
        && stored != sent
        && stored.len() == sent.len()
        && stored.iter().zip(sent).all(|(a, b)| but_time(a, b));
    if times_only {
        let stored = stored.clone();
        new.set(&path, Value::Array(stored));
    }
}

/// True if two objects are equal but for one field.
fn same_but(field: &str, a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let fields = |map: &Map| map.len() - usize::from(map.contains_key(field));
            let rest = |map| Map::iter(map).filter(|(key, _)| *key != field);
            fields(a) == fields(b) && rest(a).eq(rest(b))
        }
        _ => a == b,
    }
}
