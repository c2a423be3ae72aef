//! Paths below an object, and kinds that are never stored: which verb of which subresource goes where.
//!
//! Owns the dispatch and `/status`. Subresources with a logic of their own are called from here by name.

use std::sync::Arc;

use super::{Answer, Halt, Session, access, patch, pods, read, scale, token, update};
use crate::json::Value;
use crate::registry::Resource;
use crate::request::WriteOptions;
use crate::status::Status;
use crate::time::Timestamp;

/// A request for a subresource.
pub(super) fn dispatch(
    s: &mut Session<'_>,
    row: Arc<Resource>,
    _now: Timestamp,
) -> Result<Answer, Halt> {
    let info = &s.request.info;
    let name = info.subresource.clone();
    let whole = |_: &&crate::registry::Subresource| info.rest.is_empty() || name == "proxy";
    let Some(subresource) = row.subresource(&name).filter(whole) else {
        return Err(unknown(s, &row).into());
    };
    let verb = info.verb.clone();
    if !subresource.verbs.has(&verb) {
        if row.is_custom() {
            return Err(Status::verb_not_supported(&row.group, &row.plural, &verb).into());
        }
        return Err(Status::method_not_allowed().into());
    }
    match (name.as_str(), verb.as_str()) {
        ("scale", "get") => scale::get(s, row),
        ("scale", "update") => scale::update(s, row),
        ("scale", "patch") => scale::patch(s, row),
        ("status" | "finalize" | "approval" | "resize" | "ephemeralcontainers", "get") => {
            read::get(s, row)
        }
        ("status" | "finalize" | "approval" | "resize" | "ephemeralcontainers", "update") => {
            update::update(s, row, &name)
        }
        ("status" | "approval" | "resize" | "ephemeralcontainers", "patch") => {
            patch::patch(s, row, &name)
        }
        ("binding", "create") => pods::bind(s, row),
        ("eviction", "create") => pods::evict(s, row),
        ("token", "create") => token::create(s, row),
        ("log" | "exec" | "attach" | "portforward" | "proxy", _) => pods::connect(s, row),
        // Subresources that are not built answer as one that does not exist.
        _ => Err(unknown(s, &row).into()),
    }
}

fn unknown(s: &Session<'_>, row: &Resource) -> Status {
    if row.is_custom() {
        Status::not_found(&row.group, &row.plural, &s.request.info.name)
    } else {
        Status::path_not_found()
    }
}

/// True for kinds that are answered at once and never stored (reviews).
pub(super) fn is_virtual(row: &Resource) -> bool {
    !row.is_custom() && !row.verbs.has("get")
}

/// A POST of a kind that is never stored: admitted, answered (O5).
pub(super) fn create_virtual(
    s: &mut Session<'_>,
    row: Arc<Resource>,
    mut object: Value,
    options: &WriteOptions,
) -> Result<Answer, Halt> {
    let review = matches!(
        row.group.as_str(),
        "authorization.k8s.io" | "authentication.k8s.io"
    );
    let binding = row.is("", "bindings");
    if !review && !binding {
        return Err(Status::method_not_allowed().into());
    }
    let manager = options.manager(s.request.header(http::header::USER_AGENT));
    super::managed::track(s, &row, "", None, &mut object, &manager)?;
    let namespace = s.request.info.namespace.clone();
    let sent_options = access::sent_options(s, options, "CreateOptions");
    let attributes = super::Attributes {
        operation: "CREATE",
        row: &row,
        subresource: "",
        namespace: &namespace,
        name: "",
        old: None,
        options: &sent_options,
        dry_run: options.dry_run,
    };
    super::access::mutate(s, &attributes, &mut object)?;
    super::access::validate(s, &attributes, Some(&object))?;
    if binding {
        return pods::bind_by_name(s, &object, options);
    }
    let stored = crate::auth::Stored::new(s.core);
    let tokens = &s.core.config.tokens;
    let lookup = |token: &str| tokens.iter().find(|t| t.token == token).map(|t| &t.user);
    let mut value =
        crate::auth::reviews::answer(&row.kind, &namespace, object, &s.user, &stored, lookup)?;
    if row.kind == "SelfSubjectReview" {
        value.set(&["metadata", "creationTimestamp"], s.now.rfc3339());
    }
    Ok(Answer::Value {
        row,
        value,
        code: 201,
    })
}
