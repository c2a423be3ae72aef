//! Scheduler and kubelet in one: Pods go from stage to stage, fail as the scenario says, and stop gracefully.
//!
//! Pending → bound to a node → Running → Ready; those that are to end: → Succeeded or Failed. A Pod that is deleted is
//! stopped within its grace period, told so in its status, then removed. A Pod is not scheduled before its claims are Bound.
//!
//! Simplifications: one container state for all containers of a Pod; init containers, probes, resources, affinity, taints
//! and hooks take no part; one node (`node-1`) unless the cluster has Node objects of its own; a restart policy of
//! `OnFailure` restarts the whole Pod; a node never fails.
//! Source: kubernetes `pkg/kubelet/{kubelet_pods,status/status_manager,status/generate}.go`, `pkg/scheduler`.

use std::collections::BTreeMap;

use fake_apiserver::json;
use fake_apiserver::json::Value;
use fake_apiserver::store::{Key, Object};
use fake_apiserver::time::Timestamp;

use super::claims::claims_of;
use super::objects::{condition, count, is_over, is_ready, set_condition, time_at};
use super::stages::{CRASHES_MAX, PodFault, PodStages};
use super::{Ask, CLAIMS, Control, Kind, PODS, Seen, Step, When};
use crate::time::{DurationRange, us};

const NODE: &str = "node-1";

/// The Pods of a cluster.
pub(super) struct Pods {
    stages: PodStages,
    /// Which failure a Pod was given, by uid.
    given: BTreeMap<String, Option<usize>>,
    addresses: BTreeMap<String, usize>,
}

/// A failure as one Pod has it.
#[derive(Clone, Copy)]
struct Failing {
    how: PodFault,
    times: u32,
}

impl Pods {
    pub(super) fn new(stages: PodStages) -> Pods {
        Pods {
            stages,
            given: BTreeMap::new(),
            addresses: BTreeMap::new(),
        }
    }

    /// How this Pod fails; decided when it is seen first.
    fn failing(&mut self, pod: &Object) -> Option<Failing> {
        let failures = &self.stages.failures;
        if failures.is_empty() {
            return None;
        }
        let rule = match self.given.get(pod.uid()) {
            Some(rule) => *rule,
            None => {
                let given = |rule| self.given.values().filter(|of| **of == Some(rule)).count();
                let rule = failures.iter().enumerate().position(|(rule, failure)| {
                    failure.fits(pod.name()) && given(rule) < failure.at_most as usize
                });
                self.given.insert(pod.uid().to_owned(), rule);
                rule
            }
        };
        let failure = &failures[rule?];
        Some(Failing {
            how: failure.how,
            times: failure.times.unwrap_or(u32::MAX),
        })
    }

    /// The Pod's address: the next one free, for ever.
    fn address(&mut self, uid: &str) -> String {
        let next = self.addresses.len();
        let number = *self.addresses.entry(uid.to_owned()).or_insert(next);
        format!("10.244.{}.{}", number / 250, number % 250 + 2)
    }

    fn started(&mut self, pod: &Object, now: Timestamp) -> Value {
        let mut status = status_of(pod);
        status.set(&["phase"], "Running");
        status.set(&["hostIP"], "10.0.0.1");
        status.set(&["hostIPs"], json!([{"ip": "10.0.0.1"}]));
        let address = self.address(pod.uid());
        status.set(&["podIP"], address.as_str());
        status.set(&["podIPs"], json!([{"ip": address.as_str()}]));
        if status.get("startTime").is_none() {
            status.set(&["startTime"], now.rfc3339().as_str());
        }
        let time = now.rfc3339();
        containers(
            &mut status,
            pod.value(),
            false,
            &json!({"running": {"startedAt": time.as_str()}}),
        );
        set_condition(
            &mut status,
            "PodReadyToStartContainers",
            "True",
            "",
            "",
            now,
        );
        set_condition(&mut status, "Initialized", "True", "", "", now);
        not_ready(&mut status, "ContainersNotReady", now);
        status
    }

    fn running(&mut self, pod: &Object, failing: Option<Failing>, now: Timestamp) -> Option<Step> {
        let value = pod.value();
        let restarts = restarts(value);
        let crashes =
            failing.filter(|of| of.how == PodFault::Crash && restarts < of.times.min(CRASHES_MAX));
        let state = first_container(value)
            .get("state")
            .cloned()
            .unwrap_or_default();
        if state.get("running").is_none() {
            // It has crashed: it is started again, or left alone after too many times.
            let crashed = restarts + 1;
            let again = failing.is_some_and(|of| of.how == PodFault::Crash && of.times > crashed);
            if again && crashed >= CRASHES_MAX {
                return None;
            }
            let mut status = self.started(pod, now);
            set_restarts(&mut status, restarts + 1);
            let wait = scaled(self.stages.restart, 1 << restarts.min(4));
            return Some(self.step("restarts", pod, When::After(wait), status));
        }
        if crashes.is_some() {
            return Some(self.crashes(pod, now));
        }
        if !is_ready(value) {
            if failing.is_some_and(|of| of.how == PodFault::NeverReady) {
                return None;
            }
            let mut status = status_of(pod);
            let state = state.clone();
            containers(&mut status, value, true, &state);
            set_condition(&mut status, "Ready", "True", "", "", now);
            set_condition(&mut status, "ContainersReady", "True", "", "", now);
            return Some(self.step("is ready", pod, When::After(self.stages.ready), status));
        }
        if value.str_at(&["spec", "restartPolicy"]) == "Always" {
            return None;
        }
        let mut status = status_of(pod);
        over(&mut status, value, "Succeeded", 0, now);
        Some(self.step("succeeds", pod, When::After(self.stages.run), status))
    }

    fn crashes(&self, pod: &Object, now: Timestamp) -> Step {
        let value = pod.value();
        let mut status = status_of(pod);
        let when = When::After(self.stages.ready);
        if value.str_at(&["spec", "restartPolicy"]) == "Never" {
            over(&mut status, value, "Failed", 1, now);
            return self.step("fails", pod, when, status);
        }
        let last = terminated(1, now);
        containers(
            &mut status,
            value,
            false,
            &json!({"waiting": {
                "reason": "CrashLoopBackOff",
                "message": format!("back-off restarting failed container of pod {}", pod.name()),
            }}),
        );
        if let Some(list) = status
            .get_mut("containerStatuses")
            .and_then(Value::as_array_mut)
        {
            for container in list {
                container.set(&["lastState"], last.clone());
            }
        }
        not_ready(&mut status, "ContainersNotReady", now);
        self.step("crashes", pod, when, status)
    }

    fn stops(&self, pod: &Object, now: Timestamp) -> Step {
        let value = pod.value();
        let running = value.str_at(&["status", "phase"]) == "Running";
        if !running {
            return Step {
                what: format!("pod {} is removed", pod.name()),
                when: When::Soon,
                ask: Ask::delete(PODS, pod, Some(0)),
            };
        }
        let mut status = status_of(pod);
        // A server ends well when it is told to stop; what had a job to do has not done it.
        match value.str_at(&["spec", "restartPolicy"]) {
            "Always" => over(&mut status, value, "Succeeded", 0, now),
            _ => over(&mut status, value, "Failed", 143, now),
        }
        let grace_us = 1_000_000
            * u64::try_from(count(
                value,
                &["metadata", "deletionGracePeriodSeconds"],
                30,
            ))
            .unwrap_or(0);
        let grace = std::time::Duration::from_micros(grace_us);
        let stage = self.stages.terminate;
        let stage = DurationRange::new(stage.min.min(grace), stage.max.min(grace));
        self.step("has stopped", pod, When::After(stage), status)
    }

    fn step(&self, what: &str, pod: &Object, when: When, status: Value) -> Step {
        let mut value = pod.value().clone();
        value.set(&["status"], status);
        Step {
            what: format!("pod {} {what}", pod.name()),
            when,
            ask: Ask::below(PODS, pod, "status", value),
        }
    }

    fn schedule(
        &self,
        seen: &Seen,
        pod: &Object,
        failing: Option<Failing>,
        now: Timestamp,
    ) -> Option<Step> {
        let value = pod.value();
        if !value.array_at(&["spec", "schedulingGates"]).is_empty() {
            return None;
        }
        let wanting = claims_of(pod).find(|claim| {
            let claim = seen.get(CLAIMS, &Key::new(pod.namespace(), claim));
            claim.is_none_or(|claim| claim.value().str_at(&["status", "phase"]) != "Bound")
        });
        let why = match wanting {
            Some(claim) => Some(format!("persistentvolumeclaim {claim:?} is not bound")),
            None if failing.is_some_and(|of| of.how == PodFault::Unschedulable) => {
                Some("0/1 nodes are available: 1 Insufficient cpu.".to_owned())
            }
            None => None,
        };
        let when = When::After(self.stages.schedule);
        let Some(why) = why else {
            let body = json!({
                "apiVersion": "v1", "kind": "Binding",
                "metadata": {"name": pod.name(), "namespace": pod.namespace(), "uid": pod.uid()},
                "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
            });
            return Some(Step {
                what: format!("pod {} is bound to {NODE}", pod.name()),
                when,
                ask: Ask::below(PODS, pod, "binding", body),
            });
        };
        let told = condition(value, "PodScheduled")
            .is_some_and(|condition| condition.str_at(&["message"]) == why);
        if told {
            return None;
        }
        let mut status = status_of(pod);
        set_condition(
            &mut status,
            "PodScheduled",
            "False",
            "Unschedulable",
            &why,
            now,
        );
        Some(self.step("cannot be scheduled", pod, when, status))
    }
}

impl Control for Pods {
    fn watches(&self) -> &'static [Kind] {
        &[PODS, CLAIMS]
    }

    fn manager(&self) -> &'static str {
        "kubelet"
    }

    /// The Pods that wait for a claim.
    fn concerned(&self, seen: &Seen, _of: Kind, claim: &Object) -> Vec<Key> {
        seen.in_namespace(PODS, claim.namespace())
            .filter(|pod| claims_of(pod).any(|name| name == claim.name()))
            .map(|pod| Key::new(pod.namespace(), pod.name()))
            .collect()
    }

    fn next(&mut self, seen: &Seen, key: &Key, now: Timestamp) -> Option<Step> {
        let pod = seen.get(PODS, key)?.clone();
        let value = pod.value();
        if pod.is_terminating() {
            // What finalizers hold is stopped once; the one who takes the last of them away removes it.
            let graceless = count(value, &["metadata", "deletionGracePeriodSeconds"], 0) == 0;
            let over = value.str_at(&["status", "phase"]) != "Running";
            return (!graceless || !over).then(|| self.stops(&pod, now));
        }
        let failing = self.failing(&pod);
        if is_over(value) {
            return None;
        }
        if value.str_at(&["spec", "nodeName"]).is_empty() {
            return self.schedule(seen, &pod, failing, now);
        }
        if value.str_at(&["status", "phase"]) == "Running" {
            let step = self.running(&pod, failing, now);
            return self.deadline(&pod, now).or(step);
        }
        if failing.is_some_and(|of| of.how == PodFault::ImagePull) {
            let first = first_container(value);
            if first.at(&["state", "waiting"]).is_some() {
                return None;
            }
            let mut status = status_of(&pod);
            let image = value.array_at(&["spec", "containers"]).first();
            let image = image.map_or("", |container| container.str_at(&["image"]));
            containers(
                &mut status,
                value,
                false,
                &json!({"waiting": {
                    "reason": "ImagePullBackOff", "message": format!("Back-off pulling image {image:?}"),
                }}),
            );
            set_condition(&mut status, "Initialized", "True", "", "", now);
            not_ready(&mut status, "ContainersNotReady", now);
            return Some(self.step(
                "cannot pull its image",
                &pod,
                When::After(self.stages.start),
                status,
            ));
        }
        let status = self.started(&pod, now);
        Some(self.step("is running", &pod, When::After(self.stages.start), status))
    }
}

impl Pods {
    /// `activeDeadlineSeconds`, once it is past.
    fn deadline(&self, pod: &Object, now: Timestamp) -> Option<Step> {
        let value = pod.value();
        let seconds = value.i64_at(&["spec", "activeDeadlineSeconds"])?;
        let started = time_at(value, &["status", "startTime"])?;
        if now.0 < started.0.saturating_add(seconds.saturating_mul(1_000_000)) {
            return None;
        }
        let mut status = status_of(pod);
        over(&mut status, value, "Failed", 137, now);
        status.set(&["reason"], "DeadlineExceeded");
        Some(self.step("is past its deadline", pod, When::Soon, status))
    }
}

fn status_of(pod: &Object) -> Value {
    pod.value()
        .get("status")
        .cloned()
        .unwrap_or_else(Value::object)
}

fn first_container(pod: &Value) -> Value {
    let first = pod.array_at(&["status", "containerStatuses"]).first();
    first.cloned().unwrap_or_default()
}

fn restarts(pod: &Value) -> u32 {
    u32::try_from(count(&first_container(pod), &["restartCount"], 0)).unwrap_or(0)
}

fn set_restarts(status: &mut Value, restarts: u32) {
    if let Some(list) = status
        .get_mut("containerStatuses")
        .and_then(Value::as_array_mut)
    {
        for container in list {
            container.set(&["restartCount"], i64::from(restarts));
        }
    }
}

/// All containers in one state.
fn containers(status: &mut Value, pod: &Value, ready: bool, state: &Value) {
    let old = status.array_at(&["containerStatuses"]).to_vec();
    let of = |name: &str| old.iter().find(|one| one.str_at(&["name"]) == name);
    let list = pod
        .array_at(&["spec", "containers"])
        .iter()
        .map(|container| {
            let name = container.str_at(&["name"]);
            let restarts = of(name).map_or(0, |old| count(old, &["restartCount"], 0));
            let mut told = json!({
                "name": name, "image": container.str_at(&["image"]), "imageID": "", "ready": ready,
                "started": ready, "restartCount": restarts, "state": state.clone(), "lastState": {},
            });
            if let Some(last) = of(name).and_then(|old| old.get("lastState")) {
                told.set(&["lastState"], last.clone());
            }
            told
        });
    let list: Vec<Value> = list.collect();
    status.set(&["containerStatuses"], Value::Array(list));
}

fn terminated(code: i64, now: Timestamp) -> Value {
    let reason = if code == 0 { "Completed" } else { "Error" };
    let time = now.rfc3339();
    json!({"terminated": {
        "exitCode": code, "reason": reason, "startedAt": time.as_str(), "finishedAt": time.as_str(),
    }})
}

/// The containers have ended, the Pod with them.
fn over(status: &mut Value, pod: &Value, phase: &str, code: i64, now: Timestamp) {
    status.set(&["phase"], phase);
    containers(status, pod, false, &terminated(code, now));
    let reason = if code == 0 {
        "PodCompleted"
    } else {
        "PodFailed"
    };
    not_ready(status, reason, now);
}

fn not_ready(status: &mut Value, reason: &str, now: Timestamp) {
    set_condition(status, "Ready", "False", reason, "", now);
    set_condition(status, "ContainersReady", "False", reason, "", now);
}

fn scaled(range: DurationRange, by: u32) -> DurationRange {
    debug_assert!(us(range.min) <= us(range.max), "a range is ordered");
    DurationRange::new(range.min * by, range.max * by)
}
