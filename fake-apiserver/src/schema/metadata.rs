//! Embedded resources: their `apiVersion` and `kind`.
//!
//! Owns L4's checks of embedded resources; their names and labels are not validated (the real server does not either).
//! Source: apiextensions-apiserver `pkg/apiserver/schema/objectmeta/validation.go`.

use super::Schema;
use crate::json::Value;
use crate::status::{Cause, cut_path};
use crate::strategy::names::Names;

/// What is wrong with the embedded resources below the root.
pub fn validate_embedded(schema: &Schema, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    walk(schema, value, &mut String::new(), &mut causes);
    causes
}

fn walk(schema: &Schema, value: &Value, path: &mut String, causes: &mut Vec<Cause>) {
    if !schema.has_embedded {
        return;
    }
    let length = path.len();
    match value {
        Value::Object(map) => {
            if schema.embedded {
                resource(value, path, causes);
            }
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
            let Some(element) = schema.items() else {
                return;
            };
            for (i, item) in items.iter().enumerate() {
                path.push_str(&format!("[{i}]"));
                cut_path(path);
                walk(element, item, path, causes);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn resource(value: &Value, path: &str, causes: &mut Vec<Cause>) {
    for name in ["apiVersion", "kind"] {
        let field = format!("{path}.{name}");
        match value.get(name) {
            None => causes.push(Cause::required(field, "")),
            Some(Value::String(text)) if text.is_empty() => {
                causes.push(Cause::invalid(field, &value[name], "must not be empty"));
            }
            Some(Value::String(text)) if name == "apiVersion" => {
                if text.matches('/').count() > 1 {
                    let detail = format!("unexpected GroupVersion string: {text}");
                    causes.push(Cause::invalid(field, &value[name], &detail));
                }
            }
            Some(Value::String(text)) => {
                let wrong = Names::Label1035.check(&text.to_lowercase());
                if !wrong.is_empty() {
                    let detail = format!(
                        "may have mixed case, but should otherwise match: {}",
                        wrong.join(",")
                    );
                    causes.push(Cause::invalid(field, &value[name], &detail));
                }
            }
            Some(other) => causes.push(Cause::invalid(field, other, "must be a string")),
        }
    }
}
