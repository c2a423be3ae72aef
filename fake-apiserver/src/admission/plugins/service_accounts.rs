//! The ServiceAccount plugin: pods run as somebody, with that somebody's token.
//!
//! Source: `plugin/pkg/admission/serviceaccount`.

use super::{find, refuse};
use crate::admission::Attributes;
use crate::ids::Ids;
use crate::json;
use crate::json::Value;
use crate::server::{Halt, Session};
use crate::status::go_quote;

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Names the service account, mounts its token, takes its pull secrets.
pub(super) fn apply(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: &mut Value,
) -> Result<(), Halt> {
    if !s.core.config.service_account_admission {
        return Ok(());
    }
    if object
        .at(&["metadata", "annotations", "kubernetes.io/config.mirror"])
        .is_some()
    {
        return Ok(());
    }
    if object.str_at(&["spec", "serviceAccountName"]).is_empty() {
        object.set(&["spec", "serviceAccountName"], "default");
    }
    let name = object.str_at(&["spec", "serviceAccountName"]).to_owned();
    object.set(&["spec", "serviceAccount"], name.as_str());
    let namespace = attributes.namespace;
    let Some(account) = find(s, "", "serviceaccounts", namespace, &name) else {
        let why = format!(
            "error looking up service account {namespace}/{name}: serviceaccount {} not found",
            go_quote(&name)
        );
        return Err(refuse(attributes, object, &why).into());
    };
    let flag = |value: &Value, path: &[&str]| value.at(path).and_then(Value::as_bool);
    let mounts = flag(object, &["spec", "automountServiceAccountToken"])
        .or(flag(&account, &["automountServiceAccountToken"]))
        .unwrap_or(true);
    if mounts {
        mount_token(s, object);
    }
    if object.array_at(&["spec", "imagePullSecrets"]).is_empty() {
        let secrets = account.array_at(&["imagePullSecrets"]);
        if !secrets.is_empty() {
            object.set(
                &["spec", "imagePullSecrets"],
                Value::Array(secrets.to_vec()),
            );
        }
    }
    Ok(())
}

fn mount_token(s: &mut Session<'_>, object: &mut Value) {
    let volumes = object.array_at(&["spec", "volumes"]).to_vec();
    let present = volumes
        .iter()
        .map(|volume| volume.str_at(&["name"]))
        .find(|name| name.starts_with("kube-api-access-"));
    let name = match present {
        Some(name) => name.to_owned(),
        None => format!("kube-api-access-{}", s.suffix()),
    };
    let mut used = false;
    for list in ["initContainers", "containers"] {
        let Some(Value::Array(containers)) = object.at_mut(&["spec", list]) else {
            continue;
        };
        for container in containers {
            let mut mounts = container.array_at(&["volumeMounts"]).to_vec();
            if mounts
                .iter()
                .any(|mount| mount.str_at(&["mountPath"]) == TOKEN_PATH)
            {
                continue;
            }
            used = true;
            mounts.push(json!({"name": name.as_str(), "readOnly": true, "mountPath": TOKEN_PATH}));
            container.set(&["volumeMounts"], Value::Array(mounts));
        }
    }
    if used && present.is_none() {
        let mut volumes = volumes.clone();
        volumes.push(json!({
            "name": name.as_str(),
            "projected": {
                "defaultMode": 420,
                "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace",
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
                ],
            },
        }));
        object.set(&["spec", "volumes"], Value::Array(volumes));
    }
}
