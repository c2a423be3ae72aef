//! `no-duplicate-create`: an operator creates no second object beside one of its own that it had not seen.
//!
//! Two objects are twins when one operator created both with the same `generateName` under the same controller, both are
//! alive, and the later one's creator had not seen the earlier. Its creator had seen it if its reconcile had read it or,
//! where the reconcile reads from caches alone, if it was in the replica's cache when the create was sent: a reconcile may
//! wait for its cache.
//!
//! Does not see: twins with names made by the operator itself; twins without a `generateName`; an earlier one that reached
//! the cache after the operator had looked there, or that a read left out after the cache had had it.

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_apiserver::json::Value;
use fake_apiserver::store::Entry;

use super::sent::SentRequests;
use super::{About, Property, Report, View};
use crate::event::{Event, ReplicaId, Revision, StepId};
use crate::trace::Record;

/// Operator, resource, namespace, generateName and controller's uid.
type Family = (String, u32, String, String, String);

#[derive(Default)]
pub(super) struct NoDuplicateCreate {
    sent: SentRequests,
    born: BTreeMap<Family, Siblings>,
}

/// The objects of one family in the order in which they were created.
#[derive(Default)]
struct Siblings {
    all: Vec<(Arc<Entry>, StepId)>,
    /// So many of the first are gone, or in the cache of that replica's process: none of them makes a twin there any more.
    known: BTreeMap<ReplicaId, usize>,
}

impl Property for NoDuplicateCreate {
    fn observe(
        &mut self,
        record: &Record,
        entries: &[Arc<Entry>],
        view: &View<'_>,
        report: &mut Report,
    ) {
        self.sent.note(record);
        if let Event::ReplicaStarted { replica, .. } = &record.event {
            for siblings in self.born.values_mut() {
                siblings.known.remove(replica);
            }
        }
        let Event::RequestCommitted {
            request, replica, ..
        } = &record.event
        else {
            return;
        };
        let Some(sent) = self.sent.get(*request) else {
            return;
        };
        for entry in entries
            .iter()
            .filter(|entry| entry.old.is_none() && !entry.deleted)
        {
            let value = entry.object.value();
            let prefix = value.str_at(&["metadata", "generateName"]);
            if prefix.is_empty() {
                continue;
            }
            let family: Family = (
                view.operator_of(*replica).to_owned(),
                entry.resource.0,
                entry.key.namespace().to_owned(),
                prefix.to_owned(),
                controller(value).to_owned(),
            );
            let siblings = self.born.entry(family).or_default();
            let known = siblings.known.entry(sent.replica).or_default();
            for (i, (elder, step)) in siblings.all.iter().enumerate().skip(*known) {
                let alive = view.server.store().get(elder.resource, &elder.key);
                let gone = alive
                    .is_none_or(|object| object.uid() != elder.uid() || object.is_terminating());
                let key = view.key_of(elder);
                let has = |seen: Option<Revision>| seen.is_some_and(|at| at.0 >= elder.revision);
                let cached = view.knowledge.cached(sent.replica, &key, sent.step);
                if gone || has(cached) {
                    *known += usize::from(*known == i);
                    if gone {
                        continue;
                    }
                }
                let read = sent.reconcile.and_then(|id| view.knowledge.read(id, &key));
                if has(read.or(cached)) {
                    continue;
                }
                let twin = view.key_of(entry);
                let message =
                    format!("{twin} is created beside {key}, which its creator had not seen");
                let about = About {
                    object: Some(twin),
                    replica: Some(*replica),
                    because: vec![*step, sent.step],
                    detail: None,
                };
                report.find(message, about);
                break;
            }
            siblings.all.push((Arc::clone(entry), record.step));
        }
    }
}

/// The uid of an object's controller.
pub(super) fn controller(value: &Value) -> &str {
    let owners = value.array_at(&["metadata", "ownerReferences"]);
    let controller = owners
        .iter()
        .find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true));
    controller.map_or("", |owner| owner.str_at(&["uid"]))
}
