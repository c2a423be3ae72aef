//! Priority, DefaultTolerationSeconds, RuntimeClass.
//!
//! Source: `plugin/pkg/admission/{priority,defaulttolerationseconds,runtimeclass}`.

use super::{find, refuse, stored};
use crate::admission::Attributes;
use crate::json;
use crate::json::Value;
use crate::server::{Halt, Session};

/// Resolves the priority class of a pod.
pub(super) fn priority(
    s: &Session<'_>,
    attributes: &Attributes<'_>,
    object: &mut Value,
) -> Result<(), Halt> {
    let name = object.str_at(&["spec", "priorityClassName"]).to_owned();
    let class = if name.is_empty() {
        let defaults = stored(s, "scheduling.k8s.io", "priorityclasses", None);
        let is_default = |class: &Value| class.get("globalDefault") == Some(&Value::Bool(true));
        let defaults = defaults.into_iter().filter(is_default);
        defaults.min_by_key(|class| class.i64_at(&["value"]).unwrap_or(0))
    } else {
        match find(s, "scheduling.k8s.io", "priorityclasses", "", &name) {
            Some(class) => Some(class),
            None => {
                let why = format!("no PriorityClass with name {name} was found");
                return Err(refuse(attributes, object, &why).into());
            }
        }
    };
    let (value, policy) = match &class {
        Some(class) => (
            class.i64_at(&["value"]).unwrap_or(0),
            class.str_at(&["preemptionPolicy"]).to_owned(),
        ),
        None => (0, String::new()),
    };
    let policy = if policy.is_empty() {
        "PreemptLowerPriority".to_owned()
    } else {
        policy
    };
    if let Some(class) = class.filter(|_| name.is_empty()) {
        object.set(
            &["spec", "priorityClassName"],
            class.str_at(&["metadata", "name"]),
        );
    }
    if let Some(given) = object.i64_at(&["spec", "priority"])
        && given != value
    {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
        );
        return Err(refuse(attributes, object, &why).into());
    }
    object.set(&["spec", "priority"], value);
    let given = object.str_at(&["spec", "preemptionPolicy"]).to_owned();
    if !given.is_empty() && given != policy {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        );
        return Err(refuse(attributes, object, &why).into());
    }
    object.set(&["spec", "preemptionPolicy"], policy);
    Ok(())
}

/// An update that does not speak of priority keeps it.
pub(super) fn keep_priority(attributes: &Attributes<'_>, object: &mut Value) {
    let Some(old) = attributes.old else { return };
    for field in ["priority", "preemptionPolicy"] {
        if object.at(&["spec", field]).is_none()
            && let Some(value) = old.at(&["spec", field])
        {
            object.set(&["spec", field], value);
        }
    }
}

/// Five minutes of patience with nodes that are not ready or not reachable.
pub(super) fn tolerations(object: &mut Value) {
    let list = object.array_at(&["spec", "tolerations"]);
    let tolerated = |key: &str| {
        list.iter().any(|toleration| {
            let its_key = toleration.str_at(&["key"]);
            let effect = toleration.str_at(&["effect"]);
            (its_key == key || its_key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        })
    };
    let mut list = list.to_vec();
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        if !tolerated(key) {
            list.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
            }));
        }
    }
    object.set(&["spec", "tolerations"], Value::Array(list));
}

/// Takes overhead, node selector and tolerations from the runtime class.
pub(super) fn runtime_class(
    s: &Session<'_>,
    attributes: &Attributes<'_>,
    object: &mut Value,
) -> Result<(), Halt> {
    let name = object.str_at(&["spec", "runtimeClassName"]).to_owned();
    let overhead = object.at(&["spec", "overhead"]);
    let has_overhead = overhead
        .and_then(Value::as_object)
        .is_some_and(|map| !map.is_empty());
    let unasked =
        "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
    if name.is_empty() {
        return match has_overhead {
            true => Err(refuse(attributes, object, unasked).into()),
            false => Ok(()),
        };
    }
    let Some(class) = find(s, "node.k8s.io", "runtimeclasses", "", &name) else {
        let why = format!(
            "pod rejected: RuntimeClass {} not found",
            crate::status::go_quote(&name)
        );
        return Err(refuse(attributes, object, &why).into());
    };
    if let Some(overhead) = class.at(&["overhead", "podFixed"]) {
        match object.at(&["spec", "overhead"]) {
            Some(given) if given != overhead => {
                let why =
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
                return Err(refuse(attributes, object, why).into());
            }
            _ => object.set(&["spec", "overhead"], overhead),
        }
    } else if has_overhead {
        return Err(refuse(attributes, object, unasked).into());
    }
    if let Some(selector) = class
        .at(&["scheduling", "nodeSelector"])
        .and_then(Value::as_object)
    {
        for (key, value) in selector.iter() {
            let given = object.at(&["spec", "nodeSelector", key]);
            if given.is_some_and(|given| given != value) {
                let why = format!(
                    "pod rejected: conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                    value.as_str().unwrap_or_default(),
                    object.str_at(&["spec", "nodeSelector", key])
                );
                return Err(refuse(attributes, object, &why).into());
            }
            object.set(&["spec", "nodeSelector", key], value);
        }
    }
    let more = class.array_at(&["scheduling", "tolerations"]);
    if !more.is_empty() {
        let mut list = object.array_at(&["spec", "tolerations"]).to_vec();
        for toleration in more {
            if !list.contains(toleration) {
                list.push(toleration.clone());
            }
        }
        object.set(&["spec", "tolerations"], Value::Array(list));
    }
    Ok(())
}
