//! Checks of containers: ports, environment, mounts, resources, probes, hooks, security contexts.
//!
//! Simplification: container restart rules are not looked into.
//! Source: `pkg/apis/core/validation` (validateContainers and below).

use std::collections::{BTreeMap, BTreeSet};

use crate::json::Value;

use super::super::field::{At, Errors};
use super::super::names::Names;
use super::Pod;
use super::environment::{environment, environment_from};
use super::platform;
use super::resources::{resize_policy, resources};
const ONE_HANDLER: &str = "may not specify more than 1 handler type";
const NOT_FOR_INIT: &str = "may not be set for init containers without restartPolicy=Always";
const USER_MAX: i64 = i32::MAX as i64;

/// `spec.containers`
pub(super) fn regular(errors: &mut Errors, at: &At, pod: &Pod) {
    if at.list().is_empty() {
        errors.required(at, "");
        return;
    }
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for container in at.items() {
        common(errors, &container, pod);
        let name = container.field("name");
        if names.contains(&name.text()) {
            errors.duplicate_as(&name, name.text());
        } else {
            names.insert(name.text());
        }
        hooks_and_probes(errors, &container, pod);
        let policy = container.field("restartPolicy");
        if policy.is_set() {
            errors.one_of(&policy, &["Always", "Never", "OnFailure"]);
        }
    }
    host_ports(errors, at, at.list());
}

/// `spec.initContainers`
pub(super) fn init(errors: &mut Errors, at: &At, regular: &At, pod: &Pod) {
    let mut names: Vec<&str> = regular.list().iter().map(|c| c.str_at(&["name"])).collect();
    for container in at.items() {
        common(errors, &container, pod);
        let policy = container.field("restartPolicy");
        if policy.is_set() {
            errors.one_of(&policy, &["Always", "Never", "OnFailure"]);
        }
        let name = container.field("name");
        if names.contains(&name.text()) {
            errors.duplicate_as(&name, name.text());
        } else if !name.text().is_empty() {
            names.push(name.text());
        }
        host_ports(errors, at, std::slice::from_ref(container.value()));
        if policy.text() == "Always" {
            hooks_and_probes(errors, &container, pod);
            continue;
        }
        for name in [
            "lifecycle",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
        ] {
            let field = container.field(name);
            if field.is_set() {
                errors.forbidden(&field, NOT_FOR_INIT);
            }
        }
    }
}

/// `spec.ephemeralContainers`
pub(super) fn ephemeral(errors: &mut Errors, at: &At, regular: &At, init: &At, pod: &Pod) {
    let others: Vec<&str> = regular
        .list()
        .iter()
        .chain(init.list())
        .map(|c| c.str_at(&["name"]))
        .collect();
    let mut names = others.clone();
    for container in at.items() {
        common(errors, &container, pod);
        let name = container.field("name");
        if names.contains(&name.text()) {
            errors.duplicate_as(&name, name.text());
        } else {
            names.push(name.text());
        }
        let target = container.field("targetContainerName");
        if !target.text().is_empty() && !others.contains(&target.text()) {
            errors.not_found(&target);
        }
        for name in [
            "lifecycle",
            "livenessProbe",
            "ports",
            "readinessProbe",
            "resizePolicy",
            "startupProbe",
        ] {
            let field = container.field(name);
            if field.is_set() && !(field.value().is_array() && field.list().is_empty()) {
                errors.forbidden(&field, "cannot be set for an Ephemeral Container");
            }
        }
        let resources = container.field("resources");
        if resources
            .value()
            .as_object()
            .is_some_and(|map| !map.is_empty())
        {
            errors.forbidden(&resources, "cannot be set for an Ephemeral Container");
        }
        for mount in container.field("volumeMounts").items() {
            if !mount.field("subPath").text().is_empty() {
                errors.forbidden(
                    &mount.field("subPath"),
                    "cannot be set for an Ephemeral Container",
                );
            }
        }
    }
}

fn common(errors: &mut Errors, container: &At, pod: &Pod) {
    let name = container.field("name");
    if name.text().is_empty() {
        errors.required(&name, "");
    } else {
        errors.name(&name, Names::Label);
    }
    if container.field("image").text().is_empty() {
        errors.required(&container.field("image"), "");
    }
    errors.one_of_in_order(
        &container.field("terminationMessagePolicy"),
        &["File", "FallbackToLogsOnError"],
    );
    ports(errors, &container.field("ports"));
    environment(errors, &container.field("env"));
    environment_from(errors, &container.field("envFrom"));
    mounts(errors, container, pod);
    devices(errors, container, pod);
    errors.one_of(
        &container.field("imagePullPolicy"),
        &["Always", "IfNotPresent", "Never"],
    );
    resources(errors, &container.field("resources"), pod, false);
    resize_policy(errors, &container.field("resizePolicy"), pod);
    security_context(errors, &container.field("securityContext"), pod);
}

fn ports(errors: &mut Errors, at: &At) {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for port in at.items() {
        let name = port.field("name");
        if !name.text().is_empty() {
            if !Names::PortName.allows(name.text()) {
                errors.name(&name, Names::PortName);
            } else if names.contains(&name.text()) {
                errors.duplicate(&name);
            } else {
                names.insert(name.text());
            }
        }
        let number = port.field("containerPort");
        if number.int().unwrap_or(0) == 0 {
            errors.required(&number, "");
        } else {
            errors.port(&number);
        }
        if port.field("hostPort").int().unwrap_or(0) != 0 {
            errors.port(&port.field("hostPort"));
        }
        errors.one_of(&port.field("protocol"), &["TCP", "UDP", "SCTP"]);
    }
}

fn host_ports(errors: &mut Errors, at: &At, containers: &[Value]) {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        for (port_index, port) in container.array_at(&["ports"]).iter().enumerate() {
            let host_port = port["hostPort"].as_i64().unwrap_or(0);
            if host_port == 0 {
                continue;
            }
            let key = format!(
                "{}/{}/{host_port}",
                port.str_at(&["protocol"]),
                port.str_at(&["hostIP"])
            );
            if taken.contains(&key) {
                let container = at.index(index);
                let ports = container.field("ports");
                let port = ports.index(port_index);
                errors.duplicate_as(&port.field("hostPort"), key);
            } else {
                taken.insert(key);
            }
        }
    }
}

fn mounts(errors: &mut Errors, container: &At, pod: &Pod) {
    let at = container.field("volumeMounts");
    let mut paths: BTreeSet<&str> = BTreeSet::new();
    // How many devices have a name, and a path.
    let (mut device_names, mut device_paths) = (BTreeMap::new(), BTreeMap::new());
    for device in container.field("volumeDevices").items() {
        *device_names.entry(device.field("name").text()).or_insert(0) += 1;
        *device_paths
            .entry(device.field("devicePath").text())
            .or_insert(0) += 1;
    }
    for mount in at.items() {
        let (name, path) = (mount.field("name"), mount.field("mountPath"));
        if name.text().is_empty() {
            errors.required(&name, "");
        }
        if !pod.volumes.contains(&name.text()) {
            errors.push(crate::status::Cause::not_found(
                name.path(),
                &name.text().into(),
            ));
        }
        if path.text().is_empty() {
            errors.required(&path, "");
        }
        if paths.contains(&path.text()) {
            errors.invalid(&path, "must be unique");
        }
        paths.insert(path.text());
        for _ in 0..device_names.get(name.text()).copied().unwrap_or(0) {
            errors.invalid(&name, "must not already exist in volumeDevices");
        }
        for _ in 0..device_paths.get(path.text()).copied().unwrap_or(0) {
            errors.invalid(&path, "must not already exist as a path in volumeDevices");
        }
        let (sub_path, expression) = (mount.field("subPath"), mount.field("subPathExpr"));
        if !sub_path.text().is_empty() {
            descending_path(errors, &at.field_as("subPath", sub_path.value()));
        }
        if !expression.text().is_empty() {
            if !sub_path.text().is_empty() {
                errors.invalid(
                    &expression,
                    "subPathExpr and subPath are mutually exclusive",
                );
            }
            descending_path(errors, &at.field_as("subPathExpr", expression.value()));
        }
        let propagation = mount.field("mountPropagation");
        if propagation.is_set() {
            let shown = at.field_as("mountPropagation", propagation.value());
            errors.one_of(&shown, &["Bidirectional", "HostToContainer", "None"]);
            let privileged = container
                .value()
                .at(&["securityContext", "privileged"])
                .and_then(Value::as_bool);
            if propagation.text() == "Bidirectional" && privileged != Some(true) {
                errors.forbidden(
                    &shown,
                    "Bidirectional mount propagation is available only to privileged containers",
                );
            }
        }
        let recursive = mount.field("recursiveReadOnly");
        if recursive.is_set() {
            let shown = at.field_as("recursiveReadOnly", recursive.value());
            match recursive.text() {
                "Disabled" => {}
                "Enabled" | "IfPossible" => {
                    if !mount.field("readOnly").flag() {
                        errors.forbidden(&shown, "may only be specified when readOnly is true");
                    }
                    if !["", "None"].contains(&propagation.text()) {
                        errors.forbidden(
                            &shown,
                            "may only be specified when mountPropagation is None or not specified",
                        );
                    }
                }
                _ => errors.unsupported(&shown, &["Disabled", "Enabled", "IfPossible"]),
            }
        }
    }
}

fn devices(errors: &mut Errors, container: &At, pod: &Pod) {
    let at = container.field("volumeDevices");
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for device in at.items() {
        let (name, path) = (device.field("name"), device.field("devicePath"));
        if name.text().is_empty() {
            errors.required(&name, "");
        }
        if !names.insert(name.text()) {
            errors.invalid(&name, "must be unique");
        }
        if !name.text().is_empty() && !pod.volumes.contains(&name.text()) {
            errors.not_found(&name);
        }
        if path.text().is_empty() {
            errors.required(&path, "");
        }
        if !paths.insert(path.text()) {
            errors.invalid(&path, "must be unique");
        }
        descending_no_backsteps(errors, &path);
    }
}

/// A path below something: neither absolute nor with `..`.
pub(super) fn descending_path(errors: &mut Errors, at: &At) {
    if at.text().starts_with('/') {
        errors.invalid(at, "must be a relative path");
    }
    descending_no_backsteps(errors, at);
}

/// A path without `..`.
pub(super) fn descending_no_backsteps(errors: &mut Errors, at: &At) {
    if at.text().split('/').any(|part| part == "..") {
        errors.invalid(at, "must not contain '..'");
    }
}

fn hooks_and_probes(errors: &mut Errors, container: &At, pod: &Pod) {
    let lifecycle = container.field("lifecycle");
    for hook in ["postStart", "preStop"] {
        if lifecycle.field(hook).is_set() {
            handler(errors, &lifecycle.field(hook), pod);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.field(name);
        if !probe.is_set() {
            continue;
        }
        handler(errors, &probe, pod);
        for number in [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ] {
            errors.non_negative(&probe.field(number));
        }
        let grace = probe.field("terminationGracePeriodSeconds");
        if grace.int().is_some_and(|seconds| seconds <= 0) {
            errors.invalid(&grace, "must be greater than 0");
        }
        if name == "readinessProbe" {
            if grace.is_set() {
                errors.invalid(&grace, "must not be set for readinessProbes");
            }
        } else if probe.field("successThreshold").int() != Some(1) {
            errors.invalid(&probe.field("successThreshold"), "must be 1");
        }
    }
}

fn handler(errors: &mut Errors, at: &At, pod: &Pod) {
    let mut count = 0;
    for name in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let action = at.field(name);
        if !action.is_set() {
            continue;
        }
        count += 1;
        if count > 1 {
            errors.forbidden(&action, ONE_HANDLER);
            continue;
        }
        match name {
            "exec" => {
                if action.field("command").list().is_empty() {
                    errors.required(&action.field("command"), "");
                }
            }
            "httpGet" => {
                if action.field("path").text().is_empty() {
                    errors.required(&action.field("path"), "");
                }
                port_or_name(errors, &action.field("port"));
                errors.one_of(&action.field("scheme"), &["HTTP", "HTTPS"]);
                for header in action.field("httpHeaders").items() {
                    errors.name_as(
                        &action.field("httpHeaders"),
                        header.field("name").text(),
                        Names::HeaderName,
                    );
                }
            }
            "sleep" => {
                let seconds = action.field("seconds").int().unwrap_or(0);
                if let Some(grace) = pod.grace_seconds
                    && (seconds < 0 || seconds > grace)
                {
                    errors.invalid_as(
                        &action,
                        seconds,
                        &format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})"),
                    );
                }
            }
            _ => port_or_name(errors, &action.field("port")),
        }
    }
    if count == 0 {
        errors.required(at, "must specify a handler type");
    }
}

/// A port by number or by name.
pub fn port_or_name(errors: &mut Errors, at: &At) {
    if at.value().is_string() {
        errors.name(at, Names::PortName);
    } else {
        errors.port(at);
    }
}

fn security_context(errors: &mut Errors, at: &At, pod: &Pod) {
    if !at.is_set() {
        return;
    }
    for name in ["runAsUser", "runAsGroup"] {
        if at.field(name).is_set() {
            errors.in_range(&at.field(name), 0, USER_MAX);
        }
    }
    let proc_mount = at.field("procMount");
    if proc_mount.is_set() {
        errors.one_of(&proc_mount, &["Default", "Unmasked"]);
        if pod.host_users && proc_mount.text() == "Unmasked" {
            errors.invalid(&proc_mount, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp_profile(errors, &at.field("seccompProfile"));
    if at.field("allowPrivilegeEscalation").value().as_bool() == Some(false) {
        if at.field("privileged").flag() {
            errors.invalid_raw(
                at,
                &internal_security_context(at.value()),
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            );
        }
        let add = at.value().array_at(&["capabilities", "add"]);
        for _ in add
            .iter()
            .filter(|capability| *capability == "CAP_SYS_ADMIN")
        {
            errors.invalid_raw(
                at,
                &internal_security_context(at.value()),
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            );
        }
    }
    platform::windows_options(errors, &at.field("windowsOptions"));
    platform::app_armor(errors, &at.field("appArmorProfile"));
}

/// A seccomp profile of a container or Pod.
pub(super) fn seccomp_profile(errors: &mut Errors, at: &At) {
    if !at.is_set() {
        return;
    }
    let (kind, local) = (at.field("type"), at.field("localhostProfile"));
    if kind.text().is_empty() {
        errors.required(&kind, "type is required when seccompProfile is set");
    } else {
        errors.one_of(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
    }
    match (kind.text(), local.is_set()) {
        ("Localhost", false) => {
            errors.required(&local, "must be set when seccomp type is Localhost")
        }
        ("Localhost", true) => descending_path(errors, &local),
        (_, true) => errors.invalid(&local, "can only be set when seccomp type is Localhost"),
        _ => {}
    }
}

// The security context as Go prints its internal type: all fields, in declaration order.
fn internal_security_context(context: &Value) -> String {
    let show = |value: &Value, fields: &[(&str, &str)]| {
        let parts: Vec<String> = fields
            .iter()
            .map(|(go, json)| format!("\"{go}\":{}", value[*json]))
            .collect();
        format!("{{{}}}", parts.join(","))
    };
    let capabilities = match &context["capabilities"] {
        Value::Null => "null".to_owned(),
        value => show(value, &[("Add", "add"), ("Drop", "drop")]),
    };
    let seccomp = match &context["seccompProfile"] {
        Value::Null => "null".to_owned(),
        value => show(
            value,
            &[("Type", "type"), ("LocalhostProfile", "localhostProfile")],
        ),
    };
    let middle = show(
        context,
        &[
            ("Privileged", "privileged"),
            ("SELinuxOptions", "seLinuxOptions"),
            ("WindowsOptions", "windowsOptions"),
            ("RunAsUser", "runAsUser"),
            ("RunAsGroup", "runAsGroup"),
            ("RunAsNonRoot", "runAsNonRoot"),
            ("ReadOnlyRootFilesystem", "readOnlyRootFilesystem"),
            ("AllowPrivilegeEscalation", "allowPrivilegeEscalation"),
            ("ProcMount", "procMount"),
        ],
    );
    format!(
        "{{\"Capabilities\":{capabilities},{},\"SeccompProfile\":{seccomp},\"AppArmorProfile\":{}}}",
        &middle[1..middle.len() - 1],
        context["appArmorProfile"]
    )
}
