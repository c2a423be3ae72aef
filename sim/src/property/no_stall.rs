//! `no-stall`: no reconcile is silent for longer than 50 ms; a finding names what it waited for, and for whom.
//!
//! Silent is a reconcile between its start, its requests, their replies and its end. What the wait was is read off how it
//! ended: `api`, a request of its own was under way; `pause`, the whole process stood still; `lock`, it went on when
//! another reconcile of the replica did; `channel`, it went on when something reached the replica outside of any
//! reconcile; `timer`, it went on by itself. The parameter `ignore` leaves out kinds of wait.
//!
//! Does not see: what a reconcile waits for besides; a wait for a task that itself waits is taken for what that waits for;
//! reconciles outside of kube's controller. In schedules of the controlled kind messages wait as long as the schedule
//! likes: this property is for timed ones.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fake_apiserver::store::Entry;
use serde::Deserialize;

use super::builtin::{Tuned, span};
use super::{About, Property, Report, View};
use crate::event::{Event, ReconcileId, ReplicaId, RequestId, StepId};
use crate::time::SimTime;
use crate::trace::Record;

/// What can be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Silence {
    #[serde(deserialize_with = "span")]
    over: Duration,
    ignore: Vec<Wait>,
}

impl Default for Silence {
    fn default() -> Self {
        Silence {
            over: Duration::from_millis(50),
            ignore: Vec::new(),
        }
    }
}

/// What a reconcile can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Wait {
    Api,
    Channel,
    Lock,
    Pause,
    Timer,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wait::Api => "the API server",
            Wait::Channel => "a channel",
            Wait::Lock => "a lock",
            Wait::Pause => "the whole process",
            Wait::Timer => "a timer",
        })
    }
}

#[derive(Default)]
pub(super) struct NoStall {
    silence: Silence,
    open: BTreeMap<ReconcileId, Open>,
    requests: BTreeMap<RequestId, (ReconcileId, String)>,
    /// When each replica last was paused.
    stood: BTreeMap<ReplicaId, (SimTime, StepId)>,
    /// The reconcile that last did something, its object and the moment.
    last: BTreeMap<ReplicaId, (ReconcileId, String, SimTime)>,
}

struct Open {
    replica: ReplicaId,
    object: String,
    heard: SimTime,
    step: StepId,
    /// Its requests under way.
    asked: Vec<RequestId>,
}

impl Tuned for NoStall {
    type Params = Silence;

    fn tuned(params: &Silence) -> Self {
        NoStall {
            silence: params.clone(),
            ..NoStall::default()
        }
    }
}

impl Property for NoStall {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        match &record.event {
            Event::ReconcileStarted {
                replica,
                reconcile,
                object,
                ..
            } => {
                let open = Open {
                    replica: *replica,
                    object: object.clone(),
                    heard: record.at,
                    step: record.step,
                    asked: Vec::new(),
                };
                self.open.insert(*reconcile, open);
                let last = (*reconcile, object.clone(), record.at);
                self.last.insert(*replica, last);
            }
            Event::RequestSent {
                request,
                reconcile: Some(reconcile),
                call,
                ..
            } => {
                self.hear(*reconcile, record, view, report);
                self.requests
                    .insert(*request, (*reconcile, call.to_string()));
                if let Some(open) = self.open.get_mut(reconcile) {
                    open.asked.push(*request);
                }
            }
            Event::ReplyDelivered { request, .. } | Event::RequestCancelled { request, .. } => {
                let of = self.requests.get(request).map(|(reconcile, _)| *reconcile);
                if let Some(reconcile) = of {
                    self.hear(reconcile, record, view, report);
                    if let Some(open) = self.open.get_mut(&reconcile) {
                        open.asked.retain(|asked| asked != request);
                    }
                }
            }
            Event::ReconcileEnded { reconcile, .. } => {
                self.hear(*reconcile, record, view, report);
                self.open.remove(reconcile);
            }
            Event::ReplicaPaused { replica, .. } | Event::ReplicaResumed { replica } => {
                let stood = (record.at, record.step);
                self.stood.insert(*replica, stood);
            }
            Event::Blocked { replica, for_us } => {
                let silent = Duration::from_micros(*for_us);
                if silent > self.silence.over && !self.silence.ignore.contains(&Wait::Pause) {
                    let name = view.name_of(*replica);
                    let message = format!(
                        "{name} is silent for {silent:?} and waits for {}: it blocked its thread",
                        Wait::Pause
                    );
                    let about = About {
                        replica: Some(*replica),
                        ..About::default()
                    };
                    report.find(message, about);
                }
            }
            Event::ReplicaCrashed { replica, .. } | Event::ReplicaEnded { replica, .. } => {
                self.open.retain(|_, open| open.replica != *replica);
            }
            _ => {}
        }
    }
}

impl NoStall {
    fn hear(
        &mut self,
        reconcile: ReconcileId,
        record: &Record,
        view: &View<'_>,
        report: &mut Report,
    ) {
        let Some(open) = self.open.get(&reconcile) else {
            return;
        };
        let silent = record.at.since(open.heard);
        if silent > self.silence.over {
            let (wait, whose, step) = self.wait(open, reconcile, record, view);
            if !self.silence.ignore.contains(&wait) {
                let message = format!(
                    "the reconcile of {} is silent for {silent:?} and waits for {wait}{whose}",
                    open.object
                );
                let mut because = vec![open.step];
                because.extend(step);
                let about = About {
                    replica: Some(open.replica),
                    because,
                    ..About::default()
                };
                report.find(message, about);
            }
        }
        let last = (reconcile, open.object.clone(), record.at);
        self.last.insert(open.replica, last);
        if let Some(open) = self.open.get_mut(&reconcile) {
            open.heard = record.at;
            open.step = record.step;
        }
    }

    /// What a silence was for, whose it was, and the record that tells so.
    fn wait(
        &self,
        open: &Open,
        reconcile: ReconcileId,
        record: &Record,
        view: &View<'_>,
    ) -> (Wait, String, Option<StepId>) {
        if let Some((at, step)) = self.stood.get(&open.replica)
            && *at >= open.heard
        {
            let name = view.name_of(open.replica);
            return (Wait::Pause, format!(": {name} was paused"), Some(*step));
        }
        if let Some((_, call)) = open.asked.first().and_then(|id| self.requests.get(id)) {
            return (Wait::Api, format!(": {call}"), None);
        }
        // Another reconcile that did something at this very moment has let this one go on.
        if let Some((other, object, at)) = self.last.get(&open.replica)
            && *other != reconcile
            && *at == record.at
        {
            return (Wait::Lock, format!(" of the reconcile of {object}"), None);
        }
        let cause = record.cause.and_then(|step| view.trace.record(step));
        match cause.map(|cause| &cause.event) {
            Some(Event::WatchDelivered { .. } | Event::ReplyDelivered { .. }) => (
                Wait::Channel,
                " that a task beside it feeds".to_owned(),
                record.cause,
            ),
            _ => (Wait::Timer, " of its own".to_owned(), None),
        }
    }
}
