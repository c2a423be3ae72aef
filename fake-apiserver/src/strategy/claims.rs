//! PersistentVolumeClaims and PersistentVolumes.
//!
//! Owns defaults (O11), mirrored data sources, immutability (D9). Does not own the protection finalizers and the resize rule:
//! those are admission.
//! Source: `pkg/apis/core/validation` (PersistentVolume…), `pkg/registry/core/persistentvolume{,claim}`.

use crate::json;
use crate::json::{Map, Value};
use crate::registry::Resource;
use crate::status::{Cause, Status};

use super::field::{At, Errors, semantically_equal};
use super::internal;
use super::names::Names;
use super::pods::{DEPRECATED_VOLUMES, absent, fill, node_selector};
use super::quantity::Quantity;
use super::volume_sources::{self, Place};
use super::{Cx, Strategy, deprecations, diff, keep_status_or_rest, metadata};

const MODES: &[&str] = &[
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];
const FIXED: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n";

/// PersistentVolumeClaims.
pub struct Claims;

impl Strategy for Claims {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        let map = object.make_object();
        default_spec(map.object("spec"));
        fill(map.object("status"), "phase", "Pending");
    }

    fn prepare_create(&self, _cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
        mirror_data_source(object.make_object().object("spec"), &Value::Null);
        object.set(&["status"], json!({"phase": "Pending"}));
        Ok(())
    }

    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        keep_status_or_rest(cx, new, old);
        if cx.subresource.is_empty() {
            mirror_data_source(new.make_object().object("spec"), &old["spec"]);
        }
        Ok(())
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        spec(&mut errors, &At::root(object).field("spec"));
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        if cx.subresource == "status" {
            let status = root.field("status");
            for name in ["capacity", "allocatedResources"] {
                for (_, amount) in status.field(name).entries() {
                    if Quantity::parse(amount.text()).is_ok_and(|amount| amount.is_negative()) {
                        errors.invalid(&amount, "must be a valid resource quantity");
                    }
                }
            }
            return errors.causes;
        }
        super::validate_metadata(&mut errors, cx, new, old);
        spec(&mut errors, &root.field("spec"));
        update(
            &mut errors,
            &root.field("spec"),
            old,
            new.str_at(&["status", "phase"]) == "Bound",
        );
        errors.causes
    }

    fn warnings(&self, out: &mut Vec<String>, new: &Value, _old: Option<&Value>) {
        deprecations::claim(out, new);
    }

    fn first_write_counts(&self, _created: &Value) -> bool {
        true
    }
}

/// Defaults of a claim's spec, also inside volumes and StatefulSets.
pub fn default_spec(spec: &mut Map) {
    absent(spec, "volumeMode", || "Filesystem".into());
}

// What is no claim and no snapshot can only be named the new way, what lies in another namespace not at all (its gate is
// off). Otherwise either way of naming the source fills the other.
fn mirror_data_source(spec: &mut Map, old: &Value) {
    let elsewhere = |reference: &Value| !reference.str_at(&["namespace"]).is_empty();
    if old["dataSourceRef"].is_null() && spec.get("dataSourceRef").is_some_and(elsewhere) {
        spec.remove("dataSourceRef");
    }
    let is_set = |spec: &Map, key: &str| spec.get(key).is_some_and(Value::is_object);
    if old["dataSource"].is_null()
        && old["dataSourceRef"].is_null()
        && !is_set(spec, "dataSourceRef")
        && is_set(spec, "dataSource")
    {
        let source = spec.get("dataSource").unwrap_or(&Value::Null);
        let known = [
            ("", "PersistentVolumeClaim"),
            ("snapshot.storage.k8s.io", "VolumeSnapshot"),
        ];
        if !known.contains(&(source.str_at(&["apiGroup"]), source.str_at(&["kind"]))) {
            spec.remove("dataSource");
        }
    }
    let set = |spec: &Map, key: &str| spec.get(key).filter(|value| value.is_object()).cloned();
    match (set(spec, "dataSource"), set(spec, "dataSourceRef")) {
        (Some(source), None) => {
            let mut reference = source;
            absent(reference.make_object(), "apiGroup", || Value::Null);
            spec.insert("dataSource", reference.clone());
            spec.insert("dataSourceRef", reference);
        }
        (None, Some(reference)) if reference.str_at(&["namespace"]).is_empty() => {
            let mut source = reference;
            source.remove(&["namespace"]);
            spec.insert("dataSource", source);
        }
        _ => {}
    }
}

/// A claim's spec.
pub fn spec(errors: &mut Errors, at: &At) {
    let modes = at.field("accessModes");
    if modes.list().is_empty() {
        errors.required(&modes, "at least 1 access mode is required");
    }
    metadata::label_selector(errors, &at.field("selector"));
    access_modes(errors, &modes);
    let resources = at.field("resources");
    let storage = resources.field_as("", &resources.value()["requests"]);
    let amount = storage.key("storage");
    let shown = resources.key("storage");
    if !amount.is_set() {
        errors.required(&shown, "");
    } else if Quantity::parse(amount.text())
        .is_ok_and(|amount| amount.is_zero() || amount.is_negative())
    {
        errors.invalid_as(&shown, amount.value(), "must be greater than zero");
    }
    class_name(errors, &at.field("storageClassName"));
    volume_mode(errors, &at.field("volumeMode"));
    for name in ["dataSource", "dataSourceRef"] {
        if at.field(name).is_set() {
            data_source(errors, &at.field(name));
        }
    }
    let (source, reference) = (at.field("dataSource"), at.field("dataSourceRef"));
    let elsewhere = !reference.field("namespace").text().is_empty();
    if source.is_set() && reference.is_set() {
        let differ = ["apiGroup", "kind", "name"]
            .iter()
            .any(|key| source.value()[*key] != reference.value()[*key]);
        let path = source.path();
        if elsewhere {
            errors.invalid_as(
                at,
                path,
                "may not be specified when dataSourceRef.namespace is specified",
            );
        } else if differ {
            errors.invalid_as(at, path, "must match dataSourceRef");
        }
    }
    class_name(errors, &at.field("volumeAttributesClassName"));
}

fn access_modes(errors: &mut Errors, modes: &At) {
    let (mut one_pod, mut others) = (false, false);
    for mode in modes.list() {
        if !MODES.iter().any(|known| mode == known) {
            errors.push(Cause::not_supported(modes.path(), mode, MODES));
        } else if mode == "ReadWriteOncePod" {
            one_pod = true;
        } else {
            others = true;
        }
    }
    if one_pod && others {
        errors.forbidden(
            modes,
            "may not use ReadWriteOncePod with other access modes",
        );
    }
}

fn class_name(errors: &mut Errors, at: &At) {
    if !at.text().is_empty() {
        errors.name(at, Names::Subdomain);
    }
}

fn volume_mode(errors: &mut Errors, at: &At) {
    if at.is_set() {
        errors.one_of(at, &["Block", "Filesystem"]);
    }
}

fn data_source(errors: &mut Errors, at: &At) {
    for name in ["name", "kind"] {
        if at.field(name).text().is_empty() {
            errors.required(&at.field(name), "");
        }
    }
    let group = at.field("apiGroup");
    let kind = at.field("kind").text();
    if group.text().is_empty() {
        if kind != "PersistentVolumeClaim" {
            errors.invalid_as(
                at,
                kind,
                "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            );
        }
    } else {
        errors.name(&group, Names::Subdomain);
    }
    if !at.field("namespace").text().is_empty() {
        errors.name(&at.field("namespace"), Names::Label);
    }
}

fn update(errors: &mut Errors, spec: &At, old: &Value, bound: bool) {
    let (mut new, mut stored) = (spec.value().clone(), old["spec"].clone());
    if stored.str_at(&["volumeName"]).is_empty() {
        super::restore(&mut stored, spec.value(), "volumeName");
    }
    if bound {
        if new["resources"]["requests"].is_object() {
            new.set(
                &["resources", "requests", "storage"],
                &old["spec"]["resources"]["requests"]["storage"],
            );
        }
        super::restore(&mut new, &old["spec"], "volumeAttributesClassName");
    }
    if !semantically_equal(&new, &stored) {
        errors.forbidden(spec, &format!("{FIXED}{}", diff::unified(&stored, &new)));
    }
    let size = |object: &Value, path: &[&str]| {
        Quantity::parse(object.str_at(path)).unwrap_or_else(|_| Quantity::zero())
    };
    let now = size(spec.value(), &["resources", "requests", "storage"]);
    let before = size(old, &["spec", "resources", "requests", "storage"]);
    if now < before && now <= size(old, &["status", "capacity", "storage"]) {
        let resources = spec.field("resources");
        let requests = resources.field("requests");
        errors.forbidden(
            &requests.field("storage"),
            "field can not be less than status.capacity",
        );
    }
    let mode = spec.field("volumeMode");
    errors.immutable(
        &At::named("volumeMode", mode.value()),
        &old["spec"]["volumeMode"],
    );
    let class = spec.field("volumeAttributesClassName");
    if class.value() != &old["spec"]["volumeAttributesClassName"]
        && !old["status"]["currentVolumeAttributesClassName"].is_null()
    {
        let what = if class.is_set() {
            "empty string"
        } else {
            "nil"
        };
        if class.text().is_empty() {
            errors.forbidden(
                &class,
                &format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"),
            );
        }
    }
}

/// PersistentVolumes.
pub struct Volumes;

// What of a volume's spec is not its source.
const NOT_A_SOURCE: &[&str] = &[
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

// In the order the real server looks at them.
const SOURCES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

impl Strategy for Volumes {
    fn warnings(&self, out: &mut Vec<String>, new: &Value, _old: Option<&Value>) {
        deprecations::volume(out, new, DEPRECATED_VOLUMES);
    }

    fn default(&self, _resource: &Resource, object: &mut Value) {
        let map = object.make_object();
        fill(map.object("status"), "phase", "Pending");
        let spec = map.object("spec");
        fill(spec, "persistentVolumeReclaimPolicy", "Retain");
        default_spec(spec);
        for source in SOURCES {
            if let Some(fields) = spec.get_mut(source).and_then(Value::as_object_mut) {
                volume_sources::default(source, fields);
            }
        }
    }

    fn prepare_create(&self, cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
        object.set(
            &["status"],
            json!({"phase": "Pending", "lastPhaseTransitionTime": (cx.now.rfc3339())}),
        );
        Ok(())
    }

    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        keep_status_or_rest(cx, new, old);
        let (now, before) = (&new["status"], &old["status"]);
        if cx.subresource == "status" && now["phase"] != before["phase"] {
            let given = now["lastPhaseTransitionTime"].is_null()
                || now["lastPhaseTransitionTime"] == before["lastPhaseTransitionTime"];
            if given {
                new.set(&["status", "lastPhaseTransitionTime"], cx.now.rfc3339());
            }
        }
        Ok(())
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let name = object.str_at(&["metadata", "name"]);
        volume(&mut errors, &At::root(object).field("spec"), name);
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        if cx.subresource == "status" {
            return Vec::new();
        }
        let root = At::root(new);
        super::validate_metadata(&mut errors, cx, new, old);
        let spec = root.field("spec");
        volume(&mut errors, &spec, new.str_at(&["metadata", "name"]));
        let source = |spec: &Value| {
            let mut spec = spec.as_object().cloned().unwrap_or_default();
            spec.retain(|key, _| !NOT_A_SOURCE.contains(&key));
            Value::Object(spec)
        };
        let (mut now, before) = (source(spec.value()), source(&old["spec"]));
        if before["csi"].is_object() && before["csi"]["controllerExpandSecretRef"].is_null() {
            now.remove(&["csi", "controllerExpandSecretRef"]);
        }
        if !semantically_equal(&now, &before) {
            let text = format!(
                "spec.persistentvolumesource is immutable after creation\n{}",
                diff::unified(&before, &now)
            );
            errors.forbidden(&spec.field("persistentvolumesource"), &text);
        }
        errors.immutable(
            &At::named("volumeMode", spec.field("volumeMode").value()),
            &old["spec"]["volumeMode"],
        );
        let affinity = &old["spec"]["nodeAffinity"];
        if !affinity.is_null() && !semantically_equal(&new["spec"]["nodeAffinity"], affinity) {
            let affinity = &new["spec"]["nodeAffinity"];
            errors.invalid_raw(
                &At::named("nodeAffinity", affinity),
                &internal::print(affinity, internal::NODE_AFFINITY),
                "field is immutable, except for updating from beta label to GA",
            );
        }
        errors.causes
    }
}

fn volume(errors: &mut Errors, spec: &At, name: &str) {
    let modes = spec.field("accessModes");
    if modes.list().is_empty() {
        errors.required(&modes, "");
    }
    access_modes(errors, &modes);
    let capacity = spec.field("capacity");
    let entries = capacity.value().as_object().map_or(0, |map| map.len());
    if entries == 0 {
        errors.required(&capacity, "");
    }
    if entries != 1 || !capacity.key("storage").is_set() {
        let shown = if entries == 0 {
            Value::Null
        } else {
            capacity.value().clone()
        };
        errors.push(Cause::not_supported(capacity.path(), &shown, &["storage"]));
    }
    for (_, amount) in capacity.entries() {
        if Quantity::parse(amount.text()).is_ok_and(|amount| amount.is_negative()) {
            errors.invalid(&amount, "must be a valid resource quantity");
        }
        if Quantity::parse(amount.text())
            .is_ok_and(|amount| amount.is_zero() || amount.is_negative())
        {
            errors.invalid(&amount, "must be greater than zero");
        }
    }
    let policy = spec.field("persistentVolumeReclaimPolicy");
    if !policy.text().is_empty() {
        errors.one_of(&policy, &["Delete", "Recycle", "Retain"]);
    }
    let affinity = spec.field("nodeAffinity");
    if affinity.is_set() {
        if affinity.field("required").is_set() {
            node_selector(errors, &affinity.field("required"));
        } else {
            errors.required(
                &affinity.field("required"),
                "must specify required node constraints",
            );
        }
    }
    sources(errors, spec, name);
    class_name(errors, &spec.field("storageClassName"));
    volume_mode(errors, &spec.field("volumeMode"));
    let class = spec.field("volumeAttributesClassName");
    if class.is_set() {
        if class.text().is_empty() {
            errors.required(&class, "an empty string is disallowed");
        } else {
            errors.name(&class, Names::Subdomain);
        }
        if !spec.field("csi").is_set() {
            errors.required(
                &spec.field("csi"),
                "has to be specified when using volumeAttributesClassName",
            );
        }
    }
}

fn sources(errors: &mut Errors, spec: &At, name: &str) {
    let mut count = 0;
    for kind in SOURCES {
        let source = spec.field(kind);
        if !source.is_set() {
            continue;
        }
        count += 1;
        if count > 1 && *kind != "flexVolume" {
            let shown = spec.field(if *kind == "cephfs" { "cephFS" } else { kind });
            errors.forbidden(&shown, "may not specify more than 1 volume type");
            continue;
        }
        volume_sources::check(errors, spec, kind, Place::Persistent(name));
        let affinity = spec.field("nodeAffinity");
        if *kind == "local" && !affinity.field("required").is_set() {
            errors.required(&affinity, "Local volume requires node affinity");
        }
    }
    if count == 0 {
        errors.required(spec, "must specify a volume type");
    }
    let policy = spec.field("persistentVolumeReclaimPolicy");
    let host = spec.value().str_at(&["hostPath", "path"]);
    let is_root = !host.is_empty() && host.split('/').all(|part| part.is_empty() || part == ".");
    if policy.text() == "Recycle" && host.starts_with('/') && is_root {
        errors.forbidden(&policy, "may not be 'recycle' for a hostPath mount of '/'");
    }
}
