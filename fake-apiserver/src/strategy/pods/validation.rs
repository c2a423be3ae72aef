//! Checks of a `PodSpec`, in a Pod or a template.
//!
//! Source: `pkg/apis/core/validation` (ValidatePodSpec and below).

use std::collections::{BTreeMap, BTreeSet};

use crate::json::Value;

use super::super::addresses;
use super::super::field::{At, Errors};
use super::super::metadata::{label_selector, labels};
use super::super::names::Names;
use super::super::quantity::Quantity;
use super::{Pod, containers, platform, volumes};

const SYSCTL: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/// A whole `PodSpec`. `name` is the Pod's, empty in a template.
pub fn spec(errors: &mut Errors, at: &At, name: &str, is_pod: bool) {
    let grace = at.field("terminationGracePeriodSeconds");
    if !grace.is_set() {
        errors.required(&grace, "");
    }
    let volume_names = volumes::validate(errors, &at.field("volumes"), name);
    let claims = at.field("resourceClaims");
    resource_claims(errors, &claims);
    let pod = Pod {
        volumes: volume_names,
        claims: claims
            .list()
            .iter()
            .map(|claim| claim.str_at(&["name"]))
            .collect(),
        grace_seconds: grace.int(),
        restart_policy: at.field("restartPolicy").text(),
        host_users: at.field("hostUsers").value().as_bool() != Some(false),
    };
    let (regular, init) = (at.field("containers"), at.field("initContainers"));
    containers::regular(errors, &regular, &pod);
    containers::init(errors, &init, &regular, &pod);
    containers::ephemeral(
        errors,
        &at.field("ephemeralContainers"),
        &regular,
        &init,
        &pod,
    );
    if at.field("resources").is_set() {
        pod_resources(errors, at, &pod);
    }
    if at.field("hostNetwork").flag() {
        host_network_ports(errors, &regular, is_pod);
    }
    errors.one_of_in_order(
        &at.field("restartPolicy"),
        &["Always", "OnFailure", "Never"],
    );
    errors.one_of_in_order(
        &at.field("dnsPolicy"),
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
    );
    labels(errors, &at.field("nodeSelector"));
    security_context(errors, &at.field("securityContext"), at);
    affinity(errors, &at.field("affinity"));
    dns_config(errors, &at.field("dnsConfig"), at.field("dnsPolicy").text());
    for gate in at.field("readinessGates").items() {
        errors.name(&gate.field("conditionType"), Names::Qualified);
    }
    scheduling_gates(errors, &at.field("schedulingGates"));
    topology_spread(errors, &at.field("topologySpreadConstraints"));
    platform::host_process(errors, at);
    host_users(errors, at);
    host_name_override(errors, at);
    named(errors, &at.field("serviceAccountName"), Names::Subdomain);
    named(errors, &at.field("nodeName"), Names::Subdomain);
    let deadline = at.field("activeDeadlineSeconds");
    if deadline.is_set() {
        errors.in_range(&deadline, 1, i64::from(i32::MAX));
    }
    named(errors, &at.field("hostname"), Names::Label);
    named(errors, &at.field("subdomain"), Names::Label);
    tolerations(errors, &at.field("tolerations"));
    for alias in at.field("hostAliases").items() {
        addresses::ip(errors, &alias.field("ip"));
        for host in alias.field("hostnames").items() {
            errors.name(&host, Names::Subdomain);
        }
    }
    named(errors, &at.field("priorityClassName"), Names::Subdomain);
    if at.field("runtimeClassName").is_set() {
        errors.name(&at.field("runtimeClassName"), Names::Subdomain);
    }
    let preemption = at.field("preemptionPolicy");
    if preemption.is_set() {
        errors.one_of_in_order(&preemption, &["PreemptLowerPriority", "Never"]);
    }
    for (name, amount) in at.field("overhead").entries() {
        super::resource_name(errors, &amount, name);
        super::resource_value(errors, &amount, name);
    }
    platform::system(errors, at);
}

/// A toleration as the real server prints its internal type, which has no JSON names.
pub fn internal_toleration(toleration: &Value) -> String {
    let text = |name: &str| Value::from(toleration.str_at(&[name]));
    format!(
        "{{\"Key\":{},\"Operator\":{},\"Value\":{},\"Effect\":{},\"TolerationSeconds\":{}}}",
        text("key"),
        text("operator"),
        text("value"),
        text("effect"),
        toleration["tolerationSeconds"]
    )
}

fn named(errors: &mut Errors, at: &At, rule: Names) {
    if !at.text().is_empty() {
        errors.name(at, rule);
    }
}

fn resource_claims(errors: &mut Errors, at: &At) {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for claim in at.items() {
        let name = claim.field("name");
        if name.text().is_empty() {
            errors.required(&name, "");
        } else {
            if names.contains(&name.text()) {
                errors.duplicate(&name);
            }
            names.insert(name.text());
            errors.name(&name, Names::Label);
        }
        let by_name = claim.field("resourceClaimName");
        let by_template = claim.field("resourceClaimTemplateName");
        let shown = format!(
            "{{\"Name\":{},\"ResourceClaimName\":{},\"ResourceClaimTemplateName\":{}}}",
            Value::from(name.text()),
            by_name.value(),
            by_template.value()
        );
        match (by_name.is_set(), by_template.is_set()) {
            (true, true) => errors.invalid_raw(&claim, &shown, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"),
            (false, false) => errors.invalid_raw(&claim, &shown, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
            _ => {}
        }
    }
}

// Pod-level resources: the whole may not be less than what the containers ask for.
fn pod_resources(errors: &mut Errors, spec: &At, pod: &Pod) {
    let at = spec.field("resources");
    if !at.field("claims").list().is_empty() {
        errors.forbidden(
            &at.field("claims"),
            "claims may not be set for Resources at pod-level",
        );
    }
    super::resources::resources(errors, &at, pod, true);
    let Some(map) = spec.value().as_object() else {
        return;
    };
    let requests = at.field("requests");
    for (name, sum) in super::defaults::aggregate(map, "requests") {
        let own = requests.key(&name);
        if Quantity::parse(own.text()).is_ok_and(|own| sum > own) {
            let detail = format!(
                "must be greater than or equal to aggregate container requests of {}",
                sum.canonical()
            );
            errors.invalid(&own, &detail);
        }
    }
}

fn host_network_ports(errors: &mut Errors, containers: &At, is_pod: bool) {
    for container in containers.items() {
        for port in container.field("ports").items() {
            let (host, own) = (
                port.field("hostPort").int().unwrap_or(0),
                port.field("containerPort").int().unwrap_or(0),
            );
            if (is_pod || host != 0) && host != own {
                errors.invalid_as(
                    &port.field("hostPort"),
                    host,
                    "must match `containerPort` when `hostNetwork` is true",
                );
            }
        }
    }
}

fn security_context(errors: &mut Errors, at: &At, spec: &At) {
    if !at.is_set() {
        return;
    }
    let max = i64::from(i32::MAX);
    for name in ["fsGroup", "runAsUser", "runAsGroup"] {
        if at.field(name).is_set() {
            errors.in_range(&at.field(name), 0, max);
        }
    }
    for group in at.field("supplementalGroups").items() {
        errors.in_range(&group, 0, max);
    }
    if spec.field("shareProcessNamespace").flag() && spec.field("hostPID").flag() {
        let share = at.field_as(
            "shareProcessNamespace",
            spec.field("shareProcessNamespace").value(),
        );
        errors.invalid(
            &share,
            "ShareProcessNamespace and HostPID cannot both be enabled",
        );
    }
    sysctls(errors, &at.field("sysctls"), spec);
    let policy = at.field("fsGroupChangePolicy");
    if policy.is_set() {
        errors.one_of(&policy, &["Always", "OnRootMismatch"]);
    }
    containers::seccomp_profile(errors, &at.field("seccompProfile"));
    platform::windows_options(errors, &at.field("windowsOptions"));
    platform::app_armor(errors, &at.field("appArmorProfile"));
    let groups = at.field("supplementalGroupsPolicy");
    if groups.is_set() {
        errors.one_of(&groups, &["Merge", "Strict"]);
    }
    let label = at.field("seLinuxChangePolicy");
    if label.is_set() {
        errors.one_of(&label, &["MountOption", "Recursive"]);
    }
}

fn sysctls(errors: &mut Errors, at: &At, spec: &At) {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for sysctl in at.items() {
        let name = sysctl.field("name");
        let part = |part: &str| {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            let bytes = part.as_bytes();
            bytes.first().is_some_and(|&b| plain(b))
                && bytes.last().is_some_and(|&b| plain(b))
                && bytes.iter().all(|&b| plain(b) || b == b'-' || b == b'_')
        };
        if name.text().is_empty() {
            errors.required(&name, "");
        } else if name.text().len() > 253 || !name.text().split(['.', '/']).all(part) {
            errors.invalid(
                &name,
                &format!("must have at most 253 characters and match regex {SYSCTL}"),
            );
        } else if names.contains(&name.text()) {
            errors.duplicate(&name);
        }
        // What belongs to a namespace is the node's where the Pod is in the node's.
        let shared = match name.text().replace('/', ".") {
            net if net.starts_with("net.") => "hostNetwork",
            ipc if is_of_ipc(&ipc) => "hostIPC",
            _ => "",
        };
        if !shared.is_empty() && spec.field(shared).flag() {
            errors.invalid(
                &name,
                &format!("may not be specified when '{shared}' is true"),
            );
        }
        names.insert(name.text());
    }
}

fn is_of_ipc(sysctl: &str) -> bool {
    let families = ["kernel.shm", "kernel.msg", "fs.mqueue."];
    sysctl == "kernel.sem" || families.iter().any(|family| sysctl.starts_with(family))
}

fn affinity(errors: &mut Errors, at: &At) {
    let node = at.field("nodeAffinity");
    let required = node.field("requiredDuringSchedulingIgnoredDuringExecution");
    if required.is_set() {
        node_selector(errors, &required);
    }
    for term in node
        .field("preferredDuringSchedulingIgnoredDuringExecution")
        .items()
    {
        weight(errors, &term);
        node_selector_term(errors, &term.field("preference"), false);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let pods = at.field(kind);
        for term in pods
            .field("requiredDuringSchedulingIgnoredDuringExecution")
            .items()
        {
            pod_affinity_term(errors, &term);
        }
        for term in pods
            .field("preferredDuringSchedulingIgnoredDuringExecution")
            .items()
        {
            weight(errors, &term);
            pod_affinity_term(errors, &term.field("podAffinityTerm"));
        }
    }
}

fn weight(errors: &mut Errors, term: &At) {
    let weight = term.field("weight");
    if !(1..=100).contains(&weight.int().unwrap_or(0)) {
        errors.invalid_as(
            &weight,
            weight.int().unwrap_or(0),
            "must be in the range 1-100",
        );
    }
}

/// A node selector (of a Pod, a PersistentVolume, …).
pub fn node_selector(errors: &mut Errors, at: &At) {
    let terms = at.field("nodeSelectorTerms");
    if terms.list().is_empty() {
        errors.required(&terms, "must have at least one node selector term");
    }
    for term in terms.items() {
        node_selector_term(errors, &term, true);
    }
}

fn node_selector_term(errors: &mut Errors, at: &At, check_values: bool) {
    for expression in at.field("matchExpressions").items() {
        let values = expression.field("values");
        match expression.field("operator").text() {
            "In" | "NotIn" if values.list().is_empty() => {
                errors.required(
                    &values,
                    "must be specified when `operator` is 'In' or 'NotIn'",
                );
            }
            "Exists" | "DoesNotExist" if !values.list().is_empty() => {
                errors.forbidden(
                    &values,
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                );
            }
            "Gt" | "Lt" if values.list().len() != 1 => {
                errors.required(
                    &values,
                    "must be specified single value when `operator` is 'Lt' or 'Gt'",
                );
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => errors.invalid_as(
                &expression.field("operator"),
                other,
                "not a valid selector operator",
            ),
        }
        errors.name(&expression.field("key"), Names::Qualified);
        if check_values {
            for value in values.items() {
                errors.name(&value, Names::LabelValue);
            }
        }
    }
    for field in at.field("matchFields").items() {
        let values = field.field("values");
        match field.field("operator").text() {
            "In" | "NotIn" if values.list().len() != 1 => {
                errors.required(&values, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
            }
            "In" | "NotIn" => {}
            other => errors.invalid_as(
                &field.field("operator"),
                other,
                "not a valid selector operator",
            ),
        }
        if field.field("key").text() != "metadata.name" {
            errors.invalid_as(
                &field.field("key"),
                field.field("key").text(),
                "not a valid field selector key",
            );
        } else {
            for value in values.items() {
                errors.name(&value, Names::Subdomain);
            }
        }
    }
}

fn pod_affinity_term(errors: &mut Errors, at: &At) {
    label_selector(errors, &at.field("labelSelector"));
    label_selector(errors, &at.field("namespaceSelector"));
    for namespace in at.field("namespaces").list() {
        errors.name_as(
            &at.field("namespace"),
            namespace.as_str().unwrap_or_default(),
            Names::Label,
        );
    }
    let key = at.field("topologyKey");
    if key.text().is_empty() {
        errors.required(&key, "can not be empty");
    }
    errors.name_as(&key, key.text(), Names::Qualified);
}

fn dns_config(errors: &mut Errors, at: &At, policy: &str) {
    let servers = at.field("nameservers");
    if policy == "None" {
        if !at.is_set() {
            errors.required(at, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if servers.list().is_empty() {
            errors.required(
                &servers,
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            );
            return;
        }
    }
    if servers.list().len() > 3 {
        errors.invalid(&servers, "must not have more than 3 nameservers");
    }
    for server in servers.items() {
        addresses::ip(errors, &server);
    }
    let searches = at.field("searches");
    if searches.list().len() > 32 {
        errors.invalid(&searches, "must not have more than 32 search paths");
    }
    let length: usize = searches
        .list()
        .iter()
        .map(|s| s.as_str().map_or(0, str::len) + 1)
        .sum();
    if length > 2049 {
        errors.invalid(
            &searches,
            "must not have more than 2048 characters (including spaces) in the search list",
        );
    }
    for search in searches.items() {
        if search.text() != "." {
            let text = search.text().strip_suffix('.').unwrap_or(search.text());
            errors.name_as(&search, text, Names::SubdomainUnderscore);
        }
    }
    for option in at.field("options").items() {
        if option.field("name").text().is_empty() {
            errors.required(&option, "must not be empty");
        }
    }
}

fn scheduling_gates(errors: &mut Errors, at: &At) {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for gate in at.items() {
        let name = gate.field("name").text();
        errors.name_as(&gate, name, Names::Qualified);
        if names.contains(&name) {
            errors.duplicate_as(&gate, name);
        }
        names.insert(name);
    }
}

fn topology_spread(errors: &mut Errors, at: &At) {
    let pair = |c: &Value| {
        (
            c.str_at(&["topologyKey"]).to_owned(),
            c.str_at(&["whenUnsatisfiable"]).to_owned(),
        )
    };
    let mut last: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (index, constraint) in at.list().iter().enumerate() {
        last.insert(pair(constraint), index);
    }
    for (index, constraint) in at.items().enumerate() {
        errors.positive(&constraint.field("maxSkew"));
        if constraint.field("topologyKey").text().is_empty() {
            errors.required(&constraint.field("topologyKey"), "can not be empty");
        }
        let when = constraint.field("whenUnsatisfiable");
        errors.one_of(&when, &["DoNotSchedule", "ScheduleAnyway"]);
        let own = pair(constraint.value());
        if last.get(&own).is_some_and(|last| *last > index) {
            let at = constraint.field("{topologyKey, whenUnsatisfiable}");
            errors.duplicate_as(&at, format!("{{{}, {}}}", own.0, own.1));
        }
        let minimum = constraint.field("minDomains");
        if minimum.is_set() {
            errors.positive(&minimum);
            if when.text() != "DoNotSchedule" {
                let detail = format!(
                    "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}",
                    when.text()
                );
                errors.invalid(&minimum, &detail);
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if constraint.field(policy).is_set() {
                errors.one_of(&constraint.field(policy), &["Honor", "Ignore"]);
            }
        }
        label_selector(errors, &constraint.field("labelSelector"));
    }
}

fn host_users(errors: &mut Errors, spec: &At) {
    if spec.field("hostUsers").value().as_bool() != Some(false) {
        return;
    }
    for (name, go) in [("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.field(name).flag() {
            errors.forbidden(&spec.field(go), "when `hostUsers` is false");
        }
    }
}

fn host_name_override(errors: &mut Errors, spec: &At) {
    let name = spec.field("hostnameOverride");
    if !name.is_set() {
        return;
    }
    if spec.field("setHostnameAsFQDN").flag() {
        errors.forbidden(&name, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec.field("hostNetwork").flag() {
        errors.forbidden(&name, "may not be specified when hostNetwork is true");
    }
    if name.text().len() > 64 {
        errors.too_long(&name, 64);
    }
    errors.name(&name, Names::Subdomain);
}

/// `tolerations` of anything.
pub fn tolerations(errors: &mut Errors, at: &At) {
    for toleration in at.items() {
        let (key, operator) = (toleration.field("key"), toleration.field("operator"));
        let (value, effect) = (toleration.field("value"), toleration.field("effect"));
        if !key.text().is_empty() {
            errors.name(&key, Names::Qualified);
        }
        if key.text().is_empty() && operator.text() != "Exists" {
            errors.invalid_as(
                &operator,
                operator.text(),
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            );
        }
        if toleration.field("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
            errors.invalid_as(
                &effect,
                effect.text(),
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            );
        }
        match operator.text() {
            "" | "Equal" => {
                let wrong = Names::LabelValue.check(value.text());
                if !wrong.is_empty() {
                    errors.invalid_as(&operator, value.text(), &wrong.join(";"));
                }
            }
            "Exists" => {
                if !value.text().is_empty() {
                    errors.invalid_as(
                        &operator,
                        value.text(),
                        "value must be empty when `operator` is 'Exists'",
                    );
                }
            }
            "Lt" | "Gt" => errors.unsupported(&operator, &["Equal", "Exists", "Lt", "Gt"]),
            _ => errors.unsupported(&operator, &["Equal", "Exists"]),
        }
        if !effect.text().is_empty() {
            errors.one_of_in_order(&effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        }
    }
}
