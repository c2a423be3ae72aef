//! Ingresses, their classes and network policies.
//!
//! Owns their defaults and validation. Does not own the choice of the default class (admission).
//! Source: `pkg/apis/networking/validation`, `pkg/apis/networking/v1/defaults.go`.

use crate::json;
use crate::json::Value;
use crate::registry::Resource;
use crate::status::Cause;

use super::field::{At, Errors};
use super::names::Names;
use super::pods::{absent, fill, items, port_or_name};
use super::{Cx, Strategy, addresses, metadata};

/// Ingresses.
pub struct Ingresses;

impl Strategy for Ingresses {
    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        let spec = root.field("spec");
        ingress(&mut errors, &spec);
        let annotation = "kubernetes.io/ingress.class";
        let (meta, class) = (root.field("metadata"), spec.field("ingressClassName"));
        let asked = meta.value()["annotations"][annotation].clone();
        if asked.is_string() && class.is_set() && asked != *class.value() {
            let annotations = At::named("annotations", &asked);
            errors.invalid(
                &annotations.field_as(annotation, &asked),
                "must match `ingressClassName` when both are specified",
            );
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        if cx.subresource == "status" {
            let used = old.array_at(&["status", "loadBalancer", "ingress"]);
            balancer(
                &mut errors,
                &root.field("status").field("loadBalancer"),
                used,
            );
        } else {
            super::validate_metadata(&mut errors, cx, new, old);
            ingress(&mut errors, &root.field("spec"));
        }
        errors.causes
    }

    fn warnings(&self, out: &mut Vec<String>, new: &Value, old: Option<&Value>) {
        let asked = !new["metadata"]["annotations"]["kubernetes.io/ingress.class"].is_null();
        if old.is_none() && asked && new["spec"]["ingressClassName"].is_null() {
            out.push("annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead".to_owned());
        }
    }
}

fn balancer(errors: &mut Errors, at: &At, used: &[Value]) {
    for ingress in at.field("ingress").items() {
        let (ip, host) = (ingress.field("ip"), ingress.field("hostname"));
        if !ip.text().is_empty() && !used.iter().any(|old| old["ip"] == *ip.value()) {
            addresses::ip(errors, &ip);
        }
        if !host.text().is_empty() {
            errors.name(&host, Names::Subdomain);
            not_an_address(errors, &host);
        }
    }
}

fn not_an_address(errors: &mut Errors, host: &At) {
    if addresses::parse(host.text()).is_some() {
        errors.invalid(host, "must be a DNS name, not an IP address");
    }
}

fn host_name(errors: &mut Errors, host: &At) {
    let wildcard = host.text().contains('*');
    errors.name(
        host,
        if wildcard {
            Names::WildcardSubdomain
        } else {
            Names::Subdomain
        },
    );
}

fn ingress(errors: &mut Errors, spec: &At) {
    let (rules, default) = (spec.field("rules"), spec.field("defaultBackend"));
    if rules.list().is_empty() && !default.is_set() {
        errors.invalid_as(
            spec,
            rules.value().clone(),
            "either `defaultBackend` or `rules` must be specified",
        );
    }
    if default.is_set() {
        backend(errors, &default);
    }
    for rule in rules.items() {
        let host = rule.field("host");
        if !host.text().is_empty() {
            not_an_address(errors, &host);
            host_name(errors, &host);
        }
        let http = rule.field("http");
        if http.is_set() {
            let paths = http.field("paths");
            if paths.list().is_empty() {
                errors.required(&paths, "");
            }
            for path in paths.items() {
                http_path(errors, &path);
            }
        }
    }
    for tls in spec.field("tls").items() {
        for host in tls.field("hosts").items() {
            host_name(errors, &host);
        }
        let secret = tls.field("secretName");
        if !secret.text().is_empty() {
            errors.name(&secret, Names::Subdomain);
        }
    }
    let class = spec.field("ingressClassName");
    if class.is_set() {
        errors.name(&class, Names::Subdomain);
    }
}

fn http_path(errors: &mut Errors, at: &At) {
    let (kind, path) = (at.field("pathType"), at.field("path"));
    if !kind.is_set() {
        errors.required(&kind, "pathType must be specified");
        return;
    }
    let text = path.text();
    let absolute = "must be an absolute path";
    match kind.text() {
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                errors.invalid_as(&path, text, absolute);
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"] {
                if text.contains(part) {
                    errors.invalid(&path, &format!("must not contain '{part}'"));
                }
            }
            for end in ["/..", "/."] {
                if text.ends_with(end) {
                    errors.invalid(&path, &format!("cannot end with '{end}'"));
                }
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                errors.invalid(&path, absolute);
            }
        }
        _ => errors.unsupported(&kind, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    backend(errors, &at.field("backend"));
}

fn backend(errors: &mut Errors, at: &At) {
    let (resource, service) = (at.field("resource"), at.field("service"));
    match (resource.is_set(), service.is_set()) {
        (true, true) => errors.invalid_as(at, "", "cannot set both resource and service backends"),
        (true, false) => reference(errors, &resource),
        (false, true) => {
            let name = service.field("name");
            match name.text() {
                "" => errors.required(&name, ""),
                _ => errors.name(&name, Names::Label1035),
            }
            let port = service.field("port");
            let (name, number) = (port.field("name"), port.field("number"));
            match (!name.text().is_empty(), number.int().unwrap_or(0) != 0) {
                (true, true) => {
                    errors.invalid_as(at, "", "cannot set both port name & port number");
                }
                (true, false) => errors.name(&name, Names::PortName),
                (false, true) => errors.port(&number),
                (false, false) => errors.required(at, "port name or number is required"),
            }
        }
        (false, false) => errors.invalid_as(at, "", "resource or service backend is required"),
    }
}

fn reference(errors: &mut Errors, at: &At) {
    let group = at.field("apiGroup");
    if group.is_set() {
        errors.name(&group, Names::Subdomain);
    }
    for key in ["kind", "name"] {
        segment(errors, &at.field(key));
    }
}

/// A required text that can stand in a URL path.
pub fn segment(errors: &mut Errors, at: &At) {
    match at.text() {
        "" => errors.required(at, ""),
        _ => errors.name(at, Names::PathSegment),
    }
}

/// IngressClasses.
pub struct IngressClasses;

impl Strategy for IngressClasses {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        if let Some(parameters) = object.at_mut(&["spec", "parameters"])
            && let Some(parameters) = parameters.as_object_mut()
        {
            absent(parameters, "scope", || "Cluster".into());
        }
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        class_spec(&mut errors, &At::root(object).field("spec"));
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        let spec = root.field("spec");
        errors.immutable(&spec.field("controller"), &old["spec"]["controller"]);
        super::validate_metadata(&mut errors, cx, new, old);
        class_spec(&mut errors, &spec);
        errors.causes
    }
}

fn class_spec(errors: &mut Errors, spec: &At) {
    let controller = spec.field("controller");
    if controller.text().len() > 250 {
        errors.too_long(&controller, 250);
    }
    super::domain_prefixed_path(errors, &controller);
    let parameters = spec.field("parameters");
    if !parameters.is_set() {
        return;
    }
    reference(errors, &parameters);
    let (scope, namespace) = (parameters.field("scope"), parameters.field("namespace"));
    match (scope.text(), namespace.is_set()) {
        ("Namespace", false) => {
            errors.required(&namespace, "`parameters.scope` is set to 'Namespace'");
        }
        ("Namespace", true) => errors.name(&namespace, Names::Label),
        ("Cluster", true) => {
            errors.forbidden(&namespace, "`parameters.scope` is set to 'Cluster'");
        }
        ("Cluster", false) => {}
        _ => errors.unsupported(&scope, &["Cluster", "Namespace"]),
    }
}

/// NetworkPolicies.
pub struct NetworkPolicies;

impl Strategy for NetworkPolicies {
    fn warnings(&self, out: &mut Vec<String>, new: &Value, _old: Option<&Value>) {
        super::deprecations::network_policy(out, new);
    }

    fn default(&self, _resource: &Resource, object: &mut Value) {
        let spec = object.make_object().object("spec");
        absent(spec, "podSelector", Value::object);
        for direction in ["ingress", "egress"] {
            for rule in items(spec, direction) {
                if let Some(rule) = rule.as_object_mut() {
                    for port in items(rule, "ports") {
                        fill(port.make_object(), "protocol", "TCP");
                    }
                }
            }
        }
        let egress = spec
            .get("egress")
            .and_then(Value::as_array)
            .is_some_and(|rules| !rules.is_empty());
        let chosen = spec
            .get("policyTypes")
            .and_then(Value::as_array)
            .is_some_and(|types| !types.is_empty());
        if !chosen {
            let types = if egress {
                json!(["Ingress", "Egress"])
            } else {
                json!(["Ingress"])
            };
            spec.insert("policyTypes", types);
        }
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        policy(&mut errors, &At::root(object).field("spec"));
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, _old: &Value) -> Vec<Cause> {
        self.validate_create(cx, new)
    }
}

fn policy(errors: &mut Errors, spec: &At) {
    metadata::label_selector(errors, &spec.field("podSelector"));
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.field(direction).items() {
            for port in rule.field("ports").items() {
                policy_port(errors, &port);
            }
            for peer in rule.field(peers).items() {
                policy_peer(errors, &peer);
            }
        }
    }
    let types = spec.field("policyTypes");
    if types.list().len() > 2 {
        errors.invalid(&types, "may not specify more than two policyTypes");
        return;
    }
    for kind in types.items() {
        errors.one_of_in_order(&kind, &["Ingress", "Egress"]);
    }
}

fn policy_port(errors: &mut Errors, at: &At) {
    let (protocol, port, end) = (at.field("protocol"), at.field("port"), at.field("endPort"));
    if protocol.is_set() {
        errors.one_of_in_order(&protocol, &["TCP", "UDP", "SCTP"]);
    }
    match (port.is_set(), port.int()) {
        (false, _) => {
            if end.is_set() {
                errors.invalid(&end, "may not be specified when `port` is not specified");
            }
        }
        (true, Some(number)) => {
            errors.port(&port);
            if let Some(last) = end.int() {
                if last < number {
                    errors.invalid_as(&end, number, "must be greater than or equal to `port`");
                }
                errors.port(&end);
            }
        }
        (true, None) => {
            if end.is_set() {
                errors.invalid(&end, "may not be specified when `port` is non-numeric");
            }
            port_or_name(errors, &port);
        }
    }
}

fn policy_peer(errors: &mut Errors, at: &At) {
    let (pods, namespaces, block) = (
        at.field("podSelector"),
        at.field("namespaceSelector"),
        at.field("ipBlock"),
    );
    metadata::label_selector(errors, &pods);
    metadata::label_selector(errors, &namespaces);
    if block.is_set() {
        ip_block(errors, &block);
    }
    match (block.is_set(), pods.is_set() || namespaces.is_set()) {
        (false, false) => errors.required(at, "must specify a peer"),
        (true, true) => {
            errors.forbidden(at, "may not specify both ipBlock and another peer");
        }
        _ => {}
    }
}

fn ip_block(errors: &mut Errors, at: &At) {
    let cidr = at.field("cidr");
    if cidr.text().is_empty() {
        errors.required(&cidr, "");
        return;
    }
    addresses::block(errors, &cidr);
    let Some(outer) = addresses::parse_block(cidr.text()) else {
        return;
    };
    for except in at.field("except").items() {
        addresses::block(errors, &except);
        if let Some(inner) = addresses::parse_block(except.text())
            && !addresses::strictly_contains(outer, inner)
        {
            errors.invalid(&except, "must be a strict subset of `cidr`");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(check: fn(&mut Errors, &At), value: Value) -> Vec<String> {
        let mut errors = Errors::default();
        check(&mut errors, &At::named("spec", &value));
        errors.causes.iter().map(|cause| cause.text()).collect()
    }

    #[test]
    fn d8_an_ingress_needs_rules_or_a_backend() {
        assert_eq!(
            told(ingress, json!({})),
            ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]
        );
        let path = json!({"path": "/a//b", "pathType": "Exact", "backend": {"service": {"name": "s", "port": {"number": 80}}}});
        assert_eq!(
            told(
                ingress,
                json!({"rules": [{"host": "*.x.example", "http": {"paths": [path]}}]})
            ),
            ["spec.rules[0].http.paths[0].path: Invalid value: \"/a//b\": must not contain '//'"]
        );
    }

    #[test]
    fn d8_an_exception_lies_within_its_block() {
        let peer =
            json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "11.0.0.0/8"]}});
        assert_eq!(
            told(
                policy,
                json!({"podSelector": {}, "ingress": [{"from": [peer]}]})
            ),
            [
                "spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: \"11.0.0.0/8\": must be a strict subset of `cidr`"
            ]
        );
    }
}
