//! `kind` and `apiVersion` of a body against the kind expected, in the words of Go's scheme (D15, D16, G5b).

use super::Session;
use super::body::{go_package, unrecognized};
use crate::json::Value;
use crate::registry::{Registry, Resource, split_api_version};
use crate::status::{Status, go_quote};

/// `kind` and `apiVersion` of a document, or why Go cannot read them.
pub(super) fn read(value: &Value) -> Result<(&str, &str), String> {
    if !value.is_object() && !value.is_null() {
        return Err(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}",
            value.type_name()
        ));
    }
    let field = |name: &str| match &value[name] {
        Value::Null => Ok(""),
        Value::String(text) => Ok(text.as_str()),
        other => Err(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go struct field .{name} of type string",
            other.type_name()
        )),
    };
    let (api_version, kind) = (field("apiVersion")?, field("kind")?);
    if api_version.matches('/').count() > 1 {
        return Err(format!("unexpected GroupVersion string: {api_version}"));
    }
    Ok((kind, api_version))
}

/// The message of a kind nobody knows.
pub(super) fn not_registered(kind: &str, api_version: &str) -> String {
    format!(
        "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
        go_quote(kind),
        go_quote(api_version)
    )
}

/// Sets the type of an object of the row's kind, or says why it is another one.
pub(super) fn check(
    s: &Session<'_>,
    row: &Resource,
    mut value: Value,
    body: &[u8],
) -> Result<Value, Status> {
    if value.is_null() && !row.is_custom() {
        value = Value::object();
    }
    let (kind, api_version) = read(&value).map_err(|why| unrecognized(row, body, &why))?;
    let wanted = row.api_version();
    if row.is_custom() {
        if kind.is_empty() {
            let shown = String::from_utf8_lossy(body);
            let why = format!("Object 'Kind' is missing in '{shown}'");
            return Err(unrecognized(row, body, &why));
        }
        if api_version != wanted {
            return Err(mismatch(api_version, wanted));
        }
        return Ok(value);
    }
    let named = if kind.is_empty() { &row.kind } else { kind };
    let versioned = if api_version.is_empty() {
        wanted
    } else {
        api_version
    };
    let (_, version) = split_api_version(versioned);
    let head = || {
        format!(
            "{named} in version {} cannot be handled as a {}: ",
            go_quote(version),
            row.kind
        )
    };
    if named != row.kind {
        let why = if is_registered(&s.core.registry, named, versioned) {
            format!(
                "converting ({version}.{named}) to ({}.{}): unknown conversion",
                go_package(row),
                row.kind
            )
        } else {
            not_registered(named, versioned)
        };
        return Err(Status::bad_request(format!("{}{why}", head())));
    }
    // Evictions alone are taken in a version that is not served.
    let old_eviction = row.kind == "Eviction" && versioned == "policy/v1beta1";
    if versioned != wanted && !old_eviction {
        if is_registered(&s.core.registry, named, versioned) {
            return Err(mismatch(versioned, wanted));
        }
        let why = not_registered(named, versioned);
        return Err(Status::bad_request(format!("{}{why}", head())));
    }
    row.set_type(&mut value);
    Ok(value)
}

/// Whether the real server's scheme knows a kind: those served, their lists, kinds every version has, and the beta versions
/// that were served once.
pub(super) fn is_registered(registry: &Registry, kind: &str, api_version: &str) -> bool {
    let everywhere = [
        "Status",
        "ListOptions",
        "CreateOptions",
        "UpdateOptions",
        "PatchOptions",
        "DeleteOptions",
        "WatchEvent",
    ];
    let (group, version) = split_api_version(api_version);
    let serves = |version: &str, kind: &str| registry.find_kind(group, version, kind).is_some();
    let of_version = |kind: &str| {
        let beta = version.contains("beta") || version.contains("alpha");
        serves(version, kind) || (beta && !group.is_empty() && serves("v1", kind))
    };
    let item = kind.strip_suffix("List").unwrap_or(kind);
    let legacy = group == "extensions"
        && version == "v1beta1"
        && ["apps", "networking.k8s.io"]
            .iter()
            .any(|group| registry.find_kind(group, "v1", item).is_some());
    let known_version =
        of_version(item) || registry.rows().any(|row| row.api_version() == api_version);
    of_version(kind) || of_version(item) || legacy || (everywhere.contains(&kind) && known_version)
}

fn mismatch(sent: &str, wanted: &str) -> Status {
    Status::bad_request(format!(
        "the API version in the data ({sent}) does not match the expected API version ({wanted})"
    ))
}
