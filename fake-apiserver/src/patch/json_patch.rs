//! JSON patch (RFC 6902) as evanphx/json-patch v4 understands it (E2, E2a).
//!
//! Owns decoding the operations and applying them, all or none. The library's quirks are kept on purpose: replace adds a
//! missing key, copy of a missing key copies null, a path without a leading slash loses its first part, negative indexes
//! count from the end.
//! The document is patched as a [`Tree`], in which long lists and large objects change at a small cost.
//! Simplification: `test` compares numbers by their written form only as far as a parsed number shows it.

use super::tree::{Depth, Tree};
use crate::json::{self, Duplicates, Value};
use crate::status::{Details, Status};

/// More operations than this are refused.
const OPERATIONS_MAX: usize = 10_000;

/// Bytes that all `copy` operations of a patch may add together.
pub(crate) const COPIED_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Applies a JSON patch; also returns what strict validation has against the patch.
pub(crate) fn json_patch(document: Value, body: &[u8]) -> Result<(Value, Vec<String>), Status> {
    let bad = |text: &str| Status::bad_request(format!("error decoding patch: {text}"));
    let parsed = json::parse_with(body, Duplicates::Last).map_err(|e| bad(&e.message))?;
    let (operations, unknown) = decode(parsed.value).map_err(|text| bad(&text))?;
    let duplicates = parsed.duplicates.iter().map(|path| {
        format!(
            "json patch duplicate field {}",
            crate::status::go_quote(path)
        )
    });
    let strict = duplicates.chain(unknown).collect();
    if operations.len() > OPERATIONS_MAX {
        return Err(Status::failure(
            413,
            "RequestEntityTooLarge",
            format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
                operations.len()
            ),
        ));
    }
    let mut document = Tree::Plain(document);
    let mut limits = Limits {
        copied: 0,
        depth: Depth::new(),
    };
    for operation in operations {
        if perform(&mut document, operation, &mut limits).is_none() {
            return Err(Status::detailed(
                422,
                "Invalid",
                "the server rejected our request due to an error in our request",
                Details::default(),
            ));
        }
    }
    Ok((document.into_value(), strict))
}

#[derive(Default)]
struct Operation {
    op: String,
    path: Option<String>,
    from: Option<String>,
    value: Option<Value>,
}

fn decode(body: Value) -> Result<(Vec<Operation>, Vec<String>), String> {
    let items = match body {
        Value::Null => return Ok((Vec::new(), Vec::new())),
        Value::Array(items) => items,
        other => {
            return Err(format!(
                "json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp",
                other.type_name()
            ));
        }
    };
    let mut operations = Vec::with_capacity(items.len().min(OPERATIONS_MAX + 1));
    let mut unknown = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let fields = match item {
            Value::Null => Default::default(),
            Value::Object(fields) => fields,
            other => {
                return Err(format!(
                    "json: cannot unmarshal {} into Go value of type handlers.jsonPatchOp",
                    other.type_name()
                ));
            }
        };
        let mut operation = Operation::default();
        for (key, value) in fields {
            let text = match (key.as_str(), value) {
                ("value", value) => {
                    operation.value = Some(value);
                    continue;
                }
                ("op" | "path" | "from", Value::Null) => continue,
                ("op" | "path" | "from", Value::String(text)) => text.into_string(),
                ("op" | "path" | "from", other) => {
                    return Err(format!(
                        "json: cannot unmarshal {} into Go struct field jsonPatchOp.{key} of type string",
                        other.type_name()
                    ));
                }
                _ => {
                    unknown.push(format!("json patch unknown field \"[{index}].{key}\""));
                    continue;
                }
            };
            match key.as_str() {
                "op" => operation.op = text,
                "path" => operation.path = Some(text),
                _ => operation.from = Some(text),
            }
        }
        operations.push(operation);
    }
    Ok((operations, unknown))
}

/// What a patch has used of what it may.
struct Limits {
    copied: usize,
    depth: Depth,
}

/// Performs one operation; `None` if it fails.
fn perform(document: &mut Tree, operation: Operation, limits: &mut Limits) -> Option<()> {
    let Operation {
        op,
        path,
        from,
        value,
    } = operation;
    let (path, from) = (path.as_deref(), from.as_deref());
    match op.as_str() {
        "add" => {
            let (parent, key) = find(document, path?)?;
            let value = Tree::Plain(value.unwrap_or_default());
            limits.depth.allows(path?, &value)?;
            add(parent, key, value)
        }
        "remove" => {
            let (parent, key) = find(document, path?)?;
            remove(parent, key).map(drop)
        }
        "replace" => {
            let path = path?;
            if path.is_empty() {
                let value = value.unwrap_or_default();
                if !value.is_object() && !value.is_array() {
                    return None;
                }
                let value = Tree::Plain(value);
                limits.depth.allows(path, &value)?;
                *document = value;
                return Some(());
            }
            let value = Tree::Plain(value.unwrap_or_default());
            limits.depth.allows(path, &value)?;
            let (parent, key) = find(document, path)?;
            match parent {
                Tree::Object(map) => {
                    map.insert(unescape(key).into(), value);
                }
                Tree::List(items) => {
                    let index = index_of(key, items.len())?;
                    *items.get_mut(index)? = value;
                }
                Tree::Plain(_) => return None,
            }
            Some(())
        }
        "move" => {
            let (parent, key) = find(document, from?)?;
            let value = remove(parent, key)?;
            limits.depth.allows_moved(document, path?, &value)?;
            let (parent, key) = find(document, path?)?;
            add(parent, key, value)
        }
        "copy" => {
            let (parent, key) = find(document, from?)?;
            let value = get(parent, key)?.map(Tree::to_value).unwrap_or_default();
            limits.copied += json::to_vec(&value).len();
            let value = Tree::Plain(value);
            limits.depth.allows(path?, &value)?;
            let (parent, key) = find(document, path?)?;
            if limits.copied > COPIED_BYTES_MAX {
                return None;
            }
            add(parent, key, value)
        }
        "test" => {
            let (parent, key) = find(document, path?)?;
            let there = get(parent, key)?.filter(|value| !value.is_null());
            let equal = match (there, value.as_ref()?) {
                (None, wanted) => wanted.is_null(),
                (Some(there), wanted) => there.equals(wanted),
            };
            equal.then_some(())
        }
        _ => None,
    }
}

/// The container a path ends in, and the last part of the path.
fn find<'d, 'p>(document: &'d mut Tree, path: &'p str) -> Option<(&'d mut Tree, &'p str)> {
    // Whatever stands before the first slash is dropped.
    let (_, rest) = path.split_once('/')?;
    let (parents, key) = match rest.rsplit_once('/') {
        Some((parents, key)) => (Some(parents), key),
        None => (None, rest),
    };
    let mut here = document;
    for part in parents.into_iter().flat_map(|parents| parents.split('/')) {
        here = match here.open() {
            Tree::Object(map) => map.get_mut(unescape(part).as_str())?,
            Tree::List(items) => {
                let index = index_of(part, items.len())?;
                items.get_mut(index)?
            }
            Tree::Plain(_) => return None,
        };
    }
    let here = here.open();
    (!matches!(here, Tree::Plain(_))).then_some((here, key))
}

fn unescape(part: &str) -> String {
    if part.contains('~') {
        part.replace("~1", "/").replace("~0", "~")
    } else {
        part.to_owned()
    }
}

/// An index as Go's `Atoi` reads it; negative ones count from the end.
fn index_of(key: &str, length: usize) -> Option<usize> {
    let index: i64 = unescape(key).parse().ok()?;
    let length = length as i64;
    let index = if index < 0 { index + length } else { index };
    (0..length).contains(&index).then_some(index as usize)
}

/// The value under a key; `Some(None)` where an object has no such key.
fn get<'v>(parent: &'v mut Tree, key: &str) -> Option<Option<&'v Tree>> {
    match parent {
        Tree::Object(map) => Some(map.get(unescape(key).as_str())),
        Tree::List(items) => {
            let index = index_of(key, items.len())?;
            Some(items.get_mut(index).map(|item| &*item))
        }
        Tree::Plain(_) => None,
    }
}

fn remove(parent: &mut Tree, key: &str) -> Option<Tree> {
    match parent {
        Tree::Object(map) => map.remove(unescape(key).as_str()),
        Tree::List(items) => {
            let index = index_of(key, items.len())?;
            items.remove(index)
        }
        Tree::Plain(_) => None,
    }
}

fn add(parent: &mut Tree, key: &str, value: Tree) -> Option<()> {
    match parent {
        Tree::Object(map) => {
            map.insert(unescape(key).into(), value);
        }
        Tree::List(items) => {
            let end = items.len();
            let index = match key {
                "-" => end,
                _ => index_of(key, end + 1)?,
            };
            items.insert(index, value);
        }
        Tree::Plain(_) => return None,
    }
    Some(())
}
