//! Jobs and CronJobs.
//!
//! Owns defaults (O9), the generated selector and labels, what is immutable (D9), the rules of `/status` (S7), the warning of
//! a DELETE without policy (G6).
//! Source: `pkg/apis/batch/{v1/defaults.go,validation}`, `pkg/registry/batch`.

use crate::json;
use crate::json::{CompactString, Map, Value};
use crate::registry::Resource;
use crate::status::{Cause, Status, go_quote};
use crate::time::Timestamp;

use super::field::{At, Errors, semantically_equal};
use super::metadata::{label_selector, selector_matches};
use super::names::Names;
use super::pods::{self, absent, fill};
use super::{Cx, Strategy, cron, keep_status_or_rest};

const LABELS: &[(&str, &str)] = &[
    ("controller-uid", "uid"),
    ("job-name", "name"),
    ("batch.kubernetes.io/controller-uid", "uid"),
    ("batch.kubernetes.io/job-name", "name"),
];
const INDEXED: &str = "requires indexed completion mode";

/// Jobs.
pub struct Jobs;

impl Strategy for Jobs {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        let map = object.make_object();
        let spec = map.object("spec");
        let own_policy = spec.get("podFailurePolicy").is_some_and(Value::is_object);
        default_job_spec(spec);
        if spec.get("completions").is_none_or(Value::is_null)
            && spec.get("parallelism").is_none_or(Value::is_null)
        {
            spec.insert("completions", 1);
        }
        absent(spec, "parallelism", || Value::Int(1));
        let per_index = spec
            .get("backoffLimitPerIndex")
            .is_some_and(Value::is_number);
        absent(spec, "backoffLimit", || {
            Value::Int(if per_index { i64::from(i32::MAX) } else { 6 })
        });
        absent(spec, "completionMode", || "NonIndexed".into());
        absent(spec, "suspend", || Value::Bool(false));
        absent(spec, "manualSelector", || Value::Bool(false));
        absent(spec, "podReplacementPolicy", || {
            if own_policy {
                "Failed"
            } else {
                "TerminatingOrFailed"
            }
            .into()
        });
        own_labels(object);
    }

    fn prepare_create(&self, _cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
        if object
            .at(&["spec", "manualSelector"])
            .and_then(Value::as_bool)
            != Some(true)
        {
            let shared = has_labels_of_template(object);
            generate_selector(object);
            if shared {
                // One map on the inside: what the template gets, the Job gets.
                let labels = object["spec"]["template"]["metadata"]["labels"].clone();
                object.set(&["metadata", "labels"], labels);
            }
        }
        object.set(&["status"], json!({}));
        Ok(())
    }

    // Generated labels of the template become the Job's when it is read back: after validation, and not stored (O9, D7).
    fn allocate(
        &self,
        _cx: &mut Cx<'_>,
        new: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        own_labels(new);
        Ok(())
    }

    fn first_write_counts(&self, created: &Value) -> bool {
        let generated = created["metadata"]["labels"]
            .as_object()
            .is_some_and(|labels| {
                labels.len() == LABELS.len()
                    && LABELS.iter().all(|(label, _)| labels.contains_key(label))
            });
        generated && has_labels_of_template(created)
    }

    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        keep_status_or_rest(cx, new, old);
        Ok(())
    }

    fn validate_create(&self, cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        whole(&mut errors, &At::root(object), true);
        if errors.is_empty() {
            let wrong = Names::Label.check(object.str_at(&["metadata", "name"]));
            if !wrong.is_empty() {
                cx.warnings.push(format!(
                    "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]",
                    wrong.join(" ")
                ));
            }
            pods::warnings(cx.warnings, "spec.template.", &object["spec"]["template"]);
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        if cx.subresource == "status" {
            status(&mut errors, &root, old);
            return errors.causes;
        }
        super::validate_metadata(&mut errors, cx, new);
        let old_labels = &old["spec"]["template"]["metadata"]["labels"];
        let prefixed = LABELS[2..]
            .iter()
            .all(|(label, _)| !old_labels[*label].is_null());
        whole(&mut errors, &root, prefixed);
        update(&mut errors, &root.field("spec"), old);
        errors.causes
    }

    fn changes_generation(&self, new: &Value, old: &Value) -> bool {
        !semantically_equal(&new["spec"], &old["spec"])
    }

    fn delete_warnings(&self, explicit_policy: bool) -> Vec<String> {
        if explicit_policy {
            return Vec::new();
        }
        vec![
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"
                .to_owned(),
        ]
    }

    fn field(&self, _resource: &Resource, object: &Value, name: &str) -> Option<CompactString> {
        (name == "status.successful").then(|| {
            object
                .i64_at(&["status", "succeeded"])
                .unwrap_or(0)
                .to_string()
                .into()
        })
    }

    fn check_field(&self, _resource: &Resource, name: &str) -> Result<(), String> {
        match name {
            "metadata.name" | "metadata.namespace" | "status.successful" => Ok(()),
            _ => Err(format!(
                "field label {} not supported for Job",
                go_quote(name)
            )),
        }
    }
}

fn default_job_spec(spec: &mut Map) {
    pods::default_template(spec.get_or_insert("template", Value::Null));
    if let Some(policy) = spec
        .get_mut("podFailurePolicy")
        .and_then(Value::as_object_mut)
    {
        for rule in pods::items(policy, "rules") {
            for pattern in pods::items(rule.make_object(), "onPodConditions") {
                fill(pattern.make_object(), "status", "True");
            }
        }
    }
}

fn has_labels_of_template(job: &Value) -> bool {
    let labels = &job["metadata"]["labels"];
    labels.is_object() && *labels == job["spec"]["template"]["metadata"]["labels"]
}

// A Job without labels of its own has those of its template.
fn own_labels(job: &mut Value) {
    let filled = |labels: &Value| labels.as_object().is_some_and(|map| !map.is_empty());
    let labels = job["spec"]["template"]["metadata"]["labels"].clone();
    if filled(&labels) && !filled(&job["metadata"]["labels"]) {
        job.set(&["metadata", "labels"], labels);
    }
}

fn generate_selector(job: &mut Value) {
    let name = job.str_at(&["metadata", "name"]).to_owned();
    let uid = job.str_at(&["metadata", "uid"]).to_owned();
    let spec = job.make_object().object("spec");
    let labels = spec.object("template").object("metadata").object("labels");
    for (label, source) in LABELS {
        absent(labels, label, || {
            if *source == "uid" { &uid } else { &name }.into()
        });
    }
    let selected = spec.object("selector").object("matchLabels");
    absent(selected, "batch.kubernetes.io/controller-uid", || {
        uid.into()
    });
}

// The metadata apart.
fn whole(errors: &mut Errors, root: &At, prefixed: bool) {
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

fn generated_selector(errors: &mut Errors, spec: &At, meta: &Value, prefixed: bool) {
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

fn job_spec_with_selector(errors: &mut Errors, spec: &At) {
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

fn job_spec(errors: &mut Errors, spec: &At) {
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
        super::domain_prefixed_path(errors, &managed_by);
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
            errors.invalid(&success, INDEXED);
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

fn indexed_limits(errors: &mut Errors, spec: &At) {
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

fn failure_policy(errors: &mut Errors, spec: &At, at: &At) {
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

fn exit_codes(errors: &mut Errors, at: &At, names: &[&str]) {
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
    for (index, value) in values.items().enumerate() {
        if operator.text() == "In" && value.int() == Some(0) {
            errors.invalid(&value, "must not be 0 for the In operator");
        }
        if values.list()[..index].contains(value.value()) {
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

fn success_policy(errors: &mut Errors, at: &At, completions: i64) {
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
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
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

fn update(errors: &mut Errors, spec: &At, old: &Value) {
    let stored = &old["spec"];
    job_spec_with_selector(errors, spec);
    let completions = spec.field("completions");
    if spec.field("completionMode").text() != "Indexed" {
        errors.immutable(&completions, &stored["completions"]);
    } else if completions.value() != &stored["completions"]
        && completions.is_set()
        && completions.int() != spec.field("parallelism").int()
    {
        errors.invalid(
            &completions,
            "can only be modified in tandem with spec.parallelism",
        );
    }
    errors.immutable(&spec.field("selector"), &stored["selector"]);
    template_update(errors, &spec.field("template"), old);
    for name in [
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        errors.immutable(&spec.field(name), &stored[name]);
    }
}

// The template stands, but for what decides where a Job that never started would run.
fn template_update(errors: &mut Errors, template: &At, old: &Value) {
    let mut stored = old["spec"]["template"].clone();
    let suspended = old.at(&["spec", "suspend"]).and_then(Value::as_bool) == Some(true);
    let marked = is_true(&old["status"], "Suspended");
    let idle = old.i64_at(&["status", "active"]).unwrap_or(0) == 0;
    if suspended && (old["status"]["startTime"].is_null() || (marked && idle)) {
        let new = template.value();
        for path in [
            &["spec", "nodeSelector"][..],
            &["spec", "tolerations"],
            &["spec", "schedulingGates"],
            &["spec", "affinity", "nodeAffinity"],
            &["metadata", "annotations"],
            &["metadata", "labels"],
        ] {
            match new.at(path) {
                Some(value) => stored.set(path, value),
                None => drop(stored.remove(path)),
            }
        }
        if stored
            .at(&["spec", "affinity"])
            .and_then(Value::as_object)
            .is_some_and(|map| map.is_empty())
        {
            stored.remove(&["spec", "affinity"]);
        }
    }
    if suspended && marked && idle {
        let mut new = template.value().clone();
        for object in [&mut new, &mut stored] {
            let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
                continue;
            };
            for list in ["containers", "initContainers"] {
                for container in pods::items(spec, list) {
                    container.remove(&["resources"]);
                }
            }
        }
        if !semantically_equal(&new, &stored) {
            errors.invalid(&template.field("spec"), super::field::IMMUTABLE);
        }
        return;
    }
    errors.immutable(template, &stored);
}

fn is_true(status: &Value, kind: &str) -> bool {
    status
        .array_at(&["conditions"])
        .iter()
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}

fn status(errors: &mut Errors, root: &At, old: &Value) {
    let (at, stored) = (root.field("status"), &old["status"]);
    let (new, spec) = (at.value(), root.field("spec"));
    for name in ["active", "succeeded", "failed", "ready", "terminating"] {
        errors.non_negative(&at.field(name));
    }
    let conditions = at.field("conditions");
    let says = |errors: &mut Errors, wrong: bool, text: &str| {
        if wrong {
            errors.invalid_raw(&conditions, "", text);
        }
    };
    let now = |kind: &str| is_true(new, kind);
    let was = |kind: &str| is_true(stored, kind);
    let changed = |name: &str| new[name] != stored[name];
    let (complete, failed, met, target) = (
        now("Complete"),
        now("Failed"),
        now("SuccessCriteriaMet"),
        now("FailureTarget"),
    );
    let finished = complete || failed;
    let complete_changed = complete != was("Complete");
    let finished_changed = finished != (was("Complete") || was("Failed"));
    let failed_changed = failed != was("Failed");
    let count = |name: &str| new[name].as_i64().unwrap_or(0);
    says(
        errors,
        (complete_changed || failed_changed) && complete && failed,
        "cannot set Complete=True and Failed=true conditions",
    );
    says(
        errors,
        (complete_changed || target != was("FailureTarget")) && complete && target,
        "cannot set Complete=True and FailureTarget=true conditions",
    );
    let (start, completion) = (at.field("startTime"), at.field("completionTime"));
    if complete_changed || changed("completionTime") {
        if completion.is_set() && !complete {
            errors.invalid(
                &completion,
                "cannot set completionTime when there is no Complete=True condition",
            );
        }
        if !completion.is_set() && complete {
            errors.required(&completion, "completionTime is required for Complete jobs");
        }
    }
    if changed("startTime") || changed("completionTime") {
        let time = |at: &At| Timestamp::parse_rfc3339(at.text());
        if let (Some(start), Some(end)) = (time(&start), time(&completion))
            && end < start
        {
            errors.invalid(&completion, "must be equal to or after `startTime`");
        }
    }
    says(
        errors,
        (failed_changed || changed("failedIndexes")) && failed && !target,
        "cannot set Failed=True condition without the FailureTarget=true condition",
    );
    says(
        errors,
        (complete_changed || met != was("SuccessCriteriaMet")) && complete && !met,
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
    );
    if (finished_changed || changed("active")) && count("active") > 0 && finished {
        errors.invalid(&at.field("active"), "active>0 is invalid for finished job");
    }
    let suspended_empty =
        spec.field("suspend").flag() && spec.field("completions").int() == Some(0);
    if (finished_changed || changed("startTime")) && !suspended_empty && !start.is_set() && finished
    {
        errors.required(&start, "startTime is required for finished job");
    }
    let uncounted = at.field("uncountedTerminatedPods");
    if (finished_changed || changed("uncountedTerminatedPods"))
        && finished
        && ["succeeded", "failed"]
            .iter()
            .any(|list| !uncounted.field(list).list().is_empty())
    {
        errors.invalid(&uncounted, "must be empty for finished job");
    }
    indexes(
        errors,
        &at,
        &spec,
        changed("completedIndexes"),
        changed("failedIndexes"),
    );
    if (finished_changed || changed("terminating")) && count("terminating") > 0 && finished {
        errors.invalid(
            &at.field("terminating"),
            "terminating>0 is invalid for finished job",
        );
    }
    let ready = at.field("ready");
    if (changed("ready") || changed("active"))
        && ready.int().is_some_and(|ready| ready > count("active"))
    {
        errors.invalid(&ready, "cannot set more ready pods than active");
    }
    says(
        errors,
        met && failed,
        "cannot set SuccessCriteriaMet=True and Failed=true conditions",
    );
    says(
        errors,
        met && target,
        "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
    );
    let own_policy = spec.field("successPolicy").is_set();
    says(
        errors,
        own_policy && !met && complete,
        "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
    );
    for kind in ["Failed", "Complete", "FailureTarget"] {
        says(
            errors,
            was(kind) && !now(kind),
            &format!("cannot disable the terminal {kind}=True condition"),
        );
    }
    let indexed = spec.field("completionMode").text() == "Indexed";
    let elastic = indexed && spec.field("completions").int() == spec.field("parallelism").int();
    for (name, text, checked) in [
        ("failed", "cannot decrease the failed counter", true),
        (
            "succeeded",
            "cannot decrease the succeeded counter",
            !elastic,
        ),
    ] {
        if checked && count(name) < stored[name].as_i64().unwrap_or(0) {
            errors.invalid_as(&at.field(name), count(name), text);
        }
    }
    if completion.is_set() && !stored["completionTime"].is_null() && changed("completionTime") {
        errors.invalid(&completion, super::field::IMMUTABLE);
    }
    let resuming = was("Suspended")
        && new
            .array_at(&["conditions"])
            .iter()
            .any(|c| c["type"] == "Suspended" && c["status"] == "False");
    if changed("startTime")
        && !resuming
        && !stored["startTime"].is_null()
        && !spec.field("suspend").flag()
    {
        errors.invalid(&start, "field is immutable for unsuspended job once set");
    }
    says(
        errors,
        was("SuccessCriteriaMet") && !met,
        "cannot disable the SuccessCriteriaMet=True condition",
    );
    says(
        errors,
        was("Complete") && !was("SuccessCriteriaMet") && met,
        "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
    );
}

fn indexes(errors: &mut Errors, at: &At, spec: &At, completed_changed: bool, failed_changed: bool) {
    let completions = spec.field("completions").int();
    let (completed, failed) = (at.field("completedIndexes"), at.field("failedIndexes"));
    let per_index = spec.field("backoffLimitPerIndex").is_set();
    if let (true, Some(completions)) = (completed_changed, completions)
        && let Err(error) = count_indexes(completed.text(), completions)
    {
        errors.invalid(
            &completed,
            &format!("error parsing completedIndexes: {error}"),
        );
    }
    if let (true, Some(completions)) = (failed_changed && per_index && failed.is_set(), completions)
        && let Err(error) = count_indexes(failed.text(), completions)
    {
        errors.invalid(&failed, &format!("error parsing failedIndexes: {error}"));
    }
    if completed_changed
        && !completed.text().is_empty()
        && spec.field("completionMode").text() != "Indexed"
    {
        errors.invalid(
            &completed,
            "cannot set non-empty completedIndexes when non-indexed completion mode",
        );
    }
    if failed_changed && !per_index && failed.is_set() {
        errors.invalid(
            &failed,
            "cannot set non-null failedIndexes when backoffLimitPerIndex is null",
        );
    }
}

/// CronJobs.
pub struct CronJobs;

impl Strategy for CronJobs {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        let spec = object.make_object().object("spec");
        fill(spec, "concurrencyPolicy", "Allow");
        absent(spec, "suspend", || Value::Bool(false));
        absent(spec, "successfulJobsHistoryLimit", || Value::Int(3));
        absent(spec, "failedJobsHistoryLimit", || Value::Int(1));
        let template = spec.object("jobTemplate");
        absent(template, "metadata", Value::object);
        default_job_spec(template.object("spec"));
    }

    fn prepare_create(&self, _cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
        object.set(&["status"], json!({}));
        Ok(())
    }

    fn validate_create(&self, cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        cron_job(&mut errors, &root.field("spec"), None);
        let meta = root.field("metadata");
        if meta.field("name").text().len() > 52 {
            errors.invalid(&meta.field("name"), "must be no more than 52 characters");
        }
        if errors.is_empty() {
            let wrong = Names::Label.check(meta.field("name").text());
            if !wrong.is_empty() {
                cx.warnings.push(format!(
                    "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]",
                    wrong.join(" ")
                ));
            }
            pods::warnings(
                cx.warnings,
                "spec.jobTemplate.spec.template.",
                &object["spec"]["jobTemplate"]["spec"]["template"],
            );
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        if cx.subresource == "status" {
            return Vec::new();
        }
        cron_job(&mut errors, &root.field("spec"), Some(&old["spec"]));
        errors.causes
    }

    fn changes_generation(&self, new: &Value, old: &Value) -> bool {
        !semantically_equal(&new["spec"], &old["spec"])
    }
}

fn cron_job(errors: &mut Errors, spec: &At, old: Option<&Value>) {
    let (schedule, zone) = (spec.field("schedule"), spec.field("timeZone"));
    if schedule.text().is_empty() {
        errors.required(&schedule, "");
    } else {
        let zone_inside = old.is_some_and(|old| old.str_at(&["schedule"]).contains("TZ"));
        cron::schedule(errors, &schedule, zone_inside, zone.is_set());
    }
    errors.non_negative(&spec.field("startingDeadlineSeconds"));
    if old.is_none_or(|old| &old["timeZone"] != zone.value()) {
        cron::zone(errors, &zone);
    }
    errors.one_of_in_order(
        &spec.field("concurrencyPolicy"),
        &["Allow", "Forbid", "Replace"],
    );
    let template = spec.field("jobTemplate");
    let job = template.field("spec");
    job_spec(errors, &job);
    if job.field("selector").is_set() {
        errors.invalid(&job.field("selector"), "`selector` will be auto-generated");
    }
    if job.field("manualSelector").flag() {
        errors.unsupported(&job.field("manualSelector"), &["nil", "false"]);
    }
    errors.non_negative(&spec.field("successfulJobsHistoryLimit"));
    errors.non_negative(&spec.field("failedJobsHistoryLimit"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o9_indexes_are_counted() {
        assert_eq!(count_indexes("0-2,5", 10), Ok(4));
        assert_eq!(
            count_indexes("5,2", 10).unwrap_err(),
            "non-increasing order, previous: 5, current: 2"
        );
        assert_eq!(
            count_indexes("10", 10).unwrap_err(),
            "too large index: \"10\""
        );
    }
}
