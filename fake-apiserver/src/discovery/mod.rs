//! Paths that name no resource: discovery, health, version, OpenAPI (A1–A7).
//!
//! Owns what stands at each of these paths, to which methods and media types it answers. Does not own access (`auth`) nor
//! which resources exist (`registry`). Simplified: OpenAPI in JSON only; its documents say of a schema no more than the
//! field tables do (no descriptions).

mod aggregated;
mod health;
pub mod openapi;
mod plain;

use bytes::Bytes;
use http::Method;

use crate::json::{self, Map, Value};
use crate::registry::Registry;
use crate::request::media::Encoding;
use crate::request::{Accept, Request};
use crate::server::Answer;
use crate::status::Status;

/// What the server says of itself at `/version`.
pub const GIT_VERSION: &str = "v1.36.3";

/// A document at a path.
pub(crate) enum Page {
    /// Negotiated JSON or YAML.
    Document(Value),
    /// Bytes as they are.
    Raw {
        /// HTTP status.
        code: u16,
        /// Content-Type, "" = none.
        content_type: &'static str,
        /// Further headers.
        headers: Vec<(&'static str, String)>,
        /// Body.
        body: Bytes,
    },
}

/// Answers a request that names no resource.
pub(crate) fn answer(registry: &Registry, request: &Request) -> Result<Answer, Status> {
    let accept = request.header("accept");
    let page = page(registry, request)?;
    match page {
        Page::Document(value) => {
            let custom = !matches!(request.path.trim_end_matches('/'), "/api" | "/version")
                && !is_builtin_version(registry, &request.path);
            let found = match Accept::negotiate(accept, custom) {
                Err(_) if Accept::takes_protobuf(accept) => Accept::lenient(accept),
                found => found?,
            };
            if found.form != crate::request::media::Form::Plain {
                return Err(Accept::refused());
            }
            Ok(document(&value, found.encoding))
        }
        Page::Raw {
            code,
            content_type,
            headers,
            body,
        } => Ok(Answer::Raw {
            code,
            content_type,
            headers,
            body,
        }),
    }
}

fn page(registry: &Registry, request: &Request) -> Result<Page, Status> {
    let path = request.path.as_str();
    let method = &request.method;
    let get_only = || {
        if method == Method::GET {
            Ok(())
        } else {
            Err(Status::method_not_allowed())
        }
    };
    if let Some(page) = health::page(request) {
        return page;
    }
    if let Some(page) = openapi::page(registry, request) {
        return page;
    }
    match path {
        "/" | "/index.html" => return Ok(raw_json(&plain::paths(registry))),
        "/version" | "/version/" => {
            get_only()?;
            return version(request);
        }
        _ => {}
    }
    let parts: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let parts = match parts.as_slice() {
        [rest @ .., ""] => rest,
        all => all,
    };
    if let ["api"] | ["apis"] = parts
        && let Some(page) = aggregated::page(registry, request, parts == ["api"])
    {
        return if parts == ["api"] {
            get_only().map(|()| page)
        } else {
            Ok(page)
        };
    }
    match parts {
        ["api"] => {
            get_only()?;
            Ok(Page::Document(plain::api_versions(request.header("host"))))
        }
        ["apis"] => Ok(Page::Document(plain::groups(registry))),
        ["apis", group] => plain::group(registry, group)
            .map(Page::Document)
            .ok_or_else(Status::page_not_found),
        ["api", version] => {
            let list =
                plain::resources(registry, "", version).ok_or_else(Status::path_not_found)?;
            get_only()?;
            Ok(Page::Document(list))
        }
        ["apis", group, version] if !group.is_empty() => {
            match plain::resources(registry, group, version) {
                // The documents of custom groups answer any method.
                Some(list) => {
                    if registry.is_builtin_group(group) {
                        get_only()?;
                    }
                    Ok(Page::Document(list))
                }
                None if registry.is_builtin_group(group) && !group.is_empty() => {
                    Err(Status::path_not_found())
                }
                None => Err(Status::page_not_found()),
            }
        }
        ["api", _, ..] => Err(Status::path_not_found()),
        ["apis", group, ..] if registry.is_builtin_group(group) && !group.is_empty() => {
            Err(Status::path_not_found())
        }
        _ => Err(Status::page_not_found()),
    }
}

/// Documents of built-in group versions are routed like resources, so that a bad Accept is refused by the router.
fn is_builtin_version(registry: &Registry, path: &str) -> bool {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api", _] => true,
        ["apis", group, _] => registry.is_builtin_group(group),
        _ => false,
    }
}

/// A4: always JSON, indented.
fn version(request: &Request) -> Result<Page, Status> {
    let accept = Accept::negotiate(request.header("accept"), false)?;
    if accept.encoding != Encoding::Json {
        return Err(Accept::refused());
    }
    let text = |pairs: &[(&str, &str)]| {
        let lines: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("  {key:?}: {value:?}"))
            .collect();
        format!("{{\n{}\n}}", lines.join(",\n"))
    };
    let body = text(&[
        ("major", "1"),
        ("minor", "36"),
        ("emulationMajor", "1"),
        ("emulationMinor", "36"),
        ("minCompatibilityMajor", "1"),
        ("minCompatibilityMinor", "35"),
        ("gitVersion", GIT_VERSION),
        ("gitCommit", "0000000000000000000000000000000000000000"),
        ("gitTreeState", "clean"),
        ("buildDate", "2026-01-01T00:00:00Z"),
        ("goVersion", "go1.25.0"),
        ("compiler", "gc"),
        ("platform", "linux/amd64"),
    ]);
    Ok(Page::Raw {
        code: 200,
        content_type: "application/json",
        headers: Vec::new(),
        body: body.into_bytes().into(),
    })
}

fn document(value: &Value, encoding: Encoding) -> Answer {
    let (content_type, body) = match encoding {
        Encoding::Json => {
            let mut body = json::to_vec(value);
            body.push(b'\n');
            ("application/json", body)
        }
        Encoding::Yaml => (
            "application/yaml",
            crate::yaml::to_string(value).into_bytes(),
        ),
        Encoding::Protobuf => (
            "application/vnd.kubernetes.protobuf",
            crate::protobuf::encode(value).unwrap_or_default(),
        ),
    };
    Answer::Raw {
        code: 200,
        content_type,
        headers: Vec::new(),
        body: body.into(),
    }
}

fn raw_json(value: &Value) -> Page {
    Page::Raw {
        code: 200,
        content_type: "application/json",
        headers: Vec::new(),
        body: json::to_vec(value).into(),
    }
}

/// An object with these members.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let mut map = Map::new();
    for (name, value) in members {
        map.insert(name, value);
    }
    Value::Object(map)
}

fn texts<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Value {
    Value::Array(
        items
            .into_iter()
            .map(|item| Value::from(item.as_ref()))
            .collect(),
    )
}

/// An ETag: 128 upper-case hex digits, as the real server's SHA-512.
fn etag(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha512::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02X}")).collect()
}
