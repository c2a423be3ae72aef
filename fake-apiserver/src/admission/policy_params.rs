//! The parameter objects of a policy binding.
//!
//! Behaviour: apiserver `admission/plugin/policy/generic/policy_dispatcher.go`
//! (`CollectParams`).

use super::Attributes;
use crate::json::Value;
use crate::request::selector::LabelSelector;
use crate::server::Session;

/// The objects a binding hands to its policy: `None` alone if the policy takes none; empty
/// if there are none and that is allowed.
pub(super) fn collect(
    s: &Session<'_>,
    attributes: &Attributes<'_>,
    policy: &Value,
    binding: &Value,
) -> Result<Vec<Option<Value>>, String> {
    let kind = &policy["paramKind"];
    if !kind.is_object() {
        return Ok(vec![None]);
    }
    let reference = &binding["paramRef"];
    if !reference.is_object() {
        return Ok(vec![None]);
    }
    let api_version = kind.str_at(&["apiVersion"]);
    let kind_name = kind.str_at(&["kind"]);
    let Some(row) = s.core.row_of_kind(api_version, kind_name) else {
        return Err(format!(
            "failed to configure policy: failed to find resource referenced by paramKind: '{api_version}, Kind={kind_name}'"
        ));
    };
    let namespace = if row.namespaced {
        match reference.str_at(&["namespace"]) {
            "" if attributes.namespace.is_empty() => {
                return Err("failed to configure binding: cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned());
            }
            "" => attributes.namespace,
            namespace => namespace,
        }
    } else {
        ""
    };
    let mut found = Vec::new();
    let name = reference.str_at(&["name"]);
    if !name.is_empty() {
        found.extend(
            s.core
                .object(&row, namespace, name)
                .map(|object| object.value().clone()),
        );
    } else if let Some(selector) = reference
        .get("selector")
        .and_then(LabelSelector::from_value)
    {
        let objects = s.core.store.objects(row.id);
        let of_namespace =
            objects.filter(|(_, object)| !row.namespaced || object.namespace() == namespace);
        let fitting = of_namespace.filter(|(_, object)| selector.matches(object.value()));
        found.extend(fitting.map(|(_, object)| object.value().clone()));
    }
    if found.is_empty() && reference.str_at(&["parameterNotFoundAction"]) == "Deny" {
        return Err(
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
                .to_owned(),
        );
    }
    Ok(found.into_iter().map(Some).collect())
}
