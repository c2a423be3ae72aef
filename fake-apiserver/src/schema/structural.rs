//! Building a [`Schema`] from the OpenAPI v3 schema of a CustomResourceDefinition's version.
//!
//! Owns the translation only: whether the schema is structural at all is `crd`'s affair, and what is not understood is left
//! out. The root and embedded resources know `apiVersion`, `kind` and `metadata` without being told.
//! Source: apiextensions-apiserver `pkg/apiserver/schema/convert.go`.

use super::{CelRule, Child, Field, ListType, Rules, Schema, Schemas, Type, regexp};
use crate::json::{CompactString, Value};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The schema of a custom resource's version.
pub fn build(open_api: &Value) -> Schema {
    let mut schema = node(open_api);
    resource_fields(&mut schema);
    schema
}

// Adds the fields every object has.
fn resource_fields(schema: &mut Schema) {
    if let Some(i) = schema
        .fields
        .iter()
        .position(|field| field.name == "metadata")
        && let Child::Own(metadata) = &schema.fields[i].child
    {
        schema.metadata = Some(metadata.clone());
    }
    let id = Schemas::builtin().index_of(OBJECT_META).unwrap_or_default();
    put(schema, "metadata", Child::Builtin(id));
    for name in ["apiVersion", "kind"] {
        if schema.field(name).is_none() {
            let text = Schema {
                kind: Type::String,
                ..Schema::default()
            };
            put(schema, name, Child::Own(Box::new(text)));
        }
    }
}

fn put(schema: &mut Schema, name: &str, child: Child) {
    let field = field(name, child);
    match schema
        .fields
        .binary_search_by(|field| field.name.as_str().cmp(name))
    {
        Ok(i) => schema.fields[i] = field,
        Err(i) => schema.fields.insert(i, field),
    }
}

fn field(name: &str, child: Child) -> Field {
    Field {
        name: name.into(),
        child,
        pointer: true,
        kept: false,
        default: None,
        map_type: None,
        patch_strategy: None,
        patch_merge_key: None,
    }
}

/// A node below the root (also what stands in `allOf`, `not` and so on).
pub(crate) fn node(open_api: &Value) -> Schema {
    let flag = |name: &str| open_api.get(name).and_then(Value::as_bool).unwrap_or(false);
    let mut schema = Schema {
        kind: Type::parse(open_api.str_at(&["type"])).unwrap_or_default(),
        format: text(open_api, "format"),
        nullable: flag("nullable"),
        preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
        int_or_string: flag("x-kubernetes-int-or-string"),
        embedded: flag("x-kubernetes-embedded-resource"),
        map_atomic: open_api.str_at(&["x-kubernetes-map-type"]) == "atomic",
        default: open_api
            .get("default")
            .filter(|value| !value.is_null())
            .cloned(),
        enumeration: open_api.array_at(&["enum"]).to_vec(),
        required: strings(open_api, "required"),
        list_map_keys: strings(open_api, "x-kubernetes-list-map-keys"),
        ..Schema::default()
    };
    schema.list_type = match open_api.str_at(&["x-kubernetes-list-type"]) {
        "map" => Some(ListType::Map),
        "set" => Some(ListType::Set),
        "atomic" => Some(ListType::Atomic),
        _ => None,
    };
    if let Some(properties) = open_api.get("properties").and_then(Value::as_object) {
        // Fields of a map come in key order, which is the order a schema wants.
        schema.fields = properties
            .iter()
            .map(|(name, value)| field(name, own(value)))
            .collect();
    }
    match open_api.get("items") {
        Some(items @ Value::Object(_)) => schema.items = Some(own(items)),
        _ if schema.kind == Type::Array => schema.items = None,
        _ => {}
    }
    match open_api.get("additionalProperties") {
        Some(values @ Value::Object(_)) => schema.values = Some(own(values)),
        Some(Value::Bool(true)) => {
            schema.values = Some(Child::Own(Box::new(Schema {
                anything: true,
                ..Schema::default()
            })))
        }
        Some(Value::Bool(false)) => schema.values_forbidden = true,
        _ => {}
    }
    if schema.embedded {
        resource_fields(&mut schema);
    }
    let rules = rules(open_api);
    if rules != Rules::default() {
        schema.rules = Some(Box::new(rules));
    }
    summarise(&mut schema);
    schema
}

fn own(value: &Value) -> Child {
    Child::Own(Box::new(node(value)))
}

// Invariant: a node knows whether defaults or CEL rules stand at it or below.
fn summarise(schema: &mut Schema) {
    let mut defaults = schema.default.is_some();
    let mut embedded = schema.embedded;
    let mut unique = matches!(schema.list_type, Some(ListType::Map | ListType::Set));
    let mut cel = schema
        .rules
        .as_ref()
        .is_some_and(|rules| !rules.cel.is_empty());
    let fields = schema.fields.iter().map(|field| &field.child);
    for child in fields.chain(&schema.items).chain(&schema.values) {
        if let Child::Own(child) = child {
            defaults |= child.has_defaults;
            cel |= child.has_cel;
            embedded |= child.has_embedded;
            unique |= child.has_unique_lists;
        }
    }
    (schema.has_defaults, schema.has_cel) = (defaults, cel);
    (schema.has_embedded, schema.has_unique_lists) = (embedded, unique);
}

fn rules(open_api: &Value) -> Rules {
    let number = |name: &str| open_api.get(name).and_then(Value::as_f64);
    let count = |name: &str| open_api.get(name).and_then(Value::as_i64);
    let flag = |name: &str| open_api.get(name).and_then(Value::as_bool).unwrap_or(false);
    let branches = |name: &str| open_api.array_at(&[name]).iter().map(node).collect();
    Rules {
        minimum: number("minimum"),
        maximum: number("maximum"),
        exclusive_minimum: flag("exclusiveMinimum"),
        exclusive_maximum: flag("exclusiveMaximum"),
        multiple_of: number("multipleOf"),
        min_length: count("minLength"),
        max_length: count("maxLength"),
        min_items: count("minItems"),
        max_items: count("maxItems"),
        min_properties: count("minProperties"),
        max_properties: count("maxProperties"),
        pattern: text(open_api, "pattern").map(|source| regexp::Pattern::new(&source)),
        all_of: branches("allOf"),
        any_of: branches("anyOf"),
        one_of: branches("oneOf"),
        not: open_api
            .get("not")
            .filter(|value| value.is_object())
            .map(node),
        cel: open_api
            .array_at(&["x-kubernetes-validations"])
            .iter()
            .map(cel_rule)
            .collect(),
    }
}

/// One of `x-kubernetes-validations`.
pub(crate) fn cel_rule(rule: &Value) -> CelRule {
    let text = |name: &str| rule.str_at(&[name]).to_owned();
    CelRule {
        rule: text("rule"),
        message: text("message"),
        message_expression: text("messageExpression"),
        reason: text("reason"),
        field_path: text("fieldPath"),
        optional_old_self: rule.get("optionalOldSelf").and_then(Value::as_bool),
    }
}

fn text(value: &Value, name: &str) -> Option<CompactString> {
    let text = value.str_at(&[name]);
    (!text.is_empty()).then(|| text.into())
}

fn strings(value: &Value, name: &str) -> Vec<CompactString> {
    value
        .array_at(&[name])
        .iter()
        .filter_map(Value::as_str)
        .map(Into::into)
        .collect()
}
