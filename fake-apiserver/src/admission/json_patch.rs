//! JSON patches of webhooks and policies, with the words of their failures.
//!
//! The same operations as `patch`, but here clients see why one does not apply (AD5).
//! Behaviour: evanphx/json-patch v4 as admission uses it: replacing a missing key adds it,
//! copying a missing key gives null.

use crate::json::{self, Value};
use crate::patch::{COPIED_BYTES_MAX, Depth};

/// Applies the operations in order; the error is the library's.
pub(super) fn apply(document: &mut Value, operations: &[Value]) -> Result<(), String> {
    let mut copied = 0;
    for operation in operations {
        perform(document, operation, &mut copied)?;
    }
    Ok(())
}

fn perform(document: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), String> {
    let path = operation.str_at(&["path"]);
    let from = operation.str_at(&["from"]);
    let value = || operation.get("value").cloned().unwrap_or_default();
    match operation.str_at(&["op"]) {
        "add" => add(document, path, value()),
        "remove" => remove(document, path).map(|_| ()),
        "replace" => replace(document, path, value()),
        "move" => {
            let moved =
                remove(document, from).map_err(|error| error.replacen("remove", "move", 1))?;
            add(document, path, moved)
        }
        "copy" => {
            let value = match parent(document, from) {
                Some((parent, key)) => child(parent, &key).cloned().unwrap_or_default(),
                None => {
                    return Err(format!(
                        "copy operation does not apply: doc is missing from path: {from}: missing value"
                    ));
                }
            };
            *copied += json::to_vec(&value).len();
            if *copied > COPIED_BYTES_MAX {
                return Err(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {COPIED_BYTES_MAX}"
                ));
            }
            add(document, path, value)
        }
        "test" => {
            let found =
                parent(document, path).and_then(|(parent, key)| child(parent, &key).cloned());
            match found {
                Some(found) if found == value() => Ok(()),
                None if value().is_null() => Ok(()),
                _ => Err(format!("testing value {path} failed: test failed")),
            }
        }
        other => Err(format!("Unexpected kind: {other}")),
    }
}

/// The container a path ends in and the last step.
fn parent<'d>(document: &'d mut Value, path: &str) -> Option<(&'d mut Value, String)> {
    let mut steps: Vec<String> = path
        .split('/')
        .skip(1)
        .map(|step| step.replace("~1", "/").replace("~0", "~"))
        .collect();
    let last = steps.pop()?;
    let mut here = document;
    for step in steps {
        here = match here {
            Value::Object(map) => map.get_mut(&step)?,
            Value::Array(items) => {
                let index = index(&step, items.len())?;
                items.get_mut(index)?
            }
            _ => return None,
        };
    }
    matches!(here, Value::Object(_) | Value::Array(_)).then_some((here, last))
}

fn index(step: &str, length: usize) -> Option<usize> {
    match step.strip_prefix('-') {
        Some(back) => length.checked_sub(back.parse().ok()?),
        None => step.parse().ok(),
    }
}

fn child<'d>(parent: &'d Value, key: &str) -> Option<&'d Value> {
    match parent {
        Value::Object(map) => map.get(key),
        Value::Array(items) => items.get(index(key, items.len())?),
        _ => None,
    }
}

/// A document must not nest deeper than any body may.
fn check_depth(path: &str, value: &Value) -> Result<(), String> {
    let allowed = Depth::new().allows_value(path, value);
    allowed.ok_or_else(|| format!("add operation does not apply: {path}: exceeded max depth"))
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), String> {
    check_depth(path, &value)?;
    let Some((parent, key)) = parent(document, path) else {
        return Err(format!(
            "add operation does not apply: doc is missing path: {}: missing value",
            crate::status::go_quote(path)
        ));
    };
    match parent {
        Value::Object(map) => {
            map.insert(key.as_str(), value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => match index(&key, items.len()) {
            Some(at) if at <= items.len() => items.insert(at, value),
            _ => {
                return Err(format!(
                    "error in add for path: '{path}': Unable to access invalid index: {key}: invalid index referenced"
                ));
            }
        },
        _ => unreachable!("a parent is a container"),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &str) -> Result<Value, String> {
    let Some((parent, key)) = parent(document, path) else {
        return Err(format!(
            "remove operation does not apply: doc is missing path: {}: missing value",
            crate::status::go_quote(path)
        ));
    };
    match parent {
        Value::Object(map) => map.remove(&key).ok_or_else(|| {
            format!(
                "error in remove for path: '{path}': Unable to remove nonexistent key: {key}: missing value"
            )
        }),
        Value::Array(items) => match index(&key, items.len()) {
            Some(at) if at < items.len() => Ok(items.remove(at)),
            _ => Err(format!(
                "error in remove for path: '{path}': Unable to access invalid index: {key}: invalid index referenced"
            )),
        },
        _ => unreachable!("a parent is a container"),
    }
}

fn replace(document: &mut Value, path: &str, value: Value) -> Result<(), String> {
    check_depth(path, &value)?;
    let Some((parent, key)) = parent(document, path) else {
        return Err(format!(
            "replace operation does not apply: doc is missing path: {path}: missing value"
        ));
    };
    match parent {
        Value::Object(map) => {
            map.insert(key.as_str(), value);
        }
        Value::Array(items) => match index(&key, items.len()).and_then(|at| items.get_mut(at)) {
            Some(slot) => *slot = value,
            None => {
                return Err(format!(
                    "replace operation does not apply: doc is missing key: {path}: missing value"
                ));
            }
        },
        _ => unreachable!("a parent is a container"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn check(operations: Value, want: Result<Value, &str>) {
        let mut document = json!({"data": {"k": "v"}});
        let list = operations.as_array().cloned().unwrap_or_default();
        let got = apply(&mut document, &list).map(|()| document);
        assert_eq!(got, want.map_err(str::to_owned));
    }

    #[test]
    fn ad5_failures_say_why() {
        check(
            json!([{"op": "test", "path": "/data/k", "value": "other"}]),
            Err("testing value /data/k failed: test failed"),
        );
        check(
            json!([{"op": "add", "path": "/no/where", "value": "x"}]),
            Err("add operation does not apply: doc is missing path: \"/no/where\": missing value"),
        );
        check(
            json!([{"op": "frob", "path": "/data/k"}]),
            Err("Unexpected kind: frob"),
        );
        check(
            json!([{"op": "replace", "path": "/data/n", "value": "x"}]),
            Ok(json!({"data": {"k": "v", "n": "x"}})),
        );
    }

    #[test]
    fn ad5_copies_of_copies_come_to_an_end() {
        let double =
            |i: u32| json!({"op": "copy", "from": "/data", "path": (format!("/data/k{i}"))});
        let operations: Vec<Value> = (0..40).map(double).collect();
        let error = apply(&mut json!({"data": {"k": "v"}}), &operations).unwrap_err();
        assert!(error.starts_with("Unable to complete the copy"), "{error}");
    }
}
