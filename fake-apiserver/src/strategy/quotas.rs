//! LimitRanges and ResourceQuotas, their own rules; what they do to others is admission.
//!
//! Source: `pkg/apis/core/validation`, `pkg/apis/core/v1/defaults.go`.

use std::collections::BTreeSet;

use crate::json::{Map, Value};
use crate::registry::Resource;
use crate::status::Cause;

use super::field::{At, Errors};
use super::names::Names;
use super::pods::{
    absent, is_standard_resource, items, may_overcommit, resource_name, resource_value,
};
use super::quantity::Quantity;
use super::{Cx, Strategy};

/// LimitRanges.
pub struct LimitRanges;

impl Strategy for LimitRanges {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        for limit in items(object.make_object().object("spec"), "limits") {
            if limit.str_at(&["type"]) == "Container" {
                let limit = limit.make_object();
                fill_from(limit, "default", "max");
                fill_from(limit, "defaultRequest", "default");
                fill_from(limit, "defaultRequest", "min");
            }
        }
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        limits(&mut errors, &At::root(object).field("spec").field("limits"));
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        super::validate_metadata(&mut errors, cx, new, old);
        limits(&mut errors, &At::root(new).field("spec").field("limits"));
        errors.causes
    }
}

fn fill_from(limit: &mut Map, to: &str, from: &str) {
    let Some(source) = limit.get(from).and_then(Value::as_object).cloned() else {
        return;
    };
    if source.is_empty() {
        return;
    }
    let target = limit.object(to);
    for (name, amount) in &source {
        absent(target, name, || amount.clone());
    }
}

fn limits(errors: &mut Errors, at: &At) {
    let mut kinds: BTreeSet<&str> = BTreeSet::new();
    for limit in at.items() {
        let kind = limit.field("type");
        if !Names::Qualified.allows(kind.text()) {
            errors.name_as(&kind, kind.text(), Names::Qualified);
        } else if !kind.text().contains('/')
            && !["Pod", "Container", "PersistentVolumeClaim"].contains(&kind.text())
        {
            errors.invalid(&kind, "must be a standard limit type or fully qualified");
        }
        if kinds.contains(&kind.text()) {
            errors.duplicate(&kind);
        }
        kinds.insert(kind.text());
        let is_pod = kind.text() == "Pod";
        for name in ["max", "min", "default", "defaultRequest"] {
            let amounts = limit.field(name);
            if is_pod && name.starts_with("default") {
                if amounts
                    .value()
                    .as_object()
                    .is_some_and(|map| !map.is_empty())
                {
                    errors.forbidden(&amounts, "may not be specified when `type` is 'Pod'");
                }
                continue;
            }
            limit_names(errors, &amounts, kind.text());
        }
        if kind.text() == "PersistentVolumeClaim"
            && !limit.field("min").key("storage").is_set()
            && !limit.field("max").key("storage").is_set()
        {
            errors.required(
                &limit.field("limits"),
                "either minimum or maximum storage value is required, but neither was provided",
            );
        }
        limit_names(errors, &limit.field("maxLimitRequestRatio"), kind.text());
        relations(errors, &limit, is_pod);
    }
}

fn limit_names(errors: &mut Errors, amounts: &At, kind: &str) {
    for (name, amount) in amounts.entries() {
        let known = resource_name(errors, &amount, name);
        let container = ["cpu", "memory", "ephemeral-storage"].contains(&name)
            || name.starts_with("hugepages-");
        if known && ["Pod", "Container"].contains(&kind) && !name.contains('/') && !container {
            errors.invalid_as(&amount, name, "must be a standard resource for containers");
        }
    }
}

fn relations(errors: &mut Errors, limit: &At, is_pod: bool) {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for list in [
        "max",
        "min",
        "default",
        "defaultRequest",
        "maxLimitRequestRatio",
    ] {
        if let Some(map) = limit.value()[list].as_object() {
            names.extend(map.keys());
        }
    }
    for name in names {
        let read = |list: &str| {
            let skipped = is_pod && list.starts_with("default");
            let text = limit.value()[list].str_at(&[name]);
            (!skipped).then(|| Quantity::parse(text).ok()).flatten()
        };
        let (min, max) = (read("min"), read("max"));
        let (default, request, ratio) = (
            read("default"),
            read("defaultRequest"),
            read("maxLimitRequestRatio"),
        );
        let mut check = |list: &str,
                         shown: &Option<Quantity>,
                         small: &Option<Quantity>,
                         large: &Option<Quantity>,
                         words: (&str, &str)| {
            if let (Some(small), Some(large), Some(shown)) = (small, large, shown)
                && small > large
            {
                let at = limit.field(list);
                errors.invalid_as(
                    &at.key(name),
                    shown.canonical(),
                    &format!(
                        "{} value {} is greater than {} value {}",
                        words.0,
                        small.canonical(),
                        words.1,
                        large.canonical()
                    ),
                );
            }
        };
        check("min", &min, &min, &max, ("min", "max"));
        check(
            "defaultRequest",
            &request,
            &min,
            &request,
            ("min", "default request"),
        );
        check(
            "defaultRequest",
            &request,
            &request,
            &max,
            ("default request", "max"),
        );
        check(
            "defaultRequest",
            &request,
            &request,
            &default,
            ("default request", "default limit"),
        );
        check("default", &min, &min, &default, ("min", "default"));
        check("default", &max, &default, &max, ("default", "max"));
        if let Some(ratio) = ratio.filter(|ratio| *ratio < Quantity::from(1)) {
            let at = limit.field("maxLimitRequestRatio");
            errors.invalid_as(
                &at.key(name),
                ratio.canonical(),
                &format!("ratio {} is less than 1", ratio.canonical()),
            );
        }
        if let (Some(default), Some(request)) = (&default, &request)
            && !may_overcommit(name)
            && default != request
        {
            let at = limit.field("defaultRequest");
            errors.invalid_as(
                &at.key(name),
                request.canonical(),
                &format!(
                    "default value {} must equal to defaultRequest value {} in {name}",
                    default.canonical(),
                    request.canonical()
                ),
            );
        }
    }
}

/// ResourceQuotas.
pub struct ResourceQuotas;

impl Strategy for ResourceQuotas {
    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        quota(&mut errors, &At::root(object).field("spec"));
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        if cx.subresource == "status" {
            for name in ["hard", "used"] {
                amounts(&mut errors, &root.field("status").field(name));
            }
            return errors.causes;
        }
        let spec = root.field("spec");
        quota(&mut errors, &spec);
        let sorted = |spec: &Value| {
            let mut scopes: Vec<String> = spec
                .array_at(&["scopes"])
                .iter()
                .filter_map(|s| s.as_str().map(str::to_owned))
                .collect();
            scopes.sort();
            scopes.dedup();
            scopes
        };
        if sorted(spec.value()) != sorted(&old["spec"]) {
            errors.invalid(&spec.field("scopes"), super::field::IMMUTABLE);
        }
        errors.causes
    }
}

fn is_quota_resource(name: &str) -> bool {
    is_standard_resource(name) && name != "storage"
}

fn amounts(errors: &mut Errors, at: &At) {
    for (name, amount) in at.entries() {
        resource_name(errors, &amount, name);
        if !name.contains('/') && !is_quota_resource(name) {
            errors.invalid_as(&amount, name, "must be a standard resource for quota");
        }
        resource_value(errors, &amount, name);
    }
}

fn quota(errors: &mut Errors, spec: &At) {
    amounts(errors, &spec.field("hard"));
    let scopes = spec.field("scopes");
    let hard: Vec<&str> = spec.value()["hard"]
        .as_object()
        .map_or(Vec::new(), |map| map.keys().collect());
    let given: Vec<&str> = scopes.list().iter().filter_map(Value::as_str).collect();
    for scope in &given {
        if !is_scope(scope) {
            errors.invalid(&scopes, "unsupported scope");
        }
        for name in &hard {
            if is_quota_resource(name) && !scope_fits(scope, name) {
                errors.invalid(&scopes, "unsupported scope applied to resource");
            }
        }
    }
    conflicting(errors, &scopes, &given);
    let selector = spec.field("scopeSelector");
    let expressions = selector.field("matchExpressions");
    let mut selected: Vec<&str> = Vec::new();
    for requirement in expressions.list() {
        let (scope, operator) = (
            requirement.str_at(&["scopeName"]),
            requirement.str_at(&["operator"]),
        );
        if !is_scope(scope) {
            errors.invalid_as(&expressions.field("scopeName"), scope, "unsupported scope");
        }
        for name in &hard {
            if is_quota_resource(name) && !scope_fits(scope, name) {
                errors.invalid_as(
                    &expressions,
                    selector.value(),
                    "unsupported scope applied to resource",
                );
            }
        }
        if is_scope(scope) && scope != "PriorityClass" && operator != "Exists" {
            errors.invalid_as(
                &expressions.field("operator"),
                operator,
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
            );
        }
        let values = requirement.array_at(&["values"]);
        match operator {
            "In" | "NotIn" if values.is_empty() => errors.required(
                &expressions.field("values"),
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            ),
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.invalid_as(
                &expressions.field("values"),
                &requirement["values"],
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
            ),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.invalid_as(
                &expressions.field("operator"),
                other,
                "not a valid selector operator",
            ),
        }
        selected.push(scope);
    }
    if !selected.is_empty() {
        conflicting(errors, &expressions, &selected);
    }
}

fn conflicting(errors: &mut Errors, at: &At, scopes: &[&str]) {
    for pair in [
        ["BestEffort", "NotBestEffort"],
        ["Terminating", "NotTerminating"],
    ] {
        if pair.iter().all(|scope| scopes.contains(scope)) {
            errors.invalid(at, "conflicting scopes");
        }
    }
}

fn is_scope(scope: &str) -> bool {
    [
        "Terminating",
        "NotTerminating",
        "BestEffort",
        "NotBestEffort",
        "PriorityClass",
        "CrossNamespacePodAffinity",
        "VolumeAttributesClass",
    ]
    .contains(&scope)
}

fn scope_fits(scope: &str, resource: &str) -> bool {
    let compute = [
        "pods",
        "cpu",
        "memory",
        "requests.cpu",
        "requests.memory",
        "limits.cpu",
        "limits.memory",
        "ephemeral-storage",
        "requests.ephemeral-storage",
        "limits.ephemeral-storage",
    ];
    match scope {
        "BestEffort" => resource == "pods",
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => compute.contains(&resource),
        "VolumeAttributesClass" => {
            ["persistentvolumeclaims", "requests.storage"].contains(&resource)
        }
        _ => true,
    }
}
