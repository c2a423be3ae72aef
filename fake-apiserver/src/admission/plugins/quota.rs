//! ResourceQuota: counts what is created against `status.hard`.
//!
//! A charge is kept even if the creation fails afterwards, as in a real server, where a
//! controller corrects it later.
//! Source: `staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota`,
//! `pkg/quota/v1/evaluator/core`. Simplified: a claim's class of volume attributes is no scope.

use super::{refuse, stored};
use crate::admission::Attributes;
use crate::json::{Map, Value};
use crate::registry::Resource;
use crate::server::{Halt, Session};
use crate::store::Key;
use crate::strategy::pods;
use crate::strategy::quantity::Quantity;
use std::collections::BTreeMap;

const STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";

/// Charges a creation, or what an update takes more than before, to the quotas of its namespace.
pub(super) fn charge(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: &Value,
) -> Result<(), Halt> {
    if attributes.namespace.is_empty() {
        return Ok(());
    }
    if s.core.store.len(s.core.registry.quotas().id) == 0 {
        return Ok(());
    }
    let row = attributes.row;
    let mut quotas = stored(s, "", "resourcequotas", Some(attributes.namespace));
    quotas.retain(|quota| {
        let mut hard = quota["status"]["hard"].as_object().into_iter().flatten();
        hard.any(|(name, _)| counts(row, name)) && in_scope(quota, row, object)
    });
    for quota in &quotas {
        let hard = texts(&quota["status"]["hard"]);
        let name = quota.str_at(&["metadata", "name"]);
        if row.is("", "pods") {
            let missing = unconstrained(object, &hard);
            if !missing.is_empty() {
                let why = format!("failed quota: {name}: must specify {missing}");
                return Err(refuse(attributes, object, &why).into());
            }
        }
        let used = &quota["status"]["used"];
        if hard
            .keys()
            .any(|name| counts(row, name) && used[name.as_str()].is_null())
        {
            let names: Vec<&str> = hard
                .keys()
                .map(String::as_str)
                .filter(|name| counts(row, name))
                .collect();
            let why = format!(
                "status unknown for quota: {name}, resources: {}",
                names.join(",")
            );
            return Err(refuse(attributes, object, &why).into());
        }
    }
    let usage = more_usage(attributes, object);
    let mut charged = Vec::new();
    for mut quota in quotas {
        let name = quota.str_at(&["metadata", "name"]).to_owned();
        let hard: BTreeMap<String, String> = texts(&quota["status"]["hard"]);
        let mut over: [Vec<String>; 3] = Default::default();
        let mut changed = false;
        for (resource, amount) in &usage {
            let Some(limit) = hard.get(resource) else {
                continue;
            };
            let used = quota.str_at(&["status", "used", resource]).to_owned();
            let mut total = Quantity::parse(&used).unwrap_or_else(|_| Quantity::zero());
            total.add(amount);
            if Quantity::parse(limit).is_ok_and(|limit| total > limit) {
                over[0].push(format!("{resource}={}", amount.canonical()));
                over[1].push(format!("{resource}={used}"));
                over[2].push(format!("{resource}={limit}"));
            }
            changed = true;
            quota.set(&["status", "used", resource], total.canonical());
        }
        if !over[0].is_empty() {
            let why = format!(
                "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
                over[0].join(","),
                over[1].join(","),
                over[2].join(",")
            );
            return Err(refuse(attributes, object, &why).into());
        }
        if changed {
            charged.push((name, quota));
        }
    }
    if attributes.dry_run {
        return Ok(());
    }
    let Some(row) = super::row(s, "", "resourcequotas") else {
        return Ok(());
    };
    for (name, quota) in charged {
        let key = Key::new(attributes.namespace, &name);
        s.put_as_server(&row, key, quota, "status");
    }
    Ok(())
}

/// Whether a write may change what an object takes.
pub(super) fn handles(attributes: &Attributes<'_>) -> bool {
    let row = attributes.row;
    match (attributes.operation, attributes.subresource) {
        ("CREATE", "") => true,
        ("UPDATE", "") => row.is("", "services") || row.is("", "persistentvolumeclaims"),
        ("UPDATE", "resize") => row.is("", "pods"),
        _ => false,
    }
}

// What is taken beyond what the old object took; nothing that is zero.
fn more_usage(attributes: &Attributes<'_>, object: &Value) -> BTreeMap<String, Quantity> {
    let mut more = usage(attributes.row, object);
    if let Some(old) = attributes.old.filter(|_| attributes.operation == "UPDATE") {
        for (name, before) in usage(attributes.row, old) {
            if let Some(amount) = more.get_mut(&name) {
                amount.sub(&before);
            }
        }
    }
    more.retain(|_, amount| !amount.is_zero() && !amount.is_negative());
    more
}

// Whether a resource that a quota names has to do with objects of the row.
fn counts(row: &Resource, name: &str) -> bool {
    if name == object_count(row) {
        return true;
    }
    if !row.group.is_empty() {
        return false;
    }
    let standard = ["cpu", "memory", "ephemeral-storage"];
    match row.plural.as_str() {
        "pods" => {
            let (kind, resource) = match name.split_once('.') {
                Some((kind @ ("requests" | "limits"), resource)) => (kind, resource),
                _ => ("", name),
            };
            let bound = resource.starts_with("hugepages-") || resource.contains('/');
            name == "pods"
                || standard.contains(&resource)
                || (resource.starts_with("hugepages-") && kind != "limits")
                || (bound && kind == "requests")
        }
        "services" => matches!(
            name,
            "services" | "services.nodeports" | "services.loadbalancers"
        ),
        "persistentvolumeclaims" => {
            matches!(name, "persistentvolumeclaims" | "requests.storage")
                || name.contains(STORAGE_CLASS)
        }
        plural => name == plural && pods::is_counted(plural),
    }
}

// A quota with scopes is about Pods, of which all scopes have to fit.
fn in_scope(quota: &Value, row: &Resource, object: &Value) -> bool {
    let spec = &quota["spec"];
    let by_name = spec.array_at(&["scopes"]).iter();
    let by_name = by_name.map(|scope| (scope.as_str().unwrap_or_default(), "Exists", &[][..]));
    let selected = spec.array_at(&["scopeSelector", "matchExpressions"]).iter();
    let selected = selected.map(|expression| {
        (
            expression.str_at(&["scopeName"]),
            expression.str_at(&["operator"]),
            expression.array_at(&["values"]),
        )
    });
    let mut scopes = by_name.chain(selected);
    scopes.all(|(scope, operator, values)| {
        row.is("", "pods") && pod_in_scope(object, scope, operator, values)
    })
}

fn pod_in_scope(pod: &Value, scope: &str, operator: &str, values: &[Value]) -> bool {
    let spec = &pod["spec"];
    let ends = spec["activeDeadlineSeconds"]
        .as_i64()
        .is_some_and(|n| n >= 0);
    let best_effort = pods::qos_class(spec) == "BestEffort";
    match scope {
        "Terminating" => ends,
        "NotTerminating" => !ends,
        "BestEffort" => best_effort,
        "NotBestEffort" => !best_effort,
        "PriorityClass" => {
            let class = spec.str_at(&["priorityClassName"]);
            let listed = values.iter().any(|value| value == class);
            match operator {
                "Exists" => !class.is_empty(),
                "DoesNotExist" => class.is_empty(),
                "In" => !class.is_empty() && listed,
                "NotIn" => !listed,
                _ => false,
            }
        }
        "CrossNamespacePodAffinity" => reaches_out(&spec["affinity"]),
        _ => false,
    }
}

// Whether a term of Pod affinity names or selects namespaces.
fn reaches_out(affinity: &Value) -> bool {
    let names = |term: &Value| {
        !term.array_at(&["namespaces"]).is_empty() || term["namespaceSelector"].is_object()
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let pods = &affinity[*kind];
        let required = pods.array_at(&["requiredDuringSchedulingIgnoredDuringExecution"]);
        let preferred = pods.array_at(&["preferredDuringSchedulingIgnoredDuringExecution"]);
        required.iter().any(names) || preferred.iter().any(|term| names(&term["podAffinityTerm"]))
    })
}

fn texts(map: &Value) -> BTreeMap<String, String> {
    let entries = map.as_object().into_iter().flat_map(Map::iter);
    entries
        .filter_map(|(key, value)| Some((key.to_owned(), value.as_str()?.to_owned())))
        .collect()
}

fn object_count(row: &Resource) -> String {
    match row.group.as_str() {
        "" => format!("count/{}", row.plural),
        group => format!("count/{}.{group}", row.plural),
    }
}

/// What the object takes of each resource that quotas can name.
fn usage(row: &Resource, object: &Value) -> BTreeMap<String, Quantity> {
    let mut usage = BTreeMap::new();
    usage.insert(object_count(row), number(1));
    if row.group.is_empty() && pods::is_counted(&row.plural) {
        usage.insert(row.plural.to_string(), number(1));
    }
    match (row.group.as_str(), row.plural.as_str()) {
        ("", "services") => service_usage(&mut usage, &object["spec"]),
        ("", "persistentvolumeclaims") => {
            let spec = &object["spec"];
            let asked = spec.str_at(&["resources", "requests", "storage"]);
            let asked = Quantity::parse(asked).unwrap_or_else(|_| Quantity::zero());
            let class = spec.str_at(&["storageClassName"]);
            if !class.is_empty() {
                let of_class = |name: &str| format!("{class}{STORAGE_CLASS}{name}");
                usage.insert(of_class("requests.storage"), asked.clone());
                usage.insert(of_class("persistentvolumeclaims"), number(1));
            }
            usage.insert("requests.storage".to_owned(), asked);
        }
        ("", "pods") => pod_usage(&mut usage, object),
        _ => {}
    }
    usage
}

fn number(count: usize) -> Quantity {
    Quantity::parse(&count.to_string()).unwrap_or_else(|_| Quantity::zero())
}

fn service_usage(usage: &mut BTreeMap<String, Quantity>, spec: &Value) {
    let kind = spec.str_at(&["type"]);
    let ports = spec.array_at(&["ports"]);
    let given = |port: &&Value| port["nodePort"].as_i64().unwrap_or(0) != 0;
    let count = match kind {
        "NodePort" => ports.len(),
        "LoadBalancer" if spec["allocateLoadBalancerNodePorts"].as_bool() == Some(false) => {
            ports.iter().filter(given).count()
        }
        "LoadBalancer" => ports.len(),
        _ => 0,
    };
    usage.insert("services.nodeports".to_owned(), number(count));
    if kind == "LoadBalancer" {
        usage.insert("services.loadbalancers".to_owned(), number(1));
    }
}

// A Pod that is over takes nothing but its place.
fn pod_usage(usage: &mut BTreeMap<String, Quantity>, pod: &Value) {
    if matches!(pod.str_at(&["status", "phase"]), "Failed" | "Succeeded") {
        usage.remove("pods");
        return;
    }
    for kind in ["requests", "limits"] {
        for (name, total) in super::limits::pod_amounts(pod, kind) {
            let standard = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
            if kind == "requests" && (standard || name.starts_with("hugepages-")) {
                usage.insert(name.clone(), total.clone());
            }
            if kind == "requests" || standard {
                usage.insert(format!("{kind}.{name}"), total);
            }
        }
    }
}

/// Computing resources of the quota that a container leaves open, as the refusal lists them.
fn unconstrained(pod: &Value, hard: &BTreeMap<String, String>) -> String {
    let mut missing = Vec::new();
    for name in hard.keys() {
        let (kind, resource) = match name.as_str() {
            "cpu" | "memory" => ("requests", name.as_str()),
            "requests.cpu" => ("requests", "cpu"),
            "requests.memory" => ("requests", "memory"),
            "limits.cpu" => ("limits", "cpu"),
            "limits.memory" => ("limits", "memory"),
            _ => continue,
        };
        let mut open: Vec<&str> = ["containers", "initContainers"]
            .iter()
            .flat_map(|list| pod.array_at(&["spec", list]))
            .filter(|container| container.at(&["resources", kind, resource]).is_none())
            .map(|container| container.str_at(&["name"]))
            .collect();
        open.sort_unstable();
        open.dedup();
        if !open.is_empty() {
            missing.push(format!("{name} for: {}", open.join(",")));
        }
    }
    missing.join("; ")
}
