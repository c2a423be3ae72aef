//! Custom resources: one strategy for all of them, driven by the schema of the row.
//!
//! Owns defaulting and validation by the schema, the order of the errors (L6), what `/status` may change (S1) and what bumps
//! the generation (C5). Does not own the checks themselves (`schema`, `cel`).
//! Source: apiextensions-apiserver `pkg/registry/customresource/{strategy,status_strategy,validator}.go`.

use super::{Cx, Strategy, restore};
use crate::cel;
use crate::json::{CompactString, Value};
use crate::registry::custom::CustomVersion;
use crate::registry::{Resource, split_api_version};
use crate::schema;
use crate::status::{Cause, Status};

pub(super) struct Custom;

impl Strategy for Custom {
    fn default(&self, resource: &Resource, object: &mut Value) {
        if let Some(custom) = &resource.custom {
            schema::default(&custom.schema, object);
        }
    }

    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        if !cx.resource.has_status() {
            return Ok(());
        }
        match cx.subresource {
            "" => restore(new, old, "status"),
            "status" => {
                // S1: everything but the status comes from the stored object, metadata too (managedFields apart).
                let managed = new.at(&["metadata", "managedFields"]).cloned();
                let status = new.get("status").cloned();
                *new = old.clone();
                match status {
                    Some(status) => new.set(&["status"], status),
                    None => drop(new.remove(&["status"])),
                }
                match managed {
                    Some(managed) => new.set(&["metadata", "managedFields"], managed),
                    None => drop(new.remove(&["metadata", "managedFields"])),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn validate_create(&self, cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        match &cx.resource.custom {
            Some(custom) => validate(cx, custom, object, None),
            None => Vec::new(),
        }
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        warn_finalizers(cx, new, old.array_at(&["metadata", "finalizers"]));
        match &cx.resource.custom {
            Some(custom) => validate(cx, custom, new, Some(old)),
            None => Vec::new(),
        }
    }

    fn allocate(
        &self,
        _cx: &mut Cx<'_>,
        new: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        schema::whole_numbers(new);
        Ok(())
    }

    fn changes_generation(&self, new: &Value, old: &Value) -> bool {
        // C5: anything outside metadata.
        let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else {
            return new != old;
        };
        let content = |key: &str| !matches!(key, "metadata" | "apiVersion" | "kind");
        let new = new.iter().filter(|(key, _)| content(key));
        let old = old.iter().filter(|(key, _)| content(key));
        !new.eq(old)
    }

    fn field(&self, resource: &Resource, object: &Value, name: &str) -> Option<CompactString> {
        let path = selectable(resource, name)?;
        let steps: Vec<&str> = path.trim_start_matches('.').split('.').collect();
        Some(match object.at(&steps) {
            None | Some(Value::Null) => CompactString::default(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => CompactString::from(other.to_string()),
        })
    }

    fn check_field(&self, resource: &Resource, name: &str) -> Result<(), String> {
        if selectable(resource, name).is_some() {
            return Ok(());
        }
        super::default_check_field(resource, name)
    }

    fn convert(&self, object: &mut Value, to: &Resource) {
        if let Some(custom) = &to.custom {
            reshape(custom, object);
        }
    }
}

/// Brings a stored object into the shape of a version: the storage version's schema prunes and fills in, then what the
/// served version does not know goes (L4, L9). Its own defaults come with writes only.
pub fn reshape(custom: &CustomVersion, object: &mut Value) {
    schema::prune(&custom.storage_schema, object);
    schema::default(&custom.storage_schema, object);
    schema::prune(&custom.schema, object);
}

// C11: a finalizer without a domain is advised against when it is added.
fn warn_finalizers(cx: &mut Cx<'_>, object: &Value, old: &[Value]) {
    for finalizer in object.array_at(&["metadata", "finalizers"]) {
        let text = finalizer.as_str().unwrap_or_default();
        let standard = matches!(text, "kubernetes" | "orphan" | "foregroundDeletion");
        if !text.contains('/') && !standard && !old.contains(finalizer) {
            let text = crate::status::go_quote(text);
            cx.warnings.push(format!(
                "metadata.finalizers: {text}: prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
            ));
        }
    }
}

// The path of a selectable field by the name it is asked for (`spec.color`).
fn selectable<'a>(resource: &'a Resource, name: &str) -> Option<&'a str> {
    let custom = resource.custom.as_ref()?;
    let fields = custom.version.array_at(&["selectableFields"]).iter();
    let mut paths = fields.map(|field| field.str_at(&["jsonPath"]));
    paths.find(|path| path.strip_prefix('.') == Some(name))
}

// L6: type, schema, scale, embedded resources, lists, CEL.
fn validate(
    cx: &mut Cx<'_>,
    custom: &CustomVersion,
    new: &Value,
    old: Option<&Value>,
) -> Vec<Cause> {
    let status_only = cx.subresource == "status";
    let mut causes = type_meta(cx.resource, new);
    if status_only {
        if let (Some(status), Some(status_schema)) =
            (new.get("status"), custom.schema.child("status"))
        {
            let old_status = old.and_then(|old| old.get("status"));
            causes.extend(schema::validate_below(
                "status",
                status_schema,
                status,
                old_status,
            ));
        }
    } else {
        causes.extend(schema::validate(&custom.schema, new, old));
    }
    causes.extend(scale(custom, new, status_only));
    causes.extend(schema::validate_embedded(&custom.schema, new));
    causes.extend(schema::validate_lists(&custom.schema, new, old));
    if custom.rules.is_empty() {
        return causes;
    }
    if causes.iter().any(blocks_rules) {
        causes.push(Cause::invalid(
            "<nil>",
            &Value::Null,
            "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
        ));
        return causes;
    }
    let mut budget = cel::rules::OBJECT_BUDGET;
    let found = custom.rules.evaluate("", new, old, &mut budget);
    causes.extend(found.causes);
    cx.warnings.extend(found.warnings);
    causes
}

// L8: after these errors rules are not looked at.
fn blocks_rules(cause: &Cause) -> bool {
    matches!(
        cause.reason.as_ref(),
        "FieldValueNotSupported"
            | "FieldValueRequired"
            | "FieldValueTooLong"
            | "FieldValueTooMany"
            | "FieldValueTypeInvalid"
    )
}

fn type_meta(resource: &Resource, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (kind, version) = (object.str_at(&["kind"]), object.str_at(&["apiVersion"]));
    if kind != resource.kind {
        let text = format!("must be {}", resource.kind);
        causes.push(Cause::invalid("kind", &kind.into(), &text));
    }
    if split_api_version(version) != (&*resource.group, &*resource.version) {
        let text = format!("must be {}", resource.api_version());
        causes.push(Cause::invalid("apiVersion", &version.into(), &text));
    }
    causes
}

// The numbers behind `/scale` must be numbers.
fn scale(custom: &CustomVersion, object: &Value, status_only: bool) -> Vec<Cause> {
    let Some(scale) = custom.version.at(&["subresources", "scale"]) else {
        return Vec::new();
    };
    let mut causes = Vec::new();
    for (name, in_status) in [("specReplicasPath", false), ("statusReplicasPath", true)] {
        let path = scale.str_at(&[name]);
        if status_only && !in_status {
            continue;
        }
        let steps: Vec<&str> = path.trim_start_matches('.').split('.').collect();
        let mut at = object;
        for step in &steps {
            at = match at {
                Value::Object(map) => map.get(step).unwrap_or(&Value::Null),
                _ => &Value::Null,
            };
        }
        let field = path.to_owned();
        match at {
            Value::Null => {}
            Value::Int(number) if *number < 0 => {
                causes.push(Cause::invalid(
                    field,
                    at,
                    "should be a non-negative integer",
                ));
            }
            Value::Int(number) if *number > i64::from(i32::MAX) => {
                let text = format!("should be less than or equal to {}", i32::MAX);
                causes.push(Cause::invalid(field, at, &text));
            }
            Value::Int(_) => {}
            other => {
                let (shown, kind) = go_value(other);
                let text =
                    format!("{path} accessor error: {shown} is of the type {kind}, expected int64");
                causes.push(Cause::invalid(field, &Value::Int(0), &text));
            }
        }
    }
    causes
}

fn go_value(value: &Value) -> (String, &'static str) {
    match value {
        Value::String(text) => (text.to_string(), "string"),
        Value::Bool(flag) => (flag.to_string(), "bool"),
        Value::Array(_) => (value.to_string(), "[]interface {}"),
        Value::Object(_) => (value.to_string(), "map[string]interface {}"),
        other => (other.to_string(), "float64"),
    }
}
