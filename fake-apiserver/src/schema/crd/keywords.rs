//! Keywords and extensions of each node of a version's schema.
//!
//! Source: apiextensions-apiserver `validation.go` (specStandardValidatorV3, ValidateCustomResourceDefinitionOpenAPISchema).

use std::collections::BTreeSet;

use super::schemas::{BRANCHES, flag, keys};
use crate::json::Value;
use crate::schema::regexp;
use crate::status::Cause;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// Where a node stands.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    Root,
    Below,
    // Inside `metadata` (or apiVersion, kind) of a resource.
    Metadata,
}

/// The check of a schema and what it found.
pub(super) struct Keywords<'a> {
    pub(super) causes: &'a mut Vec<Cause>,
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
    pub(super) fn node(
        &mut self,
        schema: &Value,
        path: &str,
        place: Place,
        no_defaults: Option<&str>,
    ) {
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
            if keys(schema, "properties").next().is_some()
                && matches!(additional, Value::Bool(false) | Value::Object(_))
            {
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

/// The place of a node below another.
pub(super) fn below(place: Place) -> Place {
    if place == Place::Root {
        Place::Below
    } else {
        place
    }
}
