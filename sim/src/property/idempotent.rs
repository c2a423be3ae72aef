//! `idempotent`: once settled, another reconcile of everything writes nothing.
//!
//! The world makes it happen (`settle.force`): every watch expires and is listed again, then every replica is restarted. A
//! write that changes nothing is none. Leases, Events and the fields under `settle.noise` do not count.
//!
//! Does not see: effects outside the API server.

use std::sync::Arc;

use fake_apiserver::store::Entry;

use super::sent::SentRequests;
use super::{About, Property, Report, View, diff};
use crate::event::{Event, Phase};
use crate::trace::Record;

#[derive(Default)]
pub(super) struct Idempotent {
    sent: SentRequests,
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
        let Event::RequestCommitted {
            request, replica, ..
        } = &record.event
        else {
            return;
        };
        if view.phase != Phase::Forced {
            return;
        }
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
                because: sent.map(|sent| sent.step).into_iter().collect(),
                detail: None,
            };
            report.find(
                format!("everything was settled, and reconciling again wrote: {what}{fields}"),
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
