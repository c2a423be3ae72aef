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

const MISSING: &str = "missing value";

fn perform(document: &mut Tree, operation: &Value, limits: &mut Limits) -> Result<(), String> {
    let place = |field: &str| operation.get(field).and_then(Value::as_str);
    let value = || Tree::Plain(operation.get("value").cloned().unwrap_or_default());
    let kind = place("op").unwrap_or("unknown");
    let nowhere = |error: &str| format!("{kind} operation failed to decode path: {error}");
    let missing = || match kind {
        "add" | "remove" | "copy" => nowhere(MISSING),
        _ => nowhere("operation missing path field: missing value"),
    };
    let path = || place("path").ok_or_else(missing);
    let from = || {
        place("from").ok_or_else(|| {
            format!(
                "{kind} operation failed to decode from: operation, missing from field: {MISSING}"
            )
        })
    };
    let absent = |what: &str, path: &str| {
        format!("{kind} operation does not apply: {what}: {path}: {MISSING}")
    };
    match kind {
        "add" | "remove" => {
            let path = path()?;
            if parent(document, path).is_none() {
                return Err(absent("doc is missing path", &format!("\"{path}\"")));
            }
            let done = match kind {
                "add" => add(document, path, value(), limits),
                _ => remove(document, path).map(drop),
            };
            done.map_err(|error| format!("error in {kind} for path: '{path}': {error}"))
        }
        "replace" => replace(document, path()?, value(), limits),
        "move" => {
            let from = from()?;
            let Some((_, key)) = parent(document, from) else {
                return Err(absent("doc is missing from path", from));
            };
            let moved = remove(document, from)
                .map_err(|error| format!("error in move for path: '{key}': {error}"))?;
            let path = path()?;
            if parent(document, path).is_none() {
                return Err(absent("doc is missing destination path", path));
            }
            let allowed = limits.depth.allows_moved(document, path, &moved);
            allowed
                .ok_or_else(too_deep)
                .and_then(|()| put(document, path, moved))
                .map_err(|error| format!("error in move for path: '{path}': {error}"))
        }
        "copy" => {
            let from = from()?;
            let Some((parent_of, key)) = parent(document, from) else {
                return Err(absent("doc is missing from path", from));
            };
            let value = child(parent_of, &key)
                .map_err(|error| format!("error in copy for from: '{from}': {error}"))?
                .map(|found| found.to_value())
                .unwrap_or_default();
            let path = path()?;
            if parent(document, path).is_none() {
                return Err(absent("doc is missing destination path", path));
            }
            limits.copied += json::to_vec(&value).len();
            if limits.copied > COPIED_BYTES_MAX {
                return Err(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {}, exceeding the limit {COPIED_BYTES_MAX}",
                    limits.copied
                ));
            }
            add(document, path, Tree::Plain(value), limits)
                .map_err(|error| format!("error while adding value during copy: {error}"))
        }
        "test" => {
            let path = path()?;
            let wanted = operation.get("value").unwrap_or(&Value::Null);
            let found = match (path, parent(document, path)) {
                ("", _) => Some(&mut *document),
                (_, Some((parent, key))) => child(parent, &key)
                    .map_err(|error| format!("error in test for path: '{path}': {error}"))?,
                (_, None) => return Err(absent("is missing path", path)),
            };
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
        here = child(here.open(), &step).ok()??;
    }
    let here = here.open();
    (!matches!(here, Tree::Plain(_))).then_some((here, last))
}

/// A place in a list of this length, or why there is none; negative ones count from the end.
fn place(step: &str, length: usize) -> Result<usize, String> {
    let number = step.strip_prefix(['+', '-']).unwrap_or(step);
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "strconv.Atoi: parsing {}: invalid syntax",
            go_quote(step)
        ));
    }
    let at = step.parse::<i64>().ok().map(|at| match at {
        ..0 => at + length as i64,
        at => at,
    });
    at.and_then(|at| usize::try_from(at).ok())
        .filter(|at| *at < length)
        .ok_or_else(|| format!("Unable to access invalid index: {step}: invalid index referenced"))
}

/// What stands under a key of an open container.
fn child<'d>(parent: &'d mut Tree, key: &str) -> Result<Option<&'d mut Tree>, String> {
    match parent {
        Tree::Object(map) => Ok(map.get_mut(key)),
        Tree::List(items) => {
            let at = place(key, items.len())?;
            Ok(items.get_mut(at))
        }
        Tree::Plain(_) => Ok(None),
    }
}

/// A document must not nest deeper than any body may.
fn check_depth(path: &str, value: &Tree, limits: &mut Limits) -> Result<(), String> {
    let allowed = limits.depth.allows(path, value);
    allowed.ok_or_else(too_deep)
}

fn too_deep() -> String {
    "exceeded max depth".to_owned()
}

fn add(document: &mut Tree, path: &str, value: Tree, limits: &mut Limits) -> Result<(), String> {
    check_depth(path, &value, limits)?;
    put(document, path, value)
}

fn put(document: &mut Tree, path: &str, value: Tree) -> Result<(), String> {
    match parent(document, path) {
        Some((Tree::Object(map), key)) => drop(map.insert(key.into(), value)),
        Some((Tree::List(items), key)) => {
            let end = items.len();
            let at = match key.as_str() {
                "-" => end,
                key => place(key, end + 1).map_err(|error| match error.as_bytes() {
                    [b's', ..] => format!("value was not a proper array index: '{key}': {error}"),
                    _ => error,
                })?,
            };
            items.insert(at, value);
        }
        _ => unreachable!("the parent has been found, and is a container"),
    }
    Ok(())
}

fn remove(document: &mut Tree, path: &str) -> Result<Tree, String> {
    match parent(document, path) {
        Some((Tree::Object(map), key)) => map
            .remove(key.as_str())
            .ok_or_else(|| format!("Unable to remove nonexistent key: {key}: {MISSING}")),
        Some((Tree::List(items), key)) => {
            let at = place(&key, items.len())?;
            items
                .remove(at)
                .ok_or_else(|| unreachable!("the place is one of the list's"))
        }
        _ => unreachable!("the parent has been found, and is a container"),
    }
}

fn replace(
    document: &mut Tree,
    path: &str,
    value: Tree,
    limits: &mut Limits,
) -> Result<(), String> {
    check_depth(path, &value, limits)
        .map_err(|error| format!("replace operation does not apply: {path}: {error}"))?;
    if path.is_empty() {
        // What is no document leaves it as it is.
        if matches!(value, Tree::Plain(Value::Object(_) | Value::Array(_))) {
            *document = value;
        }
        return Ok(());
    }
    let absent = |what: &str| {
        format!("replace operation does not apply: doc is missing {what}: {path}: {MISSING}")
    };
    let Some((parent, key)) = parent(document, path) else {
        return Err(absent("path"));
    };
    if let Tree::Object(map) = parent {
        map.insert(key.into(), value);
        return Ok(());
    }
    match child(parent, &key) {
        Ok(Some(slot)) => *slot = value,
        _ => return Err(absent("key")),
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
            json!([{"path": "/data/k"}]),
            Err("Unexpected kind: unknown"),
        );
        for (operation, why) in [
            (
                json!({"op": "add", "value": 1}),
                "add operation failed to decode path: missing value",
            ),
            (
                json!({"op": "replace", "value": 1}),
                "replace operation failed to decode path: operation missing path field: missing value",
            ),
            (
                json!({"op": "test", "path": "/no/where", "value": 1}),
                "test operation does not apply: is missing path: /no/where: missing value",
            ),
            (
                json!({"op": "move", "from": "/data/n", "path": "/data/m"}),
                "error in move for path: 'n': Unable to remove nonexistent key: n: missing value",
            ),
            (
                json!({"op": "move", "from": "/no/n", "path": "/data/m"}),
                "move operation does not apply: doc is missing from path: /no/n: missing value",
            ),
            (
                json!({"op": "copy", "from": "/data/k", "path": "/no/m"}),
                "copy operation does not apply: doc is missing destination path: /no/m: missing value",
            ),
        ] {
            check(Value::Array(vec![operation]), Err(why));
        }
        check(
            json!([{"op": "replace", "path": "/data/n", "value": "x"}]),
            Ok(json!({"data": {"k": "v", "n": "x"}})),
        );
    }

    #[test]
    fn ad5_places_in_lists() {
        let check = |operation: Value, want: Result<Value, &str>| {
            let mut document = json!({"l": [1, 2]});
            let got = apply(&mut document, &[operation]).map(|()| document["l"].clone());
            assert_eq!(got, want.map_err(str::to_owned));
        };
        check(
            json!({"op": "add", "path": "/l/-1", "value": 3}),
            Ok(json!([1, 2, 3])),
        );
        check(json!({"op": "remove", "path": "/l/-1"}), Ok(json!([1])));
        check(json!({"op": "remove", "path": "/l/-0"}), Ok(json!([2])));
        check(
            json!({"op": "add", "path": "/l/x", "value": 3}),
            Err(
                "error in add for path: '/l/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax",
            ),
        );
        check(
            json!({"op": "remove", "path": "/l/2"}),
            Err(
                "error in remove for path: '/l/2': Unable to access invalid index: 2: invalid index referenced",
            ),
        );
        check(
            json!({"op": "replace", "path": "/l/2", "value": 3}),
            Err("replace operation does not apply: doc is missing key: /l/2: missing value"),
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
