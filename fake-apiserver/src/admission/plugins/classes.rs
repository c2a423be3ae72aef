//! Default classes, protection finalizers, the first taint of a node, growing claims.
//!
//! Source: `plugin/pkg/admission/{storage/storageclass/setdefault,storage/persistentvolume/resize,
//! storage/storageobjectinuseprotection,network/defaultingressclass,nodetaint,priority}`.

use super::{find, refuse, stored};
use crate::admission::Attributes;
use crate::json;
use crate::json::Value;
use crate::server::{Halt, Session};
use crate::strategy::quantity::Quantity;

/// The priority classes that a cluster begins with.
pub(crate) fn bootstrap() -> Vec<(&'static str, Value)> {
    let class = |name: &str, value: i64, whom: &str| {
        let object = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": name, "generation": 1},
            "value": value,
            "description": (format!("Used for system critical pods that {whom}")),
            "preemptionPolicy": "PreemptLowerPriority",
        });
        ("priorityclasses", object)
    };
    vec![
        class(
            "system-cluster-critical",
            2_000_000_000,
            "must run in the cluster, but can be moved to another node if necessary.",
        ),
        class(
            "system-node-critical",
            2_000_001_000,
            "must not be moved from their current node.",
        ),
    ]
}

/// The default among classes: the newest marked one, the first by name of these.
fn default_class(s: &Session<'_>, group: &str, plural: &str, annotations: &[&str]) -> Vec<Value> {
    let marked = |class: &Value| {
        annotations
            .iter()
            .any(|key| class.str_at(&["metadata", "annotations", key]) == "true")
    };
    let mut classes: Vec<Value> = stored(s, group, plural, None)
        .into_iter()
        .filter(marked)
        .collect();
    classes.sort_by(|a, b| {
        let born = |class: &Value| class.str_at(&["metadata", "creationTimestamp"]).to_owned();
        born(b).cmp(&born(a))
    });
    classes
}

/// A claim without a class gets the default one.
pub(super) fn default_storage_class(s: &Session<'_>, object: &mut Value) {
    let beta = "volume.beta.kubernetes.io/storage-class";
    if object.at(&["spec", "storageClassName"]).is_some()
        || object.at(&["metadata", "annotations", beta]).is_some()
    {
        return;
    }
    let keys = [
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ];
    if let Some(class) = default_class(s, "storage.k8s.io", "storageclasses", &keys).first() {
        object.set(
            &["spec", "storageClassName"],
            class.str_at(&["metadata", "name"]),
        );
    }
}

/// An ingress without a class gets the default one.
pub(super) fn default_ingress_class(
    s: &Session<'_>,
    attributes: &Attributes<'_>,
    object: &mut Value,
) -> Result<(), Halt> {
    let old = "kubernetes.io/ingress.class";
    if object.at(&["spec", "ingressClassName"]).is_some()
        || object.at(&["metadata", "annotations", old]).is_some()
    {
        return Ok(());
    }
    let keys = ["ingressclass.kubernetes.io/is-default-class"];
    let classes = default_class(s, "networking.k8s.io", "ingressclasses", &keys);
    let _ = attributes;
    if let Some(class) = classes.first() {
        object.set(
            &["spec", "ingressClassName"],
            class.str_at(&["metadata", "name"]),
        );
    }
    Ok(())
}

/// Adds a finalizer that keeps what is in use.
pub(super) fn protect(object: &mut Value, finalizer: &str) {
    let mut list = object.array_at(&["metadata", "finalizers"]).to_vec();
    if !list.iter().any(|present| *present == finalizer) {
        list.push(finalizer.into());
        object.set(&["metadata", "finalizers"], Value::Array(list));
    }
}

/// A new node is not ready.
pub(super) fn taint(object: &mut Value) {
    let key = "node.kubernetes.io/not-ready";
    let mut taints = object.array_at(&["spec", "taints"]).to_vec();
    let present =
        |taint: &Value| taint.str_at(&["key"]) == key && taint.str_at(&["effect"]) == "NoSchedule";
    if !taints.iter().any(present) {
        taints.push(json!({"key": key, "effect": "NoSchedule"}));
        object.set(&["spec", "taints"], Value::Array(taints));
    }
}

/// Only bound claims of a class that says so can grow.
pub(super) fn resize(
    s: &Session<'_>,
    attributes: &Attributes<'_>,
    object: &Value,
) -> Result<(), Halt> {
    let Some(old) = attributes.old else {
        return Ok(());
    };
    let size = |claim: &Value| {
        Quantity::parse(claim.str_at(&["spec", "resources", "requests", "storage"])).ok()
    };
    let (Some(before), Some(mut grown)) = (size(old), size(object)) else {
        return Ok(());
    };
    grown.sub(&before);
    if grown.is_zero() || grown.is_negative() {
        return Ok(());
    }
    if old.str_at(&["status", "phase"]) != "Bound" {
        let why = "Only bound persistent volume claims can be expanded";
        return Err(refuse(attributes, object, why).into());
    }
    let class = object.str_at(&["spec", "storageClassName"]);
    let allowed = class == old.str_at(&["spec", "storageClassName"])
        && find(s, "storage.k8s.io", "storageclasses", "", class)
            .is_some_and(|class| class.get("allowVolumeExpansion") == Some(&Value::Bool(true)));
    if allowed {
        return Ok(());
    }
    let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    Err(refuse(attributes, object, why).into())
}

/// One priority class at most is the default.
pub(super) fn one_default_priority(
    s: &Session<'_>,
    attributes: &Attributes<'_>,
    object: &Value,
) -> Result<(), Halt> {
    let is_default = |class: &Value| class.get("globalDefault") == Some(&Value::Bool(true));
    if !is_default(object) {
        return Ok(());
    }
    let own = object.str_at(&["metadata", "name"]);
    let others = stored(s, "scheduling.k8s.io", "priorityclasses", None);
    let other = others
        .iter()
        .find(|class| is_default(class) && class.str_at(&["metadata", "name"]) != own);
    match other {
        Some(other) => {
            let why = format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                other.str_at(&["metadata", "name"])
            );
            Err(refuse(attributes, object, &why).into())
        }
        None => Ok(()),
    }
}
