//! Declarations from structural schemas (the JSON of `openAPIV3Schema`).
//!
//! Owns the bounds that follow from a schema and the escaping of property names.
//! Behaviour: Kubernetes `apiserver/pkg/cel/common/schemas.go`, `cel/escaping.go`.

use super::types::{Decl, Field, ListKind, ObjectType, REQUEST_BYTES_MAX, Type};
use crate::json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A request without the quotes of one string.
const TEXT_MAX: u64 = REQUEST_BYTES_MAX - 2;

/// The declaration of a schema; `None` for what expressions cannot reach.
/// `resource` adds `apiVersion`, `kind` and `metadata`.
pub fn declare(schema: &Value, resource: bool, name: &str) -> Option<Arc<Decl>> {
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return Some(scalar(Type::Dyn, TEXT_MAX, 1));
    }
    let resource =
        resource || schema.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true));
    match schema.str_at(&["type"]) {
        "array" => array(schema, name),
        "object" => object(schema, resource, name),
        "string" => Some(string(schema)),
        "boolean" => Some(scalar(Type::Bool, 0, 4)),
        "number" => Some(scalar(Type::Double, 0, 1)),
        "integer" => Some(scalar(Type::Int, 0, 1)),
        _ => None,
    }
}

fn scalar(ty: Type, elements_max: u64, bytes_min: u64) -> Arc<Decl> {
    Arc::new(Decl {
        ty,
        elements_max,
        bytes_min,
        items: None,
        list_kind: ListKind::Atomic,
    })
}

fn limit(schema: &Value, key: &str) -> Option<u64> {
    let value = schema.get(key)?.as_i64()?;
    Some(u64::try_from(value).unwrap_or(0))
}

fn array(schema: &Value, name: &str) -> Option<Arc<Decl>> {
    let items = declare(schema.get("items")?, false, &format!("{name}.@items"))?;
    let estimate = TEXT_MAX / (items.bytes_min + 1);
    let list_kind = match schema.str_at(&["x-kubernetes-list-type"]) {
        "set" => ListKind::Set,
        "map" => ListKind::Map(
            schema
                .array_at(&["x-kubernetes-list-map-keys"])
                .iter()
                .filter_map(|key| Some(key.as_str()?.to_owned()))
                .collect(),
        ),
        _ => ListKind::Atomic,
    };
    Some(Arc::new(Decl {
        ty: Type::list(items.ty.clone()),
        elements_max: limit(schema, "maxItems").unwrap_or(estimate),
        bytes_min: 2,
        items: Some(items),
        list_kind,
    }))
}

fn object(schema: &Value, resource: bool, name: &str) -> Option<Arc<Decl>> {
    if let Some(values @ Value::Object(_)) = schema.get("additionalProperties") {
        let values = declare(values, false, &format!("{name}.@values"))?;
        let estimate = TEXT_MAX / (values.bytes_min + 6);
        return Some(Arc::new(Decl {
            ty: Type::map(Type::String, values.ty.clone()),
            elements_max: limit(schema, "maxProperties").unwrap_or(estimate),
            bytes_min: 2,
            items: Some(values),
            list_kind: ListKind::Atomic,
        }));
    }
    let required: Vec<&str> = schema
        .array_at(&["required"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut fields = BTreeMap::new();
    let mut bytes_min = 2;
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (property, sub) in properties.iter() {
            let Some(escaped) = escape(property) else {
                continue;
            };
            let Some(decl) = declare(sub, false, &format!("{name}.{escaped}")) else {
                continue;
            };
            if required.contains(&property) && sub.get("default").is_none() {
                bytes_min += property.len() as u64 + decl.bytes_min + 4;
            }
            let field = Field {
                name: property.to_owned(),
                decl,
            };
            fields.insert(escaped, field);
        }
    }
    if resource {
        let text = || scalar(Type::String, TEXT_MAX, 2);
        let metadata = Decl::object(
            &format!("{name}.metadata"),
            vec![("name", text()), ("generateName", text())],
        );
        for (field, decl) in [
            ("apiVersion", text()),
            ("kind", text()),
            ("metadata", metadata),
        ] {
            let name = field.to_owned();
            fields.insert(field.to_owned(), Field { name, decl });
        }
    }
    let ty = Type::Object(Arc::new(ObjectType {
        name: name.to_owned(),
        fields,
        open: false,
    }));
    Some(scalar(ty, 0, bytes_min))
}

fn string(schema: &Value) -> Arc<Decl> {
    let max = limit(schema, "maxLength");
    match schema.str_at(&["format"]) {
        "byte" => scalar(Type::Bytes, max.unwrap_or(TEXT_MAX), 2),
        "duration" => scalar(Type::Duration, 32, 2),
        "date" => scalar(Type::Timestamp, 12, 12),
        "date-time" => scalar(Type::Timestamp, 32, 22),
        _ => {
            let longest = schema
                .array_at(&["enum"])
                .iter()
                .filter_map(|value| Some(value.as_str()?.len() as u64))
                .max();
            let max = match (max, longest) {
                (Some(max), _) => max.saturating_mul(4),
                (None, Some(longest)) => longest,
                (None, None) => TEXT_MAX,
            };
            scalar(Type::String, max, 2)
        }
    }
}

/// Words of the expression language, which are no names in it.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// True for a word that the expression language keeps to itself.
pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

/// The name by which expressions reach a property; `None` if they cannot.
pub fn escape(property: &str) -> Option<String> {
    if is_reserved(property) {
        return Some(format!("__{property}__"));
    }
    let mut chars = property.chars().peekable();
    let first = *chars.peek()?;
    if first.is_ascii_digit() {
        return None;
    }
    let mut out = String::with_capacity(property.len());
    while let Some(c) = chars.next() {
        match c {
            '_' if chars.peek() == Some(&'_') => {
                chars.next();
                out.push_str("__underscores__");
            }
            '.' => out.push_str("__dot__"),
            '-' => out.push_str("__dash__"),
            '/' => out.push_str("__slash__"),
            c if c.is_ascii_alphanumeric() || c == '_' => out.push(c),
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l8_names_are_escaped() {
        assert_eq!(escape("my-field").as_deref(), Some("my__dash__field"));
        assert_eq!(escape("namespace").as_deref(), Some("__namespace__"));
        assert_eq!(escape("x__y").as_deref(), Some("x__underscores__y"));
        assert_eq!(escape("1a"), None);
    }
}
