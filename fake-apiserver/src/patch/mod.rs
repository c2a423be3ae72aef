//! The three patch types besides apply (E): JSON patch, merge patch, strategic merge patch.
//!
//! Owns turning a live object and a patch body into the patched document, with the quirks and the error answers of the real
//! server's libraries. Does not own decoding, defaulting and validating what comes out, nor apply (`apply`).
//! Source: apiserver `endpoints/handlers/patch.go`, evanphx/json-patch v4, apimachinery `util/strategicpatch`.

mod json_patch;
mod merge;
pub(crate) mod printed;
mod quoted;
mod strategic;
mod strategic_list;
mod tree;
mod unstructured;

pub(crate) use json_patch::COPIED_BYTES_MAX;
pub(crate) use tree::{Depth, Tree};
pub(crate) use unstructured::conversion_error;

use crate::json::Value;
use crate::schema::Schema;
use crate::status::{Cause, Status};

/// The patch types a content type can name, apply excepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// `application/json-patch+json`
    Json,
    /// `application/merge-patch+json`
    Merge,
    /// `application/strategic-merge-patch+json`, built-in kinds only.
    Strategic,
}

/// A patched document, still to be decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Patched {
    /// The document.
    pub value: Value,
    /// What strict field validation has against the patch itself (D11), to be reported before what it has against the
    /// document.
    pub strict: Vec<String>,
    quote: String,
    patch_type: PatchType,
}

impl Patched {
    /// True for a strategic merge, which is converted without a detour over JSON.
    pub fn is_strategic(&self) -> bool {
        self.patch_type == PatchType::Strategic
    }

    /// The answer when the document cannot be decoded, or not strictly: 422 on the field `patch`. `live` is what was patched.
    pub fn undecodable(&self, schema: &Schema, live: &Value, error: &str) -> Status {
        let quoted = match self.patch_type {
            PatchType::Strategic => self.quote.clone(),
            _ => quoted::document(schema, live, &self.value),
        };
        let cause = Cause::invalid("patch", &Value::from(quoted), error);
        Status::invalid("", "", "", vec![cause])
    }
}

/// [`patch()`] where nobody looks at the document's managedFields: those of the live object are left out unless the patch
/// speaks of them. They are most of a small object, and tracking takes the live ones anyway.
pub fn patch_untracked(
    patch_type: PatchType,
    live: &Value,
    body: &[u8],
    schema: &Schema,
) -> Result<Patched, Status> {
    if patch_type != PatchType::Merge {
        return patch(patch_type, live, body, schema);
    }
    let (value, strict) = merge::merge_patch(live, body, false)?;
    Ok(Patched {
        value,
        strict,
        quote: String::new(),
        patch_type,
    })
}

/// Patches a live object. `schema` gives merge keys and list kinds to a strategic merge.
pub fn patch(
    patch_type: PatchType,
    live: &Value,
    body: &[u8],
    schema: &Schema,
) -> Result<Patched, Status> {
    let (value, strict, quote) = match patch_type {
        PatchType::Json => {
            let (value, strict) = json_patch::json_patch(live.clone(), body)?;
            (value, strict, String::new())
        }
        PatchType::Merge => {
            let (value, strict) = merge::merge_patch(live, body, true)?;
            (value, strict, String::new())
        }
        PatchType::Strategic => strategic::strategic_merge(schema, live.clone(), body)?,
    };
    Ok(Patched {
        value,
        strict,
        quote,
        patch_type,
    })
}

#[cfg(test)]
mod tests;
