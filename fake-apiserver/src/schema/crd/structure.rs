//! What makes a schema structural.
//!
//! Source: apiextensions-apiserver `pkg/apiserver/schema/validation.go`.

use super::schemas::{BRANCHES, flag, keys};
use crate::json::Value;
use crate::status::Cause;

/// Where a node stands, for what is said about a missing type.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

/// The check of a schema and what it found.
pub(super) struct Structure<'a> {
    pub(super) causes: &'a mut Vec<Cause>,
}

impl Structure<'_> {
    /// Checks a whole schema. What is found comes in the order of its texts.
    pub(super) fn check(&mut self, schema: &Value, path: &str) {
        let before = self.causes.len();
        self.node(schema, path, Level::Root);
        self.causes[before..].sort_by_cached_key(Cause::text);
    }

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
        if flag(schema, "x-kubernetes-int-or-string") {
            for (name, set) in [
                ("x-kubernetes-preserve-unknown-fields", preserves),
                ("x-kubernetes-embedded-resource", embedded),
            ] {
                if set {
                    self.causes.push(Cause::invalid(
                        format!("{path}.{name}"),
                        &Value::Bool(true),
                        "must be false if x-kubernetes-int-or-string is true",
                    ));
                }
            }
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
            self.metadata(schema, path, level);
        }
    }

    fn metadata(&mut self, schema: &Value, path: &str, level: Level) {
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
        // Only the root's metadata is known beforehand; its default is another check's affair.
        let only_names = metadata.as_object().is_some_and(|map| {
            map.iter().all(|(key, value)| match key {
                "type" | "default" => true,
                "properties" => value.as_object().is_some_and(|map| {
                    map.keys()
                        .all(|name| matches!(name, "name" | "generateName"))
                }),
                _ => matches!(value, Value::Null | Value::Bool(false)),
            })
        });
        if level == Level::Root && !only_names {
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
        const UNWANTED: [(&str, &str); 14] = [
            ("type", "must be empty to be structural"),
            ("additionalProperties", "must be undefined to be structural"),
            ("default", "must be undefined to be structural"),
            ("title", "must be empty to be structural"),
            ("description", "must be empty to be structural"),
            ("nullable", "must be false to be structural"),
            ("externalDocs", "must be undefined to be structural"),
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
