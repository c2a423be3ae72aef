//! Validating- and MutatingAdmissionPolicies and their bindings.
//!
//! Owns defaults and validation; evaluating policies is `admission`.
//! Source: `pkg/apis/admissionregistration/{v1/defaults.go,validation/validation.go}` (AD7, AD7a).

use std::collections::BTreeSet;

use super::field::{At, Errors};
use super::metadata::label_selector;
use super::webhook_configurations::{default_scope, fill, rule};
use super::{Cx, Strategy};
use crate::admission::expressions;
use crate::json::Value;
use crate::registry::Resource;
use crate::status::{Cause, Status};

/// Both kinds of policies.
pub struct AdmissionPolicies;

/// Both kinds of bindings.
pub struct AdmissionPolicyBindings;

impl Strategy for AdmissionPolicies {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        let Some(Value::Object(spec)) = object.get_mut("spec") else {
            return;
        };
        fill(spec, "failurePolicy", || "Fail".into());
        default_resources(spec.get_mut("matchConstraints"));
    }

    fn prepare_create(&self, cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
        if cx.resource.has_status() {
            object.set(&["status"], Value::object());
        }
        Ok(())
    }

    fn validate_create(&self, cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        policy(cx, object)
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, _old: &Value) -> Vec<Cause> {
        policy(cx, new)
    }
}

impl Strategy for AdmissionPolicyBindings {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        if let Some(Value::Object(spec)) = object.get_mut("spec") {
            default_resources(spec.get_mut("matchResources"));
        }
    }

    fn validate_create(&self, cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        binding(cx, object)
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, _old: &Value) -> Vec<Cause> {
        binding(cx, new)
    }
}

fn default_resources(resources: Option<&mut Value>) {
    let Some(Value::Object(resources)) = resources else {
        return;
    };
    fill(resources, "matchPolicy", || "Equivalent".into());
    fill(resources, "namespaceSelector", Value::object);
    fill(resources, "objectSelector", Value::object);
    default_scope(resources.get_mut("resourceRules"));
    default_scope(resources.get_mut("excludeResourceRules"));
}

fn policy(cx: &Cx<'_>, object: &Value) -> Vec<Cause> {
    let mutating = cx.resource.plural.starts_with("mutating");
    let mut errors = Errors::default();
    let root = At::root(object);
    let spec = root.field("spec");
    errors.one_of(&spec.field("failurePolicy"), &["Fail", "Ignore"]);
    let param_kind = spec.field("paramKind");
    if param_kind.is_set() {
        for field in ["apiVersion", "kind"] {
            let part = param_kind.field(field);
            if part.text().is_empty() {
                errors.required(&part, "");
            }
        }
    }
    let constraints = spec.field("matchConstraints");
    if constraints.is_set() {
        resources(&mut errors, &constraints);
        let rules = constraints.field("resourceRules");
        if rules.list().is_empty() {
            errors.required(&rules, "");
        }
    } else {
        errors.required(&constraints, "");
    }
    let params = param_kind.is_set();
    expressions::match_conditions(&mut errors, &spec.field("matchConditions"), params);
    let env = expressions::variables(&mut errors, &spec.field("variables"), params);
    if mutating {
        let mutations = spec.field("mutations");
        if mutations.list().is_empty() {
            errors.required(&mutations, "mutations must contain at least one item");
        }
        expressions::mutations(&mut errors, &mutations, &env);
        let again = spec.field("reinvocationPolicy");
        if again.text().is_empty() {
            errors.required(&again, "");
        } else {
            errors.one_of(&again, &["IfNeeded", "Never"]);
        }
        return errors.causes;
    }
    let (validations, annotations) = (spec.field("validations"), spec.field("auditAnnotations"));
    if validations.list().is_empty() && annotations.list().is_empty() {
        let why = "validations or auditAnnotations must contain at least one item";
        errors.required(&validations, why);
        errors.required(&annotations, why);
        return errors.causes;
    }
    expressions::validations(&mut errors, &validations, &env);
    expressions::audit_annotations(&mut errors, &annotations, &env);
    errors.causes
}

fn resources(errors: &mut Errors, at: &At) {
    errors.one_of(&at.field("matchPolicy"), &["Equivalent", "Exact"]);
    label_selector(errors, &at.field("namespaceSelector"));
    label_selector(errors, &at.field("objectSelector"));
    for list in ["resourceRules", "excludeResourceRules"] {
        for item in at.field(list).items() {
            rule(errors, &item);
        }
    }
}

fn binding(cx: &Cx<'_>, object: &Value) -> Vec<Cause> {
    let mutating = cx.resource.plural.starts_with("mutating");
    let mut errors = Errors::default();
    let root = At::root(object);
    let spec = root.field("spec");
    let policy = spec.field("policyName");
    if policy.text().is_empty() {
        errors.required(&policy, "");
    } else {
        errors.name(&policy, super::names::Names::Subdomain);
    }
    let reference = spec.field("paramRef");
    if reference.is_set() {
        param_ref(&mut errors, &reference);
    }
    let match_resources = spec.field("matchResources");
    if match_resources.is_set() {
        resources(&mut errors, &match_resources);
    }
    if !mutating {
        actions(&mut errors, &spec.field("validationActions"));
    }
    errors.causes
}

fn param_ref(errors: &mut Errors, at: &At) {
    let (name, selector) = (at.field("name"), at.field("selector"));
    match (name.text().is_empty(), selector.is_set()) {
        (false, true) => {
            errors.forbidden(&name, "name and selector are mutually exclusive");
            errors.forbidden(&selector, "name and selector are mutually exclusive");
        }
        (true, false) => errors.required(at, "one of name or selector must be specified"),
        (true, true) => label_selector(errors, &selector),
        (false, false) => {}
    }
    let action = at.field("parameterNotFoundAction");
    if action.text().is_empty() {
        errors.required(&action, "");
    } else {
        errors.one_of(&action, &["Allow", "Deny"]);
    }
}

fn actions(errors: &mut Errors, at: &At) {
    if at.list().is_empty() {
        errors.required(at, "at least one validation action is required");
        return;
    }
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for action in at.items() {
        if !["Audit", "Deny", "Warn"].contains(&action.text()) {
            errors.one_of(&action, &["Audit", "Deny", "Warn"]);
        }
        if seen.contains(&action.text()) {
            errors.duplicate(&action);
        }
        seen.insert(action.text());
    }
    if seen.contains(&"Deny") && seen.contains(&"Warn") {
        errors.invalid(
            at,
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
        );
    }
}
