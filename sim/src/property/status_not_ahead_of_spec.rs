//! `status-not-ahead-of-spec`: `status.observedGeneration` is honest and never goes back.
//!
//! Three breaches: it names a generation that does not exist yet; it goes back; or it names a generation that the reconcile
//! came to see only after it had begun to work on an older one, so that what the status reports was done for the old one.
//! "Had begun to work": between the start of the reconcile and the read that showed the generation, time passed or
//! something was written.
//!
//! Does not see: a status without `observedGeneration`; an operator that works, re-reads and then really works again within
//! one reconcile is taken for a liar.

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_apiserver::store::Entry;

use super::sent::{SentRequest, SentRequests};
use super::{About, Property, Report, View};
use crate::event::{Event, ReconcileId, RequestId, Revision, StepId};
use crate::time::SimTime;
use crate::trace::Record;

#[derive(Default)]
pub(super) struct StatusNotAheadOfSpec {
    sent: SentRequests,
    began: BTreeMap<ReconcileId, (SimTime, StepId)>,
    /// Reads of each reconcile: when they were sent, what they showed.
    reads: BTreeMap<ReconcileId, Vec<Read>>,
}

struct Read {
    sent_at: SimTime,
    request: RequestId,
    revision: Revision,
    step: StepId,
}

impl Property for StatusNotAheadOfSpec {
    fn observe(
        &mut self,
        record: &Record,
        entries: &[Arc<Entry>],
        view: &View<'_>,
        report: &mut Report,
    ) {
        self.sent.note(record);
        match &record.event {
            Event::ReconcileStarted { reconcile, .. } => {
                self.began.insert(*reconcile, (record.at, record.step));
            }
            Event::ReplyDelivered {
                request,
                revision: Some(revision),
                ..
            } => {
                self.note_read(*request, *revision, record.step);
            }
            Event::RequestCommitted { request, .. } => {
                for entry in entries {
                    self.judge(*request, entry, view, report);
                }
            }
            _ => {}
        }
    }
}

impl StatusNotAheadOfSpec {
    fn note_read(&mut self, request: RequestId, revision: Revision, step: StepId) {
        let Some(sent) = self.sent.get(request) else {
            return;
        };
        if let (Some(reconcile), "get" | "list") = (sent.reconcile, sent.call.verb.as_str()) {
            let read = Read {
                sent_at: sent.at,
                request,
                revision,
                step,
            };
            self.reads.entry(reconcile).or_default().push(read);
        }
    }

    fn judge(&self, request: RequestId, entry: &Entry, view: &View<'_>, report: &mut Report) {
        let Some(sent) = self.sent.get(request) else {
            return;
        };
        let observed = |object: &fake_apiserver::store::Object| {
            object
                .value()
                .at(&["status", "observedGeneration"])
                .and_then(fake_apiserver::json::Value::as_i64)
        };
        let Some(now) = observed(&entry.object) else {
            return;
        };
        let old = entry.old.as_deref();
        let was = old.and_then(observed);
        let same_status =
            old.is_some_and(|old| old.value().get("status") == entry.object.value().get("status"));
        if entry.deleted || same_status {
            return;
        }
        let about = |because: Vec<StepId>| About {
            object: Some(view.key_of(entry)),
            replica: Some(sent.replica),
            because,
            detail: None,
        };
        let generation = generation(&entry.object);
        if now > generation {
            let message = format!("observedGeneration {now} is ahead of generation {generation}");
            return report.find(message, about(vec![sent.step]));
        }
        if let Some(was) = was.filter(|was| *was > now) {
            let message = format!("observedGeneration goes back from {was} to {now}");
            return report.find(message, about(vec![sent.step]));
        }
        if let Some((began_with, read)) = self.work_for_older(sent, entry, now, view) {
            let message = format!(
                "observedGeneration {now} is reported for work that began with generation {began_with}: \
                 generation {now} was read only afterwards"
            );
            report.find(message, about(vec![read, sent.step]));
        }
    }

    /// The generation that the reconcile worked for, if it is older than the one it reports.
    fn work_for_older(
        &self,
        sent: &SentRequest,
        entry: &Entry,
        now: i64,
        view: &View<'_>,
    ) -> Option<(i64, StepId)> {
        let reconcile = sent.reconcile?;
        let (began_at, began) = *self.began.get(&reconcile)?;
        let reads = self.reads.get(&reconcile)?;
        let shows = |read: &&Read| {
            view.object_at(entry, read.revision)
                .is_some_and(|o| generation(o) >= now)
        };
        let first = reads.iter().find(shows)?;
        let before = reads
            .iter()
            .take_while(|read| read.request != first.request);
        // What the reconcile was started with stands in the replica's cache as of then.
        let cached = view
            .knowledge
            .cached(sent.replica, &view.key_of(entry), began)?;
        let newest = before.map(|read| read.revision).fold(cached, Revision::max);
        let began_with = generation(view.object_at(entry, newest)?);
        let worked = first.sent_at > began_at;
        (began_with < now && worked).then_some((began_with, first.step))
    }
}

fn generation(object: &fake_apiserver::store::Object) -> i64 {
    object
        .value()
        .i64_at(&["metadata", "generation"])
        .unwrap_or(0)
}
