//! `whole-traces`: a trace that is kept is whole, and one in which a request failed is kept.
//!
//! Reads the batches that a simulated collector took: JSON with `spans`, each with `trace`, `span`, `parent` and `error`. At
//! the end of a run every parent that is named must have been taken too, and of each request with a `traceparent` that was
//! refused or lost, the trace.
//!
//! Does not see: traces exported in another form, and whether a trace that was not kept should have been.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fake_apiserver::store::Entry;
use serde::Deserialize;

use super::super::{About, Property, Report, View};
use crate::event::{BodyId, EffectKind, Event, RequestId, StepId};
use crate::trace::Record;

#[derive(Deserialize)]
struct Batch {
    spans: Vec<Exported>,
}

#[derive(Deserialize)]
struct Exported {
    trace: String,
    span: String,
    parent: Option<String>,
}

#[derive(Default)]
pub(in crate::property) struct WholeTraces {
    sent: BTreeMap<RequestId, BodyId>,
    traces: BTreeMap<RequestId, String>,
    /// Where the requests of each trace were sent.
    calls: BTreeMap<String, Vec<StepId>>,
    taken: Vec<(StepId, BodyId)>,
    /// Traces in which a request failed, with the failure.
    failed: BTreeMap<String, StepId>,
}

impl Property for WholeTraces {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], _: &View<'_>, _: &mut Report) {
        match &record.event {
            Event::ServiceCalled {
                request,
                body: Some(body),
                ..
            } => {
                self.sent.insert(*request, *body);
            }
            Event::ServiceCommitted {
                request, effects, ..
            } => {
                let taken = effects.iter().any(|one| one.kind == EffectKind::Accepted);
                let body = self.sent.get(request).filter(|_| taken);
                self.taken.extend(body.map(|body| (record.step, *body)));
            }
            Event::RequestSent {
                request,
                traceparent: Some(traceparent),
                ..
            } => {
                let trace = traceparent.split('-').nth(1).unwrap_or_default();
                self.traces.insert(*request, trace.to_owned());
                let calls = self.calls.entry(trace.to_owned()).or_default();
                calls.push(record.step);
            }
            Event::RequestRefused { request, .. } | Event::ReplyLost { request, .. } => {
                if let Some(trace) = self.traces.get(request) {
                    self.failed.insert(trace.clone(), record.step);
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self, view: &View<'_>, report: &mut Report) {
        let mut spans: BTreeSet<(String, String)> = BTreeSet::new();
        let mut parents: BTreeMap<(String, String), StepId> = BTreeMap::new();
        for (step, body) in &self.taken {
            let text = view.trace.bodies.get(body);
            let batch = text.and_then(|text| serde_json::from_slice::<Batch>(text).ok());
            for span in batch.into_iter().flat_map(|batch| batch.spans) {
                let parent = span.parent.map(|parent| (span.trace.clone(), parent));
                parents.extend(parent.map(|parent| (parent, *step)));
                spans.insert((span.trace, span.span));
            }
        }
        let kept: BTreeSet<&str> = spans.iter().map(|(trace, _)| trace.as_str()).collect();
        let because = |trace: &str, step: StepId| {
            let mut because = vec![step];
            because.extend(self.calls.get(trace).into_iter().flatten());
            About {
                because,
                ..About::default()
            }
        };
        if let Some(((trace, span), step)) = parents.iter().find(|(one, _)| !spans.contains(*one)) {
            let message = format!("trace {trace} is kept without its span {span}");
            report.find(message, because(trace, *step));
        }
        let lost = self
            .failed
            .iter()
            .find(|(trace, _)| !kept.contains(trace.as_str()));
        if let Some((trace, step)) = lost {
            let message = format!("trace {trace} is not kept, and a request in it failed");
            report.find(message, because(trace, *step));
        }
    }
}
