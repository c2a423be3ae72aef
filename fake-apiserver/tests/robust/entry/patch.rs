//! Patches of the three kinds besides apply.

use fake_apiserver::json;
use fake_apiserver::patch::{self as patches, PatchType};
use fake_apiserver::schema::{Schema, Schemas};

use super::{assert_round_trip, sections};

/// What `copy` may add to a document, and what an input cannot name otherwise (defaults of error texts).
const ADDED_MAX: usize = 4 << 20;

/// Patches a document. Sections: `json`, `merge` or `strategic` with a kind (`strategic apps/v1/Deployment`), the live
/// document, the patch.
pub(crate) fn patch(bytes: &[u8]) {
    let parts = sections(bytes);
    let [head, live, body] = parts.as_slice() else {
        return;
    };
    let Ok(live) = json::parse(live) else {
        return;
    };
    let head = String::from_utf8_lossy(head);
    let (name, kind) = head
        .trim()
        .split_once(' ')
        .unwrap_or((head.trim(), "apps/v1/Deployment"));
    let kinds = match name {
        "json" => PatchType::Json,
        "merge" => PatchType::Merge,
        _ => PatchType::Strategic,
    };
    let schema = schema_of(kind);
    let first = patches::patch(kinds, &live, body, schema);
    let again = patches::patch(kinds, &live, body, schema);
    match (first, again) {
        (Ok(first), Ok(again)) => {
            assert_eq!(first, again, "equal patches give equal documents");
            assert_round_trip(&first.value);
            let size = json::to_vec(&first.value).len();
            let given = json::to_vec(&live).len() + 6 * body.len();
            assert!(size <= given + ADDED_MAX, "{size} bytes out of {given}");
            if kinds == PatchType::Merge {
                let twice = patches::patch(kinds, &first.value, body, schema);
                let twice = twice.map(|twice| twice.value);
                assert_eq!(
                    twice.ok().as_ref(),
                    Some(&first.value),
                    "a merge patch twice is the patch once"
                );
            }
            first.undecodable(schema, &live, "why");
        }
        (Err(first), Err(again)) => {
            assert_eq!(first.to_value(), again.to_value());
            assert!(
                (400..=500).contains(&first.code),
                "{}: {}",
                first.code,
                first.message
            );
            assert!(!first.message.is_empty(), "a refusal says why");
        }
        _ => panic!("equal patches are refused or not"),
    }
}

fn schema_of(kind: &str) -> &'static Schema {
    let mut parts = kind.split('/');
    let (group, version, kind) = match (parts.next(), parts.next(), parts.next()) {
        (Some(group), Some(version), Some(kind)) => (group, version, kind),
        (Some(version), Some(kind), None) => ("", version, kind),
        _ => ("", "v1", "ConfigMap"),
    };
    let known = Schemas::builtin();
    known
        .kind(group, version, kind)
        .or_else(|| known.kind("", "v1", "Pod"))
        .expect("Pods are built in")
}
