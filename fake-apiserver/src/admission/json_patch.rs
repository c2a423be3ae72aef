//! JSON patches of webhooks and policies, with the words of their failures.
//!
//! The same operations as `patch`, but here clients see why one does not apply (AD5).
//! Behaviour: evanphx/json-patch v4 as admission uses it: replacing a missing key adds it,
//! copying a missing key gives null.

use crate::json::{self, Value};
use crate::patch::{COPIED_BYTES_MAX, Depth, Tree};
use crate::status::go_quote;

/// Applies the operations in order; the error is the library's, and leaves a document that is of no use.
pub(super) fn apply(document: &mut Value, operations: &[Value]) -> Result<(), String> {
    let mut tree = Tree::Plain(document.take());
    let mut limits = Limits {
        copied: 0,
        depth: Depth::new(),
    };
    for operation in operations {
        perform(&mut tree, operation, &mut limits)?;
    }
    *document = tree.into_value();
    Ok(())
}

/// What a patch has used of what it may.
struct Limits {
    copied: usize,
    depth: Depth,
}

fn perform(document: &mut Tree, operation: &Value, limits: &mut Limits) -> Result<(), String> {
    let path = operation.str_at(&["path"]);
    let from = operation.str_at(&["from"]);
    let value = || Tree::Plain(operation.get("value").cloned().unwrap_or_default());
    match operation.str_at(&["op"]) {
        "add" => add(document, path, value(), limits),
        "remove" => remove(document, path).map(drop),
        "replace" => replace(document, path, value(), limits),
        "move" => {
            let moved =
                remove(document, from).map_err(|error| error.replacen("remove", "move", 1))?;
            let allowed = limits.depth.allows_moved(document, path, &moved);
            allowed.ok_or_else(|| too_deep(path))?;
            put(document, path, moved)
        }
        "copy" => {
            let Some((parent, key)) = parent(document, from) else {
                return Err(format!(
                    "copy operation does not apply: doc is missing from path: {from}: missing value"
                ));
            };
            let value = child(parent, &key).map(|child| child.to_value());
            let value = value.unwrap_or_default();
            limits.copied += json::to_vec(&value).len();
            if limits.copied > COPIED_BYTES_MAX {
                return Err(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {}, exceeding the limit {COPIED_BYTES_MAX}",
                    limits.copied
                ));
            }
            add(document, path, Tree::Plain(value), limits)
        }
        "test" => {
            let wanted = operation.get("value").unwrap_or(&Value::Null);
            let found = parent(document, path);
            let found = found.and_then(|(parent, key)| child(parent, &key));
            let equal = found.map_or(wanted.is_null(), |found| found.equals(wanted));
            equal
                .then_some(())
                .ok_or_else(|| format!("testing value {path} failed: test failed"))
        }
        other => Err(format!("Unexpected kind: {other}")),
    }
}

/// The container a path ends in, open, and the last step.
fn parent<'d>(document: &'d mut Tree, path: &str) -> Option<(&'d mut Tree, String)> {
    let (_, rest) = path.split_once('/')?;
    let steps = rest.split('/');
    let mut steps = steps.map(|step| step.replace("~1", "/").replace("~0", "~"));
    let last = steps.next_back()?;
    let mut here = document;
    for step in steps {
        here = child(here.open(), &step)?;
    }
    let here = here.open();
    (!matches!(here, Tree::Plain(_))).then_some((here, last))
}

fn index(step: &str, length: usize) -> Option<usize> {
    match step.strip_prefix('-') {
        Some(back) => length.checked_sub(back.parse().ok()?),
        None => step.parse().ok(),
    }
}

/// What stands under a key of an open container.
fn child<'d>(parent: &'d mut Tree, key: &str) -> Option<&'d mut Tree> {
    match parent {
        Tree::Object(map) => map.get_mut(key),
        Tree::List(items) => items.get_mut(index(key, items.len())?),
        Tree::Plain(_) => None,
    }
}

/// A document must not nest deeper than any body may.
fn check_depth(path: &str, value: &Tree, limits: &mut Limits) -> Result<(), String> {
    let allowed = limits.depth.allows(path, value);
    allowed.ok_or_else(|| too_deep(path))
}

fn too_deep(path: &str) -> String {
    format!("add operation does not apply: {path}: exceeded max depth")
}

fn add(document: &mut Tree, path: &str, value: Tree, limits: &mut Limits) -> Result<(), String> {
    check_depth(path, &value, limits)?;
    put(document, path, value)
}

fn put(document: &mut Tree, path: &str, value: Tree) -> Result<(), String> {
    let Some((parent, key)) = parent(document, path) else {
        return Err(format!(
            "add operation does not apply: doc is missing path: {}: missing value",
            go_quote(path)
        ));
    };
    match parent {
        Tree::Object(map) => drop(map.insert(key.into(), value)),
        Tree::List(items) => {
            let end = items.len();
            let at = if key == "-" {
                Some(end)
            } else {
                index(&key, end)
            };
            let Some(at) = at.filter(|at| *at <= end) else {
                return Err(format!(
                    "error in add for path: '{path}': Unable to access invalid index: {key}: invalid index referenced"
                ));
            };
            items.insert(at, value);
        }
        Tree::Plain(_) => unreachable!("a parent is a container"),
    }
    Ok(())
}

fn remove(document: &mut Tree, path: &str) -> Result<Tree, String> {
    let Some((parent, key)) = parent(document, path) else {
        return Err(format!(
            "remove operation does not apply: doc is missing path: {}: missing value",
            go_quote(path)
        ));
    };
    match parent {
        Tree::Object(map) => map.remove(key.as_str()).ok_or_else(|| {
            format!(
                "error in remove for path: '{path}': Unable to remove nonexistent key: {key}: missing value"
            )
        }),
        Tree::List(items) => {
            let at = index(&key, items.len());
            at.and_then(|at| items.remove(at)).ok_or_else(|| {
                format!(
                    "error in remove for path: '{path}': Unable to access invalid index: {key}: invalid index referenced"
                )
            })
        }
        Tree::Plain(_) => unreachable!("a parent is a container"),
    }
}

fn replace(
    document: &mut Tree,
    path: &str,
    value: Tree,
    limits: &mut Limits,
) -> Result<(), String> {
    check_depth(path, &value, limits)?;
    let Some((parent, key)) = parent(document, path) else {
        return Err(format!(
            "replace operation does not apply: doc is missing path: {path}: missing value"
        ));
    };
    if let Tree::Object(map) = parent {
        map.insert(key.into(), value);
        return Ok(());
    }
    let Some(slot) = child(parent, &key) else {
        return Err(format!(
            "replace operation does not apply: doc is missing key: {path}: missing value"
        ));
    };
    *slot = value;
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
