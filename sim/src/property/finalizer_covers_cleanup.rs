//! `finalizer-covers-cleanup`: an operator drops its finalizer only when nothing of the object is left.
//!
//! A breach: a replica takes a finalizer off an object that is being deleted while an object that it controls, created by
//! the same operator, is still there.
//!
//! Does not see: cleanup outside the cluster; children without a controller reference.

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_apiserver::json::Value;
use fake_apiserver::store::{Entry, Object};

use super::no_duplicate_create::controller;
use super::sent::SentRequests;
use super::{About, Property, Report, View};
use crate::event::{Event, StepId};
use crate::trace::Record;

#[derive(Default)]
pub(super) struct FinalizerCoversCleanup {
    sent: SentRequests,
    /// Which operator created which object, by uid.
    creators: BTreeMap<String, (String, StepId)>,
}

impl Property for FinalizerCoversCleanup {
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
        let operator = view.operator_of(*replica).to_owned();
        for entry in entries {
            let Some(old) = &entry.old else {
                self.creators
                    .insert(entry.uid().to_owned(), (operator.clone(), record.step));
                continue;
            };
            let Some(finalizer) = dropped(old, entry) else {
                continue;
            };
            let left = view.objects().find(|(_, child)| {
                controller(child.value()) == old.uid()
                    && self
                        .creators
                        .get(child.uid())
                        .is_some_and(|(creator, _)| *creator == operator)
            });
            let Some((child, object)) = left else {
                continue;
            };
            let mut because: Vec<StepId> = self
                .sent
                .get(*request)
                .map(|sent| sent.step)
                .into_iter()
                .collect();
            because.extend(self.creators.get(object.uid()).map(|(_, step)| *step));
            let message = format!("the finalizer {finalizer} goes while {child} is still there");
            let about = About {
                object: Some(view.key_of(entry)),
                replica: Some(*replica),
                because,
                detail: None,
            };
            report.find(message, about);
        }
    }
}

/// The finalizer that a write took off an object that is being deleted.
fn dropped<'o>(old: &'o Object, entry: &Entry) -> Option<&'o str> {
    if !old.is_terminating() {
        return None;
    }
    let finalizers = |object: &'o Object| object.value().array_at(&["metadata", "finalizers"]);
    // An object whose last finalizer goes is deleted by that write: its last state may still show the finalizer.
    let after = entry.object.value().array_at(&["metadata", "finalizers"]);
    let kept = |finalizer: &Value| !entry.deleted && after.contains(finalizer);
    finalizers(old)
        .iter()
        .find(|finalizer| !kept(finalizer))
        .and_then(Value::as_str)
}
