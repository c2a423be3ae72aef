//! The patched document as the answer to an undecodable one quotes it (D11).
//!
//! The real server prints the bytes it was about to decode: the top level in key order; below it, what the patch left alone
//! in the order of the Go structs, what it touched in key order. Of that order only metadata's is known here.

use crate::json::{self, Map, Value};
use crate::schema::Schema;

const METADATA: [&str; 15] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

const ENTRY: [&str; 7] = [
    "manager",
    "operation",
    "apiVersion",
    "time",
    "fieldsType",
    "fieldsV1",
    "subresource",
];

/// The document as JSON text.
pub(crate) fn document(schema: &Schema, live: &Value, patched: &Value) -> String {
    let (Some(before), Some(after)) = (live.as_object(), patched.as_object()) else {
        return patched.to_string();
    };
    let builtin = schema.name().is_some();
    let mut out = Vec::with_capacity(512);
    fields(&mut out, after, &[], |out, key, value| {
        if key != "metadata" || !builtin {
            return json::write(value, out);
        }
        match (value, before.get(key)) {
            (Value::Object(map), Some(was)) if was == value => {
                fields(out, map, &METADATA, metadata_field);
            }
            // Touched itself, its parts are not.
            (Value::Object(map), _) => fields(out, map, &[], metadata_field),
            _ => json::write(value, out),
        }
    });
    String::from_utf8_lossy(&out).into_owned()
}

fn metadata_field(out: &mut Vec<u8>, key: &str, value: &Value) {
    match value {
        Value::Array(entries) if key == "managedFields" => {
            out.push(b'[');
            for (i, entry) in entries.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                match entry {
                    Value::Object(map) => fields(out, map, &ENTRY, |out, _, value| {
                        json::write(value, out);
                    }),
                    other => json::write(other, out),
                }
            }
            out.push(b']');
        }
        _ => json::write(value, out),
    }
}

/// Writes an object, first the fields that `order` names.
fn fields(
    out: &mut Vec<u8>,
    map: &Map,
    order: &[&str],
    write: impl Fn(&mut Vec<u8>, &str, &Value),
) {
    let known = order
        .iter()
        .filter_map(|key| map.get(key).map(|v| (*key, v)));
    let others = map.iter().filter(|(key, _)| !order.contains(key));
    out.push(b'{');
    for (i, (key, value)) in known.chain(others).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        json::write_string(key, out);
        out.push(b':');
        write(out, key, value);
    }
    out.push(b'}');
}
