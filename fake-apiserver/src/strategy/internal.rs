//! Values as the real server prints its internal types: the names of Go, in the order of the type, nothing left out.
//!
//! Owns the printing and the types that a message shows in more than one place or more than one level deep (B11).
//! Source: `pkg/apis/*/types.go`.

use crate::json::Value;

/// What stands in a field.
#[derive(Clone, Copy)]
pub enum Shape {
    /// A text, `""` if absent.
    Text,
    /// A pointer, a list of texts or a type of `meta/v1`: as in JSON, `null` if absent.
    Any,
    /// A struct, all its fields if absent.
    Struct(&'static [Field]),
    /// A struct behind a pointer, `null` if absent.
    Pointer(&'static [Field]),
    /// A list of structs, `null` if absent.
    List(&'static [Field]),
}

use Shape::{Any, List, Pointer, Struct, Text};

/// The name in Go, the name in JSON, and what stands there.
pub type Field = (&'static str, &'static str, Shape);

/// `spec.podFailurePolicy` of a Job.
pub const FAILURE_POLICY: &[Field] = &[(
    "Rules",
    "rules",
    List(&[
        ("Action", "action", Text),
        (
            "OnExitCodes",
            "onExitCodes",
            Pointer(&[
                ("ContainerName", "containerName", Any),
                ("Operator", "operator", Text),
                ("Values", "values", Any),
            ]),
        ),
        (
            "OnPodConditions",
            "onPodConditions",
            List(&[("Type", "type", Text), ("Status", "status", Text)]),
        ),
    ]),
)];

/// `spec.successPolicy` of a Job.
pub const SUCCESS_POLICY: &[Field] = &[(
    "Rules",
    "rules",
    List(&[
        ("SucceededIndexes", "succeededIndexes", Any),
        ("SucceededCount", "succeededCount", Any),
    ]),
)];

/// The spec of a VolumeAttachment.
pub const ATTACHMENT: &[Field] = &[
    ("Attacher", "attacher", Text),
    (
        "Source",
        "source",
        Struct(&[
            ("PersistentVolumeName", "persistentVolumeName", Any),
            ("InlineVolumeSpec", "inlineVolumeSpec", Any),
        ]),
    ),
    ("NodeName", "nodeName", Text),
];

const REQUIREMENTS: Shape = List(&[
    ("Key", "key", Text),
    ("Operator", "operator", Text),
    ("Values", "values", Any),
]);

/// `spec.nodeAffinity` of a PersistentVolume.
pub const NODE_AFFINITY: &[Field] = &[(
    "Required",
    "required",
    Pointer(&[(
        "NodeSelectorTerms",
        "nodeSelectorTerms",
        List(&[
            ("MatchExpressions", "matchExpressions", REQUIREMENTS),
            ("MatchFields", "matchFields", REQUIREMENTS),
        ]),
    )]),
)];

/// A value behind a pointer, printed as a type.
pub fn print(value: &Value, fields: &'static [Field]) -> String {
    shown(value, Pointer(fields))
}

fn shown(value: &Value, shape: Shape) -> String {
    match shape {
        Text => Value::from(value.as_str().unwrap_or_default()).to_string(),
        Any => value.to_string(),
        Pointer(_) | List(_) if value.is_null() => "null".to_owned(),
        List(fields) => {
            let items = value.as_array().into_iter().flatten();
            let items: Vec<String> = items.map(|item| shown(item, Struct(fields))).collect();
            format!("[{}]", items.join(","))
        }
        Struct(fields) | Pointer(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(go, name, shape)| format!("\"{go}\":{}", shown(&value[*name], *shape)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn b11_internal_types_have_all_their_fields() {
        let policy = json!({"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]});
        assert_eq!(
            print(&policy, FAILURE_POLICY),
            "{\"Rules\":[{\"Action\":\"Ignore\",\"OnExitCodes\":null,\"OnPodConditions\":[{\"Type\":\"DisruptionTarget\",\"Status\":\"True\"}]}]}"
        );
        assert_eq!(print(&Value::Null, SUCCESS_POLICY), "null");
        assert_eq!(
            print(
                &json!({"attacher": "a", "source": {"persistentVolumeName": "p"}}),
                ATTACHMENT
            ),
            "{\"Attacher\":\"a\",\"Source\":{\"PersistentVolumeName\":\"p\",\"InlineVolumeSpec\":null},\"NodeName\":\"\"}"
        );
    }
}
