//! The rules of a Job's spec.
//!
//! Source: `pkg/apis/batch/validation` (`ValidateJob`, `validateJobSpec`).

use std::collections::BTreeSet;

use crate::json::{Map, Value};
use crate::status::go_quote;

use super::super::field::{At, Errors};
use super::super::internal;
use super::super::metadata::{label_selector, selector_matches};
use super::super::names::Names;
use super::super::pods::{self};

use super::{INDEXED, LABELS};

// The metadata apart.
pub(super) fn whole(errors: &mut Errors, root: &At, prefixed: bool) {
    let spec = root.field("spec");
    let meta = root.field("metadata");
    generated_selector(errors, &spec, meta.value(), prefixed);
    job_spec_with_selector(errors, &spec);
    let completions = spec.field("completions").int().unwrap_or(0);
    if spec.field("completionMode").text() == "Indexed" && completions > 0 {
        let host = format!("{}-{}", meta.field("name").text(), completions - 1);
        if !Names::Label.allows(&host) {
            errors.invalid(
                &meta.field("name"),
                &format!("will not able to create pod with invalid DNS label: {host}"),
            );
        }
    }
}

pub(super) fn generated_selector(errors: &mut Errors, spec: &At, meta: &Value, prefixed: bool) {
    let selector = spec.field("selector");
    if spec.field("manualSelector").flag() || !selector.is_set() {
        return;
    }
    let labels = &spec.value()["template"]["metadata"]["labels"];
    let mut expected = Map::new();
    for (label, source) in &LABELS[..if prefixed { 4 } else { 2 }] {
        let want = meta.str_at(&[source]);
        expected.insert(*label, want);
        let template = spec.field("template");
        let meta = template.field("metadata");
        let at = meta.field("labels");
        let have = at.key(label);
        if !have.is_set() {
            errors.required(&have, &format!("must be '{want}'"));
        } else if have.text() != want {
            errors.invalid_as(&have, labels, &format!("must be '{want}'"));
        }
    }
    if !selector_matches(selector.value(), &Value::Object(expected)) {
        errors.invalid(&selector, "`selector` not auto-generated");
    }
}

pub(super) fn job_spec_with_selector(errors: &mut Errors, spec: &At) {
    job_spec(errors, spec);
    let selector = spec.field("selector");
    if selector.is_set() {
        label_selector(errors, &selector);
    } else {
        errors.required(&selector, "");
    }
    let template = spec.field("template");
    let meta = template.field("metadata");
    if !selector_matches(selector.value(), meta.field("labels").value()) {
        errors.invalid(
            &meta.field("labels"),
            "`selector` does not match template `labels`",
        );
    }
}

pub(super) fn job_spec(errors: &mut Errors, spec: &At) {
    for name in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        errors.non_negative(&spec.field(name));
    }
    let (per_index, max_failed) = (
        spec.field("backoffLimitPerIndex"),
        spec.field("maxFailedIndexes"),
    );
    if max_failed.is_set() && !per_index.is_set() {
        errors.required(&per_index, "when maxFailedIndexes is specified");
    }
    let managed_by = spec.field("managedBy");
    if managed_by.is_set() {
        super::super::domain_prefixed_path(errors, &managed_by);
        if managed_by.text().len() > 63 {
            errors.too_long(&managed_by, 63);
        }
    }
    let mode = spec.field("completionMode");
    if mode.is_set() {
        errors.one_of_in_order(&mode, &["NonIndexed", "Indexed"]);
    }
    let indexed = mode.text() == "Indexed";
    if indexed {
        indexed_limits(errors, spec);
    }
    if mode.text() == "NonIndexed" || !mode.is_set() {
        for field in [&per_index, &max_failed] {
            if field.is_set() {
                errors.invalid(field, INDEXED);
            }
        }
    }
    let failure = spec.field("podFailurePolicy");
    if failure.is_set() {
        failure_policy(errors, spec, &failure);
    }
    let success = spec.field("successPolicy");
    if success.is_set() {
        if indexed {
            success_policy(
                errors,
                &success,
                spec.field("completions").int().unwrap_or(0),
            );
        } else {
            let shown = internal::print(success.value(), internal::SUCCESS_POLICY);
            errors.invalid_raw(&success, &shown, INDEXED);
        }
    }
    let replacement = spec.field("podReplacementPolicy");
    if replacement.is_set() {
        let known: &[&str] = if failure.is_set() {
            &["Failed"]
        } else {
            &["Failed", "TerminatingOrFailed"]
        };
        errors.one_of(&replacement, known);
    }
    let template = spec.field("template");
    pods::validate_template(errors, &template);
    let pod = template.field("spec");
    let restart = pod.field("restartPolicy");
    match restart.text() {
        "" | "Always" => errors.required(&restart, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if failure.is_set() => errors.invalid(
            &restart,
            "only \"Never\" is supported when podFailurePolicy is specified",
        ),
        _ => errors.one_of_in_order(&restart, &["OnFailure", "Never"]),
    }
}

pub(super) fn indexed_limits(errors: &mut Errors, spec: &At) {
    let (completions, parallelism) = (spec.field("completions"), spec.field("parallelism"));
    let max_failed = spec.field("maxFailedIndexes");
    if !completions.is_set() {
        errors.required(&completions, "when completion mode is Indexed");
    }
    let limit = |errors: &mut Errors, at: &At, most: i64, detail: &str| {
        if at.int().is_some_and(|number| number > most) {
            errors.invalid(at, detail);
        }
    };
    limit(
        errors,
        &parallelism,
        100_000,
        "must be less than or equal to 100000 when completion mode is Indexed",
    );
    if let Some(completions) = completions.int() {
        limit(
            errors,
            &max_failed,
            completions,
            "must be less than or equal to completions",
        );
    }
    limit(
        errors,
        &max_failed,
        100_000,
        "must be less than or equal to 100000",
    );
    if completions.int().is_some_and(|number| number > 100_000)
        && spec.field("backoffLimitPerIndex").is_set()
    {
        if !max_failed.is_set() {
            errors.required(
                &max_failed,
                "must be specified when completions is above 100000",
            );
        }
        let detail = "must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index";
        limit(errors, &parallelism, 10_000, detail);
        limit(errors, &max_failed, 10_000, detail);
    }
}

pub(super) fn failure_policy(errors: &mut Errors, spec: &At, at: &At) {
    let pod = &spec.value()["template"]["spec"];
    let names: Vec<&str> = pod
        .array_at(&["containers"])
        .iter()
        .chain(pod.array_at(&["initContainers"]))
        .map(|c| c.str_at(&["name"]))
        .collect();
    let rules = at.field("rules");
    if rules.list().len() > 20 {
        errors.too_many(&rules, rules.list().len(), 20);
    }
    for rule in rules.items() {
        let action = rule.field("action");
        match action.text() {
            "" => errors.required(
                &action,
                "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
            ),
            "FailIndex" => {
                if !spec.field("backoffLimitPerIndex").is_set() {
                    errors.invalid(&action, "requires the backoffLimitPerIndex to be set");
                }
            }
            _ => errors.one_of(&action, &["Count", "FailIndex", "FailJob", "Ignore"]),
        }
        let (codes, conditions) = (rule.field("onExitCodes"), rule.field("onPodConditions"));
        if codes.is_set() {
            exit_codes(errors, &codes, &names);
        }
        if conditions.list().len() > 20 {
            errors.too_many(&conditions, conditions.list().len(), 20);
        }
        for pattern in conditions.items() {
            errors.name(&pattern.field("type"), Names::Qualified);
            let status = pattern.field("status");
            if status.text().is_empty() {
                errors.required(&status, "valid values: [\"False\" \"True\" \"Unknown\"]");
            } else {
                errors.one_of(&status, &["True", "False", "Unknown"]);
            }
        }
        match (codes.is_set(), !conditions.list().is_empty()) {
            (true, true) => errors.invalid_raw(
                &rule,
                "",
                "specifying both OnExitCodes and OnPodConditions is not supported",
            ),
            (false, false) => errors.invalid_raw(
                &rule,
                "",
                "specifying one of OnExitCodes and OnPodConditions is required",
            ),
            _ => {}
        }
    }
}

pub(super) fn exit_codes(errors: &mut Errors, at: &At, names: &[&str]) {
    let operator = at.field("operator");
    if operator.text().is_empty() {
        errors.required(&operator, "valid values: [\"In\" \"NotIn\"]");
    } else {
        errors.one_of(&operator, &["In", "NotIn"]);
    }
    let container = at.field("containerName");
    if container.is_set() && !names.contains(&container.text()) {
        errors.invalid(
            &container,
            "must be one of the container or initContainer names in the pod template",
        );
    }
    let values = at.field("values");
    if values.list().is_empty() {
        errors.invalid_as(
            &values,
            Value::Array(Vec::new()),
            "at least one value is required",
        );
    } else if values.list().len() > 255 {
        errors.too_many(&values, values.list().len(), 255);
    }
    let mut seen = BTreeSet::new();
    for value in values.items() {
        if operator.text() == "In" && value.int() == Some(0) {
            errors.invalid(&value, "must not be 0 for the In operator");
        }
        if !seen.insert(value.int()) {
            errors.duplicate(&value);
        }
    }
    if values
        .list()
        .windows(2)
        .any(|pair| pair[0].as_i64() > pair[1].as_i64())
    {
        errors.invalid(&values, "must be ordered");
    }
}

pub(super) fn success_policy(errors: &mut Errors, at: &At, completions: i64) {
    let rules = at.field("rules");
    if rules.list().is_empty() {
        errors.required(
            &rules,
            "at least one rules must be specified when the successPolicy is specified",
        );
    }
    if rules.list().len() > 20 {
        errors.too_many(&rules, rules.list().len(), 20);
    }
    for rule in rules.items() {
        let (count, indexes) = (rule.field("succeededCount"), rule.field("succeededIndexes"));
        if !count.is_set() && !indexes.is_set() {
            errors.required(
                &rule,
                "at least one of succeededCount or succeededIndexes must be specified",
            );
        }
        let mut total = 0;
        if indexes.is_set() {
            match count_indexes(indexes.text(), completions) {
                Ok(number) => total = number,
                Err(error) => errors.invalid(
                    &indexes,
                    &format!("error parsing succeededIndexes: {error}"),
                ),
            }
        }
        if let Some(number) = count.int() {
            errors.non_negative(&count);
            if number > completions {
                errors.invalid(&count, &format!("must be less than or equal to {completions} (the number of specified completions)"));
            }
            if indexes.is_set() && number > total {
                errors.invalid(
                    &count,
                    &format!("must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"),
                );
            }
        }
    }
}

// How many indexes a list like `0-2,5` names.
pub(super) fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let number = |part: &str| -> Result<i64, String> {
        let number = part.parse::<i64>().map_err(|_| {
            format!(
                "cannot convert string to integer for index: {}",
                go_quote(part)
            )
        })?;
        if number >= completions {
            return Err(format!("too large index: {}", go_quote(part)));
        }
        Ok(number)
    };
    let (mut total, mut last) = (0, None);
    for interval in text.split(',') {
        let parts: Vec<&str> = interval.split('-').collect();
        if parts.len() > 2 {
            return Err(format!(
                "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
                go_quote(interval)
            ));
        }
        let first = number(parts[0])?;
        let end = if parts.len() == 2 {
            number(parts[1])?
        } else {
            first
        };
        if parts.len() == 2 && first >= end {
            return Err(format!(
                "non-increasing order, previous: {first}, current: {end}"
            ));
        }
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!(
                "non-increasing order, previous: {last}, current: {first}"
            ));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}
