//! Declarations of whole kinds, built-in and custom, from the schema table.
//!
//! Owns the way from a [`Schema`] to a type that expressions are checked against, for whoever looks at objects as a
//! whole and not at one rule of a definition (that is `cel::schema`). Fields are reached by their own name where the
//! grammar takes it, and by the escaped one too.
//!
//! Simplifications: types that contain themselves, and what lies deeper than sixteen levels, are checked when running;
//! a size that the schema leaves open counts as [`Sizes`] says.

use super::schema::escape;
use super::types::{Decl, Field, ListKind, ObjectType, Type};
use crate::schema::{ListType, Schema, Special, Type as Kind};
use std::collections::BTreeMap;
use std::sync::Arc;

const DEPTH_MAX: usize = 16;

/// What sizes that a schema leaves open count as when costs are estimated.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Characters of a string.
    pub text: u64,
    /// Items of a list, entries of a map.
    pub entries: u64,
}

/// The declaration of a kind's objects.
pub fn declare_kind(schema: &Schema, name: &str, sizes: Sizes) -> Arc<Decl> {
    let mut declaring = Declaring {
        sizes,
        open: Vec::new(),
        done: BTreeMap::new(),
    };
    declaring.node(schema, name)
}

struct Declaring {
    sizes: Sizes,
    /// Built-in types that are being declared.
    open: Vec<&'static str>,
    done: BTreeMap<&'static str, Arc<Decl>>,
}

impl Declaring {
    fn node(&mut self, schema: &Schema, path: &str) -> Arc<Decl> {
        let Some(name) = schema.name() else {
            return self.declare(schema, path);
        };
        if let Some(known) = self.done.get(name) {
            return known.clone();
        }
        if self.open.contains(&name) {
            return self.sized(Type::Dyn, 0);
        }
        self.open.push(name);
        let decl = self.declare(schema, name);
        self.open.pop();
        self.done.insert(name, decl.clone());
        decl
    }

    fn declare(&mut self, schema: &Schema, path: &str) -> Arc<Decl> {
        if schema.int_or_string() || path.matches('.').count() > DEPTH_MAX + 8 {
            return self.sized(Type::Dyn, 0);
        }
        match schema.special() {
            Special::Time | Special::MicroTime => return self.sized(Type::Timestamp, 0),
            Special::None | Special::Bytes => {}
            _ => return self.sized(Type::Dyn, 0),
        }
        let text = || {
            schema
                .max_length()
                .and_then(|max| u64::try_from(max).ok())
                .unwrap_or(self.sizes.text)
        };
        match schema.kind() {
            Kind::Any => self.sized(Type::Dyn, 0),
            Kind::Boolean => self.sized(Type::Bool, 0),
            Kind::Integer => self.sized(Type::Int, 0),
            Kind::Number => self.sized(Type::Double, 0),
            Kind::String => match schema.format() {
                Some("date-time" | "date") => self.sized(Type::Timestamp, 0),
                Some("duration") => self.sized(Type::Duration, 0),
                _ => self.sized(Type::String, text()),
            },
            Kind::Array => self.list(schema, path),
            Kind::Object => match schema.values() {
                Some(values) => {
                    let items = self.node(values, &format!("{path}.@values"));
                    let max = schema.max_properties();
                    self.container(Type::map(Type::String, items.ty.clone()), items, max)
                }
                None => self.object(schema, path),
            },
        }
    }

    fn list(&mut self, schema: &Schema, path: &str) -> Arc<Decl> {
        let items = match schema.items() {
            Some(items) => self.node(items, &format!("{path}.@items")),
            None => self.sized(Type::Dyn, 0),
        };
        let list = self.container(
            Type::list(items.ty.clone()),
            items.clone(),
            schema.max_items(),
        );
        let list_kind = match schema.list_type() {
            ListType::Atomic => return list,
            ListType::Set => ListKind::Set,
            ListType::Map => ListKind::Map(
                schema
                    .list_map_keys()
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            ),
        };
        Arc::new(Decl {
            ty: list.ty.clone(),
            elements_max: list.elements_max,
            bytes_min: list.bytes_min,
            items: Some(items),
            list_kind,
        })
    }

    fn object(&mut self, schema: &Schema, path: &str) -> Arc<Decl> {
        let mut fields = BTreeMap::new();
        for field in schema.fields() {
            let decl = self.node(field.schema(), &format!("{path}.{}", field.name()));
            let names = [Some(field.name().to_owned()), escape(field.name())];
            for name in names.into_iter().flatten() {
                let field = Field {
                    name: field.name().to_owned(),
                    decl: decl.clone(),
                };
                fields.insert(name, field);
            }
        }
        let open = schema.preserve_unknown() || fields.is_empty();
        let object = ObjectType {
            name: path.to_owned(),
            fields,
            open,
        };
        self.sized(Type::Object(Arc::new(object)), 0)
    }

    fn container(&self, ty: Type, items: Arc<Decl>, max: Option<i64>) -> Arc<Decl> {
        let max = max.and_then(|max| u64::try_from(max).ok());
        Arc::new(Decl {
            ty,
            elements_max: max.unwrap_or(self.sizes.entries),
            bytes_min: 1,
            items: Some(items),
            list_kind: ListKind::Atomic,
        })
    }

    fn sized(&self, ty: Type, elements_max: u64) -> Arc<Decl> {
        let open = matches!(ty, Type::Dyn);
        Arc::new(Decl {
            ty,
            elements_max: if open {
                self.sizes.entries
            } else {
                elements_max
            },
            bytes_min: 1,
            items: None,
            list_kind: ListKind::Atomic,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cel::{Environment, check};
    use crate::schema::{Schemas, build};

    const SIZES: Sizes = Sizes {
        text: 100,
        entries: 10,
    };

    fn complaint(text: &str, decl: Arc<Decl>) -> Option<String> {
        let env = Environment::with(vec![("x", decl)]);
        check(text, &env)
            .err()
            .map(|issues| issues[0].message.clone())
    }

    #[test]
    fn every_built_in_kind_can_be_declared() {
        let schemas = Schemas::builtin();
        for name in schemas.names().collect::<Vec<_>>() {
            let schema = schemas.named(name).unwrap();
            declare_kind(schema, name, SIZES);
        }
    }

    #[test]
    fn built_in_fields_have_their_types() {
        let pod = || {
            let schema = Schemas::builtin().kind("", "v1", "Pod").unwrap();
            declare_kind(schema, "Pod", SIZES)
        };
        for good in [
            "x.metadata.name == 'a'",
            "x.metadata.namespace == 'a' && x.metadata.__namespace__ == 'a'",
            "x.spec.containers.all(c, c.image.startsWith('a'))",
            "x.metadata.creationTimestamp < timestamp('2026-01-01T00:00:00Z')",
            "x.metadata.labels['a'] == 'b'",
        ] {
            assert_eq!(complaint(good, pod()), None, "{good}");
        }
        for (bad, want) in [
            (
                "x.spec.contaners.size() == 1",
                "undefined field 'contaners'",
            ),
            (
                "x.metadata.generation == 'a'",
                "found no matching overload for '_==_' applied to '(int, string)'",
            ),
        ] {
            assert_eq!(complaint(bad, pod()).as_deref(), Some(want));
        }
    }

    #[test]
    fn custom_fields_have_those_of_their_schema_and_of_every_object() {
        let schema = build(&crate::json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }}));
        let decl = || declare_kind(&schema, "Widget", SIZES);
        assert_eq!(
            complaint("x.spec.size == 1 && x.metadata.uid != ''", decl()),
            None
        );
        assert_eq!(complaint("x.status.any.thing == 1", decl()), None);
        assert_eq!(
            complaint("x.spec.siez == 1", decl()).as_deref(),
            Some("undefined field 'siez'")
        );
    }
}
