//! Decoding a built-in object: the round trip through the Go types.
//!
//! Owns type errors in Go's words, unknown fields, the canonical spelling of times, quantities and base64, and which zero
//! values survive (`omitempty`, pointers). Does not own reading bytes (`json`), defaults that Kubernetes sets in code
//! (`strategy`), nor custom resources (`prune`).
//!
//! Simplifications: of several type errors the first in key order is told (the real server: in document order); a number
//! is shown with its value, not with the digits it was written with.
//! Source: Go `encoding/json`, sigs.k8s.io/json (strict mode), apimachinery `pkg/runtime/serializer/json`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::go;
use super::{Field, Schema, Special, Type, note};
use crate::json::{Map, Value};
use crate::status::cut_path;
use crate::strategy::quantity::Quantity;
use crate::time::Timestamp;

/// Length of a time in UTC without fractions, `2026-01-02T03:04:05Z`.
const SECONDS_LEN: usize = 20;

/// What became of a body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The object, without what the type does not know.
    pub value: Value,
    /// Paths of unknown fields (`spec.containers[0].foo`), in key order.
    pub unknown: Vec<String>,
}

/// Decodes an object of a built-in type; the error is Go's text (`json: cannot unmarshal …`).
pub fn decode(schema: &Schema, mut value: Value) -> Result<Decoded, String> {
    let mut decoder = Decoder::new();
    if value.is_null() {
        value = Value::object();
    }
    let name = schema.name.map(go::unqualified).unwrap_or_default();
    decoder.node(schema, &mut value, name, "")?;
    Ok(Decoded {
        value,
        unknown: decoder.unknown,
    })
}

/// Brings an object of a built-in type into the form in which it is answered, as [`decode`] does, after code has changed
/// it: fields of zero that are written appear, others disappear. What does not fit the type is left alone.
pub fn normalise(schema: &Schema, value: &mut Value) {
    let mut decoder = Decoder::new();
    let name = schema.name.map(go::unqualified).unwrap_or_default();
    let mut copy = value.clone();
    if decoder.node(schema, &mut copy, name, "").is_ok() {
        *value = copy;
    }
}

/// What storage makes of an object of a built-in type: kinds of apiextensions are stored as JSON, the others as protobuf,
/// where an empty list is no list and comes back as null.
pub fn settle(schema: &Schema, value: &mut Value) {
    let as_json = schema
        .name
        .is_some_and(|name| name.contains("apiextensions"));
    if !as_json && has_empty_list_outside_managed_fields(value) {
        empty_to_null(schema, value);
    }
}

// Sets of fields hold no lists, and an empty list of them is not written.
fn has_empty_list_outside_managed_fields(value: &Value) -> bool {
    let metadata = |map: &Map| {
        let mut fields = map.iter();
        fields.any(|(key, value)| key != "managedFields" && has_empty_list(value))
    };
    let mut fields = value.as_object().into_iter().flatten();
    fields.any(|(key, value)| match (key, value) {
        ("metadata", Value::Object(map)) => metadata(map),
        _ => has_empty_list(value),
    })
}

fn has_empty_list(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty() || items.iter().any(has_empty_list),
        Value::Object(map) => map.values().any(has_empty_list),
        _ => false,
    }
}

fn empty_to_null(schema: &Schema, value: &mut Value) {
    match value {
        Value::Array(items) => {
            if let Some(schema) = schema.items() {
                items
                    .iter_mut()
                    .for_each(|item| empty_to_null(schema, item));
            }
        }
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match schema.field(key) {
                    Some(field) if field.kept && value.as_array().is_some_and(Vec::is_empty) => {
                        *value = Value::Null;
                    }
                    Some(field) => empty_to_null(field.schema(), value),
                    None => {}
                }
            }
        }
        _ => {}
    }
}

/// The zero value of a built-in type, as it is written.
pub fn zero_of(schema: &Schema) -> Value {
    decode(schema, Value::object())
        .map(|decoded| decoded.value)
        .unwrap_or_default()
}

struct Decoder {
    // Path for people: fields, keys and indices.
    path: String,
    // Path as encoding/json tells it: fields only.
    go_path: String,
    unknown: Vec<String>,
}

impl Decoder {
    fn new() -> Decoder {
        Decoder {
            path: String::with_capacity(64),
            go_path: String::with_capacity(64),
            unknown: Vec::new(),
        }
    }

    // `owner` and `field` name the innermost struct field, for errors.
    fn node(
        &mut self,
        schema: &Schema,
        value: &mut Value,
        owner: &str,
        field: &str,
    ) -> Result<(), String> {
        if schema.special != Special::None {
            return self.special(schema, value, owner, field);
        }
        let fits = match (schema.kind, &*value) {
            (Type::Any, _) => return Ok(()),
            (Type::String, Value::String(_)) | (Type::Boolean, Value::Bool(_)) => return Ok(()),
            (Type::Number, value) => value.is_number(),
            (Type::Integer, Value::Int(number)) => {
                schema.format() != Some("int32") || i32::try_from(*number).is_ok()
            }
            (Type::Array, Value::Array(_)) | (Type::Object, Value::Object(_)) => true,
            _ => false,
        };
        if !fits {
            return Err(self.misfit(schema, value, owner, field));
        }
        match value {
            Value::Array(items) => self.list(schema, items, owner, field),
            Value::Object(map) if schema.is_map() => self.map(schema, map, owner, field),
            Value::Object(map) => self.object(schema, map),
            _ => Ok(()),
        }
    }

    fn misfit(&self, schema: &Schema, value: &Value, owner: &str, field: &str) -> String {
        let word = go::value_word(value, schema.kind == Type::Integer);
        let at_field = self.at_field(field);
        let name = if at_field {
            go::type_of(owner, field, schema)
        } else {
            go::element_type_of(owner, field, schema)
        };
        go::unmarshal_error(&word, owner, &self.go_path, &name)
    }

    // Elements of lists and maps are at no field of their own.
    fn at_field(&self, field: &str) -> bool {
        self.path.ends_with(field) && self.go_path.ends_with(field)
    }

    fn list(
        &mut self,
        schema: &Schema,
        items: &mut [Value],
        owner: &str,
        field: &str,
    ) -> Result<(), String> {
        let Some(element) = schema.items() else {
            return Ok(());
        };
        let length = self.path.len();
        for (i, item) in items.iter_mut().enumerate() {
            self.path.push_str(&format!("[{i}]"));
            cut_path(&mut self.path);
            if item.is_null() {
                *item = zero(element);
            }
            self.node(element, item, owner, field)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn map(
        &mut self,
        schema: &Schema,
        map: &mut Map,
        owner: &str,
        field: &str,
    ) -> Result<(), String> {
        let Some(element) = schema.values() else {
            return Ok(());
        };
        let length = self.path.len();
        let texts = element.is_text();
        for (key, item) in map.iter_mut() {
            if texts && item.is_string() {
                continue;
            }
            if item.is_null() {
                *item = zero(element);
                if element.special == Special::None && element.kind == Type::Array {
                    continue;
                }
            }
            self.path.push('.');
            self.path.push_str(key);
            cut_path(&mut self.path);
            self.node(element, item, owner, field)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn object(&mut self, schema: &Schema, map: &mut Map) -> Result<(), String> {
        let owner = schema.name.map(go::unqualified).unwrap_or_default();
        let (length, go_length) = (self.path.len(), self.go_path.len());
        let mut failure = None;
        map.retain(|key, value| {
            if failure.is_some() {
                return true;
            }
            let field = schema.field(key);
            if let (Some(field), Value::String(text)) = (field, &*value)
                && field.schema().is_text()
            {
                // Texts are most of an object; they need no path.
                return field.pointer || field.kept || !text.is_empty();
            }
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(key);
            cut_path(&mut self.path);
            let keep = match field {
                None => {
                    note(&mut self.unknown, &self.path);
                    false
                }
                Some(_) if value.is_null() => false,
                Some(field) => {
                    if go_length > 0 {
                        self.go_path.push('.');
                    }
                    self.go_path.push_str(key);
                    cut_path(&mut self.go_path);
                    if let Err(error) = self.node(field.schema(), value, owner, key) {
                        failure = Some(error);
                    }
                    self.go_path.truncate(go_length);
                    field.pointer || field.kept || !self.omitted(field.schema(), value)
                }
            };
            self.path.truncate(length);
            keep
        });
        if let Some(error) = failure {
            return Err(error);
        }
        for field in schema.fields.iter().filter(|field| field.kept) {
            if !map.contains_key(&field.name) {
                let mut value = unset(field);
                if let Value::Object(map) = &mut value {
                    self.object(field.schema(), map)?;
                }
                map.insert(field.name.clone(), value);
            }
        }
        Ok(())
    }

    // What `omitempty` leaves out.
    fn omitted(&self, schema: &Schema, value: &Value) -> bool {
        match value {
            Value::Null | Value::Bool(false) | Value::Int(0) => schema.special == Special::None,
            Value::String(text) => {
                text.is_empty() && matches!(schema.special, Special::None | Special::Bytes)
            }
            Value::Array(items) => items.is_empty() && schema.special == Special::None,
            Value::Object(map) => map.is_empty() && schema.is_map(),
            _ => false,
        }
    }

    fn special(
        &mut self,
        schema: &Schema,
        value: &mut Value,
        owner: &str,
        field: &str,
    ) -> Result<(), String> {
        match schema.special {
            Special::None | Special::Raw | Special::Fields | Special::Json => Ok(()),
            Special::Quantity => quantity(value),
            Special::IntOrString => match value {
                Value::String(_) => Ok(()),
                Value::Int(number) if i32::try_from(*number).is_ok() => Ok(()),
                _ => {
                    let word = go::value_word(value, true);
                    Err(go::unmarshal_error(&word, owner, &self.go_path, "int32"))
                }
            },
            Special::Time | Special::MicroTime => match value {
                Value::String(text) => {
                    let micro = schema.special == Special::MicroTime;
                    go::parse_time(text, micro)?;
                    if !micro && text.len() == SECONDS_LEN && text.ends_with('Z') {
                        // As the server writes it.
                        return Ok(());
                    }
                    if let Some(time) = Timestamp::parse_rfc3339(text) {
                        let spelt = if micro {
                            time.rfc3339_micro()
                        } else {
                            time.rfc3339()
                        };
                        *value = Value::String(spelt);
                    }
                    Ok(())
                }
                _ => Err(self.misfit(schema, value, owner, field)),
            },
            Special::Bytes => match value {
                Value::String(text) => {
                    let bytes = base64(text)?;
                    *value = Value::String(STANDARD.encode(bytes).into());
                    Ok(())
                }
                Value::Null => Ok(()),
                _ => Err(self.misfit(schema, value, owner, field)),
            },
            Special::SchemaOrArray => match value {
                Value::Array(items) => {
                    for item in items {
                        self.json_schema(item, owner, field)?;
                    }
                    Ok(())
                }
                _ => self.json_schema(value, owner, field),
            },
            Special::SchemaOrBool => match value {
                Value::Bool(_) => Ok(()),
                Value::Object(_) => self.json_schema(value, owner, field),
                _ => Err("boolean or JSON schema expected".to_owned()),
            },
            Special::SchemaOrStrings => match value {
                Value::Array(items) if items.iter().all(Value::is_string) => Ok(()),
                _ => self.json_schema(value, owner, field),
            },
        }
    }

    fn json_schema(&mut self, value: &mut Value, owner: &str, field: &str) -> Result<(), String> {
        const NAME: &str =
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
        match super::Schemas::builtin().named(NAME) {
            Some(schema) => self.node(schema, value, owner, field),
            None => Ok(()),
        }
    }
}

/// What stands for a `null` element.
fn zero(schema: &Schema) -> Value {
    match schema.special {
        Special::Quantity => Value::from("0"),
        Special::Bytes => Value::from(""),
        Special::IntOrString => Value::Int(0),
        Special::None => match schema.kind {
            Type::String => Value::from(""),
            Type::Integer | Type::Number => Value::Int(0),
            Type::Boolean => Value::Bool(false),
            Type::Object if !schema.is_map() => Value::object(),
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}

/// What is written for an absent field without `omitempty`.
fn unset(field: &Field) -> Value {
    let schema = field.schema();
    if field.pointer {
        return Value::Null;
    }
    match schema.special {
        Special::None if schema.name.is_some() => Value::object(),
        Special::None if schema.kind == Type::Object || schema.kind == Type::Array => Value::Null,
        Special::None | Special::Quantity => zero(schema),
        _ => Value::Null,
    }
}

fn quantity(value: &mut Value) -> Result<(), String> {
    let text = match &*value {
        Value::Null => "0".to_owned(),
        Value::String(text) => text.to_string(),
        number if number.is_number() => number.to_string(),
        _ => return Err(crate::strategy::quantity::WRONG_FORMAT.to_owned()),
    };
    let quantity = Quantity::parse(&text)?;
    *value = Value::String(quantity.canonical().into());
    Ok(())
}

// Go's decoder skips line ends and tells the first byte that is wrong.
fn base64(text: &str) -> Result<Vec<u8>, String> {
    let clean: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    STANDARD.decode(clean.as_bytes()).map_err(|_| {
        let bytes = clean.as_bytes();
        let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        let at = bytes
            .iter()
            .position(|byte| !good(byte))
            .unwrap_or(bytes.len());
        let padded = bytes.get(at) == Some(&b'=') && at % 4 >= 2;
        // A group of four that ends too early is told by its beginning.
        let at = match at {
            _ if padded => bytes.len(),
            at if at == bytes.len() => at / 4 * 4,
            at => at,
        };
        format!("illegal base64 data at input byte {at}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::schema::Schemas;

    fn check(kind: [&str; 3], body: Value, want: Value) {
        let schema = Schemas::builtin().kind(kind[0], kind[1], kind[2]).unwrap();
        let mut value = decode(schema, body).unwrap().value;
        settle(schema, &mut value);
        assert_eq!(value.to_string(), want.to_string());
    }

    fn fails(kind: [&str; 3], body: Value, want: &str) {
        let schema = Schemas::builtin().kind(kind[0], kind[1], kind[2]).unwrap();
        assert_eq!(decode(schema, body).unwrap_err(), want);
    }

    const CONFIG_MAP: [&str; 3] = ["", "v1", "ConfigMap"];
    const DEPLOYMENT: [&str; 3] = ["apps", "v1", "Deployment"];

    #[test]
    fn d15_type_errors_name_the_go_field() {
        fails(
            CONFIG_MAP,
            json!({"metadata": "x"}),
            "json: cannot unmarshal string into Go struct field ConfigMap.metadata of type v1.ObjectMeta",
        );
        fails(
            CONFIG_MAP,
            json!({"metadata": {"labels": {"x": 5}}}),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        );
        fails(
            CONFIG_MAP,
            json!({"data": ["x"]}),
            "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string",
        );
        fails(
            DEPLOYMENT,
            json!({"spec": {"replicas": 3000000000_i64}}),
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        );
        fails(
            DEPLOYMENT,
            json!({"spec": {"template": {"spec": {"containers": {"name": "c"}}}}}),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
        );
        fails(
            ["", "v1", "Secret"],
            json!({"data": {"x": "not base64!"}}),
            "illegal base64 data at input byte 3",
        );
    }

    #[test]
    fn zero_values_survive_where_go_writes_them() {
        check(
            CONFIG_MAP,
            json!({"data": {"k": null}, "immutable": false}),
            json!({"data": {"k": ""}, "immutable": false, "metadata": {}}),
        );
        check(
            ["", "v1", "Namespace"],
            json!({"spec": {"finalizers": []}}),
            json!({"metadata": {}, "spec": {}, "status": {}}),
        );
        check(
            ["coordination.k8s.io", "v1", "Lease"],
            json!({"spec": {"holderIdentity": "", "renewTime": "2024-01-01T02:00:00.123456+02:00"}}),
            json!({"metadata": {}, "spec": {"holderIdentity": "", "renewTime": "2024-01-01T00:00:00.123456Z"}}),
        );
        check(
            ["rbac.authorization.k8s.io", "v1", "Role"],
            json!({"rules": []}),
            json!({"metadata": {}, "rules": null}),
        );
    }

    #[test]
    fn d11_unknown_fields_are_dropped_and_told() {
        let schema = Schemas::builtin().kind("", "v1", "Pod").unwrap();
        let body = json!({"metadata": {"bogus": 1}, "spec": {"containers": [{"name": "c", "zz": 1}]}, "Kind": ""});
        let decoded = decode(schema, body).unwrap();
        assert_eq!(
            decoded.unknown,
            ["Kind", "metadata.bogus", "spec.containers[0].zz"]
        );
    }
}
