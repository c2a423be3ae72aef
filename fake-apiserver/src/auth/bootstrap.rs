//! The roles and bindings that a cluster begins with.
//!
//! Owns those that everyday requests depend on: administrators, what anybody may read, and
//! the roles that people bind (`admin`, `edit`, `view`). Left out: the roles of controllers
//! and nodes, which are part of the simulation itself.
//! Behaviour: `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`.

use crate::json;
use crate::json::Value;

const GROUP_VERSION: &str = "rbac.authorization.k8s.io/v1";

/// Plural and object, in the order of creation.
pub fn bootstrap() -> Vec<(&'static str, Value)> {
    let role = |name: &str, rules: Value| {
        let object = json!({
            "apiVersion": GROUP_VERSION, "kind": "ClusterRole",
            "metadata": metadata(name), "rules": rules,
        });
        ("clusterroles", object)
    };
    let binding = |name: &str, role: &str, groups: &[&str]| {
        let subjects: Value = groups
            .iter()
            .map(|group| {
                json!({"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": *group})
            })
            .collect();
        let object = json!({
            "apiVersion": GROUP_VERSION, "kind": "ClusterRoleBinding",
            "metadata": metadata(name), "subjects": subjects,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        });
        ("clusterrolebindings", object)
    };
    let everything = json!([
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    ]);
    let discovery = json!([{"verbs": ["get"], "nonResourceURLs": [
        "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*",
        "/readyz", "/version", "/version/",
    ]}]);
    let public = json!([{"verbs": ["get"], "nonResourceURLs": [
        "/healthz", "/livez", "/readyz", "/version", "/version/",
    ]}]);
    let basic = json!([
        {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]},
        {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
    ]);
    let read = json!(["get", "list", "watch"]);
    let write = json!([
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch"
    ]);
    let common = |verbs: &Value| {
        json!([
            {"verbs": verbs, "apiGroups": [""], "resources": ["configmaps", "endpoints", "events",
                "persistentvolumeclaims", "pods", "replicationcontrollers", "replicationcontrollers/scale",
                "serviceaccounts", "services"]},
            {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["limitranges", "namespaces",
                "pods/log", "pods/status", "resourcequotas"]},
            {"verbs": verbs, "apiGroups": ["apps"], "resources": ["daemonsets", "deployments",
                "deployments/scale", "replicasets", "replicasets/scale", "statefulsets", "statefulsets/scale"]},
            {"verbs": verbs, "apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"]},
            {"verbs": verbs, "apiGroups": ["batch"], "resources": ["cronjobs", "jobs"]},
            {"verbs": verbs, "apiGroups": ["networking.k8s.io"], "resources": ["ingresses", "networkpolicies"]},
            {"verbs": verbs, "apiGroups": ["policy"], "resources": ["poddisruptionbudgets"]},
            {"verbs": ["get", "list", "watch"], "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"]},
        ])
    };
    let with = |rules: Value, more: Value| -> Value {
        let both = rules
            .as_array()
            .into_iter()
            .chain(more.as_array())
            .flatten();
        both.cloned().collect()
    };
    let edit = with(
        common(&write),
        json!([
            {"verbs": write.clone(), "apiGroups": [""], "resources": ["secrets"]},
            {"verbs": ["create"], "apiGroups": [""], "resources": ["pods/eviction"]},
            {"verbs": write.clone(), "apiGroups": ["coordination.k8s.io"], "resources": ["leases"]},
        ]),
    );
    let admin = with(
        edit.clone(),
        json!([
            {"verbs": write.clone(), "apiGroups": ["rbac.authorization.k8s.io"],
                "resources": ["rolebindings", "roles"]},
            {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"],
                "resources": ["localsubjectaccessreviews"]},
        ]),
    );
    vec![
        role("cluster-admin", everything),
        role("system:discovery", discovery),
        role("system:basic-user", basic),
        role("system:public-info-viewer", public),
        role("admin", admin),
        role("edit", edit),
        role("view", common(&read)),
        binding("cluster-admin", "cluster-admin", &["system:masters"]),
        binding(
            "system:discovery",
            "system:discovery",
            &["system:authenticated"],
        ),
        binding(
            "system:basic-user",
            "system:basic-user",
            &["system:authenticated"],
        ),
        binding(
            "system:public-info-viewer",
            "system:public-info-viewer",
            &["system:authenticated", "system:unauthenticated"],
        ),
    ]
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    })
}
