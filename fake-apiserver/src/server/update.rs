//! PUT, and the part of every change to a stored object that patches share (C5–C9, D4–D9, G3).

use std::sync::Arc;

use super::access::{self, Attributes};
use super::create::{self, RvRule};
use super::{Answer, Halt, Session, body, conversion, lifecycle, managed};
use crate::json::{CompactString, Value};
use crate::registry::{Resource, split_api_version};
use crate::request::WriteOptions;
use crate::schema;
use crate::status::{Cause, Status};
use crate::store::{Key, Object};
use crate::strategy::field::{At, Errors};
use crate::strategy::metadata;

/// Replaces an object by the body.
pub(super) fn update(
    s: &mut Session<'_>,
    row: Arc<Resource>,
    subresource: &str,
) -> Result<Answer, Halt> {
    crate::request::media::body_type(s.request.header(http::header::CONTENT_TYPE))?;
    let options = WriteOptions::read(&s.request.query, "UpdateOptions")?;
    let mut object = body::object(s, &row, options.field_validation)?;
    body::check_place(s, &row, &mut object)?;
    create::dedup_owner_references(s, &mut object, false);
    let manager = options.manager(s.request.header(http::header::USER_AGENT));
    let live = live(s, &row);
    let Some(existing) = live else {
        if !row.facts.create_on_update || !subresource.is_empty() {
            let name = &s.request.info.name;
            return Err(Status::not_found(&row.group, &row.plural, name).into());
        }
        access::authorize_verb(s, "create")?;
        return create_missing(s, row, object, &options, &manager);
    };
    check_uid(&row, &existing, &object, options.dry_run)?;
    let held = existing.clone();
    let shown = conversion::live_ref(s, &row, &held)?;
    managed::track(s, &row, subresource, Some(&shown), &mut object, &manager)?;
    let change = Change {
        row,
        subresource,
        existing,
        object,
        options: &options,
        options_kind: "UpdateOptions",
    };
    store(s, change)
}

/// The live object of the request's path.
pub(super) fn live(s: &Session<'_>, row: &Resource) -> Option<Arc<Object>> {
    let info = &s.request.info;
    s.core.object(row, &info.namespace, &info.name).cloned()
}

/// D6: PUT on a missing object of some kinds creates it.
fn create_missing(
    s: &mut Session<'_>,
    row: Arc<Resource>,
    mut object: Value,
    options: &WriteOptions,
    manager: &str,
) -> Result<Answer, Halt> {
    let uid = object.str_at(&["metadata", "uid"]).to_owned();
    if !uid.is_empty() {
        let (namespace, name) = (&s.request.info.namespace, &s.request.info.name);
        return Err(storage_conflict(
            &row,
            (namespace, name),
            ("UID", [&uid, ""]),
            options.dry_run,
        )
        .into());
    }
    let sent = object.str_at(&["metadata", "resourceVersion"]).to_owned();
    parse_revision(&sent)?;
    create::wipe_system_fields(&mut object);
    object.remove(&["metadata", "resourceVersion"]);
    let (namespace, name) = (
        s.request.info.namespace.clone(),
        s.request.info.name.clone(),
    );
    lifecycle::admit_create(s, &row, &namespace, &name)?;
    managed::track(s, &row, "", None, &mut object, manager)?;
    created(
        create::finish(s, &row, object, options, RvRule::Ignore)?,
        row,
    )
}

/// The answer to a creation by PUT or apply.
pub(super) fn created(
    result: Result<Arc<Object>, Value>,
    row: Arc<Resource>,
) -> Result<Answer, Halt> {
    let code = 201;
    Ok(match result {
        Ok(object) => Answer::Stored { row, object, code },
        Err(value) => Answer::Value { row, value, code },
    })
}

/// C9: a uid in the body of a PUT must be the object's.
pub(super) fn check_uid(
    row: &Resource,
    existing: &Object,
    object: &Value,
    dry_run: bool,
) -> Result<(), Status> {
    let uids = [object.str_at(&["metadata", "uid"]), existing.uid()];
    check_stored(row, existing, ("UID", uids), dry_run)
}

/// The uid and the revision that a Binding names must be the Pod's.
pub(super) fn check_bound(
    row: &Resource,
    existing: &Object,
    binding: &Value,
    dry_run: bool,
) -> Result<(), Status> {
    check_uid(row, existing, binding, dry_run)?;
    let version = |object: &Value| object.str_at(&["metadata", "resourceVersion"]).to_owned();
    let (sent, stored) = (version(binding), version(existing.value()));
    let versions = ("ResourceVersion", [sent.as_str(), stored.as_str()]);
    check_stored(row, existing, versions, dry_run)
}

fn check_stored(
    row: &Resource,
    existing: &Object,
    (what, [sent, stored]): (&str, [&str; 2]),
    dry_run: bool,
) -> Result<(), Status> {
    if sent.is_empty() || sent == stored {
        return Ok(());
    }
    let place = (existing.namespace(), existing.name());
    let precondition = (what, [sent, stored]);
    Err(storage_conflict(row, place, precondition, dry_run))
}

fn storage_conflict(
    row: &Resource,
    (namespace, name): (&str, &str),
    (what, [sent, stored]): (&str, [&str; 2]),
    dry_run: bool,
) -> Status {
    let root = if dry_run { "" } else { "/registry" };
    let namespace = if row.namespaced { namespace } else { "" };
    let key = Key::new(namespace, name);
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {root}/{}/{key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: {what} in precondition: {sent}, {what} in object meta: {stored}",
        row.storage_prefix()
    );
    Status::conflict(&row.group, &row.plural, name, &why)
}

/// A resourceVersion of a body as storage reads it: 500 if it is no number (D4).
pub(super) fn parse_revision(text: &str) -> Result<u64, Status> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let why = if digits {
            "value out of range"
        } else {
            "invalid syntax"
        };
        Status::bare(format!(
            "strconv.ParseUint: parsing {}: {why}",
            crate::status::go_quote(text)
        ))
    })
}

/// A change on its way into storage.
pub(crate) struct Change<'a> {
    pub(crate) row: Arc<Resource>,
    pub(crate) subresource: &'a str,
    pub(crate) existing: Arc<Object>,
    /// The object wanted, in the row's version, managed fields tracked.
    pub(crate) object: Value,
    pub(crate) options: &'a WriteOptions,
    pub(crate) options_kind: &'static str,
}

/// From mutating admission to storage.
pub(crate) fn store(s: &mut Session<'_>, change: Change<'_>) -> Result<Answer, Halt> {
    let Change {
        row,
        subresource,
        existing,
        mut object,
        options,
        options_kind,
    } = change;
    let held = existing.clone();
    let old = conversion::live_ref(s, &row, &held)?;
    let old: &Value = &old;
    let dry_run = options.dry_run;
    let (namespace, name) = (held.namespace(), held.name());
    let sent_options = access::sent_options(s, options, options_kind);
    let attributes = Attributes {
        operation: "UPDATE",
        row: &row,
        subresource,
        namespace,
        name,
        old: Some(old),
        options: &sent_options,
        dry_run,
    };
    lifecycle::admit_update(s, &row, namespace)?;
    let changed = access::mutate(s, &attributes, &mut object)?;
    if changed {
        body::default(&row, &mut object);
        create::dedup_owner_references(s, &mut object, true);
    }
    crate::apply::keep_times(old, &mut object);
    check_revision(&row, &existing, &mut object)?;
    prepare(s, &row, subresource, &mut object, old, dry_run)?;
    validate(s, &row, subresource, &object, old, name, dry_run)?;
    access::validate(s, &attributes, Some(&object))?;
    if changed {
        access::prune(&row, &mut object);
    }
    s.with_strategy(&row, subresource, dry_run, |cx| {
        row.strategy.allocate(cx, &mut object, Some(old))
    })?;
    if let Some(schema) = row.schema {
        schema::settle(schema, &mut object);
    }
    finish(s, row, existing, object, dry_run)
}

/// Stores the change, or deletes the object when it was only held by its finalizers (G3), or does nothing (D7).
fn finish(
    s: &mut Session<'_>,
    row: Arc<Resource>,
    existing: Arc<Object>,
    object: Value,
    dry_run: bool,
) -> Result<Answer, Halt> {
    let stored = conversion::for_storage(s, &row, object)?;
    let answer = keep(s, row, existing, stored.object, dry_run);
    match stored.unread {
        Some(status) => Err(status.into()),
        None => Ok(answer),
    }
}

fn keep(
    s: &mut Session<'_>,
    row: Arc<Resource>,
    existing: Arc<Object>,
    (stored, views): (Value, Vec<(CompactString, Value)>),
    dry_run: bool,
) -> Answer {
    let key = Key::new(existing.namespace(), existing.name());
    let (origin, now) = (s.origin(), s.now);
    let code = 200;
    let unstored = |stored, views| {
        let object = Arc::new(Object::new(stored, existing.revision()).with_views(views));
        Answer::Stored {
            row: row.clone(),
            object,
            code,
        }
    };
    if deletes(&row, &existing, &stored) {
        if !dry_run {
            s.core.delete(&row, &key, origin, now);
        }
        return unstored(stored, views);
    }
    if stored == *existing.value() && !is_first_write(s, &row, &existing) {
        return Answer::Stored {
            row,
            object: existing,
            code,
        };
    }
    if dry_run {
        return unstored(stored, views);
    }
    let entry = s
        .core
        .put_with_views(&row, key, (stored, views), origin, now);
    let object = entry.object.clone();
    Answer::Stored { row, object, code }
}

/// D7: whether storage does not yet hold what the object is read as, which makes an empty change a real one.
fn is_first_write(s: &Session<'_>, row: &Resource, existing: &Object) -> bool {
    row.strategy.first_write_counts(existing.value())
        && s.core
            .store
            .log_since(existing.revision() - 1)
            .next()
            .is_some_and(|entry| entry.revision == existing.revision() && entry.old.is_none())
}

/// G3: whether a change takes the last finalizer off a terminating object.
pub(crate) fn deletes(row: &Resource, existing: &Object, new: &Value) -> bool {
    let grace = existing
        .value()
        .i64_at(&["metadata", "deletionGracePeriodSeconds"]);
    existing.is_terminating()
        && new.array_at(&["metadata", "finalizers"]).is_empty()
        && grace.unwrap_or(0) == 0
        && (!row.is("", "namespaces") || new.array_at(&["spec", "finalizers"]).is_empty())
}

/// D4, D5: the resourceVersion of the body against the stored one. Sets it to the stored one.
fn check_revision(row: &Resource, existing: &Object, object: &mut Value) -> Result<(), Status> {
    let name = existing.name();
    let sent = parse_revision(object.str_at(&["metadata", "resourceVersion"]))?;
    if sent == 0 && !row.facts.unconditional_update {
        let cause = Cause::invalid(
            "metadata.resourceVersion",
            &0.into(),
            "must be specified for an update",
        );
        return Err(Status::invalid(&row.group, &row.plural, name, vec![cause]));
    }
    if sent != 0 && sent != existing.revision() {
        return Err(Status::conflict_modified(&row.group, &row.plural, name));
    }
    let revision = crate::store::itoa(existing.revision());
    object.set(&["metadata", "resourceVersion"], revision);
    Ok(())
}

/// Restores what an update cannot change, lets the strategy do the same, and counts the generation.
fn prepare(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    subresource: &str,
    object: &mut Value,
    old: &Value,
    dry_run: bool,
) -> Result<(), Status> {
    let old_metadata = &old["metadata"];
    let keep = |object: &mut Value, field: &str| match old_metadata.get(field) {
        kept if object.at(&["metadata", field]) == kept => {}
        Some(value) => object.set(&["metadata", field], value),
        None => drop(object.remove(&["metadata", field])),
    };
    keep(object, "generation");
    s.with_strategy(row, subresource, dry_run, |cx| {
        row.strategy.prepare_update(cx, object, old)
    })?;
    let bumps = row.facts.generation && subresource != "status";
    if bumps && row.strategy.changes_generation(object, old) {
        let generation = old_metadata["generation"].as_i64().unwrap_or(0);
        object.set(&["metadata", "generation"], generation.wrapping_add(1));
    }
    if object.str_at(&["metadata", "uid"]).is_empty() {
        keep(object, "uid");
    }
    keep(object, "creationTimestamp");
    object.remove(&["metadata", "selfLink"]);
    if old_metadata.get("deletionTimestamp").is_some() {
        keep(object, "deletionTimestamp");
    }
    let grace = "deletionGracePeriodSeconds";
    if old_metadata.get(grace).is_some()
        && object.at(&["metadata", grace]).is_none_or(Value::is_null)
    {
        keep(object, grace);
    }
    Ok(())
}

fn validate(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    subresource: &str,
    object: &Value,
    old: &Value,
    name: &str,
    dry_run: bool,
) -> Result<(), Status> {
    let mut errors = Errors::default();
    let root = At::root(object);
    // B3: metadata is checked by the store and again by the kind's own validation.
    let metadata = root.field("metadata");
    if row.is_custom() {
        // L6: and first as if it were new.
        let names = row.strategy.names();
        let before = &old["metadata"];
        metadata::validate_again(&mut errors, &metadata, before, row.namespaced, names, false);
    }
    let before = errors.causes.len();
    metadata::validate_update(&mut errors, &metadata, &old["metadata"], false);
    if errors.causes.len() > before {
        // What was right stays right.
        metadata::validate_update(&mut errors, &metadata, &old["metadata"], false);
    }
    let mut causes = errors.causes;
    causes.extend(s.with_strategy(row, subresource, dry_run, |cx| {
        row.strategy.validate_update(cx, object, old)
    }));
    let finalizers = causes
        .iter()
        .any(|cause| cause.field.starts_with("metadata.finalizers"));
    if !row.is_custom() && !finalizers {
        let mut errors = Errors::default();
        metadata::standard_finalizers(&mut errors, &metadata.field("finalizers"));
        causes.extend(errors.causes);
    }
    if causes.is_empty() {
        if subresource.is_empty() {
            s.warn_about(row, object, Some(old));
        }
        Ok(())
    } else {
        let kind = create::kind_told(row, object);
        let group = if row.is_custom() {
            split_api_version(object.str_at(&["apiVersion"])).0
        } else {
            // The internal type's group: both Event kinds are one (O2).
            &row.storage_version.0
        };
        // A webhook may have changed the name: the answer speaks of the object as it would be.
        let shown = match subresource {
            "" => object.str_at(&["metadata", "name"]),
            _ => name,
        };
        Err(Status::invalid(group, kind, shown, causes))
    }
}
