//! Cells of pods, nodes, namespaces, events, config maps, secrets, service accounts.

use super::{boolean, count, number, since, text, text_or};
use crate::json::Value;
use crate::time::Timestamp;

pub(super) fn cell(kind: &str, header: &str, object: &Value, now: Timestamp) -> Option<Value> {
    match kind {
        "Pod" => pod(header, object, now),
        "Node" => node(header, object),
        "Event" => event(header, object, now),
        "Namespace" => text(object.str_at(&["status", "phase"])),
        "ConfigMap" => Some(Value::from(
            count(object, &["data"]) + count(object, &["binaryData"]),
        )),
        "Secret" if header == "Type" => text(object.str_at(&["type"])),
        "Secret" => Some(Value::from(count(object, &["data"]))),
        "ServiceAccount" => Some(Value::from(count(object, &["secrets"]))),
        _ => None,
    }
}

/// Rows of Pods that have ended say so.
pub(super) fn row_condition(kind: &str, object: &Value) -> Option<Value> {
    let phase = object.str_at(&["status", "phase"]);
    let message = match (kind, phase) {
        ("Pod", "Succeeded") => "The pod has completed successfully.",
        ("Pod", "Failed") => "The pod failed.",
        _ => return None,
    };
    Some(crate::json!({"type": "Completed", "status": "True", "reason": phase, "message": message}))
}

struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: i64,
    last_restart: String,
}

fn pod(header: &str, pod: &Value, now: Timestamp) -> Option<Value> {
    match header {
        "Ready" => {
            let summary = summary(pod);
            text(format!("{}/{}", summary.ready, summary.total))
        }
        "Status" => text(summary(pod).reason),
        "Restarts" => {
            let summary = summary(pod);
            match (summary.restarts, summary.last_restart.as_str()) {
                (0, _) | (_, "") => text(summary.restarts.to_string()),
                (restarts, last) => text(format!("{restarts} ({} ago)", since(last, now))),
            }
        }
        "IP" => match pod.array_at(&["status", "podIPs"]).first() {
            Some(first) => text_or(first, &["ip"], "<none>"),
            None => text_or(pod, &["status", "podIP"], "<none>"),
        },
        "Node" => text_or(pod, &["spec", "nodeName"], "<none>"),
        "Nominated Node" => text_or(pod, &["status", "nominatedNodeName"], "<none>"),
        "Readiness Gates" => {
            let gates = pod.array_at(&["spec", "readinessGates"]);
            if gates.is_empty() {
                return text("<none>");
            }
            let met = gates
                .iter()
                .filter(|gate| condition(pod, gate.str_at(&["conditionType"])) == "True");
            text(format!("{}/{}", met.count(), gates.len()))
        }
        _ => None,
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let mut conditions = object.array_at(&["status", "conditions"]).iter();
    conditions
        .find(|c| c.str_at(&["type"]) == kind)
        .map_or("", |c| c.str_at(&["status"]))
}

/// What a pod is about, from its phase, reasons and container states: the first unfinished init container counts, else the
/// containers from the last to the first.
fn summary(pod: &Value) -> Summary {
    let status = |name: &str| pod.array_at(&["status", name]);
    let declared_init = pod.array_at(&["spec", "initContainers"]);
    let sidecar = |name: &str| {
        declared_init
            .iter()
            .any(|c| c.str_at(&["name"]) == name && c.str_at(&["restartPolicy"]) == "Always")
    };
    let mut out = Summary {
        ready: 0,
        total: pod.array_at(&["spec", "containers"]).len()
            + declared_init
                .iter()
                .filter(|c| c.str_at(&["restartPolicy"]) == "Always")
                .count(),
        reason: first_of(&[
            pod.str_at(&["status", "reason"]),
            pod.str_at(&["status", "phase"]),
        ])
        .to_string(),
        restarts: 0,
        last_restart: String::new(),
    };
    for condition in status("conditions") {
        if condition.str_at(&["type"]) == "PodScheduled"
            && condition.str_at(&["reason"]) == "SchedulingGated"
        {
            out.reason = "SchedulingGated".to_string();
        }
    }
    let mut initializing = false;
    let (mut sidecar_restarts, mut sidecar_last) = (0, String::new());
    for (i, container) in status("initContainerStatuses").iter().enumerate() {
        let is_sidecar = sidecar(container.str_at(&["name"]));
        out.restarts += number(container, &["restartCount"]);
        later(&mut out.last_restart, container);
        if is_sidecar {
            sidecar_restarts += number(container, &["restartCount"]);
            later(&mut sidecar_last, container);
        }
        let terminated = container.at(&["state", "terminated"]);
        let waiting = container.str_at(&["state", "waiting", "reason"]);
        match terminated {
            Some(state) if number(state, &["exitCode"]) == 0 => continue,
            _ if is_sidecar && boolean(container, &["started"]) == "True" => {
                out.ready += usize::from(boolean(container, &["ready"]) == "True");
                continue;
            }
            Some(state) => out.reason = format!("Init:{}", ended(state)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => {
                out.reason = format!("Init:{waiting}")
            }
            None => out.reason = format!("Init:{i}/{}", declared_init.len()),
        }
        initializing = true;
        break;
    }
    if !initializing || condition(pod, "Initialized") == "True" {
        out.restarts = sidecar_restarts;
        out.last_restart = sidecar_last;
        let mut running = false;
        for container in status("containerStatuses").iter().rev() {
            out.restarts += number(container, &["restartCount"]);
            later(&mut out.last_restart, container);
            let waiting = container.str_at(&["state", "waiting", "reason"]);
            if !waiting.is_empty() {
                out.reason = waiting.to_string();
            } else if let Some(state) = container.at(&["state", "terminated"]) {
                out.reason = ended(state);
            } else if boolean(container, &["ready"]) == "True"
                && container.at(&["state", "running"]).is_some()
            {
                running = true;
                out.ready += 1;
            }
        }
        if out.reason == "Completed" && running {
            out.reason = if condition(pod, "Ready") == "True" {
                "Running"
            } else {
                "NotReady"
            }
            .to_string();
        }
    }
    let terminal = matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed");
    if pod.at(&["metadata", "deletionTimestamp"]).is_some() {
        if pod.str_at(&["status", "reason"]) == "NodeLost" {
            out.reason = "Unknown".to_string();
        } else if !terminal {
            out.reason = "Terminating".to_string();
        }
    }
    out
}

fn ended(state: &Value) -> String {
    match (state.str_at(&["reason"]), number(state, &["signal"])) {
        ("", 0) => format!("ExitCode:{}", number(state, &["exitCode"])),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_string(),
    }
}

fn later(last: &mut String, container: &Value) {
    let finished = container.str_at(&["lastState", "terminated", "finishedAt"]);
    if finished > last.as_str() {
        *last = finished.to_string();
    }
}

fn first_of<'a>(texts: &[&'a str]) -> &'a str {
    texts
        .iter()
        .copied()
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

fn node(header: &str, node: &Value) -> Option<Value> {
    let info = |field: &str| text_or(node, &["status", "nodeInfo", field], "<unknown>");
    let address = |kind: &str| {
        let mut addresses = node.array_at(&["status", "addresses"]).iter();
        addresses
            .find(|a| a.str_at(&["type"]) == kind)
            .map_or("<none>", |a| a.str_at(&["address"]))
    };
    match header {
        "Status" => {
            let mut shown = match condition(node, "Ready") {
                "True" => "Ready".to_string(),
                "" => "Unknown".to_string(),
                _ => "NotReady".to_string(),
            };
            if boolean(node, &["spec", "unschedulable"]) == "True" {
                shown.push_str(",SchedulingDisabled");
            }
            text(shown)
        }
        "Roles" => {
            let labels = node.at(&["metadata", "labels"]).and_then(Value::as_object);
            let mut roles: Vec<&str> = labels.map_or(Vec::new(), |map| {
                map.iter()
                    .filter_map(|(key, value)| match key {
                        "kubernetes.io/role" => value.as_str().filter(|v| !v.is_empty()),
                        key => key
                            .strip_prefix("node-role.kubernetes.io/")
                            .filter(|r| !r.is_empty()),
                    })
                    .collect()
            });
            roles.sort_unstable();
            roles.dedup();
            text(if roles.is_empty() {
                "<none>".to_string()
            } else {
                roles.join(",")
            })
        }
        "Version" => text(node.str_at(&["status", "nodeInfo", "kubeletVersion"])),
        "Internal-IP" => text(address("InternalIP")),
        "External-IP" => text(address("ExternalIP")),
        "OS-Image" => info("osImage"),
        "Kernel-Version" => info("kernelVersion"),
        "Container-Runtime" => info("containerRuntimeVersion"),
        _ => None,
    }
}

fn event(header: &str, event: &Value, now: Timestamp) -> Option<Value> {
    // Both groups hold the same objects; events.k8s.io names some fields otherwise.
    let either = |path: &[&str], other: &[&str]| {
        first_of(&[event.str_at(path), event.str_at(other)]).to_string()
    };
    let involved = event
        .get("involvedObject")
        .or_else(|| event.get("regarding"))
        .cloned()
        .unwrap_or(Value::Null);
    let event_time = event.str_at(&["eventTime"]);
    let first_time = either(&["firstTimestamp"], &["deprecatedFirstTimestamp"]);
    let first = since(first_of(&[&first_time, event_time]), now);
    match header {
        "Last Seen" => {
            let last_time = either(&["lastTimestamp"], &["deprecatedLastTimestamp"]);
            let series = event.str_at(&["series", "lastObservedTime"]);
            match first_of(&[series, &last_time]) {
                "" => text(first),
                last => text(since(last, now)),
            }
        }
        "First Seen" => text(first),
        "Type" => text(event.str_at(&["type"])),
        "Reason" => text(event.str_at(&["reason"])),
        "Object" => {
            let kind = involved.str_at(&["kind"]).to_lowercase();
            match involved.str_at(&["name"]) {
                "" => text(kind),
                name => text(format!("{kind}/{name}")),
            }
        }
        "Subobject" => text(involved.str_at(&["fieldPath"])),
        "Source" => {
            let source = event
                .get("source")
                .or_else(|| event.get("deprecatedSource"))
                .cloned()
                .unwrap_or(Value::Null);
            let component = first_of(&[
                source.str_at(&["component"]),
                event.str_at(&["reportingComponent"]),
                event.str_at(&["reportingController"]),
            ])
            .to_string();
            match first_of(&[
                source.str_at(&["host"]),
                event.str_at(&["reportingInstance"]),
            ]) {
                "" => text(component),
                host => text(format!("{component}, {host}")),
            }
        }
        "Message" => text(either(&["message"], &["note"]).trim()),
        "Count" => {
            let counted = [
                number(event, &["series", "count"]),
                number(event, &["count"]),
                number(event, &["deprecatedCount"]),
                1,
            ];
            counted.into_iter().find(|n| *n != 0).map(Value::from)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn shown(pod: &Value) -> String {
        let cell = |header: &str| super::pod(header, pod, Timestamp::from_seconds(100)).unwrap();
        format!(
            "{} {} {}",
            cell("Ready").as_str().unwrap(),
            cell("Status").as_str().unwrap(),
            cell("Restarts").as_str().unwrap()
        )
    }

    #[test]
    fn h13_pod_states() {
        let spec = json!({"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]});
        let check = |status: Value, want: &str| {
            let mut pod = json!({"metadata": {}});
            pod.set(&["spec"], spec.clone());
            pod.set(&["status"], status);
            assert_eq!(shown(&pod), want);
        };
        check(json!({"phase": "Pending"}), "0/1 Pending 0");
        check(
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {}}]}),
            "0/1 Init:0/1 0",
        );
        check(
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 3}}}]}),
            "0/1 Init:ExitCode:3 0",
        );
        check(
            json!({"phase": "Running", "containerStatuses": [{"name": "c", "ready": true, "restartCount": 2, "state": {"running": {}},
                "lastState": {"terminated": {"finishedAt": "1970-01-01T00:01:30Z"}}}]}),
            "1/1 Running 2 (10s ago)",
        );
        check(
            json!({"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
            "0/1 CrashLoopBackOff 0",
        );
    }
}
