//! The Pod Security Standards: what a Pod does that a level does not allow.
//!
//! Owns the checks, in the order and with the words of the newest version. Does not own which level a namespace asks for
//! (`pod_security`).
//! Simplification: there is one version of the standards; annotations that once named profiles are not looked at.
//! Source: `pod-security-admission/policy`.

use std::collections::BTreeSet;

use crate::json::Value;
use crate::status::go_quote;

/// The checks of a level that a Pod fails: each a reason and, in brackets, a detail.
pub(super) fn violations(level: &str, spec: &Value) -> Vec<String> {
    let baseline: &[Check] = match level {
        // What the restricted level words anew is left to it.
        "restricted" => &[
            app_armor,
            host_namespaces,
            host_ports,
            host_handlers,
            privileged,
            proc_mount,
            se_linux,
            sysctls,
            host_process,
        ],
        "baseline" => &[
            app_armor,
            capabilities,
            host_namespaces,
            host_paths,
            host_ports,
            host_handlers,
            privileged,
            proc_mount,
            se_linux,
            unconfined,
            sysctls,
            host_process,
        ],
        _ => return Vec::new(),
    };
    let restricted: &[Check] = match level {
        "restricted" => &[
            escalation,
            drop_all,
            volume_types,
            non_root,
            root_user,
            seccomp,
        ],
        _ => &[],
    };
    let checks = baseline.iter().chain(restricted);
    checks.filter_map(|check| check(spec)).collect()
}

type Check = fn(&Value) -> Option<String>;

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| spec.array_at(&[list]))
}

fn flag(value: &Value, path: &[&str]) -> Option<bool> {
    value.at(path).and_then(Value::as_bool)
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(go_quote).collect();
    quoted.join(", ")
}

fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `container "a"` or `containers "a", "b"`.
fn named(names: &[&str]) -> String {
    let word = plural("container", "containers", names.len());
    format!("{word} {}", quoted(names.iter().copied()))
}

fn names_where(spec: &Value, wrong: impl Fn(&Value) -> bool) -> Vec<&str> {
    containers(spec)
        .filter(|container| wrong(container))
        .map(|container| container.str_at(&["name"]))
        .collect()
}

/// Who sets something wrong: `pod`, `container "a"` or both; `None` if nobody does.
fn setters(spec: &Value, wrong: impl Fn(&Value) -> bool) -> Option<String> {
    let mut setters = Vec::new();
    if wrong(spec) {
        setters.push("pod".to_owned());
    }
    let containers = names_where(spec, &wrong);
    if !containers.is_empty() {
        setters.push(named(&containers));
    }
    (!setters.is_empty()).then(|| setters.join(" and "))
}

/// The different texts that the Pod and its containers have at a place.
fn texts<'a>(spec: &'a Value, path: &[&str], wrong: impl Fn(&str) -> bool) -> BTreeSet<&'a str> {
    let all = std::iter::once(spec).chain(containers(spec));
    all.filter(|one| one.at(path).is_some())
        .map(|one| one.str_at(path))
        .filter(|text| wrong(text))
        .collect()
}

// Users of such a Pod are not those of its node.
fn has_own_users(spec: &Value) -> bool {
    flag(spec, &["hostUsers"]) == Some(false)
}

fn is_windows(spec: &Value) -> bool {
    spec.str_at(&["os", "name"]) == "windows"
}

fn app_armor(spec: &Value) -> Option<String> {
    let path = ["securityContext", "appArmorProfile", "type"];
    let bad = |text: &str| !matches!(text, "RuntimeDefault" | "Localhost");
    let setters = setters(spec, |one| {
        one.at(&path).is_some() && bad(one.str_at(&path))
    })?;
    let values = texts(spec, &path, bad);
    let reason = plural(
        "forbidden AppArmor profile",
        "forbidden AppArmor profiles",
        values.len(),
    );
    Some(format!(
        "{reason} ({setters} must not set AppArmor profile type to {})",
        quoted(values)
    ))
}

fn added<'a>(container: &'a Value, fine: &[&str]) -> Vec<&'a str> {
    let list = container
        .array_at(&["securityContext", "capabilities", "add"])
        .iter();
    list.filter_map(Value::as_str)
        .filter(|name| !fine.contains(name))
        .collect()
}

fn adding(spec: &Value, fine: &[&str]) -> Option<String> {
    let wrong = names_where(spec, |c| !added(c, fine).is_empty());
    if wrong.is_empty() {
        return None;
    }
    let all: BTreeSet<&str> = containers(spec).flat_map(|c| added(c, fine)).collect();
    Some(format!(
        "{} must not include {} in securityContext.capabilities.add",
        named(&wrong),
        quoted(all)
    ))
}

fn capabilities(spec: &Value) -> Option<String> {
    const DEFAULT: &[&str] = &[
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
    adding(spec, DEFAULT).map(|detail| format!("non-default capabilities ({detail})"))
}

fn host_namespaces(spec: &Value) -> Option<String> {
    let used: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| flag(spec, &[field]) == Some(true))
        .map(|field| format!("{field}=true"))
        .collect();
    (!used.is_empty()).then(|| format!("host namespaces ({})", used.join(", ")))
}

fn host_paths(spec: &Value) -> Option<String> {
    let volumes = spec.array_at(&["volumes"]).iter();
    let wrong: Vec<&str> = volumes
        .filter(|volume| volume["hostPath"].is_object())
        .map(|volume| volume.str_at(&["name"]))
        .collect();
    let word = plural("volume", "volumes", wrong.len());
    (!wrong.is_empty()).then(|| format!("hostPath volumes ({word} {})", quoted(wrong)))
}

fn host_ports(spec: &Value) -> Option<String> {
    let host_port = |port: &Value| port.i64_at(&["hostPort"]).filter(|port| *port != 0);
    let ports_of = |c: &Value| -> Vec<String> {
        let ports = c.array_at(&["ports"]).iter().filter_map(host_port);
        ports.map(|port| port.to_string()).collect()
    };
    let wrong = names_where(spec, |c| !ports_of(c).is_empty());
    if wrong.is_empty() {
        return None;
    }
    // Sorted as texts.
    let ports: BTreeSet<String> = containers(spec).flat_map(ports_of).collect();
    let list: Vec<&str> = ports.iter().map(String::as_str).collect();
    Some(format!(
        "hostPort ({} {} {} {})",
        named(&wrong),
        plural("uses", "use", wrong.len()),
        plural("hostPort", "hostPorts", list.len()),
        list.join(", ")
    ))
}

// Hosts that probes and hooks are sent to.
fn hosts(container: &Value) -> Vec<&str> {
    let places: [&[&str]; 5] = [
        &["livenessProbe"],
        &["readinessProbe"],
        &["startupProbe"],
        &["lifecycle", "postStart"],
        &["lifecycle", "preStop"],
    ];
    let handlers = places.into_iter().filter_map(|path| container.at(path));
    handlers
        .flat_map(|handler| ["httpGet", "tcpSocket"].map(|how| handler.str_at(&[how, "host"])))
        .filter(|host| !host.is_empty())
        .collect()
}

fn host_handlers(spec: &Value) -> Option<String> {
    let wrong: BTreeSet<&str> = names_where(spec, |c| !hosts(c).is_empty())
        .into_iter()
        .collect();
    if wrong.is_empty() {
        return None;
    }
    let all: BTreeSet<&str> = containers(spec).flat_map(hosts).collect();
    let wrong: Vec<&str> = wrong.into_iter().collect();
    Some(format!(
        "probe or lifecycle host ({} {} {} {})",
        named(&wrong),
        plural("uses", "use", wrong.len()),
        plural(
            "probe or lifecycle host",
            "probe or lifecycle hosts",
            all.len()
        ),
        quoted(all)
    ))
}

fn privileged(spec: &Value) -> Option<String> {
    let path = ["securityContext", "privileged"];
    let wrong = names_where(spec, |c| flag(c, &path) == Some(true));
    (!wrong.is_empty()).then(|| {
        format!(
            "privileged ({} must not set securityContext.privileged=true)",
            named(&wrong)
        )
    })
}

fn proc_mount(spec: &Value) -> Option<String> {
    let path = ["securityContext", "procMount"];
    let bad = |c: &Value| !matches!(c.str_at(&path), "" | "Default");
    let wrong = names_where(spec, bad);
    if wrong.is_empty() || has_own_users(spec) {
        return None;
    }
    let kinds: BTreeSet<&str> = containers(spec)
        .filter(|c| bad(c))
        .map(|c| c.str_at(&path))
        .collect();
    Some(format!(
        "procMount ({} must not set securityContext.procMount to {})",
        named(&wrong),
        quoted(kinds)
    ))
}

fn se_linux(spec: &Value) -> Option<String> {
    let options = |one: &Value| one["securityContext"]["seLinuxOptions"].clone();
    let bad_type = |text: &str| {
        !matches!(
            text,
            "" | "container_t" | "container_init_t" | "container_kvm_t" | "container_engine_t"
        )
    };
    let sets = |options: &Value, field: &str| !options.str_at(&[field]).is_empty();
    let setters = setters(spec, |one| {
        let options = options(one);
        bad_type(options.str_at(&["type"])) || sets(&options, "user") || sets(&options, "role")
    })?;
    let path = ["securityContext", "seLinuxOptions", "type"];
    let types = texts(spec, &path, bad_type);
    let mut wrong = Vec::new();
    // The real server tells the others only beside a bad type.
    if !types.is_empty() {
        let word = plural("type", "types", types.len());
        wrong.push(format!("{word} {}", quoted(types)));
        for field in ["user", "role"] {
            let mut all = std::iter::once(spec).chain(containers(spec));
            if all.any(|one| sets(&options(one), field)) {
                wrong.push(format!("{field} may not be set"));
            }
        }
    }
    Some(format!(
        "seLinuxOptions ({setters} set forbidden securityContext.seLinuxOptions: {})",
        wrong.join("; ")
    ))
}

const SECCOMP: [&str; 3] = ["securityContext", "seccompProfile", "type"];

fn unconfined(spec: &Value) -> Option<String> {
    let bad = |text: &str| !matches!(text, "RuntimeDefault" | "Localhost");
    let setters = setters(spec, |one| {
        one.at(&SECCOMP).is_some() && bad(one.str_at(&SECCOMP))
    })?;
    Some(format!(
        "seccompProfile ({setters} must not set securityContext.seccompProfile.type to {})",
        quoted(texts(spec, &SECCOMP, bad))
    ))
}

fn sysctls(spec: &Value) -> Option<String> {
    const SAFE: &[&str] = &[
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    ];
    let list = spec.array_at(&["securityContext", "sysctls"]).iter();
    let wrong: Vec<&str> = list
        .map(|sysctl| sysctl.str_at(&["name"]))
        .filter(|name| !SAFE.contains(name))
        .collect();
    (!wrong.is_empty()).then(|| format!("forbidden sysctls ({})", wrong.join(", ")))
}

fn host_process(spec: &Value) -> Option<String> {
    let path = ["securityContext", "windowsOptions", "hostProcess"];
    let setters = setters(spec, |one| flag(one, &path) == Some(true))?;
    Some(format!(
        "hostProcess ({setters} must not set securityContext.windowsOptions.hostProcess=true)"
    ))
}

fn escalation(spec: &Value) -> Option<String> {
    let path = ["securityContext", "allowPrivilegeEscalation"];
    let wrong = names_where(spec, |c| flag(c, &path) != Some(false));
    (!wrong.is_empty() && !is_windows(spec)).then(|| {
        format!(
            "allowPrivilegeEscalation != false ({} must set securityContext.allowPrivilegeEscalation=false)",
            named(&wrong)
        )
    })
}

fn drop_all(spec: &Value) -> Option<String> {
    if is_windows(spec) {
        return None;
    }
    let wrong = names_where(spec, |c| {
        let dropped = c.array_at(&["securityContext", "capabilities", "drop"]);
        !dropped.iter().any(|name| *name == "ALL")
    });
    let mut details = Vec::new();
    if !wrong.is_empty() {
        details.push(format!(
            "{} must set securityContext.capabilities.drop=[\"ALL\"]",
            named(&wrong)
        ));
    }
    details.extend(adding(spec, &["NET_BIND_SERVICE"]));
    (!details.is_empty()).then(|| format!("unrestricted capabilities ({})", details.join("; ")))
}

fn volume_types(spec: &Value) -> Option<String> {
    const ALLOWED: &[&str] = &[
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    let mut wrong = Vec::new();
    let mut types: BTreeSet<&str> = BTreeSet::new();
    for volume in spec.array_at(&["volumes"]) {
        let sources = volume.as_object().into_iter().flatten();
        let source = sources
            .filter(|(_, source)| source.is_object())
            .map(|(name, _)| name)
            .next();
        let kind = source.unwrap_or("unknown");
        if !ALLOWED.contains(&kind) {
            wrong.push(volume.str_at(&["name"]));
            types.insert(kind);
        }
    }
    if wrong.is_empty() {
        return None;
    }
    let count = wrong.len();
    Some(format!(
        "restricted volume types ({} {} {} {} {})",
        plural("volume", "volumes", count),
        quoted(wrong),
        plural("uses", "use", count),
        plural(
            "restricted volume type",
            "restricted volume types",
            types.len()
        ),
        quoted(types)
    ))
}

fn non_root(spec: &Value) -> Option<String> {
    if has_own_users(spec) {
        return None;
    }
    let path = ["securityContext", "runAsNonRoot"];
    if let Some(setters) = setters(spec, |one| flag(one, &path) == Some(false)) {
        return Some(format!(
            "runAsNonRoot != true ({setters} must not set securityContext.runAsNonRoot=false)"
        ));
    }
    if flag(spec, &path) == Some(true) {
        return None;
    }
    let wrong = names_where(spec, |c| flag(c, &path).is_none());
    (!wrong.is_empty()).then(|| {
        format!(
            "runAsNonRoot != true (pod or {} must set securityContext.runAsNonRoot=true)",
            named(&wrong)
        )
    })
}

fn root_user(spec: &Value) -> Option<String> {
    if has_own_users(spec) {
        return None;
    }
    let path = ["securityContext", "runAsUser"];
    let setters = setters(spec, |one| one.i64_at(&path) == Some(0))?;
    Some(format!("runAsUser=0 ({setters} must not set runAsUser=0)"))
}

fn seccomp(spec: &Value) -> Option<String> {
    if is_windows(spec) {
        return None;
    }
    if let Some(wrong) = unconfined(spec) {
        return Some(wrong);
    }
    if spec.at(&SECCOMP).is_some() {
        return None;
    }
    let wrong = names_where(spec, |c| c.at(&SECCOMP).is_none());
    (!wrong.is_empty()).then(|| {
        format!(
            "seccompProfile (pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
            named(&wrong)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn o13_checks_come_in_the_order_of_the_standards() {
        let context = json!({"privileged": true, "seccompProfile": {"type": "Unconfined"}, "capabilities": {"add": ["SYS_ADMIN"]}});
        let container = json!({"name": "c", "securityContext": context, "ports": [{"hostPort": 80}, {"hostPort": 443}]});
        let spec = json!({
            "hostNetwork": true,
            "containers": [container],
            "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
            "securityContext": {"sysctls": [{"name": "kernel.msgmax"}]},
        });
        assert_eq!(
            violations("baseline", &spec),
            [
                "non-default capabilities (container \"c\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add)",
                "host namespaces (hostNetwork=true)",
                "hostPath volumes (volume \"v\")",
                "hostPort (container \"c\" uses hostPorts 443, 80)",
                "privileged (container \"c\" must not set securityContext.privileged=true)",
                "seccompProfile (container \"c\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
                "forbidden sysctls (kernel.msgmax)",
            ]
        );
        let restricted = violations("restricted", &spec);
        let reasons: Vec<&str> = restricted
            .iter()
            .map(|text| text.split(" (").next().unwrap_or_default())
            .collect();
        assert_eq!(
            reasons,
            [
                "host namespaces",
                "hostPort",
                "privileged",
                "forbidden sysctls",
                "allowPrivilegeEscalation != false",
                "unrestricted capabilities",
                "restricted volume types",
                "runAsNonRoot != true",
                "seccompProfile",
            ]
        );
        assert!(violations("privileged", &spec).is_empty());
    }

    #[test]
    fn o13_users_and_profiles_of_a_restricted_pod() {
        let fine = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        let container = json!({"name": "c", "securityContext": fine});
        let pod = |context: Value| json!({"containers": [(container.clone())], "securityContext": context});
        let profile = json!({"type": "RuntimeDefault"});
        let good = pod(json!({"runAsNonRoot": true, "seccompProfile": (profile.clone())}));
        assert!(violations("restricted", &good).is_empty());
        let root = pod(json!({"runAsNonRoot": false, "runAsUser": 0, "seccompProfile": profile}));
        assert_eq!(
            violations("restricted", &root),
            [
                "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
                "runAsUser=0 (pod must not set runAsUser=0)",
            ]
        );
    }
}
