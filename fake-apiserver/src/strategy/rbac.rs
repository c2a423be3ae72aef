//! Roles and bindings, with and without a namespace.
//!
//! Owns their defaults and validation. Does not own escalation checks (admission) nor aggregation (a controller).
//! Source: `pkg/apis/rbac/validation`, `pkg/apis/rbac/v1/defaults.go`.

use crate::json::{Map, Value};
use crate::registry::Resource;
use crate::status::Cause;

use super::field::{At, Errors};
use super::names::Names;
use super::networking::segment;
use super::pods::{fill, items};
use super::{Cx, Strategy, metadata};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Roles and ClusterRoles.
pub struct Roles;

impl Strategy for Roles {
    fn names(&self) -> Names {
        Names::PathSegment
    }

    fn validate_create(&self, cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        for rule in root.field("rules").items() {
            policy_rule(&mut errors, &rule, cx.resource.namespaced);
        }
        let aggregation = root.field("aggregationRule");
        if aggregation.is_set() {
            let selectors = aggregation.field("clusterRoleSelectors");
            if selectors.list().is_empty() {
                errors.required(
                    &selectors,
                    "at least one clusterRoleSelector required if aggregationRule is non-nil",
                );
            }
            for selector in selectors.items() {
                metadata::label_selector(&mut errors, &selector);
            }
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        self.validate_anew(cx, new, old).causes
    }
}

fn policy_rule(errors: &mut Errors, at: &At, namespaced: bool) {
    let has = |key: &str| !at.field(key).list().is_empty();
    if !has("verbs") {
        errors.required(&at.field("verbs"), "verbs must contain at least one value");
    }
    let urls = at.field("nonResourceURLs");
    if has("nonResourceURLs") {
        if namespaced {
            errors.invalid(&urls, "namespaced rules cannot apply to non-resource URLs");
        }
        if has("apiGroups") || has("resources") || has("resourceNames") {
            errors.invalid(
                &urls,
                "rules cannot apply to both regular resources and non-resource URLs",
            );
        }
        return;
    }
    if !has("apiGroups") {
        errors.required(
            &at.field("apiGroups"),
            "resource rules must supply at least one api group",
        );
    }
    if !has("resources") {
        errors.required(
            &at.field("resources"),
            "resource rules must supply at least one resource",
        );
    }
}

/// RoleBindings and ClusterRoleBindings.
pub struct Bindings;

impl Strategy for Bindings {
    fn names(&self) -> Names {
        Names::PathSegment
    }

    fn default(&self, _resource: &Resource, object: &mut Value) {
        let binding = object.make_object();
        fill(binding.object("roleRef"), "apiGroup", GROUP);
        for subject in items(binding, "subjects") {
            if matches!(subject.str_at(&["kind"]), "User" | "Group") {
                fill(subject.make_object(), "apiGroup", GROUP);
            }
        }
    }

    fn validate_create(&self, cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        let role = root.field("roleRef");
        errors.one_of(&role.field("apiGroup"), &[GROUP]);
        let kinds: &[&str] = if cx.resource.namespaced {
            &["Role", "ClusterRole"]
        } else {
            &["ClusterRole"]
        };
        errors.one_of_in_order(&role.field("kind"), kinds);
        segment(&mut errors, &role.field("name"));
        for subject in root.field("subjects").items() {
            binding_subject(&mut errors, &subject, cx.resource.namespaced);
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = self.validate_anew(cx, new, old);
        let root = At::root(new);
        let role = root.field("roleRef");
        if role.value() != &old["roleRef"] {
            // The real server prints its internal type, which has no JSON names.
            let mut shown = Map::new();
            for (name, key) in [("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name")] {
                shown.insert(name, role.field(key).text());
            }
            errors.invalid_as(&role, shown, "cannot change roleRef");
        }
        errors.causes
    }
}

fn binding_subject(errors: &mut Errors, at: &At, namespaced: bool) {
    let (name, group) = (at.field("name"), at.field("apiGroup"));
    if name.text().is_empty() {
        errors.required(&name, "");
    }
    match at.field("kind").text() {
        "ServiceAccount" => {
            if !name.text().is_empty() {
                errors.name(&name, Names::Subdomain);
            }
            if !group.text().is_empty() {
                errors.unsupported(&group, &[""]);
            }
            if !namespaced && at.field("namespace").text().is_empty() {
                errors.required(&at.field("namespace"), "");
            }
        }
        "User" | "Group" => errors.one_of(&group, &[GROUP]),
        _ => errors.unsupported(&at.field("kind"), &["ServiceAccount", "User", "Group"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn d8_rules_are_of_resources_or_of_urls() {
        let told = |rule: Value, namespaced: bool| {
            let mut errors = Errors::default();
            policy_rule(&mut errors, &At::named("rules[0]", &rule), namespaced);
            let fields = errors.causes.iter();
            fields
                .map(|cause| cause.field.clone())
                .collect::<Vec<String>>()
        };
        let urls = json!({"nonResourceURLs": ["/healthz"], "verbs": ["get"]});
        assert!(told(urls.clone(), false).is_empty());
        assert_eq!(told(urls, true), ["rules[0].nonResourceURLs"]);
        assert_eq!(
            told(json!({"verbs": ["get"]}), false),
            ["rules[0].apiGroups", "rules[0].resources"]
        );
    }
}
