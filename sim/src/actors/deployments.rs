//! Deployments: a ReplicaSet per template, rolled over within `maxSurge` and `maxUnavailable`, and honest conditions.
//!
//! Simplifications: scaling in proportion while a rollout is under way is not done (the new ReplicaSet takes the
//! difference); no rollback by annotation, no hash collisions; `Recreate` waits for the old ReplicaSets' counts, not for
//! their Pods; counts that are older than a ReplicaSet's last scaling are read with care, where the real controller can
//! fall below `maxUnavailable` for a moment; the revision annotation of a ReplicaSet that comes back is raised, its history is not kept.
//! Source: kubernetes `pkg/controller/deployment/{rolling,recreate,progress,sync}.go`.

use std::sync::Arc;

use fake_apiserver::json;
use fake_apiserver::json::Value;
use fake_apiserver::store::{Key, Object};
use fake_apiserver::time::Timestamp;

use super::objects::{condition, count, set_condition, time_at};
use super::{Ask, Control, DEPLOYMENTS, Kind, REPLICASETS, Seen, Step, When, objects, template};

const REVISION: &str = "deployment.kubernetes.io/revision";
const HASH: &str = "pod-template-hash";

/// The Deployments of a cluster.
pub(super) struct Deployments;

impl Control for Deployments {
    fn watches(&self) -> &'static [Kind] {
        &[DEPLOYMENTS, REPLICASETS]
    }

    fn next(&mut self, seen: &Seen, key: &Key, now: Timestamp) -> Option<Step> {
        let rollout = Rollout::new(seen, seen.get(DEPLOYMENTS, key)?, now);
        if rollout.deployment.is_terminating() {
            return None;
        }
        let paused = rollout.value().at(&["spec", "paused"]) == Some(&Value::Bool(true));
        let step = match &rollout.new {
            None if paused => None,
            None => rollout.create(),
            Some(new) => rollout.roll(new, paused).or_else(|| rollout.forget(new)),
        };
        // The status is told before the next step is taken, as each sync of the real one ends with it.
        rollout
            .status()
            .filter(|status| step.is_none() || status.when == When::Soon)
            .or(step)
    }
}

/// A Deployment and its ReplicaSets.
#[derive(Clone)]
struct Rollout<'a> {
    deployment: &'a Object,
    /// That of today's template.
    new: Option<&'a Arc<Object>>,
    /// The others, oldest first.
    old: Vec<&'a Arc<Object>>,
    hash: String,
    now: Timestamp,
}

fn wanted(set: &Object) -> i64 {
    count(set.value(), &["spec", "replicas"], 1)
}

fn told(set: &Object, field: &str) -> i64 {
    count(set.value(), &["status", field], 0)
}

/// How many of its Pods are available at least: what it was scaled down by and has not counted yet is not.
fn available(set: &Object) -> i64 {
    told(set, "availableReplicas").min(wanted(set))
}

fn revision(set: &Object) -> i64 {
    let text = set.value().str_at(&["metadata", "annotations", REVISION]);
    text.parse().unwrap_or(0)
}

impl<'a> Rollout<'a> {
    fn new(seen: &'a Seen, deployment: &'a Object, now: Timestamp) -> Rollout<'a> {
        let of = deployment.value().at(&["spec", "template"]);
        let hash = template::template_hash(of.unwrap_or(&Value::Null));
        let mut sets: Vec<&Arc<Object>> = seen.controlled_by(REPLICASETS, deployment).collect();
        sets.sort_by_key(|set| (revision(set), set.name().to_owned()));
        let is_new = |set: &&Arc<Object>| {
            set.value().str_at(&["metadata", "labels", HASH]) == hash && !set.is_terminating()
        };
        let new = sets.iter().copied().find(is_new);
        sets.retain(|set| !is_new(set));
        Rollout {
            deployment,
            new,
            old: sets,
            hash,
            now,
        }
    }

    fn value(&self) -> &'a Value {
        self.deployment.value()
    }

    fn sets(&self) -> impl Iterator<Item = &'a Arc<Object>> {
        self.old.iter().copied().chain(self.new)
    }

    fn sum(&self, of: impl Fn(&Object) -> i64) -> i64 {
        self.sets().map(|set| of(set)).sum()
    }

    fn desired(&self) -> i64 {
        count(self.value(), &["spec", "replicas"], 1)
    }

    fn recreates(&self) -> bool {
        self.value().str_at(&["spec", "strategy", "type"]) == "Recreate"
    }

    /// `maxSurge` rounds up, `maxUnavailable` down; one of them is above zero.
    fn bounds(&self) -> (i64, i64) {
        let bound = |field: &str, up: bool| {
            let path = ["spec", "strategy", "rollingUpdate", field];
            let text = self.value().str_at(&path);
            match text
                .strip_suffix('%')
                .and_then(|percent| percent.parse::<i64>().ok())
            {
                Some(percent) => (self.desired() * percent + if up { 99 } else { 0 }) / 100,
                None => count(self.value(), &path, 0),
            }
        };
        let (surge, unavailable) = (bound("maxSurge", true), bound("maxUnavailable", false));
        match (surge, unavailable) {
            (0, 0) => (0, 1),
            bounds => bounds,
        }
    }

    fn create(&self) -> Option<Step> {
        if self.recreates()
            && self
                .old
                .iter()
                .any(|set| wanted(set) > 0 || told(set, "replicas") > 0)
        {
            return self
                .old
                .iter()
                .find(|set| wanted(set) > 0)
                .map(|set| self.scale(set, 0));
        }
        let replicas = match self.recreates() {
            true => self.desired(),
            false => self.room(0),
        };
        let name = format!("{}-{}", self.deployment.name(), self.hash);
        let mut of = self
            .value()
            .at(&["spec", "template"])
            .cloned()
            .unwrap_or_default();
        of.set(&["metadata", "labels", HASH], self.hash.as_str());
        let mut selector = self
            .value()
            .at(&["spec", "selector"])
            .cloned()
            .unwrap_or_default();
        selector.set(&["matchLabels", HASH], self.hash.as_str());
        let next = self.old.iter().map(|set| revision(set)).max().unwrap_or(0) + 1;
        let set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": name.as_str(), "namespace": self.deployment.namespace(),
                "labels": of.at(&["metadata", "labels"]).cloned().unwrap_or_default(),
                "annotations": {
                    (REVISION): next.to_string().as_str(),
                    "deployment.kubernetes.io/desired-replicas": self.desired().to_string().as_str(),
                },
                "ownerReferences": objects::owned_by(DEPLOYMENTS, self.deployment),
            },
            "spec": {
                "replicas": replicas,
                "minReadySeconds": count(self.value(), &["spec", "minReadySeconds"], 0),
                "selector": selector, "template": of,
            },
        });
        Some(Step {
            what: format!(
                "deployment {} creates replicaset {name} with {replicas} replicas",
                self.deployment.name()
            ),
            when: When::Soon,
            ask: Ask::create(REPLICASETS, self.deployment.namespace(), set),
        })
    }

    /// How many replicas the new ReplicaSet may have.
    fn room(&self, has: i64) -> i64 {
        let total = self.sum(wanted);
        let room = self.desired() + self.bounds().0 - total;
        (has + room.max(0)).min(self.desired())
    }

    fn scale(&self, set: &Object, replicas: i64) -> Step {
        let mut value = set.value().clone();
        value.set(&["spec", "replicas"], replicas);
        Step {
            what: format!(
                "deployment {} scales replicaset {} from {} to {replicas}",
                self.deployment.name(),
                set.name(),
                wanted(set)
            ),
            when: When::Soon,
            ask: Ask::update(REPLICASETS, set, value),
        }
    }

    fn roll(&self, new: &Arc<Object>, paused: bool) -> Option<Step> {
        if paused {
            return None;
        }
        let last = self.old.iter().map(|set| revision(set)).max().unwrap_or(0);
        if revision(new) <= last {
            let mut value = new.value().clone();
            value.set(
                &["metadata", "annotations", REVISION],
                (last + 1).to_string().as_str(),
            );
            return Some(Step {
                what: format!(
                    "deployment {} returns to replicaset {}",
                    self.deployment.name(),
                    new.name()
                ),
                when: When::Soon,
                ask: Ask::update(REPLICASETS, new, value),
            });
        }
        if self.recreates() {
            if let Some(set) = self.old.iter().find(|set| wanted(set) > 0) {
                return Some(self.scale(set, 0));
            }
            let gone = self.old.iter().all(|set| told(set, "replicas") == 0);
            let wrong = wanted(new) != self.desired();
            return (gone && wrong).then(|| self.scale(new, self.desired()));
        }
        let has = wanted(new);
        let room = match has > self.desired() {
            true => self.desired(),
            false => self.room(has),
        };
        if room != has {
            return Some(self.scale(new, room));
        }
        self.shrink(new)
    }

    /// Takes from the old ReplicaSets what may go: first what is not available anyway.
    fn shrink(&self, new: &Arc<Object>) -> Option<Step> {
        let least = self.desired() - self.bounds().1;
        let starting = wanted(new) - available(new);
        let most = self.sum(wanted) - least - starting;
        if most <= 0 {
            return None;
        }
        let running = || self.old.iter().filter(|set| wanted(set) > 0);
        for set in running() {
            let ill = wanted(set) - available(set);
            if ill > 0 {
                return Some(self.scale(set, wanted(set) - ill.min(most)));
            }
        }
        let spare = self.sum(available) - least;
        let set = running().next().filter(|_| spare > 0)?;
        Some(self.scale(set, wanted(set) - spare.min(wanted(set))))
    }

    /// Deletes what `revisionHistoryLimit` does not keep, once the rollout is complete.
    fn forget(&self, new: &Arc<Object>) -> Option<Step> {
        let limit = count(self.value(), &["spec", "revisionHistoryLimit"], 10);
        let idle = |set: &&&Arc<Object>| {
            wanted(set) == 0 && told(set, "replicas") == 0 && !set.is_terminating()
        };
        let done = told(new, "availableReplicas") == self.desired();
        let idle: Vec<_> = self.old.iter().filter(idle).collect();
        let many = i64::try_from(idle.len()).unwrap_or(i64::MAX) > limit;
        let set = idle.first().filter(|_| many && done)?;
        Some(Step {
            what: format!(
                "deployment {} forgets replicaset {}",
                self.deployment.name(),
                set.name()
            ),
            when: When::Soon,
            ask: Ask::delete(REPLICASETS, set, None),
        })
    }

    fn status(&self) -> Option<Step> {
        let old = self
            .value()
            .get("status")
            .cloned()
            .unwrap_or_else(Value::object);
        let mut status = old.clone();
        let replicas = self.sum(|set| told(set, "replicas"));
        let available = self.sum(|set| told(set, "availableReplicas"));
        let updated = self.new.map_or(0, |set| told(set, "replicas"));
        let counts = [
            ("replicas", replicas),
            ("updatedReplicas", updated),
            ("readyReplicas", self.sum(|set| told(set, "readyReplicas"))),
            ("availableReplicas", available),
            (
                "unavailableReplicas",
                (self.sum(wanted).max(self.desired()) - available).max(0),
            ),
        ];
        for (field, number) in counts {
            match number {
                0 => drop(status.remove(&[field])),
                number => status.set(&[field], number),
            }
        }
        status.set(
            &["observedGeneration"],
            count(self.value(), &["metadata", "generation"], 1),
        );
        let (is, reason, message) = match available >= self.desired() - self.tolerated() {
            true => (
                "True",
                "MinimumReplicasAvailable",
                "Deployment has minimum availability.",
            ),
            false => (
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            ),
        };
        set_condition(&mut status, "Available", is, reason, message, self.now);
        let deadline = self.progress(&old, &mut status, [updated, available, replicas]);
        self.date(&mut status, |condition| {
            condition.get("lastUpdateTime").is_none()
        });
        if status == old {
            // Nothing has changed; unless it goes on, the deadline passes.
            let at = deadline.filter(|at| *at > self.now)?;
            let later = Rollout {
                now: at,
                ..self.clone()
            };
            let mut step = later.status()?;
            step.what = format!(
                "deployment {} is past its progress deadline",
                self.deployment.name()
            );
            step.when = When::At(at);
            return Some(step);
        }
        let mut value = self.value().clone();
        value.set(&["status"], status);
        Some(Step {
            what: format!("deployment {} tells its status", self.deployment.name()),
            when: When::Soon,
            ask: Ask::below(DEPLOYMENTS, self.deployment, "status", value),
        })
    }

    /// How many may be missing while the Deployment is Available.
    fn tolerated(&self) -> i64 {
        if self.recreates() { 0 } else { self.bounds().1 }
    }

    /// Sets the condition Progressing; returns the time by which something must happen.
    fn progress(&self, old: &Value, status: &mut Value, counts: [i64; 3]) -> Option<Timestamp> {
        let [updated, available, replicas] = counts;
        let new = self.new?;
        let desired = self.desired();
        let complete = counts.iter().all(|count| *count == desired);
        let had = condition(self.value(), "Progressing");
        let was = had.map_or("", |had| had.str_at(&["reason"]));
        let done = was == "NewReplicaSetAvailable";
        let message = |rest: &str| format!("ReplicaSet \"{}\" {rest}", new.name());
        let available_message = message("has successfully progressed.");
        let told = had.map_or("", |had| had.str_at(&["message"]));
        // Complete implies that all replicas are updated.
        if done && told == available_message && replicas == updated {
            return None;
        }
        let counted = ["updatedReplicas", "readyReplicas", "availableReplicas"];
        let moved = old.get("observedGeneration").is_some()
            && counted
                .iter()
                .any(|field| count(status, &[field], 0) > count(old, &[field], 0));
        let shrunk =
            updated < replicas && count(status, &["replicas"], 0) < count(old, &["replicas"], 0);
        let since = had.and_then(|had| time_at(had, &["lastUpdateTime"]));
        let seconds = count(self.value(), &["spec", "progressDeadlineSeconds"], 600);
        let deadline = since.map(|since| Timestamp(since.0 + seconds * 1_000_000));
        let (is, reason, message) = if complete && available == desired {
            ("True", "NewReplicaSetAvailable", available_message)
        } else if had.is_none() {
            let message = format!("Created new replica set \"{}\"", new.name());
            ("True", "NewReplicaSetCreated", message)
        } else if moved || shrunk || done {
            ("True", "ReplicaSetUpdated", message("is progressing."))
        } else if was == "ProgressDeadlineExceeded" {
            return None;
        } else if deadline.is_some_and(|at| at <= self.now) {
            (
                "False",
                "ProgressDeadlineExceeded",
                message("has timed out progressing."),
            )
        } else {
            return deadline;
        };
        set_condition(status, "Progressing", is, reason, &message, self.now);
        self.date(status, |condition| {
            condition.str_at(&["type"]) == "Progressing"
        });
        None
    }

    /// Sets `lastUpdateTime` of some conditions.
    fn date(&self, status: &mut Value, which: impl Fn(&Value) -> bool) {
        let time = self.now.rfc3339();
        let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
        for condition in conditions
            .into_iter()
            .flatten()
            .filter(|condition| which(condition))
        {
            condition.set(&["lastUpdateTime"], time.as_str());
        }
    }
}
