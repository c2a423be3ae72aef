//! The RBAC authorizer: bindings, roles, rules.
//!
//! Owns decisions and their reasons. Members of `system:masters` may do everything.
//! Behaviour: `plugin/pkg/auth/authorizer/rbac`, `pkg/registry/rbac/validation` (B4).

use crate::json::Value;
use crate::request::{RequestInfo, User};
use std::ops::ControlFlow;

/// Roles and bindings as the authorizer sees them.
pub trait Grants {
    /// Calls `each` with every object of a plural; `namespace` is empty for cluster kinds.
    fn each(&self, plural: &str, namespace: &str, each: &mut dyn FnMut(&Value) -> ControlFlow<()>);
    /// One role.
    fn role(&self, plural: &str, namespace: &str, name: &str) -> Option<Value>;
    /// True if everybody may do everything.
    fn open(&self) -> bool {
        false
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes {
    /// True for resources, false for paths.
    pub is_resource: bool,
    /// Verb.
    pub verb: String,
    /// API group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Plural.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Path of a non-resource request.
    pub path: String,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The verb is allowed.
    pub allowed: bool,
    /// Which binding allows it, empty for `system:masters`.
    pub reason: String,
}

impl Attributes {
    /// What a request asks for.
    pub fn of_request(info: &RequestInfo, path: &str) -> Attributes {
        Attributes {
            is_resource: info.is_resource,
            verb: info.verb.to_string(),
            group: info.group.to_string(),
            version: info.version.to_string(),
            resource: info.resource.to_string(),
            subresource: info.subresource.to_string(),
            namespace: info.namespace.to_string(),
            name: info.name.to_string(),
            path: path.to_owned(),
        }
    }

    /// The right to impersonate.
    pub(super) fn impersonation(
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> Attributes {
        Attributes {
            is_resource: true,
            verb: "impersonate".to_owned(),
            group: group.to_owned(),
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        }
    }

    /// `resource` or `resource/subresource`.
    pub fn combined(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// Why the user may not, as answers word it.
    pub fn denial(&self, user: &User) -> String {
        let quote = crate::status::go_quote;
        if !self.is_resource {
            return format!(
                "User {} cannot {} path {}",
                quote(&user.name),
                self.verb,
                quote(&self.path)
            );
        }
        let scope = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {}", quote(&self.namespace))
        };
        format!(
            "User {} cannot {} resource {} in API group {} {scope}",
            quote(&user.name),
            self.verb,
            quote(&self.combined()),
            quote(&self.group)
        )
    }
}

/// Whether the user may do everything.
pub(crate) fn all_powerful(user: &User, grants: &dyn Grants) -> bool {
    grants.open() || user.groups.iter().any(|group| group == "system:masters")
}

/// Whether the user may do it.
pub fn decide(user: &User, attributes: &Attributes, grants: &dyn Grants) -> Decision {
    if all_powerful(user, grants) {
        return Decision {
            allowed: true,
            reason: String::new(),
        };
    }
    let mut decision = Decision::default();
    visit_rules(user, &attributes.namespace, grants, &mut |grant, rule| {
        if !rule_allows(rule, attributes) {
            return ControlFlow::Continue(());
        }
        decision.allowed = true;
        decision.reason = format!("RBAC: allowed by {}", grant.describe());
        ControlFlow::Break(())
    });
    decision
}

/// Which binding gives a rule to whom.
pub struct Grant<'a> {
    binding: &'a Value,
    subject: &'a Value,
    namespace: &'a str,
}

impl Grant<'_> {
    fn describe(&self) -> String {
        let quote = crate::status::go_quote;
        let name = self.binding.str_at(&["metadata", "name"]);
        let role = format!(
            "{} {}",
            self.binding.str_at(&["roleRef", "kind"]),
            quote(self.binding.str_at(&["roleRef", "name"]))
        );
        let subject_name = self.subject.str_at(&["name"]);
        let subject = match self.subject.str_at(&["kind"]) {
            "ServiceAccount" => {
                let namespace = match self.subject.str_at(&["namespace"]) {
                    "" => self.namespace,
                    namespace => namespace,
                };
                format!(
                    "ServiceAccount {}",
                    quote(&format!("{subject_name}/{namespace}"))
                )
            }
            kind => format!("{kind} {}", quote(subject_name)),
        };
        if self.namespace.is_empty() {
            format!("ClusterRoleBinding {} of {role} to {subject}", quote(name))
        } else {
            let full = quote(&format!("{name}/{}", self.namespace));
            format!("RoleBinding {full} of {role} to {subject}")
        }
    }
}

/// Visits the rules that apply to a user in a namespace (or at cluster scope).
pub(super) fn visit_rules(
    user: &User,
    namespace: &str,
    grants: &dyn Grants,
    visit: &mut dyn FnMut(&Grant<'_>, &Value) -> ControlFlow<()>,
) {
    let mut done = false;
    let mut scopes = vec![("clusterrolebindings", "")];
    if !namespace.is_empty() {
        scopes.push(("rolebindings", namespace));
    }
    for (plural, scope) in scopes {
        if done {
            return;
        }
        grants.each(plural, scope, &mut |binding| {
            let subjects = binding.array_at(&["subjects"]);
            let Some(subject) = subjects.iter().find(|s| applies(s, user, scope)) else {
                return ControlFlow::Continue(());
            };
            let grant = Grant {
                binding,
                subject,
                namespace: scope,
            };
            for rule in rules_of(binding, scope, grants) {
                if visit(&grant, &rule).is_break() {
                    done = true;
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
    }
}

/// The rules of the role that a binding refers to.
pub(super) fn rules_of(binding: &Value, namespace: &str, grants: &dyn Grants) -> Vec<Value> {
    let name = binding.str_at(&["roleRef", "name"]);
    let role = match binding.str_at(&["roleRef", "kind"]) {
        "Role" => grants.role("roles", namespace, name),
        "ClusterRole" => grants.role("clusterroles", "", name),
        _ => None,
    };
    role.map_or(Vec::new(), |role| role.array_at(&["rules"]).to_vec())
}

fn applies(subject: &Value, user: &User, namespace: &str) -> bool {
    let name = subject.str_at(&["name"]);
    match subject.str_at(&["kind"]) {
        "User" => user.name == name,
        "Group" => user.groups.iter().any(|group| group == name),
        "ServiceAccount" => {
            let namespace = match subject.str_at(&["namespace"]) {
                "" => namespace,
                other => other,
            };
            let account = user.name.strip_prefix("system:serviceaccount:");
            !namespace.is_empty()
                && account.and_then(|rest| rest.split_once(':')) == Some((namespace, name))
        }
        _ => false,
    }
}

fn has(rule: &Value, key: &str, wanted: &str) -> bool {
    let mut values = rule.array_at(&[key]).iter();
    values.any(|value| matches!(value.as_str(), Some(v) if v == "*" || v == wanted))
}

/// Whether a rule allows what is asked for.
pub(super) fn rule_allows(rule: &Value, attributes: &Attributes) -> bool {
    if !has(rule, "verbs", &attributes.verb) {
        return false;
    }
    if !attributes.is_resource {
        return path_matches(rule, &attributes.path);
    }
    has(rule, "apiGroups", &attributes.group)
        && resource_matches(rule, &attributes.combined(), &attributes.subresource)
        && name_matches(rule, &attributes.name)
}

fn resource_matches(rule: &Value, combined: &str, subresource: &str) -> bool {
    rule.array_at(&["resources"]).iter().any(|resource| {
        let resource = resource.as_str().unwrap_or_default();
        resource == "*"
            || resource == combined
            || (!subresource.is_empty() && resource.strip_prefix("*/") == Some(subresource))
    })
}

fn name_matches(rule: &Value, name: &str) -> bool {
    let names = rule.array_at(&["resourceNames"]);
    names.is_empty() || names.iter().any(|allowed| *allowed == name)
}

fn path_matches(rule: &Value, path: &str) -> bool {
    rule.array_at(&["nonResourceURLs"]).iter().any(|url| {
        let url = url.as_str().unwrap_or_default();
        url == "*"
            || url == path
            || url
                .strip_suffix('*')
                .is_some_and(|prefix| path.starts_with(prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    struct Fixed(Vec<(&'static str, Value)>);

    impl Grants for Fixed {
        fn each(
            &self,
            plural: &str,
            namespace: &str,
            each: &mut dyn FnMut(&Value) -> ControlFlow<()>,
        ) {
            for (kind, object) in &self.0 {
                if *kind == plural
                    && object.str_at(&["metadata", "namespace"]) == namespace
                    && each(object).is_break()
                {
                    return;
                }
            }
        }
        fn role(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
            let mut roles = self.0.iter().filter(|(kind, _)| *kind == plural);
            let found = roles.find(|(_, role)| {
                role.str_at(&["metadata", "namespace"]) == namespace
                    && role.str_at(&["metadata", "name"]) == name
            });
            found.map(|(_, role)| role.clone())
        }
    }

    fn alice() -> User {
        User {
            name: "alice".to_owned(),
            groups: vec!["dev".to_owned(), "system:authenticated".to_owned()],
            ..User::default()
        }
    }

    fn get_secret(name: &str) -> Attributes {
        Attributes {
            is_resource: true,
            verb: "get".to_owned(),
            resource: "secrets".to_owned(),
            namespace: "ns".to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        }
    }

    #[test]
    fn b4_a_binding_gives_what_its_role_lists() {
        let grants = Fixed(vec![
            (
                "roles",
                json!({"metadata": {"name": "r", "namespace": "ns"},
                "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["only"], "verbs": ["get"]}]}),
            ),
            (
                "rolebindings",
                json!({"metadata": {"name": "rb", "namespace": "ns"},
                "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "Group", "name": "dev"}]}),
            ),
        ]);
        let yes = decide(&alice(), &get_secret("only"), &grants);
        assert_eq!(
            yes.reason,
            "RBAC: allowed by RoleBinding \"rb/ns\" of Role \"r\" to Group \"dev\""
        );
        let other = get_secret("other");
        assert!(!decide(&alice(), &other, &grants).allowed);
        assert_eq!(
            super::super::forbidden(&alice(), &other).message,
            "secrets \"other\" is forbidden: User \"alice\" cannot get resource \"secrets\" in API group \"\" in the namespace \"ns\""
        );
    }
}
