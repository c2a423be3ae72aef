//! Requests under way, as properties remember them between their sending and their commit.

use std::collections::BTreeMap;

use super::View;
use crate::event::{Base, BodyId, Call, Event, ReconcileId, ReplicaId, RequestId, StepId};
use crate::time::SimTime;
use crate::trace::Record;

/// A request that was sent.
#[derive(Clone, Debug)]
pub(super) struct SentRequest {
    pub(super) replica: ReplicaId,
    pub(super) reconcile: Option<ReconcileId>,
    pub(super) call: Call,
    pub(super) body: Option<BodyId>,
    pub(super) base: Option<Base>,
    pub(super) at: SimTime,
    pub(super) step: StepId,
}

impl SentRequest {
    /// Whether it is a delete whose options make the server the judge.
    pub(super) fn has_precondition(&self, view: &View<'_>) -> bool {
        let body = self.body.and_then(|body| view.trace.bodies.get(&body));
        let Some(body) = body.filter(|_| self.call.verb == "delete") else {
            return false;
        };
        let options: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let preconditions = &options["preconditions"];
        preconditions["uid"].is_string() || preconditions["resourceVersion"].is_string()
    }
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
            body,
            base,
            ..
        } = &record.event
        {
            let sent = SentRequest {
                replica: *replica,
                reconcile: *reconcile,
                call: call.clone(),
                body: *body,
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
