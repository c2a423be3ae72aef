//! The changes of each object in a run, to say whether it was there at a version that somebody had seen.

use std::collections::BTreeMap;

use sim::event::{ChangeKind, ObjectKey, Revision};
use sim::trace::Trace;

/// Every change of the run, by object, in order.
#[derive(Default)]
pub(crate) struct Past<'a> {
    changes: BTreeMap<&'a ObjectKey, Vec<(Revision, ChangeKind)>>,
}

impl<'a> Past<'a> {
    /// The past of a whole run.
    pub(crate) fn of(trace: &'a Trace) -> Past<'a> {
        let mut past = Past::default();
        for change in trace.records.iter().flat_map(|r| r.event.changes()) {
            let all = past.changes.entry(&change.object).or_default();
            all.push((change.revision, change.kind));
        }
        past
    }

    /// Whether the object was not there at that version: what came next was that it was created.
    pub(crate) fn was_missing(&self, object: &ObjectKey, at: Revision) -> bool {
        let all = self
            .changes
            .get(object)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let next = all.iter().find(|(revision, _)| *revision > at);
        next.is_some_and(|(_, kind)| *kind == ChangeKind::Created)
    }
}
