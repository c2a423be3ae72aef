//! PATCH: the four kinds of patches, from body to a change of the object (E, F, D8, D17).
//!
//! Owns order and errors around a patch; the patches themselves are owned by `patch` and `apply`.

use std::sync::Arc;

use super::update::{self, Change};
use super::{Answer, Halt, Session, body, create, lifecycle, managed};
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
    let kind = patch_type(s.request.header("content-type"), row.is_custom())?;
    let options = WriteOptions::read_patch(&s.request.query, kind == BodyType::Apply)?;
    let manager = options.manager(s.request.header("user-agent"));
    let kind = match kind {
        BodyType::JsonPatch => PatchType::Json,
        BodyType::MergePatch => PatchType::Merge,
        BodyType::StrategicPatch => PatchType::Strategic,
        _ => return apply(s, row, subresource, &options, &manager),
    };
    let Some(existing) = update::live(s, &row) else {
        return Err(missing(s, &row).into());
    };
    let live = create::from_storage(&row, &existing);
    let schema = managed::schema_of(&row);
    let patched = patch::patch(kind, &live, &s.request.body, schema)?;
    let mut object = decode(s, &row, &live, patched, options.field_validation)?;
    body::check_place(s, &row, &mut object)?;
    managed::track(s, &row, subresource, Some(&live), &mut object, &manager);
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

fn missing(s: &Session<'_>, row: &Resource) -> Status {
    Status::not_found(&row.group, &row.plural, &s.request.info.name)
}

/// Decodes a patched document: what does not fit is told on the field `patch` (D11).
fn decode(
    s: &mut Session<'_>,
    row: &Resource,
    live: &Value,
    patched: Patched,
    validation: FieldValidation,
) -> Result<Value, Status> {
    let schema = managed::schema_of(row);
    let refuse = |why: &str| patched.undecodable(schema, live, why);
    if row.is_custom() && patched.value.str_at(&["kind"]).is_empty() {
        let why = format!("Object 'Kind' is missing in '{}'", patched.value);
        return Err(refuse(&why));
    }
    if !row.is_custom() {
        check_type(row, &patched.value).map_err(|why| refuse(&why))?;
        if patched.is_strategic()
            && let Some(why) = patch::conversion_error(schema, &patched.value)
        {
            return Err(refuse(&why));
        }
    }
    let decoded = if row.is_custom() {
        schema::decode_custom(schema, patched.value.clone())
    } else {
        schema::decode(schema, patched.value.clone())
    };
    let decoded = decoded.map_err(|why| refuse(&why))?;
    let strict = patched.strict.clone();
    let unknown = decoded
        .unknown
        .iter()
        .map(|path| format!("unknown field {}", crate::status::go_quote(path)));
    let problems: Vec<String> = strict.into_iter().chain(unknown).collect();
    match validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => problems.into_iter().for_each(|problem| s.warn(problem)),
        FieldValidation::Strict if problems.is_empty() => {}
        FieldValidation::Strict => {
            let why = format!("strict decoding error: {}", problems.join(", "));
            return Err(refuse(&why));
        }
    }
    let mut object = decoded.value;
    if !row.is_custom() {
        let map = object.make_object();
        map.insert("kind", &row.kind);
        map.insert("apiVersion", row.api_version());
    }
    body::default(row, &mut object);
    Ok(object)
}

/// A patch cannot change what a built-in object is (C10); removing kind or apiVersion changes nothing.
fn check_type(row: &Resource, value: &Value) -> Result<(), String> {
    let (kind, api_version) = (value.str_at(&["kind"]), value.str_at(&["apiVersion"]));
    let wanted = row.api_version();
    if !api_version.is_empty() && api_version != wanted {
        return Err(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({wanted})"
        ));
    }
    if !kind.is_empty() && kind != row.kind {
        return Err(format!(
            "{kind} does not match the expected kind {}",
            row.kind
        ));
    }
    Ok(())
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
    check_applied_type(&row, &applied)?;
    let live = existing
        .as_ref()
        .map(|existing| create::from_storage(&row, existing));
    let merged = managed::apply(
        s,
        &row,
        subresource,
        live.as_ref(),
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
fn applied(s: &mut Session<'_>, validation: FieldValidation) -> Result<Value, Status> {
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
fn check_applied_type(row: &Resource, applied: &Value) -> Result<(), Status> {
    let (kind, api_version) = (applied.str_at(&["kind"]), applied.str_at(&["apiVersion"]));
    if kind == row.kind && api_version == row.api_version() {
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
    let decoded = if row.is_custom() {
        schema::decode_custom(schema, merged)
    } else {
        schema::decode(schema, merged)
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
    let map = object.make_object();
    map.insert("kind", &row.kind);
    map.insert("apiVersion", row.api_version());
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
