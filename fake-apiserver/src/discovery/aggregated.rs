//! Aggregated discovery: one document for all groups (A2).

use bytes::Bytes;

use super::plain::{group_versions, verbs};
use super::{Page, etag, object, texts};
use crate::json::{Map, Value, to_vec};
use crate::registry::{Registry, Resource, split_api_version};
use crate::request::Request;

const JSON: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const YAML: &str = "application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

const PROTOBUF: &str =
    "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The aggregated form, where the client takes it: it wins wherever it stands among the alternatives.
pub(super) fn page(registry: &Registry, request: &Request, core: bool) -> Option<Page> {
    let content_type = wanted(request.header("accept"))?;
    let document = document(registry, core);
    let bytes = to_vec(&document);
    let tag = format!("\"{}\"", etag(&bytes));
    let headers = vec![
        ("etag", tag.clone()),
        ("vary", "Accept".to_owned()),
        ("cache-control", "public".to_owned()),
    ];
    if request.header("if-none-match") == tag {
        return Some(Page::Raw {
            code: 304,
            content_type: "",
            headers,
            body: Bytes::new(),
        });
    }
    let body = match content_type {
        YAML => crate::yaml::to_string(&document).into_bytes(),
        PROTOBUF => crate::protobuf::encode(&document).unwrap_or(bytes),
        _ => bytes,
    };
    Some(Page::Raw {
        code: 200,
        content_type,
        headers,
        body: body.into(),
    })
}

fn wanted(accept: &str) -> Option<&'static str> {
    accept.split(',').find_map(|clause| {
        let mut parts = clause.split(';').map(str::trim);
        let content_type = match parts.next()? {
            "application/json" => JSON,
            "application/yaml" => YAML,
            "application/vnd.kubernetes.protobuf" => PROTOBUF,
            _ => return None,
        };
        let params: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
        let has = |name: &str, value: &str| params.contains(&(name, value));
        let fits =
            has("g", "apidiscovery.k8s.io") && has("v", "v2") && has("as", "APIGroupDiscoveryList");
        fits.then_some(content_type)
    })
}

fn document(registry: &Registry, core: bool) -> Value {
    let groups = group_versions(registry)
        .into_iter()
        .filter(|(group, _)| group.is_empty() == core);
    let items = groups.map(|(group, versions)| {
        let versions = versions.iter().map(|version| {
            let rows = registry
                .rows()
                .filter(|row| row.group == group && row.version == *version);
            object([
                ("version", Value::from(version.as_str())),
                (
                    "resources",
                    Value::Array(rows.map(|row| resource(row)).collect()),
                ),
                ("freshness", Value::from("Current")),
            ])
        });
        let metadata = if group.is_empty() {
            Value::object()
        } else {
            object([("name", Value::from(group.as_str()))])
        };
        object([
            ("metadata", metadata),
            ("versions", Value::Array(versions.collect())),
        ])
    });
    object([
        ("kind", Value::from("APIGroupDiscoveryList")),
        ("apiVersion", Value::from("apidiscovery.k8s.io/v2")),
        ("metadata", Value::object()),
        ("items", Value::Array(items.collect())),
    ])
}

fn resource(row: &Resource) -> Value {
    let mut map = Map::new();
    map.insert("resource", row.plural.as_str());
    map.insert("responseKind", kind(row, &row.kind, None));
    map.insert(
        "scope",
        if row.namespaced {
            "Namespaced"
        } else {
            "Cluster"
        },
    );
    map.insert("singularResource", row.singular.as_str());
    map.insert("verbs", verbs(row));
    if !row.short_names.is_empty() {
        map.insert("shortNames", texts(&row.short_names));
    }
    if !row.categories.is_empty() {
        map.insert("categories", texts(&row.categories));
    }
    if !row.subresources.is_empty() {
        let subresources = row.subresources.iter().map(|sub| {
            object([
                ("subresource", Value::from(sub.name.as_str())),
                (
                    "responseKind",
                    kind(row, &sub.kind, sub.group_version.as_deref()),
                ),
                ("verbs", texts(sub.verbs.names())),
            ])
        });
        map.insert("subresources", Value::Array(subresources.collect()));
    }
    Value::Object(map)
}

/// Built-in entries leave group and version empty where they are their own.
fn kind(row: &Resource, kind: &str, group_version: Option<&str>) -> Value {
    let (group, version) = match group_version {
        Some(group_version) => split_api_version(group_version),
        None if row.is_custom() => (row.group.as_str(), row.version.as_str()),
        None => ("", ""),
    };
    object([
        ("group", Value::from(group)),
        ("version", Value::from(version)),
        ("kind", Value::from(kind)),
    ])
}
