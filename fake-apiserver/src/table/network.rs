//! Cells of services, endpoints, ingresses, network policies.

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
            let ports = object.array_at(&["ports"]).iter();
            text(some(
                ports
                    .map(|port| port.get("port").map_or("*".to_string(), to_string))
                    .collect(),
                "<unset>",
            ))
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
                    let balanced = object
                        .array_at(&["status", "loadBalancer", "ingress"])
                        .iter()
                        .map(address);
                    let all: Vec<&str> = balanced.chain(own).filter(|a| !a.is_empty()).collect();
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
        "Class" => {
            let annotated =
                object.str_at(&["metadata", "annotations", "kubernetes.io/ingress.class"]);
            let class = object.str_at(&["spec", "ingressClassName"]);
            text(match (class, annotated) {
                ("", "") => "<none>",
                ("", annotated) => annotated,
                (class, _) => class,
            })
        }
        "Hosts" => {
            let hosts = object
                .array_at(&["spec", "rules"])
                .iter()
                .map(|r| r.str_at(&["host"]).to_string());
            let hosts: Vec<String> = hosts.filter(|host| !host.is_empty()).collect();
            text(some(hosts, "*"))
        }
        "Address" => {
            let addresses = object
                .array_at(&["status", "loadBalancer", "ingress"])
                .iter()
                .map(address);
            text(
                addresses
                    .filter(|a| !a.is_empty())
                    .collect::<Vec<_>>()
                    .join(","),
            )
        }
        "Ports" => text(if object.array_at(&["spec", "tls"]).is_empty() {
            "80"
        } else {
            "80, 443"
        }),
        _ => None,
    }
}

fn address(ingress: &Value) -> &str {
    match ingress.str_at(&["ip"]) {
        "" => ingress.str_at(&["hostname"]),
        ip => ip,
    }
}

fn endpoints(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in object.array_at(&["subsets"]) {
        let addresses = subset.array_at(&["addresses"]);
        if subset.array_at(&["ports"]).is_empty() {
            all.extend(addresses.iter().map(|a| a.str_at(&["ip"]).to_string()));
        }
        for port in subset.array_at(&["ports"]) {
            let number = port.i64_at(&["port"]).unwrap_or(0);
            all.extend(
                addresses
                    .iter()
                    .map(|a| format!("{}:{number}", a.str_at(&["ip"]))),
            );
        }
    }
    some(all, "<none>")
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
