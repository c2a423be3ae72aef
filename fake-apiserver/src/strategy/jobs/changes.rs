//! What of a Job may change: its spec through the main endpoint (D9), its status through `/status` (S7).
//!
//! Source: `pkg/apis/batch/validation` (`ValidateJobUpdate`, `ValidateJobStatusUpdate`).

use crate::json::Value;
use crate::time::Timestamp;

use super::super::field::{At, Errors, IMMUTABLE, semantically_equal};
use super::super::internal;
use super::super::pods::{self};

use super::validation::{count_indexes, job_spec_with_selector};

pub(super) fn update(errors: &mut Errors, spec: &At, old: &Value) {
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
        let (at, old) = (spec.field(name), &stored[name]);
        match name {
            "podFailurePolicy" => errors.immutable_as(&at, old, internal::FAILURE_POLICY),
            "successPolicy" => errors.immutable_as(&at, old, internal::SUCCESS_POLICY),
            _ => errors.immutable(&at, old),
        }
    }
}

// The template stands, but for what decides where a Job that never started would run.
pub(super) fn template_update(errors: &mut Errors, template: &At, old: &Value) {
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
            errors.invalid(&template.field("spec"), IMMUTABLE);
        }
        return;
    }
    errors.immutable(template, &stored);
}

pub(super) fn is_true(status: &Value, kind: &str) -> bool {
    status
        .array_at(&["conditions"])
        .iter()
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}

pub(super) fn status(errors: &mut Errors, root: &At, old: &Value) {
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
        errors.invalid(&completion, IMMUTABLE);
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

pub(super) fn indexes(
    errors: &mut Errors,
    at: &At,
    spec: &At,
    completed_changed: bool,
    failed_changed: bool,
) {
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
