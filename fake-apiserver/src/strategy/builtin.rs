//! Which strategy a built-in resource has, and the checks several of them share.

use crate::json::{CompactString, Value};
use crate::registry::Resource;
use crate::status::Status;

use super::admission_policies::{AdmissionPolicies, AdmissionPolicyBindings};
use super::aggregation::ApiServices;
use super::autoscalers::Autoscalers;
use super::certificates::SigningRequests;
use super::claims::{Claims, Volumes};
use super::config::{ConfigMaps, Secrets, ServiceAccounts};
use super::endpoints::{EndpointSlices, EndpointsObjects};
use super::events::Events;
use super::field::{At, Errors};
use super::flow_control::{FlowSchemas, PriorityLevels};
use super::jobs::{CronJobs, Jobs};
use super::names::Names;
use super::networking::{IngressClasses, Ingresses, NetworkPolicies};
use super::nodes::{Namespaces, Nodes};
use super::pods::Pods;
use super::quotas::{LimitRanges, ResourceQuotas};
use super::rbac::{Bindings, Roles};
use super::scheduling::{DisruptionBudgets, Leases, PriorityClasses, RuntimeClasses};
use super::service_addresses::{IpAddresses, ServiceRanges};
use super::services::Services;
use super::storage::{
    Attachments, AttributesClasses, Capacities, DriverNodes, Drivers, StorageClasses,
};
use super::webhook_configurations::WebhookConfigurations;
use super::workloads::{ControllerRevisions, PodTemplates, Workload};
use super::{Cx, Strategy, metadata};

struct Plain;
impl Strategy for Plain {}

struct ResourceClaims;
impl Strategy for ResourceClaims {
    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        super::keep_status_or_all(cx, new, old);
        Ok(())
    }
}

struct ResourceSlices;
impl Strategy for ResourceSlices {
    fn field(&self, _resource: &Resource, object: &Value, name: &str) -> Option<CompactString> {
        let name = name.strip_prefix("spec.")?;
        ["nodeName", "driver"]
            .contains(&name)
            .then(|| object.str_at(&["spec", name]).into())
    }

    fn check_field(&self, resource: &Resource, name: &str) -> Result<(), String> {
        match name {
            "metadata.name" | "spec.nodeName" | "spec.driver" => Ok(()),
            _ => Err(format!(
                "field label not supported for {}/{}, Kind={}: {name}",
                resource.group, resource.version, resource.kind
            )),
        }
    }
}

/// The strategy of a built-in resource.
pub fn of(group: &str, plural: &str) -> &'static dyn Strategy {
    match (group, plural) {
        ("apiextensions.k8s.io", "customresourcedefinitions") => &super::crd::Definition,
        ("", "pods") => &Pods,
        ("", "podtemplates") => &PodTemplates,
        ("", "replicationcontrollers") => &Workload::ReplicationController,
        ("", "services") => &Services,
        ("", "endpoints") => &EndpointsObjects,
        ("", "configmaps") => &ConfigMaps,
        ("", "secrets") => &Secrets,
        ("", "serviceaccounts") => &ServiceAccounts,
        ("", "persistentvolumeclaims") => &Claims,
        ("", "persistentvolumes") => &Volumes,
        ("", "limitranges") => &LimitRanges,
        ("", "resourcequotas") => &ResourceQuotas,
        ("", "nodes") => &Nodes,
        ("", "namespaces") => &Namespaces,
        ("" | "events.k8s.io", "events") => &Events,
        ("apps", "deployments") => &Workload::Deployment,
        ("apps", "replicasets") => &Workload::ReplicaSet,
        ("apps", "statefulsets") => &Workload::StatefulSet,
        ("apps", "daemonsets") => &Workload::DaemonSet,
        ("apps", "controllerrevisions") => &ControllerRevisions,
        ("batch", "jobs") => &Jobs,
        ("batch", "cronjobs") => &CronJobs,
        ("discovery.k8s.io", "endpointslices") => &EndpointSlices,
        (
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations" | "validatingwebhookconfigurations",
        ) => &WebhookConfigurations,
        (
            "admissionregistration.k8s.io",
            "mutatingadmissionpolicies" | "validatingadmissionpolicies",
        ) => &AdmissionPolicies,
        (
            "admissionregistration.k8s.io",
            "mutatingadmissionpolicybindings" | "validatingadmissionpolicybindings",
        ) => &AdmissionPolicyBindings,
        ("autoscaling", "horizontalpodautoscalers") => &Autoscalers,
        ("networking.k8s.io", "ingresses") => &Ingresses,
        ("networking.k8s.io", "ingressclasses") => &IngressClasses,
        ("networking.k8s.io", "networkpolicies") => &NetworkPolicies,
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => &Roles,
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => &Bindings,
        ("scheduling.k8s.io", "priorityclasses") => &PriorityClasses,
        ("node.k8s.io", "runtimeclasses") => &RuntimeClasses,
        ("coordination.k8s.io", "leases") => &Leases,
        ("policy", "poddisruptionbudgets") => &DisruptionBudgets,
        ("storage.k8s.io", "storageclasses") => &StorageClasses,
        ("storage.k8s.io", "volumeattributesclasses") => &AttributesClasses,
        ("storage.k8s.io", "csidrivers") => &Drivers,
        ("storage.k8s.io", "csinodes") => &DriverNodes,
        ("storage.k8s.io", "volumeattachments") => &Attachments,
        ("storage.k8s.io", "csistoragecapacities") => &Capacities,
        ("certificates.k8s.io", "certificatesigningrequests") => &SigningRequests,
        ("networking.k8s.io", "servicecidrs") => &ServiceRanges,
        ("networking.k8s.io", "ipaddresses") => &IpAddresses,
        ("apiregistration.k8s.io", "apiservices") => &ApiServices,
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => &FlowSchemas,
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => &PriorityLevels,
        ("resource.k8s.io", "resourceclaims") => &ResourceClaims,
        ("resource.k8s.io", "resourceslices") => &ResourceSlices,
        _ => &Plain,
    }
}

/// The checks of a new object's metadata, which many kinds repeat on update.
pub fn validate_metadata(errors: &mut Errors, cx: &Cx<'_>, new: &Value, old: &Value) {
    let root = At::root(new);
    let (metadata, old) = (root.field("metadata"), &old["metadata"]);
    let (namespaced, names) = (cx.resource.namespaced, cx.resource.strategy.names());
    metadata::validate_again(errors, &metadata, old, namespaced, names, true);
}

/// A path below a domain, like `acme.io/foo`.
pub fn domain_prefixed_path(errors: &mut Errors, at: &At) {
    let text = at.text();
    if text.is_empty() {
        errors.required(at, "");
        return;
    }
    match text.split_once('/') {
        Some((host, path)) if !host.is_empty() && !path.is_empty() => {
            errors.name_as(at, host, Names::Subdomain);
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
            if !path.bytes().all(allowed) {
                errors.invalid_as(at, path, "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')");
            }
        }
        _ => errors.invalid(
            at,
            "must be a domain-prefixed path (such as \"acme.io/foo\")",
        ),
    }
}
