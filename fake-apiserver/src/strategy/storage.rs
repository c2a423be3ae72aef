//! The `storage.k8s.io` kinds: classes, CSI drivers and nodes, attachments, capacities.
//!
//! Owns their defaults and validation. Does not own volumes and claims (`claims`).
//! Source: `pkg/apis/storage/validation`, `pkg/apis/storage/v1/defaults.go`.

use std::collections::{BTreeMap, BTreeSet};

use crate::json;
use crate::json::Value;
use crate::registry::Resource;
use crate::status::{Cause, Status};

use super::field::{At, Errors, IMMUTABLE, semantically_equal};
use super::internal;
use super::names::Names;
use super::pods::absent;
use super::quantity::Quantity;
use super::{Cx, Strategy, keep_status_or_all, metadata};

const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 << 10;

/// StorageClasses.
pub struct StorageClasses;

impl Strategy for StorageClasses {
    fn warnings(&self, out: &mut Vec<String>, new: &Value, _old: Option<&Value>) {
        for term in At::root(new).field("allowedTopologies").items() {
            for expression in term.field("matchLabelExpressions").items() {
                let key = expression.field("key");
                if let Some(text) = super::deprecations::node_label(key.text()) {
                    out.push(format!("{}: {text}", key.path()));
                }
            }
        }
    }

    fn default(&self, _resource: &Resource, object: &mut Value) {
        let class = object.make_object();
        absent(class, "reclaimPolicy", || "Delete".into());
        absent(class, "volumeBindingMode", || "Immediate".into());
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        provisioner(&mut errors, &root.field("provisioner"));
        parameters(&mut errors, &root.field("parameters"), true);
        let (policy, mode) = (root.field("reclaimPolicy"), root.field("volumeBindingMode"));
        if !policy.text().is_empty() {
            errors.one_of(&policy, &["Delete", "Retain"]);
        }
        errors.one_of(&mode, &["Immediate", "WaitForFirstConsumer"]);
        topologies(&mut errors, &root.field("allowedTopologies"));
        errors.causes
    }

    fn validate_update(&self, _cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        for key in [
            "parameters",
            "provisioner",
            "reclaimPolicy",
            "volumeBindingMode",
        ] {
            errors.immutable(&root.field(key), &old[key]);
        }
        errors.causes
    }
}

fn provisioner(errors: &mut Errors, at: &At) {
    match at.text() {
        "" => errors.required(at, ""),
        text => errors.name_as(at, &text.to_lowercase(), Names::Qualified),
    }
}

fn parameters(errors: &mut Errors, at: &At, may_be_empty: bool) {
    let entries = || at.entries();
    let count = entries().count();
    if count > PARAMETERS_MAX {
        errors.too_long(at, PARAMETERS_MAX);
        return;
    }
    if entries().any(|(key, _)| key.is_empty()) {
        errors.invalid_as(at, "", "field can not be empty.");
    }
    let bytes: usize = entries()
        .map(|(key, value)| key.len() + value.text().len())
        .sum();
    if bytes > PARAMETERS_BYTES_MAX {
        errors.too_long(at, PARAMETERS_BYTES_MAX);
    }
    if !may_be_empty && count == 0 {
        errors.required(at, "must contain at least one key/value pair");
    }
}

fn topologies(errors: &mut Errors, at: &At) {
    let mut seen: Vec<&[Value]> = Vec::new();
    for term in at.items() {
        let expressions = term.field("matchLabelExpressions");
        let mut keys: BTreeSet<&str> = BTreeSet::new();
        for expression in expressions.items() {
            let (key, values) = (expression.field("key"), expression.field("values"));
            if values.list().is_empty() {
                errors.required(&values, "");
            }
            let mut known: BTreeSet<&str> = BTreeSet::new();
            for value in values.items() {
                if known.contains(&value.text()) {
                    errors.duplicate(&value);
                }
                known.insert(value.text());
            }
            errors.name(&key, Names::Qualified);
            if keys.contains(&key.text()) {
                errors.duplicate(&key);
            }
            keys.insert(key.text());
        }
        if seen.contains(&expressions.list()) {
            errors.duplicate_as(&expressions, "");
        }
        seen.push(expressions.list());
    }
}

/// VolumeAttributesClasses.
pub struct AttributesClasses;

impl Strategy for AttributesClasses {
    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        provisioner(&mut errors, &root.field("driverName"));
        parameters(&mut errors, &root.field("parameters"), false);
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        for key in ["driverName", "parameters"] {
            if !semantically_equal(&new[key], &old[key]) {
                errors.forbidden(
                    &root.field(key),
                    &format!("updates to {key} are forbidden."),
                );
            }
        }
        super::validate_metadata(&mut errors, cx, new, old);
        errors.causes.extend(self.validate_create(cx, new));
        errors.causes
    }
}

/// CSIDrivers.
pub struct Drivers;

impl Strategy for Drivers {
    // C6: not counted from the creation on, only from the first change.
    fn prepare_update(&self, _cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        if !semantically_equal(&new["spec"], &old["spec"]) {
            let counted = old.i64_at(&["metadata", "generation"]).unwrap_or(0);
            new.set(&["metadata", "generation"], counted.wrapping_add(1));
        }
        Ok(())
    }

    fn default(&self, _resource: &Resource, object: &mut Value) {
        let spec = object.make_object().object("spec");
        absent(spec, "attachRequired", || true.into());
        for off in [
            "podInfoOnMount",
            "storageCapacity",
            "requiresRepublish",
            "seLinuxMount",
        ] {
            absent(spec, off, || false.into());
        }
        absent(spec, "fsGroupPolicy", || "ReadWriteOnceWithFSType".into());
        let modes = spec.get_or_insert("volumeLifecycleModes", json!([]));
        if modes.as_array().is_none_or(Vec::is_empty) {
            *modes = json!(["Persistent"]);
        }
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        driver(&mut errors, &At::root(object).field("spec"));
        errors.causes
    }

    fn validate_update(&self, _cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        let spec = root.field("spec");
        driver(&mut errors, &spec);
        // The real server misspells the first path.
        for (key, shown) in [
            ("attachRequired", "attachedRequired"),
            ("volumeLifecycleModes", "volumeLifecycleModes"),
        ] {
            let at = spec.field_as(shown, &new["spec"][key]);
            errors.immutable(&at, &old["spec"][key]);
        }
        errors.causes
    }
}

fn driver(errors: &mut Errors, spec: &At) {
    let policy = spec.field("fsGroupPolicy");
    if policy.is_set() {
        errors.one_of(&policy, &["File", "None", "ReadWriteOnceWithFSType"]);
    }
    let requests = spec.field("tokenRequests");
    let mut audiences: BTreeSet<&str> = BTreeSet::new();
    for request in requests.items() {
        let (audience, seconds) = (
            request.field("audience"),
            request.field("expirationSeconds"),
        );
        if audiences.contains(&audience.text()) {
            errors.duplicate_as(&audience, audience.text());
            continue;
        }
        audiences.insert(audience.text());
        match seconds.int() {
            Some(short) if short < 600 => {
                errors.invalid(&seconds, "may not specify a duration less than 10 minutes")
            }
            Some(long) if long > 1 << 32 => errors.invalid(
                &seconds,
                "may not specify a duration larger than 2^32 seconds",
            ),
            _ => {}
        }
    }
    let modes = spec.field("volumeLifecycleModes");
    for mode in modes.list() {
        let known = ["Persistent", "Ephemeral"];
        if !known.contains(&mode.as_str().unwrap_or_default()) {
            errors.unsupported(&spec.field_as("volumeLifecycleModes", mode), &known);
        }
    }
    let period = spec.field("nodeAllocatableUpdatePeriodSeconds");
    if period.int().is_some_and(|seconds| seconds < 10) {
        errors.invalid(&period, "must be greater than or equal to 10 seconds");
    }
    let secrets = spec.field("serviceAccountTokenInSecrets");
    if secrets.is_set() && requests.list().is_empty() {
        errors.invalid(
            &secrets,
            "serviceAccountTokenInSecrets is set but no tokenRequests are specified",
        );
    }
}

/// CSINodes.
pub struct DriverNodes;

impl Strategy for DriverNodes {
    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        let spec = root.field("spec");
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for driver in spec.field("drivers").items() {
            let name = driver.field("name");
            driver_name(&mut errors, &name);
            let id = driver.field("nodeID");
            if id.text().is_empty() {
                errors.required(&id, "");
            }
            if id.text().len() > 256 {
                errors.invalid(&id, "must be 256 characters or less");
            }
            errors.non_negative(&driver.field("allocatable").field("count"));
            if !names.insert(name.text()) {
                errors.duplicate(&name);
            }
            let mut keys: BTreeSet<&str> = BTreeSet::new();
            for key in driver.field("topologyKeys").items() {
                if key.text().is_empty() {
                    errors.required(&driver, "");
                }
                if !keys.insert(key.text()) {
                    errors.duplicate_as(&driver, key.text());
                }
                errors.name_as(&driver, key.text(), Names::Qualified);
            }
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = self.validate_anew(cx, new, old);
        let root = At::root(new);
        let spec = root.field("spec");
        let fixed = |driver: &Value| {
            let mut driver = driver.clone();
            driver.remove(&["allocatable"]);
            driver
        };
        let mut by_name: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for new in new.array_at(&["spec", "drivers"]) {
            by_name.entry(new.str_at(&["name"])).or_default().push(new);
        }
        for old in old.array_at(&["spec", "drivers"]) {
            for new in by_name.get(old.str_at(&["name"])).into_iter().flatten() {
                let shown = fixed(new);
                errors.immutable(&spec.field_as("drivers", &shown), &fixed(old));
            }
        }
        errors.causes
    }
}

fn driver_name(errors: &mut Errors, at: &At) {
    if at.text().is_empty() {
        errors.required(at, "");
        return;
    }
    if at.text().len() > 63 {
        errors.too_long(at, 63);
    }
    errors.name_as(at, &at.text().to_lowercase(), Names::Subdomain);
}

/// VolumeAttachments.
pub struct Attachments;

impl Strategy for Attachments {
    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        keep_status_or_all(cx, new, old);
        Ok(())
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        let (spec, status) = (root.field("spec"), root.field("status"));
        driver_name(&mut errors, &spec.field("attacher"));
        let source = spec.field("source");
        let (inline, volume) = (
            source.field("inlineVolumeSpec"),
            source.field("persistentVolumeName"),
        );
        let exactly_one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
        match (inline.is_set(), volume.is_set()) {
            (false, false) => errors.required(&source, exactly_one),
            (true, true) => errors.forbidden(&source, exactly_one),
            (false, true) if volume.text().is_empty() => {
                errors.required(&volume, "must specify non empty persistentVolumeName");
            }
            _ => {}
        }
        let node = spec.field("nodeName");
        errors.name_as(&node, node.text(), Names::Subdomain);
        for failure in ["attachError", "detachError"] {
            let code = status.field(failure);
            let code = code.field("errorCode");
            if code.int().is_some_and(|code| code < 0) {
                errors.invalid(&code, "must be between 0 and 2147483647, inclusive");
            }
        }
        if volume.is_set() {
            errors.name(&volume, Names::Subdomain);
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = self.validate_anew(cx, new, old);
        let root = At::root(new);
        errors.immutable_as(&root.field("spec"), &old["spec"], internal::ATTACHMENT);
        errors.causes
    }
}

/// CSIStorageCapacities.
pub struct Capacities;

impl Strategy for Capacities {
    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        metadata::label_selector(&mut errors, &root.field("nodeTopology"));
        let class = root.field("storageClassName");
        errors.name_as(&class, class.text(), Names::Subdomain);
        let capacity = root.field("capacity");
        if Quantity::parse(capacity.text()).is_ok_and(|amount| amount.is_negative()) {
            errors.invalid(&capacity, "must be greater than or equal to 0");
        }
        errors.causes
    }

    fn validate_update(&self, _cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        for key in ["nodeTopology", "storageClassName"] {
            if !semantically_equal(&new[key], &old[key]) {
                errors.invalid(&root.field(key), IMMUTABLE);
            }
        }
        errors.causes
    }
}
