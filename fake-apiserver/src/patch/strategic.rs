//! Strategic merge patch (E4, E4a): maps and their directives.
//!
//! Owns `$patch`, `$retainKeys`, `$deleteFromPrimitiveList/…` and the recursion over objects; lists and their order are in
//! `strategic_list`. Which lists merge, and by which key, the schema says.
//! Source: apimachinery `util/strategicpatch/patch.go`, `util/mergepatch/errors.go`.

use std::collections::BTreeSet;

use super::printed::go_value;
use super::strategic_list::List;
use crate::json::{self, CompactString, Duplicates, Map, Value};
use crate::schema::Schema;
use crate::status::{Status, go_quote};

pub(crate) const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList";
const ORDER_PREFIX: &str = "$setElementOrder";

/// Applies a strategic merge patch; also returns what strict validation has against the patch, and the patch as Go prints it.
pub(crate) fn strategic_merge(
    schema: &Schema,
    document: Value,
    body: &[u8],
) -> Result<(Value, Vec<String>, String), Status> {
    let parsed =
        json::parse_with(body, Duplicates::Last).map_err(|e| Status::bad_request(e.message))?;
    let patch = match parsed.value {
        Value::Null => Map::new(),
        Value::Object(patch) => patch,
        other => {
            return Err(Status::bad_request(format!(
                "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                other.type_name()
            )));
        }
    };
    let strict = parsed
        .duplicates
        .iter()
        .map(|path| format!("duplicate field {}", go_quote(path)))
        .collect();
    let quote = go_value(&Value::Object(patch.clone()));
    let original = match document {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let merged = merge_maps(Some(schema), original, patch)?;
    Ok((Value::Object(merged), strict, quote))
}

/// Merges a patch into an object.
pub(crate) fn merge_maps(
    schema: Option<&Schema>,
    mut original: Map,
    mut patch: Map,
) -> Result<Map, Status> {
    match patch.get(PATCH).map(|directive| directive.as_str()) {
        None => {}
        Some(Some("replace")) => {
            patch.remove(PATCH);
            return Ok(patch);
        }
        Some(Some("delete")) => return Ok(Map::new()),
        Some(_) => return Err(bad_patch_type(&patch)),
    }
    retain_keys(&mut original, &mut patch)?;
    let patch = order_lists(schema, &mut original, patch)?;
    // Fields come and go at the end, all at once: one by one would be quadratic.
    let mut new = Vec::new();
    let mut gone: BTreeSet<CompactString> = BTreeSet::new();
    for (key, value) in patch {
        if let Some(rest) = key.strip_prefix(DELETE_PREFIX) {
            let Some(key) = rest.strip_prefix('/') else {
                return Err(Status::bad_request(
                    "invalid patch format of primitive list",
                ));
            };
            if value.is_null() {
                gone.insert(key.into());
            } else {
                delete_from_list(schema, &mut original, key, value)?;
            }
            continue;
        }
        if value.is_null() {
            gone.insert(key);
            continue;
        }
        let field = schema.and_then(|schema| schema.field(&key));
        let strategy = field
            .and_then(|field| field.patch_strategy())
            .unwrap_or_default();
        let below = schema.and_then(|schema| schema.child(&key));
        let live = original.get_mut(&key).filter(|_| !gone.contains(&key));
        let merged = match (live, value) {
            (Some(Value::Object(ours)), Value::Object(theirs)) => {
                if has_strategy(strategy, "replace") {
                    Some(Value::Object(theirs))
                } else {
                    let ours = std::mem::take(ours);
                    Some(Value::Object(merge_maps(below, ours, theirs)?))
                }
            }
            (Some(Value::Array(ours)), Value::Array(theirs)) => {
                let list = List::of(below, field);
                Some(Value::Array(list.merge(std::mem::take(ours), theirs)?))
            }
            (_, mut value) => {
                discard_nulls(&mut value);
                without_directives(value)
            }
        };
        match (merged, original.get_mut(&key)) {
            (Some(merged), Some(live)) => {
                gone.remove(&key);
                *live = merged;
            }
            (Some(merged), None) => new.push((key, merged)),
            (None, _) => {
                gone.insert(key);
            }
        }
    }
    if !gone.is_empty() {
        original.retain(|key, _| !gone.contains(key));
    }
    original.add_new(new);
    Ok(original)
}

/// True if a list of strategies names one.
pub(crate) fn has_strategy(strategies: &str, wanted: &str) -> bool {
    strategies.split(',').any(|strategy| strategy == wanted)
}

/// `$retainKeys`: all other keys of the live object go.
fn retain_keys(original: &mut Map, patch: &mut Map) -> Result<(), Status> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let bad = || Status::bad_request("invalid patch format of retainKeys");
    let Value::Array(listed) = directive else {
        return Err(bad());
    };
    let listed: BTreeSet<&str> = listed.iter().filter_map(Value::as_str).collect();
    for (key, value) in &*patch {
        let directive = key.starts_with(DELETE_PREFIX) || key.starts_with(ORDER_PREFIX);
        if !value.is_null() && !directive && !listed.contains(key) {
            return Err(bad());
        }
    }
    original.retain(|key, _| listed.contains(key));
    Ok(())
}

/// `$setElementOrder/…`: merges the lists it names and puts them in order; both leave the patch.
fn order_lists(schema: Option<&Schema>, original: &mut Map, patch: Map) -> Result<Map, Status> {
    let is_order = |key: &str| key.starts_with(ORDER_PREFIX);
    if !patch.keys().any(is_order) {
        return Ok(patch);
    }
    let (directives, rest): (Vec<_>, Vec<_>) =
        patch.into_iter().partition(|(key, _)| is_order(key));
    let mut patch: Map = rest.into_iter().collect();
    let mut done: BTreeSet<CompactString> = BTreeSet::new();
    let mut new = Vec::new();
    for (directive, order) in directives {
        let order = list_or_error(order)?;
        let Some(key) = directive[ORDER_PREFIX.len()..].strip_prefix('/') else {
            return Err(Status::bad_request(
                "invalid patch format of setElementOrder list",
            ));
        };
        let live = original.get_mut(key);
        let theirs = patch.get_mut(key);
        live.as_deref().map(want_list).transpose()?;
        theirs.as_deref().map(want_list).transpose()?;
        if live.is_none() && theirs.is_none() {
            continue;
        }
        let field = schema.and_then(|schema| schema.field(key));
        let list = List::of(schema.and_then(|schema| schema.child(key)), field);
        let theirs = theirs
            .map(|theirs| list_or_error(theirs.take()))
            .transpose()?;
        if theirs.is_some() {
            done.insert(key.into());
        }
        match live {
            Some(live) => {
                let ours = list_or_error(live.take())?;
                *live = Value::Array(list.merge_in_order(Some(ours), theirs, order)?);
            }
            None => {
                let ordered = list.merge_in_order(None, theirs, order)?;
                new.push((key.into(), Value::Array(ordered)));
            }
        }
    }
    if !done.is_empty() {
        patch.retain(|key, _| !done.contains(key));
    }
    original.add_new(new);
    Ok(patch)
}

fn want_list(value: &Value) -> Result<(), Status> {
    match value {
        Value::Array(_) => Ok(()),
        other => Err(no_list(other)),
    }
}

fn list_or_error(value: Value) -> Result<Vec<Value>, Status> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(no_list(&other)),
    }
}

fn no_list(value: &Value) -> Status {
    Status::bare(format!(
        "expected a []interface {{}}, but received a {}",
        go_type(value)
    ))
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::UInt(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// `$deleteFromPrimitiveList/…`: takes scalars out of a merged list; without effect on anything else.
fn delete_from_list(
    schema: Option<&Schema>,
    original: &mut Map,
    key: &str,
    listed: Value,
) -> Result<(), Status> {
    let (Some(Value::Array(ours)), Value::Array(gone)) = (original.get_mut(key), listed) else {
        return Ok(());
    };
    let field = schema.and_then(|schema| schema.field(key));
    let list = List::of(schema.and_then(|schema| schema.child(key)), field);
    *ours = list.without(std::mem::take(ours), gone)?;
    Ok(())
}

/// Removes nulls from a value that comes new.
fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => map.retain(|_, item| {
            discard_nulls(item);
            !item.is_null()
        }),
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// A value that comes new, without the objects that carry a `$patch`; `None` if it is one itself.
pub(crate) fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) => {
            if map.contains_key(PATCH) {
                return None;
            }
            let kept = map
                .into_iter()
                .filter_map(|(key, item)| without_directives(item).map(|item| (key, item)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(Value::Array(
            items.into_iter().filter_map(without_directives).collect(),
        )),
        other => Some(other),
    }
}

/// The error of an unknown `$patch`.
pub(crate) fn bad_patch_type(patch: &Map) -> Status {
    let directive = patch.get(PATCH).map(go_value).unwrap_or_default();
    let patch = go_value(&Value::Object(patch.clone()));
    Status::bare(format!("unknown patch type: {directive} in map: {patch}"))
}

/// The error of an element without its merge key.
pub(crate) fn no_merge_key(element: &Value, merge_key: &str) -> Status {
    Status::bare(format!(
        "map: {} does not contain declared merge key: {merge_key}",
        go_value(element)
    ))
}

/// The error of a list whose elements do not fit together.
pub(crate) fn mixed_elements() -> Status {
    Status::bare("list element types are not identical".to_owned())
}

/// The list directives' marker, for the message about order.
pub(crate) fn order_mismatch(patch: &[Value], order: &[Value]) -> Status {
    let print = |items: &[Value]| go_value(&Value::Array(items.to_vec()));
    Status::bare(format!(
        "The order in patch list:\n{}\n doesn't match {ORDER_PREFIX} list:\n{}\n",
        print(patch),
        print(order)
    ))
}
