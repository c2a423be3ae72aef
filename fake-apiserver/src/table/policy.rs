//! Cells of quotas, budgets, leases, role bindings, admission, flow control and the other policy kinds.

use super::{boolean, count, human_duration, number, text, text_or};
use crate::json::{Value, to_string};

pub(super) fn cell(kind: &str, header: &str, object: &Value) -> Option<Value> {
    let plain =
        |path: &[&str], absent: &str| text(object.at(path).map_or(absent.to_string(), written));
    match (kind, header) {
        ("Lease", "Holder") => text(object.str_at(&["spec", "holderIdentity"])),
        ("PodDisruptionBudget", "Min Available") => plain(&["spec", "minAvailable"], "N/A"),
        ("PodDisruptionBudget", "Max Unavailable") => plain(&["spec", "maxUnavailable"], "N/A"),
        ("PodDisruptionBudget", "Allowed Disruptions") => Some(Value::from(number(
            object,
            &["status", "disruptionsAllowed"],
        ))),
        ("ResourceQuota", "Request") => text(quota(object, false)),
        ("ResourceQuota", "Limit") => text(quota(object, true)),
        ("RoleBinding" | "ClusterRoleBinding", _) => binding(header, object),
        ("CertificateSigningRequest", _) => signing(header, object),
        ("MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration", "Webhooks") => {
            Some(Value::from(count(object, &["webhooks"])))
        }
        ("ValidatingAdmissionPolicy", "Validations") => {
            Some(Value::from(count(object, &["spec", "validations"])))
        }
        ("MutatingAdmissionPolicy", "Mutations") => {
            Some(Value::from(count(object, &["spec", "mutations"])))
        }
        (_, "ParamKind") => match object.at(&["spec", "paramKind"]) {
            Some(kind) => text(format!(
                "{}/{}",
                kind.str_at(&["apiVersion"]),
                kind.str_at(&["kind"])
            )),
            None => text("<unset>"),
        },
        (_, "PolicyName") => text(object.str_at(&["spec", "policyName"])),
        (_, "ParamRef") => {
            let reference = |field: &str| object.str_at(&["spec", "paramRef", field]);
            match (reference("name"), reference("namespace")) {
                ("", _) => match object.at(&["spec", "paramRef", "selector"]) {
                    Some(selector) => text(go_selector(selector)),
                    None => text("<unset>"),
                },
                (name, "") => text(format!("*/{name}")),
                (name, namespace) => text(format!("{namespace}/{name}")),
            }
        }
        ("PriorityClass", "Value") => Some(Value::from(number(object, &["value"]))),
        ("PriorityClass", "Global-Default") => {
            Some(Value::Bool(boolean(object, &["globalDefault"]) == "True"))
        }
        ("PriorityClass", "PreemptionPolicy") => text(object.str_at(&["preemptionPolicy"])),
        ("RuntimeClass", "Handler") => text(object.str_at(&["handler"])),
        ("FlowSchema" | "PriorityLevelConfiguration", _) => flow(header, object),
        ("ResourceClaim", "State") => text(claim(object)),
        ("ResourceSlice", "Node") => text(object.str_at(&["spec", "nodeName"])),
        ("ResourceSlice", "Driver") => text(object.str_at(&["spec", "driver"])),
        ("ResourceSlice", "Pool") => text(object.str_at(&["spec", "pool", "name"])),
        ("ComponentStatus", header) => {
            let healthy = object
                .array_at(&["conditions"])
                .iter()
                .find(|c| c.str_at(&["type"]) == "Healthy");
            let field = |name: &str| healthy.map_or("", |c| c.str_at(&[name]));
            match header {
                "Status" => text(match field("status") {
                    "True" => "Healthy",
                    "False" => "Unhealthy",
                    _ => "Unknown",
                }),
                "Message" => text(field("message")),
                _ => text(field("error")),
            }
        }
        _ => None,
    }
}

/// A label selector as the server's own language prints it.
fn go_selector(selector: &Value) -> String {
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    let labels = labels.into_iter().flat_map(|map| map.iter());
    let labels: String = labels
        .map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or_default()))
        .collect();
    let expressions = selector.array_at(&["matchExpressions"]).iter();
    let expressions: String = expressions
        .map(|expression| {
            let values = expression
                .array_at(&["values"])
                .iter()
                .filter_map(Value::as_str);
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},",
                expression.str_at(&["key"]),
                expression.str_at(&["operator"]),
                values.collect::<Vec<_>>().join(" ")
            )
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

fn written(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| to_string(value), str::to_string)
}

/// `cpu: 1/2, pods: 0/5`; what starts with `limits` stands in the column of limits.
fn quota(object: &Value, limits: bool) -> String {
    let hard = object.at(&["status", "hard"]).and_then(Value::as_object);
    let lines = hard
        .into_iter()
        .flat_map(|map| map.iter())
        .filter(|(name, _)| name.starts_with("limits.") == limits);
    let lines: Vec<String> = lines
        .map(|(name, hard)| {
            let used = object
                .at(&["status", "used", name])
                .map_or("0".to_string(), written);
            format!("{name}: {used}/{}", written(hard))
        })
        .collect();
    lines.join(", ")
}

fn binding(header: &str, object: &Value) -> Option<Value> {
    let of = |kind: &str| {
        object
            .array_at(&["subjects"])
            .iter()
            .filter(move |s| s.str_at(&["kind"]) == kind)
            .collect::<Vec<_>>()
    };
    let names = |subjects: Vec<&Value>| {
        subjects
            .iter()
            .map(|s| s.str_at(&["name"]))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match header {
        "Role" => text(format!(
            "{}/{}",
            object.str_at(&["roleRef", "kind"]),
            object.str_at(&["roleRef", "name"])
        )),
        "Users" => text(names(of("User"))),
        "Groups" => text(names(of("Group"))),
        "ServiceAccounts" => {
            let accounts = of("ServiceAccount");
            let accounts = accounts
                .iter()
                .map(|s| format!("{}/{}", s.str_at(&["namespace"]), s.str_at(&["name"])));
            text(accounts.collect::<Vec<_>>().join(", "))
        }
        _ => None,
    }
}

fn signing(header: &str, object: &Value) -> Option<Value> {
    match header {
        "SignerName" => text_or(object, &["spec", "signerName"], "<none>"),
        "Requestor" => text(object.str_at(&["spec", "username"])),
        "RequestedDuration" => text(
            object
                .i64_at(&["spec", "expirationSeconds"])
                .map_or("<none>".to_string(), human_duration),
        ),
        "Condition" => {
            let has = |kind: &str| {
                object
                    .array_at(&["status", "conditions"])
                    .iter()
                    .any(|c| c.str_at(&["type"]) == kind)
            };
            let mut shown = match (has("Denied"), has("Approved")) {
                (true, _) => "Denied".to_string(),
                (false, true) => "Approved".to_string(),
                (false, false) => "Pending".to_string(),
            };
            if has("Failed") {
                shown.push_str(",Failed");
            }
            if !object.str_at(&["status", "certificate"]).is_empty() {
                shown.push_str(",Issued");
            }
            text(shown)
        }
        _ => None,
    }
}

fn flow(header: &str, object: &Value) -> Option<Value> {
    let limited = |path: &[&str]| {
        let all: Vec<&str> = ["spec", "limited"].iter().chain(path).copied().collect();
        object
            .at(&all)
            .map_or(Value::from("<none>"), |value| value.clone())
    };
    match header {
        "PriorityLevel" => text(object.str_at(&["spec", "priorityLevelConfiguration", "name"])),
        "MatchingPrecedence" => Some(Value::from(number(object, &["spec", "matchingPrecedence"]))),
        "DistinguisherMethod" => {
            text_or(object, &["spec", "distinguisherMethod", "type"], "<none>")
        }
        "MissingPL" => {
            let dangling = object
                .array_at(&["status", "conditions"])
                .iter()
                .find(|c| c.str_at(&["type"]) == "Dangling");
            text(dangling.map_or("?", |c| c.str_at(&["status"])))
        }
        "Type" => text(object.str_at(&["spec", "type"])),
        "NominalConcurrencyShares" => Some(limited(&["nominalConcurrencyShares"])),
        "Queues" => Some(limited(&["limitResponse", "queuing", "queues"])),
        "HandSize" => Some(limited(&["limitResponse", "queuing", "handSize"])),
        "QueueLengthLimit" => Some(limited(&["limitResponse", "queuing", "queueLengthLimit"])),
        _ => None,
    }
}

fn claim(object: &Value) -> String {
    let mut states = Vec::new();
    if object.at(&["metadata", "deletionTimestamp"]).is_some() {
        states.push("deleted");
    }
    match object.at(&["status", "allocation"]) {
        None if states.is_empty() => states.push("pending"),
        None => {}
        Some(_) => {
            states.push("allocated");
            if count(object, &["status", "reservedFor"]) > 0 {
                states.push("reserved");
            }
        }
    }
    states.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn h13_what_a_binding_takes_its_params_from() {
        let check = |reference: Value, want: &str| {
            let binding = json!({"spec": {"paramRef": reference}});
            let shown = cell("MutatingAdmissionPolicyBinding", "ParamRef", &binding);
            assert_eq!(shown, Some(Value::from(want)));
        };
        check(json!({"name": "a"}), "*/a");
        check(json!({"name": "a", "namespace": "n"}), "n/a");
        check(
            json!({"selector": {"matchLabels": {"b": "1", "a": "2"}, "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}]}}),
            "&LabelSelector{MatchLabels:map[string]string{a: 2,b: 1,},MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}",
        );
    }
}
