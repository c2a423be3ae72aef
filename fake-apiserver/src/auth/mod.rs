//! Who asks, and what they may do.
//!
//! Owns bearer tokens, impersonation, the RBAC authorizer with its escalation checks, the
//! review kinds (`SubjectAccessReview`, `TokenReview`, …) and the bootstrap roles.
//! Does not own when a request is authorised (`server`).
//! Behaviour: apiserver `authentication`, `authorization/rbac`, `endpoints/filters`
//! (B4, B13, O5).

mod authenticate;
mod bootstrap;
pub mod escalation;
mod impersonate;
pub mod rbac;
pub mod reviews;
mod stored;

pub use authenticate::{anonymous, authenticate, service_account_groups, with_default_groups};
pub use bootstrap::bootstrap;
pub use impersonate::{impersonate, impersonates};
pub use rbac::{Attributes, Decision, Grants};
pub use stored::Stored;

use crate::request::{RequestInfo, User};
use crate::status::Status;

/// Authorises a request; the error is the answer (B4).
pub fn authorize(
    user: &User,
    info: &RequestInfo,
    path: &str,
    grants: &dyn Grants,
) -> Result<(), Status> {
    if rbac::all_powerful(user, grants) {
        return Ok(());
    }
    let attributes = Attributes::of_request(info, path);
    let decision = rbac::decide(user, &attributes, grants);
    if decision.allowed {
        return Ok(());
    }
    Err(forbidden(user, &attributes))
}

/// The answer to a request that is not allowed.
pub fn forbidden(user: &User, attributes: &Attributes) -> Status {
    let (group, resource, name) = match attributes.is_resource {
        true => (&*attributes.group, &*attributes.resource, &*attributes.name),
        false => ("", "", ""),
    };
    Status::forbidden(group, resource, name, &attributes.denial(user))
}
