//! Cells of the storage kinds.

use super::{boolean, count, text, text_or};
use crate::json::Value;

pub(super) fn cell(kind: &str, header: &str, object: &Value) -> Option<Value> {
    let flag = |path: &[&str]| Some(Value::Bool(boolean(object, path) == "True"));
    match (kind, header) {
        ("PersistentVolume" | "PersistentVolumeClaim", _) => volume(kind, header, object),
        ("StorageClass", "Provisioner") => text(object.str_at(&["provisioner"])),
        ("StorageClass", "ReclaimPolicy") => text_or(object, &["reclaimPolicy"], "Delete"),
        ("StorageClass", "VolumeBindingMode") => {
            text_or(object, &["volumeBindingMode"], "Immediate")
        }
        ("StorageClass", "AllowVolumeExpansion") => flag(&["allowVolumeExpansion"]),
        ("VolumeAttributesClass", "DriverName") => text(object.str_at(&["driverName"])),
        ("VolumeAttachment", "Attacher") => text(object.str_at(&["spec", "attacher"])),
        ("VolumeAttachment", "PV") => {
            text(object.str_at(&["spec", "source", "persistentVolumeName"]))
        }
        ("VolumeAttachment", "Node") => text(object.str_at(&["spec", "nodeName"])),
        ("VolumeAttachment", "Attached") => flag(&["status", "attached"]),
        ("CSINode", "Drivers") => Some(Value::from(count(object, &["spec", "drivers"]))),
        ("CSIDriver", "AttachRequired") => Some(Value::Bool(
            boolean(object, &["spec", "attachRequired"]) != "False",
        )),
        ("CSIDriver", "PodInfoOnMount") => flag(&["spec", "podInfoOnMount"]),
        ("CSIDriver", "StorageCapacity") => flag(&["spec", "storageCapacity"]),
        ("CSIDriver", "TokenRequests") => {
            let audiences = object
                .array_at(&["spec", "tokenRequests"])
                .iter()
                .map(|t| t.str_at(&["audience"]));
            let audiences: Vec<&str> = audiences.collect();
            text(if audiences.is_empty() {
                "<unset>".to_string()
            } else {
                audiences.join(",")
            })
        }
        ("CSIDriver", "RequiresRepublish") => flag(&["spec", "requiresRepublish"]),
        ("CSIDriver", "Modes") => {
            let modes = object
                .array_at(&["spec", "volumeLifecycleModes"])
                .iter()
                .filter_map(Value::as_str);
            let modes: Vec<&str> = modes.collect();
            text(if modes.is_empty() {
                "<none>".to_string()
            } else {
                modes.join(",")
            })
        }
        ("CSIStorageCapacity", "StorageClassName") => text(object.str_at(&["storageClassName"])),
        ("CSIStorageCapacity", "Capacity") => text_or(object, &["capacity"], "<unset>"),
        _ => None,
    }
}

/// Whether new claims without a class take this one.
pub(super) fn is_default_class(kind: &str, object: &Value) -> bool {
    let annotations: &[&str] = match kind {
        "StorageClass" => &[
            "storageclass.kubernetes.io/is-default-class",
            "storageclass.beta.kubernetes.io/is-default-class",
        ],
        "VolumeAttributesClass" => &["volumeattributesclass.alpha.kubernetes.io/is-default-class"],
        _ => &[],
    };
    annotations
        .iter()
        .any(|name| object.str_at(&["metadata", "annotations", name]) == "true")
}

fn volume(kind: &str, header: &str, object: &Value) -> Option<Value> {
    let claim = kind == "PersistentVolumeClaim";
    let bound = !claim || !object.str_at(&["spec", "volumeName"]).is_empty();
    let holder = if claim { "status" } else { "spec" };
    match header {
        "Status" if object.at(&["metadata", "deletionTimestamp"]).is_some() => text("Terminating"),
        "Status" => text(object.str_at(&["status", "phase"])),
        "Volume" => text(object.str_at(&["spec", "volumeName"])),
        "Capacity" if bound => text_or(object, &[holder, "capacity", "storage"], "0"),
        "Access Modes" if bound => text(modes(object.array_at(&[holder, "accessModes"]))),
        "Capacity" | "Access Modes" => text(""),
        "Reclaim Policy" => text(object.str_at(&["spec", "persistentVolumeReclaimPolicy"])),
        "Claim" => match object.at(&["spec", "claimRef"]) {
            Some(claim) => text(format!(
                "{}/{}",
                claim.str_at(&["namespace"]),
                claim.str_at(&["name"])
            )),
            None => text(""),
        },
        "StorageClass" => match object.str_at(&[
            "metadata",
            "annotations",
            "volume.beta.kubernetes.io/storage-class",
        ]) {
            "" => text(object.str_at(&["spec", "storageClassName"])),
            annotated => text(annotated),
        },
        "VolumeAttributesClass" => {
            text_or(object, &["spec", "volumeAttributesClassName"], "<unset>")
        }
        "Reason" => text(object.str_at(&["status", "reason"])),
        "VolumeMode" => text_or(object, &["spec", "volumeMode"], "<unset>"),
        _ => None,
    }
}

fn modes(modes: &[Value]) -> String {
    let has = |mode: &str| modes.iter().any(|m| m.as_str() == Some(mode));
    let known = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    known
        .iter()
        .filter(|(mode, _)| has(mode))
        .map(|(_, short)| *short)
        .collect::<Vec<_>>()
        .join(",")
}
