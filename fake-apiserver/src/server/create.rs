//! POST on a collection, and the part of it that create-on-update and create-on-apply share (C, D1, D2).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::access::{self, Attributes};
use super::{Answer, Halt, Session, body, conversion, lifecycle, managed, subresource};
use crate::ids::Ids;
use crate::json::{self, CompactString, Value};
use crate::registry::Resource;
use crate::request::WriteOptions;
use crate::schema;
use crate::status::{Cause, Status};
use crate::store::{Key, Object};
use crate::strategy::field::{At, Errors};
use crate::strategy::metadata;

/// Longest prefix of a generated name (63 less five).
const PREFIX_MAX: usize = 58;
/// How often a generated name is drawn before giving up (C4).
const NAME_TRIES: usize = 8;

/// Creates an object from the body.
pub(super) fn create(s: &mut Session<'_>, row: Arc<Resource>) -> Result<Answer, Halt> {
    let request = s.request;
    body::check_media_type(s, &row)?;
    let options = WriteOptions::read(&s.request.query, "CreateOptions")?;
    let mut object = body::object(s, &row, options.field_validation)?;
    let namespace = request.info.namespace.as_str();
    body::check_namespace(&row, namespace, &mut object)?;
    wipe_system_fields(&mut object);
    if subresource::is_virtual(&row) {
        return subresource::create_virtual(s, row, object, &options);
    }
    dedup_owner_references(s, &mut object, false);
    let shown = given_name(&object).to_owned();
    let manager = options.manager(s.request.header(http::header::USER_AGENT));
    lifecycle::admit_create(s, &row, namespace, &shown)?;
    managed::track(s, &row, "", None, &mut object, &manager)?;
    let created = finish(s, &row, object, &options, RvRule::Refuse)?;
    Ok(match created {
        Ok(object) => Answer::Stored {
            row,
            object,
            code: 201,
        },
        Err(value) => Answer::Value {
            row,
            value,
            code: 201,
        },
    })
}

/// What a resourceVersion in the body means to a creation (C2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RvRule {
    /// POST: refused.
    Refuse,
    /// PUT and apply: dropped.
    Ignore,
}

/// From mutating admission to storage. `Ok(Err(value))` is the answer of a dry run.
pub(super) fn finish(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    mut object: Value,
    options: &WriteOptions,
    rule: RvRule,
) -> Result<Result<Arc<Object>, Value>, Halt> {
    let namespace = CompactString::from(object.str_at(&["metadata", "namespace"]));
    let given = CompactString::from(object.str_at(&["metadata", "name"]));
    if row.custom.as_ref().is_some_and(|custom| custom.terminating) {
        // L10
        let why = "create not allowed while custom resource definition is terminating";
        return Err(Status::forbidden(&row.group, &row.plural, &given, why).into());
    }
    let sent_options = access::sent_options(s, options, "CreateOptions");
    let attributes = Attributes {
        operation: "CREATE",
        row,
        subresource: "",
        namespace: &namespace,
        name: &given,
        old: None,
        options: &sent_options,
        dry_run: options.dry_run,
    };
    let changed = access::mutate(s, &attributes, &mut object)?;
    if changed {
        body::default(row, &mut object);
        dedup_owner_references(s, &mut object, true);
    }
    let mut admitted = object;
    let mut tries = 0;
    loop {
        // Only a generated name is tried again.
        let last = !given.is_empty() || tries == NAME_TRIES - 1;
        let mut object = match last {
            true => admitted.take(),
            false => admitted.clone(),
        };
        fill_system_fields(s, row, &mut object);
        s.with_strategy(row, "", options.dry_run, |cx| {
            row.strategy.prepare_create(cx, &mut object)
        })?;
        let name = CompactString::from(object.str_at(&["metadata", "name"]));
        validate(s, row, &object, &name, options.dry_run)?;
        let named = Attributes {
            name: &name,
            ..attributes.clone()
        };
        access::validate(s, &named, Some(&object))?;
        if changed {
            access::prune(row, &mut object);
        }
        let sent = object.str_at(&["metadata", "resourceVersion"]);
        let versioned = rule == RvRule::Refuse && sent.parse::<u64>().is_ok_and(|sent| sent != 0);
        if versioned && !options.dry_run {
            let why = "resourceVersion should not be set on objects to be created";
            return Err(Status::bare(why).into());
        }
        let key = Key::new(&namespace, &name);
        if let Some(existing) = s.core.store.get(row.id, &key) {
            let generated = given.is_empty();
            if !last {
                tries += 1;
                continue;
            }
            return Err(taken(row, &name, existing, generated).into());
        }
        s.with_strategy(row, "", options.dry_run, |cx| {
            row.strategy.allocate(cx, &mut object, None)
        })?;
        if let Some(schema) = row.schema {
            schema::settle(schema, &mut object);
        }
        if options.dry_run {
            // POST echoes a revision sent with a dry run (C2).
            if !versioned {
                object.remove(&["metadata", "resourceVersion"]);
            }
            return Ok(Err(object));
        }
        let stored = conversion::for_storage(s, row, object)?;
        let origin = s.origin();
        let now = s.now;
        let entry = s.core.put_with_views(row, key, stored.object, origin, now);
        return match stored.unread {
            Some(status) => Err(status.into()),
            None => Ok(Ok(entry.object.clone())),
        };
    }
}

/// The object in the version it is stored in.
pub(super) fn to_storage(s: &Session<'_>, row: &Resource, mut object: Value) -> Value {
    let (group, version) = (&row.storage_version.0, &row.storage_version.1);
    if (group, version) == (&row.group, &row.version) {
        return object;
    }
    let storage = s.core.registry.by_id(row.id).cloned();
    if let Some(storage) = storage {
        match &row.custom {
            Some(custom) => drop(crate::schema::prune(&custom.storage_schema, &mut object)),
            None => row.strategy.convert(&mut object, &storage),
        }
        let map = object.make_object();
        map.insert("apiVersion", storage.api_version());
        map.insert("kind", &storage.kind);
    }
    object
}

/// The stored object in the row's version.
pub(super) fn from_storage(row: &Resource, object: &Object) -> Value {
    if row.needs_webhook()
        && let Some(view) = object.view(&row.version)
    {
        return view.clone();
    }
    let mut value = object.value().clone();
    if row.reshapes() {
        row.strategy.convert(&mut value, row);
        let map = value.make_object();
        map.insert("apiVersion", row.api_version());
        map.insert("kind", &row.kind);
    }
    value
}

fn taken(row: &Resource, name: &str, existing: &Object, generated: bool) -> Status {
    let mut status = Status::already_exists(&row.group, &row.plural, name);
    if generated {
        let subject = format!("{} {}", row.group_resource(), crate::status::go_quote(name));
        status.message = format!(
            "{subject} already exists, the server was not able to generate a unique name for the object"
        );
        status.details_mut().retry_after_seconds = 1;
    } else if existing.is_terminating() {
        status.message = format!("object is being deleted: {}", status.message);
    }
    status
}

/// The name, or the prefix it will be generated from.
pub(super) fn given_name(object: &Value) -> &str {
    match object.str_at(&["metadata", "name"]) {
        "" => object.str_at(&["metadata", "generateName"]),
        name => name,
    }
}

/// C1: what a client cannot set.
pub(super) fn wipe_system_fields(object: &mut Value) {
    let metadata = object.make_object().object("metadata");
    metadata.retain(|field, _| {
        !matches!(
            field,
            "creationTimestamp"
                | "deletionGracePeriodSeconds"
                | "deletionTimestamp"
                | "selfLink"
                | "uid"
        )
    });
}

fn fill_system_fields(s: &mut Session<'_>, row: &Resource, object: &mut Value) {
    let uid = s.uid();
    let now = s.now.rfc3339();
    let prefix = object.str_at(&["metadata", "generateName"]).to_owned();
    let unnamed = object.str_at(&["metadata", "name"]).is_empty();
    let generated = (unnamed && !prefix.is_empty()).then(|| {
        let cut = (0..=prefix.len().min(PREFIX_MAX))
            .rev()
            .find(|at| prefix.is_char_boundary(*at));
        format!("{}{}", &prefix[..cut.unwrap_or(0)], s.suffix())
    });
    let metadata = object.make_object().object("metadata");
    metadata.insert("uid", uid);
    metadata.insert("creationTimestamp", now);
    if let Some(name) = generated {
        metadata.insert("name", name);
    }
    // C6: a generation of its own begins at 1, another kind keeps what it was sent.
    if row.facts.generation {
        metadata.insert("generation", 1);
    }
}

fn validate(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    object: &Value,
    name: &str,
    dry_run: bool,
) -> Result<(), Status> {
    let mut errors = Errors::default();
    let root = At::root(object);
    metadata::validate(
        &mut errors,
        &root.field("metadata"),
        row.namespaced,
        row.strategy.names(),
        !row.is_custom(),
    );
    let mut causes = errors.causes;
    causes.extend(s.with_strategy(row, "", dry_run, |cx| {
        row.strategy.validate_create(cx, object)
    }));
    if row.is_custom() {
        warn_finalizers(s, object);
    }
    // A missing name is told alone (C4), unless the kind is a wrong one.
    if causes.iter().any(|cause| cause.field == "kind") {
        causes.retain(|cause| cause.field == "kind");
    } else if name.is_empty() {
        causes = vec![Cause::required(
            "metadata.name",
            "name or generateName is required",
        )];
    }
    if causes.is_empty() {
        s.warn_about(row, object, None);
        Ok(())
    } else {
        Err(Status::invalid(
            &row.storage_version.0,
            kind_told(row, object),
            name,
            causes,
        ))
    }
}

/// C11: finalizers of custom resources should be qualified names.
pub(super) fn warn_finalizers(s: &mut Session<'_>, object: &Value) {
    for finalizer in object.array_at(&["metadata", "finalizers"]) {
        let name = finalizer.as_str().unwrap_or_default();
        if !name.contains('/') && !matches!(name, "orphan" | "foregroundDeletion") {
            s.warn(format!(
                "metadata.finalizers: {}: prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers",
                crate::status::go_quote(name)
            ));
        }
    }
}

/// The kind a field error names: a custom resource's is what the client wrote (L5).
pub(super) fn kind_told<'a>(row: &'a Resource, object: &'a Value) -> &'a str {
    if row.is_custom() {
        object.str_at(&["kind"])
    } else {
        &row.kind
    }
}

/// C12: equal owner references are stored once, with a warning.
pub(super) fn dedup_owner_references(
    s: &mut Session<'_>,
    object: &mut Value,
    after_admission: bool,
) {
    let Some(Value::Array(owners)) = object.at_mut(&["metadata", "ownerReferences"]) else {
        return;
    };
    if owners.len() < 2 {
        return;
    }
    let (mut seen, mut told) = (BTreeSet::new(), BTreeSet::new());
    let mut uids: Vec<String> = Vec::new();
    owners.retain(|owner| {
        let new = seen.insert(json::to_vec(owner));
        let uid = owner.str_at(&["uid"]);
        if !new && told.insert(uid.to_owned()) {
            uids.push(uid.to_owned());
        }
        new
    });
    if uids.is_empty() {
        return;
    }
    let when = if after_admission {
        " after mutating admission happens"
    } else {
        ""
    };
    s.warn(format!(
        ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
        uids.join(", ")
    ));
}
