//! `deadline-honoured`: no reconcile takes longer than its deadline, whatever the API server does.
//!
//! The time is virtual, from the reconcile's start to its end, less the time in which the replica was paused: a
//! process that does not run can keep no deadline. Unless set otherwise the deadline is 30 seconds. A reconcile that is
//! still under way when its deadline passes is told at the first event after it.
//!
//! In controlled schedules time passes while messages wait, as long as the scheduler likes, and no operator is to blame
//! for that. There a reconcile is late only if it waits for longer than the deadline for one reply that the server stalls.
//!
//! Does not see: deadlines of single requests within a reconcile; work outside kube's reconcile spans.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fake_apiserver::store::Entry;
use serde::Deserialize;

use super::builtin::{Tuned, span};
use super::{About, Property, Report, View};
use crate::choice::TapeMode;
use crate::event::{Event, ReconcileId, ReplicaId, RequestId, StepId};
use crate::time::{SimTime, us};
use crate::trace::Record;

/// The deadline.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Deadline {
    #[serde(deserialize_with = "span")]
    within: Duration,
}

impl Default for Deadline {
    fn default() -> Self {
        Deadline {
            within: Duration::from_secs(30),
        }
    }
}

/// A reconcile under way.
struct Open {
    replica: ReplicaId,
    object: String,
    step: StepId,
    /// When its time is up; later by each pause.
    due: SimTime,
    /// The last it asked for.
    asked: Option<(StepId, String)>,
}

pub(super) struct DeadlineHonoured {
    within: Duration,
    open: BTreeMap<ReconcileId, Open>,
    /// The reconciles that requests belong to.
    requests: BTreeMap<RequestId, ReconcileId>,
}

impl Tuned for DeadlineHonoured {
    type Params = Deadline;

    fn tuned(params: &Deadline) -> Self {
        DeadlineHonoured {
            within: params.within,
            open: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }
}

impl Property for DeadlineHonoured {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        self.find_late(record, view, report);
        let timed = view.trace.tape.mode == TapeMode::Timed;
        let due = SimTime(record.at.0.saturating_add(us(self.within)));
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
                    step: record.step,
                    due: if timed { due } else { SimTime::MAX },
                    asked: None,
                };
                self.open.insert(*reconcile, open);
            }
            Event::ReconcileEnded { reconcile, .. } => {
                self.open.remove(reconcile);
            }
            Event::RequestSent {
                request,
                reconcile: Some(reconcile),
                call,
                ..
            } => {
                self.requests.insert(*request, *reconcile);
                if let Some(open) = self.open.get_mut(reconcile) {
                    open.asked = Some((record.step, call.to_string()));
                }
            }
            Event::ReplyStalled { request, .. } if !timed => self.set_due(*request, due),
            Event::ReplyDelivered { request, .. } | Event::RequestCancelled { request, .. } => {
                if !timed {
                    self.set_due(*request, SimTime::MAX);
                }
                self.requests.remove(request);
            }
            Event::ReplicaPaused { replica, for_us } => {
                for open in self.open.values_mut().filter(|o| o.replica == *replica) {
                    open.due = SimTime(open.due.0.saturating_add(*for_us));
                }
            }
            Event::ReplicaCrashed { replica, .. } | Event::ReplicaEnded { replica, .. } => {
                self.open.retain(|_, open| open.replica != *replica);
            }
            _ => {}
        }
    }
}

impl DeadlineHonoured {
    fn set_due(&mut self, request: RequestId, due: SimTime) {
        let reconcile = self.requests.get(&request);
        if let Some(open) = reconcile.and_then(|reconcile| self.open.get_mut(reconcile)) {
            open.due = due;
        }
    }

    fn find_late(&mut self, record: &Record, view: &View<'_>, report: &mut Report) {
        let late = self.open.iter().filter(|(_, open)| record.at > open.due);
        let late: Vec<ReconcileId> = late.map(|(id, _)| *id).collect();
        for id in late {
            let Some(open) = self.open.remove(&id) else {
                continue;
            };
            let name = view.name_of(open.replica);
            let mut because = vec![open.step];
            let mut message = format!(
                "{name} reconciles {} for longer than {:?}",
                open.object, self.within
            );
            if let Some((sent, call)) = open.asked {
                because.push(sent);
                message.push_str(&format!("; the last it asked for: {call}"));
            }
            let about = About {
                replica: Some(open.replica),
                because,
                ..About::default()
            };
            report.find(message, about);
        }
    }
}
