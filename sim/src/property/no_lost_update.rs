//! `no-lost-update`: no write of a replica overwrites, field by field, what its writer had not seen.
//!
//! The base of a write is the resourceVersion it carries, else what its reconcile read, else what the cache held when the
//! reconcile began. A field is lost when somebody else changed it after that base and the write gives it another value.
//! Lists count as one field.
//!
//! Does not see: writes of the workload (users mean what they overwrite); a replica that overwrites its own earlier write;
//! a value that happens to be the same; writers whose reads the world cannot tie to a reconcile are judged by the newest
//! version that reached their replica at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_apiserver::store::{Entry, Origin};

use super::sent::SentRequests;
use super::{About, Property, Report, View, diff};
use crate::event::{BaseSource, Event, ReplicaId, RequestId, StepId};
use crate::trace::Record;

#[derive(Default)]
pub(super) struct NoLostUpdate {
    sent: SentRequests,
    /// Where each revision was told.
    told: BTreeMap<u64, StepId>,
}

impl Property for NoLostUpdate {
    fn observe(
        &mut self,
        record: &Record,
        entries: &[Arc<Entry>],
        view: &View<'_>,
        report: &mut Report,
    ) {
        self.sent.note(record);
        for entry in entries {
            self.told.insert(entry.revision, record.step);
        }
        let Event::RequestCommitted {
            request, replica, ..
        } = &record.event
        else {
            return;
        };
        for entry in entries {
            self.judge(*request, *replica, entry, view, report);
        }
    }
}

impl NoLostUpdate {
    fn judge(
        &self,
        request: RequestId,
        replica: ReplicaId,
        entry: &Entry,
        view: &View<'_>,
        report: &mut Report,
    ) {
        let (Some(old), Some(sent)) = (&entry.old, self.sent.get(request)) else {
            return;
        };
        if entry.deleted || sent.call.verb == "delete" {
            return;
        }
        let base = sent.base.map_or(0, |base| base.revision.0);
        if base >= old.revision() {
            return;
        }
        let between = view.server.store().history_since(entry.resource, base);
        let between =
            between.filter(|other| other.key == entry.key && other.revision < entry.revision);
        for other in between {
            let (Some(before), false) = (&other.old, self.is_by(replica, other)) else {
                continue;
            };
            let lost = diff::changed_fields(before.value(), other.object.value())
                .into_iter()
                .filter(|field| !is_server_owned(field))
                .find(|field| {
                    let theirs = other.object.value().pointer(field);
                    old.value().pointer(field) == theirs
                        && entry.object.value().pointer(field) != theirs
                });
            let Some(field) = lost else { continue };
            let source = match sent.base.map(|base| base.source) {
                Some(BaseSource::Carried) => "the version it carries",
                Some(BaseSource::Read) => "the version it had read",
                Some(BaseSource::Cache) => "the version in its cache",
                None => "no version it had seen: none",
            };
            let object = view.key_of(entry);
            let message = format!(
                "{} @{} overwrites {field}, which was changed @{} after {source} (@{base})",
                sent.call, entry.revision, other.revision
            );
            let mut because = vec![sent.step];
            because.extend(self.told.get(&other.revision));
            return report.find(
                message,
                About {
                    object: Some(object),
                    replica: Some(replica),
                    because,
                    detail: None,
                },
            );
        }
    }

    fn is_by(&self, replica: ReplicaId, entry: &Entry) -> bool {
        match &entry.origin {
            Origin::Request(id) => self
                .sent
                .get(RequestId(id.0))
                .is_some_and(|sent| sent.replica == replica),
            Origin::Actor(_) => false,
        }
    }
}

fn is_server_owned(field: &str) -> bool {
    matches!(
        field,
        "/metadata/generation"
            | "/metadata/deletionTimestamp"
            | "/metadata/deletionGracePeriodSeconds"
    )
}
