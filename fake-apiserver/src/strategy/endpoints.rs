//! Endpoints and EndpointSlices.
//!
//! Source: `pkg/apis/core/validation`, `pkg/apis/discovery/validation`, `pkg/registry/discovery/endpointslice`.

use std::collections::BTreeSet;

use crate::json::Value;
use crate::registry::Resource;
use crate::status::Cause;

use super::field::{At, Errors, semantically_equal};
use super::names::Names;
use super::pods::{absent, fill, items};
use super::{Cx, Strategy, addresses, metadata};

/// Endpoints.
pub struct EndpointsObjects;

impl Strategy for EndpointsObjects {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        for subset in items(object.make_object(), "subsets") {
            for port in items(subset.make_object(), "ports") {
                fill(port.make_object(), "protocol", "TCP");
            }
        }
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        subsets(&mut errors, &At::root(object).field("subsets"));
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        super::validate_metadata(&mut errors, cx, new, old);
        if !semantically_equal(&new["subsets"], &old["subsets"]) {
            subsets(&mut errors, &At::root(new).field("subsets"));
        }
        errors.causes
    }
}

fn subsets(errors: &mut Errors, at: &At) {
    for subset in at.items() {
        let (ready, not_ready) = (subset.field("addresses"), subset.field("notReadyAddresses"));
        if ready.list().is_empty() && not_ready.list().is_empty() {
            errors.required(&subset, "must specify `addresses` or `notReadyAddresses`");
        }
        for list in [&ready, &not_ready] {
            for address in list.items() {
                let ip = address.field("ip");
                addresses::ip(errors, &ip);
                if !address.field("hostname").text().is_empty() {
                    errors.name(&address.field("hostname"), Names::Label);
                }
                if address.field("nodeName").is_set() {
                    errors.name(&address.field("nodeName"), Names::Subdomain);
                }
                addresses::endpoint(errors, &ip);
            }
        }
        let ports = subset.field("ports");
        for port in ports.items() {
            let name = port.field("name");
            if !name.text().is_empty() {
                errors.name(&name, Names::Label);
            } else if ports.list().len() > 1 {
                errors.required(&name, "");
            }
            errors.port(&port.field("port"));
            errors.one_of(&port.field("protocol"), &["SCTP", "TCP", "UDP"]);
            if port.field("appProtocol").is_set() {
                errors.name(&port.field("appProtocol"), Names::Qualified);
            }
        }
    }
}

/// EndpointSlices.
pub struct EndpointSlices;

impl Strategy for EndpointSlices {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        let map = object.make_object();
        for port in items(map, "ports") {
            let port = port.make_object();
            absent(port, "name", || "".into());
            absent(port, "protocol", || "TCP".into());
        }
        for endpoint in items(map, "endpoints") {
            absent(endpoint.make_object(), "conditions", Value::object);
        }
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        slice(&mut errors, &At::root(object));
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        super::validate_metadata(&mut errors, cx, new, old);
        let root = At::root(new);
        if new["addressType"] == old["addressType"] {
            slice(&mut errors, &root);
        } else {
            errors.immutable(&root.field("addressType"), &old["addressType"]);
        }
        errors.causes
    }

    fn changes_generation(&self, new: &Value, old: &Value) -> bool {
        let labels = |object: &Value| object["metadata"]["labels"].clone();
        ["addressType", "endpoints", "ports"]
            .iter()
            .any(|key| !semantically_equal(&new[*key], &old[*key]))
            || !semantically_equal(&labels(new), &labels(old))
    }
}

fn slice(errors: &mut Errors, root: &At) {
    let kind = root.field("addressType");
    if kind.text().is_empty() {
        errors.required(&kind, "");
    } else {
        errors.one_of(&kind, &["FQDN", "IPv4", "IPv6"]);
    }
    let ports = root.field("ports");
    if ports.list().len() > 20_000 {
        errors.too_many(&ports, ports.list().len(), 20_000);
    }
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for port in ports.items() {
        let name = port.field("name");
        if !name.text().is_empty() {
            errors.name(&name, Names::Label);
        }
        if names.contains(&name.text()) {
            errors.duplicate_as(&name, name.text());
        }
        names.insert(name.text());
        errors.one_of(&port.field("protocol"), &["SCTP", "TCP", "UDP"]);
        if port.field("appProtocol").is_set() {
            errors.name(&port.field("appProtocol"), Names::Qualified);
        }
    }
    let endpoints = root.field("endpoints");
    if endpoints.list().len() > 1000 {
        errors.too_many(&endpoints, endpoints.list().len(), 1000);
    }
    for endpoint in endpoints.items() {
        let list = endpoint.field("addresses");
        if list.list().is_empty() {
            errors.required(&list, "must contain at least 1 address");
        }
        if list.list().len() > 100 {
            errors.too_many(&list, list.list().len(), 100);
        }
        for address in list.items() {
            slice_address(errors, &list, &address, kind.text());
        }
        if endpoint.field("nodeName").is_set() {
            errors.name(&endpoint.field("nodeName"), Names::Subdomain);
        }
        let topology = endpoint.field("deprecatedTopology");
        metadata::labels(errors, &topology);
        if topology.key("kubernetes.io/hostname").is_set() {
            errors.invalid_as(
                &topology.key("kubernetes.io/hostname"),
                "kubernetes.io/hostname",
                "may not be set",
            );
        }
        if endpoint.field("hostname").is_set() {
            errors.name(&endpoint.field("hostname"), Names::Label);
        }
    }
}

fn slice_address(errors: &mut Errors, list: &At, address: &At, kind: &str) {
    match kind {
        "FQDN" => {
            let text = address.text().strip_suffix('.').unwrap_or(address.text());
            if !Names::Subdomain.allows(text) {
                errors.name_as(address, text, Names::Subdomain);
            } else if text.split('.').count() < 2 {
                errors.invalid_as(
                    address,
                    text,
                    "should be a domain with at least two segments separated by dots",
                );
            }
        }
        "IPv4" | "IPv6" => {
            let family = addresses::parse(address.text()).map(|ip| ip.is_ipv4());
            if family != Some(kind == "IPv4") {
                let what = if kind == "IPv4" {
                    "an IPv4 address"
                } else {
                    "an IPv6 address"
                };
                match family {
                    None => drop(addresses::ip(errors, address)),
                    // The real server names the list, not the address.
                    Some(_) => errors.invalid_as(list, address.value(), &format!("must be {what}")),
                }
            } else {
                addresses::endpoint(errors, address);
            }
        }
        _ => {}
    }
}
