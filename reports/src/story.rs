//! Which records of a run tell the story of its findings: the rows of a failure block.
//!
//! Owns the choice. Does not own how a row is told (`words`) or laid out (`timeline`), and looks for no causes of its
//! own: what led to a finding is what the property names, and what the trace links to that.

use std::collections::{BTreeMap, BTreeSet};

use sim::event::{CallId, Event, ReconcileId, ReplicaId, RequestId, StepId, WatchEnd};
use sim::trace::{Record, Trace};

use crate::recording::Recording;

/// A story is no longer than this; its earliest rows go first.
const ROWS_MAX: usize = 40;
/// So many steps of the workload that do the same are told; the last of them.
const ALIKE_MAX: usize = 4;

/// The records that the findings name, what directly caused them, with the beginning and the answer of each request and
/// the beginning of each reconcile among them; the reconciles that a look at metrics among them has counted; every fault
/// and death before the last of them; and what users did. Of many steps of the workload that do the same the last few: a
/// burst is not a story.
pub(crate) fn story(recording: &Recording) -> BTreeSet<StepId> {
    let trace = &recording.trace;
    let mut chosen = BTreeSet::new();
    for finding in &recording.verdict.findings {
        chosen.extend(finding.because.iter().copied());
        chosen.insert(finding.step);
    }
    for step in chosen.clone() {
        chosen.extend(trace.record(step).and_then(|r| r.cause));
    }
    let Some(last) = chosen.last().copied() else {
        return chosen;
    };
    let until = trace.records.iter().take_while(|r| r.step <= last);
    let links = Links::of(until.clone(), &chosen, trace);
    chosen.extend(until.clone().filter(|r| links.has(r)).map(|r| r.step));
    chosen.extend(until.clone().filter(|r| is_turn(r)).map(|r| r.step));
    let mut alike: BTreeMap<String, Vec<StepId>> = BTreeMap::new();
    for record in until {
        let Event::WorkloadDone {
            what,
            status,
            changes,
            ..
        } = &record.event
        else {
            continue;
        };
        let fields: Vec<_> = changes.iter().flat_map(|c| &c.fields).collect();
        let same = alike.entry(format!("{what} {status} {fields:?}"));
        same.or_default().push(record.step);
    }
    for steps in alike.values() {
        chosen.extend(&steps[steps.len().saturating_sub(ALIKE_MAX)..]);
    }
    while chosen.len() > ROWS_MAX {
        chosen.pop_first();
    }
    chosen
}

/// What the chosen records speak of: a row that names `q6` needs the one that says what `q6` is.
#[derive(Default)]
struct Links {
    requests: BTreeSet<RequestId>,
    reconciles: BTreeSet<ReconcileId>,
    webhooks: BTreeSet<CallId>,
    /// Reconciles that are told from their beginning to their end.
    whole: BTreeSet<ReconcileId>,
}

impl Links {
    fn of<'a>(
        records: impl Iterator<Item = &'a Record> + Clone,
        chosen: &BTreeSet<StepId>,
        trace: &Trace,
    ) -> Links {
        let mut links = Links::default();
        for step in chosen {
            let event = trace.record(*step).map(|record| &record.event);
            links.requests.extend(event.and_then(request));
        }
        links.whole = counted(records.clone(), chosen);
        links.reconciles.extend(&links.whole);
        for record in records {
            let (of, on_behalf, within) = match &record.event {
                Event::RequestSent {
                    request,
                    reconcile,
                    webhook,
                    ..
                }
                | Event::ServiceCalled {
                    request,
                    reconcile,
                    webhook,
                    ..
                } => (request, reconcile, webhook),
                _ => continue,
            };
            let whole = on_behalf.is_some_and(|reconcile| links.whole.contains(&reconcile));
            if whole || links.requests.contains(of) {
                links.requests.insert(*of);
                links.reconciles.extend(*on_behalf);
                links.webhooks.extend(*within);
            }
        }
        links
    }

    /// Whether a record says what one of them is, or what the server made of it.
    fn has(&self, record: &Record) -> bool {
        match &record.event {
            Event::RequestSent { request, .. }
            | Event::RequestCommitted { request, .. }
            | Event::ServiceCalled { request, .. }
            | Event::ServiceCommitted { request, .. } => self.requests.contains(request),
            Event::ReconcileStarted { reconcile, .. } => self.reconciles.contains(reconcile),
            Event::ReconcileEnded { reconcile, .. } => self.whole.contains(reconcile),
            Event::WebhookCalled { webhook, .. } => self.webhooks.contains(webhook),
            _ => false,
        }
    }
}

/// What a chosen look at a replica's metrics was the first to show: the reconciles that ended since the look before it,
/// the last few of them.
fn counted<'a>(
    records: impl Iterator<Item = &'a Record>,
    chosen: &BTreeSet<StepId>,
) -> BTreeSet<ReconcileId> {
    let mut ended: BTreeMap<ReplicaId, Vec<ReconcileId>> = BTreeMap::new();
    let mut counted = BTreeSet::new();
    for record in records {
        match &record.event {
            Event::ReconcileEnded {
                replica, reconcile, ..
            } => ended.entry(*replica).or_default().push(*reconcile),
            Event::MetricsScraped { replica, .. } => {
                let since = ended.remove(replica).unwrap_or_default();
                if chosen.contains(&record.step) {
                    counted.extend(&since[since.len().saturating_sub(ALIKE_MAX)..]);
                }
            }
            _ => {}
        }
    }
    counted
}

/// The request that an event is about.
fn request(event: &Event) -> Option<RequestId> {
    match event {
        Event::RequestSent { request, .. }
        | Event::RequestCommitted { request, .. }
        | Event::ReplyDelivered { request, .. }
        | Event::RequestCancelled { request, .. }
        | Event::ServiceCalled { request, .. }
        | Event::ServiceCommitted { request, .. } => Some(*request),
        _ => None,
    }
}

/// Whether a run takes another turn here: a fault, or the death of a replica.
fn is_turn(record: &Record) -> bool {
    matches!(
        record.event,
        Event::ReplicaCrashed { .. }
            | Event::ReplicaPaused { .. }
            | Event::ReplyLost { .. }
            | Event::ReplyStalled { .. }
            | Event::RequestRefused { .. }
            | Event::ClockSkewed { .. }
            | Event::CacheLagged { .. }
            | Event::WatchSilenced { .. }
            | Event::Panicked { .. }
            | Event::WatchEnded {
                why: WatchEnd::Dropped | WatchEnd::Expired,
                ..
            }
    )
}
