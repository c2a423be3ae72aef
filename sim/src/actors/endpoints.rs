//! Endpoints and EndpointSlices of Services: the addresses of the Pods that a selector takes.
//!
//! Simplifications: one slice a Service, IPv4; no topology, no mirroring of hand-made Endpoints, no truncation at 1,000.
//! Source: kubernetes `pkg/controller/{endpoint,endpointslice}`.

use std::sync::Arc;

use fake_apiserver::json;
use fake_apiserver::json::Value;
use fake_apiserver::store::{Key, Object};
use fake_apiserver::time::Timestamp;

use super::objects::{is_over, is_ready, owned_by, selects};
use super::{Ask, Control, ENDPOINTS, Kind, PODS, SERVICES, SLICES, Seen, Step, When, template};

const SERVICE: &str = "kubernetes.io/service-name";

/// The endpoints of a cluster's Services.
pub(super) struct EndpointLists;

impl Control for EndpointLists {
    fn watches(&self) -> &'static [Kind] {
        &[SERVICES, PODS, ENDPOINTS, SLICES]
    }

    fn concerned(&self, seen: &Seen, of: Kind, object: &Object) -> Vec<Key> {
        let namespace = object.namespace();
        match of.plural {
            "endpoints" => vec![Key::new(namespace, object.name())],
            "endpointslices" => {
                let service = object.value().str_at(&["metadata", "labels", SERVICE]);
                vec![Key::new(namespace, service)]
            }
            _ => {
                let services = seen.in_namespace(SERVICES, namespace);
                let mine = services.filter(|service| takes(service, object));
                mine.map(|service| Key::new(namespace, service.name()))
                    .collect()
            }
        }
    }

    fn next(&mut self, seen: &Seen, key: &Key, _now: Timestamp) -> Option<Step> {
        let list = seen.get(ENDPOINTS, key);
        let Some(service) = seen.get(SERVICES, key) else {
            let list = list.filter(|list| !list.is_terminating())?;
            return Some(Step {
                what: format!("endpoints {} go with their service", list.name()),
                when: When::Soon,
                ask: Ask::delete(ENDPOINTS, list, None),
            });
        };
        let selector = service.value().at(&["spec", "selector"]);
        if service.is_terminating() || selector.is_none() {
            return None;
        }
        let pods = seen.in_namespace(PODS, service.namespace());
        let mut pods: Vec<&Arc<Object>> = pods
            .filter(|pod| takes(service, pod) && !is_over(pod.value()))
            .filter(|pod| !pod.value().str_at(&["status", "podIP"]).is_empty())
            .collect();
        pods.sort_by_key(|pod| pod.name().to_owned());
        slice(seen, service, &pods).or_else(|| endpoints(list, service, &pods))
    }
}

fn takes(service: &Object, pod: &Object) -> bool {
    let selector = service.value().at(&["spec", "selector"]);
    let Some(selector) =
        selector.filter(|selector| selector.as_object().is_some_and(|map| !map.is_empty()))
    else {
        return false;
    };
    let selector = json!({"matchLabels": selector.clone()});
    selects(Some(&selector), pod.value().at(&["metadata", "labels"]))
}

fn serves(service: &Object, pod: &Object) -> bool {
    let anyway =
        service.value().at(&["spec", "publishNotReadyAddresses"]) == Some(&Value::Bool(true));
    anyway || is_ready(pod.value()) && !pod.is_terminating()
}

/// The ports of a Service as its Pods have them.
fn ports(service: &Object, pod: Option<&Object>) -> Vec<Value> {
    let ports = service.value().array_at(&["spec", "ports"]).iter();
    let of_pod = |name: &str| -> Option<i64> {
        let containers = pod?.value().array_at(&["spec", "containers"]).iter();
        let mut ports = containers.flat_map(|container| container.array_at(&["ports"]));
        ports
            .find(|port| port.str_at(&["name"]) == name)?
            .i64_at(&["containerPort"])
    };
    let told = ports.filter_map(|port| {
        let target = port.get("targetPort").unwrap_or(&Value::Null);
        let number = match target.as_str() {
            Some(name) => of_pod(name)?,
            None => target.as_i64().or_else(|| port.i64_at(&["port"]))?,
        };
        let protocol = match port.str_at(&["protocol"]) {
            "" => "TCP",
            protocol => protocol,
        };
        Some(json!({"name": port.str_at(&["name"]), "port": number, "protocol": protocol}))
    });
    told.collect()
}

fn target(pod: &Object) -> Value {
    json!({"kind": "Pod", "name": pod.name(), "namespace": pod.namespace(), "uid": pod.uid()})
}

fn slice(seen: &Seen, service: &Object, pods: &[&Arc<Object>]) -> Option<Step> {
    let name = template::name(service.name(), 0);
    let endpoints = pods.iter().map(|pod| {
        let value = pod.value();
        json!({
            "addresses": [value.str_at(&["status", "podIP"])],
            "conditions": {
                "ready": serves(service, pod), "serving": is_ready(value), "terminating": pod.is_terminating(),
            },
            "nodeName": value.str_at(&["spec", "nodeName"]), "targetRef": target(pod),
        })
    });
    let endpoints: Vec<Value> = endpoints.collect();
    let ports = ports(service, pods.first().map(|pod| &***pod));
    let old = seen.get(SLICES, &Key::new(service.namespace(), &name));
    let mut value = match old {
        Some(old) => old.value().clone(),
        None => json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": name.as_str(), "namespace": service.namespace(),
                "generateName": format!("{}-", service.name()).as_str(),
                "labels": {
                    (SERVICE): service.name(),
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                },
                "ownerReferences": owned_by(SERVICES, service),
            },
            "addressType": "IPv4",
        }),
    };
    value.set(&["endpoints"], Value::Array(endpoints));
    value.set(&["ports"], Value::Array(ports));
    let what = |verb: &str| format!("endpointslice {name} {verb}");
    let (what, ask) = match old {
        None => (
            what("is created"),
            Ask::create(SLICES, service.namespace(), value),
        ),
        Some(old) if same(old.value(), &value, &["endpoints", "ports"]) => return None,
        Some(old) => (what("follows its pods"), Ask::update(SLICES, old, value)),
    };
    Some(Step {
        what,
        when: When::Soon,
        ask,
    })
}

/// Whether these fields are equal; an empty list is as none.
fn same(old: &Value, new: &Value, fields: &[&str]) -> bool {
    let equal = |field: &&str| old.array_at(&[*field]) == new.array_at(&[*field]);
    fields.iter().all(equal)
}

fn endpoints(old: Option<&Arc<Object>>, service: &Object, pods: &[&Arc<Object>]) -> Option<Step> {
    let addresses = |ready: bool| -> Vec<Value> {
        let fitting = pods
            .iter()
            .filter(|pod| !pod.is_terminating() && serves(service, pod) == ready);
        let told = fitting.map(|pod| {
            let value = pod.value();
            json!({
                "ip": value.str_at(&["status", "podIP"]),
                "nodeName": value.str_at(&["spec", "nodeName"]), "targetRef": target(pod),
            })
        });
        told.collect()
    };
    let mut subset = Value::object();
    for (field, list) in [
        ("addresses", addresses(true)),
        ("notReadyAddresses", addresses(false)),
    ] {
        if !list.is_empty() {
            subset.set(&[field], Value::Array(list));
        }
    }
    let mut subsets = Vec::new();
    if subset.as_object().is_some_and(|subset| !subset.is_empty()) {
        let ports = ports(service, pods.first().map(|pod| &***pod));
        subset.set(&["ports"], Value::Array(ports));
        subsets.push(subset);
    }
    let name = service.name();
    let (what, ask) = match old {
        None => {
            let value = json!({
                "apiVersion": "v1", "kind": "Endpoints",
                "metadata": {"name": name, "namespace": service.namespace()},
                "subsets": Value::Array(subsets),
            });
            (
                format!("endpoints {name} are created"),
                Ask::create(ENDPOINTS, service.namespace(), value),
            )
        }
        Some(old) => {
            let mut value = old.value().clone();
            value.set(&["subsets"], Value::Array(subsets));
            if same(old.value(), &value, &["subsets"]) {
                return None;
            }
            (
                format!("endpoints {name} follow their pods"),
                Ask::update(ENDPOINTS, old, value),
            )
        }
    };
    Some(Step {
        what,
        when: When::Soon,
        ask,
    })
}
