//! Nobody may grant what they do not hold.
//!
//! Behaviour: `pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased`,
//! `component-helpers/auth/rbac/validation` (B4).

use super::rbac::{Attributes, Grants, all_powerful, decide, rules_of, visit_rules};
use crate::json::Value;
use crate::request::User;
use crate::status::{Status, go_quote};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Refuses a role or binding that would give somebody more than `user` has.
/// `plural` is one of `roles`, `clusterroles`, `rolebindings`, `clusterrolebindings`.
pub fn check(
    user: &User,
    plural: &str,
    object: &Value,
    old: Option<&Value>,
    grants: &dyn Grants,
) -> Result<(), Status> {
    if all_powerful(user, grants) {
        return Ok(());
    }
    let namespace = object.str_at(&["metadata", "namespace"]);
    let name = object.str_at(&["metadata", "name"]);
    let right = |verb: &str, resource: &str, name: &str| Attributes {
        is_resource: true,
        verb: verb.to_owned(),
        group: GROUP.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        ..Attributes::default()
    };
    let wanted = match plural {
        "roles" | "clusterroles" => {
            let unchanged = old.is_some_and(|old| old.get("rules") == object.get("rules"));
            if unchanged || decide(user, &right("escalate", plural, name), grants).allowed {
                return Ok(());
            }
            object.array_at(&["rules"]).to_vec()
        }
        "rolebindings" | "clusterrolebindings" => {
            let same = |key: &str| old.is_some_and(|old| old.get(key) == object.get(key));
            if same("roleRef") && same("subjects") {
                return Ok(());
            }
            let role = object.str_at(&["roleRef", "name"]);
            let role_plural = match object.str_at(&["roleRef", "kind"]) {
                "Role" => "roles",
                _ => "clusterroles",
            };
            if decide(user, &right("bind", role_plural, role), grants).allowed {
                return Ok(());
            }
            if grants
                .role(
                    role_plural,
                    if role_plural == "roles" {
                        namespace
                    } else {
                        ""
                    },
                    role,
                )
                .is_none()
            {
                let status = Status::not_found(GROUP, role_plural, role);
                return Err(status);
            }
            rules_of(object, namespace, grants)
        }
        _ => return Ok(()),
    };
    let missing = missing(user, namespace, &wanted, grants);
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = user.groups.iter().map(|group| go_quote(group)).collect();
    let lines: Vec<String> = missing.into_iter().collect();
    let why = format!(
        "user {} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        go_quote(&user.name),
        groups.join(" "),
        lines.join("\n")
    );
    Err(Status::forbidden(GROUP, plural, name, &why))
}

const GROUP: &str = "rbac.authorization.k8s.io";

/// One verb on one thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Single {
    group: String,
    resource: String,
    url: String,
    name: Option<String>,
    verb: String,
}

fn texts<'v>(rule: &'v Value, key: &str) -> Vec<&'v str> {
    let values = rule.array_at(&[key]).iter();
    values.filter_map(Value::as_str).collect()
}

fn singles(rule: &Value) -> Vec<Single> {
    let mut all = Vec::new();
    let names = texts(rule, "resourceNames");
    for verb in texts(rule, "verbs") {
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                let single = |name: Option<&str>| Single {
                    group: group.to_owned(),
                    resource: resource.to_owned(),
                    url: String::new(),
                    name: name.map(str::to_owned),
                    verb: verb.to_owned(),
                };
                if names.is_empty() {
                    all.push(single(None));
                }
                all.extend(names.iter().map(|name| single(Some(name))));
            }
        }
        for url in texts(rule, "nonResourceURLs") {
            all.push(Single {
                group: String::new(),
                resource: String::new(),
                url: url.to_owned(),
                name: None,
                verb: verb.to_owned(),
            });
        }
    }
    all
}

fn covers(rule: &Value, single: &Single) -> bool {
    let lists =
        |key: &str, wanted: &str| texts(rule, key).iter().any(|v| *v == "*" || *v == wanted);
    if !lists("verbs", &single.verb) {
        return false;
    }
    if !single.url.is_empty() {
        return texts(rule, "nonResourceURLs").iter().any(|url| {
            *url == single.url
                || url
                    .strip_suffix('*')
                    .is_some_and(|prefix| single.url.starts_with(prefix))
        });
    }
    let resource = lists("resources", &single.resource)
        || match single.resource.split_once('/') {
            Some((_, sub)) => texts(rule, "resources").contains(&format!("*/{sub}").as_str()),
            None => false,
        };
    let names = texts(rule, "resourceNames");
    let named = match &single.name {
        _ if names.is_empty() => true,
        Some(name) => names.contains(&name.as_str()),
        None => false,
    };
    lists("apiGroups", &single.group) && resource && named
}

/// The rules that `user` does not hold, as messages show them.
fn missing(
    user: &User,
    namespace: &str,
    wanted: &[Value],
    grants: &dyn Grants,
) -> BTreeSet<String> {
    let mut open: Vec<Single> = wanted.iter().flat_map(singles).collect();
    visit_rules(user, namespace, grants, &mut |_, rule| {
        open.retain(|single| !covers(rule, single));
        if open.is_empty() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let mut verbs: BTreeMap<Single, Vec<String>> = BTreeMap::new();
    for single in open {
        let verb = single.verb.clone();
        let key = Single {
            verb: String::new(),
            ..single
        };
        let known = verbs.entry(key).or_default();
        if !known.contains(&verb) {
            known.push(verb);
        }
    }
    verbs
        .into_iter()
        .map(|(single, verbs)| {
            let quoted: Vec<String> = verbs.iter().map(|verb| go_quote(verb)).collect();
            let verbs = format!("Verbs:[{}]", quoted.join(" "));
            if !single.url.is_empty() {
                return format!("{{NonResourceURLs:[{}], {verbs}}}", go_quote(&single.url));
            }
            let names = single
                .name
                .map(|name| format!("ResourceNames:[{}], ", go_quote(&name)))
                .unwrap_or_default();
            format!(
                "{{APIGroups:[{}], Resources:[{}], {names}{verbs}}}",
                go_quote(&single.group),
                go_quote(&single.resource)
            )
        })
        .collect()
}
