//! Fields that a write through an endpoint cannot change, and therefore never owns (F9).
//!
//! Owns the table of what the real server's strategies return from `GetResetFields`. Does not own the strategies.

use super::compare::Comparison;
use super::field_set::FieldSet;

/// The fields an endpoint ignores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// None.
    Nothing,
    /// These, and all below them.
    Below(&'static [&'static [&'static str]]),
}

const STATUS: Ignored = Ignored::Below(&[&["f:status"]]);
const SPEC: Ignored = Ignored::Below(&[&["f:spec"]]);
const SPEC_METADATA: Ignored = Ignored::Below(&[&["f:spec"], &["f:metadata"]]);

impl Ignored {
    /// What the endpoint of a custom resource ignores.
    pub fn custom(subresource: &str, has_status: bool) -> Ignored {
        match subresource {
            "status" => SPEC_METADATA,
            "" if has_status => STATUS,
            _ => Ignored::Nothing,
        }
    }

    /// What the endpoint of a built-in resource ignores.
    pub fn builtin(group: &str, resource: &str, subresource: &str) -> Ignored {
        match (subresource, group, resource) {
            ("", _, _) if !has_status(group, resource) => Ignored::Nothing,
            ("", _, "certificatesigningrequests") => Ignored::Below(&[&["f:spec"], &["f:status"]]),
            ("", _, _) => STATUS,
            ("status", "apps", "deployments") => {
                Ignored::Below(&[&["f:spec"], &["f:metadata", "f:labels"]])
            }
            ("status", "", "pods") => Ignored::Below(&[
                &["f:spec"],
                &["f:metadata", "f:deletionTimestamp"],
                &["f:metadata", "f:ownerReferences"],
            ]),
            (
                "status",
                "apiextensions.k8s.io"
                | "storage.k8s.io"
                | "flowcontrol.apiserver.k8s.io"
                | "apiregistration.k8s.io"
                | "admissionregistration.k8s.io"
                | "resource.k8s.io",
                _,
            ) => SPEC_METADATA,
            ("status", _, "certificatesigningrequests") => {
                Ignored::Below(&[&["f:spec"], &["f:status", "f:conditions"]])
            }
            ("approval", _, "certificatesigningrequests") => {
                Ignored::Below(&[&["f:spec"], &["f:status", "f:certificate"]])
            }
            ("status", _, _) => SPEC,
            ("finalize", "", "namespaces") => STATUS,
            _ => Ignored::Nothing,
        }
    }

    /// Takes the ignored fields out of a set.
    pub(crate) fn filter(self, set: &mut FieldSet) {
        match self {
            Ignored::Nothing => {}
            Ignored::Below(paths) => {
                for path in paths {
                    set.cut(path);
                }
            }
        }
    }

    /// Takes the ignored fields out of a comparison.
    pub(crate) fn filter_comparison(self, comparison: &mut Comparison) {
        self.filter(&mut comparison.taken);
        self.filter(&mut comparison.removed);
    }
}

/// Kinds whose main endpoint leaves the status alone.
fn has_status(group: &str, resource: &str) -> bool {
    match group {
        "" => matches!(
            resource,
            "pods"
                | "services"
                | "namespaces"
                | "nodes"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "replicationcontrollers"
                | "resourcequotas"
        ),
        "apps" => resource != "controllerrevisions",
        "batch" | "autoscaling" => true,
        "policy" => resource == "poddisruptionbudgets",
        "networking.k8s.io" => matches!(resource, "ingresses" | "servicecidrs"),
        "storage.k8s.io" => resource == "volumeattachments",
        "apiextensions.k8s.io" | "apiregistration.k8s.io" | "certificates.k8s.io" => true,
        "flowcontrol.apiserver.k8s.io" => true,
        "admissionregistration.k8s.io" => resource == "validatingadmissionpolicies",
        "resource.k8s.io" => resource == "resourceclaims",
        _ => false,
    }
}
