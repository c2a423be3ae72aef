//! Cells of the workload kinds: deployments, sets, jobs, autoscalers.

use super::{
    boolean, count, human_duration, joined, labels, number, selector, since, text, text_or,
};
use crate::json::Value;
use crate::time::Timestamp;

pub(super) fn cell(kind: &str, header: &str, object: &Value, now: Timestamp) -> Option<Value> {
    let template: &[&str] = match kind {
        "CronJob" => &[
            "spec",
            "jobTemplate",
            "spec",
            "template",
            "spec",
            "containers",
        ],
        "PodTemplate" => &["template", "spec", "containers"],
        "Deployment"
        | "ReplicaSet"
        | "StatefulSet"
        | "DaemonSet"
        | "Job"
        | "ReplicationController" => &["spec", "template", "spec", "containers"],
        "HorizontalPodAutoscaler" => return autoscaler(header, object),
        "ControllerRevision" => return revision(header, object),
        "Scale" => {
            let holder = if header == "Desired" {
                "spec"
            } else {
                "status"
            };
            return Some(Value::from(number(object, &[holder, "replicas"])));
        }
        _ => return None,
    };
    match header {
        "Containers" => return text(joined(object, template, "name", ",")),
        "Images" => return text(joined(object, template, "image", ",")),
        "Pod Labels" => return text(labels(object, &["template", "metadata", "labels"])),
        "Selector" if kind == "ReplicationController" => {
            return text(labels(object, &["spec", "selector"]));
        }
        "Selector" if kind == "CronJob" => {
            return text(selector(
                object,
                &["spec", "jobTemplate", "spec", "selector"],
            ));
        }
        "Selector" => return text(selector(object, &["spec", "selector"])),
        _ => {}
    }
    let status = |field: &str| Some(Value::from(number(object, &["status", field])));
    let desired = number(object, &["spec", "replicas"]);
    match (kind, header) {
        ("Deployment" | "StatefulSet", "Ready") => text(format!(
            "{}/{desired}",
            number(object, &["status", "readyReplicas"])
        )),
        ("Deployment", "Up-to-date") => status("updatedReplicas"),
        ("Deployment", "Available") => status("availableReplicas"),
        ("ReplicaSet" | "ReplicationController", "Desired") => Some(Value::from(desired)),
        ("ReplicaSet" | "ReplicationController", "Current") => status("replicas"),
        ("ReplicaSet" | "ReplicationController", "Ready") => status("readyReplicas"),
        ("DaemonSet", "Desired") => status("desiredNumberScheduled"),
        ("DaemonSet", "Current") => status("currentNumberScheduled"),
        ("DaemonSet", "Ready") => status("numberReady"),
        ("DaemonSet", "Up-to-date") => status("updatedNumberScheduled"),
        ("DaemonSet", "Available") => status("numberAvailable"),
        ("DaemonSet", "Node Selector") => text(labels(
            object,
            &["spec", "template", "spec", "nodeSelector"],
        )),
        ("Job", _) => job(header, object, now),
        ("CronJob", "Schedule") => text(object.str_at(&["spec", "schedule"])),
        ("CronJob", "Timezone") => text_or(object, &["spec", "timeZone"], "<none>"),
        ("CronJob", "Suspend") => text(boolean(object, &["spec", "suspend"])),
        ("CronJob", "Active") => Some(Value::from(count(object, &["status", "active"]))),
        ("CronJob", "Last Schedule") => match object.str_at(&["status", "lastScheduleTime"]) {
            "" => text("<none>"),
            last => text(since(last, now)),
        },
        _ => None,
    }
}

fn job(header: &str, job: &Value, now: Timestamp) -> Option<Value> {
    let has = |kind: &str| {
        let mut conditions = job.array_at(&["status", "conditions"]).iter();
        conditions.any(|c| c.str_at(&["type"]) == kind && c.str_at(&["status"]) == "True")
    };
    let succeeded = number(job, &["status", "succeeded"]);
    match header {
        "Status" => text(match () {
            () if has("Complete") => "Complete",
            () if has("Failed") => "Failed",
            () if job.at(&["metadata", "deletionTimestamp"]).is_some() => "Terminating",
            () if has("Suspended") => "Suspended",
            () if has("FailureTarget") => "FailureTarget",
            () if has("SuccessCriteriaMet") => "SuccessCriteriaMet",
            () => "Running",
        }),
        "Completions" => text(
            match (
                job.i64_at(&["spec", "completions"]),
                number(job, &["spec", "parallelism"]),
            ) {
                (Some(completions), _) => format!("{succeeded}/{completions}"),
                (None, parallel @ 2..) => format!("{succeeded}/1 of {parallel}"),
                (None, _) => format!("{succeeded}/1"),
            },
        ),
        "Duration" => {
            let time = |field: &str| Timestamp::parse_rfc3339(job.str_at(&["status", field]));
            let Some(start) = time("startTime") else {
                return text("");
            };
            let end = time("completionTime").unwrap_or(now);
            text(human_duration(
                (end.micros() - start.micros()).div_euclid(1_000_000),
            ))
        }
        _ => None,
    }
}

fn revision(header: &str, object: &Value) -> Option<Value> {
    match header {
        "Controller" => {
            let owners = object.array_at(&["metadata", "ownerReferences"]);
            let Some(owner) = owners
                .iter()
                .find(|o| boolean(o, &["controller"]) == "True")
            else {
                return text("<none>");
            };
            let kind = owner.str_at(&["kind"]).to_lowercase();
            let group = owner
                .str_at(&["apiVersion"])
                .split_once('/')
                .map_or(String::new(), |(group, _)| format!(".{group}"));
            text(format!("{kind}{group}/{}", owner.str_at(&["name"])))
        }
        "Revision" => Some(Value::from(number(object, &["revision"]))),
        _ => None,
    }
}

fn autoscaler(header: &str, object: &Value) -> Option<Value> {
    match header {
        "Reference" => {
            let target = |field: &str| object.str_at(&["spec", "scaleTargetRef", field]);
            text(format!("{}/{}", target("kind"), target("name")))
        }
        "Targets" => text(targets(object)),
        "MinPods" => text(
            object
                .i64_at(&["spec", "minReplicas"])
                .map_or("<unset>".to_string(), |n| n.to_string()),
        ),
        "MaxPods" => Some(Value::from(number(object, &["spec", "maxReplicas"]))),
        "Replicas" => Some(Value::from(number(object, &["status", "currentReplicas"]))),
        _ => None,
    }
}

/// `cpu: 10%/50%, …`; two metrics at most are written out.
fn targets(object: &Value) -> String {
    let mut metrics: Vec<Value> = object.array_at(&["spec", "metrics"]).to_vec();
    if let Some(percent) = object.at(&["spec", "targetCPUUtilizationPercentage"]) {
        // autoscaling/v1 has one target, of cpu.
        metrics.push(crate::json!({"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": percent.clone()}}}));
    }
    if metrics.is_empty() {
        return "<none>".to_string();
    }
    let current = object.array_at(&["status", "currentMetrics"]);
    let shown: Vec<String> = metrics
        .iter()
        .enumerate()
        .take(2)
        .map(|(i, metric)| target(metric, current.get(i)))
        .collect();
    match metrics.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} + {more} more...", shown.join(", ")),
    }
}

fn target(metric: &Value, current: Option<&Value>) -> String {
    let (field, name) = match metric.str_at(&["type"]) {
        "External" => ("external", ""),
        "Pods" => ("pods", ""),
        "Object" => ("object", ""),
        "ContainerResource" => (
            "containerResource",
            metric.str_at(&["containerResource", "name"]),
        ),
        "Resource" => ("resource", metric.str_at(&["resource", "name"])),
        _ => return "<unknown type>".to_string(),
    };
    let wanted = |kind: &str| metric.at(&[field, "target", kind]).map(plain);
    let found = |kind: &str| {
        current
            .and_then(|c| c.at(&[field, "current", kind]))
            .map(plain)
    };
    let unknown = "<unknown>".to_string();
    let prefix = if name.is_empty() {
        String::new()
    } else {
        format!("{name}: ")
    };
    if let Some(percent) = wanted("averageUtilization") {
        let now = found("averageUtilization").map_or(unknown, |n| format!("{n}%"));
        return format!("{prefix}{now}/{percent}%");
    }
    if let Some(average) = wanted("averageValue") {
        let suffix = if name.is_empty() && field != "pods" {
            " (avg)"
        } else {
            ""
        };
        return format!(
            "{prefix}{}/{average}{suffix}",
            found("averageValue").unwrap_or(unknown)
        );
    }
    let value = wanted("value").unwrap_or_else(|| "<auto>".to_string());
    format!("{prefix}{}/{value}", found("value").unwrap_or(unknown))
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| crate::json::to_string(value), str::to_string)
}
