//! HorizontalPodAutoscalers: defaults, validation, and the two versions they are seen in.
//!
//! Does not own how v1 carries what it has no fields for (`autoscaler_versions`).
//! Source: `pkg/apis/autoscaling/validation`, `pkg/apis/autoscaling/v2/defaults.go`.

use crate::json;
use crate::json::{Map, Value};
use crate::registry::Resource;
use crate::status::Cause;

use super::field::{At, Errors};
use super::names::Names;
use super::networking::segment;
use super::pods::{absent, resource_name};
use super::quantity::Quantity;
use super::{Cx, Strategy, autoscaler_versions};

/// HorizontalPodAutoscalers.
pub struct Autoscalers;

/// The metric sources: type and field, in the order they are looked at.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

impl Strategy for Autoscalers {
    fn default(&self, resource: &Resource, object: &mut Value) {
        let spec = object.make_object().object("spec");
        absent(spec, "minReplicas", || 1.into());
        if resource.version == "v1" {
            return;
        }
        if spec
            .get("metrics")
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty)
        {
            spec.insert(
                "metrics",
                json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]),
            );
        }
        if let Some(behavior) = spec.get_mut("behavior").and_then(Value::as_object_mut) {
            let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
            let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
            let up = behavior.object("scaleUp");
            absent(up, "stabilizationWindowSeconds", || 0.into());
            scaling_rules(up, vec![pods, percent.clone()]);
            scaling_rules(behavior.object("scaleDown"), vec![percent]);
        }
    }

    fn validate_create(&self, cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        if cx.resource.version == "v1" {
            let mut newer = object.clone();
            autoscaler_versions::to_v2(&mut newer);
            spec(&mut errors, &At::root(&newer).field("spec"));
        } else {
            spec(&mut errors, &At::root(object).field("spec"));
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
        errors.non_negative(&status.field("currentReplicas"));
        errors.non_negative(&status.field("desiredReplicas"));
        errors.causes
    }

    fn convert(&self, object: &mut Value, to: &Resource) {
        match (
            object.str_at(&["apiVersion"]) == "autoscaling/v1",
            to.version.as_str() == "v1",
        ) {
            (true, false) => autoscaler_versions::to_v2(object),
            (false, true) => autoscaler_versions::to_v1(object),
            _ => {}
        }
    }
}

fn scaling_rules(rules: &mut Map, policies: Vec<Value>) {
    absent(rules, "selectPolicy", || "Max".into());
    absent(rules, "policies", || Value::Array(policies));
}

fn spec(errors: &mut Errors, at: &At) {
    let (min, max) = (at.field("minReplicas"), at.field("maxReplicas"));
    if min.int().is_some_and(|min| min < 1) {
        errors.invalid(&min, "must be greater than or equal to 1");
    }
    let most = max.int().unwrap_or(0);
    if most == 0 {
        errors.required(&max, "must be set and greater than 0");
    } else if most < 0 {
        errors.invalid(&max, "must be greater than or equal to 1");
    }
    if min.int().is_some_and(|min| most < min) {
        errors.invalid_as(&max, most, "must be greater than or equal to `minReplicas`");
    }
    target_reference(errors, &at.field("scaleTargetRef"), false);
    let metrics = at.field("metrics");
    let mut elsewhere = false;
    for item in metrics.items() {
        metric(errors, &item);
        elsewhere |= ["Object", "External"].contains(&item.field("type").text());
    }
    if min.int() == Some(0) && !elsewhere {
        errors.forbidden(
            &metrics,
            "must specify at least one Object or External metric to support scaling to zero replicas",
        );
    }
    for direction in ["scaleUp", "scaleDown"] {
        scaling(errors, &at.field("behavior").field(direction));
    }
}

fn target_reference(errors: &mut Errors, at: &At, core_too: bool) {
    segment(errors, &at.field("kind"));
    segment(errors, &at.field("name"));
    let version = at.field("apiVersion");
    let text = version.text();
    match text.matches('/').count() {
        0 if !core_too && (text.is_empty() || text != "/") => {
            errors.invalid_as(&version, text, "apiVersion must specify API group");
        }
        0 => {}
        1 if !core_too && text.starts_with('/') => {
            errors.invalid_as(&version, text, "apiVersion must specify API group");
        }
        1 => {}
        _ => errors.invalid_as(
            &version,
            text,
            &format!("unexpected GroupVersion string: {text}"),
        ),
    }
}

fn scaling(errors: &mut Errors, at: &At) {
    if !at.is_set() {
        return;
    }
    let window = at.field("stabilizationWindowSeconds");
    match window.int() {
        Some(seconds) if seconds < 0 => {
            errors.invalid(&window, "must be greater than or equal to zero");
        }
        Some(seconds) if seconds > 3600 => {
            errors.invalid(&window, "must be less than or equal to 3600");
        }
        _ => {}
    }
    let select = at.field("selectPolicy");
    if select.is_set() {
        errors.one_of(&select, &["Disabled", "Max", "Min"]);
    }
    let policies = at.field("policies");
    if policies.list().is_empty() {
        errors.required(&policies, "must specify at least one Policy");
    }
    for policy in policies.items() {
        errors.one_of(&policy.field("type"), &["Percent", "Pods"]);
        for (name, most) in [("value", i64::MAX), ("periodSeconds", 1800)] {
            let number = policy.field(name);
            let value = number.int().unwrap_or(0);
            if value <= 0 {
                errors.invalid_as(&number, value, "must be greater than zero");
            }
            if value > most {
                errors.invalid(&number, &format!("must be less than or equal to {most}"));
            }
        }
    }
    let tolerance = at.field("tolerance");
    if Quantity::parse(tolerance.text()).is_ok_and(|amount| amount.is_negative()) {
        errors.invalid(&tolerance, "must be greater than or equal to 0");
    }
}

fn metric(errors: &mut Errors, at: &At) {
    let kind = at.field("type");
    let mut kinds = SOURCES.map(|(kind, _)| kind);
    kinds.sort_unstable();
    if kind.text().is_empty() {
        errors.required(&kind, "must specify a metric source type");
    }
    let known = kinds.contains(&kind.text());
    if !known {
        errors.unsupported(&kind, &kinds);
    }
    let mut present: Vec<&str> = Vec::new();
    for (_, name) in SOURCES {
        let source = at.field(name);
        if source.is_set() {
            if present.is_empty() {
                metric_source(errors, &source, name);
            }
            present.push(name);
        }
    }
    let expected = SOURCES
        .iter()
        .find(|(source, _)| *source == kind.text())
        .map(|(_, name)| *name);
    match expected {
        None => errors.unsupported(&kind, &kinds),
        Some(name) if !present.contains(&name) => errors.required(
            &at.field(name),
            "must populate information for the given metric source",
        ),
        _ => {}
    }
    if present.len() != 1 {
        for name in present.iter().filter(|name| Some(**name) != expected) {
            errors.forbidden(
                &at.field(name),
                "must populate the given metric source only",
            );
        }
    }
}

fn metric_source(errors: &mut Errors, at: &At, kind: &str) {
    let by_resource = matches!(kind, "resource" | "containerResource");
    if kind == "object" {
        target_reference(errors, &at.field("describedObject"), true);
    }
    if by_resource {
        let name = at.field("name");
        if name.text().is_empty() {
            errors.required(&name, "must specify a resource name");
        } else if kind == "containerResource" {
            resource_name(errors, &name, name.text());
        }
        if kind == "containerResource" {
            let container = at.field("container");
            match container.text() {
                "" => errors.required(&container, "must specify a container"),
                _ => errors.name(&container, Names::Label),
            }
        }
    } else {
        let metric = at.field("metric");
        let name = metric.field("name");
        match name.text() {
            "" => errors.required(&name, "must specify a metric name"),
            _ => errors.name(&name, Names::PathSegment),
        }
    }
    let target = at.field("target");
    metric_target(errors, &target);
    let (value, average, utilization) = (
        target.field("value"),
        target.field("averageValue"),
        target.field("averageUtilization"),
    );
    let none = !value.is_set() && !average.is_set();
    match kind {
        "object" if none => {
            errors.required(&average, "must set either a target value or averageValue");
        }
        "external" if none => errors.required(
            &average,
            "must set either a target value for metric or a per-pod target",
        ),
        "external" if value.is_set() && average.is_set() => errors.forbidden(
            &value,
            "may not set both a target value for metric and a per-pod target",
        ),
        "pods" if !average.is_set() => {
            errors.required(&average, "must specify a positive target averageValue");
        }
        _ => {}
    }
    if by_resource {
        match (utilization.is_set(), average.is_set()) {
            (false, false) => errors.required(
                &utilization,
                "must set either a target raw value or a target utilization",
            ),
            (true, true) => errors.forbidden(
                &average,
                "may not set both a target raw value and a target utilization",
            ),
            _ => {}
        }
    }
}

fn metric_target(errors: &mut Errors, at: &At) {
    let kind = at.field("type");
    if kind.text().is_empty() {
        errors.required(&kind, "must specify a metric target type");
    }
    if !["Utilization", "Value", "AverageValue"].contains(&kind.text()) {
        errors.invalid_as(
            &kind,
            kind.text(),
            "must be either Utilization, Value, or AverageValue",
        );
    }
    for name in ["value", "averageValue"] {
        let amount = at.field(name);
        if Quantity::parse(amount.text()).is_ok_and(|it| it.is_negative() || it.is_zero()) {
            errors.invalid(&amount, "must be positive");
        }
    }
    let utilization = at.field("averageUtilization");
    if utilization.int().is_some_and(|percent| percent < 1) {
        errors.invalid(&utilization, "must be greater than 0");
    }
}
