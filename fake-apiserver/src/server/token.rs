//! `serviceaccounts/token`: a TokenRequest answered, nothing stored (S6).
//!
//! Simplified: the token has the shape of a JWT and is signed by nobody; it is not known as a bearer token.

use std::sync::Arc;

use super::{Answer, Halt, Session, access, body, managed, type_meta};
use crate::json::Value;
use crate::registry::Resource;
use crate::request::WriteOptions;
use crate::request::media::body_type;
use crate::schema::{self, Schemas};
use crate::status::{Cause, Status};
use crate::time::Timestamp;

const API_VERSION: &str = "authentication.k8s.io/v1";
/// Whom tokens are for unless the request says otherwise.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// POST of a TokenRequest.
pub(super) fn create(s: &mut Session<'_>, row: Arc<Resource>) -> Result<Answer, Halt> {
    let options = WriteOptions::read(&s.request.query, "CreateOptions")?;
    let encoding = body_type(s.request.header(http::header::CONTENT_TYPE))?;
    let sent = body::parse(&s.request.body, encoding, &row)?.value;
    let (kind, _) = type_meta::read(&sent).map_err(Status::bad_request)?;
    if !(kind.is_empty() || kind == "TokenRequest") {
        let why = type_meta::not_registered(kind, API_VERSION);
        return Err(Status::bad_request(why).into());
    }
    let Some(schema) = Schemas::builtin().kind("authentication.k8s.io", "v1", "TokenRequest")
    else {
        return Err(Status::path_not_found().into());
    };
    let decoded = schema::decode(schema, sent).map_err(|why| {
        Status::bad_request(format!(
            "TokenRequest in version \"v1\" cannot be handled as a TokenRequest: {why}"
        ))
    })?;
    let mut request = decoded.value;
    if request.i64_at(&["spec", "expirationSeconds"]).is_none() {
        request.set(&["spec", "expirationSeconds"], 3600);
    }
    request.set(&["kind"], "TokenRequest");
    request.set(&["apiVersion"], API_VERSION);
    let manager = options.manager(s.request.header(http::header::USER_AGENT));
    managed::track_created(s, schema, API_VERSION, "token", &mut request, &manager);
    let account = super::update::live(s, &row);
    let name = s.request.info.name.clone();
    let account = account.ok_or_else(|| Status::not_found("", "serviceaccounts", &name))?;
    let seconds = request.i64_at(&["spec", "expirationSeconds"]).unwrap_or(0);
    let why = match seconds {
        ..600 => "may not specify a duration less than 10 minutes",
        600..=4_294_967_296 => "",
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    if !why.is_empty() {
        let cause = Cause::invalid("spec.expirationSeconds", &seconds.into(), why);
        return Err(
            Status::invalid("authentication.k8s.io", "TokenRequest", "", vec![cause]).into(),
        );
    }
    if request.array_at(&["spec", "audiences"]).is_empty() {
        request.set(&["spec", "audiences"], vec![Value::from(ISSUER)]);
    }
    if request.at(&["spec", "boundObjectRef"]).is_none() {
        request.set(&["spec", "boundObjectRef"], Value::Null);
    }
    let namespace = account.namespace().to_owned();
    request.set(&["metadata", "namespace"], namespace.as_str());
    request.set(&["status", "expirationTimestamp"], Value::Null);
    request.set(&["status", "token"], "");
    let sent_options = access::sent_options(s, &options, "CreateOptions");
    let attributes = super::Attributes {
        operation: "CREATE",
        row: &row,
        subresource: "token",
        namespace: &namespace,
        name: &name,
        old: None,
        options: &sent_options,
        dry_run: options.dry_run,
    };
    super::access::mutate(s, &attributes, &mut request)?;
    request.set(&["metadata", "name"], name.as_str());
    request.set(&["metadata", "uid"], account.uid());
    request.set(&["metadata", "creationTimestamp"], s.now.rfc3339());
    super::access::validate(s, &attributes, Some(&request))?;
    let expires = Timestamp::from_seconds(s.now.seconds() + seconds);
    request.set(&["status", "expirationTimestamp"], expires.rfc3339());
    request.set(
        &["status", "token"],
        token(account.namespace(), &name, expires).as_str(),
    );
    Ok(Answer::Value {
        row,
        value: request,
        code: 201,
    })
}

fn token(namespace: &str, name: &str, expires: Timestamp) -> String {
    use base64::Engine as _;
    let part = |value: Value| {
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(crate::json::to_vec(&value))
    };
    let header = crate::json!({"alg": "none", "typ": "JWT"});
    let claims = crate::json!({"iss": ISSUER, "sub": format!("system:serviceaccount:{namespace}:{name}"), "exp": expires.seconds()});
    format!("{}.{}.", part(header), part(claims))
}
