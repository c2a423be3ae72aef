//! PodSecurity: the levels that labels of a namespace ask for.
//!
//! Pods are refused by `enforce`; `warn` speaks of pods and of workloads. Audit leaves no
//! trace here. Simplified: every version of the standards is the latest.
//! Source: `staging/src/k8s.io/pod-security-admission/{admission,policy}`.

use super::pod_standards::violations;
use super::{find, refuse, stored};
use crate::admission::Attributes;
use crate::json::Value;
use crate::server::{Halt, Session};
use crate::status::{Cause, Status, go_quote};
use std::collections::BTreeMap;

const LABEL: &str = "pod-security.kubernetes.io/";

/// Checks a pod or a pod template.
pub(super) fn check(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: &Value,
) -> Result<(), Halt> {
    let row = attributes.row;
    let pod = row.is("", "pods");
    let spec = match (row.group.as_str(), row.plural.as_str()) {
        ("", "pods") => object.get("spec"),
        ("", "podtemplates") => object.at(&["template", "spec"]),
        ("", "replicationcontrollers")
        | ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => object.at(&["spec", "template", "spec"]),
        ("batch", "cronjobs") => object.at(&["spec", "jobTemplate", "spec", "template", "spec"]),
        _ => return Ok(()),
    };
    let Some(spec) = spec.filter(|_| !attributes.namespace.is_empty()) else {
        return Ok(());
    };
    let Some(namespace) = find(s, "", "namespaces", "", attributes.namespace) else {
        return Ok(());
    };
    if pod && attributes.old.is_some_and(|old| !runs_anew(object, old)) {
        return Ok(());
    }
    let level = |mode: &str| level(&namespace, mode);
    let (enforce, version) = level("enforce");
    let refused = violations(&enforce, spec);
    if pod && !refused.is_empty() {
        let why = format!(
            "violates PodSecurity \"{enforce}:{version}\": {}",
            refused.join(", ")
        );
        return Err(refuse(attributes, object, &why).into());
    }
    let (warn, version) = level("warn");
    let warned = violations(&warn, spec);
    if !warned.is_empty() {
        s.warn(format!(
            "would violate PodSecurity \"{warn}:{version}\": {}",
            warned.join(", ")
        ));
    }
    Ok(())
}

// The level and version that a namespace asks for.
fn level(namespace: &Value, mode: &str) -> (String, String) {
    let label = format!("{LABEL}{mode}");
    let text = |label: &str| namespace.str_at(&["metadata", "labels", label]).to_owned();
    let version = text(&format!("{label}-version"));
    let version = if version.is_empty() {
        "latest".to_owned()
    } else {
        version
    };
    (text(&label), version)
}

// Whether a changed Pod runs other containers or images than before.
fn runs_anew(new: &Value, old: &Value) -> bool {
    let images = |pod: &Value| -> Vec<Vec<String>> {
        let lists = ["containers", "initContainers", "ephemeralContainers"];
        let image = |container: &Value| container.str_at(&["image"]).to_owned();
        lists
            .iter()
            .map(|list| pod.array_at(&["spec", list]).iter().map(image).collect())
            .collect()
    };
    images(new) != images(old)
}

/// The labels of a namespace must name levels and versions that there are; Pods that are there already are only warned about.
pub(super) fn check_namespace(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: &Value,
) -> Result<(), Halt> {
    check_labels(object)?;
    let Some(old) = attributes.old else {
        return Ok(());
    };
    let (now, version) = level(object, "enforce");
    let (before, old_version) = level(old, "enforce");
    let rank = |level: &str| {
        ["", "privileged", "baseline", "restricted"]
            .iter()
            .position(|known| *known == level)
    };
    let stricter = version != old_version || rank(&now).max(Some(1)) > rank(&before).max(Some(1));
    if !stricter || rank(&now) < Some(2) {
        return Ok(());
    }
    let namespace = object.str_at(&["metadata", "name"]);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in stored(s, "", "pods", Some(namespace)) {
        let wrong = violations(&now, &pod["spec"]);
        let reasons = wrong
            .iter()
            .map(|text| text.split(" (").next().unwrap_or_default());
        let reasons: Vec<&str> = reasons.collect();
        if !reasons.is_empty() {
            let pods = found.entry(reasons.join(", ")).or_default();
            pods.push(pod.str_at(&["metadata", "name"]).to_owned());
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    s.warn(format!(
        "existing pods in namespace {} violate the new PodSecurity enforce level \"{now}:{version}\"",
        go_quote(namespace)
    ));
    let mut told: Vec<String> = found
        .into_iter()
        .map(|(reasons, pods)| {
            let more = match pods.len() - 1 {
                0 => String::new(),
                1 => " (and 1 other pod)".to_owned(),
                more => format!(" (and {more} other pods)"),
            };
            format!("{}{more}: {reasons}", pods[0])
        })
        .collect();
    told.sort();
    for text in told {
        s.warn(text);
    }
    Ok(())
}

fn check_labels(object: &Value) -> Result<(), Halt> {
    let mut causes = Vec::new();
    for mode in ["enforce", "audit", "warn"] {
        let label = |suffix: &str| format!("{LABEL}{mode}{suffix}");
        let at = |label: &str| object.at(&["metadata", "labels", label]);
        let (level, version) = (label(""), label("-version"));
        if let Some(value) = at(&level)
            && !["privileged", "baseline", "restricted"]
                .iter()
                .any(|known| value == known)
        {
            let field = format!("metadata.labels[{level}]");
            let why = "must be one of privileged, baseline, restricted";
            causes.push(Cause::invalid(field, value, why));
        }
        if let Some(value) = at(&version)
            && value != "latest"
            && value
                .as_str()
                .and_then(|text| text.strip_prefix("v1.")?.parse::<u32>().ok())
                .is_none()
        {
            let field = format!("metadata.labels[{version}]");
            let why = "must be \"latest\" or \"v1.x\"";
            causes.push(Cause::invalid(field, value, why));
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    let name = object.str_at(&["metadata", "name"]);
    Err(Status::invalid("", "Namespace", name, causes).into())
}
