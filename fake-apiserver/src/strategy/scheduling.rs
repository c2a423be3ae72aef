//! PriorityClasses, RuntimeClasses, Leases and disruption budgets: small kinds without a life of their own.
//!
//! Owns their defaults and validation. Does not own what they do to Pods (admission, eviction).
//! Source: `pkg/apis/{scheduling,node,coordination,policy}/validation` and their `v1/defaults.go`.

use std::collections::BTreeSet;

use crate::json;
use crate::json::Value;
use crate::registry::Resource;
use crate::status::{Cause, Status};

use super::field::{At, Errors};
use super::names::Names;
use super::pods::{self, absent, resource_name, resource_value};
use super::workloads::{at_most_100_percent, int_or_percent};
use super::{Cx, Strategy, metadata};

/// PriorityClasses.
pub struct PriorityClasses;

const USER_PRIORITY_MAX: i64 = 1_000_000_000;

impl Strategy for PriorityClasses {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        absent(object.make_object(), "preemptionPolicy", || {
            "PreemptLowerPriority".into()
        });
    }

    fn changes_generation(&self, _new: &Value, _old: &Value) -> bool {
        false
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        let (meta, value) = (root.field("metadata"), root.field("value"));
        let name = meta.field("name");
        let priority = value.int().unwrap_or(0);
        if name.text().starts_with("system-") {
            if let Some(why) = not_a_system_class(name.text(), priority, object) {
                errors.forbidden(
                    &name,
                    &format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}"),
                );
            }
        } else if priority > USER_PRIORITY_MAX {
            errors.forbidden(
                &value,
                &format!("maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}"),
            );
        }
        let policy = root.field("preemptionPolicy");
        if policy.is_set() {
            match policy.text() {
                "" => errors.required(&policy, ""),
                _ => errors.one_of_in_order(&policy, &["PreemptLowerPriority", "Never"]),
            }
        }
        errors.causes
    }

    fn validate_update(&self, _cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        if new.i64_at(&["value"]).unwrap_or(0) != old.i64_at(&["value"]).unwrap_or(0) {
            errors.forbidden(&root.field("value"), "may not be changed in an update.");
        }
        errors.immutable(&root.field("preemptionPolicy"), &old["preemptionPolicy"]);
        errors.causes
    }
}

fn not_a_system_class(name: &str, value: i64, object: &Value) -> Option<String> {
    let known = match name {
        "system-node-critical" => 2_000_001_000,
        "system-cluster-critical" => 2_000_000_000,
        _ => return Some(format!("{name} is not a known system priority class")),
    };
    if value != known {
        return Some(format!("value of {name} PriorityClass must be {known}"));
    }
    (object.get("globalDefault").and_then(Value::as_bool) == Some(true))
        .then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

/// RuntimeClasses.
pub struct RuntimeClasses;

impl Strategy for RuntimeClasses {
    fn warnings(&self, out: &mut Vec<String>, new: &Value, _old: Option<&Value>) {
        let selector = &new["scheduling"]["nodeSelector"];
        for (key, _) in selector.as_object().into_iter().flatten() {
            if let Some(text) = super::deprecations::node_label(key) {
                out.push(format!("scheduling.nodeSelector: {text}"));
            }
        }
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        let handler = root.field("handler");
        match handler.text() {
            "" => errors.required(&handler, ""),
            _ => errors.name(&handler, Names::Label),
        }
        // The amounts are checked as limits, and the path says so.
        let overhead = root.field("overhead");
        let limits = overhead.field_as("limits", &overhead.value()["podFixed"]);
        for (name, amount) in limits.entries() {
            resource_name(&mut errors, &amount, name);
            resource_value(&mut errors, &amount, name);
        }
        let scheduling = root.field("scheduling");
        metadata::labels(&mut errors, &scheduling.field("nodeSelector"));
        let tolerations = scheduling.field("tolerations");
        pods::tolerations(&mut errors, &tolerations);
        let mut seen: BTreeSet<[&str; 4]> = BTreeSet::new();
        for toleration in tolerations.items() {
            let key = ["key", "operator", "value", "effect"]
                .map(|name| toleration.value().str_at(&[name]));
            if seen.contains(&key) {
                errors.push(Cause::new(
                    "FieldValueDuplicate",
                    toleration.path(),
                    format!(
                        "Duplicate value: {}",
                        pods::internal_toleration(toleration.value())
                    ),
                ));
            }
            seen.insert(key);
        }
        errors.causes
    }

    fn validate_update(&self, _cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        errors.immutable(&At::root(new).field("handler"), &old["handler"]);
        errors.causes
    }
}

/// Leases. What belongs to coordinated elections is off and dropped.
pub struct Leases;

impl Leases {
    fn drop_disabled(object: &mut Value) {
        for name in ["strategy", "preferredHolder"] {
            object.remove(&["spec", name]);
        }
    }
}

impl Strategy for Leases {
    fn prepare_create(&self, _cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
        Leases::drop_disabled(object);
        Ok(())
    }

    fn prepare_update(
        &self,
        _cx: &mut Cx<'_>,
        new: &mut Value,
        _old: &Value,
    ) -> Result<(), Status> {
        Leases::drop_disabled(new);
        Ok(())
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        let spec = root.field("spec");
        let duration = spec.field("leaseDurationSeconds");
        if duration.is_set() {
            errors.positive(&duration);
        }
        errors.non_negative(&spec.field("leaseTransitions"));
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, _old: &Value) -> Vec<Cause> {
        self.validate_create(cx, new)
    }
}

/// PodDisruptionBudgets.
pub struct DisruptionBudgets;

const COUNTS: [&str; 4] = [
    "disruptionsAllowed",
    "currentHealthy",
    "desiredHealthy",
    "expectedPods",
];

impl Strategy for DisruptionBudgets {
    fn names(&self) -> Names {
        Names::PathSegment
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        let spec = root.field("spec");
        let amounts = [spec.field("minAvailable"), spec.field("maxUnavailable")];
        if amounts.iter().all(At::is_set) {
            errors.invalid_raw(
                &spec,
                &internal_budget(spec.value()),
                "minAvailable and maxUnavailable cannot be both set",
            );
        }
        for amount in amounts.iter().filter(|amount| amount.is_set()) {
            int_or_percent(&mut errors, amount);
            at_most_100_percent(&mut errors, amount);
        }
        metadata::label_selector(&mut errors, &spec.field("selector"));
        let policy = spec.field("unhealthyPodEvictionPolicy");
        if policy.is_set() {
            errors.one_of(&policy, &["AlwaysAllow", "IfHealthyBudget"]);
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, _old: &Value) -> Vec<Cause> {
        if cx.subresource != "status" {
            return self.validate_create(cx, new);
        }
        let mut errors = Errors::default();
        let root = At::root(new);
        let status = root.field("status");
        metadata::conditions(&mut errors, &status.field("conditions"));
        for count in COUNTS {
            errors.non_negative(&status.field(count));
        }
        errors.causes
    }
}

/// How the real server prints the spec of a budget: its internal type, which has no JSON names.
fn internal_budget(spec: &Value) -> String {
    let text = |value: &Value| json::to_string(value);
    format!(
        "{{\"MinAvailable\":{},\"Selector\":{},\"MaxUnavailable\":{},\"UnhealthyPodEvictionPolicy\":{}}}",
        text(&spec["minAvailable"]),
        text(&spec["selector"]),
        text(&spec["maxUnavailable"]),
        text(&spec["unhealthyPodEvictionPolicy"]),
    )
}
