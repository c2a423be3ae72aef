//! Jobs and CronJobs.
//!
//! Owns defaults (O9), the generated selector and labels, what is immutable (D9), the rules of `/status` (S7), the warning of
//! a DELETE without policy (G6).
//! Source: `pkg/apis/batch/{v1/defaults.go,validation}`, `pkg/registry/batch`.

mod changes;
mod validation;

use crate::json::{CompactString, Map, Value};
use crate::registry::Resource;
use crate::status::{Cause, Status, go_quote};

use super::field::{At, Errors, semantically_equal};
use super::pods::{self, absent, fill};
use super::{Cx, Strategy, cron, reset_status};
use changes::{status, update};
use validation::{job_spec, whole};

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

    fn prepare_create(&self, cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
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
        reset_status(cx, object);
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

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        whole(&mut errors, &At::root(object), true);
        errors.causes
    }

    fn warnings(&self, out: &mut Vec<String>, new: &Value, old: Option<&Value>) {
        if old.is_none() {
            pods::host_name_warning(out, new);
        }
        if old.is_none_or(|old| self.changes_generation(new, old)) {
            pods::warnings(out, "spec.template.", &new["spec"]["template"]);
        }
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        if cx.subresource == "status" {
            status(&mut errors, &root, old);
            return errors.causes;
        }
        super::validate_metadata(&mut errors, cx, new, old);
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

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        cron_job(&mut errors, &root.field("spec"), None);
        let meta = root.field("metadata");
        if meta.field("name").text().len() > 52 {
            errors.invalid(&meta.field("name"), "must be no more than 52 characters");
        }
        errors.causes
    }

    fn warnings(&self, out: &mut Vec<String>, new: &Value, old: Option<&Value>) {
        if old.is_none() {
            pods::host_name_warning(out, new);
        }
        if old.is_none_or(|old| self.changes_generation(new, old)) {
            pods::warnings(
                out,
                "spec.jobTemplate.spec.template.",
                &new["spec"]["jobTemplate"]["spec"]["template"],
            );
        }
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
    use super::validation::count_indexes;
    use super::{Jobs, generate_selector, own_labels};
    use crate::json;
    use crate::strategy::Strategy;

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

    #[test]
    fn o9_a_job_takes_the_labels_of_its_template() {
        let mut job = json!({"metadata": {"name": "a", "uid": "u"}, "spec": {"template": {}}});
        generate_selector(&mut job);
        own_labels(&mut job);
        assert_eq!(job["metadata"]["labels"]["job-name"], "a");
        assert!(Jobs.first_write_counts(&job));
        job.set(&["metadata", "labels"], json!({"app": "x"}));
        own_labels(&mut job);
        assert_eq!(job["metadata"]["labels"], json!({"app": "x"}));
        assert!(!Jobs.first_write_counts(&job));
    }
}
