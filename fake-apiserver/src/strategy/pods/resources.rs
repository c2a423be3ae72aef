//! Requests, limits and claims of containers and Pods, and the names and amounts they may have.
//!
//! Source: `pkg/apis/core/validation` (`ValidateResourceRequirements`, `ValidateContainerResourceName`).

use std::collections::BTreeSet;

use crate::status::go_quote;

use super::super::field::{At, Errors};
use super::super::names::Names;
use super::super::quantity::Quantity;
use super::Pod;

/// What Pods ask for and claims store, by the names of Kubernetes itself.
const MEASURED: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "storage",
    "requests.storage",
];

/// Objects and ports that a quota counts one by one, by its own names for them.
const COUNTED: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Whether a quota counts what has this name.
pub fn is_counted(name: &str) -> bool {
    COUNTED.contains(&name)
}

/// Whether more may be asked for than there is, so that requests and limits can differ.
pub fn may_overcommit(name: &str) -> bool {
    !name.starts_with("hugepages-") && (!name.contains('/') || name.contains("kubernetes.io/"))
}

/// Whether Kubernetes itself gave the name.
pub fn is_standard_resource(name: &str) -> bool {
    MEASURED.contains(&name)
        || is_counted(name)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
}

/// A name of a resource of any kind.
pub fn resource_name(errors: &mut Errors, at: &At, name: &str) -> bool {
    if !Names::Qualified.allows(name) {
        errors.name_as(at, name, Names::Qualified);
        return false;
    }
    if !name.contains('/') && !is_standard_resource(name) {
        errors.invalid_as(
            at,
            name,
            "must be a standard resource type or fully qualified",
        );
        return false;
    }
    true
}

pub(super) fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// Requests and limits of a container, or (`pod_level`) of the whole Pod.
pub(super) fn resources(errors: &mut Errors, at: &At, pod: &Pod, pod_level: bool) {
    let (limits, requests) = (at.field("limits"), at.field("requests"));
    let check_name = |errors: &mut Errors, at: &At, name: &str| {
        let known = resource_name(errors, at, name);
        if pod_level {
            if known && !(["cpu", "memory"].contains(&name) || name.starts_with("hugepages-")) {
                errors.push(crate::status::Cause::not_supported(
                    at.path(),
                    &name.into(),
                    &["cpu", "hugepages-", "memory"],
                ));
            }
        } else if !name.contains('/') {
            if !(["cpu", "memory", "ephemeral-storage"].contains(&name)
                || name.starts_with("hugepages-"))
            {
                errors.invalid_as(at, name, "must be a standard resource for containers");
            }
        } else if !name.contains("kubernetes.io/") && !is_extended(name) {
            errors.invalid_as(at, name, "doesn't follow extended resource name standard");
        }
    };
    let (mut compute, mut huge) = (false, false);
    let mut each = |errors: &mut Errors, at: &At, name: &str| {
        check_name(errors, at, name);
        resource_value(errors, at, name);
        if let Some(size) = name.strip_prefix("hugepages-") {
            huge = true;
            let size = Quantity::parse(size).ok().and_then(|q| q.whole());
            let amount = Quantity::parse(at.text()).ok().and_then(|q| q.whole());
            if let (Some(size), Some(amount)) = (size, amount)
                && size > 0
                && amount % size != 0
            {
                errors.invalid(
                    at,
                    &format!("{} is not positive integer multiple of {name}", at.text()),
                );
            }
        }
        compute |= name == "cpu" || name == "memory";
    };
    for (name, limit) in limits.entries() {
        each(errors, &limit, name);
    }
    for (name, request) in requests.entries() {
        each(errors, &request, name);
        let overcommit = may_overcommit(name);
        let parse = |at: &At| Quantity::parse(at.text()).unwrap_or_else(|_| Quantity::zero());
        let limit = limits.key(name);
        if limit.is_set() {
            let (asked, most) = (parse(&request), parse(&limit));
            if asked != most && !overcommit {
                let detail = format!("must be equal to {name} limit of {}", limit.text());
                errors.invalid_as(&requests, request.value(), &detail);
            } else if asked > most {
                let detail = format!(
                    "must be less than or equal to {name} limit of {}",
                    limit.text()
                );
                errors.invalid_as(&requests, request.value(), &detail);
            }
        } else if !overcommit {
            errors.required(
                &limits,
                "Limit must be set for non overcommitable resources",
            );
        }
    }
    if huge && !compute {
        errors.forbidden(at, "HugePages require cpu or memory");
    }
    claims(errors, &at.field("claims"), pod);
}

pub(super) fn claims(errors: &mut Errors, at: &At, pod: &Pod) {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for claim in at.items() {
        let name = claim.field("name");
        if name.text().is_empty() {
            errors.required(&claim, "");
            continue;
        }
        let request = claim.field("request");
        let key = if request.text().is_empty() {
            name.text().to_owned()
        } else {
            errors.name(&request, Names::Label);
            format!("{}/{}", name.text(), request.text())
        };
        if names.contains(&key) || names.contains(name.text()) {
            errors.duplicate_as(&claim, key.clone());
        }
        names.insert(key);
        if !pod.claims.contains(&name.text()) && !errors.is_full() {
            let why = if pod.claims.is_empty() {
                " which is empty".to_owned()
            } else {
                let mut known = pod.claims.clone();
                known.sort_unstable();
                format!(": {}", known.join(", "))
            };
            let message = format!(
                "Not found: {}: must be one of the names in pod.spec.resourceClaims{why}",
                go_quote(name.text())
            );
            errors.push(crate::status::Cause::new(
                "FieldValueNotFound",
                claim.path(),
                message,
            ));
        }
    }
}

/// An amount of a resource: not negative, whole unless it is a compute resource.
pub fn resource_value(errors: &mut Errors, at: &At, name: &str) {
    let Ok(amount) = Quantity::parse(at.text()) else {
        return;
    };
    if amount.is_negative() {
        errors.invalid(at, "must be greater than or equal to 0");
    }
    if (is_extended(name) || is_counted(name)) && amount.whole().is_none() {
        errors.invalid(at, "must be an integer");
    }
}

pub(super) fn resize_policy(errors: &mut Errors, at: &At, pod: &Pod) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for policy in at.items() {
        let (resource, restart) = (policy.field("resourceName"), policy.field("restartPolicy"));
        if seen.contains(&resource.text()) {
            errors.duplicate_as(&policy, resource.text());
        }
        seen.insert(resource.text());
        for (field, known) in [
            (&resource, ["cpu", "memory"]),
            (&restart, ["NotRequired", "RestartContainer"]),
        ] {
            if field.text().is_empty() {
                errors.required(at, "");
            } else {
                errors.one_of(&At::named(&at.path(), field.value()), &known);
            }
        }
        if pod.restart_policy == "Never" && restart.text() != "NotRequired" {
            errors.invalid_as(
                at,
                restart.text(),
                "must be 'NotRequired' when pod `restartPolicy` is 'Never'",
            );
        }
    }
}
