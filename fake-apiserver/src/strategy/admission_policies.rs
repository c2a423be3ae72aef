//! Validating- and MutatingAdmissionPolicies and their bindings.
//!
//! Owns defaults and validation; evaluating policies is `admission`.
//! Source: `pkg/apis/admissionregistration/{v1/defaults.go,validation/validation.go}` (AD7, AD7a).

use std::collections::BTreeSet;

use super::field::{At, Errors};
use super::metadata::label_selector;
use super::names::Names;
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

    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        super::keep_status_or_all(cx, new, old);
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
        self::param_kind(&mut errors, &param_kind);
    }
    let constraints = spec.field("matchConstraints");
    if constraints.is_set() {
        resources(&mut errors, &constraints);
        let rules = constraints.field("resourceRules");
        if rules.list().is_empty() {
            errors.required(&rules, "");
        }
        if mutating {
            mutable_operations(&mut errors, &rules);
        }
    } else {
        errors.required(&constraints, "");
    }
    let params = param_kind.is_set();
    expressions::match_conditions(&mut errors, &spec.field("matchConditions"), params);
    let env = expressions::variables(&mut errors, &spec.field("variables"), params, mutating);
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
    let name = object.str_at(&["metadata", "name"]);
    expressions::audit_annotations(&mut errors, &annotations, name, &env);
    errors.causes
}

fn resources(errors: &mut Errors, at: &At) {
    errors.one_of(&at.field("matchPolicy"), &["Equivalent", "Exact"]);
    label_selector(errors, &at.field("namespaceSelector"));
    label_selector(errors, &at.field("objectSelector"));
    for list in ["resourceRules", "excludeResourceRules"] {
        for item in at.field(list).items() {
            let names = item.field("resourceNames");
            let mut seen: BTreeSet<&str> = BTreeSet::new();
            for name in names.items() {
                errors.name(&name, Names::PathSegment);
                if !seen.insert(name.text()) {
                    errors.duplicate(&name);
                }
            }
            rule(errors, &item);
        }
    }
}

/// What is being deleted cannot be mutated.
fn mutable_operations(errors: &mut Errors, rules: &At) {
    let place = rules.field("operations");
    for rule in rules.items() {
        for operation in rule.field("operations").list() {
            let text = operation.as_str().unwrap_or_default();
            if !["*", "CONNECT", "CREATE", "UPDATE"].contains(&text) {
                errors.push(Cause::not_supported(
                    place.path(),
                    operation,
                    &["*", "CONNECT", "CREATE", "UPDATE"],
                ));
            }
        }
    }
}

fn param_kind(errors: &mut Errors, at: &At) {
    let version = at.field("apiVersion");
    match version.text().split('/').collect::<Vec<_>>().as_slice() {
        [""] => errors.required(&version, ""),
        [one] => version_name(errors, &version, one),
        ["", ""] => errors.invalid(&version, "version must be specified"),
        [group, name] => {
            let wrong = Names::Subdomain.check(group);
            if !group.is_empty() && !wrong.is_empty() {
                errors.invalid_as(&version, *group, &wrong.join(","));
            }
            version_name(errors, &version, name);
        }
        _ => errors.invalid(
            &version,
            &format!("unexpected GroupVersion string: {}", version.text()),
        ),
    }
    let kind = at.field("kind");
    let wrong = Names::Label1035.check(&kind.text().to_lowercase());
    if kind.text().is_empty() {
        errors.required(&kind, "");
    } else if !wrong.is_empty() {
        let wrong = wrong.join(",");
        errors.invalid(
            &kind,
            &format!("may have mixed case, but should otherwise match: {wrong}"),
        );
    }
}

fn version_name(errors: &mut Errors, at: &At, name: &str) {
    let wrong = Names::Label1035.check(name);
    if name.is_empty() {
        errors.invalid(at, "version must be specified");
    } else if !wrong.is_empty() {
        errors.invalid_as(at, name, &wrong.join(","));
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
        errors.name(&policy, Names::Subdomain);
    }
    let reference = spec.field("paramRef");
    if reference.is_set() {
        param_ref(&mut errors, &reference);
    }
    let match_resources = spec.field("matchResources");
    if match_resources.is_set() {
        resources(&mut errors, &match_resources);
        if mutating {
            mutable_operations(&mut errors, &match_resources.field("resourceRules"));
        }
    }
    if !mutating {
        actions(&mut errors, &spec.field("validationActions"));
    }
    errors.causes
}

fn param_ref(errors: &mut Errors, at: &At) {
    let (name, selector) = (at.field("name"), at.field("selector"));
    let (named, selects) = (!name.text().is_empty(), selector.is_set());
    const EITHER: &str = "name and selector are mutually exclusive";
    if named {
        errors.name(&name, Names::PathSegment);
    }
    if named && selects {
        errors.forbidden(&name, EITHER);
    }
    label_selector(errors, &selector);
    if named && selects {
        errors.forbidden(&selector, EITHER);
    }
    if !named && !selects {
        errors.required(at, "one of name or selector must be specified");
    }
    let action = at.field("parameterNotFoundAction");
    if action.text().is_empty() {
        errors.required(&action, "");
    } else {
        errors.one_of_in_order(&action, &["Deny", "Allow"]);
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
