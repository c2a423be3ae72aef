//! Requests under way, as properties remember them between their sending and their commit.

use std::collections::BTreeMap;

use crate::event::{Base, Call, Event, ReconcileId, ReplicaId, RequestId, StepId};
use crate::time::SimTime;
use crate::trace::Record;

/// A request that was sent.
#[derive(Clone, Debug)]
pub(super) struct SentRequest {
    pub(super) replica: ReplicaId,
    pub(super) reconcile: Option<ReconcileId>,
    pub(super) call: Call,
    pub(super) base: Option<Base>,
    pub(super) at: SimTime,
    pub(super) step: StepId,
}

/// All requests of a run so far.
#[derive(Debug, Default)]
pub(super) struct SentRequests(BTreeMap<RequestId, SentRequest>);

impl SentRequests {
    /// Notes a request, if the record is about one's sending.
    pub(super) fn note(&mut self, record: &Record) {
        if let Event::RequestSent {
            replica,
            request,
            reconcile,
            call,
            base,
            ..
        } = &record.event
        {
            let sent = SentRequest {
                replica: *replica,
                reconcile: *reconcile,
                call: call.clone(),
                base: *base,
                at: record.at,
                step: record.step,
            };
            self.0.insert(*request, sent);
        }
    }

    pub(super) fn get(&self, request: RequestId) -> Option<&SentRequest> {
        self.0.get(&request)
    }
}
