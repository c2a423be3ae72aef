//! Protobuf messages of built-in types as objects, in the form in which JSON would have brought them: zero values of what
//! is no pointer are left out, fields without a known number too, as Go does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::encode::props;
use super::messages::{self, Message};
use super::wire::{Fields, Raw};
use crate::json::{self, Map, Value};
use crate::schema::{Field, Schema, Special, Type};
use crate::time::Timestamp;

/// Messages may hold each other; deeper than this is nobody's object.
const DEPTH_MAX: usize = 200;

/// The object that the content of a message of a type is; the error is in the words of Go's generated code.
pub(super) fn object(schema: &Schema, content: &[u8]) -> Result<Value, String> {
    let mut map = Map::new();
    message(schema, content, &mut map, 0)?;
    Ok(Value::Object(map))
}

fn message(schema: &Schema, content: &[u8], map: &mut Map, depth: usize) -> Result<(), String> {
    match schema.name().and_then(messages::named) {
        Some(columns) => fields(schema, columns, content, map, depth),
        None => Ok(()),
    }
}

fn fields(
    schema: &Schema,
    message: &Message,
    content: &[u8],
    map: &mut Map,
    depth: usize,
) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err("proto: exceeded max depth".to_owned());
    }
    let mut wire = Fields::of(content);
    while let Some((number, raw)) = wire.next()? {
        let columns = &message.columns;
        let Ok(at) = columns.binary_search_by_key(&number, |column| column.number) else {
            continue;
        };
        let name = columns[at].name;
        if columns[at].embedded {
            if let Some(inner) = messages::named(name) {
                fields(schema, inner, raw.bytes(name)?, map, depth + 1)?;
            }
        } else if let Some(field) = schema.field(name) {
            take(field, name, raw, map, depth)?;
        }
    }
    Ok(())
}

fn take(
    field: &Field,
    name: &'static str,
    raw: Raw<'_>,
    map: &mut Map,
    depth: usize,
) -> Result<(), String> {
    let schema = field.schema();
    if schema.special() == Special::None && schema.kind() == Type::Array {
        if let Some(items) = schema.items() {
            let item = node(items, name, raw, depth)?;
            if let Value::Array(list) = map.get_or_insert(name, Value::Array(Vec::new())) {
                list.push(item);
            }
        }
        return Ok(());
    }
    if schema.special() == Special::None && schema.is_map() {
        if let Some(values) = schema.values() {
            let (key, value) = entry(values, name, raw.bytes(name)?, depth)?;
            map.object(name).insert(key, value);
        }
        return Ok(());
    }
    let value = node(schema, name, raw, depth)?;
    // A zero time says nothing, whether or not it is a pointer.
    let timeless =
        value.is_null() && matches!(schema.special(), Special::Time | Special::MicroTime);
    if !timeless && (field.pointer() || !is_zero(&value)) {
        map.insert(name, value);
    }
    Ok(())
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Int(number) => *number == 0,
        Value::Float(number) => *number == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn entry(
    values: &Schema,
    name: &str,
    content: &[u8],
    depth: usize,
) -> Result<(String, Value), String> {
    let (mut key, mut value) = (String::new(), None);
    let mut wire = Fields::of(content);
    while let Some((number, raw)) = wire.next()? {
        match number {
            1 => key = raw.text(name)?,
            2 if values.kind() == Type::Array => {
                let mut list = Vec::new();
                let mut items = Fields::of(raw.bytes(name)?);
                while let Some((number, raw)) = items.next()? {
                    if let (1, Some(items)) = (number, values.items()) {
                        list.push(node(items, name, raw, depth)?);
                    }
                }
                value = Some(Value::Array(list));
            }
            2 => value = Some(node(values, name, raw, depth)?),
            _ => {}
        }
    }
    let zero = || match (values.special(), values.kind()) {
        (Special::None | Special::Bytes, Type::String) => Value::from(""),
        (Special::Quantity, _) => Value::from("0"),
        _ => Value::object(),
    };
    Ok((key, value.unwrap_or_else(zero)))
}

fn node(schema: &Schema, name: &str, raw: Raw<'_>, depth: usize) -> Result<Value, String> {
    Ok(match (schema.special(), schema.kind()) {
        (Special::Bytes, _) => Value::from(STANDARD.encode(raw.bytes(name)?)),
        (Special::Quantity, _) => match first(raw.bytes(name)?, 1)? {
            Some(text) => Value::from(text.text(name)?),
            None => Value::from("0"),
        },
        (Special::IntOrString, _) => {
            let content = raw.bytes(name)?;
            let is_text = first(content, 1)?.map_or(Ok(0), |raw| raw.varint(name))? == 1;
            match first(content, if is_text { 3 } else { 2 })? {
                Some(raw) if is_text => Value::from(raw.text(name)?),
                Some(raw) => Value::Int(i64::from(raw.varint(name)? as i32)),
                None if is_text => Value::from(""),
                None => Value::Int(0),
            }
        }
        (special @ (Special::Time | Special::MicroTime), _) => {
            time(special, raw.bytes(name)?, name)?
        }
        (Special::Raw | Special::Fields | Special::Json, _) => match first(raw.bytes(name)?, 1)? {
            Some(raw) => json::parse(raw.bytes(name)?).map_err(|error| error.message)?,
            None => Value::Null,
        },
        (Special::SchemaOrArray | Special::SchemaOrBool | Special::SchemaOrStrings, _) => {
            alternative(schema.special(), raw.bytes(name)?, name, depth)?
        }
        (Special::None, Type::String) => Value::from(raw.text(name)?),
        (Special::None, Type::Integer) => {
            let number = raw.varint(name)? as i64;
            match schema.format() {
                Some("int32") => Value::Int(i64::from(number as i32)),
                _ => Value::Int(number),
            }
        }
        (Special::None, Type::Boolean) => Value::Bool(raw.varint(name)? != 0),
        (Special::None, Type::Number) => match raw {
            Raw::Fixed64(bits) => Value::Float(f64::from_bits(bits)),
            other => return Err(other.wrong(name)),
        },
        (Special::None, _) => {
            let mut map = Map::new();
            message(schema, raw.bytes(name)?, &mut map, depth + 1)?;
            Value::Object(map)
        }
    })
}

/// The first field of that number: the messages asked so have each at most once.
fn first(content: &[u8], wanted: u32) -> Result<Option<Raw<'_>>, String> {
    let mut wire = Fields::of(content);
    let mut found = None;
    while let Some((number, raw)) = wire.next()? {
        if number == wanted {
            found = found.or(Some(raw));
        }
    }
    Ok(found)
}

fn time(special: Special, content: &[u8], name: &str) -> Result<Value, String> {
    let number =
        |wanted| first(content, wanted).and_then(|raw| raw.map_or(Ok(0), |raw| raw.varint(name)));
    let (seconds, nanos) = (number(1)? as i64, i64::from(number(2)? as i32));
    if seconds == 0 && nanos == 0 {
        return Ok(Value::Null);
    }
    let micros = seconds
        .saturating_mul(1_000_000)
        .saturating_add(nanos / 1_000);
    let at = Timestamp(micros);
    Ok(match special {
        Special::MicroTime => Value::from(at.rfc3339_micro()),
        _ => Value::from(at.rfc3339()),
    })
}

/// A schema, or what else may stand in its place in a CustomResourceDefinition.
fn alternative(
    special: Special,
    content: &[u8],
    name: &str,
    depth: usize,
) -> Result<Value, String> {
    let schema = |raw: Raw<'_>| -> Result<Value, String> {
        let mut map = Map::new();
        if let Some(props) = props() {
            message(props, raw.bytes(name)?, &mut map, depth + 1)?;
        }
        Ok(Value::Object(map))
    };
    if special == Special::SchemaOrBool {
        return match first(content, 2)? {
            Some(raw) => schema(raw),
            None => {
                let allows = first(content, 1)?.map_or(Ok(0), |raw| raw.varint(name))?;
                Ok(Value::Bool(allows != 0))
            }
        };
    }
    if let Some(raw) = first(content, 1)? {
        return schema(raw);
    }
    let mut list = Vec::new();
    let mut wire = Fields::of(content);
    while let Some((number, raw)) = wire.next()? {
        match special {
            _ if number != 2 => {}
            Special::SchemaOrArray => list.push(schema(raw)?),
            _ => list.push(Value::from(raw.text(name)?)),
        }
    }
    Ok(Value::Array(list))
}
