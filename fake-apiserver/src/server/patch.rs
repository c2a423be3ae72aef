//! PATCH: the four kinds of patches, from body to a change of the object (E, F, D8, D17).
//!
//! Owns order and errors around a patch; the patches themselves are owned by `patch` and `apply`.

use std::sync::Arc;

use super::update::{self, Change};
use super::{Answer, Halt, Session, body, conversion, create, lifecycle, managed};
use crate::apply;
use crate::json::Value;
use crate::patch::{self, PatchType, Patched};
use crate::registry::{Resource, split_api_version};
use crate::request::WriteOptions;
use crate::request::media::{BodyType, patch_type};
use crate::request::options::FieldValidation;
use crate::schema;
use crate::status::Status;
use crate::yaml;

/// Changes an object by a patch.
pub(super) fn patch(
    s: &mut Session<'_>,
    row: Arc<Resource>,
    subresource: &str,
) -> Result<Answer, Halt> {
    let kind = patch_type(
        s.request.header(http::header::CONTENT_TYPE),
        row.is_custom(),
    )?;
    let options = WriteOptions::read_patch(&s.request.query, kind == BodyType::Apply)?;
    let manager = options.manager(s.request.header(http::header::USER_AGENT));
    let Some(kind) = of_body(kind) else {
        return apply(s, row, subresource, &options, &manager);
    };
    let Some(existing) = update::live(s, &row) else {
        return Err(missing(s, &row).into());
    };
    let held = existing.clone();
    let live = conversion::live_ref(s, &row, &held)?;
    let schema = managed::schema_of(&row);
    let patched = patch::patch_untracked(kind, &live, &s.request.body, schema)?;
    if row.is_custom() && patched.value.str_at(&["apiVersion"]).is_empty() {
        let why = "Object 'apiVersion' is missing in 'object has no apiVersion field'";
        return Err(Status::internal(why).into());
    }
    let validation = options.field_validation;
    // A conversion webhook is sent the whole object, and so is a client that gets to hear what is wrong with it.
    let whole = row.custom.as_ref().is_some_and(|custom| custom.webhook);
    let decoded = decode(s, &row, &live, patched, kind, validation);
    let mut object = match decoded {
        Ok(object) if !whole => object,
        _ => {
            let patched = patch::patch(kind, &live, &s.request.body, schema)?;
            decode(s, &row, &live, patched, kind, validation)?
        }
    };
    body::check_place(s, &row, &mut object)?;
    managed::track(s, &row, subresource, Some(&live), &mut object, &manager)?;
    create::dedup_owner_references(s, &mut object, true);
    let change = Change {
        row,
        subresource,
        existing,
        object,
        options: &options,
        options_kind: "PatchOptions",
    };
    update::store(s, change)
}

/// The patch type of a body; `None` for apply.
pub(super) fn of_body(kind: BodyType) -> Option<PatchType> {
    match kind {
        BodyType::JsonPatch => Some(PatchType::Json),
        BodyType::MergePatch => Some(PatchType::Merge),
        BodyType::StrategicPatch => Some(PatchType::Strategic),
        _ => None,
    }
}

fn missing(s: &Session<'_>, row: &Resource) -> Status {
    Status::not_found(&row.group, &row.plural, &s.request.info.name)
}

/// Decodes a patched document: what does not fit is told on the field `patch` (D11).
fn decode(
    s: &mut Session<'_>,
    row: &Resource,
    live: &Value,
    mut patched: Patched,
    kind: PatchType,
    validation: FieldValidation,
) -> Result<Value, Status> {
    let schema = managed::schema_of(row);
    let request = s.request;
    // Decoding consumes the document; where it fails it is made once more, to be quoted.
    let refuse = |why: &str| match patch::patch(kind, live, &request.body, schema) {
        Ok(patched) => patched.undecodable(schema, live, why),
        Err(status) => status,
    };
    if row.is_custom() && patched.value.str_at(&["kind"]).is_empty() {
        let why = format!("Object 'Kind' is missing in '{}'", patched.value);
        return Err(refuse(&why));
    }
    if patched.is_strategic() {
        if let Some(why) = patch::conversion_error(schema, &patched.value) {
            return Err(refuse(&why));
        }
    } else if !row.is_custom() {
        if patched.value.str_at(&["apiVersion"]).is_empty() {
            let keys = patched.value.as_object().into_iter().flatten();
            let unknown: Vec<String> = keys
                .map(|(key, _)| key.to_owned())
                .filter(|key| key != "kind")
                .collect();
            report(s, &patched, &unknown, validation, refuse)?;
            return Err(body::unnamed(s));
        }
        check_type(s, row, &patched.value).map_err(|why| refuse(&why))?;
    }
    if row.is_custom() {
        warn_of_other_version(s, row, &patched.value);
    }
    let document = patched.value.take();
    let decoded = if row.is_custom() {
        schema::decode_custom(schema, document)
    } else {
        schema::decode(schema, document)
    };
    let decoded = decoded.map_err(|why| refuse(&why))?;
    report(s, &patched, &decoded.unknown, validation, refuse)?;
    let mut object = decoded.value;
    if !row.is_custom() {
        row.set_type(&mut object);
    }
    body::default(row, &mut object);
    Ok(object)
}

/// A patch that names another version of a custom resource's group: nothing of that version is known.
fn warn_of_other_version(s: &mut Session<'_>, row: &Resource, value: &Value) {
    let api_version = value.str_at(&["apiVersion"]);
    let (group, version) = split_api_version(api_version);
    let known = s.core.registry.find(group, version, &row.plural).is_some();
    if known || group != row.group {
        return;
    }
    for (key, _) in value.as_object().into_iter().flatten() {
        if !matches!(key, "apiVersion" | "kind" | "metadata") {
            s.warn(format!("unknown field {}", crate::status::go_quote(key)));
        }
    }
}

/// D11: what strict validation has against a patch and its document becomes an error, warnings or nothing.
pub(super) fn report(
    s: &mut Session<'_>,
    patched: &Patched,
    unknown: &[String],
    validation: FieldValidation,
    refuse: impl Fn(&str) -> Status,
) -> Result<(), Status> {
    let unknown = unknown
        .iter()
        .map(|path| format!("unknown field {}", crate::status::go_quote(path)));
    let problems: Vec<String> = patched.strict.iter().cloned().chain(unknown).collect();
    match validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => problems.into_iter().for_each(|problem| s.warn(problem)),
        FieldValidation::Strict if problems.is_empty() => {}
        FieldValidation::Strict => {
            let why = format!("strict decoding error: {}", problems.join(", "));
            return Err(refuse(&why));
        }
    }
    Ok(())
}

/// A patch cannot change what a built-in object is (C10). Without kind nothing happens, without apiVersion nothing is known
/// of the object, not even its name.
pub(super) fn check_type(s: &mut Session<'_>, row: &Resource, value: &Value) -> Result<(), String> {
    let (kind, api_version) = (value.str_at(&["kind"]), value.str_at(&["apiVersion"]));
    let wanted = row.api_version();
    if (kind.is_empty() || kind == row.kind) && api_version == wanted {
        return Ok(());
    }
    let (group, version) = split_api_version(api_version);
    let kind = if kind.is_empty() { &row.kind } else { kind };
    if s.core.registry.find_kind(group, version, kind).is_none() {
        return Err(format!(
            "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
            crate::status::go_quote(kind),
            crate::status::go_quote(api_version)
        ));
    }
    Err(format!(
        "converting ({version}.{kind}) to ({}.{}): unknown conversion",
        body::go_package(row),
        row.kind
    ))
}

/// Server-side apply: creates what is not there (F).
fn apply(
    s: &mut Session<'_>,
    row: Arc<Resource>,
    subresource: &str,
    options: &WriteOptions,
    manager: &str,
) -> Result<Answer, Halt> {
    let existing = update::live(s, &row);
    if existing.is_none() && !subresource.is_empty() {
        return Err(missing(s, &row).into());
    }
    let applied = applied(s, options.field_validation)?;
    check_applied_type(&applied, row.api_version(), &row.kind)?;
    let held = existing.clone();
    let live = match &held {
        Some(existing) => Some(conversion::live_ref(s, &row, existing)?),
        None => None,
    };
    let merged = managed::apply(
        s,
        &row,
        subresource,
        live.as_deref(),
        &applied,
        manager,
        options.force == Some(true),
    )?;
    let mut object = converted(&row, &applied, merged)?;
    let Some(existing) = existing else {
        return create_applied(s, row, object, options);
    };
    body::check_place(s, &row, &mut object)?;
    create::dedup_owner_references(s, &mut object, true);
    let change = Change {
        row,
        subresource,
        existing,
        object,
        options,
        options_kind: "PatchOptions",
    };
    update::store(s, change)
}

/// The applied configuration in the body (F1, F1a).
pub(super) fn applied(s: &mut Session<'_>, validation: FieldValidation) -> Result<Value, Status> {
    let parsed = yaml::parse(&s.request.body).map_err(|why| {
        Status::bad_request(format!(
            "error decoding YAML: error converting YAML to JSON: {why}"
        ))
    })?;
    if !parsed.duplicates.is_empty() {
        match validation {
            FieldValidation::Strict => {
                return Err(Status::bad_request(format!(
                    "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  {}",
                    parsed.duplicates.join("\n  ")
                )));
            }
            FieldValidation::Warn => {
                for duplicate in parsed.duplicates {
                    s.warn(duplicate);
                }
            }
            FieldValidation::Ignore => {}
        }
    }
    match parsed.value {
        Value::Null => Ok(Value::object()),
        value @ Value::Object(_) => Ok(value),
        other => Err(Status::bad_request(format!(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            other.type_name()
        ))),
    }
}

/// F1: kind and version of the body must be the URL's.
pub(super) fn check_applied_type(
    applied: &Value,
    wanted_version: &str,
    wanted_kind: &str,
) -> Result<(), Status> {
    let (kind, api_version) = (applied.str_at(&["kind"]), applied.str_at(&["apiVersion"]));
    if kind == wanted_kind && api_version == wanted_version {
        return Ok(());
    }
    let (group, version) = split_api_version(api_version);
    Err(Status::bad_request(format!(
        "invalid object type: {group}/{version}, Kind={kind}"
    )))
}

/// The merged object as its type has it, with defaults.
fn converted(row: &Resource, applied: &Value, merged: Value) -> Result<Value, Status> {
    let schema = managed::schema_of(row);
    if row.is_custom() {
        // Merged custom resources are not decoded again: nulls that giving up fields left behind stay (F5a).
        let mut object = merged;
        schema::whole_numbers(&mut object);
        schema::fill_defaults(schema, &mut object);
        row.strategy.canonicalize(row, &mut object);
        return Ok(object);
    }
    let decoded = match patch::conversion_error(schema, &merged) {
        Some(why) => Err(why),
        None => schema::decode(schema, merged),
    };
    let decoded = decoded.map_err(|why| {
        let slash = if row.group.is_empty() { "/" } else { "" };
        Status::bare(format!(
            "failed to convert new object ({}) to proper version: unable to convert unstructured object to {slash}{}, Kind={}: {why}",
            apply::object_text(applied),
            row.api_version(),
            row.kind
        ))
    })?;
    let mut object = decoded.value;
    row.set_type(&mut object);
    body::default(row, &mut object);
    Ok(object)
}

/// Creation by apply: the rest of the way is that of a POST.
fn create_applied(
    s: &mut Session<'_>,
    row: Arc<Resource>,
    mut object: Value,
    options: &WriteOptions,
) -> Result<Answer, Halt> {
    super::access::authorize_verb(s, "create")?;
    let uid = object.str_at(&["metadata", "uid"]);
    if !uid.is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        );
        let name = &s.request.info.name;
        return Err(Status::conflict(&row.group, &row.plural, name, &why).into());
    }
    body::check_place(s, &row, &mut object)?;
    create::dedup_owner_references(s, &mut object, true);
    create::wipe_system_fields(&mut object);
    object.remove(&["metadata", "resourceVersion"]);
    let (namespace, name) = (
        s.request.info.namespace.clone(),
        s.request.info.name.clone(),
    );
    lifecycle::admit_create(s, &row, &namespace, &name)?;
    let created = create::finish(s, &row, object, options, create::RvRule::Ignore)?;
    update::created(created, row)
}
