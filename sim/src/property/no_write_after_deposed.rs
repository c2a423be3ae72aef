//! `no-write-after-deposed`: a replica that has lost its Lease to another one writes nothing more that the server does not
//! check.
//!
//! A breach: a write lands that changes something, its replica has held a Lease in this life and holds none now, since
//! each names another holder, and the write carries neither a resourceVersion nor a precondition. It may have been sent
//! while its replica still was the leader: that the check and the write are two steps is the race.
//!
//! Does not see: a replica that never led; a Lease that has run out and that nobody has taken; writes to Leases and
//! Events; effects outside the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fake_apiserver::store::Entry;

use super::sent::SentRequests;
use super::{About, Property, Report, View};
use crate::event::{BaseSource, Event, ObjectKey, ReplicaId, RequestId, StepId};
use crate::trace::Record;

#[derive(Default)]
pub(super) struct NoWriteAfterDeposed {
    sent: SentRequests,
    /// Who holds each Lease, and where that was written.
    holders: BTreeMap<ObjectKey, (String, StepId)>,
    /// The Leases that each replica has held since it started.
    held: BTreeMap<ReplicaId, BTreeSet<ObjectKey>>,
}

impl Property for NoWriteAfterDeposed {
    fn observe(
        &mut self,
        record: &Record,
        entries: &[Arc<Entry>],
        view: &View<'_>,
        report: &mut Report,
    ) {
        self.sent.note(record);
        match &record.event {
            Event::ReplicaStarted { replica, .. } => {
                self.held.remove(replica);
            }
            Event::RequestCommitted { request, .. } => {
                for entry in entries {
                    self.judge(*request, entry, view, report);
                }
            }
            _ => {}
        }
        for entry in entries {
            self.note_lease(record.step, entry, view);
        }
    }
}

impl NoWriteAfterDeposed {
    fn note_lease(&mut self, step: StepId, entry: &Entry, view: &View<'_>) {
        let key = view.key_of(entry);
        if key.resource != "leases" {
            return;
        }
        let holder = match entry.deleted {
            true => "",
            false => entry.object.value().str_at(&["spec", "holderIdentity"]),
        };
        if let Some(replica) = view.replicas.iter().find(|one| one.name == holder) {
            self.held.entry(replica.id).or_default().insert(key.clone());
        }
        let before = self.holders.get(&key).map(|(holder, _)| holder.as_str());
        if before != Some(holder) {
            self.holders.insert(key, (holder.to_owned(), step));
        }
    }

    fn judge(&self, request: RequestId, entry: &Entry, view: &View<'_>, report: &mut Report) {
        let Some(sent) = self.sent.get(request) else {
            return;
        };
        let object = view.key_of(entry);
        let carried = sent.base.map(|base| base.source) == Some(BaseSource::Carried);
        let ignored = matches!(object.resource.as_str(), "leases" | "events");
        if ignored || carried || sent.has_precondition(view) {
            return;
        }
        let Some(held) = self.held.get(&sent.replica) else {
            return;
        };
        let replica = view.name_of(sent.replica);
        let lost = |lease: &ObjectKey| {
            let (holder, step) = self.holders.get(lease)?;
            (!holder.is_empty() && *holder != *replica).then_some((holder, *step))
        };
        let taken: Option<Vec<_>> = held.iter().map(lost).collect();
        let Some((holder, step)) = taken.and_then(|taken| taken.into_iter().max_by_key(|t| t.1))
        else {
            return;
        };
        let when = match sent.step < step {
            true => "it was sent before that, and carries no version",
            false => "it carries no version",
        };
        let message = format!(
            "{} of {replica} lands after {holder} has become the leader: {when}",
            sent.call
        );
        let about = About {
            object: Some(object),
            replica: Some(sent.replica),
            because: vec![sent.step, step],
            detail: None,
        };
        report.find(message, about);
    }
}
