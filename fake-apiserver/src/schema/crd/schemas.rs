//! The schema of a version: allowed keywords, extensions, structure, defaults.
//!
//! Three passes as in the real server: keywords and extensions of each node, CEL rules, then (structure) what makes it
//! structural, and only if that is fine the defaults.
//! Source: apiextensions-apiserver `validation.go` (specStandardValidatorV3), `pkg/apiserver/schema/validation.go`,
//! `…/defaulting/validation.go`.

use std::collections::BTreeSet;

use super::internal;
use crate::cel;
use crate::json::Value;
use crate::schema::cache::Cache;
use crate::schema::{self, format, prune, regexp, structural};
use crate::status::Cause;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const BRANCHES: [&str; 3] = ["allOf", "anyOf", "oneOf"];

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
    .node(schema, path, Level::Root);
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

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name) == Some(&Value::Bool(true))
}

fn keys<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    schema
        .get(name)
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|map| map.iter())
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Below,
    // Inside `metadata` (or apiVersion, kind) of a resource.
    Metadata,
}

struct Keywords<'a> {
    causes: &'a mut Vec<Cause>,
}

impl Keywords<'_> {
    fn forbid(&mut self, path: &str, name: &str, text: &str) {
        self.causes
            .push(Cause::forbidden(format!("{path}.{name}"), text));
    }

    fn invalid(&mut self, path: &str, name: &str, value: &Value, text: &str) {
        self.causes
            .push(Cause::invalid(format!("{path}.{name}"), value, text));
    }

    fn require(&mut self, path: &str, name: &str, text: &str) {
        self.causes
            .push(Cause::required(format!("{path}.{name}"), text));
    }

    // `no_defaults` says where defaults are forbidden.
    fn node(&mut self, schema: &Value, path: &str, place: Place, no_defaults: Option<&str>) {
        if !schema.is_object() {
            return;
        }
        self.standard(schema, path, place, no_defaults);
        if flag(schema, "uniqueItems") {
            self.forbid(
                path,
                "uniqueItems",
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            );
        }
        if let Some(additional) = schema.get("additionalProperties") {
            if keys(schema, "properties").next().is_some() {
                self.forbid(
                    path,
                    "additionalProperties",
                    "additionalProperties and properties are mutual exclusive",
                );
            }
            self.node(
                additional,
                &format!("{path}.additionalProperties"),
                below(place),
                no_defaults,
            );
        }
        for (name, property) in keys(schema, "properties") {
            let path = format!("{path}.properties[{name}]");
            let is_meta = matches!(name, "metadata" | "apiVersion" | "kind");
            let (place, text) = match place {
                Place::Root if is_meta => (Place::Metadata, Some(format!("in top-level {name}"))),
                _ if is_meta && flag(schema, "x-kubernetes-embedded-resource") => {
                    (Place::Metadata, None)
                }
                place => (below(place), None),
            };
            self.node(property, &path, place, text.as_deref().or(no_defaults));
        }
        if let Some(not) = schema.get("not") {
            self.node(not, &format!("{path}.not"), below(place), no_defaults);
        }
        for name in BRANCHES {
            for (i, branch) in schema.array_at(&[name]).iter().enumerate() {
                self.node(
                    branch,
                    &format!("{path}.{name}[{i}]"),
                    below(place),
                    no_defaults,
                );
            }
        }
        match schema.get("items") {
            Some(Value::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    self.node(
                        item,
                        &format!("{path}.items[{i}]"),
                        below(place),
                        no_defaults,
                    );
                }
            }
            Some(items) => self.node(items, &format!("{path}.items"), below(place), no_defaults),
            None => {}
        }
        self.extensions(schema, path);
    }

    fn standard(&mut self, schema: &Value, path: &str, place: Place, no_defaults: Option<&str>) {
        let kind = schema.str_at(&["type"]);
        if !kind.is_empty() && !TYPES.contains(&kind) {
            self.causes.push(Cause::not_supported(
                format!("{path}.type"),
                &kind.into(),
                &TYPES,
            ));
        }
        if let (Some(text), Some(default)) = (no_defaults, schema.get("default"))
            && !default.is_null()
        {
            self.forbid(path, "default", &format!("must not be set {text}"));
        }
        for name in [
            "id",
            "additionalItems",
            "patternProperties",
            "definitions",
            "dependencies",
            "$ref",
        ] {
            let unset = match schema.get(name) {
                None | Some(Value::Null) => true,
                Some(Value::String(text)) => text.is_empty(),
                Some(Value::Object(map)) => map.is_empty() && name != "additionalItems",
                Some(_) => false,
            };
            if !unset {
                self.forbid(path, name, &format!("{name} is not supported"));
            }
        }
        if kind == "null" {
            self.forbid(
                path,
                "type",
                "type cannot be set to null, use nullable as an alternative",
            );
        }
        if schema.get("items").is_some_and(Value::is_array) {
            self.forbid(
                path,
                "items",
                "items must be a schema object and not an array",
            );
        }
        if place == Place::Metadata && flag(schema, "x-kubernetes-embedded-resource") {
            self.forbid(
                path,
                "x-kubernetes-embedded-resource",
                "must not be used inside of resource meta",
            );
        }
        let pattern = schema.str_at(&["pattern"]);
        if !pattern.is_empty()
            && let Err(wrong) = regexp::compile(pattern)
        {
            let text = format!("must be a valid regular expression, but isn't: {wrong}");
            self.invalid(path, "pattern", &pattern.into(), &text);
        }
    }

    fn extensions(&mut self, schema: &Value, path: &str) {
        const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
        const MAP_TYPE: &str = "x-kubernetes-map-type";
        const LIST_TYPE: &str = "x-kubernetes-list-type";
        if let Some(value @ Value::Bool(false)) = schema.get(PRESERVE) {
            self.invalid(path, PRESERVE, value, "must be true or undefined");
        }
        let kind = schema.str_at(&["type"]);
        for (name, wanted, allowed) in [
            (MAP_TYPE, "object", &["atomic", "granular"][..]),
            (LIST_TYPE, "array", &["atomic", "set", "map"]),
        ] {
            let Some(value) = schema.get(name).filter(|value| value.is_string()) else {
                continue;
            };
            let text = format!("must be {wanted} if {name} is specified");
            if kind.is_empty() {
                self.require(path, "type", &text);
            } else if kind != wanted {
                self.invalid(path, "type", &kind.into(), &text);
            }
            let known = value.as_str().is_some_and(|value| allowed.contains(&value));
            if !known && (kind == wanted || name == MAP_TYPE) {
                self.causes.push(Cause::not_supported(
                    format!("{path}.{name}"),
                    value,
                    allowed,
                ));
            }
        }
        let list_type = schema.str_at(&[LIST_TYPE]);
        let map_keys = schema.array_at(&["x-kubernetes-list-map-keys"]);
        if !map_keys.is_empty() && list_type != "map" {
            let text = "must be map if x-kubernetes-list-map-keys is non-empty";
            match schema.get(LIST_TYPE) {
                Some(value @ Value::String(_)) => self.invalid(path, LIST_TYPE, value, text),
                _ => self.require(path, LIST_TYPE, text),
            }
        }
        match list_type {
            "map" => self.list_map(schema, path, map_keys),
            "set" => self.list_set(schema, path),
            _ => {}
        }
    }

    fn list_map(&mut self, schema: &Value, path: &str, map_keys: &[Value]) {
        const KEYS: &str = "x-kubernetes-list-map-keys";
        if map_keys.is_empty() {
            self.require(
                path,
                KEYS,
                "must not be empty if x-kubernetes-list-type is map",
            );
        }
        let items = match schema.get("items") {
            None | Some(Value::Null) => {
                self.require(
                    path,
                    "items",
                    "must have a schema if x-kubernetes-list-type is map",
                );
                return;
            }
            Some(items @ Value::Object(_)) => items,
            Some(items) => {
                self.invalid(
                    path,
                    "items",
                    items,
                    "must only have a single schema if x-kubernetes-list-type is map",
                );
                return;
            }
        };
        let kind = items.str_at(&["type"]);
        if kind != "object" {
            let text = "must be object if parent array's x-kubernetes-list-type is map";
            self.invalid(path, "items.type", &kind.into(), text);
        }
        let all = Value::Array(map_keys.to_vec());
        let mut seen = BTreeSet::new();
        for key in map_keys
            .iter()
            .filter_map(Value::as_str)
            .filter(|_| kind == "object")
        {
            match items
                .get("properties")
                .and_then(|properties| properties.get(key))
            {
                Some(property) => {
                    let kind = property.str_at(&["type"]);
                    if matches!(kind, "array" | "object") {
                        let text =
                            "must be a scalar type if parent array's x-kubernetes-list-type is map";
                        self.invalid(
                            path,
                            &format!("items.properties[{key}].type"),
                            &kind.into(),
                            text,
                        );
                    }
                }
                None => self.invalid(
                    path,
                    KEYS,
                    &all,
                    "entries must all be names of item properties",
                ),
            }
            if !seen.insert(key) {
                self.invalid(path, KEYS, &all, "must not contain duplicate entries");
            }
        }
        if flag(items, "nullable") {
            self.forbid(
                path,
                "items.nullable",
                "cannot be nullable when x-kubernetes-list-type is map",
            );
        }
        for key in map_keys.iter().filter_map(Value::as_str) {
            let Some(property) = items
                .get("properties")
                .and_then(|properties| properties.get(key))
            else {
                continue;
            };
            let required = items.array_at(&["required"]).iter().any(|name| name == key);
            if !required && property.get("default").is_none() {
                let text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                self.require(path, &format!("items.properties[{key}].default"), text);
            }
            if flag(property, "nullable") {
                let text =
                    "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
                self.forbid(path, &format!("items.properties[{key}].nullable"), text);
            }
        }
    }

    fn list_set(&mut self, schema: &Value, path: &str) {
        let Some(items) = schema.get("items").filter(|items| items.is_object()) else {
            return;
        };
        if flag(items, "nullable") {
            self.forbid(
                path,
                "items.nullable",
                "cannot be nullable when x-kubernetes-list-type is set",
            );
        }
        let name = match items.str_at(&["type"]) {
            "object" => "x-kubernetes-map-type",
            "array" => "x-kubernetes-list-type",
            _ => return,
        };
        if items.str_at(&[name]) != "atomic" {
            let value = items.get(name).unwrap_or(&Value::Null);
            let text = "must be atomic as item of a list with x-kubernetes-list-type=set";
            self.invalid(path, &format!("items.{name}"), value, text);
        }
    }
}

fn below(place: Place) -> Place {
    if place == Place::Root {
        Place::Below
    } else {
        place
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

struct Structure<'a> {
    causes: &'a mut Vec<Cause>,
}

impl Structure<'_> {
    fn node(&mut self, schema: &Value, path: &str, level: Level) {
        let kind = schema.str_at(&["type"]);
        if kind == "array" && schema.get("items").is_none_or(Value::is_null) {
            self.causes.push(Cause::required(
                format!("{path}.items"),
                "must be specified",
            ));
        }
        if let Some(items @ Value::Object(_)) = schema.get("items") {
            self.node(items, &format!("{path}.items"), Level::Item);
        }
        for (name, property) in keys(schema, "properties") {
            self.node(
                property,
                &format!("{path}.properties[{name}]"),
                Level::Field,
            );
        }
        if let Some(additional) = schema.get("additionalProperties") {
            if level == Level::Root {
                let field = format!("{path}.additionalProperties");
                self.causes
                    .push(Cause::forbidden(field, "must not be used at the root"));
            }
            if additional.is_object() {
                self.node(
                    additional,
                    &format!("{path}.additionalProperties"),
                    Level::Field,
                );
            }
        }
        let embedded = flag(schema, "x-kubernetes-embedded-resource");
        let preserves = flag(schema, "x-kubernetes-preserve-unknown-fields");
        if embedded && !preserves && keys(schema, "properties").next().is_none() {
            let text = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            self.causes
                .push(Cause::required(format!("{path}.properties"), text));
        }
        self.values(schema, path);
        let field = format!("{path}.type");
        if embedded && kind != "object" {
            let text = "must be object if x-kubernetes-embedded-resource is true";
            self.causes.push(match kind {
                "" => Cause::required(field, text),
                kind => Cause::invalid(field, &kind.into(), text),
            });
        } else if kind.is_empty() && !preserves && !flag(schema, "x-kubernetes-int-or-string") {
            let text = match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            };
            self.causes.push(Cause::required(field, text));
        } else if level == Level::Root && !kind.is_empty() && kind != "object" {
            self.causes.push(Cause::invalid(
                field,
                &kind.into(),
                "must be object at the root",
            ));
        }
        if embedded && schema.get("additionalProperties").is_some() {
            let field = format!("{path}.additionalProperties");
            self.causes.push(Cause::forbidden(
                field,
                "must not be used if x-kubernetes-embedded-resource is set",
            ));
        }
        if level == Level::Root || embedded {
            self.metadata(schema, path);
        }
    }

    fn metadata(&mut self, schema: &Value, path: &str) {
        for name in ["kind", "apiVersion"] {
            if let Some(property) = schema
                .get("properties")
                .and_then(|properties| properties.get(name))
            {
                let kind = property.str_at(&["type"]);
                if kind != "string" {
                    let field = format!("{path}.properties[{name}].type");
                    self.causes
                        .push(Cause::invalid(field, &kind.into(), "must be string"));
                }
            }
        }
        let Some(metadata) = schema
            .get("properties")
            .and_then(|properties| properties.get("metadata"))
        else {
            return;
        };
        let path = format!("{path}.properties[metadata]");
        let kind = metadata.str_at(&["type"]);
        if kind != "object" {
            self.causes.push(Cause::invalid(
                format!("{path}.type"),
                &kind.into(),
                "must be object",
            ));
        }
        let only_names = metadata.as_object().is_some_and(|map| {
            map.iter().all(|(key, value)| match key {
                "type" | "description" | "title" => true,
                "properties" => {
                    let mut names = value.as_object().into_iter().flat_map(|map| map.keys());
                    names.all(|name| matches!(name, "name" | "generateName"))
                }
                _ => false,
            })
        });
        if !only_names {
            let text = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            self.causes.push(Cause::forbidden(path, text));
        }
    }

    // The branches of allOf, anyOf, oneOf and not hold value validations only.
    fn values(&mut self, schema: &Value, path: &str) {
        let int_or_string = flag(schema, "x-kubernetes-int-or-string");
        for name in BRANCHES {
            let branches = schema.array_at(&[name]);
            let either = name == "anyOf" && is_int_or_string(branches);
            if int_or_string && either {
                continue;
            }
            for (i, branch) in branches.iter().enumerate() {
                let nested = i == 0
                    && name == "allOf"
                    && int_or_string
                    && is_int_or_string(branch.array_at(&["anyOf"]));
                if !nested {
                    self.branch(branch, &format!("{path}.{name}[{i}]"));
                }
            }
        }
        if let Some(not @ Value::Object(_)) = schema.get("not") {
            self.branch(not, &format!("{path}.not"));
        }
    }

    fn branch(&mut self, schema: &Value, path: &str) {
        self.values(schema, path);
        if let Some(items @ Value::Object(_)) = schema.get("items") {
            self.branch(items, &format!("{path}.items"));
        }
        for (name, property) in keys(schema, "properties") {
            self.branch(property, &format!("{path}.properties[{name}]"));
        }
        const UNWANTED: [(&str, &str); 13] = [
            ("type", "must be empty to be structural"),
            ("additionalProperties", "must be undefined to be structural"),
            ("default", "must be undefined to be structural"),
            ("title", "must be empty to be structural"),
            ("description", "must be empty to be structural"),
            ("nullable", "must be false to be structural"),
            (
                "x-kubernetes-preserve-unknown-fields",
                "must be false to be structural",
            ),
            (
                "x-kubernetes-embedded-resource",
                "must be false to be structural",
            ),
            (
                "x-kubernetes-int-or-string",
                "must be false to be structural",
            ),
            (
                "x-kubernetes-list-map-keys",
                "must be empty to be structural",
            ),
            (
                "x-kubernetes-list-type",
                "must be undefined to be structural",
            ),
            (
                "x-kubernetes-map-type",
                "must be undefined to be structural",
            ),
            ("x-kubernetes-validations", "must be empty to be structural"),
        ];
        for (name, text) in UNWANTED {
            let unset = match schema.get(name) {
                None | Some(Value::Null) => true,
                Some(Value::Bool(set)) => {
                    !set && name != "additionalProperties" && name != "default"
                }
                Some(Value::String(text)) => text.is_empty() && name != "default",
                Some(Value::Array(items)) => items.is_empty() && name != "default",
                Some(_) => false,
            };
            if !unset {
                self.causes
                    .push(Cause::forbidden(format!("{path}.{name}"), text));
            }
        }
        if schema
            .get("properties")
            .is_some_and(|properties| properties.get("metadata").is_some())
        {
            let field = format!("{path}.properties[metadata]");
            self.causes.push(Cause::forbidden(
                field,
                "must not be specified in a nested context",
            ));
        }
    }
}

fn is_int_or_string(branches: &[Value]) -> bool {
    let is = |branch: &Value, kind: &str| {
        branch.as_object().is_some_and(|map| map.len() == 1) && branch.str_at(&["type"]) == kind
    };
    matches!(branches, [a, b] if is(a, "integer") && is(b, "string"))
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
