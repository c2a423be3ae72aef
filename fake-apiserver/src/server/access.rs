//! Where authentication, authorisation and admission stand in a request's way.
//!
//! Owns the places only; what is checked there is owned by `auth` and `admission`.

use std::sync::Arc;

use super::{Halt, Session};
use crate::json::Value;
use crate::registry::Resource;
use crate::request::User;

/// What is about to be done, as admission sees it.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: &'static str,
    /// The row addressed.
    pub row: &'a Arc<Resource>,
    /// The subresource, "" = none.
    pub subresource: &'a str,
    /// The namespace, "" = none.
    pub namespace: &'a str,
    /// The name; empty for generated names and deletecollection.
    pub name: &'a str,
    /// The object before, in the row's version.
    pub old: Option<&'a Value>,
    /// The options object (`CreateOptions`, …), as sent to webhooks.
    pub options: &'a Value,
    /// Nothing will be stored.
    pub dry_run: bool,
}

/// Finds out who asks; 401 if that fails.
pub(super) fn authenticate(s: &mut Session<'_>) -> Result<(), Halt> {
    s.user = User {
        name: "admin".into(),
        groups: vec!["system:masters".into(), "system:authenticated".into()],
        ..User::default()
    };
    Ok(())
}

/// 403 unless the user may.
pub(super) fn authorize(_s: &mut Session<'_>) -> Result<(), Halt> {
    Ok(())
}

/// Mutating admission; the object is in the row's version. True if it was changed.
pub(super) fn mutate(
    _s: &mut Session<'_>,
    _attributes: &Attributes<'_>,
    _object: &mut Value,
) -> Result<bool, Halt> {
    Ok(false)
}

/// Validating admission; `object` is `None` for deletions.
pub(super) fn validate(
    _s: &mut Session<'_>,
    _attributes: &Attributes<'_>,
    _object: Option<&Value>,
) -> Result<(), Halt> {
    Ok(())
}
