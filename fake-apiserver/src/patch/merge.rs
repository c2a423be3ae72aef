//! JSON merge patch (RFC 7386) as evanphx/json-patch v4 understands it (E3).
//!
//! Nulls remove keys; in objects that come new they are left out, in lists they stay.

use std::collections::BTreeSet;

use crate::json::{self, Duplicates, Map, Value};
use crate::status::{Status, go_quote};

/// Applies a merge patch to a copy of a live object; also returns what strict validation has against the patch.
/// `tracked` says that managedFields the patch does not speak of are wanted too.
pub(crate) fn merge_patch(
    live: &Value,
    body: &[u8],
    tracked: bool,
) -> Result<(Value, Vec<String>), Status> {
    let bad = |text: &str| Status::bad_request(format!("error decoding patch: {text}"));
    let parsed = json::parse_with(body, Duplicates::Last).map_err(|e| bad(&e.message))?;
    let document = match parsed.value {
        Value::Object(patch) => {
            let mut document = match tracked || speaks_of_managed_fields(&patch) {
                true => live.clone(),
                false => without_managed_fields(live),
            };
            merge_maps(document.make_object(), patch);
            document
        }
        Value::Null => return Err(Status::bad_request("Invalid JSON Patch")),
        other => {
            return Err(bad(&format!(
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
    Ok((document, strict))
}

fn speaks_of_managed_fields(patch: &Map) -> bool {
    match patch.get("metadata") {
        None => false,
        Some(Value::Object(metadata)) => metadata.contains_key("managedFields"),
        Some(_) => true,
    }
}

fn without_managed_fields(live: &Value) -> Value {
    let Value::Object(map) = live else {
        return live.clone();
    };
    let mut copy = map.clone_without("metadata");
    if let Some(metadata) = map.get("metadata") {
        let metadata = match metadata {
            Value::Object(map) => Value::Object(map.clone_without("managedFields")),
            other => other.clone(),
        };
        copy.insert("metadata", metadata);
    }
    Value::Object(copy)
}

fn merge_maps(into: &mut Map, patch: Map) {
    let (mut new, mut gone) = (Vec::new(), BTreeSet::new());
    for (key, value) in patch {
        match (into.get_mut(&key), value) {
            (None, Value::Null) => {}
            (Some(_), Value::Null) => {
                gone.insert(key);
            }
            (Some(Value::Object(ours)), Value::Object(theirs)) => merge_maps(ours, theirs),
            (Some(ours @ Value::Object(_)), other) => *ours = other,
            (Some(ours), mut other) => {
                prune_nulls(&mut other);
                *ours = other;
            }
            (None, mut other) => {
                prune_nulls(&mut other);
                new.push((key, other));
            }
        }
    }
    if gone.len() < 32 {
        for key in gone {
            into.remove(&key);
        }
    } else {
        into.retain(|key, _| !gone.contains(key));
    }
    into.add_new(new);
}

fn prune_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => map.retain(|_, item| {
            prune_nulls(item);
            !item.is_null()
        }),
        Value::Array(items) => items.iter_mut().for_each(prune_nulls),
        _ => {}
    }
}
