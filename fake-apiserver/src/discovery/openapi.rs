//! OpenAPI v2 and v3 (A6): the index, one document a group version, ETags and hashes.
//!
//! The documents name every path with its parameters (kubectl looks for `fieldValidation` on PATCH) and every type with its
//! fields; descriptions are absent. Documents of built-in groups are made once a process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use bytes::Bytes;

use super::plain::group_versions;
use super::{GIT_VERSION, Page, etag, object, texts};
use crate::json::{CompactString, Map, Value, to_vec};
use crate::registry::{Registry, Resource};
use crate::request::Request;
use crate::schema::{ListType, Schema, Schemas, Special, Type};
use crate::status::Status;

/// A document and its hash.
type Document = (Bytes, String);

/// The page of an OpenAPI path, `None` for any other path.
pub(super) fn page(registry: &Registry, request: &Request) -> Option<Result<Page, Status>> {
    let path = request.path.as_str();
    match path {
        "/openapi/v2" => return Some(Ok(v2(registry, request))),
        "/openapi/v3" => return Some(Ok(index(registry))),
        _ => {}
    }
    let key = path.strip_prefix("/openapi/v3/")?;
    if key.is_empty() {
        return Some(Ok(empty(404, Vec::new())));
    }
    Some(Ok(group_document(registry, key, request)))
}

fn empty(code: u16, headers: Vec<(&'static str, String)>) -> Page {
    Page::Raw {
        code,
        content_type: "",
        headers,
        body: Bytes::new(),
    }
}

fn index(registry: &Registry) -> Page {
    let mut paths = Map::new();
    for key in keys(registry) {
        if let Some((_, hash)) = document(registry, &key) {
            let url = format!("/openapi/v3/{key}?hash={hash}");
            paths.insert(
                CompactString::from(key),
                object([("serverRelativeURL", Value::from(url.as_str()))]),
            );
        }
    }
    let body = to_vec(&object([("paths", Value::Object(paths))]));
    let headers = vec![("cache-control", "no-cache, private".to_owned())];
    Page::Raw {
        code: 200,
        content_type: "text/plain; charset=utf-8",
        headers,
        body: body.into(),
    }
}

fn keys(registry: &Registry) -> Vec<String> {
    let mut keys: Vec<String> = [
        ".well-known/openid-configuration",
        "api",
        "apis",
        "openid/v1/jwks",
        "version",
    ]
    .map(String::from)
    .to_vec();
    for (group, versions) in group_versions(registry) {
        if group.is_empty() {
            keys.push("api/v1".to_owned());
            continue;
        }
        if registry.is_builtin_group(&group) {
            keys.push(format!("apis/{group}"));
        }
        keys.extend(
            versions
                .iter()
                .map(|version| format!("apis/{group}/{version}")),
        );
    }
    keys.sort();
    keys
}

fn group_document(registry: &Registry, key: &str, request: &Request) -> Page {
    let Some((body, hash)) = document(registry, key) else {
        return empty(404, Vec::new());
    };
    let Some(content_type) = accepted(request.header("accept"), "v3") else {
        return empty(406, Vec::new());
    };
    let vary = ("vary", "Accept".to_owned());
    let tag = format!("\"{hash}\"");
    let private = ("cache-control", "no-cache, private".to_owned());
    let mut headers = vec![vary, ("etag", tag.clone())];
    match request.query.get("hash") {
        Some(given) if given == hash => {
            headers.push(("cache-control", "public, immutable".to_owned()))
        }
        Some(_) => {
            let headers = vec![
                ("location", format!("/openapi/v3/{key}?hash={hash}")),
                private,
            ];
            return Page::Raw {
                code: 301,
                content_type: "application/json",
                headers,
                body: Bytes::new(),
            };
        }
        None => headers.push(private),
    }
    if request.header("if-none-match") == tag {
        return empty(304, headers);
    }
    Page::Raw {
        code: 200,
        content_type,
        headers,
        body,
    }
}

/// The Content-Type of an answer: JSON. A client that takes only protobuf is refused.
fn accepted(accept: &str, _version: &str) -> Option<&'static str> {
    if accept.trim().is_empty() {
        return Some("application/json");
    }
    let mut clauses = accept
        .split(',')
        .map(|clause| clause.split(';').next().unwrap_or_default().trim());
    clauses
        .any(|kind| matches!(kind, "application/json" | "application/*" | "*/*"))
        .then_some("application/json")
}

fn v2(registry: &Registry, request: &Request) -> Page {
    if accepted(request.header("accept"), "v2").is_none() {
        return empty(406, Vec::new());
    }
    let mut paths = Map::new();
    let mut types = Types::default();
    for row in registry.rows() {
        add_paths(row, &mut paths);
        types.add_row(row);
    }
    let document = object([
        ("swagger", Value::from("2.0")),
        ("info", info()),
        ("paths", Value::Object(paths)),
        ("definitions", types.schemas("#/definitions/")),
    ]);
    let body = to_vec(&document);
    let tag = format!("\"{}\"", etag(&body));
    let headers = vec![("etag", tag.clone()), ("vary", "Accept".to_owned())];
    if request.header("if-none-match") == tag {
        return empty(304, headers);
    }
    Page::Raw {
        code: 200,
        content_type: "application/json",
        headers,
        body: body.into(),
    }
}

fn info() -> Value {
    object([
        ("title", Value::from("Kubernetes")),
        ("version", Value::from(GIT_VERSION)),
    ])
}

fn document(registry: &Registry, key: &str) -> Option<Document> {
    static BUILTIN: OnceLock<BTreeMap<String, Document>> = OnceLock::new();
    let builtin = BUILTIN.get_or_init(|| {
        let registry = Registry::new();
        let keys = keys(&registry).into_iter();
        keys.map(|key| {
            let document = make(&registry, &key);
            (key, document)
        })
        .collect()
    });
    if let Some(document) = builtin.get(key) {
        return Some(document.clone());
    }
    let rest = key.strip_prefix("apis/")?;
    let (group, version) = rest.split_once('/')?;
    let served = group_versions(registry)
        .iter()
        .any(|(name, versions)| name == group && versions.iter().any(|v| v == version));
    served.then(|| make(registry, key))
}

fn make(registry: &Registry, key: &str) -> Document {
    let mut paths = Map::new();
    let mut types = Types::default();
    let (group, version) = match key.strip_prefix("apis/").map(|rest| rest.split_once('/')) {
        Some(Some(found)) => found,
        _ if key == "api/v1" => ("", "v1"),
        _ => ("-", "-"),
    };
    for row in registry
        .rows()
        .filter(|row| row.group == group && row.version == version)
    {
        add_paths(row, &mut paths);
        types.add_row(row);
    }
    if group == "-" {
        paths.insert(
            CompactString::from(format!("/{key}")),
            object([("get", Value::object())]),
        );
    }
    let document = object([
        ("openapi", Value::from("3.0.0")),
        ("info", info()),
        ("paths", Value::Object(paths)),
        (
            "components",
            object([("schemas", types.schemas("#/components/schemas/"))]),
        ),
    ]);
    let body = to_vec(&document);
    let hash = etag(&body);
    (body.into(), hash)
}

/// The paths of a resource, with the parameters clients look for.
fn add_paths(row: &Resource, paths: &mut Map) {
    let prefix = if row.group.is_empty() {
        format!("/api/{}", row.version)
    } else {
        format!("/apis/{}/{}", row.group, row.version)
    };
    let scope = if row.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let collection = format!("{prefix}{scope}/{}", row.plural);
    let own = (row.group.as_str(), row.version.as_str(), row.kind.as_str());
    let on_collection = [
        ("list", "get"),
        ("create", "post"),
        ("deletecollection", "delete"),
    ];
    let on_object = [
        ("get", "get"),
        ("update", "put"),
        ("patch", "patch"),
        ("delete", "delete"),
    ];
    let add =
        |paths: &mut Map, path: String, verbs: &[(&str, &str)], has: &dyn Fn(&str) -> bool| {
            let found = verbs.iter().filter(|(verb, _)| has(verb));
            let operations: Vec<(&str, Value)> = found
                .map(|(verb, method)| (*method, operation(verb, own)))
                .collect();
            if !operations.is_empty() {
                let mut map = Map::new();
                operations
                    .into_iter()
                    .for_each(|(method, value)| drop(map.insert(method, value)));
                paths.insert(CompactString::from(path), Value::Object(map));
            }
        };
    add(paths, collection.clone(), &on_collection, &|verb| {
        row.verbs.has(verb)
    });
    if row.namespaced && row.verbs.has("list") {
        add(
            paths,
            format!("{prefix}/{}", row.plural),
            &on_collection[..1],
            &|_| true,
        );
    }
    add(
        paths,
        format!("{collection}/{{name}}"),
        &on_object,
        &|verb| row.verbs.has(verb),
    );
    for sub in &row.subresources {
        let verbs = [on_object.as_slice(), &on_collection[1..2]].concat();
        add(
            paths,
            format!("{collection}/{{name}}/{}", sub.name),
            &verbs,
            &|verb| sub.verbs.has(verb),
        );
    }
}

fn operation(verb: &str, (group, version, kind): (&str, &str, &str)) -> Value {
    let names: &[&str] = match verb {
        "create" | "update" => &["dryRun", "fieldManager", "fieldValidation", "pretty"],
        "patch" => &[
            "dryRun",
            "fieldManager",
            "fieldValidation",
            "force",
            "pretty",
        ],
        "delete" => &[
            "dryRun",
            "gracePeriodSeconds",
            "orphanDependents",
            "propagationPolicy",
            "pretty",
        ],
        "list" | "deletecollection" => &[
            "continue",
            "fieldSelector",
            "labelSelector",
            "limit",
            "resourceVersion",
            "resourceVersionMatch",
            "timeoutSeconds",
            "watch",
            "pretty",
        ],
        _ => &["pretty"],
    };
    let parameter = |name: &&str| {
        object([
            ("name", Value::from(*name)),
            ("in", Value::from("query")),
            ("schema", object([("type", Value::from("string"))])),
        ])
    };
    let action = match verb {
        "create" => "post",
        "update" => "put",
        other => other,
    };
    object([
        (
            "parameters",
            Value::Array(names.iter().map(parameter).collect()),
        ),
        (
            "responses",
            object([("200", object([("description", Value::from("OK"))]))]),
        ),
        ("x-kubernetes-action", Value::from(action)),
        ("x-kubernetes-group-version-kind", gvk(group, version, kind)),
    ])
}

fn gvk(group: &str, version: &str, kind: &str) -> Value {
    object([
        ("group", Value::from(group)),
        ("version", Value::from(version)),
        ("kind", Value::from(kind)),
    ])
}

/// The types a document refers to.
#[derive(Default)]
struct Types {
    named: BTreeMap<&'static str, &'static Schema>,
    custom: Vec<(String, Value)>,
}

impl Types {
    fn add_row(&mut self, row: &Resource) {
        let Some(custom) = &row.custom else {
            let builtin = Schemas::builtin();
            let found = [&row.kind, &row.list_kind]
                .map(|kind| builtin.kind(&row.group, &row.version, kind));
            found
                .into_iter()
                .flatten()
                .for_each(|schema| self.add(schema));
            for sub in &row.subresources {
                let (group, version) = sub.group_version.as_deref().map_or(
                    (row.group.as_str(), row.version.as_str()),
                    crate::registry::split_api_version,
                );
                builtin
                    .kind(group, version, &sub.kind)
                    .into_iter()
                    .for_each(|schema| self.add(schema));
            }
            return;
        };
        let mut reversed: Vec<&str> = row.group.split('.').collect();
        reversed.reverse();
        let name = format!("{}.{}.{}", reversed.join("."), row.version, row.kind);
        let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.";
        for referred in ["ObjectMeta", "ListMeta"] {
            Schemas::builtin()
                .named(&format!("{meta}{referred}"))
                .into_iter()
                .for_each(|schema| self.add(schema));
        }
        let reference = |name: &str| {
            object([(
                "$ref",
                Value::from(format!("#/components/schemas/{name}").as_str()),
            )])
        };
        let text = || object([("type", Value::from("string"))]);
        let mut schema = custom
            .version
            .at(&["schema", "openAPIV3Schema"])
            .cloned()
            .unwrap_or_else(Value::object);
        let properties = schema.make_object().object("properties");
        properties.insert("apiVersion", text());
        properties.insert("kind", text());
        properties.insert("metadata", reference(&format!("{meta}ObjectMeta")));
        let kinds = |kind: &str| Value::Array(vec![gvk(&row.group, &row.version, kind)]);
        schema.set(&["x-kubernetes-group-version-kind"], kinds(&row.kind));
        let items = object([("type", Value::from("array")), ("items", reference(&name))]);
        let list = object([
            ("type", Value::from("object")),
            ("required", texts(["items"])),
            (
                "properties",
                object([
                    ("apiVersion", text()),
                    ("kind", text()),
                    ("metadata", reference(&format!("{meta}ListMeta"))),
                    ("items", items),
                ]),
            ),
            ("x-kubernetes-group-version-kind", kinds(&row.list_kind)),
        ]);
        self.custom.push((name.clone(), schema));
        self.custom.push((format!("{name}List"), list));
    }

    fn add(&mut self, schema: &'static Schema) {
        if let Some(name) = schema.name()
            && self.named.insert(name, schema).is_some()
        {
            return;
        }
        let fields = schema.fields().iter().map(|field| field.schema());
        fields
            .chain(schema.items())
            .chain(schema.values())
            .for_each(|child| self.add(child));
    }

    fn schemas(self, prefix: &str) -> Value {
        let mut map = Map::new();
        for (name, schema) in self.named {
            map.insert(name, body(schema, prefix));
        }
        for (name, schema) in self.custom {
            map.insert(CompactString::from(name), schema);
        }
        Value::Object(map)
    }
}

/// A use of a type: a reference where it has a name.
fn reference(schema: &Schema, prefix: &str) -> Value {
    match schema.name() {
        Some(name) => object([("$ref", Value::from(format!("{prefix}{name}").as_str()))]),
        None => body(schema, prefix),
    }
}

fn body(schema: &Schema, prefix: &str) -> Value {
    let mut map = Map::new();
    match schema.kind() {
        Type::Any => {}
        kind => drop(map.insert("type", kind.name())),
    }
    if schema.special() == Special::Quantity {
        map.insert(
            "oneOf",
            Value::Array(
                ["string", "number"]
                    .map(|t| object([("type", Value::from(t))]))
                    .to_vec(),
            ),
        );
    }
    if schema.int_or_string() {
        map.insert(
            "oneOf",
            Value::Array(
                ["integer", "string"]
                    .map(|t| object([("type", Value::from(t))]))
                    .to_vec(),
            ),
        );
        map.insert("format", "int-or-string");
    } else if let Some(format) = schema.format() {
        map.insert("format", format);
    }
    if !schema.enumeration().is_empty() {
        map.insert("enum", Value::Array(schema.enumeration().to_vec()));
    }
    if !schema.required().is_empty() {
        map.insert("required", texts(schema.required()));
    }
    if !schema.fields().is_empty() {
        let mut properties = Map::new();
        for field in schema.fields() {
            let mut property = reference(field.schema(), prefix);
            if let Some(default) = field.default() {
                property.set(&["default"], default.clone());
            }
            if let Some(strategy) = field.patch_strategy() {
                property.set(&["x-kubernetes-patch-strategy"], strategy);
            }
            if let Some(key) = field.patch_merge_key() {
                property.set(&["x-kubernetes-patch-merge-key"], key);
            }
            properties.insert(CompactString::from(field.name()), property);
        }
        map.insert("properties", Value::Object(properties));
    }
    if let Some(items) = schema.items() {
        map.insert("items", reference(items, prefix));
    }
    if let Some(values) = schema.values() {
        map.insert("additionalProperties", reference(values, prefix));
    }
    match schema.list_type() {
        ListType::Set => drop(map.insert("x-kubernetes-list-type", "set")),
        ListType::Map => {
            map.insert("x-kubernetes-list-type", "map");
            map.insert("x-kubernetes-list-map-keys", texts(schema.list_map_keys()));
        }
        ListType::Atomic => {}
    }
    if !schema.gvks().is_empty() {
        let gvks: BTreeSet<&[&str; 3]> = schema.gvks().iter().collect();
        let gvks = gvks
            .into_iter()
            .map(|[group, version, kind]| gvk(group, version, kind));
        map.insert(
            "x-kubernetes-group-version-kind",
            Value::Array(gvks.collect()),
        );
    }
    Value::Object(map)
}
