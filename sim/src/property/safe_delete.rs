//! `safe-delete`: no delete is justified by a stale read alone.
//!
//! A delete is stale when its replica had never seen the object (it was created after the newest version in the cache or
//! read by the reconcile), had seen another object of that name, or had seen it with another spec, other labels or owners.
//! A precondition on uid or resourceVersion makes the server the judge; a delete under an owner that is itself terminating
//! or gone needs no justification.
//!
//! Does not see: a delete that is wrong because of what another object says; `deletecollection`.

use std::sync::Arc;

use fake_apiserver::store::{Entry, Object};

use super::no_duplicate_create::controller;
use super::sent::{SentRequest, SentRequests};
use super::{About, Property, Report, View};
use crate::event::{Event, Revision, StepId};
use crate::trace::Record;

#[derive(Default)]
pub(super) struct SafeDelete {
    sent: SentRequests,
}

impl Property for SafeDelete {
    fn observe(
        &mut self,
        record: &Record,
        entries: &[Arc<Entry>],
        view: &View<'_>,
        report: &mut Report,
    ) {
        self.sent.note(record);
        let Event::RequestCommitted { request, .. } = &record.event else {
            return;
        };
        let deletes = |sent: &&SentRequest| sent.call.verb == "delete";
        let Some(sent) = self.sent.get(*request).filter(deletes) else {
            return;
        };
        if entries.is_empty() || sent.has_precondition(view) {
            return;
        }
        for entry in entries {
            judge(sent, entry, view, report);
        }
    }
}

fn judge(sent: &SentRequest, entry: &Entry, view: &View<'_>, report: &mut Report) {
    let Some(old) = &entry.old else { return };
    let object = view.key_of(entry);
    if old.is_terminating()
        || sent.call.key().as_ref() != Some(&object)
        || owner_is_going(old, view)
    {
        return;
    }
    let seen = sent.base.map(|base| base.revision);
    let base = seen.and_then(|revision| view.object_at(entry, revision));
    let wrong = match base {
        None => "it had never seen it".to_owned(),
        Some(base) if base.uid() != old.uid() => {
            "the object it had seen was another one of that name".to_owned()
        }
        Some(base) => match changed(base, old) {
            Some(field) => format!("it had seen it with {field}"),
            None => return,
        },
    };
    // What it missed: the change that made the object another than it knew.
    let missed = view
        .server
        .store()
        .history_since(entry.resource, seen.map_or(0, |at| at.0));
    let mut missed = missed.filter(|change| {
        let is_other =
            |base: &Object| base.uid() != old.uid() || changed(base, &change.object).is_some();
        change.key == entry.key && change.object.uid() == old.uid() && base.is_none_or(is_other)
    });
    let mut because = vec![sent.step];
    because.extend(missed.next().and_then(|change| made(change.revision, view)));
    if let Some(base) = base {
        let at = Revision(base.revision());
        because.extend(
            view.knowledge
                .arrived(sent.replica, sent.reconcile, &object, at),
        );
    }
    let about = About {
        object: Some(object),
        replica: Some(sent.replica),
        because,
        detail: None,
    };
    report.find(
        format!("{} without a precondition, and {wrong}", sent.call),
        about,
    );
}

/// Where a change was made.
fn made(revision: u64, view: &View<'_>) -> Option<StepId> {
    let is_it = |record: &&Record| {
        let mut changes = record.event.changes().iter();
        changes.any(|change| change.revision.0 == revision)
    };
    view.trace
        .records
        .iter()
        .rev()
        .find(is_it)
        .map(|record| record.step)
}

fn owner_is_going(object: &Object, view: &View<'_>) -> bool {
    let uid = controller(object.value());
    !uid.is_empty()
        && view
            .by_uid(uid)
            .is_none_or(|(_, owner)| owner.is_terminating())
}

fn changed(base: &Object, now: &Object) -> Option<&'static str> {
    let differs = |path: &[&str]| base.value().at(path) != now.value().at(path);
    [
        ("another spec", &["spec"][..]),
        ("other labels", &["metadata", "labels"]),
        ("other owners", &["metadata", "ownerReferences"]),
    ]
    .into_iter()
    .find(|(_, path)| differs(path))
    .map(|(name, _)| name)
}
