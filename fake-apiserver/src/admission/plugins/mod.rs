//! The admission plugins that are on by default and speak of built-in kinds.
//!
//! Owns their order. NamespaceLifecycle is `server::lifecycle`. Left out, as nothing
//! recorded depends on them: certificate plugins, NodeRestriction (off by default),
//! PodTopologyLabels.
//! Behaviour: `pkg/kubeapiserver/options/plugins.go`, `plugin/pkg/admission`.

mod classes;
mod limits;
mod pod_security;
mod pod_standards;
mod pods;
mod quota;
mod service_accounts;

use super::Attributes;
use crate::json::Value;
use crate::registry::Resource;
use crate::server::{Halt, Session};
use crate::status::Status;
use std::sync::Arc;

pub(crate) use classes::bootstrap;

/// What the plugins change, before policies and webhooks.
pub(super) fn mutate(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: &mut Value,
) -> Result<(), Halt> {
    let row = attributes.row;
    if row.is_custom() || !attributes.subresource.is_empty() {
        return Ok(());
    }
    let create = attributes.operation == "CREATE";
    match (row.group.as_str(), row.plural.as_str()) {
        ("", "pods") if create => {
            limits::apply(s, attributes, object)?;
            service_accounts::apply(s, attributes, object)?;
            pods::priority(s, attributes, object)?;
            pods::tolerations(object);
            pods::runtime_class(s, attributes, object)?;
        }
        ("", "pods") if attributes.operation == "UPDATE" => {
            pods::keep_priority(attributes, object);
            pods::tolerations(object);
        }
        ("", "persistentvolumeclaims") if create => {
            limits::apply(s, attributes, object)?;
            classes::default_storage_class(s, object);
            classes::protect(object, "kubernetes.io/pvc-protection");
        }
        ("", "persistentvolumes") if create => {
            classes::protect(object, "kubernetes.io/pv-protection");
        }
        ("storage.k8s.io", "volumeattributesclasses") if create => {
            classes::protect(object, "kubernetes.io/vac-protection");
        }
        ("", "nodes") if create => classes::taint(object),
        ("networking.k8s.io", "ingresses") if create => {
            classes::default_ingress_class(s, attributes, object)?;
        }
        _ => {}
    }
    Ok(())
}

/// What the plugins refuse before policies and webhooks are asked.
pub(super) fn validate(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), Halt> {
    let row = attributes.row;
    let Some(object) = object.filter(|_| !row.is_custom()) else {
        return Ok(());
    };
    if attributes.subresource.is_empty() {
        match (row.group.as_str(), row.plural.as_str()) {
            ("", "pods" | "persistentvolumeclaims") if attributes.operation == "CREATE" => {
                limits::check(s, attributes, object)?;
            }
            ("", "persistentvolumeclaims") => {
                if attributes.operation == "UPDATE" {
                    limits::check(s, attributes, object)?;
                }
                classes::resize(s, attributes, object)?;
            }
            ("", "namespaces") => pod_security::check_namespace(s, attributes, object)?,
            ("scheduling.k8s.io", "priorityclasses") => {
                classes::one_default_priority(s, attributes, object)?;
            }
            _ => {}
        }
        pod_security::check(s, attributes, object)?;
    } else if row.is("", "pods") {
        match attributes.subresource {
            "resize" => limits::check(s, attributes, object)?,
            "ephemeralcontainers" => pod_security::check(s, attributes, object)?,
            _ => {}
        }
    }
    Ok(())
}

/// What is charged last of all.
pub(super) fn charge(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), Halt> {
    match object {
        Some(object) if quota::handles(attributes) => quota::charge(s, attributes, object),
        _ => Ok(()),
    }
}

/// A refusal with the object's name.
fn refuse(attributes: &Attributes<'_>, object: &Value, why: &str) -> Status {
    super::forbidden(attributes, Some(object), why)
}

/// The stored objects of a resource, in a namespace if one is given.
fn stored(s: &Session<'_>, group: &str, plural: &str, namespace: Option<&str>) -> Vec<Value> {
    let Some(row) = row(s, group, plural) else {
        return Vec::new();
    };
    let store = &s.core.store;
    match namespace {
        Some(namespace) => store
            .in_namespace(row.id, namespace)
            .map(|(_, object)| object.value().clone())
            .collect(),
        None => store
            .objects(row.id)
            .map(|(_, object)| object.value().clone())
            .collect(),
    }
}

fn row(s: &Session<'_>, group: &str, plural: &str) -> Option<Arc<Resource>> {
    s.core.registry.find(group, "v1", plural).cloned()
}

/// One stored object.
fn find(s: &Session<'_>, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Value> {
    let row = row(s, group, plural)?;
    let found = s.core.object(&row, namespace, name)?;
    Some(found.value().clone())
}
