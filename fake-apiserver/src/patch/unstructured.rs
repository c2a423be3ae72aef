//! What the converter from unstructured values to Go types says of a value that does not fit (E4).
//!
//! A strategic merge, or what an apply merged, is converted without a detour over JSON, so its errors have other words than decoding has.
//! Source: apimachinery `runtime/converter.go`.

use crate::json::Value;
use crate::schema::{Schema, Special, Type, go};

/// The first error, if the value does not fit its type.
pub(crate) fn conversion_error(schema: &Schema, value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    match schema.special() {
        Special::None => {}
        Special::Bytes => {
            return (!value.is_string()).then(|| convert(value, "[]uint8"));
        }
        // These read themselves, with nothing around them.
        Special::IntOrString => {
            let fits = matches!(value, Value::String(_)) || value.as_i64().is_some();
            return (!fits).then(|| unmarshal(value, true, "int32"));
        }
        Special::Time | Special::MicroTime => {
            return (!value.is_string()).then(|| unmarshal(value, false, "string"));
        }
        // Decoding tells what is wrong.
        _ => return None,
    }
    match (schema.kind(), value) {
        (Type::Object, Value::Object(map)) => map.iter().find_map(|(key, item)| {
            let below = schema.child(key)?;
            conversion_error(below, item)
        }),
        (Type::Object, other) if schema.is_map() => {
            Some(format!("cannot restore map from {}", kind(other)))
        }
        (Type::Object, other) => Some(format!("cannot restore struct from: {}", kind(other))),
        (Type::Array, Value::Array(items)) => {
            let below = schema.items()?;
            items.iter().find_map(|item| conversion_error(below, item))
        }
        (Type::Array, other) => Some(format!("cannot restore slice from {}", kind(other))),
        (Type::String, other) if !other.is_string() => Some(convert(other, "string")),
        (Type::Boolean, other) if other.as_bool().is_none() => Some(convert(other, "bool")),
        (Type::Integer, other) if other.as_i64().is_none() => {
            let wide = schema.format() == Some("int64");
            Some(convert(other, if wide { "int64" } else { "int32" }))
        }
        (Type::Number, other) if !other.is_number() => Some(convert(other, "float64")),
        _ => None,
    }
}

fn unmarshal(value: &Value, integer: bool, to: &str) -> String {
    go::unmarshal_error(&go::value_word(value, integer), "", "", to)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "map",
        Value::Array(_) => "slice",
        other => go_type(other),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::UInt(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn convert(value: &Value, to: &str) -> String {
    format!("cannot convert {} to {to}", go_type(value))
}
