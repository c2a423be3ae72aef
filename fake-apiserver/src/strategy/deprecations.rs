//! Warnings about objects that are valid but odd or out of date, of all kinds but Pods and what has a Pod template.
//!
//! Owns the texts (D11). Does not own when they are sent: on creations and updates that are accepted (`server`).
//! Source: `pkg/api/{service,persistentvolume,persistentvolumeclaim,node,storage}`, apimachinery `pkg/util/validation/ip.go`.

use std::net::IpAddr;

use crate::json::Value;
use crate::status::go_quote;

use super::addresses;
use super::field::At;
use super::names::Names;
use super::quantity::Quantity;

const STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// What there is to say about a label of nodes, nothing if it is up to date.
pub fn node_label(key: &str) -> Option<&'static str> {
    Some(match key {
        "beta.kubernetes.io/arch" => "deprecated since v1.14; use \"kubernetes.io/arch\" instead",
        "beta.kubernetes.io/os" => "deprecated since v1.14; use \"kubernetes.io/os\" instead",
        "failure-domain.beta.kubernetes.io/region" => {
            "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"
        }
        "failure-domain.beta.kubernetes.io/zone" => {
            "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"
        }
        "beta.kubernetes.io/instance-type" => {
            "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"
        }
        "app.kubernetes.io/created-by" => "deprecated since v1.9",
        "scheduler.alpha.kubernetes.io/preferAvoidPods" => {
            "deprecated since v1.22; use Taints and Tolerations instead"
        }
        "node-role.kubernetes.io/master" => "use \"node-role.kubernetes.io/control-plane\" instead",
        _ => return None,
    })
}

/// A term of a node selector; its values are looked at where validation has not.
pub fn node_selector_term(out: &mut Vec<String>, term: &At, with_values: bool) {
    for expression in term.field("matchExpressions").items() {
        let key = expression.field("key");
        if let Some(text) = node_label(key.text()) {
            out.push(format!("{}: {} is {text}", key.path(), key.text()));
        }
        if !with_values {
            continue;
        }
        for value in expression.field("values").items() {
            for message in Names::LabelValue.check(value.text()) {
                out.push(format!(
                    "{}: {} is invalid, {message}",
                    value.path(),
                    value.text()
                ));
            }
        }
    }
}

/// An address that is spelled in an odd way.
pub fn address(out: &mut Vec<String>, at: &At) {
    let Some(parsed) = addresses::parse(at.text()) else {
        return;
    };
    let strict = at.text().parse::<IpAddr>();
    let mapped = matches!(strict, Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some());
    if strict.is_err() || mapped {
        out.push(format!(
            "{}: non-standard IP address {} will be considered invalid in a future Kubernetes release: use {}",
            at.path(),
            go_quote(at.text()),
            go_quote(&parsed.to_string())
        ));
    } else if parsed.is_ipv6() && parsed.to_string() != at.text() {
        out.push(format!(
            "{}: IPv6 address {} should be in RFC 5952 canonical format ({})",
            at.path(),
            go_quote(at.text()),
            go_quote(&parsed.to_string())
        ));
    }
}

/// A block of addresses whose address is more than its prefix says.
pub fn block(out: &mut Vec<String>, at: &At) {
    let Some((address, length)) = addresses::parse_block(at.text().trim()) else {
        return;
    };
    let network = addresses::network(address, length);
    if network != address {
        let full = if address.is_ipv4() { 32 } else { 128 };
        out.push(format!(
            "{}: CIDR value {} is ambiguous in this context (should be {} or {}?)",
            at.path(),
            go_quote(at.text()),
            go_quote(&format!("{network}/{length}")),
            go_quote(&format!("{address}/{full}"))
        ));
    }
}

/// Services.
pub fn service(out: &mut Vec<String>, service: &Value) {
    let annotations = &service["metadata"]["annotations"];
    if !annotations["service.kubernetes.io/topology-aware-hints"].is_null() {
        out.push("annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead".to_owned());
    }
    let spec = At::root(service);
    let spec = spec.field("spec");
    let kind = spec.field("type").text();
    let own_ips = spec.field("clusterIPs");
    for ip in own_ips.items().filter(|ip| ip.text() != "None") {
        address(out, &ip);
    }
    let headless = kind == "ClusterIP" && spec.field("clusterIP").text() == "None";
    let external = spec.field("externalIPs");
    let is_used = !external.list().is_empty();
    let balancer = spec.field("loadBalancerIP");
    if headless {
        for (name, ignored) in [
            ("loadBalancerIP", !balancer.text().is_empty()),
            ("externalIPs", is_used),
            (
                "SessionAffinity",
                spec.field("sessionAffinity").text() != "None",
            ),
        ] {
            if ignored {
                out.push(format!("spec.{name} is ignored for headless services"));
            }
        }
    }
    for ip in external.items() {
        address(out, &ip);
    }
    if is_used && !headless && kind != "ExternalName" {
        out.push(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
                .to_owned(),
        );
    }
    address(out, &balancer);
    for range in spec.field("loadBalancerSourceRanges").items() {
        block(out, &range);
    }
    if kind == "ExternalName" && is_used {
        out.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind != "ExternalName" && !spec.field("externalName").text().is_empty() {
        out.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.field("trafficDistribution").text() == "PreferClose" {
        out.push(
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""
                .to_owned(),
        );
    }
}

/// NetworkPolicies.
pub fn network_policy(out: &mut Vec<String>, policy: &Value) {
    let spec = At::root(policy);
    let spec = spec.field("spec");
    for (list, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.field(list).items() {
            for peer in rule.field(peers).items() {
                let range = peer.field("ipBlock");
                block(out, &range.field("cidr"));
                for hole in range.field("except").items() {
                    block(out, &hole);
                }
            }
        }
    }
}

/// PersistentVolumes. `sources` are the volume types that are out of date: field, name shown, what is said.
pub fn volume(out: &mut Vec<String>, volume: &Value, sources: &[(&str, &str, &str)]) {
    let annotations = &volume["metadata"]["annotations"];
    for (key, since, field) in [
        (STORAGE_CLASS, "v1.8", "storageClassName"),
        (
            "volume.beta.kubernetes.io/mount-options",
            "v1.31",
            "mountOptions",
        ),
    ] {
        if !annotations[key].is_null() {
            out.push(format!(
                "metadata.annotations[{key}]: deprecated since {since}; use \"{field}\" attribute instead"
            ));
        }
    }
    let root = At::root(volume);
    let spec = root.field("spec");
    if spec.field("persistentVolumeReclaimPolicy").text() == "Recycle" {
        out.push("spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.".to_owned());
    }
    let affinity = spec.field("nodeAffinity");
    let required = affinity.field("required");
    for term in required.field("nodeSelectorTerms").items() {
        node_selector_term(out, &term, true);
    }
    for (name, shown, text) in sources {
        if spec.field(name).is_set() {
            out.push(format!("spec.{shown}: {text}"));
            return;
        }
    }
}

/// PersistentVolumeClaims.
pub fn claim(out: &mut Vec<String>, claim: &Value) {
    if !claim["metadata"]["annotations"][STORAGE_CLASS].is_null() {
        out.push(format!("metadata.annotations[{STORAGE_CLASS}]: deprecated since v1.8; use \"storageClassName\" attribute instead"));
    }
    claim_spec(out, "spec", &claim["spec"]);
}

/// The spec of a claim, also inside other objects.
pub fn claim_spec(out: &mut Vec<String>, path: &str, spec: &Value) {
    for kind in ["requests", "limits"] {
        let text = spec.str_at(&["resources", kind, "storage"]);
        if Quantity::parse(text).is_ok_and(|amount| amount.whole().is_none()) {
            out.push(format!(
                "{path}.resources.{kind}[storage]: fractional byte value {} is invalid, must be an integer",
                go_quote(text)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn d11_headless_services_ignore_fields() {
        let mut out = Vec::new();
        let spec = json!({"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"], "sessionAffinity": "ClientIP", "externalIPs": ["010.1.1.1"]});
        service(&mut out, &json!({"spec": (spec)}));
        assert_eq!(
            out,
            [
                "spec.externalIPs is ignored for headless services",
                "spec.SessionAffinity is ignored for headless services",
                "spec.externalIPs[0]: non-standard IP address \"010.1.1.1\" will be considered invalid in a future Kubernetes release: use \"10.1.1.1\"",
            ]
        );
    }

    #[test]
    fn d11_blocks_with_bits_after_the_prefix_are_ambiguous() {
        let mut out = Vec::new();
        for text in ["10.0.0.1/8", "10.0.0.0/8", "fd00::1/64"] {
            block(&mut out, &At::named("cidr", &text.into()));
        }
        assert_eq!(
            out,
            [
                "cidr: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)",
                "cidr: CIDR value \"fd00::1/64\" is ambiguous in this context (should be \"fd00::/64\" or \"fd00::1/128\"?)",
            ]
        );
    }

    #[test]
    fn d11_volumes_that_are_recycled() {
        let mut out = Vec::new();
        let spec = json!({"persistentVolumeReclaimPolicy": "Recycle", "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "beta.kubernetes.io/os", "operator": "In", "values": ["a"]}]}]}}});
        volume(&mut out, &json!({"spec": (spec)}), &[]);
        assert_eq!(
            out,
            [
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
                "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; use \"kubernetes.io/os\" instead",
            ]
        );
    }
}
