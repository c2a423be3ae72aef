//! PATCH: the four kinds of patches, from body to a change of the object (E, D8, D17).
//!
//! Owns order and errors around a patch; the patches themselves are owned by `patch` and `apply`.

use std::sync::Arc;

use super::update::{self, Change};
use super::{Answer, Halt, Session, body, create, managed};
use crate::json::{self, Value};
use crate::registry::Resource;
use crate::request::WriteOptions;
use crate::request::media::{BodyType, patch_type};
use crate::status::Status;

/// Changes an object by a patch.
pub(super) fn patch(
    s: &mut Session<'_>,
    row: Arc<Resource>,
    subresource: &str,
) -> Result<Answer, Halt> {
    let kind = patch_type(s.request.header("content-type"), row.is_custom())?;
    let options = WriteOptions::read_patch(&s.request.query, kind == BodyType::Apply)?;
    if kind == BodyType::Apply {
        return Err(Status::unsupported_media_type("415: Unsupported Media Type").into());
    }
    let Some(existing) = update::live(s, &row) else {
        let name = &s.request.info.name;
        return Err(Status::not_found(&row.group, &row.plural, name).into());
    };
    let live = create::from_storage(&row, &existing);
    let patched = patched(s, kind, &live)?;
    let (mut object, unknown) = body::decode(&row, patched)?;
    body::report(
        s,
        options.field_validation,
        Vec::new(),
        unknown,
        |problems| Status::bad_request(format!("strict decoding error: {problems}")),
    )?;
    body::check_place(s, &row, &mut object)?;
    create::dedup_owner_references(s, &mut object, true);
    let manager = options.manager(s.request.header("user-agent"));
    managed::track(s, &row, subresource, Some(&live), &mut object, &manager);
    let change = Change {
        row,
        subresource,
        existing,
        object,
        options: &options,
        options_kind: "PatchOptions",
    };
    update::store(s, change)
}

/// The live object with the patch applied.
fn patched(s: &Session<'_>, kind: BodyType, live: &Value) -> Result<Value, Status> {
    let parsed = json::parse(&s.request.body)
        .map_err(|error| Status::bad_request(format!("error decoding patch: {}", error.message)))?;
    match kind {
        BodyType::MergePatch if parsed.is_object() => {
            let mut object = live.clone();
            merge(&mut object, &parsed);
            Ok(object)
        }
        BodyType::MergePatch => Err(Status::bad_request("Invalid JSON Patch")),
        _ => Err(Status::unsupported_media_type(
            "415: Unsupported Media Type",
        )),
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    let map = target.make_object();
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.get_or_insert(key, Value::Null), value);
        }
    }
}
