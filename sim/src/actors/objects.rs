//! What stand-ins read of objects: owners, selectors, conditions, the state of a Pod.

use fake_apiserver::json;
use fake_apiserver::json::Value;
use fake_apiserver::request::selector::LabelSelector;
use fake_apiserver::store::Object;
use fake_apiserver::time::Timestamp;

use super::Kind;

/// The controller of an object.
pub(super) struct Owner<'a> {
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
}

/// The ownerReference with `controller: true`.
pub(super) fn controller(value: &Value) -> Option<Owner<'_>> {
    let owners = value.array_at(&["metadata", "ownerReferences"]).iter();
    let mut owners =
        owners.filter(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true));
    let owner = owners.next()?;
    Some(Owner {
        kind: owner.str_at(&["kind"]),
        name: owner.str_at(&["name"]),
        uid: owner.str_at(&["uid"]),
    })
}

/// The ownerReferences that name this object as the controller.
pub(super) fn owned_by(kind: Kind, owner: &Object) -> Value {
    json!([{
        "apiVersion": kind.api_version(), "kind": kind.kind, "name": owner.name(), "uid": owner.uid(),
        "controller": true, "blockOwnerDeletion": true,
    }])
}

/// An integer field, or a default.
pub(super) fn count(value: &Value, path: &[&str], default: i64) -> i64 {
    value.i64_at(path).unwrap_or(default)
}

/// Whether a selector of a spec takes these labels.
pub(super) fn selects(selector: Option<&Value>, labels: Option<&Value>) -> bool {
    let Some(selector) = selector else {
        return false;
    };
    LabelSelector::from_value(selector).is_some_and(|selector| selector.matches_labels(labels))
}

/// A condition of a status.
pub(super) fn condition<'a>(value: &'a Value, of_type: &str) -> Option<&'a Value> {
    let mut conditions = value.array_at(&["status", "conditions"]).iter();
    conditions.find(|condition| condition.str_at(&["type"]) == of_type)
}

/// Sets a condition in a status; its transition time moves with its status only.
pub(super) fn set_condition(
    status: &mut Value,
    of_type: &str,
    is: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let time = now.rfc3339();
    let mut conditions = status.array_at(&["conditions"]).to_vec();
    let found = conditions
        .iter_mut()
        .find(|condition| condition.str_at(&["type"]) == of_type);
    let mut condition = json!({"type": of_type, "status": is, "lastTransitionTime": time.as_str()});
    if !reason.is_empty() {
        condition.set(&["reason"], reason);
    }
    if !message.is_empty() {
        condition.set(&["message"], message);
    }
    match found {
        Some(old) => {
            if old.str_at(&["status"]) == is {
                let since = old.str_at(&["lastTransitionTime"]).to_owned();
                condition.set(&["lastTransitionTime"], since.as_str());
            }
            for field in ["lastUpdateTime", "lastProbeTime"] {
                if let Some(time) = old.get(field) {
                    condition.set(&[field], time.clone());
                }
            }
            *old = condition;
        }
        None => conditions.push(condition),
    }
    status.set(&["conditions"], Value::Array(conditions));
}

/// Succeeded or Failed.
pub(super) fn is_over(pod: &Value) -> bool {
    matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed")
}

/// Counts as a replica: neither over nor on its way out.
pub(super) fn is_active(pod: &Object) -> bool {
    !is_over(pod.value()) && !pod.is_terminating()
}

/// Its condition Ready is true.
pub(super) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.str_at(&["status"]) == "True")
}

/// Since when a Pod is available, given `minReadySeconds`; `None` while it is not Ready.
pub(super) fn available_at(pod: &Value, min_ready_seconds: i64) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|ready| ready.str_at(&["status"]) == "True")?;
    let since = Timestamp::parse_rfc3339(ready.str_at(&["lastTransitionTime"]))?;
    Some(Timestamp(
        since
            .0
            .saturating_add(min_ready_seconds.saturating_mul(1_000_000)),
    ))
}

/// The value of a time field.
pub(super) fn time_at(value: &Value, path: &[&str]) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(value.str_at(path))
}
