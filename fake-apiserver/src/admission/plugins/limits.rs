//! LimitRanger: defaults and bounds of containers, pods and claims.
//!
//! A range is looked at by itself: the first that is broken refuses. Several ranges come in the order of their names.
//! Source: `plugin/pkg/admission/limitranger`.

use super::{refuse, stored};
use crate::admission::Attributes;
use crate::json::{Map, Value};
use crate::server::{Halt, Session};
use crate::strategy::pods;
use crate::strategy::quantity::Quantity;
use std::collections::{BTreeMap, BTreeSet};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Amounts by the name of the resource.
type Amounts = BTreeMap<String, Quantity>;

/// Fills in the default limits and requests of containers, and says so in an annotation.
pub(super) fn apply(
    s: &Session<'_>,
    attributes: &Attributes<'_>,
    object: &mut Value,
) -> Result<(), Halt> {
    if !attributes.row.is("", "pods") {
        return Ok(());
    }
    for range in stored(s, "", "limitranges", Some(attributes.namespace)) {
        let (mut limits, mut requests) = (Map::new(), Map::new());
        for limit in of_type(&range, "Container") {
            for (into, key) in [(&mut limits, "default"), (&mut requests, "defaultRequest")] {
                for (name, amount) in limit[key].as_object().into_iter().flatten() {
                    into.insert(name, amount);
                }
            }
        }
        let mut told = Vec::new();
        for (list, what) in [
            ("containers", "container"),
            ("initContainers", "init container"),
        ] {
            let Some(Value::Array(containers)) = object.at_mut(&["spec", list]) else {
                continue;
            };
            for container in containers {
                let name = container.str_at(&["name"]).to_owned();
                for (kind, word, defaults) in [
                    ("requests", "request", &requests),
                    ("limits", "limit", &limits),
                ] {
                    let set = fill(container, kind, defaults);
                    if !set.is_empty() {
                        told.push(format!("{} {word} for {what} {name}", set.join(", ")));
                    }
                }
            }
        }
        if !told.is_empty() {
            let text = format!("LimitRanger plugin set: {}", told.join("; "));
            object.set(&["metadata", "annotations", ANNOTATION], text);
        }
    }
    Ok(())
}

fn of_type<'a>(range: &'a Value, kind: &'static str) -> impl Iterator<Item = &'a Value> {
    let limits = range.array_at(&["spec", "limits"]).iter();
    limits.filter(move |limit| limit.str_at(&["type"]) == kind)
}

// The names that were not there, sorted.
fn fill(container: &mut Value, kind: &str, defaults: &Map) -> Vec<String> {
    let mut set = BTreeSet::new();
    for (name, amount) in defaults.iter() {
        if container.at(&["resources", kind, name]).is_none() {
            container.set(&["resources", kind, name], amount);
            set.insert(name.to_owned());
        }
    }
    set.into_iter().collect()
}

/// Refuses what is beyond the bounds.
pub(super) fn check(
    s: &Session<'_>,
    attributes: &Attributes<'_>,
    object: &Value,
) -> Result<(), Halt> {
    for range in stored(s, "", "limitranges", Some(attributes.namespace)) {
        let problems = if attributes.row.is("", "pods") {
            pod(&range, object)
        } else {
            claim(&range, object)
        };
        match problems.as_slice() {
            [] => {}
            [one] => return Err(refuse(attributes, object, one).into()),
            many => {
                let why = format!("[{}]", many.join(", "));
                return Err(refuse(attributes, object, &why).into());
            }
        }
    }
    Ok(())
}

fn pod(range: &Value, pod: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for limit in range.array_at(&["spec", "limits"]) {
        match limit.str_at(&["type"]) {
            "Container" => {
                for list in ["containers", "initContainers"] {
                    for container in pod.array_at(&["spec", list]) {
                        let of = |kind: &str| amounts(&container["resources"][kind]);
                        bounds(
                            &mut problems,
                            "Container",
                            limit,
                            &of("requests"),
                            &of("limits"),
                        );
                    }
                }
            }
            "Pod" => {
                let of = |kind: &str| pod_amounts(pod, kind);
                bounds(&mut problems, "Pod", limit, &of("requests"), &of("limits"));
            }
            _ => {}
        }
    }
    problems
}

/// What a Pod asks for as a whole.
pub(super) fn pod_amounts(pod: &Value, kind: &str) -> Amounts {
    let Some(spec) = pod["spec"].as_object() else {
        return Amounts::new();
    };
    let mut sum: Amounts = pods::aggregate(spec, kind).into_iter().collect();
    for (name, amount) in amounts(&pod["spec"]["overhead"]) {
        match sum.get_mut(&name) {
            Some(total) => total.add(&amount),
            None if kind == "requests" => drop(sum.insert(name, amount)),
            None => {}
        }
    }
    sum
}

fn claim(range: &Value, claim: &Value) -> Vec<String> {
    let kind = "PersistentVolumeClaim";
    let asked = amounts(&claim["spec"]["resources"]["requests"]);
    let mut problems = Vec::new();
    for limit in of_type(range, kind) {
        for (word, bound) in [("minimum", "min"), ("maximum", "max")] {
            for (name, bound) in amounts(&limit[bound]) {
                let given = [("request", asked.get(&name)), ("limit", None)];
                problems.extend(beyond(word, &name, kind, &bound, given));
            }
        }
    }
    problems
}

fn bounds(
    problems: &mut Vec<String>,
    kind: &str,
    limit: &Value,
    requests: &Amounts,
    limits: &Amounts,
) {
    let given = |name: &str| {
        let request = ("request", requests.get(name));
        [request, ("limit", limits.get(name))]
    };
    for (name, bound) in amounts(&limit["min"]) {
        problems.extend(beyond("minimum", &name, kind, &bound, given(&name)));
    }
    for (name, bound) in amounts(&limit["max"]) {
        let [request, most] = given(&name);
        problems.extend(beyond("maximum", &name, kind, &bound, [most, request]));
    }
    for (name, bound) in amounts(&limit["maxLimitRequestRatio"]) {
        problems.extend(ratio(kind, &name, &bound, requests, limits));
    }
}

/// The first of what is given that is beyond a bound; something must be given first.
fn beyond(
    word: &str,
    name: &str,
    kind: &str,
    bound: &Quantity,
    [first, second]: [(&str, Option<&Quantity>); 2],
) -> Option<String> {
    let head = format!("{word} {name} usage per {kind} is {}", bound.canonical());
    if first.1.is_none() {
        return Some(format!("{head}.  No {} is specified", first.0));
    }
    let is_beyond = |given: &Quantity| match word {
        "minimum" => given < bound,
        _ => given > bound,
    };
    [first, second].into_iter().find_map(|(what, amount)| {
        let amount = amount.filter(|amount| is_beyond(amount))?;
        Some(format!("{head}, but {what} is {}", amount.canonical()))
    })
}

fn ratio(
    kind: &str,
    name: &str,
    bound: &Quantity,
    requests: &Amounts,
    limits: &Amounts,
) -> Option<String> {
    let head = format!(
        "{name} max limit to request ratio per {kind} is {}",
        bound.canonical()
    );
    let of = |amounts: &Amounts| {
        amounts
            .get(name)
            .map(Quantity::thousandths)
            .filter(|n| *n != 0)
    };
    let Some(request) = of(requests) else {
        return Some(format!(
            "{head}, but no request is specified or request is 0"
        ));
    };
    let Some(limit) = of(limits) else {
        return Some(format!("{head}, but no limit is specified or limit is 0"));
    };
    let given = limit as f64 / request as f64;
    (given * 1000.0 > bound.thousandths() as f64)
        .then(|| format!("{head}, but provided ratio is {given:.6}"))
}

fn amounts(map: &Value) -> Amounts {
    let entries = map.as_object().into_iter().flat_map(Map::iter);
    entries
        .filter_map(|(name, amount)| {
            let amount = Quantity::parse(amount.as_str()?).ok()?;
            Some((name.to_owned(), amount))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn container(requests: Value, limits: Value) -> Value {
        let resources = json!({"requests": requests, "limits": limits});
        json!({"spec": {"containers": [{"name": "c", "resources": resources}]}})
    }

    #[test]
    fn o13_bounds_of_claims() {
        let range = json!({"spec": {"limits": [{"type": "PersistentVolumeClaim", "min": {"storage": "2Gi"}, "max": {"storage": "4Gi"}}]}});
        let check = |requests: Value, want: &[&str]| {
            let object = json!({"spec": {"resources": {"requests": requests}}});
            assert_eq!(claim(&range, &object), want);
        };
        check(json!({"storage": "3Gi"}), &[]);
        check(
            json!({"storage": "5Gi"}),
            &["maximum storage usage per PersistentVolumeClaim is 4Gi, but request is 5Gi"],
        );
        check(
            json!({}),
            &[
                "minimum storage usage per PersistentVolumeClaim is 2Gi.  No request is specified",
                "maximum storage usage per PersistentVolumeClaim is 4Gi.  No request is specified",
            ],
        );
    }

    #[test]
    fn o13_bounds_of_containers_and_pods() {
        let range = json!({"spec": {"limits": [
            {"type": "Container", "min": {"cpu": "50m"}, "max": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "4"}},
            {"type": "Pod", "max": {"cpu": "500m"}},
        ]}});
        let check = |requests: Value, limits: Value, want: &[&str]| {
            assert_eq!(pod(&range, &container(requests, limits)), want);
        };
        check(json!({"cpu": "125m"}), json!({"cpu": "0.5"}), &[]);
        check(
            json!({"cpu": "100m"}),
            json!({"cpu": "500m"}),
            &["cpu max limit to request ratio per Container is 4, but provided ratio is 5.000000"],
        );
        check(
            json!({"cpu": "10m"}),
            json!({"cpu": "20m"}),
            &["minimum cpu usage per Container is 50m, but request is 10m"],
        );
        check(
            json!({"cpu": "800m"}),
            json!({"cpu": "900m"}),
            &["maximum cpu usage per Pod is 500m, but limit is 900m"],
        );
        check(
            json!({}),
            json!({}),
            &[
                "minimum cpu usage per Container is 50m.  No request is specified",
                "maximum cpu usage per Container is 1.  No limit is specified",
                "cpu max limit to request ratio per Container is 4, but no request is specified or request is 0",
                "maximum cpu usage per Pod is 500m.  No limit is specified",
            ],
        );
    }
}
