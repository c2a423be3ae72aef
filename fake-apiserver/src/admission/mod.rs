//! The admission chain: what may change or refuse a write between decoding and storage.
//!
//! Owns the order of plugins, policies and webhooks. Does not own where in a request's way
//! the chain stands (`server::access`).
//! Simplification: a write whose time is up (D13) is not stored afterwards.
//! Behaviour: apiserver `admission` (AD1–AD14). NamespaceLifecycle is `server::lifecycle`.

mod conditions;
pub(crate) mod expressions;
mod json_patch;
mod matching;
pub(crate) mod plugins;
mod policies;
mod policy_params;
mod policy_source;
mod reinvocation;
mod review;
mod webhooks;

use crate::auth;
use crate::json::Value;
use crate::registry::{Registry, ResourceId};
use crate::server::{Core, Halt, Session, WebhookReply};
use crate::status::Status;
use crate::time::parse_duration;
use std::sync::LazyLock;
use std::time::Duration;

use crate::server::Attributes;

use reinvocation::Reinvocation;
pub(crate) use review::{CONVERSION_REVIEW, answered_type, decode_review};

/// The resources of webhook configurations and bindings, mutating and validating.
static ASKING: LazyLock<[Vec<ResourceId>; 2]> = LazyLock::new(|| {
    let registry = Registry::new();
    let ids = |plurals: [&str; 2]| {
        let found = plurals.iter().filter_map(|plural| {
            let row = registry.find("admissionregistration.k8s.io", "v1", plural)?;
            Some(row.id)
        });
        found.collect()
    };
    [
        ids([
            "mutatingwebhookconfigurations",
            "mutatingadmissionpolicybindings",
        ]),
        ids([
            "validatingwebhookconfigurations",
            "validatingadmissionpolicybindings",
        ]),
    ]
});

/// Whether there is any webhook or bound policy that mutating (or validating) admission would ask.
pub(crate) fn asks(core: &Core, mutating: bool) -> bool {
    let ids = &ASKING[usize::from(!mutating)];
    ids.iter().any(|id| core.store.len(*id) > 0)
}

/// Mutating admission: policies, then webhooks, and once more where asked for. The object is
/// in the row's version, `null` for deletions. True if it was changed.
pub(crate) fn mutate(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: &mut Value,
) -> Result<bool, Halt> {
    let (mut policies, mut hooks) = (Reinvocation::default(), Reinvocation::default());
    let mut changed = false;
    if attributes.operation != "DELETE" {
        plugins::mutate(s, attributes, object)?;
    }
    if !asks(s.core, true) {
        return Ok(false);
    }
    for again in [false, true] {
        changed |= policies::mutate(s, attributes, object, &mut policies, again)?;
        changed |= webhooks::mutate(s, attributes, object, &mut hooks, again)?;
        if !policies.wanted() && !hooks.wanted() {
            break;
        }
    }
    Ok(changed)
}

/// Validating admission: policies, then webhooks. `object` is `None` for deletions.
pub(crate) fn validate(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), Halt> {
    plugins::validate(s, attributes, object)?;
    if asks(s.core, false) {
        policies::validate(s, attributes, object)?;
        webhooks::validate(s, attributes, object)?;
    }
    plugins::charge(s, attributes, object)
}

/// Takes a patched object, back in the request's version: it must still decode (AD5).
fn accept(s: &mut Session<'_>, attributes: &Attributes<'_>, object: Value) -> Result<Value, Halt> {
    let mut object = s.redecode(attributes, object)?;
    let row = attributes.row;
    if row.is_custom() {
        return Ok(object);
    }
    // Built-in types have an apiVersion and a kind of their own.
    row.set_type(&mut object);
    Ok(object)
}

/// The refusal of a plugin (B4): the name is that of the request, else of the object, else
/// unknown.
fn forbidden(attributes: &Attributes<'_>, object: Option<&Value>, why: &str) -> Status {
    let row = attributes.row;
    let name = shown_name(attributes, object);
    Status::forbidden(&row.group, &row.plural, &name, why)
}

fn shown_name(attributes: &Attributes<'_>, object: Option<&Value>) -> String {
    if !attributes.name.is_empty() {
        return attributes.name.to_owned();
    }
    let metadata = object.map(|object| &object["metadata"]);
    let field = |key: &str| metadata.map_or("", |metadata| metadata.str_at(&[key]));
    match (field("generateName"), field("name")) {
        ("", "") if object.is_some_and(|object| !object.is_null()) => String::new(),
        ("", "") => "Unknown".to_owned(),
        ("", name) => name.to_owned(),
        (prefix, _) => prefix.to_owned(),
    }
}

/// Roles and bindings as stored.
fn grants<'s>(s: &'s Session<'_>) -> auth::Stored<'s> {
    auth::Stored::new(s.core)
}

/// The most that any request may take (FC2).
const REQUEST_MAX: Duration = Duration::from_secs(60);

/// The most that the handler of a write may take; deletions of collections have no such handler (D13, G9).
const WRITE_MAX: Duration = Duration::from_secs(34);

/// How long the request may take in all: the client may ask for less than there is.
fn allotted(s: &Session<'_>) -> Duration {
    let asked = parse_duration(s.request.query.text("timeout"));
    let asked = asked.ok().and_then(|nanos| u64::try_from(nanos).ok());
    match asked.map(Duration::from_nanos) {
        None | Some(Duration::ZERO) => REQUEST_MAX,
        Some(asked) => asked.min(REQUEST_MAX),
    }
}

/// Whether the handler gives up before the server does.
fn ends_in_handler(s: &Session<'_>) -> bool {
    let info = &s.request.info;
    let handled = matches!(info.verb.as_str(), "create" | "update" | "patch" | "delete");
    handled && WRITE_MAX < allotted(s)
}

/// How much time the request has left for a call that it makes now.
fn time_left(s: &Session<'_>) -> Duration {
    let all = match ends_in_handler(s) {
        true => WRITE_MAX,
        false => allotted(s),
    };
    all.saturating_sub(s.attempt.clock - s.attempt.started)
}

/// The answer of a request whose time passed while a webhook was asked: the handler's own, or (AD4b) that of the server
/// around it, JSON that calls itself text.
fn request_timeout(s: &Session<'_>) -> Status {
    if ends_in_handler(s) {
        let why = "request did not complete within requested timeout - context deadline exceeded";
        return Status::timeout(why, 0);
    }
    let message = "Timeout: request did not complete within the allotted timeout";
    let body = format!(
        "{{\"metadata\":{{}},\"status\":\"Failure\",\"message\":\"{message}\",\"reason\":\"Timeout\",\"details\":{{}},\"code\":504}}"
    );
    let mut status = Status::failure(504, "Timeout", body);
    status.text = true;
    status
}

/// The Go error of a call that cannot be made at all: a missing service, an unknown
/// authority.
fn refused_at_once(s: &Session<'_>, client: &Value) -> Option<String> {
    if let Some(service) = client.get("service").filter(|service| service.is_object()) {
        let (namespace, name) = (service.str_at(&["namespace"]), service.str_at(&["name"]));
        let row = s.core.registry.find("", "v1", "services")?.clone();
        if s.core.object(&row, namespace, name).is_none() {
            return Some(format!(
                "service {} not found",
                crate::status::go_quote(name)
            ));
        }
        return None;
    }
    let url = client.str_at(&["url"]);
    let trusted = !client.str_at(&["caBundle"]).is_empty() || !url.starts_with("https://");
    (!trusted && !url.starts_with("https://127.0.0.1:1/")).then(|| {
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
            .to_owned()
    })
}

/// Where a client configuration points, and why calling it fails at once, if it does.
pub(crate) fn target(s: &Session<'_>, client: &Value, seconds: i64) -> (String, Option<String>) {
    let url = review::with_timeout(&review::address(client), seconds);
    (url, refused_at_once(s, client))
}

/// The body of a webhook's answer, or the text of the failed call.
pub(crate) fn reply_body(url: &str, reply: &WebhookReply) -> Result<bytes::Bytes, String> {
    match (review::transport_error(url, reply), reply) {
        (None, WebhookReply::Answered { body, .. }) => Ok(body.clone()),
        (error, _) => Err(error.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
