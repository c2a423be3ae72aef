//! `idempotent`: once settled, another reconcile of everything writes nothing.
//!
//! The world makes it happen (`settle.force`): the last event of each object is delivered again, then every watch expires and
//! is listed again, then every replica is restarted; after each all comes to rest. A write that changes nothing is none.
//! Leases, Events and the fields under `settle.noise` do not count. Where nothing is written, the end states are equal.
//!
//! Does not see: effects outside the API server.

use std::sync::Arc;

use fake_apiserver::store::Entry;

use super::sent::SentRequests;
use super::{About, Property, Report, View, diff};
use crate::event::{Event, Phase, StepId, WatchEnd};
use crate::trace::Record;

#[derive(Default)]
pub(super) struct Idempotent {
    sent: SentRequests,
    /// What was done to make it reconcile, and the first record of that.
    forced: Option<(&'static str, StepId)>,
}

impl Property for Idempotent {
    fn observe(
        &mut self,
        record: &Record,
        entries: &[Arc<Entry>],
        view: &View<'_>,
        report: &mut Report,
    ) {
        self.sent.note(record);
        if view.phase == Phase::Forced {
            self.note_forced(record);
        }
        let Event::RequestCommitted {
            request, replica, ..
        } = &record.event
        else {
            return;
        };
        let Some((how, from)) = self.forced else {
            return;
        };
        for entry in entries {
            let object = view.key_of(entry);
            let fields = entry
                .old
                .as_ref()
                .filter(|_| !entry.deleted)
                .map(|old| diff::changed_fields(old.value(), entry.object.value()));
            if !view.counts(&object, fields.as_deref()) {
                continue;
            }
            let sent = self.sent.get(*request);
            let what = sent.map(|sent| sent.call.to_string()).unwrap_or_default();
            let fields = fields.filter(|fields| !fields.is_empty());
            let fields = fields
                .map(|fields| format!(" ({})", fields.join(", ")))
                .unwrap_or_default();
            let about = About {
                object: Some(object),
                replica: Some(*replica),
                because: sent
                    .map(|sent| sent.step)
                    .into_iter()
                    .chain([from])
                    .collect(),
                detail: None,
            };
            report.find(
                format!("everything was settled, and after {how} it wrote: {what}{fields}"),
                about,
            );
        }
    }

    fn finish(&mut self, view: &View<'_>, report: &mut Report) {
        if !view.setup.settle.force && !view.setup.operators.is_empty() {
            report.inconclusive.push((
                "idempotent".to_owned(),
                "nothing was reconciled once more: settle.force is off".to_owned(),
            ));
        }
    }
}

impl Idempotent {
    fn note_forced(&mut self, record: &Record) {
        let how = match &record.event {
            Event::PhaseBegan { .. } => "nothing but time",
            Event::WatchRedelivered { .. } => "events that it had heard already",
            Event::WatchEnded {
                why: WatchEnd::Expired,
                ..
            } => "a relist",
            Event::ReplicaCrashed { .. } => "a restart",
            _ => return,
        };
        if self.forced.is_none_or(|(known, _)| known != how) {
            self.forced = Some((how, record.step));
        }
    }
}
