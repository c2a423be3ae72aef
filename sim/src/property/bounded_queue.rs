//! `bounded-queue`: no replica has more than so much work at once.
//!
//! Work is a request that waits for its reply, a reconcile under way, or a task of the replica's runtime; each counts
//! for itself, and each may be 100 at most unless set otherwise. Whatever grows with the number of objects, or with the length of an outage,
//! passes any such bound: an unbounded `Controller` over many objects, a task per event, a handler that is never
//! cancelled.
//!
//! Does not see: what waits in a channel without a task of its own; tasks between two doublings (counts of tasks are told
//! at 32, 64, 128, …).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fake_apiserver::store::Entry;
use serde::Deserialize;

use super::builtin::Tuned;
use super::{About, Property, Report, View};
use crate::event::{Event, ReconcileId, ReplicaId, RequestId};
use crate::trace::Record;

/// The bound.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Bound {
    at_most: usize,
}

impl Default for Bound {
    fn default() -> Self {
        Bound { at_most: 100 }
    }
}

#[derive(Default)]
struct Work {
    requests: BTreeSet<RequestId>,
    reconciles: BTreeSet<ReconcileId>,
}

pub(super) struct BoundedQueue {
    at_most: usize,
    work: BTreeMap<ReplicaId, Work>,
}

impl Tuned for BoundedQueue {
    type Params = Bound;

    fn tuned(params: &Bound) -> Self {
        BoundedQueue {
            at_most: params.at_most,
            work: BTreeMap::new(),
        }
    }
}

impl Property for BoundedQueue {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        let (replica, count, noun) = match &record.event {
            Event::RequestSent {
                replica, request, ..
            } => {
                let work = self.work.entry(*replica).or_default();
                work.requests.insert(*request);
                (*replica, work.requests.len(), "requests wait for replies")
            }
            Event::ReplyDelivered {
                replica, request, ..
            }
            | Event::ReplyLost { replica, request }
            | Event::RequestCancelled {
                replica, request, ..
            } => {
                let work = self.work.entry(*replica).or_default();
                work.requests.remove(request);
                return;
            }
            Event::ReconcileStarted {
                replica, reconcile, ..
            } => {
                let work = self.work.entry(*replica).or_default();
                work.reconciles.insert(*reconcile);
                (*replica, work.reconciles.len(), "reconciles are under way")
            }
            Event::ReconcileEnded { replica, reconcile } => {
                let work = self.work.entry(*replica).or_default();
                work.reconciles.remove(reconcile);
                return;
            }
            Event::TasksGrew { replica, tasks } => (*replica, *tasks as usize, "tasks are alive"),
            Event::ReplicaCrashed { replica, .. } | Event::ReplicaEnded { replica, .. } => {
                self.work.remove(replica);
                return;
            }
            _ => return,
        };
        if count > self.at_most {
            let name = view.name_of(replica);
            let about = About {
                replica: Some(replica),
                ..About::default()
            };
            report.find(
                format!(
                    "{count} {noun} in {name} at once, more than {}",
                    self.at_most
                ),
                about,
            );
        }
    }
}
