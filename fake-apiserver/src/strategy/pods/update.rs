//! What of a Pod may change, by endpoint.
//!
//! The message of an immutable spec ends, on the real server, in a diff of its internal form; ours has the same diff over
//! the fields as JSON spells them (`docs/fidelity.md`).
//! Source: `ValidatePodUpdate`, `ValidatePodStatusUpdate`, `ValidatePodResize`, `ValidatePodEphemeralContainersUpdate`.

use crate::json::Value;

use super::super::addresses;
use super::super::field::{At, Errors, semantically_equal};
use super::super::names::Names;
use super::{qos_class, validation};

const MUTABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n";

/// The main endpoint.
pub(super) fn spec(errors: &mut Errors, at: &At, old: &Value) {
    for list in ["containers", "initContainers"] {
        let containers = at.field(list);
        if containers.list().len() != old.array_at(&[list]).len() {
            errors.forbidden(&containers, "pod updates may not add or remove containers");
            return;
        }
        for container in containers.items() {
            if container.field("image").text().is_empty() {
                errors.required(&container.field("image"), "");
            }
            trimmed_image(errors, &container);
        }
    }
    let deadline = at.field("activeDeadlineSeconds");
    match (deadline.int(), old["activeDeadlineSeconds"].as_i64()) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            errors.in_range(&deadline, 0, i64::from(i32::MAX));
            return;
        }
        (Some(new), Some(old)) if old < new => {
            errors.invalid(&deadline, "must be less than or equal to previous value");
            return;
        }
        (None, Some(_)) => errors.invalid(
            &deadline,
            "must not update from a positive integer to nil value",
        ),
        _ => {}
    }
    only_added_tolerations(errors, &at.field("tolerations"), &old["tolerations"]);
    only_deleted_gates(
        errors,
        &at.field("schedulingGates"),
        &old["schedulingGates"],
    );
    if semantically_equal(at.value(), old) {
        return;
    }
    // The new spec with all that may change set back to the old.
    let mut munged = at.value().clone();
    for key in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        super::restore(&mut munged, old, key);
    }
    for list in ["containers", "initContainers"] {
        let images: Vec<Value> = old
            .array_at(&[list])
            .iter()
            .map(|container| container["image"].clone())
            .collect();
        for (container, image) in super::items(munged.make_object(), list).zip(images) {
            container["image"] = image;
        }
    }
    if old["terminationGracePeriodSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds < 0)
        && munged["terminationGracePeriodSeconds"].as_i64() == Some(1)
    {
        super::restore(&mut munged, old, "terminationGracePeriodSeconds");
    }
    if !old.array_at(&["schedulingGates"]).is_empty() {
        gated(errors, at, old, &mut munged);
    }
    if !semantically_equal(&munged, old) {
        errors.forbidden(
            at,
            &format!("{MUTABLE}{}", super::super::diff::unified(old, &munged)),
        );
    }
}

// A gated Pod may still narrow where it runs.
fn gated(errors: &mut Errors, at: &At, old: &Value, munged: &mut Value) {
    let selector = at.field("nodeSelector");
    let kept = old["nodeSelector"].as_object().is_none_or(|old| {
        old.iter()
            .all(|(key, value)| selector.value().get(key) == Some(value))
    });
    if !kept {
        errors.invalid(
            &selector,
            "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        );
    }
    super::restore(munged, old, "nodeSelector");
    let affinity = at.field("affinity");
    let node_affinity = affinity.field("nodeAffinity");
    let old_affinity = &old["affinity"]["nodeAffinity"];
    if semantically_equal(node_affinity.value(), old_affinity) {
        return;
    }
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let (now, before) = (node_affinity.field(required), &old_affinity[required]);
    let (terms, old_terms) = (
        now.field("nodeSelectorTerms"),
        before.array_at(&["nodeSelectorTerms"]),
    );
    if before.is_object() {
        if !old_terms.is_empty() && terms.list().len() != old_terms.len() {
            errors.invalid(
                &terms,
                "no additions/deletions to non-empty NodeSelectorTerms list are allowed",
            );
        } else {
            for (term, old_term) in terms.items().zip(old_terms) {
                let grown = |list: &str| {
                    term.value()
                        .array_at(&[list])
                        .starts_with(old_term.array_at(&[list]))
                };
                let was_empty = old_term.array_at(&["matchExpressions"]).is_empty()
                    && old_term.array_at(&["matchFields"]).is_empty();
                if !grown("matchExpressions")
                    || !grown("matchFields")
                    || (was_empty && term.value() != old_term)
                {
                    errors.invalid(
                        &term,
                        "only additions are allowed (no mutations or deletions)",
                    );
                }
            }
        }
    }
    if old_affinity.is_null() {
        munged.remove(&["affinity", "nodeAffinity"]);
        if !old["affinity"].is_object()
            && munged["affinity"]
                .as_object()
                .is_some_and(|map| map.is_empty())
        {
            munged.remove(&["affinity"]);
        }
    } else {
        munged.set(&["affinity", "nodeAffinity"], old_affinity);
    }
}

/// An image has no blanks around it.
pub(super) fn trimmed_image(errors: &mut Errors, container: &At) {
    let image = container.field("image");
    if image.text().trim().len() != image.text().len() {
        errors.invalid(&image, "must not have leading or trailing whitespace");
    }
}

fn only_added_tolerations(errors: &mut Errors, at: &At, old: &Value) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.remove(&["tolerationSeconds"]);
        toleration
    };
    for stored in old.as_array().into_iter().flatten() {
        let stored = without_seconds(stored);
        if !at.list().iter().any(|new| without_seconds(new) == stored) {
            errors.forbidden(
                at,
                "existing toleration can not be modified except its tolerationSeconds",
            );
            return;
        }
    }
    validation::tolerations(errors, at);
}

fn only_deleted_gates(errors: &mut Errors, at: &At, old: &Value) {
    for gate in at.items() {
        let name = gate.field("name");
        let known = old
            .as_array()
            .is_some_and(|old| old.iter().any(|old| old["name"] == *name.value()));
        if !known {
            errors.forbidden(
                &name,
                &format!(
                    "only deletion is allowed, but found new scheduling gate '{}'",
                    name.text()
                ),
            );
        }
    }
}

/// `/status`
pub(super) fn status(errors: &mut Errors, root: &At, old: &Value) {
    let status = root.field("status");
    for condition in status.field("conditions").items() {
        if !["PodScheduled", "Ready", "Initialized"].contains(&condition.field("type").text()) {
            errors.name_as(
                &condition.field("Type"),
                condition.field("type").text(),
                Names::Qualified,
            );
        }
    }
    let nominated = status.field("nominatedNodeName");
    if !nominated.text().is_empty()
        && nominated.text() != old.str_at(&["status", "nominatedNodeName"])
    {
        errors.name(&nominated, Names::Subdomain);
    }
    if status.field("observedGeneration").int().unwrap_or(0) < 0 {
        errors.invalid(
            &status.field("observedGeneration"),
            "must be a non-negative integer",
        );
    }
    errors.immutable(&status.field("qosClass"), &old["status"]["qosClass"]);
    if old.str_at(&["spec", "restartPolicy"]) != "Always" {
        let never = old.str_at(&["spec", "restartPolicy"]) == "Never";
        container_states(
            errors,
            &status.field("containerStatuses"),
            &old["status"]["containerStatuses"],
            never,
        );
    }
    for list in ["podIPs", "hostIPs"] {
        let ips = status.field(list);
        let known = old["status"].array_at(&[list]);
        for ip in ips.items() {
            if !known.contains(ip.value()) {
                addresses::ip(errors, &At::named(&ip.path(), &ip.value()["ip"]));
            }
        }
        let families: Vec<bool> = ips
            .list()
            .iter()
            .filter_map(|ip| addresses::parse(ip.str_at(&["ip"])))
            .map(|ip| ip.is_ipv4())
            .collect();
        if ips.list().len() > 2 || (families.len() == 2 && families[0] == families[1]) {
            errors.invalid(&ips, "may specify no more than one IP for each IP family");
        }
    }
}

// A container that has ended for good stays so.
fn container_states(errors: &mut Errors, at: &At, old: &Value, never: bool) {
    for stored in old.as_array().into_iter().flatten() {
        let terminated = &stored["state"]["terminated"];
        if !terminated.is_object() || (!never && terminated["exitCode"].as_i64().unwrap_or(0) != 0)
        {
            continue;
        }
        for (index, status) in at.items().enumerate() {
            if status.field("name").value() == &stored["name"]
                && !status.value()["state"]["terminated"].is_object()
            {
                let at = at.index(index);
                errors.forbidden(
                    &at.field("state"),
                    "may not be transitioned to non-terminated state",
                );
            }
        }
    }
}

/// `/ephemeralcontainers`
pub(super) fn ephemeral_containers(errors: &mut Errors, spec: &At, old: &Value) {
    let at = spec.field("ephemeralContainers");
    for stored in old.array_at(&["ephemeralContainers"]) {
        let name = stored.str_at(&["name"]);
        match at
            .list()
            .iter()
            .find(|container| container["name"] == stored["name"])
        {
            None => errors.forbidden(
                &at,
                &format!("existing ephemeral containers \"{name}\" may not be removed\n"),
            ),
            Some(new) if !semantically_equal(new, stored) => {
                let diff = super::super::diff::unified(stored, new);
                errors.forbidden(
                    &at,
                    &format!("existing ephemeral containers \"{name}\" may not be changed\n{diff}"),
                );
            }
            Some(_) => {}
        }
    }
}

/// `/resize`: of the request only the resources of containers are taken.
pub(super) fn prepare_resize(new: &mut Value, old: &Value) {
    let asked = new["spec"].clone();
    let same = ["containers", "initContainers"]
        .iter()
        .all(|list| asked.array_at(&[list]).len() == old["spec"].array_at(&[list]).len());
    if !same {
        return;
    }
    super::keep_all_but_metadata(new, old);
    for list in ["containers", "initContainers"] {
        let containers = asked.array_at(&[list]);
        let renamed = containers
            .iter()
            .zip(old["spec"].array_at(&[list]))
            .any(|(new, old)| new["name"] != old["name"]);
        if renamed {
            new.set(&["spec", list], &asked[list]);
            continue;
        }
        let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else {
            continue;
        };
        for (kept, asked) in super::items(spec, list).zip(containers) {
            for key in ["resources", "resizePolicy"] {
                super::restore(kept, asked, key);
            }
        }
    }
    if asked.get("resources").is_some() {
        new.set(&["spec", "resources"], &asked["resources"]);
    }
}

/// `/resize`: only cpu and memory may change, and not the QoS class.
pub(super) fn resize(errors: &mut Errors, root: &At, old: &Value) {
    let spec = root.field("spec");
    if old.str_at(&["status", "qosClass"]) != qos_class(spec.value()) {
        let class = root.value().str_at(&["status", "qosClass"]);
        errors.invalid_as(
            &spec,
            class,
            "Pod QOS Class may not change as a result of resizing",
        );
    }
    let mut munged = spec.value().clone();
    for list in ["initContainers", "containers"] {
        let (containers, stored) = (spec.field(list), old["spec"].array_at(&[list]));
        if containers.list().len() != stored.len() {
            errors.forbidden(
                &containers,
                "containers may not be added or removed on resize",
            );
            return;
        }
        for (container, old) in containers.items().zip(stored) {
            let resources = container.field("resources");
            for (kind, text) in [
                ("requests", "resource requests cannot be removed"),
                ("limits", "resource limits cannot be removed"),
            ] {
                let removed = old["resources"][kind].as_object().is_some_and(|old| {
                    old.keys()
                        .any(|key| resources.field(kind).value().get(key).is_none())
                });
                if removed {
                    errors.forbidden(&resources.field(kind), text);
                }
            }
        }
        for (container, old) in super::items(munged.make_object(), list).zip(stored) {
            for kind in ["requests", "limits"] {
                for name in ["cpu", "memory"] {
                    match old.at(&["resources", kind, name]) {
                        Some(amount) => container.set(&["resources", kind, name], amount),
                        None => drop(container.remove(&["resources", kind, name])),
                    }
                }
                if container["resources"][kind]
                    .as_object()
                    .is_some_and(|map| map.is_empty())
                {
                    container.remove(&["resources", kind]);
                }
            }
        }
    }
    munged.remove(&["resources"]);
    let mut stored = old["spec"].clone();
    stored.remove(&["resources"]);
    if !semantically_equal(&munged, &stored) {
        errors.forbidden(&spec, "only cpu and memory resources are mutable");
    }
}
