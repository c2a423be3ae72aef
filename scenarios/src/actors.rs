//! Actors: what acts beside the operators, and how the stages of its objects are tuned.
//!
//! Owns the notation: a name alone, or `{name: settings}`. Does not own what an actor does (`sim::actors`) nor its
//! defaults (`sim::actors::stages`).

use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use sim::setup::{self, PodFault};
use sim::time::DurationRange;

use crate::quantity::SpanRange;

/// A part of the cluster that acts beside the operators.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = names_alone)]
pub enum Actor {
    /// Deletes dependents whose owners are gone; serves foreground and orphan deletion.
    #[serde(rename = "garbage-collector")]
    GarbageCollector,
    /// Empties and removes namespaces that are being deleted.
    Namespaces,
    /// All stand-ins below, those that are not named with their defaults.
    Workloads,
    /// Scheduler and kubelet: Pods are bound, start, become Ready, end, fail and stop.
    Pods(Option<Pods>),
    /// Makes and deletes the Pods of ReplicaSets.
    ReplicaSets(Option<Pace>),
    /// Makes, scales and rolls over the ReplicaSets of Deployments.
    Deployments(Option<Pace>),
    /// Makes and deletes the Pods of StatefulSets in order, and makes their claims.
    StatefulSets(Option<Pace>),
    /// Makes the Pods of Jobs until they have succeeded or failed.
    Jobs(Option<Pace>),
    /// Binds claims after a while.
    PersistentVolumeClaims(Option<Claims>),
    /// Lists the addresses of the Pods behind a Service.
    Endpoints(Option<Pace>),
}

/// How fast a stand-in sees and acts.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pace {
    /// From the API server's watch cache to the stand-in: how far its view lags; `timing.watch` unless said.
    pub watch: Option<SpanRange>,
    /// From the moment it has something to do until it does it; `timing.actors` unless said.
    pub act: Option<SpanRange>,
}

/// The stages of Pods.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pods {
    /// From the API server's watch cache to scheduler and kubelet; `timing.watch` unless said.
    pub watch: Option<SpanRange>,
    /// From the moment they have something to do at once until they do it; `timing.actors` unless said.
    pub act: Option<SpanRange>,
    /// Created → bound to a node; 5ms..100ms unless said.
    pub schedule: Option<SpanRange>,
    /// Bound → Running; 200ms..3s unless said.
    pub start: Option<SpanRange>,
    /// Running → Ready, or → crashed; 100ms..5s unless said.
    pub ready: Option<SpanRange>,
    /// Ready → done, for Pods that end (Jobs'); 500ms..10s unless said.
    pub run: Option<SpanRange>,
    /// Told to stop → stopped, cut short by the grace period; 100ms..2s unless said.
    pub terminate: Option<SpanRange>,
    /// A crash → the restart, twice as long each time; 1s..10s unless said.
    pub restart: Option<SpanRange>,
    /// Pods that fail; the first that fits.
    #[serde(default)]
    pub fail: Vec<Failure>,
}

/// Pods that fail.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failure {
    /// Their names; a `*` at the end stands for any rest: `web-*`.
    pub pods: String,
    /// What goes wrong.
    pub how: How,
    /// No more than this many Pods of a run, those seen first; all unless said.
    pub at_most: Option<u32>,
    /// A container that crashes does so this often and then works; always unless said.
    pub times: Option<u32>,
}

/// What goes wrong with a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// No node has room: it stays Pending.
    Unschedulable,
    /// Its image cannot be pulled: it stays Pending.
    ImagePull,
    /// It runs and never becomes Ready.
    NeverReady,
    /// Its container exits with 1: restarted, or Failed where `restartPolicy` is `Never`.
    Crash,
}

/// The stages of claims.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claims {
    /// From the API server's watch cache to the provisioner; `timing.watch` unless said.
    pub watch: Option<SpanRange>,
    /// From the moment it has something to do at once until it does it; `timing.actors` unless said.
    pub act: Option<SpanRange>,
    /// Pending → Bound; 100ms..2s unless said.
    pub bind: Option<SpanRange>,
}

/// The actors of a file as the engine takes them; an error names the one that stands there twice.
pub fn lower(actors: &[Actor]) -> Result<Vec<setup::Actor>, &'static str> {
    let mut list: Vec<setup::Actor> = Vec::new();
    for actor in actors.iter().filter_map(named) {
        if list.iter().any(|other| other.name() == actor.name()) {
            return Err(actor.name());
        }
        list.push(actor);
    }
    if actors.iter().any(|actor| matches!(actor, Actor::Workloads)) {
        for actor in setup::Actor::workloads() {
            if list.iter().all(|other| other.name() != actor.name()) {
                list.push(actor);
            }
        }
    }
    Ok(list)
}

fn named(actor: &Actor) -> Option<setup::Actor> {
    Some(match actor {
        Actor::Workloads => return None,
        Actor::GarbageCollector => setup::Actor::GarbageCollector,
        Actor::Namespaces => setup::Actor::Namespaces,
        Actor::Pods(said) => setup::Actor::Pods(pods(said.clone().unwrap_or_default())),
        Actor::ReplicaSets(said) => setup::Actor::ReplicaSets(pace(*said)),
        Actor::Deployments(said) => setup::Actor::Deployments(pace(*said)),
        Actor::StatefulSets(said) => setup::Actor::StatefulSets(pace(*said)),
        Actor::Jobs(said) => setup::Actor::Jobs(pace(*said)),
        Actor::Endpoints(said) => setup::Actor::Endpoints(pace(*said)),
        Actor::PersistentVolumeClaims(said) => {
            let said = said.unwrap_or_default();
            let default = setup::ClaimStages::default();
            setup::Actor::PersistentVolumeClaims(setup::ClaimStages {
                pace: pace_of(said.watch, said.act),
                bind: or(said.bind, default.bind),
            })
        }
    })
}

fn pace(said: Option<Pace>) -> setup::Pace {
    let said = said.unwrap_or_default();
    pace_of(said.watch, said.act)
}

fn pace_of(watch: Option<SpanRange>, act: Option<SpanRange>) -> setup::Pace {
    setup::Pace {
        watch: watch.map(range),
        act: act.map(range),
    }
}

fn range(range: SpanRange) -> DurationRange {
    DurationRange::new(range.min, range.max)
}

fn or(said: Option<SpanRange>, default: DurationRange) -> DurationRange {
    said.map_or(default, range)
}

fn pods(said: Pods) -> setup::PodStages {
    let default = setup::PodStages::default();
    let failures = said.fail.into_iter().map(|failure| setup::PodFailure {
        pods: failure.pods,
        how: match failure.how {
            How::Unschedulable => PodFault::Unschedulable,
            How::ImagePull => PodFault::ImagePull,
            How::NeverReady => PodFault::NeverReady,
            How::Crash => PodFault::Crash,
        },
        at_most: failure.at_most.unwrap_or(u32::MAX),
        times: failure.times,
    });
    setup::PodStages {
        pace: pace_of(said.watch, said.act),
        schedule: or(said.schedule, default.schedule),
        start: or(said.start, default.start),
        ready: or(said.ready, default.ready),
        run: or(said.run, default.run),
        terminate: or(said.terminate, default.terminate),
        restart: or(said.restart, default.restart),
        failures: failures.collect(),
    }
}

/// What takes settings may also stand as its name alone.
fn names_alone(schema: &mut Schema) {
    let Some(serde_json::Value::Array(choices)) = schema.get_mut("oneOf") else {
        return;
    };
    let alone: Vec<_> = choices
        .iter()
        .filter_map(|choice| {
            let name = choice.pointer("/required/0")?.clone();
            let description = choice.get("description").cloned();
            Some(serde_json::json!({"description": description, "type": "string", "const": name}))
        })
        .collect();
    choices.extend(alone);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_stands_for_those_that_are_not_named() {
        let fast = Pods {
            ready: Some(SpanRange {
                min: std::time::Duration::ZERO,
                max: std::time::Duration::ZERO,
            }),
            ..Pods::default()
        };
        let list = lower(&[Actor::Namespaces, Actor::Pods(Some(fast)), Actor::Workloads]);
        let list = list.expect("no name twice");
        let names: Vec<_> = list.iter().map(setup::Actor::name).collect();
        assert_eq!(names[..3], ["namespaces", "pods", "replicasets"]);
        assert_eq!(names.len(), 8);
        let setup::Actor::Pods(stages) = &list[1] else {
            panic!("pods: {list:?}");
        };
        assert_eq!(stages.ready, DurationRange::ms(0, 0));
        assert_eq!(stages.start, setup::PodStages::default().start);
    }

    #[test]
    fn no_actor_stands_there_twice() {
        let twice = lower(&[Actor::Jobs(None), Actor::Jobs(Some(Pace::default()))]);
        assert_eq!(twice, Err("jobs"));
    }
}
