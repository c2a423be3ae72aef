//! Where field management stands in a write's way; its rules are owned by `apply`.

use super::Session;
use crate::json::Value;
use crate::registry::Resource;

/// Records who set which fields of a non-apply write (F8). `live` is the object before, `None` for a creation.
pub(super) fn track(
    _s: &mut Session<'_>,
    _row: &Resource,
    _subresource: &str,
    _live: Option<&Value>,
    object: &mut Value,
    _manager: &str,
) {
    object.remove(&["metadata", "managedFields"]);
}
