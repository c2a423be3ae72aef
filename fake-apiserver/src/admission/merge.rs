//! Merging an apply configuration of a policy into an object.
//!
//! Objects merge by field, lists of maps by their keys, sets as unions, everything else is
//! replaced. Built-in kinds know their lists from the schema table, custom ones from their
//! structural schema.
//! Behaviour: structured-merge-diff as apiserver `admission/plugin/policy/mutating/patch` uses it.

use crate::json::Value;
use crate::registry::Resource;
use crate::schema::{ListType, Schema};

/// What is known about a node.
#[derive(Clone, Copy)]
enum Shape<'a> {
    Built(&'a Schema),
    Custom(&'a Value),
    Unknown,
}

enum Items {
    Atomic,
    Set,
    Map(Vec<String>),
}

impl<'a> Shape<'a> {
    fn child(self, key: &str) -> Shape<'a> {
        match self {
            Shape::Built(schema) => schema.child(key).map_or(Shape::Unknown, Shape::Built),
            Shape::Custom(schema) => {
                let property = schema.at(&["properties", key]);
                let found = property.or_else(|| schema.get("additionalProperties"));
                found
                    .filter(|found| found.is_object())
                    .map_or(Shape::Unknown, Shape::Custom)
            }
            Shape::Unknown => Shape::Unknown,
        }
    }

    fn item(self) -> Shape<'a> {
        match self {
            Shape::Built(schema) => schema.items().map_or(Shape::Unknown, Shape::Built),
            Shape::Custom(schema) => schema.get("items").map_or(Shape::Unknown, Shape::Custom),
            Shape::Unknown => Shape::Unknown,
        }
    }

    fn items(self) -> Items {
        match self {
            Shape::Built(schema) => match schema.list_type() {
                ListType::Atomic => Items::Atomic,
                ListType::Set => Items::Set,
                ListType::Map => Items::Map(
                    schema
                        .list_map_keys()
                        .iter()
                        .map(ToString::to_string)
                        .collect(),
                ),
            },
            Shape::Custom(schema) => match schema.str_at(&["x-kubernetes-list-type"]) {
                "set" => Items::Set,
                "map" => {
                    let keys = schema.array_at(&["x-kubernetes-list-map-keys"]).iter();
                    Items::Map(
                        keys.filter_map(|key| Some(key.as_str()?.to_owned()))
                            .collect(),
                    )
                }
                _ => Items::Atomic,
            },
            Shape::Unknown => Items::Atomic,
        }
    }

    fn atomic(self) -> bool {
        match self {
            Shape::Built(schema) => schema.map_atomic(),
            Shape::Custom(schema) => schema.str_at(&["x-kubernetes-map-type"]) == "atomic",
            Shape::Unknown => false,
        }
    }
}

/// Merges `patch` into `object`. Identity cannot be changed this way.
pub(super) fn merge(row: &Resource, object: &mut Value, patch: &Value) -> Result<(), String> {
    let shape = match (row.schema, &row.custom) {
        (Some(schema), _) => Shape::Built(schema),
        (None, Some(custom)) => custom
            .version
            .at(&["schema", "openAPIV3Schema"])
            .map_or(Shape::Unknown, Shape::Custom),
        (None, None) => Shape::Unknown,
    };
    for field in ["apiVersion", "kind"] {
        if patch.get(field).is_some() {
            return Err(format!("may not set {field}"));
        }
    }
    merge_node(shape, object, patch);
    Ok(())
}

fn merge_node(shape: Shape<'_>, target: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) if target.is_object() && !shape.atomic() => {
            let map = target.make_object();
            for (key, value) in fields.iter() {
                merge_node(shape.child(key), map.get_or_insert(key, Value::Null), value);
            }
        }
        Value::Array(items) if target.is_array() => merge_list(shape, target, items),
        other => *target = other.clone(),
    }
}

fn merge_list(shape: Shape<'_>, target: &mut Value, items: &[Value]) {
    let kind = shape.items();
    let Some(list) = target.as_array_mut() else {
        return;
    };
    match kind {
        Items::Atomic => *list = items.to_vec(),
        Items::Set => {
            for item in items {
                if !list.contains(item) {
                    list.push(item.clone());
                }
            }
        }
        Items::Map(keys) => {
            for item in items {
                let same =
                    |other: &&mut Value| keys.iter().all(|key| other.get(key) == item.get(key));
                match list.iter_mut().find(same) {
                    Some(found) => merge_node(shape.item(), found, item),
                    None => list.push(item.clone()),
                }
            }
        }
    }
}
