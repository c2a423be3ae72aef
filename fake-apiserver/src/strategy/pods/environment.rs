//! Environment variables of a container, and the selectors of fields and resources that volumes use too.
//!
//! Source: `pkg/apis/core/validation` (`ValidateEnv`, `validateEnvFrom`).

use super::super::field::{At, Errors};
use super::super::names::Names;

const SOURCES: &str = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";

const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

// All fields of a Pod that the downward API knows at all.
const KNOWN_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "spec.host",
];

pub(super) fn environment(errors: &mut Errors, at: &At) {
    for variable in at.items() {
        let name = variable.field("name");
        if name.text().is_empty() {
            errors.required(&name, "");
        } else {
            errors.name(&name, Names::EnvName);
        }
        let from = variable.field("valueFrom");
        if !from.is_set() {
            continue;
        }
        let mut sources = 0;
        let mut each = |name: &'static str, check: &mut dyn FnMut(&At)| {
            let source = from.field(name);
            if source.is_set() {
                sources += 1;
                check(&source);
            }
        };
        each("fieldRef", &mut |source| {
            field_selector(errors, source, ENV_FIELDS)
        });
        each("resourceFieldRef", &mut |source| {
            resource_selector(errors, source, false)
        });
        each("configMapKeyRef", &mut |source| {
            key_selector(errors, source)
        });
        each("secretKeyRef", &mut |source| key_selector(errors, source));
        each("fileKeyRef", &mut |_| {});
        if sources == 0 {
            errors.invalid_as(&from, "", SOURCES);
        } else if !variable.field("value").text().is_empty() {
            errors.invalid_as(&from, "", "may not be specified when `value` is not empty");
        } else if sources > 1 {
            errors.invalid_as(
                &from,
                "",
                "may not have more than one field specified at a time",
            );
        }
    }
}

/// The fields a downward API volume may show.
pub(super) const VOLUME_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];

/// A `fieldRef`.
pub(super) fn field_selector(errors: &mut Errors, at: &At, supported: &[&str]) {
    for name in ["apiVersion", "fieldPath"] {
        if at.field(name).text().is_empty() {
            errors.required(&at.field(name), "");
            return;
        }
    }
    let path_at = at.field("fieldPath");
    let version = at.field("apiVersion").text();
    if version != "v1" {
        let why = format!("error converting fieldPath: unsupported pod version: {version}");
        errors.invalid(&path_at, &why);
        return;
    }
    let path = path_at.text();
    if let Some((path, subscript)) = path.strip_suffix("']").and_then(|p| p.split_once("['")) {
        match path {
            "metadata.annotations" => {
                errors.name_as(at, &subscript.to_ascii_lowercase(), Names::Qualified)
            }
            "metadata.labels" => errors.name_as(at, subscript, Names::Qualified),
            _ => errors.invalid_as(at, path, "does not support subscript"),
        }
        return;
    }
    if !KNOWN_FIELDS.contains(&path) {
        errors.invalid(
            &path_at,
            &format!("error converting fieldPath: field label not supported: {path}"),
        );
    } else {
        errors.one_of(&path_at, supported);
    }
}

/// A `resourceFieldRef`.
pub(super) fn resource_selector(errors: &mut Errors, at: &At, volume: bool) {
    const SUPPORTED: &[&str] = &[
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    let resource = at.field("resource");
    let text = resource.text();
    if volume && at.field("containerName").text().is_empty() {
        errors.required(&at.field("containerName"), "");
    } else if text.is_empty() {
        errors.required(&resource, "");
    } else if !text.starts_with("limits.hugepages-") && !text.starts_with("requests.hugepages-") {
        errors.one_of(&resource, SUPPORTED);
    }
    let divisor = at.field("divisor");
    let allowed: &[&str] = match text {
        "limits.cpu" | "requests.cpu" => &["0", "1m", "1"],
        _ => &[
            "0", "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
        ],
    };
    if !divisor.text().is_empty() && !allowed.contains(&divisor.text()) {
        let detail = match text {
            "limits.cpu" | "requests.cpu" => {
                "only divisor's values 1m and 1 are supported with the cpu resource"
            }
            "limits.memory" | "requests.memory" => {
                "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the memory resource"
            }
            _ => {
                "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the local ephemeral storage resource"
            }
        };
        errors.invalid_as(&at.field("divisor"), divisor.value(), detail);
    }
}

pub(super) fn key_selector(errors: &mut Errors, at: &At) {
    if at.field("name").text().is_empty() {
        errors.required(&at.field("name"), "");
    }
    let key = at.field("key");
    if key.text().is_empty() {
        errors.required(&key, "");
    } else {
        errors.name(&key, Names::ConfigKey);
    }
}

pub(super) fn environment_from(errors: &mut Errors, at: &At) {
    for source in at.items() {
        let prefix = source.field("prefix");
        if !prefix.text().is_empty() {
            errors.name(&prefix, Names::EnvName);
        }
        let mut sources = 0;
        for name in ["configMapRef", "secretRef"] {
            let reference = source.field(name);
            if reference.is_set() {
                sources += 1;
                if reference.field("name").text().is_empty() {
                    errors.required(&reference.field("name"), "");
                }
            }
        }
        match sources {
            0 => errors.invalid_as(at, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.invalid_as(
                at,
                "",
                "may not have more than one field specified at a time",
            ),
        }
    }
}
