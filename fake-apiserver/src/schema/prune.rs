//! Decoding a custom resource: pruning by its structural schema, the round trip of `metadata`, numbers.
//!
//! Owns L4 up to defaulting. Unknown fields are dropped and told unless a node preserves them; `metadata` of the root and of
//! embedded resources goes through Go's ObjectMeta: a wrong type is an error, an unknown field is dropped and told.
//! Source: apiextensions-apiserver `pkg/apiserver/schema/pruning`, `…/objectmeta`, `customresource_handler.go`.

use super::decode::{Decoded, decode};
use super::{Schema, note};
use crate::json::{Map, Value};
use crate::status::cut_path;

/// Decodes an object of a custom resource (without defaulting); the error is Go's text about `metadata`.
pub fn decode_custom(schema: &Schema, mut value: Value) -> Result<Decoded, String> {
    let mut unknown = Vec::new();
    large_numbers(&mut value);
    prune_root(schema, &mut value, &mut unknown);
    coerce_metadata(schema, &mut value, true, &mut unknown)?;
    unknown.sort();
    unknown.dedup();
    Ok(Decoded { value, unknown })
}

/// Drops what the schema of a custom resource does not know, noting the paths.
pub fn prune(schema: &Schema, value: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    prune_root(schema, value, &mut unknown);
    unknown
}

fn prune_root(schema: &Schema, value: &mut Value, unknown: &mut Vec<String>) {
    let mut pruner = Pruner {
        path: String::new(),
        unknown,
    };
    pruner.node(Some(schema), value, true);
}

struct Pruner<'a> {
    path: String,
    unknown: &'a mut Vec<String>,
}

impl Pruner<'_> {
    fn node(&mut self, schema: Option<&Schema>, value: &mut Value, resource: bool) {
        match value {
            Value::Object(map) => self.object(schema, map, resource),
            Value::Array(items) => {
                let length = self.path.len();
                for (i, item) in items.iter_mut().enumerate() {
                    self.path.push_str(&format!("[{i}]"));
                    cut_path(&mut self.path);
                    let element = schema.and_then(Schema::items);
                    let kept = schema
                        .is_some_and(|schema| schema.preserve_unknown && schema.items.is_none());
                    if !kept {
                        self.node(element, item, element.is_some_and(Schema::embedded));
                    }
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
    }

    fn object(&mut self, schema: Option<&Schema>, map: &mut Map, resource: bool) {
        let length = self.path.len();
        map.retain(|key, value| {
            if resource && matches!(key, "apiVersion" | "kind" | "metadata") {
                return true;
            }
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(key);
            cut_path(&mut self.path);
            let keep = match schema {
                None => false,
                Some(schema) => {
                    if let Some(field) = schema.field(key) {
                        let child = field.schema();
                        self.node(Some(child), value, child.embedded);
                        true
                    } else if let Some(values) = &schema.values {
                        // `additionalProperties: true` keeps keys but knows nothing below them.
                        let below = Some(values.get()).filter(|below| !below.anything);
                        self.node(below, value, below.is_some_and(Schema::embedded));
                        true
                    } else {
                        schema.preserve_unknown || schema.values_forbidden
                    }
                }
            };
            if !keep {
                note(self.unknown, &self.path);
            }
            self.path.truncate(length);
            keep
        });
    }
}

/// Sends `metadata` of the object and of embedded resources through ObjectMeta, noting unknown fields. With `strict`
/// unset (reading from storage) a malformed one is dropped instead of being an error.
pub fn coerce_metadata(
    schema: &Schema,
    value: &mut Value,
    strict: bool,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    coerce(schema, value, true, strict, "", unknown)
}

fn coerce(
    schema: &Schema,
    value: &mut Value,
    resource: bool,
    strict: bool,
    path: &str,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    match value {
        Value::Object(map) => {
            if resource {
                object_meta(schema, map, strict, path, unknown)?;
            }
            if !schema.has_embedded {
                return Ok(());
            }
            for (key, value) in map.iter_mut() {
                if resource && matches!(key, "apiVersion" | "kind" | "metadata") {
                    continue;
                }
                if let Some(child) = schema.child(key) {
                    let mut below = if path.is_empty() {
                        key.to_owned()
                    } else {
                        format!("{path}.{key}")
                    };
                    cut_path(&mut below);
                    coerce(child, value, child.embedded, strict, &below, unknown)?;
                }
            }
            Ok(())
        }
        Value::Array(items) => {
            let Some(element) = schema.items().filter(|element| element.has_embedded) else {
                return Ok(());
            };
            for (i, item) in items.iter_mut().enumerate() {
                coerce(
                    element,
                    item,
                    element.embedded,
                    strict,
                    &format!("{path}[{i}]"),
                    unknown,
                )?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn object_meta(
    schema: &Schema,
    map: &mut Map,
    strict: bool,
    path: &str,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    let (Some(field), Some(metadata)) = (schema.field("metadata"), map.get_mut("metadata")) else {
        return Ok(());
    };
    match decode(field.schema(), std::mem::take(metadata)) {
        Ok(decoded) => {
            let dot = if path.is_empty() { "" } else { "." };
            unknown.extend(
                decoded
                    .unknown
                    .iter()
                    .map(|below| format!("{path}{dot}metadata.{below}")),
            );
            *metadata = decoded.value;
            Ok(())
        }
        Err(error) if strict => Err(error),
        Err(_) => {
            map.remove("metadata");
            Ok(())
        }
    }
}

/// Drops nulls where the schema allows none, below objects and maps (in lists they stay, L4).
pub fn coerce_nulls(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => map.retain(|key, value| match schema.child(key) {
            Some(child) if child.name.is_none() => {
                let below_any = child.anything;
                if value.is_null() && !child.nullable && !below_any {
                    return false;
                }
                coerce_nulls(child, value);
                true
            }
            _ => true,
        }),
        Value::Array(items) => {
            if let Some(element) = schema.items() {
                items
                    .iter_mut()
                    .for_each(|item| coerce_nulls(element, item));
            }
        }
        _ => {}
    }
}

// Integers beyond 64 bits are floats.
fn large_numbers(value: &mut Value) {
    match value {
        Value::UInt(number) => *value = Value::Float(*number as f64),
        Value::Array(items) => items.iter_mut().for_each(large_numbers),
        Value::Object(map) => map.values_mut().for_each(large_numbers),
        _ => {}
    }
}

/// Whole floats become integers, as they do by being written and read again. Until an object is stored they are told
/// apart: 1 and 1.0 are no duplicates (L6).
pub fn whole_numbers(value: &mut Value) {
    match value {
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 9.2e18 => {
            *value = Value::Int(*number as i64)
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        _ => {}
    }
}
