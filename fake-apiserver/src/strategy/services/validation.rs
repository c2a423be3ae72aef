//! The rules of a Service, new and changed, and of its load balancer's status.
//!
//! Source: `pkg/apis/core/validation` (`ValidateService`, `ValidateServiceUpdate`).

use std::collections::BTreeSet;

use crate::json::{Map, Value};
use crate::status::Cause;

use super::super::field::{At, Errors, IMMUTABLE};
use super::super::names::Names;
use super::super::pods::port_or_name;
use super::super::{addresses, metadata};

use super::{externally_accessible, is_headless, needs_health_port};

pub(super) fn service(errors: &mut Errors, root: &At, old: &Value) {
    let spec = root.field("spec");
    let Some(map) = spec.value().as_object() else {
        return;
    };
    let (kind, ports, ips) = (
        spec.field("type"),
        spec.field("ports"),
        spec.field("clusterIPs"),
    );
    let headless = is_headless(map);
    if ports.list().is_empty() && !headless && kind.text() != "ExternalName" {
        errors.required(&ports, "");
    }
    match kind.text() {
        "LoadBalancer" | "NodePort" if headless => {
            errors.invalid_as(
                &ips.index(0),
                "None",
                &format!("may not be set to 'None' for {} services", kind.text()),
            );
        }
        "ExternalName" => {
            for name in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                let field = spec.field(name);
                if field.is_set() && !(field.value().is_array() && field.list().is_empty()) {
                    errors.forbidden(&field, "may not be set for ExternalName services");
                }
            }
            let name = spec.field("externalName");
            match name.text().strip_suffix('.').unwrap_or(name.text()) {
                "" => errors.required(&name, ""),
                text => errors.name_as(&name, text, Names::Subdomain),
            }
        }
        _ => {}
    }
    service_ports(errors, &ports);
    metadata::labels(errors, &spec.field("selector"));
    let affinity = spec.field("sessionAffinity");
    errors.one_of(&affinity, &["ClientIP", "None"]);
    if affinity.text() == "ClientIP" {
        let config = spec.field("sessionAffinityConfig");
        let client = config.field("clientIP");
        let seconds = client.field("timeoutSeconds");
        if !(1..=86400).contains(&seconds.int().unwrap_or(0)) {
            errors.invalid(&seconds, "must be greater than 0 and less than 86400");
        }
    }
    if kind.text() != "ExternalName" {
        related_ips(errors, &spec, old["spec"].array_at(&["clusterIPs"]));
    }
    for ip in spec.field("externalIPs").items() {
        if old["spec"].array_at(&["externalIPs"]).contains(ip.value()) || addresses::ip(errors, &ip)
        {
            addresses::endpoint(errors, &ip);
        }
    }
    errors.one_of(
        &kind,
        &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
    );
    node_port_rules(errors, &ports, kind.text());
    balancer_rules(errors, root, &spec, old);
    traffic_rules(errors, &spec, map);
}

pub(super) fn service_ports(errors: &mut Errors, ports: &At) {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for port in ports.items() {
        let name = port.field("name");
        if !name.text().is_empty() {
            errors.name(&name, Names::Label);
            if names.contains(&name.text()) {
                errors.duplicate(&name);
            } else {
                names.insert(name.text());
            }
        } else if ports.list().len() > 1 {
            errors.required(&name, "");
        }
        errors.port(&port.field("port"));
        errors.one_of(&port.field("protocol"), &["SCTP", "TCP", "UDP"]);
        port_or_name(errors, &port.field("targetPort"));
        let protocol = port.field("appProtocol");
        if protocol.is_set() {
            errors.name(&protocol, Names::Qualified);
        }
    }
}

pub(super) fn node_port_rules(errors: &mut Errors, ports: &At, kind: &str) {
    if kind == "ClusterIP" {
        for port in ports.items() {
            if port.field("nodePort").int().unwrap_or(0) != 0 {
                errors.forbidden(
                    &port.field("nodePort"),
                    "may not be used when `type` is 'ClusterIP'",
                );
            }
        }
    }
    let mut node_ports: BTreeSet<(&str, i64)> = BTreeSet::new();
    for port in ports.items() {
        let number = port.field("nodePort");
        let key = (port.field("protocol").text(), number.int().unwrap_or(0));
        if key.1 != 0 {
            if node_ports.contains(&key) {
                errors.duplicate(&number);
            }
            node_ports.insert(key);
        }
    }
    let mut numbers: BTreeSet<(&str, i64)> = BTreeSet::new();
    for port in ports.items() {
        let key = (
            port.field("protocol").text(),
            port.field("port").int().unwrap_or(0),
        );
        if numbers.contains(&key) {
            errors.push(Cause::new(
                "FieldValueDuplicate",
                port.path(),
                format!(
                    "Duplicate value: {{\"Name\":\"\",\"Protocol\":\"{}\",\"AppProtocol\":null,\"Port\":{},\"TargetPort\":0,\"NodePort\":0}}",
                    key.0, key.1
                ),
            ));
        }
        numbers.insert(key);
    }
}

pub(super) fn balancer_rules(errors: &mut Errors, root: &At, spec: &At, old: &Value) {
    const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
    let balanced = spec.field("type").text() == "LoadBalancer";
    let ranges = spec.field_as(
        "LoadBalancerSourceRanges",
        &spec.value()["loadBalancerSourceRanges"],
    );
    let meta = root.field("metadata");
    let annotations = meta.field("annotations");
    let annotated = annotations.key("service.beta.kubernetes.io/load-balancer-source-ranges");
    if !ranges.list().is_empty() {
        if !balanced {
            errors.forbidden(&ranges, ONLY);
        }
        for range in ranges.items() {
            if !old["spec"]
                .array_at(&["loadBalancerSourceRanges"])
                .contains(range.value())
            {
                addresses::block(errors, &range);
            }
        }
    } else if annotated.is_set() {
        if !balanced {
            errors.forbidden(&annotated, ONLY);
        }
        for part in annotated
            .text()
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let value = Value::from(part);
            addresses::block(errors, &At::named(&annotated.path(), &value));
        }
    }
    let ports = spec.field("allocateLoadBalancerNodePorts");
    if ports.is_set() && !balanced {
        errors.forbidden(&ports, ONLY);
    }
    let class = spec.field("loadBalancerClass");
    if class.is_set() {
        if balanced {
            errors.name(&class, Names::Qualified);
        } else {
            errors.forbidden(&class, ONLY);
        }
    }
}

pub(super) fn traffic_rules(errors: &mut Errors, spec: &At, map: &Map) {
    let external = spec.field("externalTrafficPolicy");
    if externally_accessible(map) {
        errors.one_of(&external, &["Cluster", "Local"]);
    } else if !external.text().is_empty() {
        errors.invalid(
            &external,
            "may only be set for externally-accessible services",
        );
    }
    let health = spec.field("healthCheckNodePort");
    if needs_health_port(map) {
        if health.int().unwrap_or(0) == 0 {
            errors.required(&health, "");
        } else {
            errors.port(&health);
        }
    } else if health.int().unwrap_or(0) != 0 {
        errors.invalid(
            &health,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        );
    }
    let internal = spec.field("internalTrafficPolicy");
    if internal.is_set() {
        errors.one_of(&internal, &["Cluster", "Local"]);
    }
    let distribution = spec.field("trafficDistribution");
    if distribution.is_set() {
        errors.one_of_in_order(
            &distribution,
            &["PreferClose", "PreferSameZone", "PreferSameNode"],
        );
    }
}

pub(super) fn related_ips(errors: &mut Errors, spec: &At, known: &[Value]) {
    let (ip, ips, families) = (
        spec.field("clusterIP"),
        spec.field("clusterIPs"),
        spec.field("ipFamilies"),
    );
    if ip.text().is_empty() {
        if !ips.list().is_empty() {
            errors.invalid(&ips, "must be empty when `clusterIP` is not specified");
        }
    } else if ips.list().is_empty() {
        errors.required(&ips, "");
    } else if ips.list()[0] != *ip.value() {
        errors.invalid(&ips, "first value must match `clusterIP`");
    }
    let mut seen = BTreeSet::new();
    for family in families.items() {
        errors.one_of(&family, &["IPv4", "IPv6"]);
        if !seen.insert(family.text().to_owned()) {
            errors.duplicate(&family);
        }
    }
    let policy = spec.field("ipFamilyPolicy");
    if policy.is_set() {
        errors.one_of(
            &policy,
            &["PreferDualStack", "RequireDualStack", "SingleStack"],
        );
    }
    let mut wrong = false;
    for (index, ip) in ips.items().enumerate() {
        if index == 0 && ip.text() == "None" {
            if ips.list().len() > 1 {
                wrong = true;
                errors.invalid(&ips, "'None' must be the first and only value");
            }
        } else if !known.contains(ip.value()) {
            wrong |= !addresses::ip(errors, &ip);
        }
    }
    if ips.list().len() > 2 {
        errors.invalid(&ips, "may only hold up to 2 values");
    }
    if wrong {
        return;
    }
    let is_v6 = |ip: &Value| {
        addresses::parse(ip.as_str().unwrap_or_default()).is_some_and(|ip| ip.is_ipv6())
    };
    if ips.list().len() > 1 && is_v6(&ips.list()[0]) == is_v6(&ips.list()[1]) {
        errors.invalid(&ips, "may specify no more than one IP for each IP family");
    }
    if ips.list().first().is_some_and(|ip| *ip == "None") {
        return;
    }
    for (index, (ip, family)) in ips.items().zip(families.list()).enumerate() {
        let family = family.as_str().unwrap_or_default();
        if (family == "IPv4" && is_v6(ip.value())) || (family == "IPv6" && !is_v6(ip.value())) {
            errors.invalid(
                &ip,
                &format!("expected an {family} value as indicated by `ipFamilies[{index}]`"),
            );
        }
    }
}

pub(super) fn fixed_ips(errors: &mut Errors, spec: &At, old: &Value) {
    let headless = |spec: &Value| spec.as_object().is_some_and(is_headless);
    let external = |spec: &Value| spec.str_at(&["type"]) == "ExternalName";
    if external(spec.value()) || external(old) {
        return;
    }
    let (now, before) = (headless(spec.value()), headless(old));
    for (name, unset, release) in [
        (
            "clusterIPs",
            "primary clusterIP can not be unset",
            "secondary clusterIP",
        ),
        (
            "ipFamilies",
            "primary ipFamily can not be unset",
            "secondary ipFamily",
        ),
    ] {
        let is_ips = name == "clusterIPs";
        if (is_ips && now && before) || (!is_ips && (now || now != before)) {
            continue;
        }
        let (new, stored) = (spec.field(name), old.array_at(&[name]));
        let first = |errors: &mut Errors, index: usize, why: &str| {
            errors.push(Cause::invalid(
                format!("spec.{name}[{index}]"),
                new.value(),
                why,
            ));
        };
        let list = new.list();
        if list.len() == stored.len() {
            for (index, _) in list
                .iter()
                .zip(stored)
                .enumerate()
                .filter(|(_, (new, old))| new != old)
            {
                first(
                    errors,
                    if is_ips { index } else { 0 },
                    "may not change once set",
                );
            }
            continue;
        }
        if stored.len() > list.len() && list.is_empty() {
            first(errors, 0, unset);
        }
        if !stored.is_empty() && !list.is_empty() && list[0] != stored[0] {
            first(errors, 0, "may not change once set");
        }
        let policy = spec.field("ipFamilyPolicy");
        if stored.len() > list.len() && list.len() == 1 && policy.text() != "SingleStack" {
            errors.invalid(
                &policy,
                &format!("must be set to 'SingleStack' when releasing the {release}"),
            );
        }
    }
}

pub(super) fn fixed_class(errors: &mut Errors, spec: &At, old: &Value) {
    let balanced = |spec: &Value| spec.str_at(&["type"]) == "LoadBalancer";
    let class = spec.field("loadBalancerClass");
    if balanced(old) && balanced(spec.value()) && class.value() != &old["loadBalancerClass"] {
        errors.invalid(&class, "may not change once set");
    }
    let health = spec.field("healthCheckNodePort");
    let local = |spec: &Value| spec.as_object().is_some_and(needs_health_port);
    if local(old) && local(spec.value()) && health.value() != &old["healthCheckNodePort"] {
        errors.forbidden(&health, IMMUTABLE);
    }
}

/// `status.loadBalancer` of a Service.
pub(super) fn load_balancer(errors: &mut Errors, at: &At, kind: &str, used: &[Value]) {
    let ingresses = at.field("ingress");
    if kind != "LoadBalancer" && !ingresses.list().is_empty() {
        errors.forbidden(
            &ingresses,
            "may only be used when `spec.type` is 'LoadBalancer'",
        );
        return;
    }
    for ingress in ingresses.items() {
        let (ip, mode, host) = (
            ingress.field("ip"),
            ingress.field("ipMode"),
            ingress.field("hostname"),
        );
        if !ip.text().is_empty() && !used.iter().any(|old| old["ip"] == *ip.value()) {
            addresses::ip(errors, &ip);
        }
        match (mode.is_set(), ip.text().is_empty()) {
            (false, false) => errors.required(&mode, "must be specified when `ip` is set"),
            (true, true) => errors.forbidden(&mode, "may not be specified when `ip` is not set"),
            (true, false) => errors.one_of(&mode, &["Proxy", "VIP"]),
            (false, true) => {}
        }
        if !host.text().is_empty() {
            errors.name(&host, Names::Subdomain);
            if addresses::parse(host.text()).is_some() {
                errors.invalid(&host, "must be a DNS name, not an IP address");
            }
        }
    }
}
