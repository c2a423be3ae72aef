//! The admission plugin NamespaceLifecycle: nothing is created in a namespace that is missing or going (D1, N3), and three
//! namespaces cannot be deleted (N1).

use super::Session;
use crate::registry::Resource;
use crate::status::{Cause, Status};

/// Refuses creations in missing and terminating namespaces.
pub(super) fn admit_create(
    s: &Session<'_>,
    row: &Resource,
    namespace: &str,
    name: &str,
) -> Result<(), Status> {
    if !row.namespaced || is_review(row) {
        return Ok(());
    }
    let namespaces = namespaces(s);
    let Some(found) = s.core.object(namespaces, "", namespace) else {
        return Err(Status::not_found("", "namespaces", namespace));
    };
    if found.value().str_at(&["status", "phase"]) != "Terminating" {
        return Ok(());
    }
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let cause = Cause::new(
        "NamespaceTerminating",
        "metadata.namespace",
        format!("namespace {namespace} is being terminated"),
    );
    Err(Status::forbidden(&row.group, &row.plural, name, &why).with_cause(cause))
}

/// N6: updates find their namespace missing too, once it is gone.
pub(super) fn admit_update(s: &Session<'_>, row: &Resource, namespace: &str) -> Result<(), Status> {
    if row.namespaced && s.core.object(namespaces(s), "", namespace).is_none() {
        return Err(Status::not_found("", "namespaces", namespace));
    }
    Ok(())
}

/// N1: namespaces that stay, and the priority classes of the system itself.
pub(super) fn admit_delete(row: &Resource, name: &str) -> Result<(), Status> {
    let kept = matches!(name, "default" | "kube-system" | "kube-public");
    if row.is("", "namespaces") && kept {
        let why = "this namespace may not be deleted";
        return Err(Status::forbidden("", "namespaces", name, why));
    }
    let system = matches!(name, "system-node-critical" | "system-cluster-critical");
    if row.is("scheduling.k8s.io", "priorityclasses") && system {
        let why = "this is a system priority class and cannot be deleted";
        return Err(Status::forbidden(&row.group, &row.plural, name, why));
    }
    Ok(())
}

fn is_review(row: &Resource) -> bool {
    row.is("authorization.k8s.io", "localsubjectaccessreviews")
}

fn namespaces<'a>(s: &'a Session<'_>) -> &'a Resource {
    s.core.registry.namespaces()
}
