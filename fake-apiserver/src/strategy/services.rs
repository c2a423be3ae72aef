//! Services: defaults (O10), cluster IPs and node ports, what a change of type keeps and drops, validation.
//!
//! The cluster has one IPv4 range, [`RANGE`]; addresses and ports in use are those of the stored Services, so there is no
//! allocator to get out of step. Simplification: addresses are drawn at random and looked up among all Services.
//! Source: `pkg/registry/core/service`, `validateService`, `pkg/apis/core/v1/defaults.go`.

use std::net::{IpAddr, Ipv4Addr};

use crate::json;
use crate::json::{CompactString, Map, Value};
use crate::registry::Resource;
use crate::status::{Cause, Status};

use super::field::{At, Errors};
use super::names::Names;
use super::pods::{absent, fill, items, port_or_name};
use super::{Cx, Strategy, addresses, metadata, restore};

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
        object.set(&["status"], json!({"loadBalancer": {}}));
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

fn first_ip(spec: &mut Map) {
    let ip = text(spec, "clusterIP").to_owned();
    if !ip.is_empty() && list(spec, "clusterIPs").is_empty() {
        spec.insert("clusterIPs", json!([ip]));
    }
}

// What was allocated and is not mentioned stays; node ports by the name of the port.
fn keep_allocated(spec: &mut Map, old: &Map) {
    if needs_ip(old) && needs_ip(spec) {
        if text(spec, "clusterIP").is_empty() && !text(old, "clusterIP").is_empty() {
            spec.insert("clusterIP", text(old, "clusterIP"));
        }
        if list(spec, "clusterIPs").is_empty() && !list(old, "clusterIPs").is_empty() {
            spec.insert(
                "clusterIPs",
                old.get("clusterIPs").cloned().unwrap_or_default(),
            );
        }
    }
    let numbers = |map: &Map| -> Vec<i64> {
        list(map, "ports")
            .iter()
            .filter_map(|port| port["nodePort"].as_i64())
            .filter(|n| *n != 0)
            .collect()
    };
    if needs_node_port(old) && needs_node_port(spec) {
        let (before, now) = (numbers(old), numbers(spec));
        for port in items(spec, "ports") {
            if port["nodePort"].as_i64().unwrap_or(0) != 0 {
                continue;
            }
            let same = list(old, "ports")
                .iter()
                .rev()
                .find(|old| old.str_at(&["name"]) == port.str_at(&["name"]));
            let number = same.and_then(|old| old["nodePort"].as_i64()).unwrap_or(0);
            if number != 0 && !(before.contains(&number) && now.contains(&number)) {
                port["nodePort"] = Value::Int(number);
            }
        }
    }
    if needs_health_port(old)
        && needs_health_port(spec)
        && spec
            .get("healthCheckNodePort")
            .and_then(Value::as_i64)
            .unwrap_or(0)
            == 0
    {
        spec.insert(
            "healthCheckNodePort",
            old.get("healthCheckNodePort").cloned().unwrap_or_default(),
        );
    }
}

// `clusterIP` and `clusterIPs[0]` are one; a client that knows only the first changes both.
fn sync_ips(spec: &mut Map, old: &Map) {
    let (ip, old_ip) = (text(spec, "clusterIP").to_owned(), text(old, "clusterIP"));
    let same_list = list(spec, "clusterIPs") == list(old, "clusterIPs");
    if list(old, "clusterIPs").len() > list(spec, "clusterIPs").len()
        && list(spec, "clusterIPs").is_empty()
        && ip == old_ip
    {
        spec.insert(
            "clusterIPs",
            old.get("clusterIPs").cloned().unwrap_or_default(),
        );
    }
    if ip == old_ip || !same_list {
        return;
    }
    if ip.is_empty() {
        spec.remove("clusterIPs");
    } else {
        spec.insert("clusterIPs", json!([ip]));
    }
}

// Fills in family and policy on a cluster of one IPv4 family.
fn families(spec: &mut Map, old: Option<&Map>) -> Result<(), Vec<Cause>> {
    if !needs_ip(spec) {
        return Ok(());
    }
    let headless_free = text(spec, "clusterIP") == "None" && no_selector(spec);
    if text(spec, "ipFamilyPolicy").is_empty() {
        let inherited = old
            .map(|old| text(old, "ipFamilyPolicy"))
            .filter(|policy| !policy.is_empty());
        let policy = inherited
            .unwrap_or(if headless_free {
                "RequireDualStack"
            } else {
                "SingleStack"
            })
            .to_owned();
        spec.insert("ipFamilyPolicy", policy);
    }
    let mut errors = Errors::default();
    let shown = Value::Object(spec.clone());
    let at = At::named("spec", &shown);
    let stored = old
        .map(|old| Value::Object(old.clone()))
        .unwrap_or_default();
    related_ips(&mut errors, &at, stored.array_at(&["clusterIPs"]));
    if !errors.is_empty() {
        return Err(errors.causes);
    }
    let policy_at = at.field("ipFamilyPolicy");
    let single = policy_at.text() == "SingleStack";
    if single {
        if let Some(old) = old {
            for key in ["clusterIPs", "ipFamilies"] {
                if list(spec, key).len() > 1 && list(spec, key) == list(old, key) {
                    let first = list(spec, key)[0].clone();
                    spec.insert(key, vec![first]);
                }
            }
        }
        for (key, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
            if list(spec, key).len() == 2 {
                errors.invalid(&policy_at, &format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"));
            }
        }
    }
    let mut known: Vec<Value> = list(spec, "ipFamilies").to_vec();
    let ips = at.field("clusterIPs");
    for (index, ip) in ips.items().enumerate() {
        if ip.text() == "None" {
            break;
        }
        if index >= known.len() {
            if addresses::parse(ip.text()).is_some_and(|ip| ip.is_ipv6()) {
                errors.invalid_as(&ip, ips.value(), "IPv6 is not configured on this cluster");
            } else {
                known.push("IPv4".into());
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors.causes);
    }
    if headless_free {
        if known.is_empty() {
            known.push("IPv4".into());
        }
        if known.len() < 2 && !single {
            let other = if known[0] == "IPv4" { "IPv6" } else { "IPv4" };
            known.push(other.into());
        }
        spec.insert("ipFamilies", known);
        return Ok(());
    }
    if policy_at.text() == "RequireDualStack" {
        errors.invalid(
            &policy_at,
            "this cluster is not configured for dual-stack services",
        );
    }
    let families = at.field("ipFamilies");
    for family in families.items().filter(|family| family.text() != "IPv4") {
        errors.invalid(&family, "not configured on this cluster");
    }
    if !errors.is_empty() {
        return Err(errors.causes);
    }
    if known.is_empty() {
        known.push("IPv4".into());
    }
    spec.insert("ipFamilies", known);
    Ok(())
}

fn in_range(ip: Ipv4Addr) -> bool {
    let mask = u32::MAX << (32 - RANGE.1);
    u32::from(ip) & mask == u32::from(RANGE.0) & mask
}

fn allocate(
    cx: &mut Cx<'_>,
    spec: &mut Map,
    old: Option<(&Map, &str)>,
    _name: &str,
) -> Result<(), Vec<Cause>> {
    let (stored, uid) = old.map_or((None, ""), |(map, uid)| (Some(map), uid));
    let others: Vec<_> = cx
        .store
        .objects(cx.resource.id)
        .map(|(_, object)| object.clone())
        .filter(|object| object.uid() != uid)
        .collect();
    let had_ip = stored.is_some_and(|old| needs_ip(old) && !list(old, "clusterIPs").is_empty());
    if needs_ip(spec)
        && !had_ip
        && list(spec, "clusterIPs")
            .first()
            .is_none_or(|ip| *ip != "None")
    {
        cluster_ip(cx, spec, |ip| {
            others
                .iter()
                .any(|object| object.value().str_at(&["spec", "clusterIP"]) == ip)
        })?;
    }
    let taken = |protocol: &str, number: i64| {
        others.iter().any(|object| {
            let service = object.value();
            let health = service.i64_at(&["spec", "healthCheckNodePort"]) == Some(number);
            health
                || service.array_at(&["spec", "ports"]).iter().any(|port| {
                    port["nodePort"].as_i64() == Some(number)
                        && port.str_at(&["protocol"]) == protocol
                })
        })
    };
    if needs_node_port(spec) {
        node_ports(cx, spec, stored, &taken)?;
    }
    if needs_health_port(spec)
        && spec
            .get("healthCheckNodePort")
            .and_then(Value::as_i64)
            .unwrap_or(0)
            == 0
    {
        let number = draw_port(cx, |number| taken("TCP", number));
        spec.insert("healthCheckNodePort", number);
    }
    Ok(())
}

fn cluster_ip(
    cx: &mut Cx<'_>,
    spec: &mut Map,
    taken: impl Fn(&str) -> bool,
) -> Result<(), Vec<Cause>> {
    let refuse = |spec: &Map, why: &str| {
        let shown = spec.get("clusterIPs").cloned().unwrap_or_default();
        vec![Cause::invalid("spec.clusterIPs", &shown, why)]
    };
    let wanted = text(spec, "clusterIP").to_owned();
    if !wanted.is_empty() {
        return match addresses::parse(&wanted) {
            Some(IpAddr::V4(ip)) if in_range(ip) => {
                if taken(&wanted) {
                    return Err(refuse(
                        spec,
                        &format!(
                            "failed to allocate IP {wanted}: provided IP is already allocated"
                        ),
                    ));
                }
                Ok(())
            }
            _ => Err(refuse(
                spec,
                &format!(
                    "failed to allocate IP {wanted}: the provided network does not match the current range"
                ),
            )),
        };
    }
    let size = 1_u64 << (32 - RANGE.1);
    // The first addresses are left to those who ask for them by name.
    for _ in 0..1000 {
        let ip =
            Ipv4Addr::from(u32::from(RANGE.0) + 16 + cx.ids.number(size - 17) as u32).to_string();
        if !taken(&ip) {
            spec.insert("clusterIPs", json!([(ip.as_str())]));
            spec.insert("clusterIP", ip);
            return Ok(());
        }
    }
    Err(refuse(spec, "failed to allocate IP: range is full"))
}

fn node_ports(
    cx: &mut Cx<'_>,
    spec: &mut Map,
    old: Option<&Map>,
    taken: &dyn Fn(&str, i64) -> bool,
) -> Result<(), Vec<Cause>> {
    let before: Vec<i64> = old.map_or(Vec::new(), |old| {
        if needs_node_port(old) {
            list(old, "ports")
                .iter()
                .filter_map(|port| port["nodePort"].as_i64())
                .collect()
        } else {
            Vec::new()
        }
    });
    let mut drawn: Vec<i64> = list(spec, "ports")
        .iter()
        .filter_map(|port| port["nodePort"].as_i64())
        .filter(|n| *n != 0)
        .collect();
    for (index, port) in items(spec, "ports").enumerate() {
        let protocol = port.str_at(&["protocol"]).to_owned();
        let wanted = port["nodePort"].as_i64().unwrap_or(0);
        if wanted == 0 {
            let number = draw_port(cx, |number| {
                taken(&protocol, number) || drawn.contains(&number)
            });
            drawn.push(number);
            port["nodePort"] = Value::Int(number);
        } else if !before.contains(&wanted) {
            let field = format!("spec.ports[{index}].nodePort");
            if !NODE_PORTS.contains(&wanted) {
                let why = "provided port is not in the valid range. The range of valid ports is 30000-32767";
                return Err(vec![Cause::invalid(field, &wanted.into(), why)]);
            }
            if taken(&protocol, wanted) {
                return Err(vec![Cause::invalid(
                    field,
                    &wanted.into(),
                    "provided port is already allocated",
                )]);
            }
        }
    }
    Ok(())
}

fn draw_port(cx: &mut Cx<'_>, taken: impl Fn(i64) -> bool) -> i64 {
    let first = NODE_PORTS.start()
        + cx.ids
            .number((NODE_PORTS.end() - NODE_PORTS.start() + 1) as u64) as i64;
    let all = (first..=*NODE_PORTS.end()).chain(*NODE_PORTS.start()..first);
    all.into_iter().find(|number| !taken(*number)).unwrap_or(0)
}

fn drop_on_external_name(spec: &mut Map) {
    if !needs_ip(spec) {
        spec.remove("internalTrafficPolicy");
    }
}

// What belonged to the old type and was only carried along goes.
fn drop_by_type(spec: &mut Map, old: &Map) {
    if needs_ip(old) && !needs_ip(spec) {
        if text(spec, "clusterIP") == text(old, "clusterIP")
            && list(spec, "clusterIPs") == list(old, "clusterIPs")
        {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        for key in ["ipFamilies", "ipFamilyPolicy"] {
            if spec.get(key) == old.get(key) {
                spec.remove(key);
            }
        }
    }
    let wants_port = |map: &Map| matches!(text(map, "type"), "NodePort" | "LoadBalancer");
    if wants_port(old) && !wants_port(spec) {
        let before: Vec<i64> = list(old, "ports")
            .iter()
            .filter_map(|port| port["nodePort"].as_i64())
            .collect();
        let carried = list(spec, "ports")
            .iter()
            .filter_map(|port| port["nodePort"].as_i64())
            .all(|number| number == 0 || before.contains(&number));
        if carried {
            for port in items(spec, "ports") {
                port.make_object().remove("nodePort");
            }
        }
    }
    let number = |map: &Map| {
        map.get("healthCheckNodePort")
            .and_then(Value::as_i64)
            .unwrap_or(0)
    };
    if needs_health_port(old) && !needs_health_port(spec) && number(spec) == number(old) {
        spec.remove("healthCheckNodePort");
    }
    let balanced = |map: &Map| text(map, "type") == "LoadBalancer";
    if balanced(old) && !balanced(spec) {
        for key in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if spec.get(key) == old.get(key) {
                spec.remove(key);
            }
        }
    }
    if externally_accessible(old)
        && !externally_accessible(spec)
        && text(spec, "externalTrafficPolicy") == text(old, "externalTrafficPolicy")
    {
        spec.remove("externalTrafficPolicy");
    }
}

fn service(errors: &mut Errors, root: &At, old: &Value) {
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

fn service_ports(errors: &mut Errors, ports: &At) {
    let mut names: Vec<&str> = Vec::new();
    for port in ports.items() {
        let name = port.field("name");
        if !name.text().is_empty() {
            errors.name(&name, Names::Label);
            if names.contains(&name.text()) {
                errors.duplicate(&name);
            } else {
                names.push(name.text());
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

fn node_port_rules(errors: &mut Errors, ports: &At, kind: &str) {
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
    let mut node_ports: Vec<(&str, i64)> = Vec::new();
    for port in ports.items() {
        let number = port.field("nodePort");
        let key = (port.field("protocol").text(), number.int().unwrap_or(0));
        if key.1 != 0 {
            if node_ports.contains(&key) {
                errors.duplicate(&number);
            }
            node_ports.push(key);
        }
    }
    let mut numbers: Vec<(&str, i64)> = Vec::new();
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
        numbers.push(key);
    }
}

fn balancer_rules(errors: &mut Errors, root: &At, spec: &At, old: &Value) {
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

fn traffic_rules(errors: &mut Errors, spec: &At, map: &Map) {
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

fn related_ips(errors: &mut Errors, spec: &At, known: &[Value]) {
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
    for (index, family) in families.items().enumerate() {
        errors.one_of(&family, &["IPv4", "IPv6"]);
        if families.list()[..index].contains(family.value()) {
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

fn fixed_ips(errors: &mut Errors, spec: &At, old: &Value) {
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

fn fixed_class(errors: &mut Errors, spec: &At, old: &Value) {
    let balanced = |spec: &Value| spec.str_at(&["type"]) == "LoadBalancer";
    let class = spec.field("loadBalancerClass");
    if balanced(old) && balanced(spec.value()) && class.value() != &old["loadBalancerClass"] {
        errors.invalid(&class, "may not change once set");
    }
    let health = spec.field("healthCheckNodePort");
    let local = |spec: &Value| spec.as_object().is_some_and(needs_health_port);
    if local(old) && local(spec.value()) && health.value() != &old["healthCheckNodePort"] {
        errors.forbidden(&health, super::field::IMMUTABLE);
    }
}

/// `status.loadBalancer` of a Service.
fn load_balancer(errors: &mut Errors, at: &At, kind: &str, used: &[Value]) {
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
