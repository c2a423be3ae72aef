//! Checks of a Pod's volumes.
//!
//! Owns their number and names and the sources that only a Pod has; the others are in `volume_sources`.
//! Source: `pkg/apis/core/validation` (ValidateVolumes and below).

use std::collections::BTreeSet;

use crate::json::Value;

use super::super::field::{At, Errors};
use super::super::names::Names;
use super::super::quantity::Quantity;
use super::super::volume_sources::{self, Place};
use super::containers::descending_path;
use super::environment::{VOLUME_FIELDS, field_selector, resource_selector};

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const CONFLICT: &str = "conflicting duplicate paths";

// In the order the real server looks at them.
const SOURCES: &[&str] = &[
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// `spec.volumes`; returns the names of the valid ones, which containers may mount.
pub(super) fn validate<'v>(
    errors: &mut Errors,
    at: &At<'_, 'v>,
    pod_name: &str,
) -> BTreeSet<&'v str> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let own = at.list().iter().filter(|v| v["ephemeral"].is_object());
    let own: BTreeSet<&str> = own.map(|v| v.str_at(&["name"])).collect();
    let ephemeral = |claim: &str| {
        let rest = claim.strip_prefix(pod_name);
        let rest = rest.and_then(|rest| rest.strip_prefix('-'));
        !pod_name.is_empty() && rest.is_some_and(|name| own.contains(name))
    };
    for volume in at.items() {
        let before = errors.causes.len();
        source(errors, &volume, pod_name);
        let name = volume.field("name");
        if name.text().is_empty() {
            errors.required(&name, "");
        } else {
            errors.name(&name, Names::Label);
        }
        if names.contains(&name.text()) {
            errors.duplicate(&name);
        }
        if errors.causes.len() == before {
            names.insert(name.text());
        }
        let claim = volume.field("persistentVolumeClaim");
        if claim.is_set() && ephemeral(claim.field("claimName").text()) {
            errors.invalid(
                &claim.field("claimName"),
                "must not reference a PVC that gets created for an ephemeral volume",
            );
        }
    }
    names
}

fn source(errors: &mut Errors, volume: &At, pod_name: &str) {
    let mut count = 0;
    for name in SOURCES {
        let source = volume.field(name);
        if !source.is_set() {
            continue;
        }
        count += 1;
        if count > 1 {
            errors.forbidden(&source, "may not specify more than 1 volume type");
            continue;
        }
        match *name {
            "emptyDir" => {
                let limit = source.field("sizeLimit");
                if Quantity::parse(limit.text()).is_ok_and(|limit| limit.is_negative()) {
                    errors.forbidden(&limit, "SizeLimit field must be a valid resource quantity");
                }
            }
            "secret" => keyed(errors, &source, "secretName"),
            "configMap" => keyed(errors, &source, "name"),
            "persistentVolumeClaim" => required(errors, &source, &["claimName"]),
            "downwardAPI" => {
                mode(errors, &source.field("defaultMode"));
                for file in source.field("items").items() {
                    downward_file(errors, &file, &source);
                }
            }
            "projected" => projected(errors, &source),
            "gitRepo" => required(errors, &source, &["repository"]),
            "ephemeral" => {
                let template = source.field("volumeClaimTemplate");
                if !template.is_set() {
                    errors.required(&template, "");
                    continue;
                }
                super::super::metadata::labels(errors, &template.field("metadata").field("labels"));
                super::super::metadata::annotations(
                    errors,
                    &template.field("metadata").field("annotations"),
                );
                super::super::claims::spec(errors, &template.field("spec"));
                let claim = format!("{pod_name}-{}", volume.field("name").text());
                if !pod_name.is_empty() {
                    for message in Names::Subdomain.check(&claim) {
                        errors.invalid(
                            &volume.field("name"),
                            &format!("PVC name \"{claim}\": {message}"),
                        );
                    }
                }
            }
            "image" => {
                required(errors, &source, &["reference"]);
                errors.one_of(
                    &source.field("pullPolicy"),
                    &["Always", "IfNotPresent", "Never"],
                );
            }
            _ => volume_sources::check(errors, volume, name, Place::Pod),
        }
    }
    if count == 0 {
        errors.required(volume, "must specify a volume type");
    }
}

fn required(errors: &mut Errors, at: &At, names: &[&str]) {
    for name in names {
        if at.field(name).text().is_empty() {
            errors.required(&at.field(name), "");
        }
    }
}

fn keyed(errors: &mut Errors, at: &At, name: &str) {
    required(errors, at, &[name]);
    mode(errors, &at.field("defaultMode"));
    for item in at.field("items").items() {
        key_to_path(errors, &item);
    }
}

fn mode(errors: &mut Errors, at: &At) {
    if at.int().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        errors.invalid(at, MODE);
    }
}

fn key_to_path(errors: &mut Errors, at: &At) {
    required(errors, at, &["key", "path"]);
    file_path(errors, &at.field("path"));
    mode(errors, &at.field("mode"));
}

fn file_path(errors: &mut Errors, at: &At) {
    descending_path(errors, at);
    if at.text().starts_with("..") && !at.text().starts_with("../") {
        errors.invalid(at, "must not start with '..'");
    }
}

// The errors of a file name the volume, not the file.
fn downward_file(errors: &mut Errors, file: &At, volume: &At) {
    let path = volume.field_as("path", file.field("path").value());
    if path.text().is_empty() {
        errors.required(&path, "");
    }
    file_path(errors, &path);
    let (field, resource) = (file.field("fieldRef"), file.field("resourceFieldRef"));
    if field.is_set() {
        field_selector(
            errors,
            &volume.field_as("fieldRef", field.value()),
            VOLUME_FIELDS,
        );
        if resource.is_set() {
            errors.invalid_as(
                volume,
                "resource",
                "fieldRef and resourceFieldRef can not be specified simultaneously",
            );
        }
    } else if resource.is_set() {
        resource_selector(
            errors,
            &volume.field_as("resourceFieldRef", resource.value()),
            true,
        );
    } else {
        errors.required(volume, "one of fieldRef and resourceFieldRef is required");
    }
    mode(errors, &volume.field_as("mode", file.field("mode").value()));
}

fn projected(errors: &mut Errors, at: &At) {
    mode(errors, &at.field("defaultMode"));
    let mut paths: BTreeSet<&str> = BTreeSet::new();
    for source in at.field("sources").items() {
        let mut count = 0;
        for name in ["secret", "configMap"] {
            let keyed = source.field(name);
            if !keyed.is_set() {
                continue;
            }
            count += 1;
            required(errors, &keyed, &["name"]);
            for item in keyed.field("items").items() {
                key_to_path(errors, &item);
                unique(
                    errors,
                    at,
                    &mut paths,
                    item.field("path").text(),
                    keyed.field("name").value(),
                );
            }
        }
        let downward = source.field("downwardAPI");
        if downward.is_set() {
            count += 1;
            for file in downward.field("items").items() {
                downward_file(errors, &file, &downward);
                unique(
                    errors,
                    at,
                    &mut paths,
                    file.field("path").text(),
                    file.field("path").value(),
                );
            }
        }
        let token = source.field("serviceAccountToken");
        if token.is_set() {
            count += 1;
            let seconds = token.field("expirationSeconds");
            if seconds.int().unwrap_or(3600) < 600 {
                errors.invalid(&seconds, "may not specify a duration less than 10 minutes");
            }
            if seconds.int().unwrap_or(0) > 1 << 32 {
                errors.invalid(
                    &seconds,
                    "may not specify a duration larger than 2^32 seconds",
                );
            }
            let path = at.field_as("path", token.field("path").value());
            if path.text().is_empty() {
                errors.required(&path, "");
            } else {
                file_path(errors, &path);
            }
        }
        count += ["clusterTrustBundle", "podCertificate"]
            .iter()
            .filter(|name| source.field(name).is_set())
            .count();
        if count > 1 {
            errors.forbidden(
                &source,
                "may not specify more than 1 volume type per source",
            );
        }
    }
}

fn unique<'v>(
    errors: &mut Errors,
    at: &At,
    paths: &mut BTreeSet<&'v str>,
    path: &'v str,
    shown: &Value,
) {
    if path.is_empty() {
        return;
    }
    if !paths.insert(path) {
        errors.invalid_as(at, shown, CONFLICT);
    }
}
