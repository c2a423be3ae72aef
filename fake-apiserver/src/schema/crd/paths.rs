//! JSON paths in a CustomResourceDefinition: columns, scale, selectable fields.
//!
//! Source: apiextensions-apiserver `validation.go`, `pkg/apiserver/schema/cel/validation.go` (ValidFieldPath).

use std::collections::BTreeSet;

use crate::json::Value;
use crate::status::Cause;

const SELECTABLE_MAX: usize = 8;

/// A path in dot notation that begins with a dot; nothing more is asked of columns and scale.
pub fn simple_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("must not be empty");
    }
    if path.starts_with('.') {
        Ok(())
    } else {
        Err("must be a simple json path starting with .")
    }
}

/// Follows a field path (`.spec.a`, without array notation) through an OpenAPI schema.
pub fn field_path<'a>(path: &str, schema: &'a Value) -> Result<(Vec<String>, &'a Value), String> {
    let mut at = schema;
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let Some(after) = rest.strip_prefix('.') else {
            if rest.starts_with('[') {
                return Err("array notation is not allowed".to_owned());
            }
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            return Err(format!("expected [ or . but got: {}", &rest[..end]));
        };
        let end = after.find(['.', '[']).unwrap_or(after.len());
        let name = &after[..end];
        if name.is_empty() {
            let got = if after.is_empty() {
                "unexpected end of JSON path"
            } else {
                "unexpected empty field name"
            };
            return Err(got.to_owned());
        }
        let invalid = || "does not refer to a valid field".to_owned();
        at = at
            .get("properties")
            .and_then(|properties| properties.get(name))
            .ok_or_else(invalid)?;
        steps.push(name.to_owned());
        rest = &after[end..];
    }
    Ok((steps, at))
}

pub(super) fn selectable_fields(path: &str, version: &Value, causes: &mut Vec<Cause>) {
    let schema = version
        .at(&["schema", "openAPIV3Schema"])
        .unwrap_or(&Value::Null);
    let mut seen = BTreeSet::new();
    for (i, field) in version.array_at(&["selectableFields"]).iter().enumerate() {
        let at = format!("{path}[{i}].jsonPath");
        let json_path = field.str_at(&["jsonPath"]);
        let value = Value::from(json_path);
        if json_path.is_empty() {
            causes.push(Cause::required(at, ""));
            continue;
        }
        let (steps, found) = match field_path(json_path, schema) {
            Ok(found) => found,
            Err(wrong) => {
                causes.push(Cause::invalid(
                    at,
                    &value,
                    &format!("is an invalid path: {wrong}"),
                ));
                continue;
            }
        };
        if steps.first().is_some_and(|step| step == "metadata") {
            causes.push(Cause::invalid(
                at.clone(),
                &value,
                "must not point to fields in metadata",
            ));
        }
        let scalar = matches!(found.str_at(&["type"]), "string" | "boolean" | "integer");
        if !scalar || found.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            let wrong = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            causes.push(Cause::invalid(at.clone(), &value, wrong));
        }
        if !seen.insert(steps) {
            causes.push(Cause::duplicate(at, &value));
        }
    }
    if seen.len() > SELECTABLE_MAX {
        causes.push(Cause::too_many(path, seen.len(), SELECTABLE_MAX));
    }
}
