//! Answers, and how they become HTTP responses.
//!
//! Owns putting stored bytes together (objects are not serialised again), headers and warnings. Transformed forms (tables,
//! partial metadata, YAML) are made from the parsed value.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::create::from_storage;
use crate::json::{self, Map, Value};
use crate::protobuf;
use crate::registry::Resource;
use crate::request::Accept;
use crate::request::media::{Encoding, Form};
use crate::status::Status;
use crate::store::{Object, itoa};
use crate::table::{self, Printer};
use crate::time::Timestamp;

/// What every answer says to caches unless it says something else.
const UNCACHED: &str = "no-cache, private";

/// What a verb answers.
#[derive(Debug)]
pub enum Answer {
    /// A stored object.
    Stored {
        /// The row it is served as.
        row: Arc<Resource>,
        /// The object.
        object: Arc<Object>,
        /// HTTP status.
        code: u16,
    },
    /// An object that is not stored as such (dry run, reviews, scales).
    Value {
        /// The row it belongs to.
        row: Arc<Resource>,
        /// The object, with apiVersion and kind.
        value: Value,
        /// HTTP status.
        code: u16,
    },
    /// A list.
    List(ListAnswer),
    /// A Status, failed or not.
    Status(Status),
    /// Bytes as they are (discovery, health).
    Raw {
        /// HTTP status.
        code: u16,
        /// Content-Type.
        content_type: &'static str,
        /// Further headers.
        headers: Vec<(&'static str, String)>,
        /// Body.
        body: Bytes,
    },
    /// A watch has been opened.
    Watching,
}

/// A list of stored objects.
#[derive(Debug)]
pub struct ListAnswer {
    /// The row they are served as.
    pub row: Arc<Resource>,
    /// The objects, in key order.
    pub items: Vec<Arc<Object>>,
    /// The list's resourceVersion.
    pub revision: u64,
    /// The token of the next page, "" = none.
    pub token: String,
    /// How many follow, where that is known.
    pub remaining: Option<i64>,
}

impl ListAnswer {
    fn metadata(&self) -> Value {
        let mut metadata = Map::new();
        metadata.insert("resourceVersion", itoa(self.revision));
        if !self.token.is_empty() || self.row.is_custom() {
            metadata.insert("continue", &self.token);
        }
        if let Some(remaining) = self.remaining {
            metadata.insert("remainingItemCount", remaining);
        }
        Value::Object(metadata)
    }
}

/// Turns an answer into a response.
pub(super) fn respond(
    answer: Answer,
    accept: &Accept,
    warnings: &[String],
    now: Timestamp,
) -> Response<Bytes> {
    let plain = accept.is_plain();
    let (code, body) = match answer {
        Answer::Stored { row, object, code } if plain => (code, object_bytes(&row, &object)),
        Answer::List(list) if plain => (200, list_bytes(&list)),
        Answer::Status(status) => return status_response(&status, accept, warnings),
        Answer::Raw {
            code,
            content_type,
            headers,
            body,
        } => return raw(code, content_type, &headers, warnings, body),
        Answer::Stored { row, object, code } => {
            let value = served(&row, &from_storage(&row, &object));
            let shaped = transform(&row, value, accept, true, now);
            match shaped.and_then(|value| write(&value, accept)) {
                Ok(body) => (code, body),
                Err(status) => return status_response(&status, accept, warnings),
            }
        }
        Answer::Value { row, value, code } => {
            let shaped = transform(&row, value, accept, true, now);
            match shaped.and_then(|value| write(&value, accept)) {
                Ok(body) => (code, body),
                Err(status) => return status_response(&status, accept, warnings),
            }
        }
        Answer::List(list) => {
            let shaped = transform_list(&list, accept, now);
            match shaped.and_then(|value| write(&value, accept)) {
                Ok(body) => (200, body),
                Err(status) => return status_response(&status, accept, warnings),
            }
        }
        Answer::Watching => unreachable!("an opened watch has no body"),
    };
    raw(code, content_type(accept), &[], warnings, body)
}

fn content_type(accept: &Accept) -> &'static str {
    match accept.encoding {
        Encoding::Json => "application/json",
        Encoding::Yaml => "application/yaml",
        Encoding::Protobuf => "application/vnd.kubernetes.protobuf",
    }
}

fn raw(
    code: u16,
    content_type: &'static str,
    headers: &[(&'static str, String)],
    warnings: &[String],
    body: Bytes,
) -> Response<Bytes> {
    if headers.is_empty() && warnings.is_empty() && !content_type.is_empty() {
        // Nearly every answer, put together without a builder.
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(UNCACHED));
        return response;
    }
    let mut builder = Response::builder().status(code);
    if !content_type.is_empty() {
        let content_type = HeaderValue::from_static(content_type);
        builder = builder.header(header::CONTENT_TYPE, content_type);
    }
    for (name, value) in headers {
        builder = builder.header(*name, value);
    }
    if !headers.iter().any(|(name, _)| *name == "cache-control") {
        let uncached = HeaderValue::from_static(UNCACHED);
        builder = builder.header(header::CACHE_CONTROL, uncached);
    }
    for warning in warnings {
        builder = builder.header("warning", warning);
    }
    // A header that cannot be written is the fault of a hostile text in it; the answer counts more than the header.
    builder
        .body(body)
        .unwrap_or_else(|_| Response::new(Bytes::new()))
}

fn status_response(status: &Status, accept: &Accept, warnings: &[String]) -> Response<Bytes> {
    if status.text {
        let body = status.message.clone().into_bytes().into();
        return raw(
            status.code,
            "text/plain; charset=utf-8",
            &[],
            warnings,
            body,
        );
    }
    let mut headers = Vec::new();
    if status.retry_after_seconds() > 0 {
        headers.push(("retry-after", status.retry_after_seconds().to_string()));
    }
    // A Status has a form in every encoding.
    let body = write(&status.to_value(), accept).unwrap_or_default();
    raw(status.code, content_type(accept), &headers, warnings, body)
}

/// A failure in plain JSON.
pub(super) fn plain_failure(status: &Status) -> Response<Bytes> {
    status_response(status, &Accept::default(), &[])
}

fn write(value: &Value, accept: &Accept) -> Result<Bytes, Status> {
    let mut out = Vec::new();
    match accept.encoding {
        Encoding::Protobuf => {
            return match protobuf::encode(value) {
                Some(bytes) => Ok(bytes.into()),
                None => Err(Status::not_acceptable(format!(
                    "object {} cannot be encoded to a protobuf message",
                    value.str_at(&["kind"])
                ))),
            };
        }
        Encoding::Yaml => return Ok(crate::yaml::to_string(value).into_bytes().into()),
        Encoding::Json if accept.pretty => json::write_pretty(value, &mut out),
        Encoding::Json => json::write(value, &mut out),
    }
    out.push(b'\n');
    Ok(out.into())
}

/// An object as served: `apiVersion` and `kind` of the row.
pub(super) fn served(row: &Resource, value: &Value) -> Value {
    let mut value = value.clone();
    row.set_type(&mut value);
    value
}

/// Appends an object as JSON.
pub(super) fn push_object(row: &Resource, object: &Object, out: &mut Vec<u8>) {
    out.push(b'{');
    out.extend_from_slice(&row.type_head);
    push_tail(row, object, out);
}

// What follows the type; the stored bytes, unless the row has another shape.
fn push_tail(row: &Resource, object: &Object, out: &mut Vec<u8>) {
    if row.reshapes() {
        let value = from_storage(row, object);
        out.extend_from_slice(&crate::store::tail_of(&value));
    } else {
        out.extend_from_slice(object.tail());
    }
}

fn object_bytes(row: &Resource, object: &Object) -> Bytes {
    let mut out = Vec::with_capacity(row.type_head.len() + object.tail().len() + 2);
    push_object(row, object, &mut out);
    out.push(b'\n');
    out.into()
}

fn list_bytes(list: &ListAnswer) -> Bytes {
    let row = &list.row;
    let custom = row.is_custom();
    let size: usize = list.items.iter().map(|item| item.tail().len() + 1).sum();
    let heads = if custom { row.type_head.len() } else { 0 };
    let mut out = Vec::with_capacity(size + list.items.len() * heads + 256);
    out.extend_from_slice(b"{\"kind\":");
    json::write_string(&row.list_kind, &mut out);
    out.extend_from_slice(b",\"apiVersion\":");
    json::write_string(row.api_version(), &mut out);
    out.extend_from_slice(b",\"metadata\":");
    json::write(&list.metadata(), &mut out);
    out.extend_from_slice(b",\"items\":[");
    for (i, item) in list.items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        if custom {
            push_object(row, item, &mut out);
        } else {
            // A14: items of built-in lists carry no type.
            let at = out.len();
            push_tail(row, item, &mut out);
            // The tail begins with the comma that follows the type, or is the closing brace alone.
            match out[at] {
                b',' => out[at] = b'{',
                _ => out.insert(at, b'{'),
            }
        }
    }
    out.extend_from_slice(b"]}\n");
    out.into()
}

/// H13: an object in another form.
fn transform(
    row: &Resource,
    value: Value,
    accept: &Accept,
    with_columns: bool,
    now: Timestamp,
) -> Result<Value, Status> {
    match &accept.form {
        Form::Plain => Ok(value),
        Form::Metadata(version) => Ok(table::partial(&value, version)),
        Form::MetadataList(_) => Err(Status::not_acceptable(format!(
            "you requested PartialObjectMetadataList, but the requested object is not a list ({})",
            go_type(row, "")
        ))),
        Form::Table(version) => {
            let mut metadata = Map::new();
            if let Some(revision) = value.at(&["metadata", "resourceVersion"]) {
                metadata.insert("resourceVersion", revision);
            }
            // What a subresource answers with (Scale, TokenRequest) is shown as what it is.
            let (group, kind) = match row.is_custom() {
                true => (row.group.as_str(), row.kind.as_str()),
                false => (
                    group_of(value.str_at(&["apiVersion"])),
                    value.str_at(&["kind"]),
                ),
            };
            let custom = row.custom.as_ref().map(|custom| &custom.version);
            let printer = Printer::new(group, kind, custom, version, accept.include);
            Ok(printer.table([&value], Value::Object(metadata), with_columns, now))
        }
    }
}

/// H13: a list in another form.
fn transform_list(list: &ListAnswer, accept: &Accept, now: Timestamp) -> Result<Value, Status> {
    let row = &list.row;
    let shaped: Vec<Value>;
    let items: Vec<&Value> = if row.reshapes() {
        shaped = list
            .items
            .iter()
            .map(|item| from_storage(row, item))
            .collect();
        shaped.iter().collect()
    } else {
        list.items.iter().map(|item| item.value()).collect()
    };
    let items = items.into_iter();
    match &accept.form {
        Form::Plain => {
            let mut out = Map::new();
            out.insert("metadata", list.metadata());
            out.insert("kind", &row.list_kind);
            out.insert("apiVersion", row.api_version());
            let items = items.map(|item| {
                if row.is_custom() {
                    return served(row, item);
                }
                let mut value = item.clone();
                value.remove(&["kind"]);
                value.remove(&["apiVersion"]);
                value
            });
            out.insert("items", items.collect::<Value>());
            Ok(Value::Object(out))
        }
        Form::MetadataList(version) => Ok(table::partial_list(items, list.metadata(), version)),
        Form::Metadata(_) => Err(Status::not_acceptable(format!(
            "you requested PartialObjectMetadata, but the requested object is a list ({})",
            go_type(row, "List")
        ))),
        Form::Table(version) => {
            let mut metadata = list.metadata();
            if list.token.is_empty() {
                metadata.remove(&["continue"]);
            }
            let mut whole: Vec<Value> = items.map(|item| served(row, item)).collect();
            if row.kind == "FlowSchema" {
                // The one kind whose printer sorts: as the schemas are matched.
                whole.sort_by_key(|item| item.i64_at(&["spec", "matchingPrecedence"]));
            }
            let custom = row.custom.as_ref().map(|custom| &custom.version);
            let printer = Printer::new(&row.group, &row.kind, custom, version, accept.include);
            Ok(printer.table(&whole, metadata, true, now))
        }
    }
}

fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The Go type of the internal version, as messages print it.
fn go_type(row: &Resource, suffix: &str) -> String {
    if row.is_custom() {
        return format!("*unstructured.Unstructured{suffix}");
    }
    let package = match row.group.split('.').next() {
        None | Some("" | "events") => "core",
        Some(package) => package,
    };
    format!("*{package}.{}{suffix}", row.kind)
}

/// An event of a watch, in the watch's form: a line of JSON, or a frame.
pub(super) fn event(
    kind: &str,
    row: &Resource,
    object: &Object,
    accept: &Accept,
    with_columns: bool,
    now: Timestamp,
) -> Bytes {
    let plain = accept.form == Form::Plain && accept.encoding == Encoding::Json;
    if plain {
        let mut out = Vec::with_capacity(object.tail().len() + 96);
        open_line(kind, &mut out);
        push_object(row, object, &mut out);
        out.extend_from_slice(b"}\n");
        return out.into();
    }
    let value = served(row, &from_storage(row, object));
    let value = transform(row, value, accept, with_columns, now);
    event_of(
        kind,
        &value.unwrap_or_else(|status| status.to_value()),
        accept,
    )
}

/// An event about any value.
pub(super) fn event_of(kind: &str, value: &Value, accept: &Accept) -> Bytes {
    if accept.encoding == Encoding::Protobuf {
        let frame = protobuf::frame(kind, value).or_else(|| {
            let why = "the object of the event cannot be encoded to a protobuf message";
            protobuf::frame("ERROR", &Status::not_acceptable(why).to_value())
        });
        return frame.unwrap_or_default().into();
    }
    let mut out = Vec::new();
    open_line(kind, &mut out);
    json::write(value, &mut out);
    out.extend_from_slice(b"}\n");
    out.into()
}

fn open_line(kind: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
}

/// The Content-Type of a watch's stream.
pub(super) fn stream_type(accept: &Accept) -> &'static str {
    match accept.encoding {
        Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        _ => "application/json",
    }
}

/// H14: large answers are compressed for clients that take gzip.
pub(super) fn compress(response: &mut Response<Bytes>, accept_encoding: &str) {
    use std::io::Write as _;
    const LEAST: usize = 128 * 1024;
    let takes = accept_encoding.split(',').any(|one| one.trim() == "gzip");
    if !takes || response.body().len() < LEAST {
        return;
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let written = encoder.write_all(response.body());
    if let (Ok(()), Ok(body)) = (written, encoder.finish()) {
        *response.body_mut() = body.into();
        let headers = response.headers_mut();
        headers.insert("content-encoding", http::HeaderValue::from_static("gzip"));
        headers.insert("vary", http::HeaderValue::from_static("Accept-Encoding"));
    }
}
