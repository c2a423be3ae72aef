//! Protobuf answers: Status, discovery documents and object metadata (A12).
//!
//! Owns writing of these few messages with the envelope `k8s\0` around them. Objects of built-in kinds are not written and
//! bodies are not read in protobuf: clients that offer JSON beside it get JSON, the others 406 and 415.
//! Source: apimachinery `runtime/serializer/protobuf`, `meta/v1/generated.proto`, `apidiscovery/v2/generated.proto`.

use crate::json::{self, Map, Value};
use crate::time::Timestamp;

/// How a field is written. Plain fields are always there, as Go's generated code writes them.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Texts,
    Flag,
    Number,
    OptionalNumber,
    OptionalFlag,
    Message(&'static [Field]),
    OptionalMessage(&'static [Field]),
    Messages(&'static [Field]),
    /// A list of texts in a message of its own.
    Verbs,
    Time,
    OptionalTime,
    /// `map<string, string>`
    Pairs,
    /// `FieldsV1`: JSON in a message of its own.
    Fields,
}

/// JSON name, field number, how it is written.
type Field = (&'static str, u32, Kind);

use Kind::{
    Fields, Flag, Message, Messages, Number, OptionalFlag, OptionalMessage, OptionalNumber,
    OptionalTime, Pairs, Text, Texts, Time, Verbs,
};

const LIST_META: &[Field] = &[
    ("selfLink", 1, Text),
    ("resourceVersion", 2, Text),
    ("continue", 3, Text),
    ("remainingItemCount", 4, OptionalNumber),
];
const CAUSE: &[Field] = &[
    ("reason", 1, Text),
    ("message", 2, Text),
    ("field", 3, Text),
];
const DETAILS: &[Field] = &[
    ("name", 1, Text),
    ("group", 2, Text),
    ("kind", 3, Text),
    ("causes", 4, Messages(CAUSE)),
    ("retryAfterSeconds", 5, Number),
    ("uid", 6, Text),
];
const STATUS: &[Field] = &[
    ("metadata", 1, Message(LIST_META)),
    ("status", 2, Text),
    ("message", 3, Text),
    ("reason", 4, Text),
    ("details", 5, OptionalMessage(DETAILS)),
    ("code", 6, Number),
];
const OWNER: &[Field] = &[
    ("kind", 1, Text),
    ("name", 3, Text),
    ("uid", 4, Text),
    ("apiVersion", 5, Text),
    ("controller", 6, OptionalFlag),
    ("blockOwnerDeletion", 7, OptionalFlag),
];
const MANAGED: &[Field] = &[
    ("manager", 1, Text),
    ("operation", 2, Text),
    ("apiVersion", 3, Text),
    ("time", 4, OptionalTime),
    ("fieldsType", 6, Text),
    ("fieldsV1", 7, Fields),
    ("subresource", 8, Text),
];
const OBJECT_META: &[Field] = &[
    ("name", 1, Text),
    ("generateName", 2, Text),
    ("namespace", 3, Text),
    ("selfLink", 4, Text),
    ("uid", 5, Text),
    ("resourceVersion", 6, Text),
    ("generation", 7, Number),
    ("creationTimestamp", 8, Time),
    ("deletionTimestamp", 9, OptionalTime),
    ("deletionGracePeriodSeconds", 10, OptionalNumber),
    ("labels", 11, Pairs),
    ("annotations", 12, Pairs),
    ("ownerReferences", 13, Messages(OWNER)),
    ("finalizers", 14, Texts),
    ("managedFields", 17, Messages(MANAGED)),
];
const PARTIAL: &[Field] = &[("metadata", 1, Message(OBJECT_META))];
const PARTIAL_LIST: &[Field] = &[
    ("metadata", 1, Message(LIST_META)),
    ("items", 2, Messages(PARTIAL)),
];
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
    ("metadata", 1, Message(OBJECT_META)),
    ("versions", 2, Messages(DISCOVERED_VERSION)),
];
const DISCOVERY: &[Field] = &[
    ("metadata", 1, Message(LIST_META)),
    ("items", 2, Messages(DISCOVERED_GROUP)),
];

/// A document in its envelope; `None` if there is no message for its kind.
pub fn encode(document: &Value) -> Option<Vec<u8>> {
    let fields = match document.str_at(&["kind"]) {
        "Status" => STATUS,
        "PartialObjectMetadata" => PARTIAL,
        "PartialObjectMetadataList" => PARTIAL_LIST,
        "APIVersions" => API_VERSIONS,
        "APIGroup" => GROUP,
        "APIGroupList" => GROUP_LIST,
        "APIResourceList" => RESOURCE_LIST,
        "APIGroupDiscoveryList" => DISCOVERY,
        _ => return None,
    };
    let api_version = match document.str_at(&["apiVersion"]) {
        "" => "v1",
        given => given,
    };
    let mut kind = Vec::new();
    bytes(1, api_version.as_bytes(), &mut kind);
    bytes(2, document.str_at(&["kind"]).as_bytes(), &mut kind);
    let mut out = b"k8s\0".to_vec();
    bytes(1, &kind, &mut out);
    bytes(2, &message(document, fields), &mut out);
    bytes(3, b"", &mut out);
    bytes(4, b"", &mut out);
    Some(out)
}

fn message(value: &Value, fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, number, kind) in fields {
        field(value.get(name), *number, *kind, &mut out);
    }
    out
}

fn field(value: Option<&Value>, number: u32, kind: Kind, out: &mut Vec<u8>) {
    const NULL: &Value = &Value::Null;
    let present = value.filter(|value| !value.is_null());
    let value = present.unwrap_or(NULL);
    let text = value.as_str().unwrap_or_default();
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    match kind {
        OptionalNumber | OptionalFlag | OptionalMessage(_) | OptionalTime | Fields
            if present.is_none() => {}
        Text => bytes(number, text.as_bytes(), out),
        Texts => items
            .iter()
            .for_each(|item| bytes(number, item.as_str().unwrap_or_default().as_bytes(), out)),
        Number | OptionalNumber => {
            varint(u64::from(number) << 3, out);
            varint(value.as_i64().unwrap_or(0) as u64, out);
        }
        Flag | OptionalFlag => {
            varint(u64::from(number) << 3, out);
            varint(u64::from(value.as_bool() == Some(true)), out);
        }
        Message(fields) | OptionalMessage(fields) => bytes(number, &message(value, fields), out),
        Messages(fields) => items
            .iter()
            .for_each(|item| bytes(number, &message(item, fields), out)),
        Verbs => {
            let mut verbs = Vec::new();
            field(present, 1, Texts, &mut verbs);
            bytes(number, &verbs, out);
        }
        Time | OptionalTime => {
            let mut time = Vec::new();
            if let Some(at) = Timestamp::parse_rfc3339(text) {
                varint(1 << 3, &mut time);
                varint(at.seconds() as u64, &mut time);
                varint(2 << 3, &mut time);
                varint(0, &mut time);
            }
            bytes(number, &time, out);
        }
        Pairs => {
            for (key, value) in value.as_object().into_iter().flat_map(Map::iter) {
                let mut pair = Vec::new();
                bytes(1, key.as_bytes(), &mut pair);
                bytes(2, value.as_str().unwrap_or_default().as_bytes(), &mut pair);
                bytes(number, &pair, out);
            }
        }
        Fields => {
            let mut raw = Vec::new();
            bytes(1, &json::to_vec(value), &mut raw);
            bytes(number, &raw, out);
        }
    }
}

fn bytes(number: u32, content: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a12_a_status_as_the_server_writes_it() {
        let status = crate::json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "m", "reason": "NotAcceptable", "code": 406});
        let want = b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Status\x12\x26\x0a\x06\x0a\x00\x12\x00\x1a\x00\x12\x07Failure\x1a\x01m\x22\x0dNotAcceptable\x30\x96\x03\x1a\x00\x22\x00";
        assert_eq!(encode(&status).unwrap(), want);
        assert_eq!(encode(&crate::json!({"kind": "ConfigMap"})), None);
    }
}
