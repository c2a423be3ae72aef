//! Request bodies: from bytes to an object of the row's kind, and the checks between body and URL (C10, D15, D16).
//!
//! Owns the kind and name checks and how field errors reach the client. Decoding itself is owned by `schema`.

use super::Session;
use crate::json::{self, Duplicates, Parsed, Value};
use crate::registry::Resource;
use crate::request::media::{BodyType, body_type};
use crate::request::options::FieldValidation;
use crate::schema;
use crate::status::{Status, go_quote};

/// Reads the object in the body of a POST or PUT.
pub(super) fn object(
    s: &mut Session<'_>,
    row: &Resource,
    validation: FieldValidation,
) -> Result<Value, Status> {
    let kind = body_type(s.request.header("content-type"))?;
    let parsed = parse(&s.request.body, kind, row)?;
    let duplicates = parsed
        .duplicates
        .iter()
        .map(|path| format!("duplicate field {}", go_quote(path)));
    let duplicates: Vec<String> = duplicates.collect();
    let value = check_type(row, parsed.value, &s.request.body)?;
    let (value, unknown) = decode(row, value)?;
    let head = format!(
        "{} in version {} cannot be handled as a {}: ",
        row.kind,
        go_quote(&row.version),
        row.kind
    );
    report(s, validation, duplicates, unknown, |problems| {
        Status::bad_request(format!("{head}strict decoding error: {problems}"))
    })?;
    Ok(value)
}

/// D11: unknown and duplicate fields become an error, warnings or nothing.
pub(super) fn report(
    s: &mut Session<'_>,
    validation: FieldValidation,
    duplicates: Vec<String>,
    unknown: Vec<String>,
    error: impl FnOnce(String) -> Status,
) -> Result<(), Status> {
    let unknown = unknown
        .iter()
        .map(|path| format!("unknown field {}", go_quote(path)));
    let problems: Vec<String> = duplicates.into_iter().chain(unknown).collect();
    match validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => problems.into_iter().for_each(|problem| s.warn(problem)),
        FieldValidation::Strict if problems.is_empty() => {}
        FieldValidation::Strict => return Err(error(problems.join(", "))),
    }
    Ok(())
}

/// Parses a body of an object.
pub(super) fn parse(bytes: &[u8], kind: BodyType, row: &Resource) -> Result<Parsed, Status> {
    let policy = if row.is_custom() {
        Duplicates::Last
    } else {
        Duplicates::Merge
    };
    let blank = bytes.iter().all(u8::is_ascii_whitespace);
    if kind == BodyType::Yaml && blank {
        let value = Value::object();
        let duplicates = Vec::new();
        return Ok(Parsed { value, duplicates });
    }
    json::parse_with(bytes, policy).map_err(|error| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {} ({})",
            row.kind,
            error.message,
            excerpt(bytes)
        ))
    })
}

/// The first bytes of a body as error messages show them.
fn excerpt(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "<empty>".to_owned();
    }
    let head = &bytes[..bytes.len().min(30)];
    let dots = if bytes.len() > 30 { " ..." } else { "" };
    if bytes[0] == b'{' {
        return format!("{}{dots}", String::from_utf8_lossy(head));
    }
    let hex: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}{dots}")
}

/// D15, D16: `kind` and `apiVersion` of the body against the URL's.
fn check_type(row: &Resource, mut value: Value, body: &[u8]) -> Result<Value, Status> {
    if value.is_null() && !row.is_custom() {
        value = Value::object();
    }
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let (kind, api_version) = (text("kind").to_owned(), text("apiVersion").to_owned());
    let wanted = row.api_version();
    if row.is_custom() {
        if kind.is_empty() {
            let shown = String::from_utf8_lossy(body);
            return Err(Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): Object 'Kind' is missing in '{shown}' ({})",
                row.kind,
                excerpt(body)
            )));
        }
        if api_version != wanted {
            return Err(mismatch(&api_version, &wanted));
        }
        return Ok(value);
    }
    if !kind.is_empty() && kind != row.kind {
        let head = format!(
            "{kind} in version {} cannot be handled as a {}: ",
            go_quote(
                if api_version.is_empty() {
                    &wanted
                } else {
                    &api_version
                }
                .rsplit('/')
                .next()
                .unwrap_or_default()
            ),
            row.kind
        );
        return Err(Status::bad_request(format!(
            "{head}converting ({}.{kind}) to ({}.{}): unknown conversion",
            row.version,
            go_package(row),
            row.kind
        )));
    }
    if !api_version.is_empty() && api_version != wanted {
        return Err(mismatch(&api_version, &wanted));
    }
    if let Some(map) = value.as_object_mut() {
        map.insert("kind", &row.kind);
        map.insert("apiVersion", wanted);
    }
    Ok(value)
}

fn mismatch(sent: &str, wanted: &str) -> Status {
    Status::bad_request(format!(
        "the API version in the data ({sent}) does not match the expected API version ({wanted})"
    ))
}

/// The Go package of the internal type, as some messages name it.
fn go_package(row: &Resource) -> String {
    match row.group.as_str() {
        "" => "core".to_owned(),
        group => group.split('.').next().unwrap_or_default().to_owned(),
    }
}

/// Decodes an object of the row's kind: what the type does not know is dropped and told, defaults are filled in.
pub(super) fn decode(row: &Resource, value: Value) -> Result<(Value, Vec<String>), Status> {
    let (mut value, unknown) = match row.schema {
        Some(schema) => {
            let decoded = schema::decode(schema, value).map_err(|why| {
                Status::bad_request(format!(
                    "{} in version {} cannot be handled as a {}: {why}",
                    row.kind,
                    go_quote(&row.version),
                    row.kind
                ))
            })?;
            (decoded.value, decoded.unknown)
        }
        None => (value, Vec::new()),
    };
    default(row, &mut value);
    Ok((value, unknown))
}

/// Fills in defaults: after decoding, after mutating admission, after a patch.
pub(super) fn default(row: &Resource, value: &mut Value) {
    row.strategy.default(row, value);
    row.strategy.canonicalize(row, value);
}

/// C10: name and namespace of the body against the URL's. Fills the namespace in.
pub(super) fn check_place(
    s: &Session<'_>,
    row: &Resource,
    value: &mut Value,
) -> Result<(), Status> {
    let info = &s.request.info;
    check_namespace(row, &info.namespace, value)?;
    let name = value.str_at(&["metadata", "name"]);
    if name.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            info.name
        )));
    }
    if name != info.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            info.name
        )));
    }
    Ok(())
}

/// C10: the namespace alone.
pub(super) fn check_namespace(
    row: &Resource,
    namespace: &str,
    value: &mut Value,
) -> Result<(), Status> {
    let metadata = value.make_object().object("metadata");
    if !row.namespaced {
        metadata.remove("namespace");
        return Ok(());
    }
    let sent = metadata.get("namespace").and_then(Value::as_str);
    match sent.unwrap_or_default() {
        "" => drop(metadata.insert("namespace", namespace)),
        sent if sent == namespace => {}
        _ => {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    }
    Ok(())
}
