//! The schema of a version: allowed keywords, extensions, structure, defaults.
//!
//! Three passes as in the real server: keywords and extensions of each node, CEL rules, then (structure) what makes it
//! structural, and only if that is fine the defaults.
//! Source: apiextensions-apiserver `validation.go` (specStandardValidatorV3), `pkg/apiserver/schema/validation.go`,
//! `…/defaulting/validation.go`.

use std::collections::BTreeSet;

use super::internal;
use super::keywords::{Keywords, Place, below};
use super::structure::Structure;
use crate::cel;
use crate::json::Value;
use crate::schema::cache::Cache;
use crate::schema::{self, format, prune, structural};
use crate::status::Cause;

pub(super) const BRANCHES: [&str; 3] = ["allOf", "anyOf", "oneOf"];

pub(super) fn validate(path: &str, version: &Value, status: bool, causes: &mut Vec<Cause>) {
    let Some(schema) = version
        .at(&["schema", "openAPIV3Schema"])
        .filter(|schema| schema.is_object())
    else {
        return;
    };
    static KNOWN: Cache<Vec<Cause>> = Cache::new();
    let key = format!("{status} {path} {schema}");
    causes.extend(
        KNOWN
            .get(key, || inspect(path, schema, status))
            .iter()
            .cloned(),
    );
}

fn inspect(path: &str, schema: &Value, status: bool) -> Vec<Cause> {
    let mut found = Vec::new();
    let causes = &mut found;
    if status {
        root_fields(path, schema, causes);
    }
    if flag(schema, "nullable") {
        causes.push(Cause::forbidden(
            format!("{path}.nullable"),
            "nullable cannot be true at the root",
        ));
    }
    Keywords {
        causes: &mut *causes,
    }
    .node(schema, path, Place::Root, None);
    causes.extend(cel::rules::problems(schema, path));
    if is_untranslatable(schema) {
        return found;
    }
    let structure = causes.len();
    Structure {
        causes: &mut *causes,
    }
    .check(schema, path);
    if causes.len() == structure {
        defaults(schema, path, Place::Root, causes);
    }
    found
}

// With the status subresource the root is restricted.
fn root_fields(path: &str, schema: &Value, causes: &mut Vec<Cause>) {
    const REFUSED: [&str; 22] = [
        "id",
        "$schema",
        "$ref",
        "nullable",
        "default",
        "enum",
        "maxProperties",
        "minProperties",
        "allOf",
        "oneOf",
        "anyOf",
        "not",
        "additionalProperties",
        "patternProperties",
        "dependencies",
        "additionalItems",
        "definitions",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
    ];
    let set = |key: &&str| {
        schema
            .get(key)
            .is_some_and(|value| !value.is_null() && value != &Value::Bool(false))
    };
    if REFUSED.iter().any(set) {
        let text = "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status subresource is enabled";
        let message = format!("Invalid value: {}: {text}", internal::schema(schema));
        causes.push(Cause::new("FieldValueInvalid", path, message));
    }
}

// Keywords that a structural schema has no place for: the structure is not looked at then.
fn is_untranslatable(schema: &Value) -> bool {
    const KEYWORDS: [&str; 6] = [
        "$ref",
        "id",
        "patternProperties",
        "definitions",
        "dependencies",
        "additionalItems",
    ];
    let below = |name: &str| {
        schema
            .get(name)
            .is_some_and(|child| child.is_object() && is_untranslatable(child))
    };
    KEYWORDS
        .iter()
        .any(|name| schema.get(name).is_some_and(|value| !value.is_null()))
        || schema.get("items").is_some_and(Value::is_array)
        || keys(schema, "properties").any(|(_, property)| is_untranslatable(property))
        || ["items", "additionalProperties", "not"]
            .iter()
            .any(|name| below(name))
        || BRANCHES
            .iter()
            .any(|name| schema.array_at(&[name]).iter().any(is_untranslatable))
}

pub(super) fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name) == Some(&Value::Bool(true))
}

pub(super) fn keys<'a>(
    schema: &'a Value,
    name: &str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    schema
        .get(name)
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|map| map.iter())
}

// A default must fit the schema it stands at. Below maps none is looked at.
fn defaults(schema: &Value, path: &str, place: Place, causes: &mut Vec<Cause>) {
    if let Some(default) = schema.get("default").filter(|default| !default.is_null())
        && place == Place::Below
    {
        default_at(schema, default, &format!("{path}.default"), causes);
    }
    if let Some(items @ Value::Object(_)) = schema.get("items") {
        defaults(items, &format!("{path}.items"), below(place), causes);
    }
    for (name, property) in keys(schema, "properties") {
        let is_meta = matches!(name, "metadata" | "apiVersion" | "kind");
        let resource = place == Place::Root || flag(schema, "x-kubernetes-embedded-resource");
        let place = if place == Place::Metadata || (is_meta && resource) {
            Place::Metadata
        } else {
            Place::Below
        };
        defaults(
            property,
            &format!("{path}.properties[{name}]"),
            place,
            causes,
        );
    }
}

fn default_at(open_api: &Value, default: &Value, path: &str, causes: &mut Vec<Cause>) {
    let schema = structural::node(open_api);
    let mut pruned = default.clone();
    if !prune(&schema, &mut pruned).is_empty() {
        let text = "must not have unknown fields";
        causes.push(Cause::invalid(path, default, text));
    }
    let mut found = schema::validate_embedded(&schema, default);
    if found.is_empty() {
        found = schema::validate(&schema, default, None);
    }
    if !found.is_empty() {
        causes.extend(found.into_iter().map(|mut cause| {
            cause.field = match cause.field.strip_prefix('.').unwrap_or(&cause.field) {
                "<nil>" => path.to_owned(),
                field => format!("{path}.{field}"),
            };
            cause
        }));
        return;
    }
    let rules = cel::rules::compile(open_api, false);
    // As an update that changes nothing, then as something new.
    for old in [Some(default), None] {
        let mut budget = cel::rules::OBJECT_BUDGET;
        let found = rules.evaluate(path, default, old, &mut budget).causes;
        if !found.is_empty() {
            causes.extend(found);
            return;
        }
    }
}

/// The formats of a definition's schemas that are unknown, as warnings; those of `old` are not told again.
pub fn unrecognized_formats(definition: &Value, old: Option<&Value>) -> Vec<String> {
    let formats = |definition: &Value| {
        let mut found = BTreeSet::new();
        for version in definition.array_at(&["spec", "versions"]) {
            if let Some(schema) = version.at(&["schema", "openAPIV3Schema"]) {
                collect_formats(schema, &mut found);
            }
        }
        found
    };
    let known = old.map(formats).unwrap_or_default();
    let new = formats(definition)
        .into_iter()
        .filter(|name| !known.contains(name));
    new.map(|name| format!("unrecognized format \"{name}\""))
        .collect()
}

fn collect_formats(schema: &Value, found: &mut BTreeSet<String>) {
    let name = schema.str_at(&["format"]);
    if !name.is_empty() && !format::is_known(name) {
        found.insert(name.to_owned());
    }
    for (_, property) in keys(schema, "properties") {
        collect_formats(property, found);
    }
    for name in ["items", "additionalProperties", "not"] {
        if let Some(child @ Value::Object(_)) = schema.get(name) {
            collect_formats(child, found);
        }
    }
    for branch in BRANCHES.iter().flat_map(|name| schema.array_at(&[name])) {
        collect_formats(branch, found);
    }
}
