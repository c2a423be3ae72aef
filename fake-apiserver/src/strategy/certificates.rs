//! CertificateSigningRequests.
//!
//! Owns who a request is from, what each endpoint may change, and the rules of conditions. Simplification: neither requests
//! nor certificates are parsed; nothing signs.
//! Source: `pkg/registry/certificates`, `pkg/apis/certificates/validation`.

use std::collections::BTreeSet;

use crate::json::{CompactString, Value};
use crate::registry::Resource;
use crate::status::{Cause, Status, go_quote};

use super::field::{At, Errors};
use super::names::Names;
use super::{Cx, Strategy, reset_status, restore};

const DECIDED: [&str; 2] = ["Approved", "Denied"];
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// CertificateSigningRequests.
pub struct SigningRequests;

impl Strategy for SigningRequests {
    fn names(&self) -> Names {
        Names::PathSegment
    }

    fn prepare_create(&self, cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
        let spec = object.make_object().object("spec");
        for key in ["username", "uid", "groups", "extra"] {
            spec.remove(key);
        }
        let user = cx.user;
        spec.insert("username", user.name.as_str());
        if !user.uid.is_empty() {
            spec.insert("uid", user.uid.as_str());
        }
        if !user.groups.is_empty() {
            let groups = user.groups.iter().map(|group| Value::from(group.as_str()));
            spec.insert("groups", Value::Array(groups.collect()));
        }
        reset_status(cx, object);
        Ok(())
    }

    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        restore(new, old, "spec");
        match cx.subresource {
            "status" => {
                keep_decisions(new, old);
                fill_times(cx, new, old);
            }
            "approval" => {
                fill_times(cx, new, old);
                let conditions = new.at(&["status", "conditions"]).cloned();
                restore(new, old, "status");
                match conditions {
                    Some(conditions) => new.set(&["status", "conditions"], conditions),
                    None => drop(new.remove(&["status", "conditions"])),
                }
            }
            _ => restore(new, old, "status"),
        }
        Ok(())
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        request(&mut errors, &At::root(object));
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        super::validate_metadata(&mut errors, cx, new, old);
        request(&mut errors, &root);
        let status = root.field("status");
        let conditions = status.field("conditions");
        for kind in ["Approved", "Denied", "Failed"] {
            if of_type(new, kind).len() < of_type(old, kind).len() {
                let kind = go_quote(kind);
                errors.forbidden(
                    &conditions,
                    &format!("updates may not remove a condition of type {kind}"),
                );
            }
        }
        if cx.subresource != "approval" {
            for kind in DECIDED {
                if of_type(new, kind).len() > of_type(old, kind).len() {
                    let kind = go_quote(kind);
                    errors.forbidden(
                        &conditions,
                        &format!("updates may not add a condition of type {kind}"),
                    );
                }
            }
        }
        let certificate = status.field("certificate");
        let before = old.str_at(&["status", "certificate"]);
        if certificate.text() != before {
            if cx.subresource != "status" {
                errors.forbidden(&certificate, "updates may not set certificate content");
            } else if !before.is_empty() {
                errors.forbidden(
                    &certificate,
                    "updates may not modify existing certificate content",
                );
            }
        }
        errors.causes
    }

    fn field(&self, _resource: &Resource, object: &Value, name: &str) -> Option<CompactString> {
        (name == "spec.signerName").then(|| object.str_at(&["spec", "signerName"]).into())
    }

    fn check_field(&self, _resource: &Resource, name: &str) -> Result<(), String> {
        match name {
            "metadata.name" | "spec.signerName" => Ok(()),
            _ => Err(format!("field label not supported: {name}")),
        }
    }
}

fn of_type<'v>(object: &'v Value, kind: &str) -> Vec<&'v Value> {
    let conditions = object.array_at(&["status", "conditions"]).iter();
    conditions
        .filter(|condition| condition.str_at(&["type"]) == kind)
        .collect()
}

// Decisions already made stay as they are.
fn keep_decisions(new: &mut Value, old: &Value) {
    for kind in DECIDED {
        let before: Vec<Value> = of_type(old, kind).into_iter().cloned().collect();
        if before.len() != of_type(new, kind).len() {
            continue;
        }
        let Some(conditions) = new.at_mut(&["status", "conditions"]) else {
            continue;
        };
        let conditions = conditions.as_array_mut().into_iter().flatten();
        for (condition, kept) in conditions
            .filter(|condition| condition.str_at(&["type"]) == kind)
            .zip(before)
        {
            *condition = kept;
        }
    }
}

fn fill_times(cx: &Cx<'_>, new: &mut Value, old: &Value) {
    let now = cx.now.rfc3339();
    let Some(conditions) = new.at_mut(&["status", "conditions"]) else {
        return;
    };
    for condition in conditions.as_array_mut().into_iter().flatten() {
        let unset = |condition: &Value, key: &str| condition[key].is_null();
        if unset(condition, "lastUpdateTime") {
            condition.set(&["lastUpdateTime"], now.clone());
        }
        if unset(condition, "lastTransitionTime") {
            let same = old
                .array_at(&["status", "conditions"])
                .iter()
                .find(|before| {
                    before["type"] == condition["type"]
                        && before["status"] == condition["status"]
                        && !unset(before, "lastTransitionTime")
                })
                .map(|before| before["lastTransitionTime"].clone());
            condition.set(
                &["lastTransitionTime"],
                same.unwrap_or_else(|| now.clone().into()),
            );
        }
    }
}

fn request(errors: &mut Errors, root: &At) {
    let spec = root.field("spec");
    let usages = spec.field("usages");
    if usages.list().is_empty() {
        errors.required(&usages, "");
    }
    for usage in usages.items() {
        errors.one_of(&usage, &USAGES);
    }
    let mut seen = BTreeSet::new();
    for usage in usages.items() {
        if !seen.insert(usage.text().to_owned()) {
            errors.duplicate(&usage);
        }
    }
    signer(errors, &spec.field("signerName"));
    let seconds = spec.field("expirationSeconds");
    if seconds.int().is_some_and(|seconds| seconds < 600) {
        errors.invalid(
            &seconds,
            "may not specify a duration less than 600 seconds (10 minutes)",
        );
    }
    let status = root.field("status");
    let conditions = status.field("conditions");
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for condition in conditions.items() {
        let (kind, value) = (condition.field("type"), condition.field("status"));
        if kind.text().is_empty() {
            errors.required(&kind, "");
        }
        let allowed: &[&str] = if ["Approved", "Denied", "Failed"].contains(&kind.text()) {
            &["True"]
        } else {
            &["False", "True", "Unknown"]
        };
        match value.text() {
            "" => errors.required(&value, ""),
            _ => errors.one_of(&value, allowed),
        }
        if DECIDED.contains(&kind.text())
            && DECIDED
                .iter()
                .any(|other| seen.contains(other) && *other != kind.text())
        {
            errors.invalid_as(
                &conditions,
                kind.text(),
                "Approved and Denied conditions are mutually exclusive",
            );
        }
        if seen.contains(&kind.text()) {
            errors.duplicate(&kind);
        }
        seen.insert(kind.text());
    }
}

fn signer(errors: &mut Errors, at: &At) {
    let text = at.text();
    if text.is_empty() {
        errors.required(at, "");
        return;
    }
    if text == "kubernetes.io/legacy-unknown" {
        errors.invalid(
            at,
            "the legacy signerName is not allowed via this API version",
        );
        return;
    }
    match text.split_once('/') {
        Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {
            errors.name_as(at, domain, Names::Subdomain);
            for part in path.split('.') {
                errors.name_as(at, part, Names::Label);
            }
        }
        _ => errors.invalid(
            at,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ),
    }
}
