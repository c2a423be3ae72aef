//! Server-side apply: several managers, one object.

use fake_apiserver::json::{self, Value};

use super::cluster::Cluster;
use super::{first_line, sections};

/// Applies configurations one after the other. Each section is a line `MANAGER [force] KIND`, then the configuration; what
/// it lacks of type and name is filled in if it is JSON.
///
/// A configuration applied again right after it was taken changes nothing, and who applied something owns something.
pub(crate) fn apply(bytes: &[u8]) {
    let mut cluster = Cluster::new();
    for section in sections(bytes).into_iter().take(8) {
        let (line, body) = first_line(section);
        let line = String::from_utf8_lossy(line).into_owned();
        let manager = line.split(' ').next().unwrap_or_default();
        let (path, api_version, kind) = place(&line);
        let target = format!(
            "{path}?fieldManager={manager}&force={}",
            line.contains("force")
        );
        let body = completed(body, api_version, kind);
        let headers = [("content-type", "application/apply-patch+yaml")];
        let first = cluster.call("PATCH", &target, &headers, &body);
        if !first.status().is_success() {
            continue;
        }
        let first = json::parse(first.body()).expect("an applied object is JSON");
        assert_owned(&first);
        let second = cluster.call("PATCH", &target, &headers, &body);
        assert!(second.status().is_success(), "{:?}", second.body());
        let second = json::parse(second.body()).expect("an applied object is JSON");
        assert_eq!(second, first, "what is applied again changes nothing");
        cluster.settle();
    }
}

/// Where a kind is found, its version and its name; a Widget for what is not known.
fn place(line: &str) -> (String, &'static str, &'static str) {
    let known = [
        ("ConfigMap", "v1", "configmaps"),
        ("Service", "v1", "services"),
        ("Pod", "v1", "pods"),
        ("Deployment", "apps/v1", "deployments"),
        ("StatefulSet", "apps/v1", "statefulsets"),
        ("Job", "batch/v1", "jobs"),
        ("Widget", "example.com/v1", "widgets"),
    ];
    let mut fitting = known.into_iter().filter(|(kind, ..)| line.contains(kind));
    let (kind, version, plural) = fitting.next().unwrap_or(known[6]);
    let root = if version == "v1" { "api" } else { "apis" };
    let path = format!("/{root}/{version}/namespaces/default/{plural}/two");
    (path, version, kind)
}

/// Every entry of managedFields says who and what.
fn assert_owned(object: &Value) {
    for entry in object.array_at(&["metadata", "managedFields"]) {
        assert!(!entry.str_at(&["operation"]).is_empty(), "{entry}");
        assert!(entry["fieldsV1"].is_object(), "{entry}");
    }
}

fn completed(body: &[u8], api_version: &str, kind: &str) -> Vec<u8> {
    let Ok(mut value) = json::parse(body) else {
        return body.to_vec();
    };
    if value.is_object() && value.get("apiVersion").is_none() && value.get("kind").is_none() {
        value.set(&["apiVersion"], api_version);
        value.set(&["kind"], kind);
        if value.at(&["metadata"]).is_none_or(Value::is_object) {
            value.set(&["metadata", "name"], "two");
        }
        return json::to_vec(&value);
    }
    body.to_vec()
}
