//! Request bodies: from bytes to an object of the row's kind, and the checks between body and URL (C10, D15, D16).
//!
//! Owns the kind and name checks and how field errors reach the client. Decoding itself is owned by `schema`.

use super::{Session, type_meta};
use crate::json::{self, Duplicates, Parsed, Value};
use crate::protobuf;
use crate::registry::Resource;
use crate::request::media::{BodyType, body_type};
use crate::request::options::FieldValidation;
use crate::schema;
use crate::status::{Status, go_quote};
use crate::yaml;

/// Reads the object in the body of a POST or PUT.
pub(super) fn object(
    s: &mut Session<'_>,
    row: &Resource,
    validation: FieldValidation,
) -> Result<Value, Status> {
    let kind = check_media_type(s, row)?;
    let parsed = parse(&s.request.body, kind, row)?;
    let duplicates = match kind {
        // The strict YAML decoder tells all duplicates as one error, the warnings come one by one.
        BodyType::Yaml
            if validation == FieldValidation::Strict && !parsed.duplicates.is_empty() =>
        {
            let lines = parsed.duplicates.join("\n  ");
            vec![format!("yaml: unmarshal errors:\n  {lines}")]
        }
        BodyType::Yaml => parsed.duplicates.clone(),
        _ => {
            let paths = parsed.duplicates.iter();
            paths
                .map(|path| format!("duplicate field {}", go_quote(path)))
                .collect()
        }
    };
    let value = type_meta::check(s, row, parsed.value, &s.request.body)?;
    let (value, mut unknown) = decode(row, value)?;
    let mut duplicates = duplicates;
    if kind == BodyType::Json && !row.is_custom() && duplicates.len() + unknown.len() > 1 {
        duplicates = schema::complaints(&s.request.body, &parsed.duplicates, &unknown);
        unknown.clear();
    }
    report(s, validation, duplicates, unknown, |problems| {
        Status::bad_request(format!(
            "{} in version {} cannot be handled as a {}: strict decoding error: {problems}",
            row.kind,
            go_quote(&row.version),
            row.kind
        ))
    })?;
    Ok(value)
}

/// Reads what is sent to a subresource of another kind than the row's.
pub(super) fn part(
    s: &mut Session<'_>,
    row: &Resource,
    validation: FieldValidation,
) -> Result<Value, Status> {
    let part = row.part(&s.request.info.subresource);
    object(s, &part.ok_or_else(Status::path_not_found)?, validation)
}

/// The media type of a body; 415. Custom resources know no protobuf.
pub(super) fn check_media_type(s: &Session<'_>, row: &Resource) -> Result<BodyType, Status> {
    match body_type(s.request.header(http::header::CONTENT_TYPE))? {
        BodyType::Protobuf if row.is_custom() => Err(crate::request::media::unknown_body()),
        kind => Ok(kind),
    }
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
    match kind {
        BodyType::Yaml => return parse_yaml(bytes, row),
        BodyType::Protobuf => return parse_protobuf(bytes, row),
        _ => {}
    }
    json::parse_with(bytes, policy).map_err(|error| {
        if error.message.starts_with("json: cannot unmarshal number") {
            return Status::bad_request(format!(
                "{} in version {} cannot be handled as a {}: {}",
                row.kind,
                go_quote(&row.version),
                row.kind,
                error.message
            ));
        }
        let why = format!(
            "couldn't get version/kind; json parse error: {}",
            error.message
        );
        unrecognized(row, bytes, &why)
    })
}

/// A body nobody can read as an object of the row's kind.
pub(super) fn unrecognized(row: &Resource, bytes: &[u8], why: &str) -> Status {
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): {why} ({})",
        row.kind,
        excerpt(bytes)
    ))
}

fn parse_yaml(bytes: &[u8], row: &Resource) -> Result<Parsed, Status> {
    let mut parsed = yaml::parse(bytes).map_err(|why| unrecognized(row, bytes, &why))?;
    if parsed.value.is_null() {
        parsed.value = Value::object();
    }
    Ok(parsed)
}

/// B11: protobuf, for kinds that speak it.
fn parse_protobuf(bytes: &[u8], row: &Resource) -> Result<Parsed, Status> {
    if !protobuf::is_enveloped(bytes) {
        return Err(unrecognized(
            row,
            bytes,
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
        ));
    }
    let value = protobuf::decode(bytes, (row.api_version(), &row.kind))
        .map_err(|why| unrecognized(row, bytes, &why))?;
    Ok(Parsed {
        value,
        duplicates: Vec::new(),
    })
}

/// The first bytes of a body as error messages show them.
pub(super) fn excerpt(bytes: &[u8]) -> String {
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

/// The Go package of the internal type, as some messages name it.
pub(super) fn go_package(row: &Resource) -> String {
    match row.group.as_str() {
        "" => "core".to_owned(),
        group => group.split('.').next().unwrap_or_default().to_owned(),
    }
}

/// Decodes an object of the row's kind: what the type does not know is dropped and told, defaults are filled in.
pub(super) fn decode(row: &Resource, value: Value) -> Result<(Value, Vec<String>), Status> {
    let (mut value, unknown) = match row.schema {
        Some(schema) => {
            // F10: an empty list of managed fields means something, though decoding drops it.
            let reset = value.at(&["metadata", "managedFields"]) == Some(&Value::Array(Vec::new()));
            let mut decoded = schema::decode(schema, value).map_err(|why| {
                Status::bad_request(format!(
                    "{} in version {} cannot be handled as a {}: {why}",
                    row.kind,
                    go_quote(&row.version),
                    row.kind
                ))
            })?;
            if reset {
                let none = Value::Array(Vec::new());
                decoded.value.set(&["metadata", "managedFields"], none);
            }
            (decoded.value, decoded.unknown)
        }
        None => match &row.custom {
            Some(custom) => {
                let decoded = schema::decode_custom(&custom.schema, value).map_err(|why| {
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
        },
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
        return Err(unnamed(s));
    }
    if name != info.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            info.name
        )));
    }
    Ok(())
}

/// C10: the body has no name.
pub(super) fn unnamed(s: &Session<'_>) -> Status {
    Status::bad_request(format!(
        "the name of the object ({} based on URL) was undeterminable: name must be provided",
        s.request.info.name
    ))
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
