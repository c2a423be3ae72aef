//! Cells of services, endpoints, ingresses, network policies.

use std::collections::BTreeSet;

use super::{labels, selector, text, text_or};
use crate::json::{Value, to_string};

/// How many ports, addresses or endpoints a cell writes out.
const SHOWN_MAX: usize = 3;

pub(super) fn cell(kind: &str, header: &str, object: &Value) -> Option<Value> {
    match (kind, header) {
        ("Service", _) => service(header, object),
        ("Endpoints", "Endpoints") => text(endpoints(object)),
        ("EndpointSlice", "AddressType") => text(object.str_at(&["addressType"])),
        ("EndpointSlice", "Ports") => {
            let ports = object.array_at(&["ports"]).iter().map(|port| {
                match (port.get("port"), port.get("name")) {
                    (Some(number), _) => to_string(number),
                    (None, Some(Value::String(name))) => name.to_string(),
                    (None, _) => "*".to_string(),
                }
            });
            text(match some(ports.collect(), "").as_str() {
                "" => "<unset>",
                shown => shown,
            })
        }
        ("EndpointSlice", "Endpoints") => {
            let addresses = object
                .array_at(&["endpoints"])
                .iter()
                .flat_map(|e| e.array_at(&["addresses"]));
            text(some(
                addresses
                    .filter_map(Value::as_str)
                    .map(String::from)
                    .collect(),
                "<unset>",
            ))
        }
        ("Ingress", _) => ingress(header, object),
        ("IngressClass", "Controller") => text(object.str_at(&["spec", "controller"])),
        ("IngressClass", "Parameters") => {
            let parameter = |field: &str| object.str_at(&["spec", "parameters", field]);
            match (parameter("kind"), parameter("apiGroup")) {
                ("", _) => text("<none>"),
                (kind, "") => text(format!("{kind}/{}", parameter("name"))),
                (kind, group) => text(format!("{kind}.{group}/{}", parameter("name"))),
            }
        }
        ("NetworkPolicy", "Pod-Selector") => text(selector(object, &["spec", "podSelector"])),
        ("ServiceCIDR", "CIDRs") => {
            let cidrs = object
                .array_at(&["spec", "cidrs"])
                .iter()
                .filter_map(Value::as_str);
            text(cidrs.collect::<Vec<_>>().join(","))
        }
        ("IPAddress", "ParentRef") => {
            let parent = |field: &str| object.str_at(&["spec", "parentRef", field]);
            let parts = [
                parent("group"),
                parent("resource"),
                parent("namespace"),
                parent("name"),
            ];
            let resource = match parts[0] {
                "" => parts[1].to_string(),
                group => format!("{}.{group}", parts[1]),
            };
            let rest = parts[2..].iter().filter(|part| !part.is_empty()).copied();
            text(
                std::iter::once(resource.as_str())
                    .chain(rest)
                    .collect::<Vec<_>>()
                    .join("/"),
            )
        }
        _ => None,
    }
}

fn service(header: &str, object: &Value) -> Option<Value> {
    let kind = object.str_at(&["spec", "type"]);
    match header {
        "Type" => text(kind),
        "Cluster-IP" => match object.array_at(&["spec", "clusterIPs"]).first() {
            Some(ip) => text(ip.as_str().unwrap_or("<none>")),
            None => text_or(object, &["spec", "clusterIP"], "<none>"),
        },
        "External-IP" => {
            let own = object
                .array_at(&["spec", "externalIPs"])
                .iter()
                .filter_map(Value::as_str);
            let own: Vec<&str> = own.collect();
            match kind {
                "ExternalName" => text(object.str_at(&["spec", "externalName"])),
                "LoadBalancer" => {
                    let mut all = balanced(object);
                    all.extend(own);
                    text(if all.is_empty() {
                        "<pending>".to_string()
                    } else {
                        all.join(",")
                    })
                }
                _ if own.is_empty() => text("<none>"),
                _ => text(own.join(",")),
            }
        }
        "Port(s)" => {
            let ports = object.array_at(&["spec", "ports"]).iter().map(|port| {
                let (number, protocol) = (
                    port.i64_at(&["port"]).unwrap_or(0),
                    port.str_at(&["protocol"]),
                );
                match port.i64_at(&["nodePort"]) {
                    Some(node) if node > 0 => format!("{number}:{node}/{protocol}"),
                    _ => format!("{number}/{protocol}"),
                }
            });
            let ports: Vec<String> = ports.collect();
            text(if ports.is_empty() {
                "<none>".to_string()
            } else {
                ports.join(",")
            })
        }
        "Selector" => text(labels(object, &["spec", "selector"])),
        _ => None,
    }
}

fn ingress(header: &str, object: &Value) -> Option<Value> {
    match header {
        "Class" => text_or(object, &["spec", "ingressClassName"], "<none>"),
        "Hosts" => text(hosts(object.array_at(&["spec", "rules"]))),
        "Address" => text(balanced(object).join(",")),
        "Ports" => text(if object.array_at(&["spec", "tls"]).is_empty() {
            "80"
        } else {
            "80, 443"
        }),
        _ => None,
    }
}

/// The addresses of a load balancer: sorted, each once.
fn balanced(object: &Value) -> Vec<&str> {
    let ingresses = object.array_at(&["status", "loadBalancer", "ingress"]);
    let addresses = ingresses
        .iter()
        .map(|ingress| match ingress.str_at(&["ip"]) {
            "" => ingress.str_at(&["hostname"]),
            ip => ip,
        })
        .filter(|address| !address.is_empty());
    addresses.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The first hosts; rules without one count among those left out.
fn hosts(rules: &[Value]) -> String {
    let mut shown: Vec<&str> = Vec::new();
    let mut more = false;
    for rule in rules {
        more |= shown.len() == SHOWN_MAX;
        let host = rule.str_at(&["host"]);
        if !more && !host.is_empty() {
            shown.push(host);
        }
    }
    match (shown.is_empty(), more) {
        (true, _) => "*".to_string(),
        (false, false) => shown.join(","),
        (false, true) => format!("{} + {} more...", shown.join(","), rules.len() - SHOWN_MAX),
    }
}

fn endpoints(object: &Value) -> String {
    let subsets = object.array_at(&["subsets"]);
    if subsets.is_empty() {
        return "<none>".to_string();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = subset.array_at(&["addresses"]);
        if subset.array_at(&["ports"]).is_empty() {
            all.extend(addresses.iter().map(|a| a.str_at(&["ip"]).to_string()));
        }
        for port in subset.array_at(&["ports"]) {
            let number = port.i64_at(&["port"]).unwrap_or(0);
            all.extend(addresses.iter().map(|a| match a.str_at(&["ip"]) {
                ip if ip.contains(':') => format!("[{ip}]:{number}"),
                ip => format!("{ip}:{number}"),
            }));
        }
    }
    some(all, "")
}

/// The first few of a list, and how many more there are.
fn some(all: Vec<String>, none: &str) -> String {
    if all.is_empty() {
        return none.to_string();
    }
    let shown = all[..all.len().min(SHOWN_MAX)].join(",");
    match all.len() - all.len().min(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn check(kind: &str, header: &str, object: Value, want: &str) {
        assert_eq!(cell(kind, header, &object), Some(Value::from(want)));
    }

    #[test]
    fn h13_addresses_are_sorted_and_hosts_counted_by_rules() {
        let balancer = json!({"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "a"}, {"ip": "2.2.2.2"}]}});
        check(
            "Ingress",
            "Address",
            json!({"status": balancer.clone()}),
            "2.2.2.2,a",
        );
        let service = json!({"spec": {"type": "LoadBalancer", "externalIPs": ["1.1.1.1"]}, "status": balancer});
        check("Service", "External-IP", service, "2.2.2.2,a,1.1.1.1");
        let rules = json!([{"host": "a"}, {"host": "b"}, {"host": "c"}, {}]);
        check(
            "Ingress",
            "Hosts",
            json!({"spec": {"rules": rules}}),
            "a,b,c + 1 more...",
        );
        let annotated =
            json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}, "spec": {}});
        check("Ingress", "Class", annotated, "<none>");
    }

    #[test]
    fn h13_endpoints_of_every_form() {
        let subsets = |address: &str| json!({"subsets": [{"addresses": [{"ip": address}], "ports": [{"port": 80}]}]});
        check("Endpoints", "Endpoints", subsets("::1"), "[::1]:80");
        check("Endpoints", "Endpoints", json!({"subsets": [{}]}), "");
        check("Endpoints", "Endpoints", json!({}), "<none>");
        check(
            "EndpointSlice",
            "Ports",
            json!({"ports": [{"name": "http"}]}),
            "http",
        );
        check(
            "EndpointSlice",
            "Ports",
            json!({"ports": [{"name": ""}]}),
            "<unset>",
        );
        check("EndpointSlice", "Ports", json!({"ports": [{}]}), "*");
    }
}
