//! The AdmissionReview that goes out, and reading the one that comes back.
//!
//! Owns both shapes and the errors of bad answers. Does not own who is called when
//! (`admission::webhooks`).
//! Behaviour: apiserver `admission/plugin/webhook/request` (AD2, AD3, AD4, AD4a, AD5).

use super::Attributes;
use crate::auth::reviews::user_info;
use crate::json;
use crate::json::{Map, Value};
use crate::registry::Resource;
use crate::request::User;
use crate::schema::go;
use crate::server::WebhookReply;
use crate::status::{Cause, Status, go_quote};
use base64::Engine as _;

/// What a webhook said.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The request may go on.
    pub(super) allowed: bool,
    /// The status of a denial.
    pub(super) result: Value,
    /// The JSON patch, decoded; `None` if there is none.
    pub(super) patch: Option<Value>,
    /// Warnings for the client.
    pub(super) warnings: Vec<String>,
}

/// Why a call gave no verdict.
#[derive(Debug)]
pub(super) enum CallError {
    /// Counts against the failure policy.
    Failed(String),
    /// The request itself ran out of time.
    RequestTimeout,
}

/// The review version that a webhook is sent: the first known one it lists.
pub(super) fn review_version(hook: &Value) -> &'static str {
    let versions = hook.array_at(&["admissionReviewVersions"]).iter();
    for version in versions {
        match version.as_str() {
            Some("v1") => return "v1",
            Some("v1beta1") => return "v1beta1",
            _ => {}
        }
    }
    "v1"
}

fn kind_of(row: &Resource, subresource: &str) -> (String, String, String) {
    match row.subresource(subresource) {
        Some(sub) if !subresource.is_empty() => {
            let group_version = match &sub.group_version {
                Some(text) => text.as_str(),
                None => row.api_version(),
            };
            let (group, version) = crate::registry::split_api_version(group_version);
            (group.to_owned(), version.to_owned(), sub.kind.to_string())
        }
        _ => (
            row.group.to_string(),
            row.version.to_string(),
            row.kind.to_string(),
        ),
    }
}

fn gvk(row: &Resource, subresource: &str) -> Value {
    let (group, version, kind) = kind_of(row, subresource);
    json!({"group": group, "version": version, "kind": kind})
}

fn gvr(row: &Resource) -> Value {
    json!({"group": row.group.as_str(), "version": row.version.as_str(), "resource": row.plural.as_str()})
}

/// `request` of a review: what webhooks and expressions see. `seen` is the row of the
/// version it is seen in.
pub(super) fn request(
    attributes: &Attributes<'_>,
    seen: &Resource,
    user: &User,
    uid: &str,
    object: Option<Value>,
    old: Option<Value>,
) -> Value {
    let mut request = Map::new();
    request.insert("uid", uid);
    request.insert("kind", gvk(seen, attributes.subresource));
    request.insert("resource", gvr(seen));
    request.insert("requestKind", gvk(attributes.row, attributes.subresource));
    request.insert("requestResource", gvr(attributes.row));
    if !attributes.subresource.is_empty() {
        request.insert("subResource", attributes.subresource);
        request.insert("requestSubResource", attributes.subresource);
    }
    if !attributes.name.is_empty() {
        request.insert("name", attributes.name);
    }
    let namespace = if attributes.row.is("", "namespaces") {
        attributes.name
    } else {
        attributes.namespace
    };
    if !namespace.is_empty() {
        request.insert("namespace", namespace);
    }
    request.insert("operation", attributes.operation);
    request.insert("userInfo", user_info(user));
    request.insert("object", object.unwrap_or(Value::Null));
    request.insert("oldObject", old.unwrap_or(Value::Null));
    request.insert("dryRun", attributes.dry_run);
    let mut options = attributes.options.clone();
    // Patches are reviewed as updates (AD2a).
    if options.str_at(&["kind"]) == "PatchOptions" {
        let map = options.make_object();
        map.insert("kind", "UpdateOptions");
        map.remove("force");
    }
    request.insert("options", options);
    Value::Object(request)
}

/// The whole review.
pub(super) fn review(version: &str, request: Value) -> Value {
    json!({
        "kind": "AdmissionReview",
        "apiVersion": (format!("admission.k8s.io/{version}")),
        "request": request,
    })
}

/// Where a client configuration points, without the timeout.
pub(super) fn address(client: &Value) -> String {
    if let Some(url) = client.get("url").and_then(Value::as_str) {
        return url.to_owned();
    }
    let service = &client["service"];
    let port = service.i64_at(&["port"]).unwrap_or(443);
    let path = service.str_at(&["path"]);
    let path = path.strip_prefix('/').unwrap_or(path);
    format!(
        "https://{}.{}.svc:{port}/{path}",
        service.str_at(&["name"]),
        service.str_at(&["namespace"])
    )
}

/// Adds the timeout to an address.
pub(super) fn with_timeout(url: &str, seconds: i64) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}timeout={seconds}s")
}

/// The text of a failed call: what follows `failed calling webhook "n": `.
pub(super) fn transport_error(url: &str, reply: &WebhookReply) -> Option<String> {
    let post = |error: &str| format!("Post {}: {error}", go_quote(url));
    match reply {
        WebhookReply::TimedOut => Some(post("context deadline exceeded")),
        // Whoever carried the call may have named it already.
        WebhookReply::Failed(error) if error.starts_with("Post \"") => Some(error.clone()),
        WebhookReply::Failed(error) => Some(post(error)),
        WebhookReply::Answered { status, body } => http_error(*status, body),
    }
}

fn http_error(status: u16, body: &[u8]) -> Option<String> {
    if matches!(status, 200..=206) {
        return None;
    }
    if let Ok(value) = json::parse(body)
        && value.str_at(&["kind"]) == "Status"
        && value.str_at(&["apiVersion"]) == "v1"
    {
        return Some(value.str_at(&["message"]).to_owned());
    }
    Some(
        match status {
            400 => "the server rejected our request for an unknown reason",
            401 => "the server has asked for the client to provide credentials",
            403 => "unknown",
            404 => "the server could not find the requested resource",
            405 => "the server does not allow this method on the requested resource",
            406 => "the server was unable to respond with a content type that the client supports",
            409 => "the server reported a conflict",
            410 => "the server no longer has the requested version of the resource",
            415 => "the body of the request was in an unknown format",
            422 => "the server rejected our request due to an error in our request",
            429 => "the server has received too many requests and has asked us to try again later",
            503 => "the server is currently unable to handle the request",
            504 => "the server was unable to return a response in the time allotted, but may still be processing the request",
            500..=599 => {
                return Some(
                    "an error on the server (\"unknown\") has prevented the request from succeeding"
                        .to_owned(),
                );
            }
            _ => {
                return Some(format!(
                    "the server responded with the status code {status} but did not return more information"
                ));
            }
        }
        .to_owned(),
    )
}

/// Reads a reply that must be a review of this group and kind, in this version. What does not begin like a JSON object is
/// taken for YAML; kind and version that are left out count as those wanted.
pub(crate) fn decode_review(
    body: &[u8],
    (group, version, kind): (&str, &str, &str),
    shape: &Shape,
) -> Result<Value, String> {
    let wanted = format!("{group}/{version}");
    if body.is_empty() {
        return Err(
            "0-length response with status code: 200 and content type: application/json".to_owned(),
        );
    }
    let head = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    let value = if body.trim_ascii_start().starts_with(b"{") {
        json::parse(body).map_err(|error| {
            let why = error.message;
            format!("couldn't get version/kind; json parse error: {why}")
        })?
    } else {
        crate::yaml::parse(body)?.value
    };
    if !value.is_object() && !value.is_null() {
        return Err(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of type {head}",
            value.type_name()
        ));
    }
    let or = |given: &str, default: &str| match given {
        "" => default.to_owned(),
        given => given.to_owned(),
    };
    let given = or(value.str_at(&["apiVersion"]), &wanted);
    let given_kind = or(value.str_at(&["kind"]), kind);
    let known = ["v1", "v1beta1"]
        .into_iter()
        .find(|version| given.strip_prefix(group) == Some(&format!("/{version}")));
    match known {
        Some(known) if given_kind == kind && known == version => {}
        Some(known) if given_kind == kind => {
            return Err(format!(
                "converting ({known}.{kind}) to ({version}.{kind}): unknown conversion"
            ));
        }
        _ => {
            return Err(format!(
                "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
                go_quote(&given_kind),
                go_quote(&given)
            ));
        }
    }
    shape.check(&value, kind, "")?;
    Ok(value)
}

/// `GROUP/VERSION, Kind=KIND` of a review as it was answered.
pub(crate) fn answered_type(review: &Value) -> String {
    let (version, kind) = (review.str_at(&["apiVersion"]), review.str_at(&["kind"]));
    let slash = if version.contains('/') { "" } else { "/" };
    format!("{slash}{version}, Kind={kind}")
}

/// Reads the answer of a webhook.
pub(super) fn verdict(
    body: &[u8],
    version: &str,
    uid: &str,
    mutating: bool,
) -> Result<Verdict, String> {
    let called = |error: String| format!("failed to call webhook: {error}");
    let invalid = |error: String| format!("received invalid webhook response: {error}");
    let review = ("admission.k8s.io", version, "AdmissionReview");
    let value = decode_review(body, review, &REVIEW).map_err(called)?;
    let patch = decode_patch_bytes(&value).map_err(called)?;
    let response = &value["response"];
    if response.is_null() {
        return Err(invalid("webhook response was absent".to_owned()));
    }
    let wanted = format!("admission.k8s.io/{version}, Kind=AdmissionReview");
    let answered = answered_type(&value);
    if version == "v1" && answered != wanted {
        return Err(invalid(format!(
            "expected webhook response of {wanted}, got {answered}"
        )));
    }
    if version == "v1" && response.str_at(&["uid"]) != uid {
        return Err(invalid(format!(
            "expected response.uid={}, got {}",
            go_quote(uid),
            go_quote(response.str_at(&["uid"]))
        )));
    }
    let patch_type = response.get("patchType").filter(|value| !value.is_null());
    let patch_type = patch_type.and_then(Value::as_str);
    if version == "v1" {
        check_patch(mutating, patch.as_deref(), patch_type).map_err(invalid)?;
    }
    let warnings = response.array_at(&["warnings"]).iter();
    let allowed = response.get("allowed") == Some(&Value::Bool(true));
    let patch = match patch {
        Some(bytes) if mutating && allowed && !bytes.is_empty() => {
            Some(parse_patch(&bytes, patch_type)?)
        }
        _ => None,
    };
    Ok(Verdict {
        allowed,
        result: response.get("status").cloned().unwrap_or_default(),
        patch,
        warnings: warnings
            .filter_map(|text| Some(text.as_str()?.to_owned()))
            .collect(),
    })
}

/// The Go type of a field in a webhook's answer.
pub(crate) enum Shape {
    /// A string of this type.
    Text(&'static str),
    Flag,
    Int(&'static str),
    Texts,
    TextMap,
    /// A list of anything.
    Raws,
    /// A struct: its name (after the `v1.`) and fields.
    Struct(&'static str, &'static [(&'static str, Shape)]),
    /// A list of structs.
    List(&'static Shape),
}

use Shape::{Flag, Int, List, Raws, Struct, Text, TextMap, Texts};

const CAUSE: Shape = Struct(
    "StatusCause",
    &[
        ("reason", Text("v1.CauseType")),
        ("message", Text("string")),
        ("field", Text("string")),
    ],
);

const DETAILS: Shape = Struct(
    "StatusDetails",
    &[
        ("name", Text("string")),
        ("group", Text("string")),
        ("kind", Text("string")),
        ("uid", Text("types.UID")),
        ("causes", List(&CAUSE)),
        ("retryAfterSeconds", Int("int32")),
    ],
);

const LIST_META: Shape = Struct(
    "ListMeta",
    &[
        ("selfLink", Text("string")),
        ("resourceVersion", Text("string")),
        ("continue", Text("string")),
        ("remainingItemCount", Int("int64")),
    ],
);

const STATUS: Shape = Struct(
    "Status",
    &[
        ("kind", Text("string")),
        ("apiVersion", Text("string")),
        ("metadata", LIST_META),
        ("status", Text("string")),
        ("message", Text("string")),
        ("reason", Text("v1.StatusReason")),
        ("details", DETAILS),
        ("code", Int("int32")),
    ],
);

const REVIEW: Shape = Struct(
    "AdmissionReview",
    &[(
        "response",
        Struct(
            "AdmissionResponse",
            &[
                ("uid", Text("types.UID")),
                ("allowed", Flag),
                ("status", STATUS),
                ("patch", Text("[]uint8")),
                ("patchType", Text("v1.PatchType")),
                ("auditAnnotations", TextMap),
                ("warnings", Texts),
            ],
        ),
    )],
);

/// The answer of a conversion webhook.
pub(crate) const CONVERSION_REVIEW: Shape = Struct(
    "ConversionReview",
    &[(
        "response",
        Struct(
            "ConversionResponse",
            &[
                ("uid", Text("types.UID")),
                ("convertedObjects", Raws),
                ("result", STATUS),
            ],
        ),
    )],
);

impl Shape {
    fn name(&self) -> String {
        match self {
            Text(name) | Int(name) => (*name).to_owned(),
            Flag => "bool".to_owned(),
            Texts => "[]string".to_owned(),
            TextMap => "map[string]string".to_owned(),
            Raws => "[]runtime.RawExtension".to_owned(),
            Struct(name, _) => format!("v1.{name}"),
            List(item) => format!("[]{}", item.name()),
        }
    }

    /// The first value that does not fit, in Go's words: `owner` is the struct that `path` ends in.
    fn check(&self, value: &Value, owner: &str, path: &str) -> Result<(), String> {
        let wrong = |value: &Value, name: &str| {
            let word = go::value_word(value, matches!(self, Int(_)));
            Err(go::unmarshal_error(&word, owner, path, name))
        };
        match (self, value) {
            (_, Value::Null) | (Text(_), Value::String(_)) | (Flag, Value::Bool(_)) => Ok(()),
            (Int(_), value) if value.as_i64().is_some() => Ok(()),
            (Raws, Value::Array(_)) => Ok(()),
            (Struct(name, fields), Value::Object(map)) => {
                fields.iter().try_for_each(|(field, shape)| {
                    let path = match path {
                        "" => (*field).to_owned(),
                        path => format!("{path}.{field}"),
                    };
                    let value = map.get(field).unwrap_or(&Value::Null);
                    shape.check(value, name, &path)
                })
            }
            (List(item), Value::Array(items)) => items
                .iter()
                .try_for_each(|value| item.check(value, owner, path)),
            (Texts, Value::Array(items)) => items
                .iter()
                .find(|item| !(item.is_string() || item.is_null()))
                .map_or(Ok(()), |item| wrong(item, "string")),
            (TextMap, Value::Object(map)) => map
                .values()
                .find(|item| !(item.is_string() || item.is_null()))
                .map_or(Ok(()), |item| wrong(item, "string")),
            (shape, value) => wrong(value, &shape.name()),
        }
    }
}

fn decode_patch_bytes(value: &Value) -> Result<Option<Vec<u8>>, String> {
    let Some(text) = value.at(&["response", "patch"]).and_then(Value::as_str) else {
        return Ok(None);
    };
    let engine = base64::engine::general_purpose::STANDARD;
    match engine.decode(text) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) => {
            let bad = text
                .bytes()
                .position(|b| !(b.is_ascii_alphanumeric() || b"+/=".contains(&b)))
                .unwrap_or(text.len() / 4 * 4);
            Err(format!("illegal base64 data at input byte {bad}"))
        }
    }
}

fn check_patch(
    mutating: bool,
    patch: Option<&[u8]>,
    patch_type: Option<&str>,
) -> Result<(), String> {
    let has_patch = patch.is_some_and(|patch| !patch.is_empty());
    if !mutating {
        if has_patch {
            return Err("validating webhook may not return response.patch".to_owned());
        }
        if patch_type.is_some() {
            return Err("validating webhook may not return response.patchType".to_owned());
        }
        return Ok(());
    }
    match (has_patch, patch_type) {
        (true, None) => {
            Err("webhook returned response.patch but not response.patchType".to_owned())
        }
        (false, Some(ty)) if !ty.is_empty() => {
            Err("webhook returned response.patchType but not response.patch".to_owned())
        }
        (_, Some("")) => Err(format!(
            "webhook returned invalid response.patchType of {}",
            go_quote("")
        )),
        _ => Ok(()),
    }
}

fn parse_patch(bytes: &[u8], patch_type: Option<&str>) -> Result<Value, String> {
    match patch_type {
        None | Some("JSONPatch") => {}
        Some(other) => return Err(format!("unsupported patch type {}", go_quote(other))),
    }
    let undecodable =
        |error: String| format!("received undecodable patch in webhook response: {error}");
    let value = json::parse(bytes).map_err(|error| undecodable(error.message.to_string()))?;
    match value {
        Value::Null => Ok(Value::Array(Vec::new())),
        Value::Array(_) => Ok(value),
        other => Err(undecodable(format!(
            "json: cannot unmarshal {} into Go value of type jsonpatch.Patch",
            other.type_name()
        ))),
    }
}

/// The answer to a request that a webhook denied (AD3).
pub(super) fn denial(name: &str, result: &Value) -> Status {
    let code = result.i64_at(&["code"]).unwrap_or(0);
    let code = u16::try_from(code)
        .ok()
        .filter(|code| *code >= 400)
        .unwrap_or(400);
    let reason = result.str_at(&["reason"]).to_owned();
    let head = format!("admission webhook {} denied the request", go_quote(name));
    let message = match (result.str_at(&["message"]), reason.as_str()) {
        ("", "") => format!("{head} without explanation"),
        ("", reason) => format!("{head}: {reason}"),
        (message, _) => format!("{head}: {message}"),
    };
    let mut status = Status::failure(code, reason, message);
    if let Some(details) = result.get("details").filter(|details| details.is_object()) {
        let text = |key: &str| details.str_at(&[key]).to_owned();
        let target = status.details_mut();
        target.name = text("name");
        target.group = text("group");
        target.kind = text("kind");
        target.uid = text("uid");
        let seconds = details.i64_at(&["retryAfterSeconds"]).unwrap_or(0);
        target.retry_after_seconds = u32::try_from(seconds).unwrap_or(0);
        for cause in details.array_at(&["causes"]) {
            target.causes.push(Cause::new(
                cause.str_at(&["reason"]).to_owned(),
                cause.str_at(&["field"]),
                cause.str_at(&["message"]),
            ));
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, want: &str) {
        let got = verdict(body.as_bytes(), "v1", "u", true);
        assert_eq!(got.err().unwrap_or_default(), want, "{body}");
    }

    #[test]
    fn ad4a_answers_that_are_none() {
        let response = r#""response": {"uid": "u", "allowed": true}"#;
        check(
            &format!(
                r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", {response}}}"#
            ),
            "",
        );
        let wanted = "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got";
        check(&format!("{{{response}}}"), &format!("{wanted} /, Kind="));
        check(
            &format!(r#"{{"apiVersion": "admission.k8s.io/v1", {response}}}"#),
            &format!("{wanted} admission.k8s.io/v1, Kind="),
        );
        check(
            &format!(r#"{{"kind": "AdmissionReview", {response}}}"#),
            &format!("{wanted} /, Kind=AdmissionReview"),
        );
        check(
            "apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\nresponse: {uid: u, allowed: true}\n",
            "",
        );
    }

    #[test]
    fn ad4a_fields_of_other_types() {
        let check = |response: &str, want: &str| {
            let body = format!(
                r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {response}}}"#
            );
            let want = format!("failed to call webhook: json: cannot unmarshal {want}");
            self::check(&body, &want);
        };
        check(
            r#""x""#,
            "string into Go struct field AdmissionReview.response of type v1.AdmissionResponse",
        );
        check(
            r#"{"status": "no"}"#,
            "string into Go struct field AdmissionResponse.response.status of type v1.Status",
        );
        check(
            r#"{"status": {"code": "1"}}"#,
            "string into Go struct field Status.response.status.code of type int32",
        );
        check(
            r#"{"warnings": [1]}"#,
            "number into Go struct field AdmissionResponse.response.warnings of type string",
        );
        check(
            r#"{"status": {"details": {"causes": [{"field": true}]}}}"#,
            "bool into Go struct field StatusCause.response.status.details.causes.field of type string",
        );
    }
}
