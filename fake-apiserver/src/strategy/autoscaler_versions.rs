//! `autoscaling/v1` has no fields for metrics, behavior and conditions: it carries them as text in annotations.
//!
//! Owns the conversion of a HorizontalPodAutoscaler between v1 and v2, both directions, and the order of keys in those texts.
//! Source: `pkg/apis/autoscaling/v1/conversion.go` (the texts are the JSON of Go structures; behavior is an internal one).

use crate::json;
use crate::json::{Map, Value, to_string};

const PREFIX: &str = "autoscaling.alpha.kubernetes.io/";

/// One field of a metric in v1: its name, its path in v2, and what v1 writes when v2 has none.
type Field = (&'static str, &'static [&'static str], Option<&'static str>);

const RESOURCE: &[Field] = &[
    ("name", &["name"], None),
    ("AverageUtilization", &["*", "averageUtilization"], None),
    ("AverageValue", &["*", "averageValue"], None),
    ("container", &["container"], None),
];
const PODS: &[Field] = &[
    ("metricName", &["metric", "name"], None),
    ("AverageValue", &["*", "averageValue"], Some("0")),
    ("selector", &["metric", "selector"], None),
];
const OBJECT: &[Field] = &[
    ("target", &["describedObject"], None),
    ("metricName", &["metric", "name"], None),
    ("Value", &["*", "value"], Some("0")),
    ("selector", &["metric", "selector"], None),
    ("averageValue", &["*", "averageValue"], None),
];
const EXTERNAL: &[Field] = &[
    ("metricName", &["metric", "name"], None),
    ("metricSelector", &["metric", "selector"], None),
    ("Value", &["*", "value"], None),
    ("AverageValue", &["*", "averageValue"], None),
];
const SOURCES: [(&str, &[Field]); 5] = [
    ("object", OBJECT),
    ("pods", PODS),
    ("resource", RESOURCE),
    ("containerResource", RESOURCE),
    ("external", EXTERNAL),
];

/// Fields whose v1 name begins with `target` in a spec and with `current` in a status.
fn v1_name(name: &str, side: &str) -> String {
    if name.starts_with(char::is_uppercase) {
        format!("{side}{name}")
    } else {
        name.to_owned()
    }
}

fn v2_path<'a>(path: &'a [&'a str], side: &'a str) -> Vec<&'a str> {
    path.iter()
        .map(|step| if *step == "*" { side } else { *step })
        .collect()
}

/// An object as text, its keys in the order given; what is `None` is left out.
fn ordered(fields: impl IntoIterator<Item = (String, Option<String>)>) -> String {
    let fields: Vec<String> = fields
        .into_iter()
        .filter_map(|(key, text)| text.map(|text| format!("{}:{text}", to_string(&key.into()))))
        .collect();
    format!("{{{}}}", fields.join(","))
}

fn in_order(value: &Value, keys: &[&str]) -> String {
    ordered(
        keys.iter()
            .map(|key| ((*key).to_owned(), value.get(key).map(to_string))),
    )
}

fn metrics_text(metrics: &[Value], side: &str) -> String {
    let texts: Vec<String> = metrics
        .iter()
        .map(|metric| {
            let kind = [("type".to_owned(), Some(to_string(&metric["type"])))];
            let sources = SOURCES.iter().map(|(name, fields)| {
                let text = metric.get(name).map(|source| {
                    ordered(fields.iter().map(|(old, path, otherwise)| {
                        let value = source.at(&v2_path(path, side));
                        let text = match (value, *old) {
                            (Some(value), "target") => {
                                Some(in_order(value, &["kind", "name", "apiVersion"]))
                            }
                            (Some(value), _) => Some(to_string(value)),
                            (None, _) => otherwise.map(|text| to_string(&text.into())),
                        };
                        (v1_name(old, side), text)
                    }))
                });
                ((*name).to_owned(), text)
            });
            ordered(kind.into_iter().chain(sources))
        })
        .collect();
    format!("[{}]", texts.join(","))
}

fn metrics_value(text: &str, side: &str) -> Option<Vec<Value>> {
    let metrics = json::parse(text.as_bytes()).ok()?;
    let converted = metrics.as_array()?.iter().map(|metric| {
        let mut out = json!({"type": metric["type"].clone()});
        for (name, fields) in SOURCES {
            let Some(source) = metric.get(name) else {
                continue;
            };
            for (old, path, _) in fields {
                if let Some(value) = source.get(&v1_name(old, side)) {
                    let path = v2_path(path, side);
                    out.set(&[&[name], path.as_slice()].concat(), value.clone());
                }
            }
            if side == "target" {
                let has = |field: &str| out.at(&[name, side, field]).is_some();
                let kind = if has("averageUtilization") {
                    "Utilization"
                } else if has("value") && !(name == "object" && has("averageValue")) {
                    "Value"
                } else {
                    "AverageValue"
                };
                if name == "object" && has("averageValue") && out[name][side]["value"] == "0" {
                    out.remove(&[name, side, "value"]);
                }
                out.set(&[name, side, "type"], kind);
            }
        }
        out
    });
    Some(converted.collect())
}

/// The internal structure's names are those of v2 with a capital.
fn capital(name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

fn behavior_text(behavior: &Value) -> String {
    let null = || Some("null".to_owned());
    ordered(["scaleUp", "scaleDown"].map(|direction| {
        let text = behavior.get(direction).map(|rules| {
            ordered(
                [
                    "stabilizationWindowSeconds",
                    "selectPolicy",
                    "policies",
                    "tolerance",
                ]
                .map(|key| {
                    let text = match (rules.get(key), key) {
                        (Some(Value::Array(policies)), "policies") => {
                            let policies: Vec<String> =
                                policies
                                    .iter()
                                    .map(|policy| {
                                        ordered(["type", "value", "periodSeconds"].map(|key| {
                                            (capital(key), policy.get(key).map(to_string))
                                        }))
                                    })
                                    .collect();
                            Some(format!("[{}]", policies.join(",")))
                        }
                        (value, _) => value.map(to_string).or_else(null),
                    };
                    (capital(key), text)
                }),
            )
        });
        (capital(direction), text.or_else(null))
    }))
}

fn lower_keys(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, value) in map {
                if !value.is_null() {
                    let mut key = key.to_owned();
                    if let Some(first) = key.get_mut(..1) {
                        first.make_ascii_lowercase();
                    }
                    out.insert(key.as_str(), lower_keys(value));
                }
            }
            Value::Object(out)
        }
        Value::Array(items) => Value::Array(items.iter().map(lower_keys).collect()),
        other => other.clone(),
    }
}

fn is_cpu_utilization(metric: &Value) -> bool {
    metric.str_at(&["type"]) == "Resource"
        && metric.str_at(&["resource", "name"]) == "cpu"
        && metric
            .at(&["resource", "target", "averageUtilization"])
            .is_some()
}

fn take_annotation(object: &mut Value, name: &str) -> Option<String> {
    let taken = object.remove(&["metadata", "annotations", &format!("{PREFIX}{name}")])?;
    if object
        .at(&["metadata", "annotations"])
        .and_then(Value::as_object)
        .is_some_and(Map::is_empty)
    {
        object.remove(&["metadata", "annotations"]);
    }
    taken.as_str().map(str::to_owned)
}

fn annotate(object: &mut Value, name: &str, text: String) {
    let key = format!("{PREFIX}{name}");
    object.set(&["metadata", "annotations", &key], text);
}

/// Rewrites a v2 object as v1.
pub fn to_v1(object: &mut Value) {
    object.set(&["apiVersion"], "autoscaling/v1");
    for name in ["metrics", "behavior", "current-metrics", "conditions"] {
        take_annotation(object, name);
    }
    if let Some(metrics) = object.remove(&["spec", "metrics"]) {
        let metrics = metrics.as_array().cloned().unwrap_or_default();
        if let Some(cpu) = metrics.iter().find(|metric| is_cpu_utilization(metric)) {
            let percent = cpu["resource"]["target"]["averageUtilization"].clone();
            object.set(&["spec", "targetCPUUtilizationPercentage"], percent);
        }
        let others: Vec<Value> = metrics
            .into_iter()
            .filter(|metric| !is_cpu_utilization(metric))
            .collect();
        if !others.is_empty() {
            annotate(object, "metrics", metrics_text(&others, "target"));
        }
    }
    if let Some(behavior) = object.remove(&["spec", "behavior"]) {
        annotate(object, "behavior", behavior_text(&behavior));
    }
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else {
        return;
    };
    status.get_or_insert("currentReplicas", 0);
    let (metrics, conditions) = (status.remove("currentMetrics"), status.remove("conditions"));
    let list = |value: Option<Value>| match value {
        Some(Value::Array(items)) if !items.is_empty() => Some(items),
        _ => None,
    };
    if let Some(metrics) = list(metrics) {
        for metric in &metrics {
            let percent = metric.at(&["resource", "current", "averageUtilization"]);
            if metric.str_at(&["resource", "name"]) == "cpu"
                && let Some(percent) = percent
            {
                object.set(
                    &["status", "currentCPUUtilizationPercentage"],
                    percent.clone(),
                );
            }
        }
        annotate(object, "current-metrics", metrics_text(&metrics, "current"));
    }
    if let Some(conditions) = list(conditions) {
        let texts: Vec<String> = conditions
            .iter()
            .map(|condition| {
                let keys = ["type", "status", "lastTransitionTime", "reason", "message"];
                in_order(condition, &keys)
            })
            .collect();
        annotate(object, "conditions", format!("[{}]", texts.join(",")));
    }
}

/// Rewrites a v1 object as v2.
pub fn to_v2(object: &mut Value) {
    object.set(&["apiVersion"], "autoscaling/v2");
    let mut metrics: Vec<Value> = take_annotation(object, "metrics")
        .and_then(|text| metrics_value(&text, "target"))
        .unwrap_or_default();
    let cpu = |percent: Value| json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}});
    if let Some(percent) = object.remove(&["spec", "targetCPUUtilizationPercentage"]) {
        metrics.push(cpu(percent));
    }
    if metrics.is_empty() {
        metrics.push(cpu(80.into()));
    }
    object.set(&["spec", "metrics"], Value::Array(metrics));
    if let Some(behavior) = take_annotation(object, "behavior")
        .and_then(|text| json::parse(text.as_bytes()).ok())
        .map(|behavior| lower_keys(&behavior))
        .filter(|behavior| behavior.as_object().is_some_and(|map| !map.is_empty()))
    {
        object.set(&["spec", "behavior"], behavior);
    }
    let current =
        take_annotation(object, "current-metrics").and_then(|text| metrics_value(&text, "current"));
    let conditions = take_annotation(object, "conditions")
        .and_then(|text| json::parse(text.as_bytes()).ok())
        .filter(Value::is_array);
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else {
        return;
    };
    status.get_or_insert("desiredReplicas", 0);
    if status.get("currentReplicas").and_then(Value::as_i64) == Some(0) {
        status.remove("currentReplicas");
    }
    status.remove("currentCPUUtilizationPercentage");
    status.insert("currentMetrics", current.map_or(Value::Null, Value::Array));
    if let Some(conditions) = conditions {
        status.insert("conditions", conditions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b14_an_autoscaler_survives_the_older_version() {
        let newer = json!({
            "apiVersion": "autoscaling/v2", "metadata": {"name": "a"},
            "spec": {
                "maxReplicas": 5,
                "metrics": [
                    {"type": "Object", "object": {"describedObject": {"kind": "K", "name": "n"}, "metric": {"name": "m"}, "target": {"type": "Value", "value": "3"}}},
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
                ],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}}
            },
            "status": {"currentMetrics": null, "desiredReplicas": 0}
        });
        let mut object = newer.clone();
        to_v1(&mut object);
        assert_eq!(object["spec"]["targetCPUUtilizationPercentage"], 80);
        let annotations = &object["metadata"]["annotations"];
        assert_eq!(
            annotations["autoscaling.alpha.kubernetes.io/metrics"],
            r#"[{"type":"Object","object":{"target":{"kind":"K","name":"n"},"metricName":"m","targetValue":"3"}}]"#
        );
        to_v2(&mut object);
        assert_eq!(object, newer);
    }
}
