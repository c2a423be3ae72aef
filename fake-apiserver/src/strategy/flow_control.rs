//! FlowSchemas and PriorityLevelConfigurations. Nothing is throttled by them.
//!
//! Owns their defaults and validation. Simplification: the mandatory objects may be changed, and no controller writes the
//! `Dangling` condition.
//! Source: `pkg/apis/flowcontrol/{v1/defaults.go,validation}`.

use crate::json::{Map, Value};
use crate::registry::Resource;
use crate::status::{Cause, Status};

use super::field::{At, Errors};
use super::names::Names;
use super::pods::absent;
use super::{Cx, Strategy, keep_status_or_all};

const VERBS: [&str; 9] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "proxy",
    "update",
    "watch",
];

fn or_default(map: &mut Map, key: &str, value: i64) {
    if map.get(key).and_then(Value::as_i64).unwrap_or(0) == 0 {
        map.insert(key, value);
    }
}

/// FlowSchemas.
pub struct FlowSchemas;

impl Strategy for FlowSchemas {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        or_default(
            object.make_object().object("spec"),
            "matchingPrecedence",
            1000,
        );
    }

    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        keep_status_or_all(cx, new, old);
        Ok(())
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        let spec = root.field("spec");
        let precedence = spec.field("matchingPrecedence");
        match precedence.int().unwrap_or(0) {
            low if low <= 0 => errors.invalid(&precedence, "must be a positive value"),
            1 if object.str_at(&["metadata", "name"]) != "exempt" => errors.invalid(
                &precedence,
                "only the schema named 'exempt' may have matchingPrecedence 1",
            ),
            high if high > 10_000 => {
                errors.invalid(&precedence, "must not be greater than 10000");
            }
            _ => {}
        }
        let method = spec.field("distinguisherMethod");
        if method.is_set() {
            errors.one_of(&method.field("type"), &["ByNamespace", "ByUser"]);
        }
        let level = spec.field("priorityLevelConfiguration");
        let level = level.field("name");
        match level.text() {
            "" => errors.required(&level, "must reference a priority level"),
            _ => errors.name(&level, Names::Subdomain),
        }
        for rule in spec.field("rules").items() {
            flow_rule(&mut errors, &rule);
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        validated_anew(self, cx, new, old)
    }
}

/// A change is held to what holds for a new object; a change of the status to nothing.
fn validated_anew(
    strategy: &dyn Strategy,
    cx: &mut Cx<'_>,
    new: &Value,
    old: &Value,
) -> Vec<Cause> {
    if cx.subresource == "status" {
        return Vec::new();
    }
    let mut errors = Errors::default();
    super::validate_metadata(&mut errors, cx, new, old);
    errors.causes.extend(strategy.validate_create(cx, new));
    errors.causes
}

fn flow_rule(errors: &mut Errors, at: &At) {
    let subjects = at.field("subjects");
    if subjects.list().is_empty() {
        errors.required(&subjects, "subjects must contain at least one value");
    }
    for subject in subjects.items() {
        flow_subject(errors, &subject);
    }
    let (resources, urls) = (at.field("resourceRules"), at.field("nonResourceRules"));
    if resources.list().is_empty() && urls.list().is_empty() {
        errors.required(
            at,
            "at least one of resourceRules and nonResourceRules has to be non-empty",
        );
    }
    for rule in resources.items() {
        verbs(errors, &rule.field("verbs"));
        for (name, what, others) in [
            ("apiGroups", "api group", "api groups"),
            ("resources", "resource", "resources"),
        ] {
            let list = rule.field(name);
            if list.list().is_empty() {
                errors.required(
                    &list,
                    &format!("resource rules must supply at least one {what}"),
                );
            }
            wildcard_alone(errors, &list, others);
        }
        let namespaces = rule.field("namespaces");
        if namespaces.list().is_empty() && !rule.field("clusterScope").flag() {
            errors.required(
                &namespaces,
                "resource rules that are not cluster scoped must supply at least one namespace",
            );
        } else if !wildcard_alone(errors, &namespaces, "namespaces") {
            for namespace in namespaces.items() {
                for message in Names::Label.check(namespace.text()) {
                    let intro = "each member of this list must be '*' or a DNS-1123 label; ";
                    errors.invalid(&namespace, &format!("{intro}{message}"));
                }
            }
        }
    }
    for rule in urls.items() {
        verbs(errors, &rule.field("verbs"));
        let paths = rule.field("nonResourceURLs");
        if paths.list().is_empty() {
            errors.required(&paths, "nonResourceURLs must contain at least one value");
        }
        wildcard_alone(errors, &paths, "non-resource URLs");
    }
}

fn verbs(errors: &mut Errors, at: &At) {
    if at.list().is_empty() {
        errors.required(at, "verbs must contain at least one value");
    } else if !wildcard_alone(errors, at, "verbs")
        && !at
            .list()
            .iter()
            .all(|verb| VERBS.contains(&verb.as_str().unwrap_or_default()))
    {
        errors.unsupported(at, &VERBS);
    }
}

// True if the list has a wildcard.
fn wildcard_alone(errors: &mut Errors, at: &At, others: &str) -> bool {
    let wild = at.list().iter().any(|item| *item == "*");
    if wild && at.list().len() > 1 {
        errors.invalid(
            at,
            &format!("if '*' is present, must not specify other {others}"),
        );
    }
    wild
}

fn flow_subject(errors: &mut Errors, at: &At) {
    let kinds = [
        ("ServiceAccount", "serviceAccount"),
        ("User", "user"),
        ("Group", "group"),
    ];
    let kind = at.field("kind");
    let Some((name, field)) = kinds.iter().find(|(name, _)| *name == kind.text()) else {
        errors.unsupported(&kind, &["Group", "ServiceAccount", "User"]);
        return;
    };
    let subject = at.field(field);
    if !subject.is_set() {
        errors.required(
            &subject,
            &format!("{field} is required when subject kind is '{name}'"),
        );
    } else {
        let given = subject.field("name");
        if given.text().is_empty() {
            errors.required(&given, "");
        }
        if *name == "ServiceAccount" {
            if !["", "*"].contains(&given.text()) {
                errors.name(&given, Names::Subdomain);
            }
            let namespace = subject.field("namespace");
            match namespace.text() {
                "" => errors.required(&namespace, "must specify namespace for service account"),
                _ => errors.name(&namespace, Names::Label),
            }
        }
    }
    for (other, field) in kinds.iter().filter(|(other, _)| other != name) {
        if at.field(field).is_set() {
            errors.forbidden(
                &at.field(field),
                &format!("{field} is forbidden when subject kind is not '{other}'"),
            );
        }
    }
}

/// PriorityLevelConfigurations.
pub struct PriorityLevels;

impl Strategy for PriorityLevels {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        let spec = object.make_object().object("spec");
        for (name, shares) in [("exempt", 0), ("limited", 30)] {
            if let Some(level) = spec.get_mut(name).and_then(Value::as_object_mut) {
                absent(level, "nominalConcurrencyShares", || shares.into());
                absent(level, "lendablePercent", || 0.into());
            }
        }
        let queuing = spec
            .get_mut("limited")
            .and_then(|limited| limited.at_mut(&["limitResponse", "queuing"]))
            .and_then(Value::as_object_mut);
        if let Some(queuing) = queuing {
            for (name, value) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
                or_default(queuing, name, value);
            }
        }
    }

    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        keep_status_or_all(cx, new, old);
        Ok(())
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        let spec = root.field("spec");
        let (kind, exempt, limited) = (
            spec.field("type"),
            spec.field("exempt"),
            spec.field("limited"),
        );
        let named_exempt = object.str_at(&["metadata", "name"]) == "exempt";
        if named_exempt != (kind.text() == "Exempt") {
            errors.invalid_as(
                &kind,
                kind.text(),
                "must be 'Exempt' if and only if `name` is 'exempt'",
            );
        }
        match kind.text() {
            "Exempt" => {
                if limited.is_set() {
                    errors.forbidden(&limited, "must be nil if the type is not Limited");
                }
                shares(&mut errors, &exempt);
            }
            "Limited" => {
                if exempt.is_set() {
                    errors.forbidden(&exempt, "must be nil if the type is Limited");
                }
                if limited.is_set() {
                    limits(&mut errors, &limited);
                } else {
                    errors.required(&limited, "must not be empty when type is Limited");
                }
            }
            _ => errors.unsupported(&kind, &["Exempt", "Limited"]),
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        validated_anew(self, cx, new, old)
    }
}

fn shares(errors: &mut Errors, at: &At) {
    let shares = at.field("nominalConcurrencyShares");
    if shares.int().is_some_and(|shares| shares < 0) {
        errors.invalid(&shares, "must be a non-negative integer");
    }
}

fn percent(errors: &mut Errors, at: &At) {
    if at.is_set() {
        errors.in_range(at, 0, 100);
    }
}

fn limits(errors: &mut Errors, at: &At) {
    shares(errors, at);
    let response = at.field("limitResponse");
    let (kind, queuing) = (response.field("type"), response.field("queuing"));
    match (kind.text(), queuing.is_set()) {
        ("Reject", true) => errors.forbidden(
            &queuing,
            "must be nil if limited.limitResponse.type is not Limited",
        ),
        ("Queue", false) => errors.required(
            &queuing,
            "must not be empty if limited.limitResponse.type is Limited",
        ),
        ("Queue", true) => queues(errors, &queuing),
        ("Reject", false) => {}
        _ => errors.unsupported(&kind, &["Queue", "Reject"]),
    }
    percent(errors, &at.field("lendablePercent"));
    let borrowing = at.field("borrowingLimitPercent");
    if borrowing.int().is_some_and(|percent| percent < 0) {
        errors.invalid(&borrowing, "if specified, must be a non-negative integer");
    }
}

fn queues(errors: &mut Errors, at: &At) {
    let [length, queues, hand] = ["queueLengthLimit", "queues", "handSize"].map(|name| {
        let number = at.field(name).int().unwrap_or(0);
        if number <= 0 {
            errors.invalid(&at.field(name), "must be positive");
        }
        number
    });
    let most = 10_000_000;
    if queues > most {
        errors.invalid(
            &at.field("queues"),
            &format!("must not be greater than {most}"),
        );
    }
    if length > 0 && hand > queues {
        errors.invalid(
            &at.field("handSize"),
            &format!("should not be greater than queues ({queues})"),
        );
    }
}
