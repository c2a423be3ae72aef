//! Protobuf (A12): objects of built-in kinds, Status, discovery documents, object metadata, frames of a watch.
//!
//! Owns the envelope `k8s\0` and the few messages that no schema describes. Objects are written and read by their schema
//! (`encode`, `decode`) with the field numbers of `messages`; an object that has a field without a number is not spoken.
//! Custom resources are never spoken in protobuf.
//! Source: apimachinery `runtime/serializer/protobuf`, `generated.proto` of each group.

mod decode;
mod encode;
mod messages;
mod wire;

use self::wire::bytes;
use crate::json::Value;
use crate::registry::split_api_version;
use crate::schema::Schemas;

const MAGIC: &[u8] = b"k8s\0";

/// How a field is written. Plain fields are always there, as Go's generated code writes them.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Texts,
    Flag,
    Message(&'static [Field]),
    OptionalMessage(&'static [Field]),
    Messages(&'static [Field]),
    /// A list of texts in a message of its own.
    Verbs,
    /// A built-in type, which has a schema.
    Built(&'static str),
}

/// JSON name, field number, how it is written.
type Field = (&'static str, u32, Kind);

use Kind::{Flag, Message, Messages, OptionalMessage, Text, Texts, Verbs};

/// `metadata`, by its schema.
const OBJECT_META: Kind = Kind::Built("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
const LIST_META: Kind = Kind::Built("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta");

const PARTIAL: &[Field] = &[("metadata", 1, OBJECT_META)];
const PARTIAL_LIST: &[Field] = &[("metadata", 1, LIST_META), ("items", 2, Messages(PARTIAL))];
const ADDRESS: &[Field] = &[("clientCIDR", 1, Text), ("serverAddress", 2, Text)];
const API_VERSIONS: &[Field] = &[
    ("versions", 1, Texts),
    ("serverAddressByClientCIDRs", 2, Messages(ADDRESS)),
];
const GROUP_VERSION: &[Field] = &[("groupVersion", 1, Text), ("version", 2, Text)];
const GROUP: &[Field] = &[
    ("name", 1, Text),
    ("versions", 2, Messages(GROUP_VERSION)),
    ("preferredVersion", 3, Message(GROUP_VERSION)),
    ("serverAddressByClientCIDRs", 4, Messages(ADDRESS)),
];
const GROUP_LIST: &[Field] = &[("groups", 1, Messages(GROUP))];
const RESOURCE: &[Field] = &[
    ("name", 1, Text),
    ("namespaced", 2, Flag),
    ("kind", 3, Text),
    ("verbs", 4, Verbs),
    ("shortNames", 5, Texts),
    ("singularName", 6, Text),
    ("categories", 7, Texts),
    ("group", 8, Text),
    ("version", 9, Text),
    ("storageVersionHash", 10, Text),
];
const RESOURCE_LIST: &[Field] = &[
    ("groupVersion", 1, Text),
    ("resources", 2, Messages(RESOURCE)),
];
const GVK: &[Field] = &[("group", 1, Text), ("version", 2, Text), ("kind", 3, Text)];
const SUBRESOURCE: &[Field] = &[
    ("subresource", 1, Text),
    ("responseKind", 2, OptionalMessage(GVK)),
    ("acceptedTypes", 3, Messages(GVK)),
    ("verbs", 4, Texts),
];
const DISCOVERED: &[Field] = &[
    ("resource", 1, Text),
    ("responseKind", 2, OptionalMessage(GVK)),
    ("scope", 3, Text),
    ("singularResource", 4, Text),
    ("verbs", 5, Texts),
    ("shortNames", 6, Texts),
    ("categories", 7, Texts),
    ("subresources", 8, Messages(SUBRESOURCE)),
];
const DISCOVERED_VERSION: &[Field] = &[
    ("version", 1, Text),
    ("resources", 2, Messages(DISCOVERED)),
    ("freshness", 3, Text),
];
const DISCOVERED_GROUP: &[Field] = &[
    ("metadata", 1, OBJECT_META),
    ("versions", 2, Messages(DISCOVERED_VERSION)),
];
const DISCOVERY: &[Field] = &[
    ("metadata", 1, LIST_META),
    ("items", 2, Messages(DISCOVERED_GROUP)),
];

/// A document in its envelope; `None` if there is no message for its kind, or for one of its fields.
pub fn encode(document: &Value) -> Option<Vec<u8>> {
    let kind = document.str_at(&["kind"]);
    let api_version = match document.str_at(&["apiVersion"]) {
        "" => "v1",
        given => given,
    };
    let fields = match kind {
        "PartialObjectMetadata" => PARTIAL,
        "PartialObjectMetadataList" => PARTIAL_LIST,
        "APIVersions" => API_VERSIONS,
        "APIGroup" => GROUP,
        "APIGroupList" => GROUP_LIST,
        "APIResourceList" => RESOURCE_LIST,
        "APIGroupDiscoveryList" => DISCOVERY,
        _ => {
            let (group, version) = split_api_version(api_version);
            let schema = Schemas::builtin().kind(group, version, kind)?;
            let content = encode::object(schema, document)?;
            return Some(envelope(api_version, kind, &content));
        }
    };
    Some(envelope(api_version, kind, &message(document, fields)?))
}

fn envelope(api_version: &str, kind: &str, content: &[u8]) -> Vec<u8> {
    let mut type_meta = Vec::new();
    bytes(1, api_version.as_bytes(), &mut type_meta);
    bytes(2, kind.as_bytes(), &mut type_meta);
    let mut out = MAGIC.to_vec();
    bytes(1, &type_meta, &mut out);
    bytes(2, content, &mut out);
    bytes(3, b"", &mut out);
    bytes(4, b"", &mut out);
    out
}

/// An event of a watch as a frame of its stream: four bytes of length, the most significant first, then the message.
/// `None` if there is no message for the object.
pub fn frame(kind: &str, object: &Value) -> Option<Vec<u8>> {
    let mut raw = Vec::new();
    bytes(1, &encode(object)?, &mut raw);
    let mut event = Vec::new();
    bytes(1, kind.as_bytes(), &mut event);
    bytes(2, &raw, &mut event);
    let mut out = u32::try_from(event.len()).ok()?.to_be_bytes().to_vec();
    out.extend_from_slice(&event);
    Some(out)
}

/// Whether a body claims to be protobuf.
pub fn is_enveloped(body: &[u8]) -> bool {
    body.starts_with(MAGIC)
}

/// The object in an envelope, in the form in which JSON would have brought it; of a kind nobody knows no more than the
/// kind. An envelope that names no kind holds one of `expected` (apiVersion and kind). The error is in Go's words.
pub fn decode(body: &[u8], expected: (&str, &str)) -> Result<Value, String> {
    let body = body.strip_prefix(MAGIC).ok_or("no envelope")?;
    let (mut api_version, mut kind, mut content) = (String::new(), String::new(), &b""[..]);
    let mut envelope = wire::Fields::of(body);
    while let Some((number, raw)) = envelope.next()? {
        match number {
            1 => {
                let mut type_meta = wire::Fields::of(raw.bytes("TypeMeta")?);
                while let Some((number, raw)) = type_meta.next()? {
                    match number {
                        1 => api_version = raw.text("APIVersion")?,
                        2 => kind = raw.text("Kind")?,
                        _ => {}
                    }
                }
            }
            2 => content = raw.bytes("Raw")?,
            _ => {}
        }
    }
    if api_version.is_empty() {
        expected.0.clone_into(&mut api_version);
    }
    if kind.is_empty() {
        expected.1.clone_into(&mut kind);
    }
    let (group, version) = split_api_version(&api_version);
    let mut value = match Schemas::builtin().kind(group, version, &kind) {
        Some(schema) => decode::object(schema, content)?,
        None => Value::object(),
    };
    let map = value.make_object();
    map.insert("apiVersion", api_version);
    map.insert("kind", kind);
    Ok(value)
}

fn message(value: &Value, fields: &[Field]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (name, number, kind) in fields {
        field(value.get(name), *number, *kind, &mut out)?;
    }
    Some(out)
}

fn field(value: Option<&Value>, number: u32, kind: Kind, out: &mut Vec<u8>) -> Option<()> {
    let present = value.filter(|value| !value.is_null());
    let value = present.unwrap_or(&Value::Null);
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    match kind {
        OptionalMessage(_) if present.is_none() => {}
        Text => bytes(number, value.as_str().unwrap_or_default().as_bytes(), out),
        Texts => items
            .iter()
            .for_each(|item| bytes(number, item.as_str().unwrap_or_default().as_bytes(), out)),
        Flag => wire::number(number, u64::from(value.as_bool() == Some(true)), out),
        Message(fields) | OptionalMessage(fields) => bytes(number, &message(value, fields)?, out),
        Messages(fields) => {
            for item in items {
                bytes(number, &message(item, fields)?, out);
            }
        }
        Verbs => {
            let mut verbs = Vec::new();
            field(present, 1, Texts, &mut verbs)?;
            bytes(number, &verbs, out);
        }
        Kind::Built(name) => {
            let schema = Schemas::builtin().named(name)?;
            bytes(number, &encode::object(schema, value)?, out);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a12_a_status_as_the_server_writes_it() {
        let status = crate::json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "m", "reason": "NotAcceptable", "code": 406});
        let want = b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Status\x12\x26\x0a\x06\x0a\x00\x12\x00\x1a\x00\x12\x07Failure\x1a\x01m\x22\x0dNotAcceptable\x30\x96\x03\x1a\x00\x22\x00";
        assert_eq!(encode(&status).unwrap(), want);
        assert_eq!(
            encode(&crate::json!({"kind": "Foo", "apiVersion": "example.com/v1"})),
            None
        );
    }

    fn there_and_back(value: &Value) -> Value {
        let body = encode(value).expect("there is a message for it");
        decode(&body, ("v1", "")).expect("what was written can be read")
    }

    #[test]
    fn objects_come_back_as_they_went() {
        let objects = [
            crate::json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "a", "labels": {"x": "y"}, "creationTimestamp": "2026-01-02T03:04:05Z", "generation": 3,
                    "managedFields": [{"manager": "m", "operation": "Update", "fieldsV1": {"f:data": {}}}]},
                "data": {"k": "v", "empty": ""}, "binaryData": {"b": "AAEC"}, "immutable": false,
            }),
            crate::json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
                "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}},
                    "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}, "type": "RollingUpdate"},
                    "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
                        "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}],
                            "env": [{"name": "E", "valueFrom": {"configMapKeyRef": {"name": "n", "key": "k", "optional": true}}}],
                            "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
                            "resources": {"limits": {"cpu": "100m"}}, "securityContext": {}}],
                        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "n", "defaultMode": 420}}]}}},
            }),
            crate::json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
                "spec": {"holderIdentity": "", "leaseTransitions": -1, "renewTime": "2026-01-02T03:04:05.000006Z"},
            }),
            crate::json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "x.y"},
                "spec": {"versions": [{"name": "v1", "served": true, "schema": {"openAPIV3Schema": {"type": "object",
                    "properties": {"a": {"type": "number", "maximum": 1.5, "default": null},
                        "b": {"additionalProperties": true}, "c": {"items": {"type": "string"}}}}}}]},
            }),
            crate::json!({
                "apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "7"},
                "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}],
            }),
            crate::json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                "spec": {"user": "u", "extra": {"scopes": ["a", "b"]}},
            }),
        ];
        for object in objects {
            assert_eq!(there_and_back(&object), object);
        }
    }

    #[test]
    fn a12_metadata_as_the_server_writes_it() {
        let partial = crate::json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": {"name": "a", "generation": 2, "labels": {"k": "v"}, "deletionGracePeriodSeconds": 0}});
        let body = encode(&partial).unwrap();
        // Every plain field is there, creationTimestamp with nothing in it.
        let metadata = b"\x0a\x01a\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x02\x42\x00\x50\x00\x5a\x06\x0a\x01k\x12\x01v";
        let found = body
            .windows(metadata.len())
            .any(|window| window == metadata);
        assert!(found, "{body:x?}");
    }

    #[test]
    fn a_field_without_a_number_is_not_dropped() {
        let mut pod = crate::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}});
        assert!(encode(&pod).is_some());
        pod.set(
            &["spec", "schedulingGroup"],
            crate::json!({"podGroupName": "g"}),
        );
        assert_eq!(encode(&pod), None);
    }

    #[test]
    fn a_cut_or_foreign_message_is_an_error() {
        let whole = encode(
            &crate::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}),
        )
        .unwrap();
        for end in 5..whole.len() - 4 {
            let cut = decode(&whole[..end], ("v1", "Secret"));
            assert!(cut.is_err() || end == 4 + 2 + 12, "{end}: {cut:?}");
        }
        let wrong = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x02\x08\x01";
        let why = decode(wrong, ("v1", "ConfigMap")).unwrap_err();
        assert_eq!(why, "proto: wrong wireType = 0 for field metadata");
    }
}
