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
use crate::event::Event;
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
    let base = sent
        .base
        .and_then(|base| view.object_at(entry, base.revision));
    let wrong = match base {
        None => "it had never seen it".to_owned(),
        Some(base) if base.uid() != old.uid() => {
            "the object it had seen was another one of that name".to_owned()
        }
        Some(base) => match changed(base, old) {
            Some(field) => format!("it had seen it with another {field}"),
            None => return,
        },
    };
    let about = About {
        object: Some(object),
        replica: Some(sent.replica),
        because: vec![sent.step],
        detail: None,
    };
    report.find(
        format!("{} without a precondition, and {wrong}", sent.call),
        about,
    );
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
        ("spec", &["spec"][..]),
        ("labels", &["metadata", "labels"]),
        ("owners", &["metadata", "ownerReferences"]),
    ]
    .into_iter()
    .find(|(_, path)| differs(path))
    .map(|(name, _)| name)
}
