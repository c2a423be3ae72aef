//! `Status` answers: the shape every failed call has, with a constructor per B rule.
//!
//! Owns the shape, the reasons, the causes and the wording of the aggregated message.
//! Does not own who fails when: each room builds its own from these.
//! Source: apimachinery `pkg/api/errors`, `pkg/util/validation/field`.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::json::{Map, Value};

/// A `meta/v1` Status. One pointer wide, so that `Result<_, Status>` stays small.
#[derive(Clone, Debug, PartialEq)]
pub struct Status(Box<Body>);

/// What a Status says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason; empty where the server gives none.
    pub reason: Cow<'static, str>,
    /// For people.
    pub message: String,
    /// Present on most failures, even empty (`details: {}`).
    pub details: Option<Details>,
    /// `metadata.continue`, the inconsistent continue token of a 410 on a page (H6).
    pub continue_token: Option<String>,
    /// `status: Success` instead of `Failure`.
    pub success: bool,
    /// A plain text body instead of the JSON object (unknown groups, flow control).
    pub text: bool,
}

/// `status.details`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// Name of the object concerned.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its resource (plural) or kind, by reason.
    pub kind: String,
    /// Its uid.
    pub uid: String,
    /// Single reasons.
    pub causes: Vec<Cause>,
    /// Seconds to wait before another try; 0 = none given.
    pub retry_after_seconds: u32,
}

/// One of `status.details.causes`, also a field error of validation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cause {
    /// `FieldValueInvalid` and its kin.
    pub reason: Cow<'static, str>,
    /// What is wrong, without the field.
    pub message: String,
    /// Dotted path; omitted if empty.
    pub field: String,
}

impl Cause {
    /// A cause of any reason.
    pub fn new(
        reason: impl Into<Cow<'static, str>>,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Cause {
        Cause {
            reason: reason.into(),
            message: message.into(),
            field: field.into(),
        }
    }

    /// `Required value[: detail]`
    pub fn required(field: impl Into<String>, detail: &str) -> Cause {
        Cause::new(
            "FieldValueRequired",
            field,
            suffixed("Required value", detail),
        )
    }

    /// `Invalid value: VALUE[: detail]`
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Cause {
        let head = format!("Invalid value: {}", show(value));
        Cause::new("FieldValueInvalid", field, suffixed(&head, detail))
    }

    /// `Invalid value: VALUE: detail` with reason `FieldValueTypeInvalid`.
    pub fn type_invalid(field: impl Into<String>, value: &Value, detail: &str) -> Cause {
        let head = format!("Invalid value: {}", show(value));
        Cause::new("FieldValueTypeInvalid", field, suffixed(&head, detail))
    }

    /// `Unsupported value: VALUE: supported values: "A", "B"` (the values in the order given).
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Cause {
        let mut message = format!("Unsupported value: {}", show(value));
        if !supported.is_empty() {
            let quoted: Vec<String> = supported.iter().map(|text| go_quote(text)).collect();
            message.push_str(": supported values: ");
            message.push_str(&quoted.join(", "));
        }
        Cause::new("FieldValueNotSupported", field, message)
    }

    /// `Duplicate value: VALUE`
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Cause {
        Cause::new(
            "FieldValueDuplicate",
            field,
            format!("Duplicate value: {}", show(value)),
        )
    }

    /// `Not found: VALUE`
    pub fn not_found(field: impl Into<String>, value: &Value) -> Cause {
        Cause::new(
            "FieldValueNotFound",
            field,
            format!("Not found: {}", show(value)),
        )
    }

    /// `Forbidden[: detail]`
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Cause {
        Cause::new("FieldValueForbidden", field, suffixed("Forbidden", detail))
    }

    /// `Too long: may not be more than N bytes`
    pub fn too_long(field: impl Into<String>, max: usize) -> Cause {
        Cause::new(
            "FieldValueTooLong",
            field,
            format!("Too long: may not be more than {max} bytes"),
        )
    }

    /// `Too many: N: must have at most MAX items`
    pub fn too_many(field: impl Into<String>, actual: usize, max: usize) -> Cause {
        Cause::new(
            "FieldValueTooMany",
            field,
            format!("Too many: {actual}: must have at most {max} items"),
        )
    }

    /// `Internal error: TEXT`
    pub fn internal(field: impl Into<String>, error: &str) -> Cause {
        Cause::new("InternalError", field, format!("Internal error: {error}"))
    }

    /// The cause as `field: message`, the form aggregated messages use.
    pub fn text(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }

    fn to_value(&self) -> Value {
        let mut map = Map::with_capacity(3);
        put(&mut map, "field", &self.field);
        put(&mut map, "message", &self.message);
        put(&mut map, "reason", &self.reason);
        Value::Object(map)
    }
}

impl Status {
    /// A failure without details.
    pub fn failure(
        code: u16,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Status {
        Status(Box::new(Body {
            code,
            reason: reason.into(),
            message: message.into(),
            ..Body::default()
        }))
    }

    /// A failure with details.
    pub fn detailed(
        code: u16,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
        details: Details,
    ) -> Status {
        let mut status = Status::failure(code, reason, message);
        status.details = Some(details);
        status
    }

    fn about(
        code: u16,
        reason: &'static str,
        group: &str,
        kind: &str,
        name: &str,
        message: String,
    ) -> Status {
        let details = Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            ..Details::default()
        };
        Status::detailed(code, reason, message, details)
    }

    /// The Success a DELETE answers with (G1).
    pub fn deleted(group: &str, resource: &str, name: &str, uid: &str) -> Status {
        let mut status = Status::about(200, "", group, resource, name, String::new());
        status.success = true;
        status.details_mut().uid = uid.to_owned();
        status
    }

    /// A Success that carries a code and nothing else (pods/eviction, pods/binding: 201).
    pub fn success(code: u16) -> Status {
        let mut status = Status::failure(code, "", "");
        status.success = true;
        status
    }

    /// B1: the object does not exist.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Status {
        let message = format!(
            "{} {} not found",
            group_resource(resource, group),
            go_quote(name)
        );
        Status::about(404, "NotFound", group, resource, name, message)
    }

    /// B1, A7: no such path below a known group.
    pub fn path_not_found() -> Status {
        Status::detailed(
            404,
            "NotFound",
            "the server could not find the requested resource",
            Details::default(),
        )
    }

    /// A7: no such path at all; plain text.
    pub fn page_not_found() -> Status {
        let mut status = Status::failure(404, "", "404 page not found\n");
        status.text = true;
        status
    }

    /// B1: the name is taken.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Status {
        let message = format!(
            "{} {} already exists",
            group_resource(resource, group),
            go_quote(name)
        );
        Status::about(409, "AlreadyExists", group, resource, name, message)
    }

    /// B2: the write lost against another one. `why` follows the first sentence.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Status {
        let message = format!(
            "Operation cannot be fulfilled on {} {}: {why}",
            group_resource(resource, group),
            go_quote(name)
        );
        Status::about(409, "Conflict", group, resource, name, message)
    }

    /// B2: the resourceVersion sent is not the stored one.
    pub fn conflict_modified(group: &str, resource: &str, name: &str) -> Status {
        Status::conflict(
            group,
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// B3: validation failed. `kind` is the Kind, not the resource.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Status {
        let message = format!(
            "{} {} is invalid: {}",
            group_resource(kind, group),
            go_quote(name),
            aggregate(&causes)
        );
        let mut status = Status::about(422, "Invalid", group, kind, name, message);
        status.details_mut().causes = causes;
        status
    }

    /// D2, H3: bad options. `kind` is `CreateOptions`, `ListOptions`, ….
    pub fn invalid_options(kind: &str, causes: Vec<Cause>) -> Status {
        Status::invalid("meta.k8s.io", kind, "", causes)
    }

    /// B4: not allowed. Without a name the message names the resource only.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Status {
        let subject = group_resource(resource, group);
        let message = match (resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{subject} is forbidden: {why}"),
            _ => format!("{subject} {} is forbidden: {why}", go_quote(name)),
        };
        Status::about(403, "Forbidden", group, resource, name, message)
    }

    /// B4: who are you?
    pub fn unauthorized() -> Status {
        Status::failure(401, "Unauthorized", "Unauthorized")
    }

    /// B5: the revision asked for is gone.
    pub fn expired(message: impl Into<String>) -> Status {
        Status::failure(410, "Expired", message)
    }

    /// B6: too many requests, come back later.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Status {
        let details = Details {
            retry_after_seconds,
            ..Details::default()
        };
        Status::detailed(429, "TooManyRequests", message, details)
    }

    /// B7: the deadline passed.
    pub fn timeout(message: impl Into<String>, retry_after_seconds: u32) -> Status {
        let details = Details {
            retry_after_seconds,
            ..Details::default()
        };
        Status::detailed(
            504,
            "Timeout",
            format!("Timeout: {}", message.into()),
            details,
        )
    }

    /// H9: the revision asked for is in the future.
    pub fn too_large_resource_version(wanted: u64, current: u64, retry_after: u32) -> Status {
        let message = format!("Too large resource version: {wanted}, current: {current}");
        let mut status = Status::timeout(message, retry_after);
        status.details_mut().causes = vec![Cause::new(
            "ResourceVersionTooLarge",
            "",
            "Too large resource version",
        )];
        status
    }

    /// B8: an error of the server's own.
    pub fn internal(error: impl Into<String>) -> Status {
        let error = error.into();
        let details = Details {
            causes: vec![Cause {
                message: error.clone(),
                ..Cause::default()
            }],
            ..Details::default()
        };
        Status::detailed(
            500,
            "InternalError",
            format!("Internal error occurred: {error}"),
            details,
        )
    }

    /// B8: a Go error that is no Status: 500, the bare message, neither reason nor details.
    pub fn bare(message: impl Into<String>) -> Status {
        Status::failure(500, "", message)
    }

    /// B9: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::failure(400, "BadRequest", message)
    }

    /// B9: the verb does not exist here (built-ins, decided by the router).
    pub fn method_not_allowed() -> Status {
        Status::detailed(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
            Details::default(),
        )
    }

    /// A8: the verb does not exist for this resource (custom resources, decided by the handler).
    pub fn verb_not_supported(group: &str, resource: &str, verb: &str) -> Status {
        let details = Details {
            group: group.to_owned(),
            kind: resource.to_owned(),
            ..Details::default()
        };
        Status::detailed(
            405,
            "MethodNotAllowed",
            format!(
                "{verb} is not supported on resources of kind {}",
                go_quote(&group_resource(resource, group))
            ),
            details,
        )
    }

    /// B11: the Accept header cannot be satisfied.
    pub fn not_acceptable(message: impl Into<String>) -> Status {
        Status::failure(406, "NotAcceptable", message)
    }

    /// B11: the Content-Type is not understood.
    pub fn unsupported_media_type(message: impl Into<String>) -> Status {
        Status::failure(415, "UnsupportedMediaType", message)
    }

    /// B12: the body is too large; `limit` follows the first words.
    pub fn too_large(limit: impl fmt::Display) -> Status {
        Status::failure(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: {limit}"),
        )
    }

    /// E2, D17: the patch does not fit the object.
    pub fn rejected_patch() -> Status {
        Status::detailed(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
            Details::default(),
        )
    }

    /// B9: 503.
    pub fn service_unavailable(message: impl Into<String>) -> Status {
        Status::failure(503, "ServiceUnavailable", message)
    }

    /// The details, made if absent.
    pub fn details_mut(&mut self) -> &mut Details {
        self.0.details.get_or_insert_default()
    }

    /// With one more cause in the details.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause) -> Status {
        self.details_mut().causes.push(cause);
        self
    }

    /// Seconds for the `Retry-After` header, 0 = none (A11).
    pub fn retry_after_seconds(&self) -> u32 {
        self.details.as_ref().map_or(0, |d| d.retry_after_seconds)
    }

    /// The object a client gets to read.
    pub fn to_value(&self) -> Value {
        let mut map = Map::with_capacity(8);
        map.insert("kind", "Status");
        map.insert("apiVersion", "v1");
        let metadata = map.object("metadata");
        if let Some(token) = &self.continue_token {
            metadata.insert("continue", token);
        }
        map.insert("status", if self.success { "Success" } else { "Failure" });
        put(&mut map, "message", &self.message);
        put(&mut map, "reason", &self.reason);
        if let Some(details) = &self.details {
            map.insert("details", details.to_value());
        }
        // A DELETE's Success has no code in its body.
        if !(self.success && self.code == 200) {
            map.insert("code", i64::from(self.code));
        }
        Value::Object(map)
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        put(&mut map, "name", &self.name);
        put(&mut map, "group", &self.group);
        put(&mut map, "kind", &self.kind);
        put(&mut map, "uid", &self.uid);
        if !self.causes.is_empty() {
            map.insert(
                "causes",
                self.causes.iter().map(Cause::to_value).collect::<Value>(),
            );
        }
        if self.retry_after_seconds > 0 {
            map.insert("retryAfterSeconds", i64::from(self.retry_after_seconds));
        }
        Value::Object(map)
    }
}

impl Deref for Status {
    type Target = Body;
    fn deref(&self) -> &Body {
        &self.0
    }
}

impl DerefMut for Status {
    fn deref_mut(&mut self) -> &mut Body {
        &mut self.0
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.reason, self.message)
    }
}

impl std::error::Error for Status {}

/// `resource.group`, or the resource alone for the core group. Also for kinds.
pub fn group_resource(resource: &str, group: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}

/// Several causes as one text: one stands alone, several are bracketed, repeated texts appear once (B3).
pub fn aggregate(causes: &[Cause]) -> String {
    let mut seen = std::collections::BTreeSet::new();
    let texts = causes.iter().map(Cause::text);
    let mut texts: Vec<String> = texts.filter(|text| seen.insert(text.clone())).collect();
    match texts.len() {
        1 => texts.remove(0),
        _ => format!("[{}]", texts.join(", ")),
    }
}

/// The longest path that errors and warnings show; a key may have millions of characters, and thousands of errors below it.
const PATH_MAX: usize = 1_024;

/// Shortens a path that has grown too long to be shown. What was there before the last step stays.
pub(crate) fn cut_path(path: &mut String) {
    if path.len() > PATH_MAX {
        let at = (0..=PATH_MAX).rev().find(|at| path.is_char_boundary(*at));
        path.truncate(at.unwrap_or(0));
        path.push('…');
    }
}

/// Whether Go's `unicode.IsPrint` has it: letters, marks, numbers, punctuation, symbols, and of the blanks the plain one.
pub(crate) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // As text is escaped, behind another character: there a mark of its own stands as it is.
    String::from_iter(['a', c]).escape_debug().nth(1) != Some('\\')
}

/// A string quoted as Go's `%q` does.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if is_printable(c) => out.push(c),
            c => out.push_str(&match c as u32 {
                code @ ..0x80 => format!("\\x{code:02x}"),
                code @ ..0x10000 => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
        }
    }
    out.push('"');
    out
}

/// A value as field errors print it: strings quoted, everything else as JSON, null as Go's `null`.
fn show(value: &Value) -> String {
    match value {
        Value::String(text) => go_quote(text),
        other => other.to_string(),
    }
}

fn suffixed(head: &str, detail: &str) -> String {
    if detail.is_empty() {
        head.to_owned()
    } else {
        format!("{head}: {detail}")
    }
}

fn put(map: &mut Map, key: &'static str, text: &str) {
    if !text.is_empty() {
        map.insert(key, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn quotes_escape_what_cannot_be_printed() {
        for (text, want) in [
            (
                "a\u{e9}\u{301}\u{4e16}\u{1f600}",
                "\"a\u{e9}\u{301}\u{4e16}\u{1f600}\"",
            ),
            ("\u{301}", "\"\u{301}\""),
            ("\u{0}\u{7f}\u{85}\u{a0}", "\"\\x00\\x7f\\u0085\\u00a0\""),
            (
                "\u{200b}\u{2028}\u{e000}\u{e0001}",
                "\"\\u200b\\u2028\\ue000\\U000e0001\"",
            ),
        ] {
            assert_eq!(go_quote(text), want);
        }
    }

    #[test]
    fn b1_not_found_has_name_group_and_plural() {
        let status = Status::not_found("apps", "deployments", "web");
        assert_eq!(
            status.to_value(),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "deployments.apps \"web\" not found", "reason": "NotFound",
                "details": {"name": "web", "group": "apps", "kind": "deployments"}, "code": 404})
        );
    }

    #[test]
    fn b3_invalid_aggregates_and_dedups() {
        let cause = Cause::invalid("metadata.name", &json!("A"), "must be lower case");
        let one = Status::invalid("", "ConfigMap", "A", vec![cause.clone(), cause.clone()]);
        assert_eq!(
            one.message,
            "ConfigMap \"A\" is invalid: metadata.name: Invalid value: \"A\": must be lower case"
        );
        assert_eq!(one.details.as_ref().unwrap().causes.len(), 2);
        let two = Status::invalid("g", "W", "a", vec![cause, Cause::required("spec", "")]);
        assert!(two.message.ends_with("lower case, spec: Required value]"));
    }
}
