//! StatefulSets: Pods with ordinals, made and removed in order, each with its claims.
//!
//! Simplifications: no ControllerRevisions, so that a Pod below the `partition` that is made anew gets today's template;
//! claims are retained always; `maxUnavailable` of a rolling update is 1.
//! Source: kubernetes `pkg/controller/statefulset/{stateful_set_control,stateful_set_utils}.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_apiserver::json;
use fake_apiserver::json::Value;
use fake_apiserver::store::{Key, Object};
use fake_apiserver::time::Timestamp;

use super::objects::{available_at, count, is_over, is_ready};
use super::{Ask, CLAIMS, Control, Kind, PODS, STATEFULSETS, Seen, Step, When, template};

const REVISION: &str = "controller-revision-hash";

/// The StatefulSets of a cluster.
pub(super) struct StatefulSets;

/// A StatefulSet and its Pods.
struct Ordered<'a> {
    set: &'a Object,
    pods: BTreeMap<i64, &'a Arc<Object>>,
    revision: String,
    now: Timestamp,
}

impl Control for StatefulSets {
    fn watches(&self) -> &'static [Kind] {
        &[STATEFULSETS, PODS, CLAIMS]
    }

    /// Claims have no owner: those of its templates are told by their names.
    fn concerned(&self, seen: &Seen, of: Kind, object: &Object) -> Vec<Key> {
        let sets = seen.in_namespace(STATEFULSETS, object.namespace());
        let mine = sets.filter(|set| match of.plural {
            "pods" => super::objects::controller(object.value())
                .is_some_and(|owner| owner.uid == set.uid()),
            _ => object.name().contains(&format!("-{}-", set.name())),
        });
        mine.map(|set| Key::new(set.namespace(), set.name()))
            .collect()
    }

    fn next(&mut self, seen: &Seen, key: &Key, now: Timestamp) -> Option<Step> {
        let set = seen.get(STATEFULSETS, key)?;
        let of = set.value().at(&["spec", "template"]);
        let hash = template::template_hash(of.unwrap_or(&Value::Null));
        let pods = seen.controlled_by(PODS, set);
        let pods = pods.filter_map(|pod| Some((ordinal(set, pod)?, pod)));
        let ordered = Ordered {
            set,
            pods: pods.collect(),
            revision: format!("{}-{hash}", set.name()),
            now,
        };
        let step = match set.is_terminating() {
            true => None,
            false => ordered.next(seen),
        };
        ordered
            .status()
            .filter(|status| step.is_none() || status.when == When::Soon)
            .or(step)
    }
}

fn ordinal(set: &Object, pod: &Object) -> Option<i64> {
    pod.name()
        .strip_prefix(set.name())?
        .strip_prefix('-')?
        .parse()
        .ok()
}

impl Ordered<'_> {
    fn value(&self) -> &Value {
        self.set.value()
    }

    fn wanted(&self) -> std::ops::Range<i64> {
        let start = count(self.value(), &["spec", "ordinals", "start"], 0);
        start..start + count(self.value(), &["spec", "replicas"], 1)
    }

    fn is_parallel(&self) -> bool {
        self.value().str_at(&["spec", "podManagementPolicy"]) == "Parallel"
    }

    fn available_at(&self, pod: &Object) -> Option<Timestamp> {
        available_at(
            pod.value(),
            count(self.value(), &["spec", "minReadySeconds"], 0),
        )
    }

    /// Ready for long enough and not on its way out.
    fn is_healthy(&self, pod: &Object) -> bool {
        !pod.is_terminating() && self.available_at(pod).is_some_and(|at| at <= self.now)
    }

    fn next(&self, seen: &Seen) -> Option<Step> {
        for ordinal in self.wanted() {
            match self.pods.get(&ordinal) {
                None => return Some(self.create(seen, ordinal)),
                Some(pod) if is_over(pod.value()) && !pod.is_terminating() => {
                    return Some(self.delete(pod, "replaces"));
                }
                Some(pod) if !self.is_parallel() && !self.is_healthy(pod) => return None,
                Some(_) => {}
            }
        }
        let wanted = self.wanted();
        let mut surplus = self
            .pods
            .iter()
            .rev()
            .filter(|(ordinal, _)| !wanted.contains(ordinal));
        if self.is_parallel() {
            let pod = surplus.find(|(_, pod)| !pod.is_terminating());
            if let Some((_, pod)) = pod {
                return Some(self.delete(pod, "removes"));
            }
        } else if let Some((_, pod)) = surplus.next() {
            return (!pod.is_terminating()).then(|| self.delete(pod, "removes"));
        }
        self.update()
    }

    /// Replaces the highest Pod of an older template, one at a time.
    fn update(&self) -> Option<Step> {
        let strategy = self.value().at(&["spec", "updateStrategy"])?;
        if strategy.str_at(&["type"]) == "OnDelete" {
            return None;
        }
        let partition = count(strategy, &["rollingUpdate", "partition"], 0);
        for ordinal in self.wanted().rev().filter(|ordinal| *ordinal >= partition) {
            let pod = self.pods.get(&ordinal)?;
            if !self.is_current(pod) && !pod.is_terminating() {
                return Some(self.delete(pod, "updates"));
            }
            if !self.is_healthy(pod) {
                return None;
            }
        }
        None
    }

    fn is_current(&self, pod: &Object) -> bool {
        pod.value().str_at(&["metadata", "labels", REVISION]) == self.revision
    }

    fn delete(&self, pod: &Object, why: &str) -> Step {
        Step {
            what: format!("statefulset {} {why} pod {}", self.set.name(), pod.name()),
            when: When::Soon,
            ask: Ask::delete(PODS, pod, None),
        }
    }

    /// The Pod, or first a claim that it needs.
    fn create(&self, seen: &Seen, ordinal: i64) -> Step {
        let (set, namespace) = (self.set, self.set.namespace());
        let name = format!("{}-{ordinal}", set.name());
        let of = self
            .value()
            .at(&["spec", "template"])
            .cloned()
            .unwrap_or_default();
        let mut pod = template::pod(STATEFULSETS, set, &of, &name);
        let index = ordinal.to_string();
        for (label, value) in [
            ("statefulset.kubernetes.io/pod-name", name.as_str()),
            ("apps.kubernetes.io/pod-index", &index),
            (REVISION, &self.revision),
        ] {
            pod.set(&["metadata", "labels", label], value);
        }
        pod.set(&["spec", "hostname"], name.as_str());
        let service = self.value().str_at(&["spec", "serviceName"]);
        if !service.is_empty() {
            pod.set(&["spec", "subdomain"], service);
        }
        let mut volumes = pod.array_at(&["spec", "volumes"]).to_vec();
        for claim in self.value().array_at(&["spec", "volumeClaimTemplates"]) {
            let volume = claim.str_at(&["metadata", "name"]);
            let claim_name = format!("{volume}-{name}");
            if seen
                .get(CLAIMS, &Key::new(namespace, &claim_name))
                .is_none()
            {
                return self.claim(claim, &claim_name);
            }
            volumes.retain(|one| one.str_at(&["name"]) != volume);
            volumes.push(json!({
                "name": volume, "persistentVolumeClaim": {"claimName": claim_name.as_str()},
            }));
        }
        if !volumes.is_empty() {
            pod.set(&["spec", "volumes"], Value::Array(volumes));
        }
        Step {
            what: format!("statefulset {} creates pod {name}", set.name()),
            when: When::Soon,
            ask: Ask::create(PODS, namespace, pod),
        }
    }

    fn claim(&self, of: &Value, name: &str) -> Step {
        let mut claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": self.set.namespace()},
            "spec": of.get("spec").cloned().unwrap_or_default(),
        });
        for field in ["labels", "annotations"] {
            if let Some(value) = of.at(&["metadata", field]) {
                claim.set(&["metadata", field], value.clone());
            }
        }
        let labels = self
            .value()
            .at(&["spec", "selector", "matchLabels"])
            .and_then(Value::as_object);
        for (label, value) in labels.into_iter().flat_map(|labels| labels.iter()) {
            claim.set(&["metadata", "labels", label], value.clone());
        }
        Step {
            what: format!("statefulset {} creates claim {name}", self.set.name()),
            when: When::Soon,
            ask: Ask::create(CLAIMS, self.set.namespace(), claim),
        }
    }

    fn status(&self) -> Option<Step> {
        let value = self.value();
        let old = value.get("status").cloned().unwrap_or_else(Value::object);
        let mut status = old.clone();
        let current = match old.str_at(&["currentRevision"]) {
            "" => self.revision.clone(),
            current => current.to_owned(),
        };
        let number = |of: &dyn Fn(&Object) -> bool| {
            let fitting = self.pods.values().filter(|pod| of(pod));
            i64::try_from(fitting.count()).unwrap_or(i64::MAX)
        };
        let of_revision = |revision: &str| {
            number(&|pod: &Object| {
                pod.value().str_at(&["metadata", "labels", REVISION]) == revision
                    && !pod.is_terminating()
            })
        };
        let (updated, ready) = (
            of_revision(&self.revision),
            number(&|pod| is_ready(pod.value())),
        );
        let all = i64::try_from(self.pods.len()).unwrap_or(i64::MAX);
        let rolled =
            updated == all && ready == all && all == count(value, &["spec", "replicas"], 1);
        let current = if rolled {
            self.revision.clone()
        } else {
            current
        };
        let counts = [
            ("replicas", all),
            ("readyReplicas", ready),
            ("currentReplicas", of_revision(&current)),
            ("updatedReplicas", updated),
            ("availableReplicas", number(&|pod| self.is_healthy(pod))),
        ];
        for (field, number) in counts {
            if number == 0
                && matches!(
                    field,
                    "readyReplicas" | "currentReplicas" | "updatedReplicas"
                )
            {
                status.remove(&[field]);
            } else {
                status.set(&[field], number);
            }
        }
        status.set(&["currentRevision"], current.as_str());
        status.set(&["updateRevision"], self.revision.as_str());
        status.set(&["collisionCount"], 0);
        let generation = count(value, &["metadata", "generation"], 1);
        status.set(&["observedGeneration"], generation);
        if status == old {
            let later = self.pods.values().filter_map(|pod| self.available_at(pod));
            let at = later.filter(|at| *at > self.now).min()?;
            let later = Ordered {
                set: self.set,
                pods: self.pods.clone(),
                revision: self.revision.clone(),
                now: at,
            };
            let mut step = later.status()?;
            step.what = format!("{} at {}", step.what, at.rfc3339());
            step.when = When::At(at);
            return Some(step);
        }
        let mut told = value.clone();
        told.set(&["status"], status);
        Some(Step {
            what: format!("statefulset {} counts its pods", self.set.name()),
            when: When::Soon,
            ask: Ask::below(STATEFULSETS, self.set, "status", told),
        })
    }
}
