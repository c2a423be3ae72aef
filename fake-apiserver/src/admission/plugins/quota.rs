//! ResourceQuota: counts what is created against `status.hard`.
//!
//! A charge is kept even if the creation fails afterwards, as in a real server, where a
//! controller corrects it later.
//! Source: `staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota`,
//! `pkg/quota/v1/evaluator/core`. Simplified: scopes are not looked at.

use super::{refuse, row, stored};
use crate::admission::Attributes;
use crate::json::{Map, Value};
use crate::server::{Halt, Session};
use crate::store::Key;
use crate::strategy::quantity::Quantity;
use std::collections::BTreeMap;

/// Charges a creation to the quotas of its namespace.
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
    let quotas = stored(s, "", "resourcequotas", Some(attributes.namespace));
    if quotas.is_empty() {
        return Ok(());
    }
    let usage = usage(attributes, object);
    let mut charged = Vec::new();
    for mut quota in quotas {
        let name = quota.str_at(&["metadata", "name"]).to_owned();
        let hard: BTreeMap<String, String> = texts(&quota["status"]["hard"]);
        if attributes.row.is("", "pods") {
            let missing = unconstrained(object, &hard);
            if !missing.is_empty() {
                let why = format!("failed quota: {name}: must specify {missing}");
                return Err(refuse(attributes, object, &why).into());
            }
        }
        let mut over: [Vec<String>; 3] = Default::default();
        let mut changed = false;
        for (resource, amount) in &usage {
            let Some(limit) = hard.get(resource) else {
                continue;
            };
            let used = quota.str_at(&["status", "used", resource]).to_owned();
            let mut total = Quantity::parse(&used).unwrap_or_else(|_| Quantity::zero());
            total.add(amount);
            let Ok(mut left) = Quantity::parse(limit) else {
                continue;
            };
            left.sub(&total);
            if left.is_negative() {
                let used = if used.is_empty() {
                    "0".to_owned()
                } else {
                    used
                };
                over[0].push(format!("{resource}={}", amount.canonical()));
                over[1].push(format!("{resource}={used}"));
                over[2].push(format!("{resource}={limit}"));
            }
            changed |= !amount.is_zero();
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
    let Some(row) = row(s, "", "resourcequotas") else {
        return Ok(());
    };
    for (name, quota) in charged {
        let key = Key::new(attributes.namespace, &name);
        s.put_as_server(&row, key, quota, "status");
    }
    Ok(())
}

fn texts(map: &Value) -> BTreeMap<String, String> {
    let entries = map.as_object().into_iter().flat_map(Map::iter);
    entries
        .filter_map(|(key, value)| Some((key.to_owned(), value.as_str()?.to_owned())))
        .collect()
}

/// What the object takes of each resource that quotas can name.
fn usage(attributes: &Attributes<'_>, object: &Value) -> BTreeMap<String, Quantity> {
    let row = attributes.row;
    let one = || Quantity::parse("1").unwrap_or_else(|_| Quantity::zero());
    let mut usage = BTreeMap::new();
    let full = match row.group.as_str() {
        "" => format!("count/{}", row.plural),
        group => format!("count/{}.{group}", row.plural),
    };
    usage.insert(full, one());
    let counted = [
        "configmaps",
        "secrets",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "persistentvolumeclaims",
        "pods",
    ];
    if row.group.is_empty() && counted.contains(&row.plural.as_str()) {
        usage.insert(row.plural.to_string(), one());
    }
    match (row.group.as_str(), row.plural.as_str()) {
        ("", "services") => {
            let ty = object.str_at(&["spec", "type"]);
            if ty == "LoadBalancer" {
                usage.insert("services.loadbalancers".to_owned(), one());
            }
            if matches!(ty, "NodePort" | "LoadBalancer") {
                let ports = object.array_at(&["spec", "ports"]).len();
                if let Ok(count) = Quantity::parse(&ports.to_string()) {
                    usage.insert("services.nodeports".to_owned(), count);
                }
            }
        }
        ("", "persistentvolumeclaims") => {
            let asked = object.str_at(&["spec", "resources", "requests", "storage"]);
            if let Ok(asked) = Quantity::parse(asked) {
                usage.insert("requests.storage".to_owned(), asked);
            }
        }
        ("", "pods") => pod_usage(&mut usage, object),
        _ => {}
    }
    usage
}

fn pod_usage(usage: &mut BTreeMap<String, Quantity>, pod: &Value) {
    for kind in ["requests", "limits"] {
        let mut totals: BTreeMap<String, Quantity> = BTreeMap::new();
        for container in pod.array_at(&["spec", "containers"]) {
            for (name, amount) in texts(&container["resources"][kind]) {
                if let Ok(amount) = Quantity::parse(&amount) {
                    totals
                        .entry(name)
                        .or_insert_with(Quantity::zero)
                        .add(&amount);
                }
            }
        }
        for (name, total) in totals {
            if kind == "requests" && matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")
            {
                usage.insert(name.clone(), total.clone());
            }
            usage.insert(format!("{kind}.{name}"), total);
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
        let open: Vec<&str> = pod
            .array_at(&["spec", "containers"])
            .iter()
            .filter(|container| container.at(&["resources", kind, resource]).is_none())
            .map(|container| container.str_at(&["name"]))
            .collect();
        if !open.is_empty() {
            missing.push(format!("{name} for: {}", open.join(",")));
        }
    }
    missing.join("; ")
}
