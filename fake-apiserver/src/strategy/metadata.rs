//! Checks of `metadata` that hold for every kind, and of labels, annotations and selectors wherever they stand.
//!
//! Owns the rules C8, C9, C11–C13 and their wording. Does not own what the server fills in or restores before validation.
//! Custom resources use the same checks.
//! Simplification: several wrong keys of one map are reported in key order (the real server draws the order, B3).
//! Source: apimachinery `pkg/api/validation/objectmeta.go`, `meta/v1/validation`; `pkg/apis/core/validation`.

use std::collections::BTreeSet;

use crate::json::Value;
use crate::request::selector::LabelSelector;
use crate::status::{Cause, go_quote};

use super::field::{At, Errors, IMMUTABLE};
use super::names::Names;

const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;

/// The metadata of a new object. `built_in` adds what only built-in kinds demand of finalizers.
pub fn validate(
    errors: &mut Errors,
    metadata: &At,
    namespaced: bool,
    names: Names,
    built_in: bool,
) {
    let generate_name = metadata.field("generateName");
    if !generate_name.text().is_empty() {
        for message in names.check_prefix(generate_name.text()) {
            errors.invalid(&generate_name, &message);
        }
    }
    let name = metadata.field("name");
    if name.text().is_empty() {
        errors.required(&name, "name or generateName is required");
    } else {
        errors.name(&name, names);
    }
    let namespace = metadata.field("namespace");
    match (namespaced, namespace.text().is_empty()) {
        (true, true) => errors.required(&namespace, ""),
        (true, false) => errors.name(&namespace, Names::Label),
        (false, true) => {}
        (false, false) => errors.forbidden(&namespace, "not allowed on this type"),
    }
    errors.non_negative(&metadata.field("generation"));
    labels(errors, &metadata.field("labels"));
    annotations(errors, &metadata.field("annotations"));
    owner_references(errors, &metadata.field("ownerReferences"));
    finalizers(errors, &metadata.field("finalizers"));
    managed_fields(errors, &metadata.field("managedFields"));
    if built_in {
        standard_finalizers(errors, &metadata.field("finalizers"));
    }
}

/// [`validate`] for an object whose stored metadata has passed it: what says the same is right still.
pub fn validate_again(
    errors: &mut Errors,
    metadata: &At,
    old: &Value,
    namespaced: bool,
    names: Names,
    built_in: bool,
) {
    if !is_unchanged(metadata.value(), old) {
        return validate(errors, metadata, namespaced, names, built_in);
    }
    errors.non_negative(&metadata.field("generation"));
    managed_fields(errors, &metadata.field("managedFields"));
}

/// True if metadata says what the stored one says, apart from what most writes change.
fn is_unchanged(new: &Value, old: &Value) -> bool {
    let (Value::Object(new), Value::Object(old)) = (new, old) else {
        return false;
    };
    let mut pairs = new.iter().zip(old.iter());
    new.len() == old.len()
        && pairs.all(|((key, new), (same, old))| {
            key == same
                && (matches!(key, "generation" | "managedFields" | "resourceVersion") || new == old)
        })
}

/// The metadata of a changed object against the stored one. `built_in` as in [`validate`].
pub fn validate_update(errors: &mut Errors, metadata: &At, old: &Value, built_in: bool) {
    let unchanged = is_unchanged(metadata.value(), old);
    let terminating = |old: &Value| {
        let time = old.get("deletionTimestamp");
        time.is_some_and(|time| !time.is_null())
    };
    if !unchanged && terminating(old) {
        no_new_finalizers(errors, &metadata.field("finalizers"), &old["finalizers"]);
    }
    let version = metadata.field("resourceVersion");
    if version.text().is_empty() {
        errors.invalid_as(&version, "", "must be specified for an update");
    }
    let generation = metadata.field("generation");
    if generation.int().unwrap_or(0) < old["generation"].as_i64().unwrap_or(0) {
        errors.invalid(&generation, "must not be decremented");
    }
    if !unchanged {
        for name in [
            "name",
            "namespace",
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            let at = metadata.field(name);
            let (new, old) = (at.value(), &old[name]);
            let both_empty = at.text().is_empty()
                && old.as_str().unwrap_or_default().is_empty()
                && new.as_i64() == old.as_i64();
            if new != old && !both_empty {
                errors.invalid(&at, IMMUTABLE);
            }
        }
        labels(errors, &metadata.field("labels"));
        annotations(errors, &metadata.field("annotations"));
        owner_references(errors, &metadata.field("ownerReferences"));
    }
    managed_fields(errors, &metadata.field("managedFields"));
    if built_in {
        standard_finalizers(errors, &metadata.field("finalizers"));
    }
}

/// Labels of anything.
pub fn labels(errors: &mut Errors, at: &At) {
    let Some(map) = at.value().as_object() else {
        return;
    };
    for (key, value) in map {
        errors.name_as(at, key, Names::Qualified);
        errors.name_as(at, value.as_str().unwrap_or_default(), Names::LabelValue);
    }
}

/// Annotations of anything.
pub fn annotations(errors: &mut Errors, at: &At) {
    let Some(map) = at.value().as_object() else {
        return;
    };
    let mut bytes = 0;
    for (key, value) in map {
        for message in Names::Qualified.check(&key.to_ascii_lowercase()) {
            errors.invalid_as(at, key, &message);
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        errors.too_long(at, ANNOTATIONS_BYTES_MAX);
    }
}

/// References as Go prints them: fields in the order of the type.
fn go_references(references: &[Value]) -> String {
    let references: Vec<String> = references.iter().map(go_reference).collect();
    format!("[{}]", references.join(","))
}

fn go_reference(reference: &Value) -> String {
    let mut fields = Vec::new();
    for name in ["apiVersion", "kind", "name", "uid"] {
        let text = reference.get(name).cloned().unwrap_or_else(|| "".into());
        fields.push(format!("\"{name}\":{text}"));
    }
    for name in ["controller", "blockOwnerDeletion"] {
        if let Some(flag) = reference.get(name).filter(|flag| !flag.is_null()) {
            fields.push(format!("\"{name}\":{flag}"));
        }
    }
    format!("{{{}}}", fields.join(","))
}

fn owner_references(errors: &mut Errors, at: &At) {
    let mut controller = String::new();
    for reference in at.list() {
        let api_version = reference.str_at(&["apiVersion"]);
        let kind = reference.str_at(&["kind"]);
        let (group, version) = match api_version.split_once('/') {
            Some((group, version)) if !version.contains('/') => (group, version),
            Some(_) => ("", ""),
            None => ("", api_version),
        };
        if version.is_empty() {
            errors.invalid_as(
                &at.field("apiVersion"),
                api_version,
                "version must not be empty",
            );
        }
        for name in ["kind", "name", "uid"] {
            if reference.str_at(&[name]).is_empty() {
                errors.invalid_as(&at.field(name), "", "must not be empty");
            }
        }
        if (group, version, kind) == ("", "v1", "Event") {
            errors.invalid_raw(
                at,
                &go_reference(reference),
                "/v1, Kind=Event is disallowed from being an owner",
            );
        }
        if reference["controller"].as_bool() == Some(true) {
            let this = format!("{kind}/{}", reference.str_at(&["name"]));
            if controller.is_empty() {
                controller = this;
            } else {
                errors.invalid_raw(
                    at,
                    &go_references(at.list()),
                    &format!("Only one reference can have Controller set to true. Found \"true\" in references for {controller} and {this}"),
                );
            }
        }
    }
}

fn finalizers(errors: &mut Errors, at: &At) {
    for finalizer in at.list() {
        errors.name_as(at, finalizer.as_str().unwrap_or_default(), Names::Qualified);
    }
    let has = |name: &str| at.list().iter().any(|finalizer| finalizer == name);
    if has("orphan") && has("foregroundDeletion") {
        errors.invalid(
            at,
            "finalizer orphan and foregroundDeletion cannot be both set",
        );
    }
}

/// What only built-in kinds demand of finalizers.
pub fn standard_finalizers(errors: &mut Errors, at: &At) {
    for finalizer in at.items() {
        standard_finalizer(errors, &finalizer);
    }
}

/// A finalizer of a built-in kind is a well-known one or has a domain.
pub fn standard_finalizer(errors: &mut Errors, at: &At) {
    let name = at.text();
    if !name.contains('/') && !["kubernetes", "orphan", "foregroundDeletion"].contains(&name) {
        errors.invalid(
            at,
            "name is neither a standard finalizer name nor is it fully qualified",
        );
    }
}

fn no_new_finalizers(errors: &mut Errors, at: &At, old: &Value) {
    let known = |name: &Value| old.as_array().is_some_and(|old| old.contains(name));
    let mut extra: Vec<&str> = at
        .list()
        .iter()
        .filter(|name| !known(name))
        .filter_map(Value::as_str)
        .collect();
    if extra.is_empty() {
        return;
    }
    extra.sort_unstable();
    extra.dedup();
    let quoted: Vec<String> = extra.into_iter().map(go_quote).collect();
    errors.forbidden(
        at,
        &format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            quoted.join(", ")
        ),
    );
}

fn managed_fields(errors: &mut Errors, at: &At) {
    for entry in at.items() {
        let operation = entry.field("operation");
        if !["Apply", "Update"].contains(&operation.text()) {
            errors.invalid_as(&operation, operation.text(), "must be `Apply` or `Update`");
        }
        let fields_type = entry.field("fieldsType");
        if !["", "FieldsV1"].contains(&fields_type.text()) {
            errors.invalid(&fields_type, "must be `FieldsV1`");
        }
        let manager = entry.field("manager");
        if manager.text().len() > 128 {
            errors.too_long(&manager, 128);
        }
    }
}

/// A label selector (`matchLabels`, `matchExpressions`); absent is fine. False if anything is wrong with it.
pub fn label_selector(errors: &mut Errors, at: &At) -> bool {
    let before = errors.causes.len();
    labels(errors, &at.field("matchLabels"));
    for expression in at.field("matchExpressions").items() {
        let values = expression.field("values");
        match expression.field("operator").text() {
            "In" | "NotIn" => {
                if values.list().is_empty() {
                    errors.required(
                        &values,
                        "must be specified when `operator` is 'In' or 'NotIn'",
                    );
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.list().is_empty() {
                    errors.forbidden(
                        &values,
                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                    );
                }
            }
            other => errors.invalid_as(
                &expression.field("operator"),
                other,
                "not a valid selector operator",
            ),
        }
        errors.name(&expression.field("key"), Names::Qualified);
        for value in values.items() {
            errors.name(&value, Names::LabelValue);
        }
    }
    errors.causes.len() == before
}

/// True if the selector selects a set of labels; a null selector selects nothing, an empty one everything.
pub fn selector_matches(selector: &Value, labels: &Value) -> bool {
    let parsed = LabelSelector::from_value(selector).filter(|_| selector.is_object());
    parsed.is_some_and(|parsed| parsed.matches_labels(Some(labels)))
}

/// True if the selector has neither labels nor expressions.
pub fn selector_is_empty(selector: &Value) -> bool {
    selector["matchLabels"]
        .as_object()
        .is_none_or(|map| map.is_empty())
        && selector.array_at(&["matchExpressions"]).is_empty()
}

/// `status.conditions` of the common `metav1.Condition` type.
pub fn conditions(errors: &mut Errors, at: &At) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for condition in at.items() {
        let (kind, status, reason) = (
            condition.field("type"),
            condition.field("status"),
            condition.field("reason"),
        );
        if seen.contains(&kind.text()) {
            errors.duplicate(&kind);
        } else {
            seen.insert(kind.text());
        }
        errors.name(&kind, Names::Qualified);
        errors.one_of(&status, &["True", "False", "Unknown"]);
        if condition.field("observedGeneration").int().unwrap_or(0) < 0 {
            errors.invalid(
                &condition.field("observedGeneration"),
                "must be greater than or equal to zero",
            );
        }
        let transition = condition.field("lastTransitionTime");
        if !transition.is_set() {
            errors.required(&transition, "must be set");
        }
        let text = reason.text();
        if text.is_empty() {
            errors.required(&reason, "must be set");
        } else {
            let bytes = text.as_bytes();
            let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            let valid = bytes[0].is_ascii_alphabetic()
                && bytes.iter().all(|&b| word(b) || b == b',' || b == b':')
                && bytes.last().is_some_and(|&b| word(b));
            if !valid {
                errors.push(Cause::invalid(
                    reason.path(),
                    reason.value(),
                    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')",
                ));
            }
            if text.len() > 1024 {
                errors.too_long(&reason, 1024);
            }
        }
        let message = condition.field("message");
        if message.text().len() > 32 * 1024 {
            errors.too_long(&message, 32 * 1024);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn texts(run: impl FnOnce(&mut Errors)) -> Vec<String> {
        let mut errors = Errors::default();
        run(&mut errors);
        errors.causes.iter().map(Cause::text).collect()
    }

    #[test]
    fn c12_owner_references_need_all_parts() {
        let metadata = json!({"name": "a", "namespace": "n", "ownerReferences": [{"apiVersion": "", "kind": "", "name": "x", "uid": ""}]});
        let got = texts(|errors| {
            validate(
                errors,
                &At::named("metadata", &metadata),
                true,
                Names::Subdomain,
                true,
            )
        });
        assert_eq!(
            got,
            [
                "metadata.ownerReferences.apiVersion: Invalid value: \"\": version must not be empty",
                "metadata.ownerReferences.kind: Invalid value: \"\": must not be empty",
                "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
            ]
        );
    }

    #[test]
    fn c11_finalizers_need_a_domain() {
        let metadata = json!({"name": "a", "finalizers": ["nodomain", "a.b/c"]});
        let got = texts(|errors| {
            validate(
                errors,
                &At::named("metadata", &metadata),
                false,
                Names::Subdomain,
                true,
            )
        });
        assert_eq!(
            got,
            [
                "metadata.finalizers[0]: Invalid value: \"nodomain\": name is neither a standard finalizer name nor is it fully qualified"
            ]
        );
    }

    #[test]
    fn g4_no_new_finalizers_while_terminating() {
        let old = json!({"name": "a", "resourceVersion": "1", "deletionTimestamp": "t", "finalizers": ["a.b/c"]});
        let mut new = old.clone();
        new["finalizers"] = json!(["a.b/c", "x.y/z"]);
        let got = texts(|errors| validate_update(errors, &At::named("metadata", &new), &old, true));
        assert_eq!(
            got,
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x.y/z\"}"
            ]
        );
    }

    #[test]
    fn selectors_match() {
        let selector = json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["d"]}]});
        assert!(selector_matches(&selector, &json!({"a": "b"})));
        assert!(!selector_matches(&selector, &json!({"a": "b", "c": "d"})));
        assert!(!selector_matches(&Value::Null, &json!({})));
    }
}
