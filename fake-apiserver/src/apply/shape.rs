//! A schema node as apply sees it: what merges, what is one piece, what may stand there.
//!
//! Owns the translation of OpenAPI facts into structured-merge-diff's atoms. Does not own schemas (`schema`).
//! Deduced nodes (free-form objects, preserve-unknown-fields) merge their maps and keep their lists whole.
//! Source: kube-openapi `pkg/schemaconv/openapi.go`.

use super::field_set::{item_key, value_key};
use crate::json::{CompactString, Value};
use crate::patch::printed::{go_syntax, go_value};
use crate::schema::{ListType, Schema, Schemas, Special, Type};

/// A node of the schema graph, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape<'s> {
    /// A node with a type.
    Typed {
        /// Its facts.
        schema: &'s Schema,
        /// The object is one piece.
        atomic: bool,
    },
    /// A string below an embedded object (apiVersion, kind).
    Text,
    /// Whatever the value is: maps merge, lists are one piece.
    Deduced,
}

/// The JSON kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `null`, which fits every kind.
    Null,
    /// A string, number or boolean.
    Scalar,
    /// A list.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// The kind of a value.
    pub(crate) fn of(value: &Value) -> Kind {
        match value {
            Value::Null => Kind::Null,
            Value::Array(_) => Kind::Array,
            Value::Object(_) => Kind::Object,
            _ => Kind::Scalar,
        }
    }
}

/// How a list merges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<'s> {
    relation: ListType,
    keys: &'s [CompactString],
    /// Its elements.
    pub(crate) items: Shape<'s>,
}

impl<'s> Shape<'s> {
    /// The shape of a kind's objects.
    pub(crate) fn of(schema: &'s Schema) -> Shape<'s> {
        match (schema.kind(), schema.special()) {
            // Quantities and their like are scalars; free-form values are what they are.
            (_, Special::Raw) => Shape::Typed {
                schema,
                atomic: true,
            },
            (_, Special::Json | Special::Fields) => Shape::Deduced,
            (_, special) if special != Special::None => Shape::Typed {
                schema,
                atomic: false,
            },
            (Type::Any, _) => Shape::Deduced,
            _ => Shape::Typed {
                schema,
                atomic: schema.map_atomic(),
            },
        }
    }

    /// What stands under a key; deduced where the schema says nothing.
    pub(crate) fn child(self, name: &str) -> Shape<'s> {
        let Shape::Typed { schema, .. } = self else {
            return Shape::Deduced;
        };
        if let Some(field) = schema.field(name) {
            return match Shape::of(field.schema()) {
                Shape::Typed { schema, .. } => Shape::Typed {
                    schema,
                    atomic: schema.special() == Special::Raw || field.map_atomic(),
                },
                other => other,
            };
        }
        if schema.embedded() {
            match name {
                "apiVersion" | "kind" => return Shape::Text,
                "metadata" => return Shape::object_meta(),
                _ => {}
            }
        }
        schema.values().map_or(Shape::Deduced, Shape::of)
    }

    /// The shape of `metadata`.
    pub(crate) fn object_meta() -> Shape<'s> {
        Schemas::builtin()
            .named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
            .map_or(Shape::Deduced, Shape::of)
    }

    /// True if a struct field of that name is declared (map values are not fields).
    pub(crate) fn has_field(self, name: &str) -> bool {
        match self {
            Shape::Typed { schema, .. } => {
                schema.field(name).is_some()
                    || (schema.embedded() && matches!(name, "apiVersion" | "kind" | "metadata"))
            }
            _ => false,
        }
    }

    /// True if something may stand under that key.
    pub(crate) fn declares(self, name: &str) -> bool {
        match self {
            Shape::Typed { schema, .. } => {
                self.has_field(name)
                    || schema.values().is_some()
                    || schema.preserve_unknown()
                    || (schema.fields().is_empty() && !schema.values_forbidden)
            }
            Shape::Text | Shape::Deduced => true,
        }
    }

    /// True if an object here merges field by field.
    pub(crate) fn is_granular_map(self) -> bool {
        match self {
            Shape::Typed { schema, atomic } => schema.kind() == Type::Object && !atomic,
            Shape::Text => false,
            Shape::Deduced => true,
        }
    }

    /// True if only scalars stand here.
    pub(crate) fn is_scalar(self) -> bool {
        match self {
            Shape::Typed { schema, .. } => !matches!(schema.kind(), Type::Object | Type::Array),
            Shape::Text => true,
            Shape::Deduced => false,
        }
    }

    /// True if a list stands here.
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Shape::Typed { schema, .. } if schema.kind() == Type::Array)
    }

    /// How a list here merges.
    pub(crate) fn list(self) -> List<'s> {
        match self {
            Shape::Typed { schema, .. } if schema.kind() == Type::Array => List {
                relation: schema.list_type(),
                keys: schema.list_map_keys(),
                items: schema.items().map_or(Shape::Deduced, Shape::of),
            },
            _ => List {
                relation: ListType::Atomic,
                keys: &[],
                items: Shape::Deduced,
            },
        }
    }

    /// The value of a Go struct field that is always there although nobody said it; `None` where absent means absent.
    pub(crate) fn zero(self, name: &str) -> Option<&'static Value> {
        static NULL: Value = Value::Null;
        static EMPTY: Value = Value::Object(crate::json::Map::new());
        static TEXT: Value = Value::String(CompactString::const_new(""));
        static NUMBER: Value = Value::Int(0);
        static FALSE: Value = Value::Bool(false);
        let Shape::Typed { schema, .. } = self else {
            return None;
        };
        let field = schema.field(name)?;
        if !field.kept() {
            return None;
        }
        let child = field.schema();
        let structure = matches!(field.default(), Some(Value::Object(map)) if map.is_empty());
        Some(match (child.kind(), child.special()) {
            _ if field.pointer() && !structure => &NULL,
            (Type::Object, Special::None) if !child.is_map() => &EMPTY,
            (Type::String, Special::None) => &TEXT,
            (Type::Integer | Type::Number, Special::None) => &NUMBER,
            (Type::Boolean, Special::None) => &FALSE,
            _ => &NULL,
        })
    }

    /// What is wrong with the type of a value that is not null, in the server's words.
    pub(crate) fn mismatch(self, value: &Value) -> Option<String> {
        let (kind, untyped) = match self {
            Shape::Deduced => return None,
            Shape::Text => (Type::String, false),
            Shape::Typed { schema, .. } => match schema.special() {
                Special::None | Special::Bytes => (
                    schema.kind(),
                    schema.int_or_string() || !matches!(schema.format(), None | Some("byte")),
                ),
                _ => (Type::String, true),
            },
        };
        let scalar = matches!(Kind::of(value), Kind::Scalar);
        match kind {
            Type::Any => None,
            Type::Object => {
                (!value.is_object()).then(|| format!("expected map, got &{{{}}}", go_value(value)))
            }
            Type::Array => {
                (!value.is_array()).then(|| format!("expected list, got &{{{}}}", go_value(value)))
            }
            Type::String if untyped => {
                (!scalar).then(|| format!("expected any scalar, got &{{{}}}", go_value(value)))
            }
            Type::String => (!value.is_string()).then(|| {
                let shown = go_syntax(value);
                format!("expected string, got &value.valueUnstructured{{Value:{shown}}}")
            }),
            Type::Integer | Type::Number => (!value.is_number()).then(|| {
                let name = match value {
                    Value::Bool(_) => "bool",
                    Value::Array(_) => "[]interface {}",
                    Value::Object(_) => "map[string]interface {}",
                    _ => "string",
                };
                format!("expected numeric (int or float), got {name}")
            }),
            Type::Boolean => value
                .as_bool()
                .is_none()
                .then(|| format!("expected boolean, got &{{{}}}", go_value(value))),
        }
    }
}

impl List<'_> {
    /// True if the list is one piece.
    pub(crate) fn is_atomic(&self) -> bool {
        self.relation == ListType::Atomic
    }

    /// The path element of an item, or why it has none.
    pub(crate) fn key_of(&self, item: &Value) -> Result<CompactString, String> {
        if self.relation == ListType::Set {
            let text = match item {
                Value::Object(_) => {
                    "associative list without keys has an element that's a map type"
                }
                Value::Array(_) => "not supported: associative list with lists as elements",
                Value::Null => {
                    "associative list without keys has an element that's an explicit null"
                }
                scalar => return Ok(value_key(scalar)),
            };
            return Err(text.to_owned());
        }
        let Value::Object(map) = item else {
            return Err(match item {
                Value::Null => "associative list with keys may not have a null element",
                _ => "associative list with keys may not have non-map elements",
            }
            .to_owned());
        };
        let mut keys: Vec<(&str, &Value)> = Vec::with_capacity(self.keys.len());
        for name in self.keys {
            let default = || match self.items {
                Shape::Typed { schema, .. } => schema.field(name)?.default(),
                _ => None,
            };
            keys.extend(map.get(name).or_else(default).map(|v| (name.as_str(), v)));
        }
        if keys.is_empty() && !self.keys.is_empty() {
            let names: Vec<String> = self
                .keys
                .iter()
                .map(|key| crate::status::go_quote(key))
                .collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                names.join(" ")
            ));
        }
        keys.sort_by(|a, b| a.0.cmp(b.0));
        Ok(item_key(keys.into_iter()))
    }
}
