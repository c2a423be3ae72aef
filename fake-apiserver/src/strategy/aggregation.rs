//! APIServices: the group versions that a server serves itself, or hands to another one.
//!
//! Owns their rules. Does not own serving: nothing is aggregated here, and what names a Service never becomes available.
//! Source: kube-aggregator `pkg/registry/apiservice`, `pkg/apis/apiregistration/validation`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::json;
use crate::json::Value;
use crate::registry::Resource;
use crate::status::{Cause, Status, go_quote};

use super::field::{At, Errors};
use super::names::Names;
use super::pods::absent;
use super::{Cx, Strategy, keep_status_or_all};

/// APIServices.
pub struct ApiServices;

impl Strategy for ApiServices {
    fn names(&self) -> Names {
        Names::PathSegment
    }

    fn default(&self, _resource: &Resource, object: &mut Value) {
        if let Some(Value::Object(service)) = object.at_mut(&["spec", "service"]) {
            absent(service, "port", || Value::Int(443));
        }
    }

    fn prepare_create(&self, cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
        let status = match object["spec"]["service"].is_object() {
            true => Value::object(),
            false => json!({"conditions": [{
                "type": "Available", "status": "True", "lastTransitionTime": (cx.now.rfc3339()),
                "reason": "Local", "message": "Local APIServices are always available",
            }]}),
        };
        object.set(&["status"], status);
        Ok(())
    }

    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        keep_status_or_all(cx, new, old);
        Ok(())
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        service(&mut errors, &At::root(object));
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        if cx.subresource != "status" {
            return self.validate_anew(cx, new, old).causes;
        }
        let mut errors = Errors::default();
        let root = At::root(new);
        let status = root.field("status");
        for condition in status.field("conditions").items() {
            let known = ["True", "False", "Unknown"];
            errors.one_of_in_order(&condition.field("status"), &known);
        }
        errors.causes
    }
}

fn service(errors: &mut Errors, root: &At) {
    let (metadata, spec) = (root.field("metadata"), root.field("spec"));
    let (group, version) = (spec.field("group"), spec.field("version"));
    let name = metadata.field("name");
    let wanted = format!("{}.{}", version.text(), group.text());
    if Names::PathSegment.allows(name.text()) && name.text() != wanted {
        let wanted = go_quote(&wanted);
        let why = format!("must be `spec.version+\".\"+spec.group`: {wanted}");
        errors.invalid_as(&name, name.text(), &why);
    }
    if !group.text().is_empty() {
        errors.name(&group, Names::Subdomain);
    } else if version.text() != "v1" {
        let why = "only v1 may have an empty group and it better be legacy kube";
        errors.required(&group, why);
    }
    errors.name_as(&version, version.text(), Names::Label1035);
    for (name, max) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)] {
        let priority = spec.field(name);
        let number = priority.int().unwrap_or(0);
        if !(1..=max).contains(&number) {
            let why = format!("must be positive and less than {max}");
            errors.invalid_as(&priority, number, &why);
        }
    }
    let bundle = spec.field("caBundle");
    let trusted = STANDARD
        .decode(bundle.text())
        .map_or(0, |bytes| bytes.len());
    let insecure = spec.field("insecureSkipTLSVerify");
    let service = spec.field("service");
    if !service.is_set() {
        if trusted > 0 {
            let shown = format!("{trusted} bytes");
            errors.invalid_as(&bundle, shown, "local APIServices may not have a caBundle");
        }
        if insecure.flag() {
            errors.invalid(
                &insecure,
                "local APIServices may not have insecureSkipTLSVerify",
            );
        }
        return;
    }
    for name in ["namespace", "name"] {
        if service.field(name).text().is_empty() {
            errors.required(&service.field(name), "");
        }
    }
    let port = service.field("port");
    if !(1..=65_535).contains(&port.int().unwrap_or(0)) {
        let why = "port is not valid: must be between 1 and 65535, inclusive";
        errors.invalid(&port, why);
    }
    if insecure.flag() && trusted > 0 {
        errors.invalid(&insecure, "may not be true if caBundle is present");
    }
}
