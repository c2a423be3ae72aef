//! Defaults of Pods and pod templates beyond the schema table (O7).
//!
//! Source: `pkg/apis/core/v1/defaults.go`, `conversion.go`, `pkg/util/parsers`.

use crate::json::{Map, Value};

use super::super::quantity::Quantity;
use super::super::volume_sources;

/// Defaults of a `PodSpec`, in a Pod or a template.
pub(super) fn spec(spec: &mut Value) {
    let map = spec.make_object();
    fill(map, "dnsPolicy", "ClusterFirst");
    fill(map, "restartPolicy", "Always");
    fill(map, "schedulerName", "default-scheduler");
    absent(map, "terminationGracePeriodSeconds", || Value::Int(30));
    absent(map, "securityContext", Value::object);
    service_account(map);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for item in items(map, list) {
            container(item);
        }
    }
    for item in items(map, "volumes") {
        volume(item);
    }
}

/// What a Pod gets and a template does not: requests from limits, host ports, pod-level requests, service links.
pub(super) fn pod_only(spec: &mut Value) {
    let map = spec.make_object();
    for list in ["containers", "initContainers"] {
        for item in items(map, list) {
            requests_from_limits(item.make_object());
        }
    }
    pod_level_requests(map);
    absent(map, "enableServiceLinks", || Value::Bool(true));
    if map.get("hostNetwork").and_then(Value::as_bool) == Some(true) {
        for list in ["containers", "initContainers"] {
            for item in items(map, list) {
                for port in items(item.make_object(), "ports") {
                    let number = port["containerPort"].clone();
                    let port = port.make_object();
                    if port.get("hostPort").and_then(Value::as_i64).unwrap_or(0) == 0
                        && number.as_i64() != Some(0)
                    {
                        port.insert("hostPort", number);
                    }
                }
            }
        }
    }
}

// The two spellings of the account name are one field; the new one wins.
fn service_account(map: &mut Map) {
    let text = |map: &Map, key: &str| {
        map.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (name, old) = (text(map, "serviceAccountName"), text(map, "serviceAccount"));
    let name = if name.is_empty() { old } else { name };
    for key in ["serviceAccountName", "serviceAccount"] {
        if name.is_empty() {
            map.remove(key);
        } else {
            map.insert(key, &name);
        }
    }
}

fn container(value: &mut Value) {
    let map = value.make_object();
    let image = map.get("image").and_then(Value::as_str).unwrap_or_default();
    let policy = pull_policy(image);
    fill(map, "imagePullPolicy", policy);
    fill(map, "terminationMessagePath", "/dev/termination-log");
    fill(map, "terminationMessagePolicy", "File");
    absent(map, "resources", Value::object);
    for port in items(map, "ports") {
        fill(port.make_object(), "protocol", "TCP");
    }
    for variable in items(map, "env") {
        if let Some(source) = variable.at_mut(&["valueFrom", "fieldRef"]) {
            fill(source.make_object(), "apiVersion", "v1");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = map.get_mut(name).and_then(Value::as_object_mut) {
            for (key, number) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                if probe.get(key).and_then(Value::as_i64).unwrap_or(0) == 0 {
                    probe.insert(key, number);
                }
            }
            http_get(probe);
            if let Some(grpc) = probe.get_mut("grpc").and_then(Value::as_object_mut) {
                absent(grpc, "service", || "".into());
            }
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = map
            .get_mut("lifecycle")
            .and_then(|l| l.get_mut(hook))
            .and_then(Value::as_object_mut)
        {
            http_get(handler);
        }
    }
}

fn http_get(handler: &mut Map) {
    if let Some(action) = handler.get_mut("httpGet").and_then(Value::as_object_mut) {
        fill(action, "path", "/");
        fill(action, "scheme", "HTTP");
    }
}

fn volume(value: &mut Value) {
    let map = value.make_object();
    if map
        .iter()
        .all(|(key, source)| key == "name" || source.is_null())
    {
        map.insert("emptyDir", Value::object());
    }
    for (key, source) in map.iter_mut() {
        let Some(source) = source.as_object_mut() else {
            continue;
        };
        match key {
            "configMap" | "secret" | "projected" | "downwardAPI" => {
                absent(source, "defaultMode", || Value::Int(420))
            }
            "ephemeral" => {
                if let Some(claim) = source
                    .get_mut("volumeClaimTemplate")
                    .and_then(|t| t.get_mut("spec"))
                {
                    absent(claim.make_object(), "volumeMode", || "Filesystem".into());
                }
            }
            "image" => {
                let policy = pull_policy(
                    source
                        .get("reference")
                        .and_then(Value::as_str)
                        .unwrap_or_default(),
                );
                fill(source, "pullPolicy", policy);
            }
            _ => volume_sources::default(key, source),
        }
        if key == "downwardAPI" {
            field_refs(source);
        }
        for projection in items(source, "sources") {
            if let Some(token) = projection
                .get_mut("serviceAccountToken")
                .and_then(Value::as_object_mut)
            {
                absent(token, "expirationSeconds", || Value::Int(3600));
            }
            if let Some(downward) = projection
                .get_mut("downwardAPI")
                .and_then(Value::as_object_mut)
            {
                field_refs(downward);
            }
        }
    }
}

fn field_refs(source: &mut Map) {
    for item in items(source, "items") {
        if let Some(field) = item.get_mut("fieldRef").and_then(Value::as_object_mut) {
            fill(field, "apiVersion", "v1");
        }
    }
}

/// Amounts are rounded up to thousandths.
fn round_amounts(amounts: &mut Map) {
    for amount in amounts.values_mut() {
        let tiny = |text: &&str| text.ends_with(['u', 'n']) || text.contains("e-");
        if let Some(mut quantity) = amount
            .as_str()
            .filter(tiny)
            .and_then(|text| Quantity::parse(text).ok())
        {
            quantity.round_up(-3);
            *amount = quantity.canonical().into();
        }
    }
}

fn requests_from_limits(container: &mut Map) {
    if let Some(resources) = container.get_mut("resources") {
        for list in ["limits", "requests"] {
            if let Some(amounts) = resources.get_mut(list).and_then(Value::as_object_mut) {
                round_amounts(amounts);
            }
        }
    }
    let Some(limits) = container
        .get("resources")
        .and_then(|r| r.get("limits"))
        .and_then(Value::as_object)
        .cloned()
    else {
        return;
    };
    let requests = container.object("resources").object("requests");
    for (name, limit) in &limits {
        absent(requests, name, || limit.clone());
    }
}

// Pod-level requests: what the containers ask for, else the pod's limit; huge page limits from the containers'.
fn pod_level_requests(spec: &mut Map) {
    let Some(resources) = spec.get("resources").filter(|r| r.is_object()).cloned() else {
        return;
    };
    let set = |name: &str| {
        resources[name]
            .as_object()
            .is_some_and(|map| !map.is_empty())
    };
    if !set("limits") && !set("requests") {
        return;
    }
    let mut limits = resources["limits"].as_object().cloned().unwrap_or_default();
    let mut requests = resources["requests"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    for (name, sum) in aggregate(spec, "limits") {
        if name.starts_with("hugepages-") && !requests.contains_key(&name) {
            absent(&mut limits, &name, || sum.canonical().into());
        }
    }
    for (name, sum) in aggregate(spec, "requests") {
        let pod_level = name == "cpu" || name == "memory" || name.starts_with("hugepages-");
        if pod_level && !sum.is_zero() {
            absent(&mut requests, &name, || sum.canonical().into());
        }
    }
    for (name, limit) in &limits {
        absent(&mut requests, name, || limit.clone());
    }
    let kept = spec.object("resources");
    for (name, map) in [("limits", limits), ("requests", requests)] {
        if !map.is_empty() {
            kept.insert(name, map);
        }
    }
}

/// The amounts all containers of a pod spec ask for together, by resource: the sum of the containers (and sidecars), or
/// the largest init container.
pub fn aggregate(spec: &Map, kind: &str) -> Vec<(String, Quantity)> {
    let mut sum: Vec<(String, Quantity)> = Vec::new();
    let list = |name: &str| {
        spec.get(name)
            .and_then(Value::as_array)
            .map_or(&[][..], |items| items.as_slice())
    };
    for container in list("containers") {
        add(&mut sum, container, kind);
    }
    let mut sidecars: Vec<(String, Quantity)> = Vec::new();
    let mut peak: Vec<(String, Quantity)> = Vec::new();
    for container in list("initContainers") {
        if container.str_at(&["restartPolicy"]) == "Always" {
            add(&mut sum, container, kind);
            add(&mut sidecars, container, kind);
            max(&mut peak, &sidecars);
        } else {
            let mut now = sidecars.clone();
            add(&mut now, container, kind);
            max(&mut peak, &now);
        }
    }
    max(&mut sum, &peak);
    sum
}

fn add(sum: &mut Vec<(String, Quantity)>, container: &Value, kind: &str) {
    let Some(amounts) = container
        .at(&["resources", kind])
        .and_then(Value::as_object)
    else {
        return;
    };
    for (name, amount) in amounts {
        let Ok(amount) = Quantity::parse(amount.as_str().unwrap_or("0")) else {
            continue;
        };
        match sum.iter_mut().find(|(known, _)| known == name) {
            Some((_, total)) => total.add(&amount),
            None => sum.push((name.to_owned(), amount)),
        }
    }
}

fn max(sum: &mut Vec<(String, Quantity)>, other: &[(String, Quantity)]) {
    for (name, amount) in other {
        match sum.iter_mut().find(|(known, _)| known == name) {
            Some((_, total)) => {
                if *amount > *total {
                    *total = amount.clone();
                }
            }
            None => sum.push((name.clone(), amount.clone())),
        }
    }
}

/// Sets a text field that is absent or empty.
pub fn fill(map: &mut Map, key: &str, text: &str) {
    if map
        .get(key)
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        map.insert(key, text);
    }
}

/// Sets a field that is absent or null.
pub fn absent(map: &mut Map, key: &str, value: impl FnOnce() -> Value) {
    if map.get(key).is_none_or(Value::is_null) {
        map.insert(key, value());
    }
}

/// The elements of a list field, to change; none if it is no list.
pub fn items<'a>(map: &'a mut Map, key: &str) -> impl Iterator<Item = &'a mut Value> {
    map.get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

fn pull_policy(image: &str) -> &'static str {
    if tag(image) == "latest" {
        "Always"
    } else {
        "IfNotPresent"
    }
}

// The tag of an image reference: `latest` if it has neither tag nor digest, "" if it has only a digest or is malformed.
fn tag(image: &str) -> &str {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let (name, tag) = match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => (before, Some(tag)),
        _ => (name, None),
    };
    let path = match name.split_once('/') {
        Some((host, rest))
            if host.contains(['.', ':'])
                || host == "localhost"
                || host.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            rest
        }
        _ => name,
    };
    let component = |part: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|&b| plain(b))
            && bytes.last().is_some_and(|&b| plain(b))
            && bytes.iter().all(|&b| plain(b) || b"._-".contains(&b))
    };
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let tag_ok = tag.is_none_or(|tag| {
        tag.len() <= 128
            && tag.bytes().next().is_some_and(word)
            && tag.bytes().all(|b| word(b) || b".-".contains(&b))
    });
    let digest_ok = digest.is_none_or(|digest| {
        digest.split_once(':').is_some_and(|(algorithm, hex)| {
            !algorithm.is_empty() && hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
        })
    });
    if !path.split('/').all(component) || !tag_ok || !digest_ok {
        return "";
    }
    match (tag, digest) {
        (Some(tag), _) => tag,
        (None, Some(_)) => "",
        (None, None) => "latest",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn o7_image_tags_decide_the_pull_policy() {
        let digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        for image in [
            "nginx",
            "nginx:latest",
            "reg:5000/x/nginx",
            &format!("nginx:latest@{digest}"),
        ] {
            assert_eq!(pull_policy(image), "Always", "{image}");
        }
        for image in [
            "nginx:1",
            "reg:5000/x/nginx:2",
            &format!("nginx@{digest}"),
            "NGINX:latest",
            "nginx:",
            "",
        ] {
            assert_eq!(pull_policy(image), "IfNotPresent", "{image}");
        }
    }

    #[test]
    fn o7_a_pod_gets_requests_and_host_ports_and_a_template_does_not() {
        let mut pod = json!({"hostNetwork": true, "containers": [
            {"name": "c", "image": "x:1", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}]});
        spec(&mut pod);
        let template = pod.clone();
        pod_only(&mut pod);
        assert_eq!(
            pod["containers"][0]["resources"],
            json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}})
        );
        assert_eq!(pod["containers"][0]["ports"][0]["hostPort"], Value::Int(80));
        assert_eq!(
            template["containers"][0]["resources"],
            json!({"limits": {"cpu": "1"}})
        );
        assert_eq!(pod["enableServiceLinks"], Value::Bool(true));
    }

    #[test]
    fn o7_pod_level_requests_come_from_containers_then_limits() {
        let mut pod = json!({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, "containers": [
            {"name": "c", "image": "x:1", "resources": {"requests": {"cpu": "100m"}}}, {"name": "d", "image": "x:1"}]});
        pod_only(&mut pod);
        assert_eq!(
            pod["resources"]["requests"],
            json!({"cpu": "100m", "memory": "1Gi"})
        );
    }
}
