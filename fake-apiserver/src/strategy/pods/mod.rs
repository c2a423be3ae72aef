//! Pods, and the pod templates inside workloads.
//!
//! Owns defaults (O7), what of a spec may change (D9), generation, QoS class, grace (G8), `/status`, `/resize`,
//! `/ephemeralcontainers`, warnings. Does not own admission (priority, tolerations, limits), eviction and binding.
//! Source: `pkg/registry/core/pod`, `pkg/apis/core/validation`.

mod containers;
mod defaults;
mod environment;
mod platform;
mod resources;
mod update;
mod validation;
mod volumes;
mod warnings;

pub use containers::port_or_name;
pub use defaults::{absent, aggregate, fill, items};
pub use resources::{
    is_counted, is_standard_resource, may_overcommit, resource_name, resource_value,
};
pub use validation::{internal_toleration, node_selector, spec as validate_spec, tolerations};
pub use warnings::{DEPRECATED_VOLUMES, host_name_warning, warnings};

use crate::json;
use crate::json::{CompactString, Map, Value};
use crate::registry::Resource;
use crate::status::{Cause, Status};
use std::collections::BTreeSet;

use super::field::{At, Errors, semantically_equal};
use super::quantity::Quantity;
use super::{Cx, Strategy, metadata, restore};

/// What the checks of a container need to know of its Pod.
struct Pod<'v> {
    volumes: BTreeSet<&'v str>,
    claims: Vec<&'v str>,
    grace_seconds: Option<i64>,
    restart_policy: &'v str,
    host_users: bool,
}

/// Defaults of a pod template (`metadata` and `spec`).
pub fn default_template(template: &mut Value) {
    let map = template.make_object();
    absent(map, "metadata", Value::object);
    defaults::spec(map.get_or_insert("spec", Value::Null));
}

/// Checks of a pod template; the caller adds what its kind demands.
pub fn validate_template(errors: &mut Errors, at: &At) {
    // The real server names these fields without `metadata`.
    let meta = at.value();
    metadata::labels(errors, &at.field_as("labels", &meta["metadata"]["labels"]));
    metadata::annotations(
        errors,
        &at.field_as("annotations", &meta["metadata"]["annotations"]),
    );
    validation::spec(errors, &at.field("spec"), "", false);
    let spec = at.field("spec");
    if !spec.field("ephemeralContainers").list().is_empty() {
        errors.forbidden(
            &spec.field("ephemeralContainers"),
            "ephemeral containers not allowed in pod template",
        );
    }
}

/// Pods.
pub struct Pods;

impl Strategy for Pods {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        let map = object.make_object();
        let spec = map.get_or_insert("spec", Value::Null);
        defaults::spec(spec);
        defaults::pod_only(spec);
        if let Some(status) = map.get_mut("status").and_then(Value::as_object_mut) {
            sync_pod_ips(status);
        }
    }

    fn prepare_create(&self, cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
        let mut status = json!({"phase": "Pending", "qosClass": qos_class(&object["spec"])});
        if !object.array_at(&["spec", "schedulingGates"]).is_empty() {
            status["conditions"] = json!([{
                "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "lastProbeTime": null, "lastTransitionTime": (cx.now.rfc3339()),
            }]);
        }
        object.set(&["status"], status);
        grace_is_not_negative(object);
        merge_label_keys(object);
        Ok(())
    }

    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        match cx.subresource {
            "" => {
                restore(new, old, "status");
                grace_is_not_negative(new);
            }
            "status" => prepare_status(new, old),
            "ephemeralcontainers" => {
                let containers = new.at(&["spec", "ephemeralContainers"]).cloned();
                keep_all_but_metadata(new, old);
                match containers {
                    Some(containers) => new.set(&["spec", "ephemeralContainers"], containers),
                    None => drop(new.remove(&["spec", "ephemeralContainers"])),
                }
            }
            "resize" => update::prepare_resize(new, old),
            _ => {}
        }
        Ok(())
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        whole(&mut errors, &root);
        let spec = root.field("spec");
        if !spec.field("ephemeralContainers").list().is_empty() {
            errors.forbidden(
                &spec.field("ephemeralContainers"),
                "cannot be set on create",
            );
        }
        if !spec.field("nodeName").text().is_empty()
            && !spec.field("schedulingGates").list().is_empty()
        {
            errors.forbidden(
                &spec.field("nodeName"),
                "cannot be set until all schedulingGates have been cleared",
            );
        }
        errors.causes
    }

    fn warnings(&self, out: &mut Vec<String>, new: &Value, old: Option<&Value>) {
        if old.is_some() {
            return;
        }
        let wrong = super::names::Names::Label.check(new.str_at(&["metadata", "name"]));
        if !wrong.is_empty() {
            out.push(format!(
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]",
                wrong.join(" ")
            ));
        }
        warnings(out, "", new);
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        match cx.subresource {
            "status" => update::status(&mut errors, &root, old),
            "ephemeralcontainers" => {
                whole(&mut errors, &root);
                update::ephemeral_containers(&mut errors, &root.field("spec"), &old["spec"]);
            }
            "resize" => {
                whole(&mut errors, &root);
                update::resize(&mut errors, &root, old);
            }
            _ => {
                super::validate_metadata(&mut errors, cx, new, old);
                whole(&mut errors, &root);
                update::spec(&mut errors, &root.field("spec"), &old["spec"]);
            }
        }
        errors.causes
    }

    fn changes_generation(&self, new: &Value, old: &Value) -> bool {
        !semantically_equal(&new["spec"], &old["spec"])
    }

    fn grace_seconds(&self, object: &Value, asked: Option<i64>) -> Option<i64> {
        let own = object
            .i64_at(&["spec", "terminationGracePeriodSeconds"])
            .unwrap_or(0);
        let over = matches!(object.str_at(&["status", "phase"]), "Failed" | "Succeeded");
        let seconds = match asked.unwrap_or(own) {
            _ if over || object.str_at(&["spec", "nodeName"]).is_empty() => 0,
            seconds if seconds < 0 => 1,
            seconds => seconds,
        };
        Some(seconds)
    }

    fn field(&self, _resource: &Resource, object: &Value, name: &str) -> Option<CompactString> {
        let (section, field) = name.split_once('.')?;
        let text = |section: &str, field: &str| object.str_at(&[section, field]).into();
        Some(match (section, field) {
            ("spec", "nodeName" | "restartPolicy" | "schedulerName" | "serviceAccountName") => {
                text(section, field)
            }
            ("spec", "hostNetwork") => {
                let host =
                    object.at(&["spec", "hostNetwork"]).and_then(Value::as_bool) == Some(true);
                if host { "true".into() } else { "false".into() }
            }
            ("spec", "host") => text("spec", "nodeName"),
            ("status", "phase" | "podIP" | "nominatedNodeName") => text(section, field),
            _ => return None,
        })
    }

    fn check_field(&self, resource: &Resource, name: &str) -> Result<(), String> {
        match name {
            "metadata.name" | "metadata.namespace" => Ok(()),
            _ if self.field(resource, &Value::Null, name).is_some() => Ok(()),
            "status.podIPs" => Ok(()),
            _ => Err(format!("field label not supported: {name}")),
        }
    }
}

// Metadata apart: the spec and what only a Pod demands of it.
fn whole(errors: &mut Errors, root: &At) {
    let (meta, spec) = (root.field("metadata"), root.field("spec"));
    let annotations = meta.field("annotations");
    let cost = annotations.key("controller.kubernetes.io/pod-deletion-cost");
    if cost.is_set() && cost.text().parse::<i32>().is_err() {
        errors.invalid(&cost, "must be a 32bit integer");
    }
    let mirror = annotations.key("kubernetes.io/config.mirror");
    if mirror.is_set() && spec.field("nodeName").text().is_empty() {
        errors.invalid(
            &mirror,
            "must set spec.nodeName if mirror pod annotation is set",
        );
    }
    platform::app_armor_annotations(errors, &annotations, spec.value());
    validation::spec(errors, &spec, meta.field("name").text(), true);
    if spec.field("serviceAccountName").text().is_empty() {
        for volume in spec.field("volumes").items() {
            for source in volume.field("projected").field("sources").items() {
                if source.field("serviceAccountToken").is_set() {
                    errors.forbidden(
                        &source.field("serviceAccountToken"),
                        "must not be specified when serviceAccountName is not set",
                    );
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        for container in spec.field(list).items() {
            update::trimmed_image(errors, &container);
        }
    }
}

fn grace_is_not_negative(pod: &mut Value) {
    if pod
        .i64_at(&["spec", "terminationGracePeriodSeconds"])
        .is_some_and(|seconds| seconds < 0)
    {
        pod.set(&["spec", "terminationGracePeriodSeconds"], 1);
    }
}

// `matchLabelKeys` of affinity terms and spread constraints become part of their selectors.
fn merge_label_keys(pod: &mut Value) {
    let labels = pod.at(&["metadata", "labels"]).cloned().unwrap_or_default();
    let merge = |term: &mut Value, field: &str, operator: &str| {
        let keys: Vec<CompactString> = term
            .array_at(&[field])
            .iter()
            .filter_map(|key| key.as_str().map(Into::into))
            .collect();
        if keys.is_empty() || !term["labelSelector"].is_object() {
            return;
        }
        for key in keys {
            if let Some(value) = labels.get(&key) {
                let requirement = json!({"key": key, "operator": operator, "values": [value]});
                match term
                    .at_mut(&["labelSelector", "matchExpressions"])
                    .and_then(Value::as_array_mut)
                {
                    Some(list) => list.push(requirement),
                    None => term.set(&["labelSelector", "matchExpressions"], vec![requirement]),
                }
            }
        }
    };
    let Some(spec) = pod.get_mut("spec") else {
        return;
    };
    for kind in ["podAffinity", "podAntiAffinity"] {
        if let Some(affinity) = spec
            .at_mut(&["affinity", kind])
            .and_then(Value::as_object_mut)
        {
            for term in items(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
                if let Some(term) = term.get_mut("podAffinityTerm") {
                    merge(term, "matchLabelKeys", "In");
                    merge(term, "mismatchLabelKeys", "NotIn");
                }
            }
            for term in items(affinity, "requiredDuringSchedulingIgnoredDuringExecution") {
                merge(term, "matchLabelKeys", "In");
                merge(term, "mismatchLabelKeys", "NotIn");
            }
        }
    }
    for constraint in items(spec.make_object(), "topologySpreadConstraints") {
        merge(constraint, "matchLabelKeys", "In");
    }
}

// `podIP` is `podIPs[0]`; a client that knows only one of them wins with it.
fn sync_pod_ips(status: &mut Map) {
    let first = |status: &Map| {
        status
            .get("podIPs")
            .map_or("", |ips| ips[0].str_at(&["ip"]))
            .to_owned()
    };
    let ip = status
        .get("podIP")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if !ip.is_empty() && first(status) != ip {
        status.insert("podIPs", json!([{"ip": ip}]));
    } else if ip.is_empty() && !first(status).is_empty() {
        let ip = first(status);
        status.insert("podIP", ip);
    }
}

// Everything but the metadata comes from the stored object, and of the metadata only managedFields from the request.
fn keep_all_but_metadata(new: &mut Value, old: &Value) {
    let managed = new.at(&["metadata", "managedFields"]).cloned();
    let version = new.at(&["metadata", "resourceVersion"]).cloned();
    *new = old.clone();
    for (key, value) in [("managedFields", managed), ("resourceVersion", version)] {
        match value {
            Some(value) => new.set(&["metadata", key], value),
            None => drop(new.remove(&["metadata", key])),
        }
    }
}

fn prepare_status(new: &mut Value, old: &Value) {
    restore(new, old, "spec");
    let mut metadata = new["metadata"].clone();
    for key in ["ownerReferences", "deletionTimestamp"] {
        restore(&mut metadata, &old["metadata"], key);
    }
    new.set(&["metadata"], metadata);
    if new.str_at(&["status", "qosClass"]).is_empty() {
        new.set(&["status", "qosClass"], &old["status"]["qosClass"]);
    }
    if new.i64_at(&["status", "observedGeneration"]).unwrap_or(0) == 0
        && let Some(generation) = old.at(&["status", "observedGeneration"])
    {
        new.set(&["status", "observedGeneration"], generation);
    }
    let mut stored: Vec<&Value> = old.array_at(&["status", "conditions"]).iter().collect();
    let Some(conditions) = new
        .at_mut(&["status", "conditions"])
        .and_then(Value::as_array_mut)
    else {
        return;
    };
    for condition in conditions {
        let Some(at) = stored
            .iter()
            .position(|old| old["type"] == condition["type"])
        else {
            continue;
        };
        let old = stored.remove(at);
        if condition["observedGeneration"].as_i64().unwrap_or(0) == 0
            && old["observedGeneration"].as_i64().unwrap_or(0) != 0
        {
            condition["observedGeneration"] = old["observedGeneration"].clone();
        }
    }
}

/// Guaranteed, Burstable or BestEffort, by the cpu and memory the spec asks for.
pub fn qos_class(spec: &Value) -> &'static str {
    let amounts = |resources: &Value, kind: &str| -> Vec<(&'static str, Quantity)> {
        ["cpu", "memory"]
            .into_iter()
            .filter_map(|name| {
                let amount = Quantity::parse(resources.str_at(&[kind, name])).ok()?;
                (!amount.is_zero() && !amount.is_negative()).then_some((name, amount))
            })
            .collect()
    };
    let add = |sum: &mut Vec<(&'static str, Quantity)>, more: Vec<(&'static str, Quantity)>| {
        for (name, amount) in more {
            match sum.iter_mut().find(|(known, _)| *known == name) {
                Some((_, total)) => total.add(&amount),
                None => sum.push((name, amount)),
            }
        }
    };
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let mut guaranteed = true;
    if spec["resources"].is_object() {
        requests = amounts(&spec["resources"], "requests");
        limits = amounts(&spec["resources"], "limits");
        guaranteed = limits.len() == 2;
    } else {
        for container in spec
            .array_at(&["containers"])
            .iter()
            .chain(spec.array_at(&["initContainers"]))
        {
            add(&mut requests, amounts(&container["resources"], "requests"));
            let own = amounts(&container["resources"], "limits");
            guaranteed &= own.len() == 2;
            add(&mut limits, own);
        }
    }
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    let equal = requests.iter().all(|(name, asked)| {
        limits
            .iter()
            .any(|(known, most)| known == name && most == asked)
    });
    if guaranteed && equal && requests.len() == limits.len() {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o7_qos_counts_cpu_and_memory_only() {
        let spec =
            |resources: Value| json!({"containers": [{"name": "c", "resources": resources}]});
        assert_eq!(qos_class(&spec(json!({}))), "BestEffort");
        assert_eq!(
            qos_class(&spec(json!({"limits": {"ephemeral-storage": "1Gi"}}))),
            "BestEffort"
        );
        assert_eq!(
            qos_class(&spec(json!({"limits": {"cpu": "0"}}))),
            "BestEffort"
        );
        let all = json!({"cpu": "200m", "memory": "1Gi"});
        assert_eq!(
            qos_class(&spec(
                json!({"limits": (all.clone()), "requests": (all.clone())})
            )),
            "Guaranteed"
        );
        assert_eq!(
            qos_class(&spec(
                json!({"limits": (all), "requests": {"cpu": "100m", "memory": "1Gi"}})
            )),
            "Burstable"
        );
    }

    #[test]
    fn s7_pod_ip_and_pod_ips_are_one() {
        let mut status = json!({"podIP": "10.0.0.1"});
        sync_pod_ips(status.make_object());
        assert_eq!(status["podIPs"], json!([{"ip": "10.0.0.1"}]));
        let mut status = json!({"podIP": "10.0.0.1", "podIPs": [{"ip": "x"}]});
        sync_pod_ips(status.make_object());
        assert_eq!(status["podIPs"], json!([{"ip": "10.0.0.1"}]));
    }
}
