//! From a Pod template to Pods: their names, their labels, and the hash that tells templates apart.
//!
//! Names are a function of the template, the owner and a number, so that equal schedules give equal names; a real
//! controller leaves the suffix to the API server's random `generateName`.

use fake_apiserver::ids::SUFFIX_ALPHABET;
use fake_apiserver::json;
use fake_apiserver::json::Value;
use fake_apiserver::store::Object;

use super::{Kind, objects};

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn letters(mut number: u64, count: usize) -> String {
    let mut text = String::with_capacity(count);
    for _ in 0..count {
        let letter = SUFFIX_ALPHABET[(number % 27) as usize];
        text.push(char::from(letter));
        number /= 27;
    }
    text
}

/// What tells templates apart: ten letters.
pub(super) fn template_hash(template: &Value) -> String {
    letters(hash(&json::to_vec(template)), 10)
}

/// The name of the nth child of an owner: five letters behind the owner's name.
pub(super) fn name(owner: &str, nth: u64) -> String {
    // The low bits of a short text's hash hardly differ.
    let number = hash(format!("{owner}/{nth}").as_bytes()).rotate_left(23);
    format!("{owner}-{}", letters(number, 5))
}

/// A Pod of a template: its labels, annotations, finalizers and spec, and its owner.
pub(super) fn pod(kind: Kind, owner: &Object, template: &Value, name: &str) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": owner.namespace()},
    });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template.at(&["metadata", field]) {
            pod.set(&["metadata", field], value.clone());
        }
    }
    pod.set(
        &["metadata", "ownerReferences"],
        objects::owned_by(kind, owner),
    );
    if let Some(spec) = template.get("spec") {
        pod.set(&["spec"], spec.clone());
    }
    pod
}
