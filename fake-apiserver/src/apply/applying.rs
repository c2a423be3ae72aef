//! Server-side apply: merging an applied configuration, conflicts, what is given up (F2–F6, F11, F12).
//!
//! Owns the merged object and the sets after it. Does not own parsing of the body, nor decoding the result.
//! Source: structured-merge-diff v6 `merge/update.go`, apimachinery `util/managedfields/internal/{structuredmerge,
//! lastappliedmanager,lastappliedupdater,skipnonapplied,conflict}.go`.

use super::compare;
use super::entries::{self, Entry};
use super::field_set::FieldSet;
use super::managed::{self, Tracking, Versions};
use super::shape::Shape;
use super::typed;
use crate::json::{self, Value};
use crate::status::{Cause, Details, Status};

/// The manager that gets what an object had before its first apply (F11).
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Where kubectl keeps what it applied on the client's side.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Applies a configuration to the live object (or to none, which creates it).
///
/// The answer still has to be decoded, defaulted and validated: merging may leave nulls (F5a). The body's apiVersion and
/// kind are the caller's to check.
pub fn apply(
    tracking: &Tracking<'_>,
    live: Option<&Value>,
    applied: &Value,
    force: bool,
) -> Result<Value, Status> {
    if applied
        .at(&["metadata", "managedFields"])
        .is_some_and(|list| !list.is_null())
    {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let errors = typed::validate(tracking.shape(), applied);
    if !errors.is_empty() {
        return Err(Status::bare(format!(
            "failed to create typed patch object ({}): {}",
            object_text(applied),
            typed::error_text(&errors)
        )));
    }
    let mut base = live.cloned().unwrap_or_else(Value::object);
    let stored = managed::take_managed_fields(&mut base);
    let mut entries = stored.map(entries::read_stored).unwrap_or_default();
    entries.retain(|entry| tracking.shape_of_version(&entry.api_version).is_some());
    if entries.is_empty() && live.is_some() {
        let empty = Value::object();
        managed::record(tracking, &empty, &base, &mut entries, BEFORE_FIRST_APPLY);
        for entry in &mut entries {
            entry.subresource = Default::default();
        }
    }
    managed::reconcile(tracking, &mut entries);
    let kubectl = tracking.manager == "kubectl";
    let again = kubectl.then(|| entries.clone());
    let mut outcome = attempt(tracking, &base, applied, entries, force);
    if let (Err(Refusal::Conflicts(conflicts)), Some(entries)) = (&outcome, again) {
        outcome = match after_client_side_apply(tracking, &base, conflicts.clone()) {
            conflicts if conflicts.is_empty() => attempt(tracking, &base, applied, entries, true),
            conflicts => Err(Refusal::Conflicts(conflicts)),
        };
    }
    let (merged, entries) = outcome.map_err(|refusal| match refusal {
        Refusal::Conflicts(conflicts) => conflict_status(conflicts),
        Refusal::Failed(status) => status,
    })?;
    let mut object = merged.unwrap_or(base);
    if kubectl {
        renew_last_applied(&mut object, applied);
    }
    entries::write(&mut object, entries);
    Ok(object)
}

/// A manager and the fields of its that an apply would change.
type Conflicts = Vec<(Entry, FieldSet)>;

/// Why a try failed.
enum Refusal {
    Conflicts(Conflicts),
    Failed(Status),
}

/// One try: the merged object (none if nothing in it changed) and the entries, or the conflicts.
fn attempt(
    tracking: &Tracking<'_>,
    base: &Value,
    applied: &Value,
    mut entries: Vec<Entry>,
    force: bool,
) -> Result<(Option<Value>, Vec<Entry>), Refusal> {
    let shape = tracking.shape();
    let mut fields = typed::field_set_of(shape, applied);
    tracking.ignored.filter(&mut fields);
    let mut own = Entry {
        manager: tracking.manager.into(),
        applied: true,
        api_version: tracking.api_version.into(),
        subresource: tracking.subresource.into(),
        time: None,
        fields,
    };
    let last = entries
        .iter()
        .position(|entry| entry.same_manager(&own))
        .map(|at| entries.swap_remove(at));
    own.time = last.as_ref().and_then(|last| last.time.clone());
    entries.push(own);
    let at = entries.len() - 1;

    let mut merged = base.clone();
    typed::merge(shape, &mut merged, applied);
    if let Some(last) = last {
        prune(tracking, &mut merged, &entries, &last).map_err(Refusal::Failed)?;
    }
    let changes = managed::changes(tracking, shape, base, &merged);
    let mut versions = Versions::new(tracking, base, &merged, changes);
    if !force {
        let conflicts = conflicts(&mut versions, &entries[..at]);
        if !conflicts.is_empty() {
            return Err(Refusal::Conflicts(conflicts));
        }
    }
    // Order counts here, unlike in the comparison: a reordered list is a change that moves no ownership.
    let changed = !compare::same(base, &merged);
    if changed {
        entries[at].time = tracking.time();
    }
    managed::strip(&mut entries[at].fields);
    managed::settle(&mut versions, &mut entries, Some(at));
    Ok((changed.then_some(merged), entries))
}

fn conflicts(versions: &mut Versions<'_, '_>, others: &[Entry]) -> Conflicts {
    let mut found: Conflicts = Vec::new();
    for entry in others {
        let taken = &versions.changes(&entry.api_version).taken;
        let fields = entry.fields.intersection(taken);
        if !fields.is_empty() {
            found.push((entry.clone(), fields));
        }
    }
    found.sort_by_cached_key(|(entry, _)| entry.identifier());
    found
}

/// Removes what this manager applied last, does not say now, and nobody else owns (F5).
fn prune(
    tracking: &Tracking<'_>,
    merged: &mut Value,
    entries: &[Entry],
    last: &Entry,
) -> Result<(), Status> {
    let own = entries.last().map(|entry| &entry.fields);
    if last.fields.is_empty() {
        return Ok(());
    }
    let Some(shape) = tracking.shape_of_version(&last.api_version) else {
        return Ok(());
    };
    if last.api_version != tracking.api_version {
        // The real server converts the merged object first, and that version need not know all of it.
        let errors = typed::validate(shape, merged);
        if !errors.is_empty() {
            return Err(Status::bare(format!(
                "failed to prune fields: failed to convert merged object to last applied version: {}",
                typed::error_text(&errors)
            )));
        }
    }
    if own.is_some_and(|own| own.contains(&last.fields)) {
        return Ok(());
    }
    let given_up = typed::name_parents(shape, last.fields.tree());
    let mut pruned = merged.clone();
    typed::remove(shape, &mut pruned, given_up.tree());

    // By version, the one of the last apply first: what is managed comes back.
    let mut versions: Vec<&str> = vec![&last.api_version];
    for entry in entries {
        if !versions.contains(&entry.api_version.as_str()) {
            versions.push(&entry.api_version);
        }
    }
    for version in versions {
        let Some(shape) = tracking.shape_of_version(version) else {
            continue;
        };
        let mut kept = FieldSet::new();
        for entry in entries.iter().filter(|entry| entry.api_version == version) {
            kept.union(entry.fields.clone());
        }
        let mut kept = typed::name_parents(shape, kept.tree());
        kept.union(named_fields(shape, &pruned));
        let mut gone = named_fields(shape, merged);
        gone.subtract(&kept);
        pruned = merged.clone();
        typed::remove_all(shape, &mut pruned, &gone);
    }

    let mut gone = named_fields(shape, merged);
    gone.subtract(&named_fields(shape, &pruned));
    let gone = gone.intersection(&given_up);
    typed::remove_all(shape, merged, &gone);
    Ok(())
}

fn named_fields(shape: Shape<'_>, value: &Value) -> FieldSet {
    let fields = typed::field_set_of(shape, value);
    typed::name_parents(shape, fields.tree())
}

/// The conflicts that stay when kubectl moves from client-side apply: all if one is not of what it applied before.
fn after_client_side_apply(
    tracking: &Tracking<'_>,
    live: &Value,
    mut conflicts: Conflicts,
) -> Conflicts {
    let annotation = live.str_at(&["metadata", "annotations", LAST_APPLIED]);
    let Ok(before) = json::parse(annotation.as_bytes()) else {
        return conflicts;
    };
    if !before.is_object() || !typed::validate(tracking.shape(), &before).is_empty() {
        return conflicts;
    }
    let mut allowed = typed::field_set_of(tracking.shape(), &before);
    tracking.ignored.filter(&mut allowed);
    for (_, fields) in &mut conflicts {
        fields.subtract(&allowed);
    }
    conflicts.retain(|(_, fields)| !fields.is_empty());
    conflicts
}

/// Keeps kubectl's annotation in step with what kubectl applies (F11).
fn renew_last_applied(object: &mut Value, applied: &Value) {
    let path = ["metadata", "annotations", LAST_APPLIED];
    if object.at(&path).is_none() {
        return;
    }
    let mut applied = applied.clone();
    applied.remove(&path);
    let text = format!("{applied}\n");
    let others: usize = object
        .at(&path[..2])
        .and_then(Value::as_object)
        .map_or(0, |map| {
            map.iter()
                .filter(|(key, _)| *key != LAST_APPLIED)
                .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
                .sum()
        });
    // Annotations may have 256 KiB in all; where this one does not fit any more, it goes.
    if others + LAST_APPLIED.len() + text.len() > 256 * 1024 {
        object.remove(&path);
    } else {
        object.set(&path, text);
    }
}

/// The answer to conflicts (F3).
fn conflict_status(conflicts: Conflicts) -> Status {
    let mut causes = Vec::new();
    let mut groups = Vec::new();
    for (entry, fields) in &conflicts {
        let manager = entry.printed();
        let paths = fields.paths();
        for path in &paths {
            let text = format!("conflict with {manager}");
            causes.push(Cause::new("FieldManagerConflict", path.as_str(), text));
        }
        let lines: String = paths.iter().map(|path| format!("\n- {path}")).collect();
        groups.push(format!("conflicts with {manager}:{lines}"));
    }
    let message = match causes.as_slice() {
        [one] => format!(
            "Apply failed with 1 conflict: {}: {}",
            one.message, one.field
        ),
        many => format!(
            "Apply failed with {} conflicts: {}",
            many.len(),
            groups.join("\n")
        ),
    };
    let details = Details {
        causes,
        ..Details::default()
    };
    Status::detailed(409, "Conflict", message, details)
}

/// An applied object as errors name it: `ns/name; group/version, Kind=Kind`.
pub(crate) fn object_text(object: &Value) -> String {
    let api_version = object.str_at(&["apiVersion"]);
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!(
        "{}/{}; {slash}{api_version}, Kind={}",
        object.str_at(&["metadata", "namespace"]),
        object.str_at(&["metadata", "name"]),
        object.str_at(&["kind"])
    )
}
