//! Which requests a webhook or policy is about: rules, selectors, equivalent versions.
//!
//! Owns the matching that webhooks and policies share.
//! Behaviour: apiserver `admission/plugin/webhook/{predicates,generic}` (AD2d–AD2g).

use super::Attributes;
use crate::json::Value;
use crate::registry::Resource;
use crate::request::selector::LabelSelector;
use crate::server::{Halt, Session, conversion};
use std::sync::Arc;

/// The version in which a request is seen: its own, or an equivalent one.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The row of that version.
    pub(super) row: Arc<Resource>,
}

/// Kinds that no webhook and no policy is asked about.
pub(super) fn excluded(row: &Resource) -> bool {
    row.group == "admissionregistration.k8s.io"
        && matches!(
            row.plural.as_str(),
            "mutatingwebhookconfigurations"
                | "validatingwebhookconfigurations"
                | "validatingadmissionpolicies"
                | "validatingadmissionpolicybindings"
                | "mutatingadmissionpolicies"
                | "mutatingadmissionpolicybindings"
        )
}

/// Where a hook with these rules and match policy sees the request; `None` if nowhere.
pub(super) fn matching_row(
    s: &Session<'_>,
    attributes: &Attributes<'_>,
    rules: &[Value],
    match_policy: &str,
) -> Option<Seen> {
    let own = attributes.row;
    if rules.iter().any(|rule| rule_matches(rule, attributes, own)) {
        return Some(Seen { row: own.clone() });
    }
    if match_policy == "Exact" {
        return None;
    }
    let others: Vec<Arc<Resource>> = s
        .core
        .registry
        .rows()
        .filter(|row| row.id == own.id && !Arc::ptr_eq(row, own))
        .cloned()
        .collect();
    rules.iter().find_map(|rule| {
        let row = others
            .iter()
            .find(|row| rule_matches(rule, attributes, row))?;
        Some(Seen { row: row.clone() })
    })
}

fn lists(rule: &Value, key: &str, wanted: &str) -> bool {
    let mut values = rule.array_at(&[key]).iter();
    values.any(|value| matches!(value.as_str(), Some(v) if v == "*" || v == wanted))
}

fn rule_matches(rule: &Value, attributes: &Attributes<'_>, row: &Resource) -> bool {
    lists(rule, "operations", attributes.operation)
        && lists(rule, "apiGroups", &row.group)
        && lists(rule, "apiVersions", &row.version)
        && scope_matches(rule, attributes)
        && resource_matches(rule, &row.plural, attributes.subresource)
}

fn scope_matches(rule: &Value, attributes: &Attributes<'_>) -> bool {
    let namespaced = !attributes.namespace.is_empty() && !attributes.row.is("", "namespaces");
    match rule.str_at(&["scope"]) {
        "Namespaced" => namespaced,
        "Cluster" => !namespaced,
        _ => true,
    }
}

fn resource_matches(rule: &Value, plural: &str, subresource: &str) -> bool {
    rule.array_at(&["resources"]).iter().any(|pattern| {
        let pattern = pattern.as_str().unwrap_or_default();
        let (resource, sub) = pattern.split_once('/').unwrap_or((pattern, ""));
        (resource == "*" || resource == plural) && (sub == "*" || sub == subresource)
    })
}

/// Whether the request's namespace fits the selector.
pub(super) fn namespace_matches(
    s: &Session<'_>,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    selector: Option<&Value>,
) -> bool {
    let Some(selector) = selector.and_then(LabelSelector::from_value) else {
        return true;
    };
    if selector.is_empty() {
        return true;
    }
    let own = attributes.row.is("", "namespaces");
    if own
        && attributes.subresource.is_empty()
        && matches!(attributes.operation, "CREATE" | "UPDATE")
    {
        return object.is_some_and(|object| selector.matches(object));
    }
    let name = if own {
        attributes.name
    } else {
        attributes.namespace
    };
    if name.is_empty() {
        return true;
    }
    match namespace(s, name) {
        Some(namespace) => selector.matches(&namespace),
        None => selector.matches(&Value::Null),
    }
}

/// A namespace object.
pub(super) fn namespace(s: &Session<'_>, name: &str) -> Option<Value> {
    let row = s.core.registry.find("", "v1", "namespaces")?.clone();
    let found = s.core.object(&row, "", name)?;
    Some(found.value().clone())
}

/// Whether the object before or after fits the selector.
pub(super) fn object_matches(
    old: Option<&Value>,
    new: Option<&Value>,
    selector: Option<&Value>,
) -> bool {
    let Some(selector) = selector.and_then(LabelSelector::from_value) else {
        return true;
    };
    selector.is_empty()
        || [old, new]
            .into_iter()
            .flatten()
            .any(|object| selector.matches(object))
}

/// A value of one row in the shape of another row of the same objects.
pub(super) fn converted(
    s: &mut Session<'_>,
    value: &Value,
    from: &Arc<Resource>,
    to: &Arc<Resource>,
) -> Result<Value, Halt> {
    let mut value = value.clone();
    if Arc::ptr_eq(from, to) || !value.is_object() {
        return Ok(value);
    }
    if to.custom.as_ref().is_some_and(|custom| custom.webhook) {
        return conversion::between(s, &value, to);
    }
    from.strategy.convert(&mut value, to);
    let map = value.make_object();
    map.insert("apiVersion", to.api_version());
    map.insert("kind", &to.kind);
    Ok(value)
}

/// The object before or after in the version in which a hook or policy sees it; a subresource's object has one version.
pub(super) fn seen(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    value: Option<&Value>,
    to: &Arc<Resource>,
) -> Result<Option<Value>, Halt> {
    match value {
        Some(value) if matches!(attributes.subresource, "" | "status") => {
            converted(s, value, attributes.row, to).map(Some)
        }
        other => Ok(other.cloned()),
    }
}
