//! Warnings about Pods and pod templates that are valid but odd.
//!
//! Simplification: overlapping paths inside volumes are not looked for.
//! Source: `pkg/api/pod/warnings.go`.

use std::collections::{BTreeMap, BTreeSet};

use crate::json::Value;
use crate::status::go_quote;

use super::super::deprecations;
use super::super::field::At;
use super::super::names::Names;
use super::super::quantity::Quantity;

/// Volume types that are out of date: field, name shown, what is said.
pub const DEPRECATED_VOLUMES: &[(&str, &str, &str)] = &[
    (
        "photonPersistentDisk",
        "photonPersistentDisk",
        "deprecated in v1.11, non-functional in v1.16+",
    ),
    (
        "gitRepo",
        "gitRepo",
        "deprecated in v1.11, and disabled by default in v1.33+",
    ),
    (
        "scaleIO",
        "scaleIO",
        "deprecated in v1.16, non-functional in v1.22+",
    ),
    (
        "flocker",
        "flocker",
        "deprecated in v1.22, non-functional in v1.25+",
    ),
    (
        "storageos",
        "storageOS",
        "deprecated in v1.22, non-functional in v1.25+",
    ),
    (
        "quobyte",
        "quobyte",
        "deprecated in v1.22, non-functional in v1.25+",
    ),
    (
        "glusterfs",
        "glusterfs",
        "deprecated in v1.25, non-functional in v1.26+",
    ),
    (
        "cephfs",
        "cephfs",
        "deprecated in v1.28, non-functional in v1.31+",
    ),
    (
        "rbd",
        "rbd",
        "deprecated in v1.28, non-functional in v1.31+",
    ),
];

const DEPRECATED_ANNOTATIONS: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    (
        "security.alpha.kubernetes.io/sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

/// Adds the warnings of a Pod (`prefix` empty) or a template (`prefix` its path and a dot).
pub fn warnings(out: &mut Vec<String>, prefix: &str, pod: &Value) {
    let spec = &pod["spec"];
    node_labels(out, prefix, spec);
    for (index, constraint) in spec
        .array_at(&["topologySpreadConstraints"])
        .iter()
        .enumerate()
    {
        let key = constraint.str_at(&["topologyKey"]);
        if let Some(text) = deprecations::node_label(key) {
            out.push(format!(
                "{prefix}spec.topologySpreadConstraints[{index}].topologyKey: {key} is {text}"
            ));
        }
        if constraint["labelSelector"].is_null() {
            out.push(format!(
                "{prefix}spec.topologySpreadConstraints[{index}].labelSelector: a null labelSelector results in matching no pod"
            ));
        }
    }
    for (key, text) in DEPRECATED_ANNOTATIONS {
        if !pod["metadata"]["annotations"][*key].is_null() {
            out.push(format!("{prefix}metadata.annotations[{key}]: {text}"));
        }
    }
    for (index, volume) in spec.array_at(&["volumes"]).iter().enumerate() {
        for (key, shown, text) in DEPRECATED_VOLUMES {
            if volume[*key].is_object() {
                out.push(format!("{prefix}spec.volumes[{index}].{shown}: {text}"));
            }
        }
    }
    for (list, key, what) in [
        ("hostAliases", "ip", "ip"),
        ("imagePullSecrets", "name", "name"),
    ] {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for (index, item) in spec.array_at(&[list]).iter().enumerate() {
            let text = item.str_at(&[key]);
            if seen.contains(&text) {
                out.push(format!(
                    "{prefix}spec.{list}[{index}].{key}: duplicate {what} {}",
                    go_quote(text)
                ));
            } else {
                seen.insert(text);
            }
        }
    }
    for (index, secret) in spec.array_at(&["imagePullSecrets"]).iter().enumerate() {
        if secret.str_at(&["name"]).is_empty() {
            out.push(format!(
                "{prefix}spec.imagePullSecrets[{index}].name: invalid empty name \"\""
            ));
        }
    }
    fractions(
        out,
        &format!("{prefix}spec.overhead"),
        &spec["overhead"],
        "memory",
    );
    fractions(
        out,
        &format!("{prefix}spec.overhead"),
        &spec["overhead"],
        "ephemeral-storage",
    );
    let containers: Vec<(String, &Value)> = ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| {
            let path = move |index| format!("{prefix}spec.{list}[{index}]");
            spec.array_at(&[list])
                .iter()
                .enumerate()
                .map(move |(index, container)| (path(index), container))
        })
        .collect();
    for (path, container) in &containers {
        for resource in ["memory", "ephemeral-storage"] {
            for kind in ["limits", "requests"] {
                fractions(
                    out,
                    &format!("{path}.resources.{kind}"),
                    &container["resources"][kind],
                    resource,
                );
            }
        }
        hidden_variables(out, path, container);
    }
    ports(out, &containers);
    if spec["terminationGracePeriodSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds < 0)
    {
        out.push(format!(
            "{prefix}spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let affinity = &spec["affinity"][kind];
        let required = affinity
            .array_at(&["requiredDuringSchedulingIgnoredDuringExecution"])
            .iter();
        let preferred = affinity
            .array_at(&["preferredDuringSchedulingIgnoredDuringExecution"])
            .iter();
        let terms = required.enumerate().map(|(i, term)| {
            (
                format!("requiredDuringSchedulingIgnoredDuringExecution[{i}]"),
                term,
            )
        });
        let weighted = preferred.enumerate().map(|(i, term)| {
            (
                format!("preferredDuringSchedulingIgnoredDuringExecution[{i}].podAffinityTerm"),
                &term["podAffinityTerm"],
            )
        });
        for (path, term) in terms.chain(weighted) {
            if term["labelSelector"].is_null() {
                out.push(format!("{prefix}spec.affinity.{kind}.{path}.labelSelector: a null labelSelector results in matching no pod"));
            }
        }
    }
}

/// The name of an object whose Pods' host names are made from it.
pub fn host_name_warning(out: &mut Vec<String>, object: &Value) {
    let wrong = Names::Label.check(object.str_at(&["metadata", "name"]));
    if !wrong.is_empty() {
        out.push(format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]",
            wrong.join(" ")
        ));
    }
}

fn node_labels(out: &mut Vec<String>, prefix: &str, spec: &Value) {
    for (key, _) in spec["nodeSelector"].as_object().into_iter().flatten() {
        if let Some(text) = deprecations::node_label(key) {
            out.push(format!("{prefix}spec.nodeSelector[{key}]: {text}"));
        }
    }
    let path = format!("{prefix}spec.affinity.nodeAffinity");
    let affinity = At::named(&path, &spec["affinity"]["nodeAffinity"]);
    let required = affinity.field("requiredDuringSchedulingIgnoredDuringExecution");
    for term in required.field("nodeSelectorTerms").items() {
        deprecations::node_selector_term(out, &term, false);
    }
    let preferred = affinity.field("preferredDuringSchedulingIgnoredDuringExecution");
    for term in preferred.items() {
        deprecations::node_selector_term(out, &term.field("preference"), true);
    }
}

fn fractions(out: &mut Vec<String>, path: &str, amounts: &Value, resource: &str) {
    let text = amounts.str_at(&[resource]);
    if Quantity::parse(text).is_ok_and(|amount| amount.whole().is_none()) {
        out.push(format!(
            "{path}[{resource}]: fractional byte value {} is invalid, must be an integer",
            go_quote(text)
        ));
    }
}

fn hidden_variables(out: &mut Vec<String>, path: &str, container: &Value) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (index, variable) in container.array_at(&["env"]).iter().enumerate() {
        let name = variable.str_at(&["name"]);
        if !seen.contains(&name) {
            seen.insert(name);
            continue;
        }
        let value = variable.str_at(&["value"]);
        let reference = format!("$({name})");
        if !variable["valueFrom"].is_null() || value == reference || !value.contains(&reference) {
            out.push(format!(
                "{path}.env[{index}]: hides previous definition of {}, which may be dropped when using apply",
                go_quote(name)
            ));
        }
    }
}

/// No client is sent more warnings than this, however short they are.
const WARNINGS_MAX: usize = 5_000;

fn ports(out: &mut Vec<String>, containers: &[(String, &Value)]) {
    let all: Vec<(String, &Value)> = containers
        .iter()
        .flat_map(|(path, container)| {
            let ports = container.array_at(&["ports"]).iter().enumerate();
            ports.map(move |(index, port)| (format!("{path}.ports[{index}]"), port))
        })
        .collect();
    let mut before: BTreeMap<_, Vec<&(String, &Value)>> = BTreeMap::new();
    for one in &all {
        let (path, port) = one;
        let place = (port.i64_at(&["containerPort"]), port.str_at(&["protocol"]));
        let others = before.entry(place).or_default();
        for (other_path, other) in others.iter().copied() {
            if out.len() > WARNINGS_MAX {
                return;
            }
            let (host, other_host) = (
                port["hostPort"].as_i64().unwrap_or(0),
                other["hostPort"].as_i64().unwrap_or(0),
            );
            let (ip, other_ip) = (port.str_at(&["hostIP"]), other.str_at(&["hostIP"]));
            if ip == other_ip && host == other_host {
                out.push(format!(
                    "{path}: duplicate port definition with {other_path}"
                ));
            } else if host == 0 || other_host == 0 {
                out.push(format!(
                    "{path}: overlapping port definition with {other_path}"
                ));
            } else if host == other_host && ip.is_empty() != other_ip.is_empty() {
                out.push(format!(
                    "{path}: dangerously ambiguous port definition with {other_path}"
                ));
            }
        }
        others.push(one);
    }
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for (path, port) in &all {
        let name = port.str_at(&["name"]);
        if name.is_empty() {
            continue;
        }
        match names.get(name) {
            Some(other) => out.push(format!(
                "{path}: duplicate port name {} with {other}, services and probes that select ports by name will use {other}",
                go_quote(name)
            )),
            None => drop(names.insert(name, path)),
        }
    }
}
