//! `/healthz`, `/livez`, `/readyz` and their checks (A5). Everything is always well.

use super::Page;
use crate::request::Request;
use crate::status::Status;

/// Checks of all three, in the order they are listed.
const COMMON: [&str; 29] = [
    "ping",
    "log",
    "etcd",
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer",
    "poststarthook/priority-and-fairness-filter",
    "poststarthook/storage-object-count-tracker-hook",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kube-apiserver-identity-lease-controller",
    "poststarthook/start-kube-apiserver-identity-lease-garbage-collector",
    "poststarthook/start-legacy-token-tracking-controller",
    "poststarthook/start-service-ip-repair-controllers",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/bootstrap-controller",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/aggregator-reload-proxy-client-cert",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-status-local-available-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-discovery-controller",
    "poststarthook/apiservice-openapi-controller",
];

const TEXT: &str = "text/plain; charset=utf-8";

/// The page of a health path, `None` for any other path.
pub(super) fn page(request: &Request) -> Option<Result<Page, Status>> {
    let rest = request.path.strip_prefix('/')?;
    let (name, check) = match rest.split_once('/') {
        Some((name, check)) => (name, Some(check)),
        None => (rest, None),
    };
    let own: &[&str] = match name {
        "readyz" => &["etcd-readiness", "informer-sync", "shutdown"],
        "livez" | "healthz" => &["loopback-serving-certificate"],
        _ => return None,
    };
    let known = |check: &str| COMMON.contains(&check) || own.contains(&check);
    Some(match check {
        None => Ok(text(summary(name, own, request))),
        Some(check) if known(check) => Ok(text("ok".to_owned())),
        Some(_) => Err(Status::page_not_found()),
    })
}

fn summary(name: &str, own: &[&str], request: &Request) -> String {
    if request.query.get("verbose").is_none() {
        return "ok".to_owned();
    }
    let excluded: Vec<&str> = request
        .query
        .all("exclude")
        .filter(|check| !check.is_empty())
        .collect();
    let mut out = String::new();
    let checks = COMMON.iter().chain(own);
    for check in checks.clone() {
        let word = if excluded.contains(check) {
            "excluded: ok"
        } else {
            "ok"
        };
        out.push_str(&format!("[+]{check} {word}\n"));
    }
    let unknown: Vec<String> = excluded
        .iter()
        .filter(|e| !checks.clone().any(|c| c == *e))
        .map(|e| format!("{e:?}"))
        .collect();
    if !unknown.is_empty() {
        out.push_str(&format!(
            "warn: some health checks cannot be excluded: no matches for {}\n",
            unknown.join(",")
        ));
    }
    out.push_str(&format!("{name} check passed\n"));
    out
}

fn text(body: String) -> Page {
    let headers = vec![("x-content-type-options", "nosniff".to_owned())];
    Page::Raw {
        code: 200,
        content_type: TEXT,
        headers,
        body: body.into_bytes().into(),
    }
}
