//! Events: one stored object in two shapes (core/v1 and events.k8s.io/v1), and what each demands (O2).
//!
//! Stored in the core shape. Source: `pkg/apis/core/validation/events.go`, `pkg/apis/events/v1/conversion.go`.

use crate::json::{CompactString, Value};
use crate::registry::Resource;
use crate::status::Cause;

use super::field::{At, Errors};
use super::names::Names;
use super::{Cx, Strategy};

// (events.k8s.io, core)
const RENAMED: &[(&str, &str)] = &[
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// Events of either group.
pub struct Events;

impl Strategy for Events {
    fn names(&self) -> Names {
        Names::PathSegment
    }

    fn validate_create(&self, cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let core = in_core_shape(cx.resource, object);
        let root = At::root(&core);
        event(&mut errors, &root, cx.resource);
        if is_new(cx.resource) {
            series(&mut errors, &root);
            if !root.field("eventTime").is_set() {
                errors.required(&root.field("eventTime"), "");
            }
            let kind = root.field("type");
            if !["Normal", "Warning"].contains(&kind.text()) {
                errors.invalid_as(&kind, "", &format!("has invalid value: {}", kind.text()));
            }
            for name in ["firstTimestamp", "lastTimestamp", "count"] {
                let at = root.field(name);
                if at.is_set() && at.int() != Some(0) {
                    errors.invalid_as(&at, "", "needs to be unset");
                }
            }
            let source = root.field("source");
            if !source.field("component").text().is_empty()
                || !source.field("host").text().is_empty()
            {
                errors.invalid_as(&source, "", "needs to be unset");
            }
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let (core, stored) = (
            in_core_shape(cx.resource, new),
            in_core_shape(cx.resource, old),
        );
        let root = At::root(&core);
        event(&mut errors, &root, cx.resource);
        if is_new(cx.resource) {
            if core["series"] != stored["series"] {
                series(&mut errors, &root);
            }
            for name in [
                "involvedObject",
                "reason",
                "message",
                "source",
                "firstTimestamp",
                "lastTimestamp",
                "count",
                "reason",
                "type",
                "eventTime",
                "action",
                "related",
            ] {
                errors.immutable(&root.field(name), &stored[name]);
            }
            let controller = At::named("reportingController", &core["reportingComponent"]);
            errors.immutable(&controller, &stored["reportingComponent"]);
            errors.immutable(
                &root.field("reportingInstance"),
                &stored["reportingInstance"],
            );
        }
        errors.causes
    }

    fn field(&self, resource: &Resource, object: &Value, name: &str) -> Option<CompactString> {
        let core = in_core_shape(resource, object);
        let regarded = if is_new(resource) {
            name.strip_prefix("regarding.")
        } else {
            name.strip_prefix("involvedObject.")
        };
        if let Some(part) = regarded {
            let known = [
                "kind",
                "namespace",
                "name",
                "uid",
                "apiVersion",
                "resourceVersion",
                "fieldPath",
            ];
            return known
                .contains(&part)
                .then(|| core.str_at(&["involvedObject", part]).into());
        }
        Some(match name {
            "reason" | "type" => core.str_at(&[name]).into(),
            "reportingComponent" if !is_new(resource) => core.str_at(&[name]).into(),
            "reportingController" if is_new(resource) => {
                core.str_at(&["reportingComponent"]).into()
            }
            "source" if !is_new(resource) => match core.str_at(&["source", "component"]) {
                "" => core.str_at(&["reportingComponent"]).into(),
                component => component.into(),
            },
            _ => return None,
        })
    }

    fn check_field(&self, resource: &Resource, name: &str) -> Result<(), String> {
        match name {
            "metadata.name" | "metadata.namespace" => Ok(()),
            _ if self.field(resource, &Value::Null, name).is_some() => Ok(()),
            _ => Err(format!("field label not supported: {name}")),
        }
    }

    fn convert(&self, object: &mut Value, to: &Resource) {
        let Some(map) = object.as_object_mut() else {
            return;
        };
        for (new, core) in RENAMED {
            let (from, to) = if is_new(to) {
                (*core, *new)
            } else {
                (*new, *core)
            };
            if let Some(value) = map.remove(from) {
                map.insert(to, value);
            }
        }
        if is_new(to) {
            for key in [
                "reportingController",
                "reportingInstance",
                "note",
                "reason",
                "action",
                "type",
            ] {
                if map.get(key).is_some_and(|value| *value == "") {
                    map.remove(key);
                }
            }
        } else {
            for key in ["reportingComponent", "reportingInstance"] {
                map.get_or_insert(key, "");
            }
            for key in ["firstTimestamp", "lastTimestamp", "eventTime"] {
                map.get_or_insert(key, Value::Null);
            }
            map.object("source");
        }
    }
}

fn is_new(resource: &Resource) -> bool {
    resource.group == "events.k8s.io"
}

fn in_core_shape(resource: &Resource, object: &Value) -> Value {
    let mut core = object.clone();
    if is_new(resource)
        && let Some(map) = core.as_object_mut()
    {
        for (new, old) in RENAMED {
            if let Some(value) = map.remove(new) {
                map.insert(*old, value);
            }
        }
    }
    core
}

fn series(errors: &mut Errors, root: &At) {
    let series = root.field("series");
    if !series.is_set() {
        return;
    }
    if series.field("count").int().unwrap_or(0) < 2 {
        errors.invalid_as(&series.field("count"), "", "should be at least 2");
    }
    if !series.field("lastObservedTime").is_set() {
        errors.required(&series.field("lastObservedTime"), "");
    }
}

fn event(errors: &mut Errors, root: &At, resource: &Resource) {
    let regarded = root.field("involvedObject");
    let namespace = regarded.field("namespace");
    let own = root.value().str_at(&["metadata", "namespace"]);
    let wrong = if !root.field("eventTime").is_set() {
        if namespace.text().is_empty() {
            !["", "default"].contains(&own)
        } else {
            own != namespace.text()
        }
    } else {
        namespace.text().is_empty() && !["default", "kube-system"].contains(&own)
    };
    if wrong {
        errors.invalid_as(
            &namespace,
            namespace.text(),
            "does not match event.namespace",
        );
    }
    if !root.field("eventTime").is_set() {
        return;
    }
    let name = if is_new(resource) {
        "reportingController"
    } else {
        "reportingComponent"
    };
    let controller = At::named(name, &root.value()["reportingComponent"]);
    if controller.text().is_empty() {
        errors.required(&controller, "");
    }
    errors.name_as(&controller, controller.text(), Names::Qualified);
    for (name, required, max) in [
        ("reportingInstance", true, 128),
        ("action", true, 128),
        ("reason", true, 128),
        ("message", false, 1024),
    ] {
        let at = root.field(name);
        if required && at.text().is_empty() {
            errors.required(&at, "");
        }
        if at.text().len() > max {
            errors.invalid_as(&at, "", &format!("can have at most {max} characters"));
        }
    }
}
