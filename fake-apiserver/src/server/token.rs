//! `serviceaccounts/token`: a TokenRequest answered, nothing stored (S6).
//!
//! Simplified: the token has the shape of a JWT and is signed by nobody; it is not known as a bearer token.

use std::sync::Arc;

use super::{Answer, Halt, Session, access, body, managed};
use crate::json::Value;
use crate::registry::{Resource, split_api_version};
use crate::request::WriteOptions;
use crate::schema::Schemas;
use crate::status::{Cause, Status, go_quote};
use crate::time::Timestamp;

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";
const API_VERSION: &str = "authentication.k8s.io/v1";
/// Whom tokens are for unless the request says otherwise.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// POST of a TokenRequest.
pub(super) fn create(s: &mut Session<'_>, row: Arc<Resource>) -> Result<Answer, Halt> {
    let options = WriteOptions::read(&s.request.query, "CreateOptions")?;
    let mut request = body::part(s, &row, options.field_validation)?;
    let Some(schema) = Schemas::builtin().kind(GROUP, "v1", KIND) else {
        return Err(Status::path_not_found().into());
    };
    if request.i64_at(&["spec", "expirationSeconds"]).is_none() {
        request.set(&["spec", "expirationSeconds"], 3600);
    }
    let manager = options.manager(s.request.header(http::header::USER_AGENT));
    managed::track_created(s, schema, API_VERSION, "token", &mut request, &manager);
    let name = s.request.info.name.clone();
    let namespace = s.request.info.namespace.clone();
    body::check_namespace(&row, &namespace, &mut request)?;
    if request.at(&["spec", "boundObjectRef"]).is_none() {
        request.set(&["spec", "boundObjectRef"], Value::Null);
    }
    clear_status(&mut request);
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
    let said = request.str_at(&["metadata", "name"]).to_owned();
    if !said.is_empty() && said != name {
        let why = "must match the service account name if specified";
        let cause = Cause::invalid("metadata.name", &said.into(), why);
        return Err(invalid(&name, cause).into());
    }
    let account = super::update::live(s, &row);
    let account = account.ok_or_else(|| Status::not_found("", "serviceaccounts", &name))?;
    let said = request.str_at(&["metadata", "uid"]);
    if !said.is_empty() && said != account.uid() {
        let why = format!(
            "the UID in the token request ({said}) does not match the UID of the service account ({})",
            account.uid()
        );
        return Err(Status::conflict(GROUP, KIND, &name, &why).into());
    }
    if request.array_at(&["spec", "audiences"]).is_empty() {
        request.set(&["spec", "audiences"], vec![Value::from(ISSUER)]);
    }
    request.set(&["metadata", "name"], name.as_str());
    request.set(&["metadata", "uid"], account.uid());
    request.set(&["metadata", "creationTimestamp"], s.now.rfc3339());
    clear_status(&mut request);
    let seconds = request.i64_at(&["spec", "expirationSeconds"]).unwrap_or(0);
    let why = match seconds {
        ..600 => "may not specify a duration less than 10 minutes",
        600..=4_294_967_296 => "",
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    if !why.is_empty() {
        let cause = Cause::invalid("spec.expirationSeconds", &seconds.into(), why);
        return Err(invalid("", cause).into());
    }
    super::access::validate(s, &attributes, Some(&request))?;
    bound_object(s, &request["spec"]["boundObjectRef"], &namespace, &name)?;
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

fn invalid(name: &str, cause: Cause) -> Status {
    Status::invalid(GROUP, KIND, name, vec![cause])
}

fn clear_status(request: &mut Value) {
    request.set(&["status", "expirationTimestamp"], Value::Null);
    request.set(&["status", "token"], "");
}

// A token may live as long as another object does, which must be there and be the account's.
fn bound_object(
    s: &Session<'_>,
    reference: &Value,
    namespace: &str,
    account: &str,
) -> Result<(), Status> {
    if !reference.is_object() {
        return Ok(());
    }
    let (api_version, kind) = (
        reference.str_at(&["apiVersion"]),
        reference.str_at(&["kind"]),
    );
    let (group, version) = split_api_version(api_version);
    let plural = match (group, kind) {
        ("", "Pod") => "pods",
        ("", "Node") => "nodes",
        ("", "Secret") => "secrets",
        _ => {
            return Err(Status::bad_request(format!(
                "cannot bind token to object of type {group}/{version}, Kind={kind}"
            )));
        }
    };
    let name = reference.str_at(&["name"]);
    let row = s.core.row_of_kind("v1", kind);
    let found = row.and_then(|row| s.core.object(&row, namespace, name));
    let object = found.ok_or_else(|| Status::not_found("", plural, name))?;
    let runs_as = object.value().str_at(&["spec", "serviceAccountName"]);
    if kind == "Pod" && runs_as != account {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {} to pod running with different serviceaccount name.",
            go_quote(account)
        )));
    }
    let uid = reference.str_at(&["uid"]);
    if !uid.is_empty() && uid != object.uid() {
        return Err(Status::conflict(
            group,
            kind,
            name,
            &format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            ),
        ));
    }
    Ok(())
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
