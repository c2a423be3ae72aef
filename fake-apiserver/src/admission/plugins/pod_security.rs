//! PodSecurity: the levels that labels of a namespace ask for.
//!
//! Pods are refused by `enforce`; `warn` speaks of pods and of workloads. Audit leaves no
//! trace here. Simplified: every version of the standards is the latest.
//! Source: `staging/src/k8s.io/pod-security-admission/{admission,policy}`.

use super::{find, refuse};
use crate::admission::Attributes;
use crate::json::Value;
use crate::server::{Halt, Session};
use crate::status::{Cause, Status};

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
    if pod
        && attributes
            .old
            .is_some_and(|old| old.get("spec") == object.get("spec"))
    {
        return Ok(());
    }
    let level = |mode: &str| {
        let label = format!("pod-security.kubernetes.io/{mode}");
        let version = format!("pod-security.kubernetes.io/{mode}-version");
        let level = namespace.str_at(&["metadata", "labels", &label]).to_owned();
        let version = match namespace.str_at(&["metadata", "labels", &version]) {
            "" => "latest".to_owned(),
            version => version.to_owned(),
        };
        (level, version)
    };
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

/// The labels of a namespace must name levels and versions that there are.
pub(super) fn check_namespace(object: &Value) -> Result<(), Halt> {
    let mut causes = Vec::new();
    for mode in ["enforce", "audit", "warn"] {
        let label = |suffix: &str| format!("pod-security.kubernetes.io/{mode}{suffix}");
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

/// What a pod does that a level does not allow, in the order of the standards.
fn violations(level: &str, spec: &Value) -> Vec<String> {
    let restricted = level == "restricted";
    if !restricted && level != "baseline" {
        return Vec::new();
    }
    let mut found = Vec::new();
    host_namespaces(&mut found, spec);
    privileged(&mut found, spec);
    host_ports(&mut found, spec);
    host_paths(&mut found, spec);
    capabilities(&mut found, spec, restricted);
    if restricted {
        escalation(&mut found, spec);
        drop_all(&mut found, spec);
        non_root(&mut found, spec);
        seccomp(&mut found, spec);
    }
    found
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| spec.array_at(&[list]))
}

fn flag(value: &Value, path: &[&str]) -> Option<bool> {
    value.at(path).and_then(Value::as_bool)
}

/// `container "a"` or `containers "a", "b"`.
fn named(names: &[&str]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| crate::status::go_quote(name))
        .collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    format!("container{plural} {}", quoted.join(", "))
}

fn names_where(spec: &Value, wrong: impl Fn(&Value) -> bool) -> Vec<&str> {
    containers(spec)
        .filter(|container| wrong(container))
        .map(|container| container.str_at(&["name"]))
        .collect()
}

fn host_namespaces(found: &mut Vec<String>, spec: &Value) {
    let used: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| flag(spec, &[field]) == Some(true))
        .map(|field| format!("{field}=true"))
        .collect();
    if !used.is_empty() {
        found.push(format!("host namespaces ({})", used.join(", ")));
    }
}

fn privileged(found: &mut Vec<String>, spec: &Value) {
    let wrong = names_where(spec, |c| {
        flag(c, &["securityContext", "privileged"]) == Some(true)
    });
    if !wrong.is_empty() {
        found.push(format!(
            "privileged ({} must not set securityContext.privileged=true)",
            named(&wrong)
        ));
    }
}

fn host_ports(found: &mut Vec<String>, spec: &Value) {
    let host_port = |port: &Value| port.i64_at(&["hostPort"]).unwrap_or(0);
    let wrong = names_where(spec, |c| {
        c.array_at(&["ports"]).iter().any(|p| host_port(p) != 0)
    });
    if wrong.is_empty() {
        return;
    }
    let mut ports: Vec<i64> = containers(spec)
        .flat_map(|container| container.array_at(&["ports"]))
        .map(host_port)
        .filter(|port| *port != 0)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    let list: Vec<String> = ports.iter().map(i64::to_string).collect();
    let plural = if list.len() == 1 { "" } else { "s" };
    let verb = if wrong.len() == 1 { "uses" } else { "use" };
    found.push(format!(
        "hostPort ({} {verb} hostPort{plural} {})",
        named(&wrong),
        list.join(", ")
    ));
}

fn host_paths(found: &mut Vec<String>, spec: &Value) {
    let wrong: Vec<String> = spec
        .array_at(&["volumes"])
        .iter()
        .filter(|volume| volume.get("hostPath").is_some())
        .map(|volume| crate::status::go_quote(volume.str_at(&["name"])))
        .collect();
    if !wrong.is_empty() {
        let plural = if wrong.len() == 1 { "" } else { "s" };
        found.push(format!(
            "hostPath volumes (volume{plural} {})",
            wrong.join(", ")
        ));
    }
}

fn capabilities(found: &mut Vec<String>, spec: &Value, restricted: bool) {
    const BASELINE: &[&str] = &[
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];
    if restricted {
        return;
    }
    let added = |container: &Value| -> Vec<String> {
        let list = container
            .array_at(&["securityContext", "capabilities", "add"])
            .iter();
        list.filter_map(|name| Some(name.as_str()?.to_owned()))
            .filter(|name| !BASELINE.contains(&name.as_str()))
            .collect()
    };
    let wrong = names_where(spec, |c| !added(c).is_empty());
    if wrong.is_empty() {
        return;
    }
    let mut all: Vec<String> = containers(spec).flat_map(added).collect();
    all.sort();
    all.dedup();
    let quoted: Vec<String> = all
        .iter()
        .map(|name| crate::status::go_quote(name))
        .collect();
    found.push(format!(
        "non-default capabilities ({} must not include {} in securityContext.capabilities.add)",
        named(&wrong),
        quoted.join(", ")
    ));
}

fn escalation(found: &mut Vec<String>, spec: &Value) {
    let path = ["securityContext", "allowPrivilegeEscalation"];
    let wrong = names_where(spec, |c| flag(c, &path) != Some(false));
    if !wrong.is_empty() {
        found.push(format!(
            "allowPrivilegeEscalation != false ({} must set securityContext.allowPrivilegeEscalation=false)",
            named(&wrong)
        ));
    }
}

fn drop_all(found: &mut Vec<String>, spec: &Value) {
    let wrong = names_where(spec, |c| {
        let dropped = c.array_at(&["securityContext", "capabilities", "drop"]);
        !dropped.iter().any(|name| *name == "ALL")
    });
    if !wrong.is_empty() {
        found.push(format!(
            "unrestricted capabilities ({} must set securityContext.capabilities.drop=[\"ALL\"])",
            named(&wrong)
        ));
    }
}

fn non_root(found: &mut Vec<String>, spec: &Value) {
    if flag(spec, &["securityContext", "runAsNonRoot"]) == Some(true) {
        return;
    }
    let wrong = names_where(spec, |c| {
        flag(c, &["securityContext", "runAsNonRoot"]) != Some(true)
    });
    if !wrong.is_empty() {
        found.push(format!(
            "runAsNonRoot != true (pod or {} must set securityContext.runAsNonRoot=true)",
            named(&wrong)
        ));
    }
}

fn seccomp(found: &mut Vec<String>, spec: &Value) {
    let fine = |value: &Value| {
        let kind = value.str_at(&["securityContext", "seccompProfile", "type"]);
        matches!(kind, "RuntimeDefault" | "Localhost")
    };
    if fine(spec) {
        return;
    }
    let wrong = names_where(spec, |c| !fine(c));
    if !wrong.is_empty() {
        found.push(format!(
            "seccompProfile (pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
            named(&wrong)
        ));
    }
}
