//! What each kind of volume demands of its fields, in a Pod and in a PersistentVolume.
//!
//! Owns the defaults and the checks of one source. Does not own how many there may be, nor the sources that only a Pod has (`pods::volumes`).
//! Source: `pkg/apis/core/validation` (validate…VolumeSource, validate…PersistentVolumeSource).

use crate::json::{Map, Value};

use super::field::{At, Errors};
use super::names::Names;
use super::pods::{absent, fill};

const FORMAT: &str = "must be valid format";
const REGISTRY: &str = "must be a host:port pair or multiple pairs separated by commas";

/// Where a source stands.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// In a Pod or a template.
    Pod,
    /// In a PersistentVolume of this name: its references to Secrets have a namespace.
    Persistent(&'a str),
}

impl Place<'_> {
    fn is_persistent(self) -> bool {
        matches!(self, Place::Persistent(_))
    }
}

/// Fills in what a source leaves out, in a Pod and in a PersistentVolume alike.
pub fn default(name: &str, source: &mut Map) {
    match name {
        "hostPath" => absent(source, "type", || "".into()),
        "iscsi" => fill(source, "iscsiInterface", "default"),
        "rbd" => {
            fill(source, "pool", "rbd");
            fill(source, "user", "admin");
            fill(source, "keyring", "/etc/ceph/keyring");
        }
        "azureDisk" => {
            fill(source, "cachingMode", "ReadWrite");
            fill(source, "kind", "Shared");
            fill(source, "fsType", "ext4");
            absent(source, "readOnly", || Value::Bool(false));
        }
        "scaleIO" => {
            fill(source, "storageMode", "ThinProvisioned");
            fill(source, "fsType", "xfs");
        }
        _ => {}
    }
}

/// The source `name` of a volume; those that are not known here are fine.
pub fn check(errors: &mut Errors, volume: &At, name: &str, place: Place<'_>) {
    let source = volume.field(name);
    let persistent = place.is_persistent();
    match name {
        "hostPath" => host_path(errors, &source),
        "local" => local(errors, &source),
        "gcePersistentDisk" => {
            // The real server shows another name.
            let shown = volume.field_as("persistentDisk", source.value());
            required(errors, &shown, &["pdName"]);
            partition(errors, &shown);
        }
        "awsElasticBlockStore" => {
            required(errors, &source, &["volumeID"]);
            partition(errors, &source);
        }
        "glusterfs" => {
            required(errors, &source, &["endpoints", "path"]);
            let namespace = source.field("endpointsNamespace");
            if persistent && namespace.is_set() {
                if namespace.text().is_empty() {
                    errors.invalid(
                        &namespace,
                        "if the endpointnamespace is set, it must be a valid namespace name",
                    );
                } else {
                    errors.name(&namespace, Names::Label);
                }
            }
        }
        "flocker" => flocker(errors, &source),
        "nfs" => {
            required(errors, &source, &["server", "path"]);
            let path = source.field("path");
            if !path.text().starts_with('/') {
                errors.invalid_as(&path, path.text(), "must be an absolute path");
            }
        }
        "rbd" => {
            list_required(errors, &source, "monitors");
            required(errors, &source, &["image"]);
        }
        "cephfs" => list_required(errors, &source, "monitors"),
        "quobyte" => quobyte(errors, &source),
        "iscsi" => iscsi(errors, &source, place),
        "cinder" => {
            required(errors, &source, &["volumeID"]);
            secret(errors, &source, persistent);
        }
        "fc" => fibre_channel(errors, &source),
        "flexVolume" => flex(errors, &source),
        "azureFile" => {
            required(errors, &source, &["secretName", "shareName"]);
            let namespace = source.field("secretNamespace");
            if namespace.is_set() && namespace.text().is_empty() {
                errors.required(&namespace, "");
            }
        }
        "azureDisk" => azure_disk(errors, &source),
        "vsphereVolume" => drop(required(errors, &source, &["volumePath"])),
        "photonPersistentDisk" => drop(required(errors, &source, &["pdID"])),
        "portworxVolume" => drop(required(errors, &source, &["volumeID"])),
        "scaleIO" => drop(required(
            errors,
            &source,
            &["gateway", "system", "volumeName"],
        )),
        "storageos" => {
            if !required(errors, &source, &["volumeName"]) {
                errors.name(&source.field("volumeName"), Names::Label);
            }
            let namespace = source.field("volumeNamespace");
            if !namespace.text().is_empty() {
                errors.name(&namespace, Names::Label);
            }
            secret(errors, &source, persistent);
        }
        "csi" => csi(errors, &source, persistent),
        _ => {}
    }
}

// True if one of them is missing.
fn required(errors: &mut Errors, at: &At, names: &[&str]) -> bool {
    let mut missing = false;
    for name in names {
        if at.field(name).text().is_empty() {
            errors.required(&at.field(name), "");
            missing = true;
        }
    }
    missing
}

fn list_required(errors: &mut Errors, at: &At, name: &str) {
    if at.field(name).list().is_empty() {
        errors.required(&at.field(name), "");
    }
}

fn no_backsteps(errors: &mut Errors, at: &At) {
    if at.text().split('/').any(|part| part == "..") {
        errors.invalid(at, "must not contain '..'");
    }
}

fn partition(errors: &mut Errors, at: &At) {
    let number = at.field("partition");
    if !(0..=255).contains(&number.int().unwrap_or(0)) {
        errors.invalid(&number, "must be between 1 and 255, inclusive");
    }
}

fn secret(errors: &mut Errors, at: &At, namespaced: bool) {
    let secret = at.field("secretRef");
    if secret.is_set() {
        required(errors, &secret, &["name"]);
        if namespaced {
            required(errors, &secret, &["namespace"]);
        }
    }
}

fn host_path(errors: &mut Errors, source: &At) {
    if required(errors, source, &["path"]) {
        return;
    }
    no_backsteps(errors, &source.field("path"));
    let kind = source.field("type");
    if kind.is_set() {
        errors.one_of(
            &kind,
            &[
                "",
                "BlockDevice",
                "CharDevice",
                "Directory",
                "DirectoryOrCreate",
                "File",
                "FileOrCreate",
                "Socket",
            ],
        );
    }
}

fn local(errors: &mut Errors, source: &At) {
    if !required(errors, source, &["path"]) {
        no_backsteps(errors, &source.field("path"));
    }
}

fn flocker(errors: &mut Errors, source: &At) {
    let (name, id) = (source.field("datasetName"), source.field("datasetUUID"));
    match (name.text().is_empty(), id.text().is_empty()) {
        (true, true) => {
            errors.required(source, "one of datasetName and datasetUUID is required");
        }
        (false, false) => errors.invalid_as(
            source,
            "resource",
            "datasetName and datasetUUID can not be specified simultaneously",
        ),
        _ => {}
    }
    if name.text().contains('/') {
        errors.invalid(&name, "must not contain '/'");
    }
}

fn quobyte(errors: &mut Errors, source: &At) {
    let (registry, tenant) = (source.field("registry"), source.field("tenant"));
    if registry.text().is_empty() {
        errors.required(&registry, REGISTRY);
    } else if tenant.text().len() >= 65 {
        errors.required(
            &tenant,
            "must be a UUID and may not exceed a length of 64 characters",
        );
    } else {
        let is_pair = |pair: &str| match pair.rsplit_once(':') {
            Some((host, _)) => host.starts_with('[') == host.contains(':'),
            None => false,
        };
        for pair in registry.text().split(',') {
            if !is_pair(pair) {
                errors.invalid(&registry, REGISTRY);
            }
        }
    }
    required(errors, source, &["volume"]);
}

fn iscsi(errors: &mut Errors, source: &At, place: Place<'_>) {
    required(errors, source, &["targetPortal"]);
    let initiator = source.field("initiatorName");
    if let Place::Persistent(name) = place {
        let portal = source.field("targetPortal").text();
        if initiator.is_set() && name.len() + 1 + portal.len() > 64 {
            errors.invalid_as(
                &source.field("targetportal"),
                portal,
                "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.",
            );
        }
    }
    let name = source.field("iqn");
    if name.text().is_empty() {
        errors.required(&name, "");
    } else if !is_initiator(name.text()) {
        errors.invalid(&name, FORMAT);
    }
    let unit = source.field("lun");
    if !(0..=255).contains(&unit.int().unwrap_or(0)) {
        errors.invalid(&unit, "must be between 0 and 255, inclusive");
    }
    let chap = source.field("chapAuthDiscovery").flag() || source.field("chapAuthSession").flag();
    let secret = source.field("secretRef");
    if chap && !secret.is_set() {
        errors.required(&secret, "");
    }
    if secret.is_set() {
        required(errors, &secret, &["name"]);
    }
    if initiator.is_set() && !is_initiator(initiator.text()) {
        errors.invalid(&source.field_as("initiatorname", initiator.value()), FORMAT);
    }
}

// `iqn.yyyy-mm.DOMAIN[:ANYTHING]`, `eui.` and sixteen hexadecimal digits, `naa.` and some of them.
fn is_initiator(text: &str) -> bool {
    let hexadecimal = |rest: &str, lengths: &[usize]| {
        lengths.contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_hexdigit())
    };
    if let Some(rest) = text.strip_prefix("eui.") {
        return hexadecimal(rest, &[16]);
    }
    if let Some(rest) = text.strip_prefix("naa.") {
        return rest.bytes().all(|b| b.is_ascii_hexdigit()) && !rest.is_empty();
    }
    let Some(rest) = text.strip_prefix("iqn.") else {
        return false;
    };
    let bytes = rest.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes
            .get(range)
            .is_some_and(|bytes| bytes.iter().all(u8::is_ascii_digit))
    };
    let Some(domain) = rest.get(8..) else {
        return false;
    };
    let domain = domain.split(':').next().unwrap_or_default();
    digits(0..4)
        && bytes[4] == b'-'
        && digits(5..7)
        && bytes[7] == b'.'
        && !domain.is_empty()
        && domain
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
}

fn fibre_channel(errors: &mut Errors, source: &At) {
    let (targets, ids) = (source.field("targetWWNs"), source.field("wwids"));
    match (targets.list().is_empty(), ids.list().is_empty()) {
        (true, true) => errors.required(
            &targets,
            "must specify either targetWWNs or wwids, but not both",
        ),
        (false, false) => errors.invalid(
            &targets,
            "targetWWNs and wwids can not be specified simultaneously",
        ),
        _ => {}
    }
    if !targets.list().is_empty() {
        let unit = source.field("lun");
        match unit.int() {
            None => errors.required(&unit, "lun is required if targetWWNs is specified"),
            Some(0..=255) => {}
            Some(_) => errors.invalid(&unit, "must be between 0 and 255, inclusive"),
        }
    }
}

fn flex(errors: &mut Errors, source: &At) {
    required(errors, source, &["driver"]);
    for (key, _) in source.field("options").entries() {
        let domain = key.split_once('/').map_or(key, |(domain, _)| domain);
        let domain = format!(".{}", domain.to_ascii_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            let options = source.field("options");
            let shown = Value::from(key);
            errors.invalid_as(
                &options.key(key),
                shown,
                "kubernetes.io and k8s.io namespaces are reserved",
            );
        }
    }
}

fn azure_disk(errors: &mut Errors, source: &At) {
    required(errors, source, &["diskName", "diskURI"]);
    let (caching, kind) = (source.field("cachingMode"), source.field("kind"));
    if caching.is_set() {
        errors.one_of(&caching, &["None", "ReadOnly", "ReadWrite"]);
    }
    if !kind.is_set() {
        return;
    }
    errors.one_of(&kind, &["Dedicated", "Managed", "Shared"]);
    let uri = source.field("diskURI");
    let (start, form) = if kind.text() == "Managed" {
        (
            "/subscriptions/",
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
        )
    } else {
        (
            "https://",
            "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",
        )
    };
    if !uri.text().starts_with(start) {
        errors.unsupported(&uri, &[form]);
    }
}

/// The name of a CSI driver.
pub fn driver_name(errors: &mut Errors, driver: &At) {
    if driver.text().is_empty() {
        errors.required(driver, "");
        return;
    }
    if driver.text().len() > 63 {
        errors.too_long(driver, 63);
    }
    for message in Names::Subdomain.check(&driver.text().to_lowercase()) {
        errors.invalid(driver, &message);
    }
}

fn csi(errors: &mut Errors, source: &At, persistent: bool) {
    driver_name(errors, &source.field("driver"));
    if !persistent {
        let secret = source.field("nodePublishSecretRef");
        if secret.is_set() && !required(errors, &secret, &["name"]) {
            let name = secret.field("name");
            errors.name(&source.field_as("name", name.value()), Names::Subdomain);
        }
        return;
    }
    required(errors, source, &["volumeHandle"]);
    for reference in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        let secret = source.field(reference);
        if !secret.is_set() {
            continue;
        }
        for (part, rule) in [("name", Names::Subdomain), ("namespace", Names::Label)] {
            if !required(errors, &secret, &[part]) {
                errors.name(&secret.field(part), rule);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::status::Cause;

    fn texts(volume: Value, name: &str, place: Place<'_>) -> Vec<String> {
        let mut errors = Errors::default();
        check(&mut errors, &At::named("spec", &volume), name, place);
        errors.causes.iter().map(Cause::text).collect()
    }

    #[test]
    fn every_source_names_what_it_lacks() {
        let check = |name: &str, want: &[&str]| {
            let got = texts(json!({(name): {}}), name, Place::Persistent("v"));
            assert_eq!(got, want, "{name}");
        };
        check("hostPath", &["spec.hostPath.path: Required value"]);
        check(
            "gcePersistentDisk",
            &["spec.persistentDisk.pdName: Required value"],
        );
        check(
            "nfs",
            &[
                "spec.nfs.server: Required value",
                "spec.nfs.path: Required value",
                "spec.nfs.path: Invalid value: \"\": must be an absolute path",
            ],
        );
        check(
            "fc",
            &[
                "spec.fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both",
            ],
        );
        check(
            "csi",
            &[
                "spec.csi.driver: Required value",
                "spec.csi.volumeHandle: Required value",
            ],
        );
        check(
            "flocker",
            &["spec.flocker: Required value: one of datasetName and datasetUUID is required"],
        );
    }

    #[test]
    fn secrets_of_persistent_volumes_have_a_namespace() {
        let volume = json!({"cinder": {"volumeID": "a", "secretRef": {"name": "s"}}});
        assert!(texts(volume.clone(), "cinder", Place::Pod).is_empty());
        assert_eq!(
            texts(volume, "cinder", Place::Persistent("v")),
            ["spec.cinder.secretRef.namespace: Required value"]
        );
    }

    #[test]
    fn initiators() {
        for good in [
            "iqn.2016-04.test.com:storage.target00",
            "eui.0123456789ABCDEF",
            "naa.0a",
        ] {
            assert!(is_initiator(good), "{good}");
        }
        for bad in ["iqn", "iqn.", "iqn.2016-4.a", "eui.12", "x", "iqn.2016-04."] {
            assert!(!is_initiator(bad), "{bad}");
        }
    }
}
