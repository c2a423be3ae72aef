//! LimitRanger: defaults and bounds of containers, pods and claims.
//!
//! Source: `plugin/pkg/admission/limitranger`. Simplified: ratios are checked as whole
//! numbers of the canonical quantities.

use super::{refuse, stored};
use crate::admission::Attributes;
use crate::json::{Map, Value};
use crate::server::{Halt, Session};
use crate::strategy::quantity::Quantity;
use std::cmp::Ordering;

fn limits(s: &Session<'_>, attributes: &Attributes<'_>) -> Vec<Value> {
    stored(s, "", "limitranges", Some(attributes.namespace))
        .iter()
        .flat_map(|range| range.array_at(&["spec", "limits"]).to_vec())
        .collect()
}

/// Fills in the default limits and requests of containers.
pub(super) fn apply(
    s: &Session<'_>,
    attributes: &Attributes<'_>,
    object: &mut Value,
) -> Result<(), Halt> {
    if !attributes.row.is("", "pods") {
        return Ok(());
    }
    for limit in limits(s, attributes) {
        if limit.str_at(&["type"]) != "Container" {
            continue;
        }
        for list in ["containers", "initContainers"] {
            let Some(Value::Array(containers)) = object.at_mut(&["spec", list]) else {
                continue;
            };
            for container in containers {
                fill(container, "limits", &limit["default"]);
                fill(container, "requests", &limit["defaultRequest"]);
            }
        }
    }
    Ok(())
}

fn fill(container: &mut Value, kind: &str, defaults: &Value) {
    let Some(defaults) = defaults.as_object() else {
        return;
    };
    for (name, amount) in defaults.iter() {
        if container.at(&["resources", kind, name]).is_none() {
            container.set(&["resources", kind, name], amount);
        }
    }
}

/// Refuses what is beyond the bounds.
pub(super) fn check(
    s: &Session<'_>,
    attributes: &Attributes<'_>,
    object: &Value,
) -> Result<(), Halt> {
    let mut problems = Vec::new();
    for limit in limits(s, attributes) {
        match (limit.str_at(&["type"]), attributes.row.plural.as_str()) {
            ("Container", "pods") => {
                for list in ["containers", "initContainers"] {
                    for container in object.array_at(&["spec", list]) {
                        bounds(&mut problems, "Container", &limit, &container["resources"]);
                    }
                }
            }
            ("PersistentVolumeClaim", "persistentvolumeclaims") => {
                bounds(
                    &mut problems,
                    "PersistentVolumeClaim",
                    &limit,
                    &object["spec"]["resources"],
                );
            }
            _ => {}
        }
    }
    match problems.len() {
        0 => Ok(()),
        1 => Err(refuse(attributes, object, &problems[0]).into()),
        _ => Err(refuse(attributes, object, &format!("[{}]", problems.join(", "))).into()),
    }
}

fn bounds(problems: &mut Vec<String>, kind: &str, limit: &Value, resources: &Value) {
    let amount = |map: &str, name: &str| -> Option<String> {
        Some(resources.at(&[map, name])?.as_str()?.to_owned())
    };
    for (name, bound) in entries(&limit["min"]) {
        let claim = kind == "PersistentVolumeClaim";
        match amount("requests", name) {
            None => problems.push(format!(
                "minimum {name} usage per {kind} is {bound}.  No request is specified"
            )),
            Some(given) if compare(&given, bound) == Some(Ordering::Less) => problems.push(
                format!("minimum {name} usage per {kind} is {bound}, but request is {given}"),
            ),
            _ => {}
        }
        let _ = claim;
    }
    for (name, bound) in entries(&limit["max"]) {
        let map = if kind == "PersistentVolumeClaim" {
            "requests"
        } else {
            "limits"
        };
        let what = if map == "limits" { "limit" } else { "request" };
        match amount(map, name) {
            None => problems.push(format!(
                "maximum {name} usage per {kind} is {bound}.  No {what} is specified"
            )),
            Some(given) if compare(&given, bound) == Some(Ordering::Greater) => problems.push(
                format!("maximum {name} usage per {kind} is {bound}, but {what} is {given}"),
            ),
            _ => {}
        }
    }
}

fn entries(map: &Value) -> impl Iterator<Item = (&str, &str)> {
    let entries = map.as_object().into_iter().flat_map(Map::iter);
    entries.filter_map(|(name, amount)| Some((name, amount.as_str()?)))
}

fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (mut a, b) = (Quantity::parse(a).ok()?, Quantity::parse(b).ok()?);
    a.sub(&b);
    Some(match (a.is_zero(), a.is_negative()) {
        (true, _) => Ordering::Equal,
        (_, true) => Ordering::Less,
        _ => Ordering::Greater,
    })
}
