//! Jobs: Pods until enough have succeeded or too many have failed.
//!
//! Simplifications: finished Pods are counted in the controller's memory when they are seen, not by a finalizer on each,
//! so that one that goes unseen counts as failed; no pod failure policy, no success policy, no backoff per index.
//! A Job with `ttlSecondsAfterFinished` is deleted when it is due, as the TTL controller does.
//! Source: kubernetes `pkg/controller/job/job_controller.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fake_apiserver::json::Value;
use fake_apiserver::store::{Key, Object};
use fake_apiserver::time::Timestamp;

use super::objects::{condition, count, is_active, is_ready, set_condition, time_at};
use super::{Ask, Control, JOBS, Kind, PODS, Seen, Step, When, template};

const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// The Jobs of a cluster.
#[derive(Default)]
pub(super) struct Jobs {
    memory: BTreeMap<String, Memory>,
}

/// What the controller remembers of a Job.
#[derive(Default)]
struct Memory {
    /// Pods that were seen and are not counted yet, by uid.
    live: BTreeMap<String, String>,
    /// Pods counted, by uid.
    counted: BTreeSet<String>,
    succeeded: i64,
    failed: i64,
    indexes: BTreeSet<i64>,
    failed_at: Option<Timestamp>,
}

impl Memory {
    fn count(&mut self, pods: &[&Arc<Object>], now: Timestamp) {
        let there: BTreeSet<&str> = pods.iter().map(|pod| pod.uid()).collect();
        let gone: Vec<String> = self
            .live
            .keys()
            .filter(|uid| !there.contains(uid.as_str()))
            .cloned()
            .collect();
        for uid in gone {
            self.live.remove(&uid);
            if self.counted.insert(uid) {
                self.failed += 1;
                self.failed_at = Some(now);
            }
        }
        for pod in pods {
            let uid = pod.uid().to_owned();
            match pod.value().str_at(&["status", "phase"]) {
                "Succeeded" if self.counted.insert(uid.clone()) => {
                    self.succeeded += 1;
                    self.indexes.extend(index(pod));
                }
                "Failed" if self.counted.insert(uid.clone()) => {
                    self.failed += 1;
                    self.failed_at = Some(now);
                }
                "Succeeded" | "Failed" => {}
                _ => {
                    self.live.insert(uid, pod.name().to_owned());
                    continue;
                }
            }
            self.live.remove(&uid);
        }
    }
}

fn index(pod: &Object) -> Option<i64> {
    pod.value()
        .str_at(&["metadata", "annotations", INDEX])
        .parse()
        .ok()
}

/// A Job as it stands.
struct Work<'a> {
    job: &'a Object,
    pods: Vec<&'a Arc<Object>>,
    succeeded: i64,
    failed: i64,
    indexes: &'a BTreeSet<i64>,
    failed_at: Option<Timestamp>,
    now: Timestamp,
}

/// How a Job ends.
struct End {
    first: &'static str,
    last: &'static str,
    reason: &'static str,
    message: &'static str,
}

const COMPLETE: End = End {
    first: "SuccessCriteriaMet",
    last: "Complete",
    reason: "CompletionsReached",
    message: "Reached expected number of succeeded pods",
};
const BACKOFF: End = End {
    first: "FailureTarget",
    last: "Failed",
    reason: "BackoffLimitExceeded",
    message: "Job has reached the specified backoff limit",
};
const DEADLINE: End = End {
    first: "FailureTarget",
    last: "Failed",
    reason: "DeadlineExceeded",
    message: "Job was active longer than specified deadline",
};

impl Control for Jobs {
    fn watches(&self) -> &'static [Kind] {
        &[JOBS, PODS]
    }

    fn next(&mut self, seen: &Seen, key: &Key, now: Timestamp) -> Option<Step> {
        let job = seen.get(JOBS, key)?;
        if let Some(done) = finished(job) {
            return (!job.is_terminating()).then(|| expire(job, done)).flatten();
        }
        if job.is_terminating() {
            return None;
        }
        let pods: Vec<&Arc<Object>> = seen.controlled_by(PODS, job).collect();
        let memory = self.memory.entry(job.uid().to_owned()).or_default();
        memory.count(&pods, now);
        let work = Work {
            job,
            pods,
            succeeded: memory.succeeded,
            failed: memory.failed,
            indexes: &memory.indexes,
            failed_at: memory.failed_at,
            now,
        };
        if let Some(step) = work.status() {
            return Some(step);
        }
        if let Some(step) = work.stop() {
            return Some(step);
        }
        if work.end().is_some() {
            return None;
        }
        // As many as there ever were: no name is given twice.
        let made = u64::try_from(memory.counted.len() + memory.live.len()).unwrap_or(0);
        work.start(seen, made).or_else(|| work.deadline())
    }
}

fn is_suspended(job: &Object) -> bool {
    job.value().at(&["spec", "suspend"]) == Some(&Value::Bool(true))
}

/// When a Job ended.
fn finished(job: &Object) -> Option<Timestamp> {
    let value = job.value();
    let ended = ["Complete", "Failed"]
        .iter()
        .find_map(|of| condition(value, of));
    time_at(ended?, &["lastTransitionTime"])
}

fn expire(job: &Object, done: Timestamp) -> Option<Step> {
    let seconds = job.value().i64_at(&["spec", "ttlSecondsAfterFinished"])?;
    Some(Step {
        what: format!("job {} has been finished for long enough", job.name()),
        when: When::At(Timestamp(done.0 + seconds * 1_000_000)),
        ask: Ask::delete(JOBS, job, None),
    })
}

impl Work<'_> {
    fn value(&self) -> &Value {
        self.job.value()
    }

    fn active(&self) -> Vec<&Arc<Object>> {
        self.pods
            .iter()
            .copied()
            .filter(|pod| is_active(pod))
            .collect()
    }

    fn completions(&self) -> Option<i64> {
        self.value().i64_at(&["spec", "completions"])
    }

    fn is_indexed(&self) -> bool {
        self.value().str_at(&["spec", "completionMode"]) == "Indexed"
    }

    fn restarts(&self) -> i64 {
        let all = self
            .pods
            .iter()
            .flat_map(|pod| pod.value().array_at(&["status", "containerStatuses"]));
        all.map(|container| count(container, &["restartCount"], 0))
            .sum()
    }

    fn deadline_at(&self) -> Option<Timestamp> {
        let seconds = self.value().i64_at(&["spec", "activeDeadlineSeconds"])?;
        let started = time_at(self.value(), &["status", "startTime"])?;
        Some(Timestamp(started.0 + seconds * 1_000_000))
    }

    /// Whether it is to end now, and how.
    fn end(&self) -> Option<&'static End> {
        let told = |end: &End| {
            condition(self.value(), end.first)
                .is_some_and(|had| had.str_at(&["reason"]) == end.reason)
        };
        if let Some(end) = [&COMPLETE, &BACKOFF, &DEADLINE]
            .into_iter()
            .find(|end| told(end))
        {
            return Some(end);
        }
        let limit = count(self.value(), &["spec", "backoffLimit"], 6);
        if self.failed > limit || self.restarts() > limit {
            return Some(&BACKOFF);
        }
        if self.deadline_at().is_some_and(|at| at <= self.now) {
            return Some(&DEADLINE);
        }
        let done = match self.completions() {
            Some(completions) => self.succeeded >= completions,
            None => self.succeeded > 0 && self.active().is_empty(),
        };
        done.then_some(&COMPLETE)
    }

    fn status(&self) -> Option<Step> {
        let old = self
            .value()
            .get("status")
            .cloned()
            .unwrap_or_else(Value::object);
        let mut status = old.clone();
        let time = self.now.rfc3339();
        let suspended = is_suspended(self.job);
        if !suspended && status.get("startTime").is_none() {
            status.set(&["startTime"], time.as_str());
        }
        let active = self.active();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let ready = active.iter().filter(|pod| is_ready(pod.value())).count();
        let terminating = self
            .pods
            .iter()
            .filter(|pod| pod.is_terminating() && self.lives(pod));
        for (field, number) in [
            ("active", number(active.len())),
            ("succeeded", self.succeeded),
            ("failed", self.failed),
        ] {
            match number {
                0 => drop(status.remove(&[field])),
                number => status.set(&[field], number),
            }
        }
        let terminating = number(terminating.count());
        status.set(&["ready"], number(ready));
        status.set(&["terminating"], terminating);
        if self.is_indexed() && !self.indexes.is_empty() {
            status.set(&["completedIndexes"], ranges(self.indexes).as_str());
        }
        status.set(&["uncountedTerminatedPods"], Value::object());
        if suspended {
            set_condition(
                &mut status,
                "Suspended",
                "True",
                "JobSuspended",
                "Job suspended",
                self.now,
            );
            status.remove(&["startTime"]);
        } else if condition(self.value(), "Suspended").is_some() {
            set_condition(
                &mut status,
                "Suspended",
                "False",
                "JobResumed",
                "Job resumed",
                self.now,
            );
        }
        let mut what = "counts its pods";
        if let Some(end) = self.end().filter(|_| !suspended) {
            set_condition(
                &mut status,
                end.first,
                "True",
                end.reason,
                end.message,
                self.now,
            );
            if active.is_empty() && terminating == 0 {
                set_condition(
                    &mut status,
                    end.last,
                    "True",
                    end.reason,
                    end.message,
                    self.now,
                );
                if end.last == "Complete" {
                    status.set(&["completionTime"], time.as_str());
                }
                what = if end.last == "Complete" {
                    "is complete"
                } else {
                    "has failed"
                };
            }
        }
        if status == old {
            return None;
        }
        let mut told = self.value().clone();
        told.set(&["status"], status);
        Some(Step {
            what: format!("job {} {what}", self.job.name()),
            when: When::Soon,
            ask: Ask::below(JOBS, self.job, "status", told),
        })
    }

    fn lives(&self, pod: &Object) -> bool {
        !super::objects::is_over(pod.value())
    }

    /// Deletes Pods that are not wanted any more.
    fn stop(&self) -> Option<Step> {
        let active = self.active();
        let wanted = match self.end() {
            None if !is_suspended(self.job) => count(self.value(), &["spec", "parallelism"], 1),
            _ => 0,
        };
        let surplus = i64::try_from(active.len()).unwrap_or(i64::MAX) > wanted;
        let pod = active.last().filter(|_| surplus)?;
        Some(Step {
            what: format!("job {} deletes pod {}", self.job.name(), pod.name()),
            when: When::Soon,
            ask: Ask::delete(PODS, pod, None),
        })
    }

    fn start(&self, seen: &Seen, made: u64) -> Option<Step> {
        let active = self.active();
        let running = i64::try_from(active.len()).unwrap_or(i64::MAX);
        let left = match self.completions() {
            Some(completions) => completions - self.succeeded,
            None if self.succeeded > 0 => 0,
            None => i64::MAX,
        };
        let wanted = count(self.value(), &["spec", "parallelism"], 1).min(left);
        if is_suspended(self.job) || running >= wanted {
            return None;
        }
        let taken: BTreeSet<i64> = active.iter().filter_map(|pod| index(pod)).collect();
        let free = |index: &i64| !taken.contains(index) && !self.indexes.contains(index);
        let index = (0..self.completions().unwrap_or(0))
            .find(free)
            .filter(|_| self.is_indexed());
        let owner = match index {
            Some(index) => format!("{}-{index}", self.job.name()),
            None => self.job.name().to_owned(),
        };
        let namespace = self.job.namespace();
        let mut names = (made..).map(|nth| template::name(&owner, nth));
        let name = names.find(|name| seen.get(PODS, &Key::new(namespace, name)).is_none())?;
        let of = self
            .value()
            .at(&["spec", "template"])
            .cloned()
            .unwrap_or_default();
        let mut pod = template::pod(JOBS, self.job, &of, &name);
        pod.set(&["metadata", "generateName"], format!("{owner}-").as_str());
        if let Some(index) = index {
            let index = index.to_string();
            pod.set(&["metadata", "annotations", INDEX], index.as_str());
            pod.set(&["metadata", "labels", INDEX], index.as_str());
        }
        let backoff_s = 10_i64 << self.failed.clamp(1, 7).saturating_sub(1);
        let when = match self.failed_at {
            Some(at) => When::At(Timestamp(at.0 + backoff_s * 1_000_000)),
            None => When::Soon,
        };
        Some(Step {
            what: format!("job {} creates pod {name}", self.job.name()),
            when,
            ask: Ask::create(PODS, namespace, pod),
        })
    }

    /// Nothing happens until the deadline.
    fn deadline(&self) -> Option<Step> {
        let at = self.deadline_at()?;
        let later = Work {
            now: at,
            pods: self.pods.clone(),
            ..*self
        };
        let mut step = later.status()?;
        step.what = format!("job {} is past its deadline", self.job.name());
        step.when = When::At(at);
        Some(step)
    }
}

/// Indexes as `status.completedIndexes` has them: `0-2,4`.
fn ranges(indexes: &BTreeSet<i64>) -> String {
    let mut parts: Vec<(i64, i64)> = Vec::new();
    for index in indexes {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => parts.push((*index, *index)),
        }
    }
    let texts = parts.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    texts.collect::<Vec<_>>().join(",")
}
