//! Objects of built-in types as protobuf messages, as Go's generated code writes them: what is not a pointer is always
//! there, fields stand in order of their numbers, maps in order of their keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::messages::{self, Message};
use super::wire;
use crate::json::{self, Map, Value};
use crate::schema::{Schema, Special, Type};
use crate::time::Timestamp;

/// The content of an object of a type; `None` if it has a field that has no number.
pub(super) fn object(schema: &Schema, value: &Value) -> Option<Vec<u8>> {
    let message = messages::named(schema.name()?)?;
    let typed = !schema.gvks().is_empty();
    if let Value::Object(map) = value {
        let known = |key: &str| typed && matches!(key, "apiVersion" | "kind") || has(message, key);
        if !map.keys().all(known) {
            return None;
        }
    }
    columns(schema, message, value)
}

fn has(message: &Message, key: &str) -> bool {
    message.columns.iter().any(|column| match column.embedded {
        true => messages::named(column.name).is_some_and(|inner| has(inner, key)),
        false => column.name == key,
    })
}

fn columns(schema: &Schema, message: &Message, value: &Value) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for column in &message.columns {
        if column.embedded {
            let inner = messages::named(column.name)?;
            wire::bytes(column.number, &columns(schema, inner, value)?, &mut out);
            continue;
        }
        // An embedded type has fields that the embedding one's JSON lacks.
        let Some(field) = schema.field(column.name) else {
            continue;
        };
        // Null is a value where any JSON may stand, and nothing elsewhere.
        let any = field.schema().special() == Special::Json;
        let present = value
            .get(column.name)
            .filter(|value| any || !value.is_null());
        match present {
            Some(value) => node(field.schema(), value, column.number, &mut out)?,
            // Go leaves a zero creationTimestamp out of JSON alone: it is no pointer.
            None if field.pointer() && column.name != "creationTimestamp" => {}
            None => zero(field.schema(), column.number, &mut out)?,
        }
    }
    Some(out)
}

/// What Go writes of a field that is not a pointer and has its zero value.
fn zero(schema: &Schema, number: u32, out: &mut Vec<u8>) -> Option<()> {
    match (schema.special(), schema.kind()) {
        (Special::Bytes | Special::Json, _) | (_, Type::Array) => {}
        (Special::Time | Special::MicroTime | Special::Raw | Special::Fields, _) => {
            wire::bytes(number, b"", out);
        }
        (Special::Quantity, _) => node(schema, &Value::from("0"), number, out)?,
        (Special::IntOrString, _) => node(schema, &Value::Int(0), number, out)?,
        (_, Type::String) => wire::bytes(number, b"", out),
        (_, Type::Integer | Type::Boolean) => wire::number(number, 0, out),
        (_, Type::Number) => wire::double(number, 0.0, out),
        _ if schema.is_map() => {}
        _ => node(schema, &Value::object(), number, out)?,
    }
    Some(())
}

fn node(schema: &Schema, value: &Value, number: u32, out: &mut Vec<u8>) -> Option<()> {
    let text = value.as_str().unwrap_or_default();
    let mut inner = Vec::new();
    match (schema.special(), schema.kind()) {
        (Special::Bytes, _) => {
            wire::bytes(number, &STANDARD.decode(text).ok()?, out);
            return Some(());
        }
        (Special::Quantity, _) => wire::bytes(1, text.as_bytes(), &mut inner),
        (Special::IntOrString, _) => {
            wire::number(1, u64::from(value.as_str().is_some()), &mut inner);
            wire::number(2, value.as_i64().unwrap_or(0) as u64, &mut inner);
            wire::bytes(3, text.as_bytes(), &mut inner);
        }
        (Special::Time | Special::MicroTime, _) => {
            let at = Timestamp::parse_rfc3339(text)?;
            wire::number(1, at.seconds() as u64, &mut inner);
            let nanos = at.0.rem_euclid(1_000_000) * 1_000;
            wire::number(2, nanos as u64, &mut inner);
        }
        (Special::Raw | Special::Fields | Special::Json, _) => {
            wire::bytes(1, &json::to_vec(value), &mut inner);
        }
        (Special::SchemaOrArray, _) => match value {
            Value::Array(items) => {
                for item in items {
                    wire::bytes(2, &object(props()?, item)?, &mut inner);
                }
            }
            one => wire::bytes(1, &object(props()?, one)?, &mut inner),
        },
        (Special::SchemaOrBool, _) => {
            // `allows` is true beside a schema.
            wire::number(1, u64::from(value.as_bool() != Some(false)), &mut inner);
            if value.is_object() {
                wire::bytes(2, &object(props()?, value)?, &mut inner);
            }
        }
        (Special::SchemaOrStrings, _) => match value {
            Value::Array(items) => {
                for item in items {
                    wire::bytes(2, item.as_str()?.as_bytes(), &mut inner);
                }
            }
            one => wire::bytes(1, &object(props()?, one)?, &mut inner),
        },
        (Special::None, Type::String) => inner.extend_from_slice(text.as_bytes()),
        (Special::None, Type::Integer) => {
            wire::number(number, value.as_i64()? as u64, out);
            return Some(());
        }
        (Special::None, Type::Boolean) => {
            wire::number(number, u64::from(value.as_bool()?), out);
            return Some(());
        }
        (Special::None, Type::Number) => {
            wire::double(number, value.as_f64()?, out);
            return Some(());
        }
        (Special::None, Type::Array) => {
            for item in value.as_array()? {
                node(schema.items()?, item, number, out)?;
            }
            return Some(());
        }
        (Special::None, _) if schema.is_map() => {
            for (key, value) in value.as_object().into_iter().flat_map(Map::iter) {
                let mut entry = Vec::new();
                wire::bytes(1, key.as_bytes(), &mut entry);
                map_value(schema.values()?, value, &mut entry)?;
                wire::bytes(number, &entry, out);
            }
            return Some(());
        }
        (Special::None, _) => inner = object(schema, value)?,
    }
    wire::bytes(number, &inner, out);
    Some(())
}

/// The value of an entry; a list is a message of its own there, as Go's named list types are.
fn map_value(schema: &Schema, value: &Value, entry: &mut Vec<u8>) -> Option<()> {
    if schema.kind() == Type::Array {
        let mut items = Vec::new();
        node(schema, value, 1, &mut items)?;
        wire::bytes(2, &items, entry);
        return Some(());
    }
    node(schema, value, 2, entry)
}

/// The type that the schemas of CustomResourceDefinitions are made of.
pub(super) fn props() -> Option<&'static Schema> {
    crate::schema::Schemas::builtin()
        .named("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
}
