//! Services: defaults (O10), cluster IPs and node ports, what a change of type keeps and drops, validation.
//!
//! The cluster has one IPv4 range, [`RANGE`]; addresses and ports in use are those of the stored Services, so there is no
//! allocator to get out of step. Simplification: addresses are drawn at random and looked up among all Services.
//! Source: `pkg/registry/core/service`, `validateService`, `pkg/apis/core/v1/defaults.go`.

mod allocation;
mod validation;

use std::net::Ipv4Addr;

use crate::json;
use crate::json::{CompactString, Map, Value};
use crate::registry::Resource;
use crate::status::{Cause, Status};

use super::field::{At, Errors};
use super::names::Names;
use super::pods::{absent, fill, items};
use super::{Cx, Strategy, metadata, reset_status, restore};
use allocation::{
    allocate, drop_by_type, drop_on_external_name, families, first_ip, keep_allocated, sync_ips,
};
use validation::{fixed_class, fixed_ips, load_balancer, service};

/// The range of cluster IPs.
pub const RANGE: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 12);
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30000..=32767;

/// Services.
pub struct Services;

impl Strategy for Services {
    fn names(&self) -> Names {
        Names::Label
    }

    fn default(&self, _resource: &Resource, object: &mut Value) {
        let map = object.make_object();
        let spec = map.object("spec");
        fill(spec, "sessionAffinity", "None");
        match text(spec, "sessionAffinity") {
            "None" => drop(spec.remove("sessionAffinityConfig")),
            "ClientIP" => {
                let given = spec
                    .get("sessionAffinityConfig")
                    .and_then(|c| c.at(&["clientIP", "timeoutSeconds"]));
                if given.is_none_or(Value::is_null) {
                    spec.insert(
                        "sessionAffinityConfig",
                        json!({"clientIP": {"timeoutSeconds": 10800}}),
                    );
                }
            }
            _ => {}
        }
        fill(spec, "type", "ClusterIP");
        for port in items(spec, "ports") {
            let number = port["port"].clone();
            let port = port.make_object();
            fill(port, "protocol", "TCP");
            let unset = port.get("targetPort").is_none_or(|target| {
                target.is_null() || target.as_i64() == Some(0) || *target == ""
            });
            if unset {
                port.insert(
                    "targetPort",
                    if number.is_null() {
                        Value::Int(0)
                    } else {
                        number
                    },
                );
            }
        }
        if externally_accessible(spec) {
            fill(spec, "externalTrafficPolicy", "Cluster");
        }
        let kind = text(spec, "type").to_owned();
        if ["ClusterIP", "NodePort", "LoadBalancer"].contains(&kind.as_str()) {
            fill(spec, "internalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            absent(spec, "allocateLoadBalancerNodePorts", || Value::Bool(true));
            if let Some(balancer) = map
                .get_mut("status")
                .and_then(|s| s.get_mut("loadBalancer"))
                .and_then(Value::as_object_mut)
            {
                for ingress in items(balancer, "ingress") {
                    let ingress = ingress.make_object();
                    if !text(ingress, "ip").is_empty() {
                        absent(ingress, "ipMode", || "VIP".into());
                    }
                }
            }
        }
    }

    fn prepare_create(&self, cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
        let name = object.str_at(&["metadata", "name"]).to_owned();
        let spec = object.make_object().object("spec");
        first_ip(spec);
        let invalid = |causes| Status::invalid("", "Service", &name, causes);
        families(spec, None).map_err(invalid)?;
        allocate(cx, spec, None, &name).map_err(invalid)?;
        drop_on_external_name(spec);
        reset_status(cx, object);
        Ok(())
    }

    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        if cx.subresource == "status" {
            restore(new, old, "spec");
            return Ok(());
        }
        let name = old.str_at(&["metadata", "name"]).to_owned();
        let stored = old["spec"].as_object().cloned().unwrap_or_default();
        let spec = new.make_object().object("spec");
        keep_allocated(spec, &stored);
        sync_ips(spec, &stored);
        let invalid = |causes| Status::invalid("", "Service", &name, causes);
        families(spec, Some(&stored)).map_err(invalid)?;
        allocate(
            cx,
            spec,
            Some((&stored, old.str_at(&["metadata", "uid"]))),
            &name,
        )
        .map_err(invalid)?;
        drop_by_type(spec, &stored);
        drop_on_external_name(spec);
        let balanced = text(spec, "type") == "LoadBalancer";
        restore(new, old, "status");
        if !balanced {
            new.set(&["status", "loadBalancer"], Value::object());
        }
        Ok(())
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        service(&mut errors, &At::root(object), &Value::Null);
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        if cx.subresource == "status" {
            let status = root.field("status");
            let used = old["status"].array_at(&["loadBalancer", "ingress"]);
            load_balancer(
                &mut errors,
                &status.field("loadBalancer"),
                new.str_at(&["spec", "type"]),
                used,
            );
            metadata::conditions(&mut errors, &status.field("conditions"));
            return errors.causes;
        }
        let spec = root.field("spec");
        fixed_ips(&mut errors, &spec, &old["spec"]);
        fixed_class(&mut errors, &spec, &old["spec"]);
        service(&mut errors, &root, old);
        errors.causes
    }

    fn warnings(&self, out: &mut Vec<String>, new: &Value, _old: Option<&Value>) {
        super::deprecations::service(out, new);
    }

    fn field(&self, _resource: &Resource, object: &Value, name: &str) -> Option<CompactString> {
        match name {
            "spec.clusterIP" | "spec.type" => Some(object.str_at(&["spec", &name[5..]]).into()),
            _ => None,
        }
    }

    fn check_field(&self, _resource: &Resource, name: &str) -> Result<(), String> {
        match name {
            "metadata.name" | "metadata.namespace" | "spec.clusterIP" | "spec.type" => Ok(()),
            _ => Err(format!("field label not supported: {name}")),
        }
    }
}

fn text<'a>(map: &'a Map, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(map: &'a Map, key: &str) -> &'a [Value] {
    map.get(key)
        .and_then(Value::as_array)
        .map_or(&[], |items| items.as_slice())
}

fn externally_accessible(spec: &Map) -> bool {
    let kind = text(spec, "type");
    kind == "LoadBalancer"
        || kind == "NodePort"
        || (kind == "ClusterIP" && !list(spec, "externalIPs").is_empty())
}

fn needs_ip(spec: &Map) -> bool {
    text(spec, "type") != "ExternalName"
}

fn needs_node_port(spec: &Map) -> bool {
    match text(spec, "type") {
        "NodePort" => true,
        "LoadBalancer" => {
            spec.get("allocateLoadBalancerNodePorts")
                .and_then(Value::as_bool)
                != Some(false)
        }
        _ => false,
    }
}

fn needs_health_port(spec: &Map) -> bool {
    text(spec, "type") == "LoadBalancer" && text(spec, "externalTrafficPolicy") == "Local"
}

fn is_headless(spec: &Map) -> bool {
    let ips = list(spec, "clusterIPs");
    ips.len() == 1 && ips[0] == "None"
}

fn no_selector(spec: &Map) -> bool {
    spec.get("selector")
        .and_then(Value::as_object)
        .is_none_or(|map| map.is_empty())
}
