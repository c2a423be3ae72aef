//! Facts per kind that discovery does not tell, as one row of data: generation, unconditional update, create on update,
//! what a DELETE answers, default propagation. Source: rules C6, D5, D6, G1, G6 and their recordings.

/// What becomes of dependents when a DELETE names no policy (G6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// The collector deletes them afterwards.
    Background,
    /// They lose the reference and stay.
    Orphan,
    /// The collector's finalizers do not exist for this kind (Event).
    Unsupported,
}

/// One row of facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The server keeps `metadata.generation` (C5, C6).
    pub generation: bool,
    /// PUT without a resourceVersion overwrites (D5).
    pub unconditional_update: bool,
    /// PUT on a missing object creates it (D6).
    pub create_on_update: bool,
    /// DELETE answers with the object instead of a Status (G1).
    pub delete_returns_object: bool,
    /// Default propagation policy (G6).
    pub propagation: Propagation,
    /// Lists and watches are served from a watch cache (all but Events, O2).
    pub cached: bool,
}

const PLAIN: Facts = Facts {
    generation: false,
    unconditional_update: true,
    create_on_update: false,
    delete_returns_object: false,
    propagation: Propagation::Background,
    cached: true,
};

impl Facts {
    /// The row of a custom resource.
    pub const CUSTOM: Facts = Facts {
        generation: true,
        unconditional_update: false,
        ..PLAIN
    };

    /// The row of a built-in resource.
    pub fn builtin(group: &str, plural: &str) -> Facts {
        Facts {
            generation: generation(group, plural),
            unconditional_update: !matches!(
                (group, plural),
                ("coordination.k8s.io", _)
                    | ("policy", _)
                    | ("node.k8s.io", _)
                    | (
                        "storage.k8s.io",
                        "csidrivers" | "csinodes" | "csistoragecapacities" | "volumeattachments"
                    )
                    | ("admissionregistration.k8s.io", _)
                    | ("apiextensions.k8s.io", _)
                    | ("apiregistration.k8s.io", _)
            ),
            create_on_update: matches!(
                (group, plural),
                (
                    "coordination.k8s.io" | "rbac.authorization.k8s.io" | "events.k8s.io",
                    _
                ) | ("node.k8s.io", _)
                    | ("", "services" | "endpoints" | "events" | "limitranges")
            ),
            delete_returns_object: matches!(
                (group, plural),
                (
                    "",
                    "pods"
                        | "services"
                        | "serviceaccounts"
                        | "podtemplates"
                        | "resourcequotas"
                        | "persistentvolumeclaims"
                        | "persistentvolumes"
                        | "namespaces"
                ) | (
                    "storage.k8s.io",
                    "storageclasses"
                        | "csidrivers"
                        | "csinodes"
                        | "volumeattachments"
                        | "volumeattributesclasses"
                ) | ("resource.k8s.io", _)
                    | ("apiextensions.k8s.io", _)
            ),
            propagation: match (group, plural) {
                ("batch", "jobs") | ("", "replicationcontrollers") => Propagation::Orphan,
                (_, "events") => Propagation::Unsupported,
                _ => Propagation::Background,
            },
            cached: plural != "events",
        }
    }
}

fn generation(group: &str, plural: &str) -> bool {
    match group {
        "" => matches!(plural, "pods" | "podtemplates" | "replicationcontrollers"),
        "apps" => plural != "controllerrevisions",
        "batch" | "policy" | "discovery.k8s.io" | "scheduling.k8s.io" => true,
        "networking.k8s.io" => matches!(plural, "ingresses" | "ingressclasses" | "networkpolicies"),
        "flowcontrol.apiserver.k8s.io" | "admissionregistration.k8s.io" => true,
        "resource.k8s.io" => matches!(plural, "deviceclasses" | "resourceslices"),
        "apiextensions.k8s.io" => true,
        _ => false,
    }
}
