//! ReplicaSets: as many Pods as are asked for, counted in the status.
//!
//! Simplifications: no adoption of Pods that nobody controls; no condition `ReplicaFailure`; a Pod that is to go is chosen
//! by not scheduled, not Ready, youngest, without `pod-deletion-cost`.
//! Source: kubernetes `pkg/controller/replicaset/{replica_set,replica_set_utils}.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fake_apiserver::json;
use fake_apiserver::json::Value;
use fake_apiserver::store::{Key, Object};
use fake_apiserver::time::Timestamp;

use super::objects::{available_at, count, is_active, is_ready, selects};
use super::{Ask, Control, Kind, PODS, REPLICASETS, Seen, Step, When, template};

/// The ReplicaSets of a cluster.
#[derive(Default)]
pub(super) struct ReplicaSets {
    /// The Pods each ever had, by uid: their names are counted.
    had: BTreeMap<String, BTreeSet<String>>,
}

impl Control for ReplicaSets {
    fn watches(&self) -> &'static [Kind] {
        &[REPLICASETS, PODS]
    }

    fn next(&mut self, seen: &Seen, key: &Key, now: Timestamp) -> Option<Step> {
        let set = seen.get(REPLICASETS, key)?;
        let value = set.value();
        let mut pods: Vec<&Arc<Object>> = seen.controlled_by(PODS, set).collect();
        let had = self.had.entry(set.uid().to_owned()).or_default();
        had.extend(pods.iter().map(|pod| pod.uid().to_owned()));
        let made = u64::try_from(had.len()).unwrap_or(u64::MAX);
        pods.retain(|pod| is_active(pod));
        let wanted = count(value, &["spec", "replicas"], 1);
        let have = i64::try_from(pods.len()).unwrap_or(i64::MAX);
        if !set.is_terminating() && have < wanted {
            return Some(create(seen, set, made));
        }
        if !set.is_terminating() && have > wanted {
            pods.sort_by_key(|pod| going(pod));
            let pod = pods.first()?;
            return Some(Step {
                what: format!("replicaset {} deletes pod {}", set.name(), pod.name()),
                when: When::Soon,
                ask: Ask::delete(PODS, pod, None),
            });
        }
        status(set, &pods, now)
    }
}

fn create(seen: &Seen, set: &Object, made: u64) -> Step {
    let mut nth = made;
    let mut name = template::name(set.name(), nth);
    while seen.get(PODS, &Key::new(set.namespace(), &name)).is_some() {
        nth += 1;
        name = template::name(set.name(), nth);
    }
    let of = set.value().at(&["spec", "template"]).cloned();
    let mut pod = template::pod(REPLICASETS, set, &of.unwrap_or_default(), &name);
    pod.set(
        &["metadata", "generateName"],
        format!("{}-", set.name()).as_str(),
    );
    Step {
        what: format!("replicaset {} creates pod {name}", set.name()),
        when: When::Soon,
        ask: Ask::create(PODS, set.namespace(), pod),
    }
}

/// The first in this order is deleted first.
fn going(pod: &Object) -> (bool, bool, bool, std::cmp::Reverse<u64>) {
    let value = pod.value();
    (
        !value.str_at(&["spec", "nodeName"]).is_empty(),
        value.str_at(&["status", "phase"]) == "Running",
        is_ready(value),
        std::cmp::Reverse(created(pod)),
    )
}

/// Orders Pods by age; those of one second by revision.
fn created(pod: &Object) -> u64 {
    let time = super::objects::time_at(pod.value(), &["metadata", "creationTimestamp"]);
    let seconds = time.map_or(0, |time| time.seconds());
    u64::try_from(seconds).unwrap_or(0) << 24 | pod.revision() & 0xff_ffff
}

fn status(set: &Object, pods: &[&Arc<Object>], now: Timestamp) -> Option<Step> {
    let value = set.value();
    let min_ready = count(value, &["spec", "minReadySeconds"], 0);
    let labels = value.at(&["spec", "template", "metadata", "labels"]);
    let labelled = json!({"matchLabels": labels.cloned().unwrap_or_else(Value::object)});
    let number = |of: &dyn Fn(&Value) -> bool| {
        let fitting = pods.iter().filter(|pod| of(pod.value()));
        i64::try_from(fitting.count()).unwrap_or(i64::MAX)
    };
    let mut status = value.get("status").cloned().unwrap_or_else(Value::object);
    let counts = [
        ("replicas", number(&|_| true)),
        (
            "fullyLabeledReplicas",
            number(&|pod| selects(Some(&labelled), pod.at(&["metadata", "labels"]))),
        ),
        ("readyReplicas", number(&is_ready)),
        (
            "availableReplicas",
            number(&|pod| available_at(pod, min_ready).is_some_and(|at| at <= now)),
        ),
    ];
    for (field, number) in counts {
        if number == 0 && field != "replicas" {
            status.remove(&[field]);
        } else {
            status.set(&[field], number);
        }
    }
    status.set(
        &["observedGeneration"],
        count(value, &["metadata", "generation"], 1),
    );
    let later = pods
        .iter()
        .filter_map(|pod| available_at(pod.value(), min_ready));
    let later = later.filter(|at| *at > now).min();
    let same = value.get("status") == Some(&status);
    let (what, when) = match (same, later) {
        (false, _) => (
            format!("replicaset {} counts its pods", set.name()),
            When::Soon,
        ),
        // A Pod becomes available by time alone: the counts are made again then.
        (true, Some(at)) => {
            return wait_for_available(set, pods, at);
        }
        (true, None) => return None,
    };
    let mut told = value.clone();
    told.set(&["status"], status);
    Some(Step {
        what,
        when,
        ask: Ask::below(REPLICASETS, set, "status", told),
    })
}

/// The status as it will be when the next Pod has been Ready for long enough.
fn wait_for_available(set: &Object, pods: &[&Arc<Object>], at: Timestamp) -> Option<Step> {
    let mut step = status(set, pods, at)?;
    step.what = format!("{} again at {}", step.what, at.rfc3339());
    step.when = When::At(at);
    Some(step)
}
