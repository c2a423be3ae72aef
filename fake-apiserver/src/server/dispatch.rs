//! From a request to its verb: access, routing errors, media types, and from the verb's result to an output.

use std::sync::Arc;

use http::{Method, Response};

use super::{Answer, Halt, Output, Session, WatchId, access, answer, create, delete};
use super::{patch, read, subresource, update, watch};
use crate::registry::Resource;
use crate::request::Accept;
use crate::request::media::{Encoding, Form};
use crate::status::Status;
use crate::table::IncludeObject;
use crate::time::{Timestamp, parse_duration};

/// Media types of a watch (W1).
const STREAMS: &str =
    "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

/// Largest request body (B12).
const BODY_MAX: usize = 3 << 20;

/// Runs a request and makes its output; only waits and calls come back as `Err`.
pub(super) fn answer(s: &mut Session<'_>, now: Timestamp) -> Result<Output, Halt> {
    let mut accept = Accept::lenient(s.request.header(http::header::ACCEPT));
    let result = match run(s, &mut accept, now) {
        Ok(answer) => answer,
        Err(Halt::Failed(status)) => Answer::Status(status),
        Err(halt) => return Err(halt),
    };
    if let Answer::Watching = result {
        let mut head = Response::builder()
            .status(200)
            .header("content-type", answer::stream_type(&accept));
        for warning in s.attempt.warnings.headers() {
            head = head.header("warning", warning);
        }
        return Ok(Output::Opened {
            id: s.id,
            watch: WatchId(s.id.0),
            head: head.body(()).unwrap_or_default(),
        });
    }
    let request = s.request;
    let pretty = request.query.get("pretty");
    let agent = request.header(http::header::USER_AGENT);
    accept.pretty = Accept::wants_pretty(request.header(http::header::ACCEPT), pretty, agent);
    // Errors are written as the client asked, but never transformed.
    if matches!(&result, Answer::Status(_)) {
        accept.form = Form::Plain;
    }
    let warnings = s.attempt.warnings.headers();
    let mut response = answer::respond(result, &accept, &warnings, now);
    if !s.request.path.starts_with("/openapi/v3") {
        answer::compress(
            &mut response,
            s.request.header(http::header::ACCEPT_ENCODING),
        );
    }
    if s.request.method == Method::HEAD {
        *response.body_mut() = bytes::Bytes::new();
    }
    Ok(Output::Reply { id: s.id, response })
}

fn run(s: &mut Session<'_>, accept: &mut Accept, now: Timestamp) -> Result<Answer, Halt> {
    let expected = s.request.header(http::header::EXPECT);
    if !expected.is_empty() && !expected.eq_ignore_ascii_case("100-continue") {
        // A18: Go's HTTP server refuses it before any handler sees it.
        return Ok(Answer::Raw {
            code: 417,
            content_type: "",
            headers: Vec::new(),
            body: bytes::Bytes::new(),
        });
    }
    access::authenticate(s)?;
    access::authorize(s)?;
    check_timeout(s)?;
    let request = s.request;
    let info = &request.info;
    if !info.is_resource {
        let registry = &s.core.registry;
        return Ok(crate::discovery::answer(registry, request)?);
    }
    if info.resource == "watch" && !info.name_in_path {
        return Err(no_kind(&request.path).into());
    }
    let Some(row) = find(s) else {
        return Err(no_route(s).into());
    };
    match Accept::negotiate(request.header(http::header::ACCEPT), row.is_custom()) {
        Ok(negotiated) => *accept = negotiated,
        Err(mut status) => {
            if info.verb == "watch" && status.message.contains("Available representations") {
                status.message.push_str(", ");
                status.message.push_str(STREAMS);
            }
            return Err(status.into());
        }
    }
    if info.verb == "watch" && accept.encoding == Encoding::Yaml {
        let message = format!("only the following media types are accepted: {STREAMS}");
        return Err(Status::not_acceptable(message).into());
    }
    if matches!(accept.form, Form::Table(_)) {
        let include = IncludeObject::parse(request.query.text("includeObject"));
        accept.include = include.map_err(Status::bad_request)?;
    }
    if row.namespaced != info.namespace_in_path && !all_namespaces(s, &row) {
        return Err(no_route(s).into());
    }
    check_names(s, &row)?;
    check_verb(s, &row)?;
    if request.body.len() > BODY_MAX {
        return Err(Status::too_large(format!("limit is {BODY_MAX}")).into());
    }
    if !info.subresource.is_empty() {
        return subresource::dispatch(s, row, now);
    }
    if let Some(warning) = deprecation(&row) {
        s.warn(warning);
    }
    match info.verb.as_str() {
        "get" => read::get(s, row),
        "list" => read::list(s, row),
        "watch" => watch::open(s, row, accept.clone(), now),
        "create" => create::create(s, row),
        "update" => update::update(s, row, ""),
        "patch" => patch::patch(s, row, ""),
        "delete" => delete::delete(s, row),
        "deletecollection" => delete::delete_collection(s, row),
        _ => Err(Status::method_not_allowed().into()),
    }
}

/// A9: the old prefix alone says nothing.
fn no_kind(path: &str) -> Status {
    let mut status = Status::failure(
        500,
        "",
        format!(
            "Internal Server Error: {}: failed to create RequestInfo: unable to determine kind and namespace from url, {path}\n",
            crate::status::go_quote(path)
        ),
    );
    status.text = true;
    status
}

/// A15, A16: names that cannot stand in a path, and a parameter that is no more.
fn check_names(s: &Session<'_>, row: &Resource) -> Result<(), Status> {
    let info = &s.request.info;
    if info.watch_prefix && !info.subresource.is_empty() {
        return Err(Status::path_not_found());
    }
    if row.is_custom() || !info.name_in_path {
        return Ok(());
    }
    if !row.verbs.has("get") && row.subresource(&info.subresource).is_none() {
        return Err(Status::path_not_found());
    }
    let name = info.name.as_str();
    let why = match name {
        "." | ".." => format!("may not be '{name}'"),
        _ if name.contains('%') => "may not contain '%'".to_owned(),
        _ => String::new(),
    };
    if !why.is_empty() {
        let quoted = crate::status::go_quote(name);
        return Err(Status::bad_request(format!(
            "Name parameter invalid: {quoted}: {why}"
        )));
    }
    if info.verb == "get" && s.request.query.flag("export") == Some(true) {
        let why = "the export parameter, deprecated since v1.14, is no longer supported";
        return Err(Status::bad_request(why));
    }
    Ok(())
}

/// D13: a bad `timeout` is refused for everything but watches.
fn check_timeout(s: &Session<'_>) -> Result<(), Status> {
    let text = s.request.query.text("timeout");
    if text.is_empty() || s.request.info.verb == "watch" {
        return Ok(());
    }
    parse_duration(text).map(drop).map_err(|why| {
        Status::bad_request(format!(
            "invalid timeout specified in the request URL - {why}"
        ))
    })
}

fn find(s: &Session<'_>) -> Option<Arc<Resource>> {
    let info = &s.request.info;
    if info.broken {
        return None;
    }
    let row = s
        .core
        .registry
        .find(&info.group, &info.version, &info.resource)?;
    let core = info.prefix == "api";
    (core == row.group.is_empty()).then(|| row.clone())
}

/// A namespaced resource may be listed and watched over all namespaces, and a Namespace's own path carries its name twice.
fn all_namespaces(s: &Session<'_>, row: &Resource) -> bool {
    let info = &s.request.info;
    row.namespaced && !info.namespace_in_path && !info.name_in_path && {
        let custom = row.is_custom();
        match info.verb.as_str() {
            "list" | "watch" => true,
            // The router of built-ins knows the path and refuses the method; a custom resource has no such path.
            "create" | "deletecollection" | "update" | "patch" => !custom,
            _ => false,
        }
    } || (row.namespaced && info.watch_prefix && !info.name_in_path)
}

fn no_route(s: &Session<'_>) -> Status {
    let info = &s.request.info;
    let known = info.prefix == "api" || s.core.registry.is_builtin_group(&info.group);
    if known {
        Status::path_not_found()
    } else {
        Status::page_not_found()
    }
}

/// A8, B9: methods the resource does not have.
fn check_verb(s: &Session<'_>, row: &Resource) -> Result<(), Status> {
    let info = &s.request.info;
    let verb = info.verb.as_str();
    if !info.subresource.is_empty() {
        return Ok(());
    }
    if row.is_custom() {
        return match verb {
            "" => Err(Status::verb_not_supported(&row.group, &row.plural, "")),
            "update" | "patch" if !info.name_in_path => {
                Err(Status::bad_request("name must be provided"))
            }
            _ => Ok(()),
        };
    }
    if verb == "watch" && row.verbs.has("list") && !row.verbs.has("watch") {
        return Err(Status::verb_not_supported(&row.group, &row.plural, verb));
    }
    let method = &s.request.method;
    let by_name = matches!(verb, "update" | "patch");
    let misplaced = (info.watch_prefix && verb != "watch")
        || (by_name && !info.name_in_path)
        || (verb == "create" && info.name_in_path)
        || (row.namespaced && !info.namespace_in_path && !matches!(verb, "list" | "watch" | "get"));
    if *method == Method::HEAD || misplaced || !row.verbs.has(verb) {
        return Err(Status::method_not_allowed());
    }
    Ok(())
}

/// Warnings every request to a deprecated API gets.
fn deprecation(row: &Resource) -> Option<String> {
    if row.is("", "endpoints") {
        let text = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
        return Some(text.to_owned());
    }
    if row.is("", "componentstatuses") {
        return Some("v1 ComponentStatus is deprecated in v1.19+".to_owned());
    }
    row.custom.as_ref()?.deprecation_warning.clone()
}
