//! `owner-refs-kept`: no owner reference goes by the hand of a writer that did not know it or did not set it.
//!
//! A breach: a replica's write takes an owner reference off an object that is not being deleted, the owner is alive and
//! not being deleted, and either the reference was not yet in the version that the write is based on, or another operator
//! had set it. Lists of owner references are replaced whole by most kinds of patch, so one stale list suffices.
//!
//! Does not see: references that the workload takes away; a reference whose uid names nobody; one that an operator adds
//! and takes away itself, knowing it.

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_apiserver::json::Value;
use fake_apiserver::store::{Entry, Object};

use super::sent::{SentRequest, SentRequests};
use super::{About, Property, Report, View};
use crate::event::{Event, StepId};
use crate::trace::Record;

/// Object and owner, by uid.
type Reference = (String, String);

#[derive(Default)]
pub(super) struct OwnerRefsKept {
    sent: SentRequests,
    /// Which operator set which reference, and where that is told.
    setters: BTreeMap<Reference, (String, StepId)>,
}

impl Property for OwnerRefsKept {
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
        let operator = view.operator_of(*replica);
        for entry in entries.iter().filter(|entry| !entry.deleted) {
            if let (Some(sent), Some(old)) = (self.sent.get(*request), &entry.old) {
                self.judge(sent, operator, old, entry, view, report);
            }
            let had = entry.old.as_deref().map(owners).unwrap_or_default();
            for owner in owners(&entry.object) {
                if !had.contains(&owner) {
                    let reference = (entry.uid().to_owned(), owner.to_owned());
                    self.setters
                        .insert(reference, (operator.to_owned(), record.step));
                }
            }
        }
    }
}

impl OwnerRefsKept {
    fn judge(
        &self,
        sent: &SentRequest,
        operator: &str,
        old: &Object,
        entry: &Entry,
        view: &View<'_>,
        report: &mut Report,
    ) {
        let kept = owners(&entry.object);
        if old.is_terminating() {
            return;
        }
        for gone in owners(old)
            .into_iter()
            .filter(|owner| !kept.contains(owner))
        {
            let Some((owner, _)) = view.by_uid(gone).filter(|(_, o)| !o.is_terminating()) else {
                continue;
            };
            let base = sent
                .base
                .and_then(|base| view.object_at(entry, base.revision));
            let known = base.is_some_and(|base| owners(base).contains(&gone));
            let setter = self.setters.get(&(entry.uid().to_owned(), gone.to_owned()));
            let why = match setter {
                _ if !known => "which was not there in the version its writer had seen".to_owned(),
                Some((setter, _)) if setter != operator => format!("which {setter} had set"),
                _ => continue,
            };
            let mut because = vec![sent.step];
            because.extend(setter.map(|(_, step)| *step));
            let about = About {
                object: Some(view.key_of(entry)),
                replica: Some(sent.replica),
                because,
                detail: None,
            };
            report.find(
                format!("{} takes away the owner {owner}, {why}", sent.call),
                about,
            );
        }
    }
}

fn owners(object: &Object) -> Vec<&str> {
    let owners = object.value().array_at(&["metadata", "ownerReferences"]);
    owners
        .iter()
        .map(|owner: &Value| owner.str_at(&["uid"]))
        .collect()
}
