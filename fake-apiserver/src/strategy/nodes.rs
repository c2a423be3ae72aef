//! Nodes and Namespaces.
//!
//! Owns the node's address blocks and taints, the namespace's label and finalizers (N1), both kinds' status rules.
//! Does not own the not-ready taint (admission) nor how a namespace ends (`actors`).
//! Source: `pkg/apis/core/validation`, `pkg/registry/core/{node,namespace}`.

use std::collections::BTreeSet;

use crate::json;
use crate::json::{CompactString, Value};
use crate::registry::Resource;
use crate::status::{Cause, Status};

use super::field::{At, Errors};
use super::names::Names;
use super::pods::{fill, resource_value};
use super::{Cx, Strategy, addresses, metadata, restore};

/// Nodes.
pub struct Nodes;

impl Strategy for Nodes {
    fn warnings(&self, out: &mut Vec<String>, new: &Value, _old: Option<&Value>) {
        let root = At::root(new);
        let spec = root.field("spec");
        if spec.field("configSource").is_set() {
            out.push(
                "spec.configSource: deprecated in v1.22, support removal is planned in v1.26"
                    .to_owned(),
            );
        }
        if !spec.field("externalID").text().is_empty() {
            out.push(
                "spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned(),
            );
        }
        for range in spec.field("podCIDRs").items() {
            super::deprecations::block(out, &range);
        }
    }

    fn default(&self, _resource: &Resource, object: &mut Value) {
        let map = object.make_object();
        let spec = map.object("spec");
        let first = spec
            .get("podCIDRs")
            .and_then(Value::as_array)
            .and_then(|blocks| blocks.first())
            .cloned();
        let single = spec
            .get("podCIDR")
            .filter(|block| !block.as_str().unwrap_or_default().is_empty())
            .cloned();
        match (single, first) {
            (Some(single), first) if first.as_ref() != Some(&single) => {
                drop(spec.insert("podCIDRs", vec![single]))
            }
            (None, Some(first)) => drop(spec.insert("podCIDR", first)),
            _ => {}
        }
        let status = map.object("status");
        if let (Some(capacity), true) = (
            status.get("capacity").cloned(),
            status.get("allocatable").is_none_or(Value::is_null),
        ) && capacity.as_object().is_some_and(|map| !map.is_empty())
        {
            status.insert("allocatable", capacity);
        }
    }

    fn prepare_create(&self, _cx: &mut Cx<'_>, _object: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        taints(&mut errors, &root);
        amounts(&mut errors, &root);
        let blocks = root.field("spec").value()["podCIDRs"].clone();
        let at = At::named("spec.podCIDRs", &blocks);
        for block in at.items() {
            addresses::block(&mut errors, &block);
        }
        let families: Vec<bool> = at
            .list()
            .iter()
            .filter_map(|b| addresses::parse_block(b.as_str()?))
            .map(|(ip, _)| ip.is_ipv4())
            .collect();
        if at.list().len() > 2 || (families.len() == 2 && families[0] == families[1]) {
            errors.invalid(&at, "may specify no more than one CIDR for each IP family");
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        // The main endpoint checks the new object and then the change, which repeats some of it.
        if cx.subresource.is_empty() {
            errors = self.validate_anew(cx, new, old);
        }
        update(&mut errors, new, old);
        let fixed = ["externalID", "configSource"];
        if fixed
            .iter()
            .any(|field| new["spec"][*field] != old["spec"][*field])
        {
            let nowhere = At::named("[]", &new["spec"]);
            errors.forbidden(
                &nowhere,
                "node updates may only change labels, taints, or capacity",
            );
        }
        errors.causes
    }

    fn field(&self, _resource: &Resource, object: &Value, name: &str) -> Option<CompactString> {
        (name == "spec.unschedulable").then(|| {
            let flag = object
                .at(&["spec", "unschedulable"])
                .and_then(Value::as_bool)
                == Some(true);
            if flag { "true".into() } else { "false".into() }
        })
    }

    fn check_field(&self, _resource: &Resource, name: &str) -> Result<(), String> {
        match name {
            "metadata.name" | "spec.unschedulable" => Ok(()),
            _ => Err(format!("field label not supported: {name}")),
        }
    }
}

fn update(errors: &mut Errors, new: &Value, old: &Value) {
    let root = At::root(new);
    amounts(errors, &root);
    let status = root.field("status");
    let addresses = status.field("addresses");
    let mut seen = BTreeSet::new();
    for address in addresses.items() {
        if !seen.insert(json::to_vec(address.value())) {
            let (kind, text) = (address.field("type"), address.field("address"));
            errors.push(Cause::new(
                "FieldValueDuplicate",
                address.path(),
                format!(
                    "Duplicate value: {{\"Type\":\"{}\",\"Address\":\"{}\"}}",
                    kind.text(),
                    text.text()
                ),
            ));
        }
    }
    let spec = root.field("spec");
    let stored = &old["spec"];
    let blocks = stored.array_at(&["podCIDRs"]);
    if !blocks.is_empty() && blocks != spec.field("podCIDRs").list() {
        errors.forbidden(
            &spec.field("podCIDRs"),
            "node updates may not change podCIDR except from \"\" to valid",
        );
    }
    let provider = stored.str_at(&["providerID"]);
    if !provider.is_empty() && provider != spec.field("providerID").text() {
        errors.forbidden(
            &spec.field("providerID"),
            "node updates may not change providerID except from \"\" to valid",
        );
    }
    taints(errors, &root);
}

fn amounts(errors: &mut Errors, root: &At) {
    let status = root.field("status");
    for name in ["capacity", "allocatable"] {
        let list = status.field(name);
        if let Some(map) = list.value().as_object() {
            for (resource, _) in map {
                resource_value(errors, &list.field(resource), resource);
            }
        }
    }
}

fn taints(errors: &mut Errors, root: &At) {
    let spec = root.field("spec");
    let meta = root.field("metadata");
    let at = meta.field_as("taints", spec.field("taints").value());
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for taint in at.items() {
        let (key, value, effect) = (
            taint.field("key"),
            taint.field("value"),
            taint.field("effect"),
        );
        errors.name_as(&key, key.text(), Names::Qualified);
        let wrong = Names::LabelValue.check(value.text());
        if !wrong.is_empty() {
            errors.invalid(&value, &wrong.join(";"));
        }
        if effect.text().is_empty() {
            errors.required(&effect, "");
        } else {
            errors.one_of_in_order(&effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        }
        let pair = (key.text(), effect.text());
        if seen.contains(&pair) {
            errors.push(Cause::new(
                "FieldValueDuplicate",
                taint.path(),
                format!(
                    "Duplicate value: {{\"Key\":\"{}\",\"Value\":\"{}\",\"Effect\":\"{}\",\"TimeAdded\":{}}}: taints must be unique by key and effect pair",
                    pair.0,
                    value.text(),
                    pair.1,
                    taint.value()["timeAdded"]
                ),
            ));
        }
        seen.insert(pair);
    }
}

const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Namespaces.
pub struct Namespaces;

impl Strategy for Namespaces {
    fn names(&self) -> Names {
        Names::Label
    }

    fn default(&self, _resource: &Resource, object: &mut Value) {
        let name = object.str_at(&["metadata", "name"]).to_owned();
        let map = object.make_object();
        if !name.is_empty() {
            map.object("metadata")
                .object("labels")
                .insert(NAME_LABEL, name);
        }
        fill(map.object("status"), "phase", "Active");
    }

    fn prepare_create(&self, _cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
        object.set(&["status"], json!({"phase": "Active"}));
        let name = object.str_at(&["metadata", "name"]).to_owned();
        object.set(&["metadata", "labels", NAME_LABEL], name);
        let mut finalizers = object.array_at(&["spec", "finalizers"]).to_vec();
        if !finalizers.iter().any(|finalizer| finalizer == "kubernetes") {
            finalizers.push("kubernetes".into());
        }
        object.set(&["spec", "finalizers"], finalizers);
        Ok(())
    }

    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        match cx.subresource {
            "finalize" => restore(new, old, "status"),
            "status" => restore(new, old, "spec"),
            _ => {
                restore(new, old, "spec");
                restore(new, old, "status");
            }
        }
        Ok(())
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let finalizers = object["spec"]["finalizers"].clone();
        let at = At::named("spec.finalizers", &finalizers);
        for finalizer in at.list() {
            errors.name_as(
                &at,
                finalizer.as_str().unwrap_or_default(),
                Names::Qualified,
            );
            metadata::standard_finalizer(&mut errors, &At::named("spec.finalizers", finalizer));
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, _old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        match cx.subresource {
            "finalize" => {
                let spec = root.field("spec");
                for finalizer in spec.field("finalizers").items() {
                    errors.name(&finalizer, Names::Qualified);
                    metadata::standard_finalizer(&mut errors, &finalizer);
                }
            }
            "status" => {
                let phase = root.field("status").value()["phase"].clone();
                let at = At::named("status.Phase", &phase);
                let terminating = !new["metadata"]["deletionTimestamp"].is_null();
                let (want, when) = if terminating {
                    ("Terminating", "is not empty")
                } else {
                    ("Active", "is empty")
                };
                if at.text() != want {
                    errors.invalid(
                        &at,
                        &format!("may only be '{want}' if `deletionTimestamp` {when}"),
                    );
                }
            }
            _ => {}
        }
        errors.causes
    }

    fn field(&self, _resource: &Resource, object: &Value, name: &str) -> Option<CompactString> {
        match name {
            "status.phase" => Some(object.str_at(&["status", "phase"]).into()),
            _ => None,
        }
    }

    fn check_field(&self, _resource: &Resource, name: &str) -> Result<(), String> {
        match name {
            "metadata.name" | "status.phase" => Ok(()),
            _ => Err(format!("field label not supported: {name}")),
        }
    }
}
