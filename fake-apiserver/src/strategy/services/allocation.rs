//! Cluster IPs, IP families and node ports of Services: what is drawn, kept, or given up when the type changes.
//!
//! Does not own validation. What is taken is found by looking at the stored Services.
//! Source: `pkg/registry/core/service/storage/{alloc,storage}.go`.

use std::net::{IpAddr, Ipv4Addr};

use crate::json;
use crate::json::{Map, Value};
use crate::status::Cause;

use super::super::field::{At, Errors};
use super::super::pods::items;
use super::super::{Cx, addresses};

use super::validation::related_ips;
use super::{
    NODE_PORTS, RANGE, externally_accessible, list, needs_health_port, needs_ip, needs_node_port,
    no_selector, text,
};

pub(super) fn first_ip(spec: &mut Map) {
    let ip = text(spec, "clusterIP").to_owned();
    if !ip.is_empty() && list(spec, "clusterIPs").is_empty() {
        spec.insert("clusterIPs", json!([ip]));
    }
}

// What was allocated and is not mentioned stays; node ports by the name of the port.
pub(super) fn keep_allocated(spec: &mut Map, old: &Map) {
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
pub(super) fn sync_ips(spec: &mut Map, old: &Map) {
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
pub(super) fn families(spec: &mut Map, old: Option<&Map>) -> Result<(), Vec<Cause>> {
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

pub(super) fn in_range(ip: Ipv4Addr) -> bool {
    let mask = u32::MAX << (32 - RANGE.1);
    u32::from(ip) & mask == u32::from(RANGE.0) & mask
}

pub(super) fn allocate(
    cx: &mut Cx<'_>,
    spec: &mut Map,
    old: Option<(&Map, &str)>,
    _name: &str,
) -> Result<(), Vec<Cause>> {
    let (stored, uid) = old.map_or((None, ""), |(map, uid)| (Some(map), uid));
    // Looked at only where something new is allocated.
    let (store, resource) = (cx.store, cx.resource.id);
    let others = || {
        let objects = store.objects(resource).map(|(_, object)| object);
        objects.filter(|object| object.uid() != uid)
    };
    let had_ip = stored.is_some_and(|old| needs_ip(old) && !list(old, "clusterIPs").is_empty());
    if needs_ip(spec)
        && !had_ip
        && list(spec, "clusterIPs")
            .first()
            .is_none_or(|ip| *ip != "None")
    {
        cluster_ip(cx, spec, |ip| {
            others().any(|object| object.value().str_at(&["spec", "clusterIP"]) == ip)
        })?;
    }
    let taken = |protocol: &str, number: i64| {
        others().any(|object| {
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

pub(super) fn cluster_ip(
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

pub(super) fn node_ports(
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

pub(super) fn draw_port(cx: &mut Cx<'_>, taken: impl Fn(i64) -> bool) -> i64 {
    let first = NODE_PORTS.start()
        + cx.ids
            .number((NODE_PORTS.end() - NODE_PORTS.start() + 1) as u64) as i64;
    let all = (first..=*NODE_PORTS.end()).chain(*NODE_PORTS.start()..first);
    all.into_iter().find(|number| !taken(*number)).unwrap_or(0)
}

pub(super) fn drop_on_external_name(spec: &mut Map) {
    if !needs_ip(spec) {
        spec.remove("internalTrafficPolicy");
    }
}

// What belonged to the old type and was only carried along goes.
pub(super) fn drop_by_type(spec: &mut Map, old: &Map) {
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
