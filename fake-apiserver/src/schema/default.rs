//! Defaults of a structural schema.
//!
//! Owns L4's filling in of absent and of forbidden null values. Source: apiextensions-apiserver
//! `pkg/apiserver/schema/defaulting/algorithm.go`.

use super::{Child, Schema};
use crate::json::Value;

/// Fills in the defaults below a node, then drops nulls that the schema allows not. The node's own default is its
/// parent's affair.
pub fn default(schema: &Schema, value: &mut Value) {
    if schema.has_defaults {
        fill(schema, value);
    }
    super::coerce_nulls(schema, value);
}

/// Fills in the defaults below a node and leaves other nulls alone: what apply merged is not coerced (F5a).
pub fn fill_defaults(schema: &Schema, value: &mut Value) {
    fill(schema, value);
}

fn fill(schema: &Schema, value: &mut Value) {
    if !schema.has_defaults {
        return;
    }
    match value {
        Value::Object(map) => {
            for field in schema.fields.iter() {
                let Child::Own(child) = &field.child else {
                    continue;
                };
                let Some(default) = &child.default else {
                    continue;
                };
                let absent = match map.get(&field.name) {
                    None => true,
                    Some(value) => value.is_null() && !child.nullable,
                };
                if absent {
                    map.insert(field.name.clone(), default.clone());
                }
            }
            for (key, value) in map.iter_mut() {
                if let Some(child) = schema.child(key) {
                    if value.is_null() && !child.nullable && schema.field(key).is_none() {
                        *value = child.default.clone().unwrap_or_default();
                    }
                    fill(child, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(element) = schema.items() {
                for item in items {
                    if item.is_null() && !element.nullable {
                        *item = element.default.clone().unwrap_or_default();
                    }
                    fill(element, item);
                }
            }
        }
        _ => {}
    }
}
