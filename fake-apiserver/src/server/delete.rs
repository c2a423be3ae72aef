//! DELETE on an object and on a collection: preconditions, finalizers, grace, propagation (G).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::access::{self, Attributes};
use super::{Answer, Core, Halt, ListAnswer, Session, conversion, lifecycle, read, type_meta};
use crate::json::{self, Value};
use crate::protobuf;
use crate::registry::{Propagation, Resource};
use crate::request::media::{BodyType, body_type};
use crate::request::{DeleteOptions, ListOptions};
use crate::status::{Status, group_resource};
use crate::store::{Key, Object, Origin};
use crate::time::Timestamp;
use crate::yaml;

/// The finalizer of foreground deletion.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of orphaning.
pub(crate) const ORPHAN: &str = "orphan";

/// What became of an object that was to be deleted.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// It is gone; its last state with the deletion's revision.
    Gone(Arc<Object>),
    /// It stays for now, marked.
    Kept(Arc<Object>),
}

/// Deletes an object.
pub(super) fn delete(s: &mut Session<'_>, row: Arc<Resource>) -> Result<Answer, Halt> {
    let options = options(s)?;
    let info = &s.request.info;
    let (namespace, name) = (info.namespace.clone(), info.name.clone());
    for warning in row.strategy.delete_warnings(explicit(&options)) {
        s.warn(warning);
    }
    lifecycle::admit_delete(&row, &name)?;
    let Some(existing) = s.core.object(&row, &namespace, &name).cloned() else {
        return Err(Status::not_found(&row.group, &row.plural, &name).into());
    };
    let deleted = delete_one(s, &row, &existing, &name, &options)?;
    Ok(answer(row, deleted, &existing, &options))
}

fn explicit(options: &DeleteOptions) -> bool {
    options.propagation.is_some() || options.orphan_dependents.is_some()
}

fn answer(
    row: Arc<Resource>,
    deleted: Deleted,
    existing: &Object,
    options: &DeleteOptions,
) -> Answer {
    match deleted {
        Deleted::Gone(_) if !row.facts.delete_returns_object => Answer::Status(Status::deleted(
            &row.group,
            &row.plural,
            existing.name(),
            existing.uid(),
        )),
        Deleted::Gone(object) => Answer::Stored {
            row,
            object,
            code: 200,
        },
        Deleted::Kept(object) => Answer::Stored {
            row,
            object,
            code: if options.orphan_dependents == Some(false) {
                202
            } else {
                200
            },
        },
    }
}

/// G5a, G5b: options come from the body; only an empty one leaves them to the query.
fn options(s: &Session<'_>) -> Result<DeleteOptions, Status> {
    if s.request.body.is_empty() {
        return DeleteOptions::from_query(&s.request.query);
    }
    let body = &s.request.body;
    let value = match body_type(s.request.header(http::header::CONTENT_TYPE))? {
        BodyType::Yaml => yaml::parse(body)
            .map(|parsed| parsed.value)
            .map_err(Status::bad_request)?,
        BodyType::Protobuf if !protobuf::is_enveloped(body) => {
            return Err(Status::bad_request(
                "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
            ));
        }
        BodyType::Protobuf => {
            protobuf::decode(body, ("v1", "DeleteOptions")).map_err(Status::bad_request)?
        }
        _ => json::parse(body).map_err(|error| {
            Status::bad_request(format!(
                "couldn't get version/kind; json parse error: {}",
                error.message
            ))
        })?,
    };
    let (kind, api_version) = type_meta::read(&value).map_err(Status::bad_request)?;
    match kind {
        "" | "DeleteOptions" => DeleteOptions::from_value(&value),
        "Status" => Err(Status::bad_request(
            "converting (v1.Status) to (v1.DeleteOptions): unknown conversion",
        )),
        kind => {
            let version = match api_version {
                "" => "meta.k8s.io/v1",
                version => version,
            };
            Err(Status::bad_request(type_meta::not_registered(
                kind, version,
            )))
        }
    }
}

/// Admission and deletion of one object.
pub(crate) fn delete_one(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    existing: &Arc<Object>,
    admitted_name: &str,
    options: &DeleteOptions,
) -> Result<Deleted, Halt> {
    let mut existing = existing.clone();
    if cut_short(row, &existing, options) && !options.dry_run {
        // AD10: a grace period that ends at once is one write, the removal another; both are asked for.
        admit(s, row, &existing, admitted_name, options)?;
        let mut value = existing.value().clone();
        give_grace(&mut value, 0, s.now);
        let key = Key::new(existing.namespace(), existing.name());
        let (origin, now) = (s.origin(), s.now);
        existing = s
            .core
            .put(row, key.clone(), value, origin, now)
            .object
            .clone();
        s.attempt.step_done(format!("{}, its grace", key.as_str()));
    }
    admit(s, row, &existing, admitted_name, options)?;
    let (origin, now) = (s.origin(), s.now);
    Ok(remove(s.core, row, &existing, options, origin, now))
}

/// Whether an object that has time left is to go at once.
fn cut_short(row: &Resource, existing: &Object, options: &DeleteOptions) -> bool {
    let running = existing
        .value()
        .i64_at(&["metadata", "deletionGracePeriodSeconds"]);
    existing.is_terminating()
        && running.unwrap_or(0) > 0
        && matches!(grace(row, existing.value(), options), Grace::Seconds(0))
        && existing
            .value()
            .array_at(&["metadata", "finalizers"])
            .is_empty()
}

/// Admission of a deletion.
fn admit(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    existing: &Arc<Object>,
    admitted_name: &str,
    options: &DeleteOptions,
) -> Result<(), Halt> {
    let old = conversion::live(s, row, existing)?;
    let mut sent_options = options.to_value();
    // AD2a: what the kind gives by itself is in the options.
    if let Some(seconds) = row.strategy.grace_seconds(&old, options.grace_seconds) {
        sent_options.set(&["gracePeriodSeconds"], seconds);
    }
    let namespace = existing.namespace().to_owned();
    let attributes = Attributes {
        operation: "DELETE",
        row,
        subresource: "",
        namespace: &namespace,
        name: admitted_name,
        old: Some(&old),
        options: &sent_options,
        dry_run: options.dry_run,
    };
    let mut nothing = Value::Null;
    preconditions(row, existing, options)?;
    access::mutate(s, &attributes, &mut nothing)?;
    access::validate(s, &attributes, None)
}

/// G5: uid and resourceVersion asked for.
pub(crate) fn preconditions(
    row: &Resource,
    existing: &Object,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let name = existing.name();
    let revision = existing.value().str_at(&["metadata", "resourceVersion"]);
    let wrong = [
        ("UID", &options.uid, existing.uid()),
        ("ResourceVersion", &options.resource_version, revision),
    ];
    for (what, asked, found) in wrong {
        let Some(asked) = asked else { continue };
        if asked == found {
            continue;
        }
        if row.is("", "namespaces") || row.is("apiextensions.k8s.io", "customresourcedefinitions") {
            let why = format!(
                "Precondition failed: {what} in precondition: {asked}, {what} in object meta: {found}"
            );
            return Err(Status::conflict(&row.group, &row.plural, name, &why));
        }
        let what_then = if what == "UID" {
            "deleted and then recreated"
        } else {
            "modified"
        };
        let why = format!(
            "the {what} in the precondition ({asked}) does not match the {what} in record ({found}). The object might have been {what_then}"
        );
        let mut status = Status::conflict(&row.group, &row.kind, name, &why);
        status.message = format!(
            "Operation cannot be fulfilled on {} {}: {why}",
            group_resource(&row.kind, &row.group),
            crate::status::go_quote(name)
        );
        return Err(status);
    }
    Ok(())
}

/// Marks or removes an object, as its finalizers and its kind demand (G2, G6–G8).
pub(crate) fn remove(
    core: &mut Core,
    row: &Resource,
    existing: &Arc<Object>,
    options: &DeleteOptions,
    origin: Origin,
    now: Timestamp,
) -> Deleted {
    let key = Key::new(existing.namespace(), existing.name());
    let mut value = existing.value().clone();
    if row.is("apiextensions.k8s.io", "customresourcedefinitions") && !existing.is_terminating() {
        crate::actors::crd::mark_terminating(&mut value, now);
        if options.dry_run {
            return Deleted::Kept(Arc::new(Object::new(value, existing.revision())));
        }
        return Deleted::Kept(core.put(row, key, value, origin, now).object.clone());
    }
    if row.is("", "namespaces") && !first_mark_done(existing) {
        return mark_namespace(core, row, existing, value, options, origin, now);
    }
    if row.is("", "namespaces")
        && !existing
            .value()
            .array_at(&["spec", "finalizers"])
            .is_empty()
    {
        return Deleted::Kept(existing.clone());
    }
    let grace = grace(row, &value, options);
    if let Grace::Pending = grace {
        return Deleted::Kept(existing.clone());
    }
    let finalizers = wanted_finalizers(row, &value, options);
    let held = !finalizers.is_empty();
    set_finalizers(&mut value, finalizers);
    match grace {
        Grace::None if held => mark(&mut value, now),
        Grace::None => {}
        Grace::Pending => unreachable!("answered above"),
        Grace::Seconds(seconds) => {
            give_grace(&mut value, seconds, now);
        }
    }
    let gone = !held && matches!(grace, Grace::None | Grace::Seconds(0));
    let mut object = existing.clone();
    // An object that goes without grace is not written first.
    let written = !(gone && matches!(grace, Grace::None));
    if written && value != *existing.value() {
        object = if options.dry_run {
            Arc::new(Object::new(value, existing.revision()))
        } else {
            let entry = core.put(row, key.clone(), value, origin.clone(), now);
            entry.object.clone()
        };
    }
    if !gone {
        return Deleted::Kept(object);
    }
    if options.dry_run {
        return Deleted::Gone(object);
    }
    match core.delete(row, &key, origin, now) {
        Some(entry) => Deleted::Gone(entry.object.clone()),
        None => Deleted::Gone(object),
    }
}

fn first_mark_done(existing: &Object) -> bool {
    existing.is_terminating()
}

/// N2: the first DELETE of a Namespace only marks it.
fn mark_namespace(
    core: &mut Core,
    row: &Resource,
    existing: &Arc<Object>,
    mut value: Value,
    options: &DeleteOptions,
    origin: Origin,
    now: Timestamp,
) -> Deleted {
    let finalizers = wanted_finalizers(row, &value, options);
    set_finalizers(&mut value, finalizers);
    value.set(&["metadata", "deletionTimestamp"], now.rfc3339());
    value.set(&["status", "phase"], "Terminating");
    let key = Key::new("", existing.name());
    if options.dry_run {
        return Deleted::Kept(Arc::new(Object::new(value, existing.revision())));
    }
    let entry = core.put(row, key, value, origin, now);
    Deleted::Kept(entry.object.clone())
}

enum Grace {
    /// The kind knows no grace.
    None,
    /// Already going, nothing shortens it.
    Pending,
    /// Goes after this many seconds.
    Seconds(i64),
}

/// G8: the grace a Pod is given; later requests may only shorten it.
fn grace(row: &Resource, value: &Value, options: &DeleteOptions) -> Grace {
    let asked = options
        .grace_seconds
        .map(|seconds| if seconds < 0 { 1 } else { seconds });
    let Some(seconds) = row.strategy.grace_seconds(value, asked) else {
        return Grace::None;
    };
    if value.at(&["metadata", "deletionTimestamp"]).is_none() {
        return Grace::Seconds(seconds);
    }
    let running = value.i64_at(&["metadata", "deletionGracePeriodSeconds"]);
    match (asked, running) {
        (Some(asked), Some(running)) if asked < running => Grace::Seconds(asked),
        (_, Some(0)) => Grace::None,
        _ => Grace::Pending,
    }
}

fn give_grace(value: &mut Value, seconds: i64, now: Timestamp) {
    let metadata = &value["metadata"];
    let began = match (
        Timestamp::parse_rfc3339(metadata["deletionTimestamp"].as_str().unwrap_or_default()),
        metadata["deletionGracePeriodSeconds"].as_i64(),
    ) {
        (Some(end), Some(running)) => end.seconds() - running,
        _ => {
            bump_generation(value);
            now.seconds()
        }
    };
    let end = Timestamp::from_seconds(began + seconds);
    value.set(&["metadata", "deletionTimestamp"], end.rfc3339());
    value.set(&["metadata", "deletionGracePeriodSeconds"], seconds);
}

/// G2: an object held by finalizers.
fn mark(value: &mut Value, now: Timestamp) {
    if value.at(&["metadata", "deletionTimestamp"]).is_none() {
        bump_generation(value);
        value.set(&["metadata", "deletionTimestamp"], now.rfc3339());
    }
    value.set(&["metadata", "deletionGracePeriodSeconds"], 0);
}

/// C7
fn bump_generation(value: &mut Value) {
    if let Some(generation) = value.i64_at(&["metadata", "generation"])
        && generation > 0
    {
        value.set(&["metadata", "generation"], generation.wrapping_add(1));
    }
}

/// G6: the finalizers with those of the collector as the policy wants them.
fn wanted_finalizers(row: &Resource, value: &Value, options: &DeleteOptions) -> Vec<Value> {
    let present = value.array_at(&["metadata", "finalizers"]);
    let has = |name: &str| present.iter().any(|finalizer| *finalizer == *name);
    let policy = options.propagation.as_deref();
    let (orphan, foreground) = if row.facts.propagation == Propagation::Unsupported {
        (false, false)
    } else if let Some(orphan) = options.orphan_dependents {
        (orphan, false)
    } else if let Some(policy) = policy {
        (policy == "Orphan", policy == "Foreground")
    } else if has(ORPHAN) {
        (true, false)
    } else if has(FOREGROUND) {
        (false, true)
    } else {
        (row.facts.propagation == Propagation::Orphan, false)
    };
    if has(ORPHAN) == orphan && has(FOREGROUND) == foreground {
        return present.to_vec();
    }
    let others = present.iter();
    let others = others.filter(|finalizer| **finalizer != *ORPHAN && **finalizer != *FOREGROUND);
    let mut wanted: Vec<Value> = others.cloned().collect();
    if orphan {
        wanted.push(ORPHAN.into());
    }
    if foreground {
        wanted.push(FOREGROUND.into());
    }
    wanted
}

fn set_finalizers(value: &mut Value, finalizers: Vec<Value>) {
    if finalizers.is_empty() {
        value.remove(&["metadata", "finalizers"]);
    } else {
        value.set(&["metadata", "finalizers"], finalizers);
    }
}

/// G9: deletes what a list finds, one by one.
pub(super) fn delete_collection(s: &mut Session<'_>, row: Arc<Resource>) -> Result<Answer, Halt> {
    let options = options(s)?;
    let list = ListOptions::for_list(&s.request.query)?;
    let page = read::page(s, &row, &list)?;
    let done: BTreeSet<String> = s.attempt.done.iter().cloned().collect();
    for item in &page.items {
        let key = Key::new(item.namespace(), item.name());
        if done.contains(key.as_str()) {
            continue;
        }
        // An object that has gone meanwhile is no failure.
        if let Some(existing) = s.core.store.get(row.id, &key).cloned() {
            delete_one(s, &row, &existing, "", &options)?;
        }
        s.attempt.done_objects.push(item.clone());
        s.attempt.step_done(key.as_str().to_owned());
    }
    // A request that halted lists anew; what went before that is listed no more.
    let items = s.attempt.done_objects.clone();
    Ok(Answer::List(ListAnswer { row, items, ..page }))
}
