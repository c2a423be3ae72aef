//! Lists of type set and map: their elements must be unique.
//!
//! Source: apiextensions-apiserver `pkg/apiserver/schema/listtype`.

use std::collections::BTreeSet;

use super::{ListType, Schema};
use crate::json::{Map, Value};
use crate::status::{Cause, cut_path};

/// Duplicates in the lists of type set and map at and below a node. `old` is the stored object of an update: once it has
/// duplicates, they are no longer looked for (L7).
pub fn validate_lists(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<Cause> {
    if !schema.has_unique_lists || old.is_some_and(|old| !duplicates(schema, old).is_empty()) {
        return Vec::new();
    }
    duplicates(schema, new)
}

/// The duplicates themselves.
pub fn duplicates(schema: &Schema, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    walk(schema, value, &mut String::new(), &mut causes);
    causes
}

fn walk(schema: &Schema, value: &Value, path: &mut String, causes: &mut Vec<Cause>) {
    if !schema.has_unique_lists {
        return;
    }
    let length = path.len();
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter() {
                let Some(child) = schema.child(key) else {
                    continue;
                };
                schema.push_child(path, key);
                walk(child, value, path, causes);
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            match schema.list_type() {
                ListType::Set => unique(items.iter().map(told_apart), path, causes, |i| {
                    items[i].clone()
                }),
                ListType::Map if items.iter().all(Value::is_object) => {
                    let keys = |item: &Value| keys_of(schema, item);
                    unique(
                        items.iter().map(|item| told_apart(&keys(item))),
                        path,
                        causes,
                        |i| keys(&items[i]),
                    );
                }
                _ => {}
            }
            if let Some(element) = schema.items() {
                for (i, item) in items.iter().enumerate() {
                    path.push_str(&format!("[{i}]"));
                    cut_path(path);
                    walk(element, item, path, causes);
                    path.truncate(length);
                }
            }
        }
        _ => {}
    }
}

// The first duplicate of each value only.
fn unique(
    items: impl Iterator<Item = String>,
    path: &str,
    causes: &mut Vec<Cause>,
    shown: impl Fn(usize) -> Value,
) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut told: BTreeSet<String> = BTreeSet::new();
    for (i, item) in items.enumerate() {
        if !seen.contains(&item) {
            seen.insert(item);
        } else if told.insert(item) {
            causes.push(Cause::duplicate(format!("{path}[{i}]"), &shown(i)));
        }
    }
}

fn keys_of(schema: &Schema, item: &Value) -> Value {
    let mut keys = Map::new();
    for key in schema.list_map_keys() {
        if let Some(value) = item.get(key) {
            keys.insert(key.clone(), value.clone());
        }
    }
    Value::Object(keys)
}

// 1 and 1.0 are written alike but are no duplicates.
fn told_apart(value: &Value) -> String {
    format!("{value:?}")
}
