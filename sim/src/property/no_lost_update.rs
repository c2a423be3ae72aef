//! `no-lost-update`: no write of a replica overwrites, field by field, what its writer had not seen.
//!
//! The base of a write is the resourceVersion it carries, else what its reconcile read, else what the cache held when the
//! reconcile began. A field is lost when somebody else changed it after that base and the write gives it another value.
//! A list counts as one field, and is lost when what they added is missing or what they took away is back. A finding names both writers, the field, and what each write is based on with the record where
//! that was read.
//!
//! Does not see: writes of the workload (users mean what they overwrite); a replica that overwrites its own earlier write;
//! a value that happens to be the same; writers whose reads the world cannot tie to a reconcile are judged by the newest
//! version that reached their replica at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_apiserver::json::Value;
use fake_apiserver::store::{Entry, Origin};

use super::sent::{SentRequest, SentRequests};
use super::{About, Property, Report, View, diff};
use crate::event::{BaseSource, Event, ObjectKey, ReplicaId, RequestId, StepId};
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

/// One of two writers.
struct Writer {
    what: String,
    based_on: String,
    /// Where its write was sent, and where it read what that is based on.
    steps: Vec<StepId>,
}

impl Writer {
    fn nobody(what: &str) -> Writer {
        Writer {
            what: what.to_owned(),
            based_on: String::new(),
            steps: Vec::new(),
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
                    let ours = entry.object.value().pointer(field);
                    old.value().pointer(field) == theirs
                        && is_lost(before.value().pointer(field), theirs, ours)
                });
            let Some(field) = lost else { continue };
            let object = view.key_of(entry);
            let ours = self.writer(sent, &object, view);
            let theirs = self.writer_of(other, &object, view);
            let message = format!(
                "{} @{} overwrites {field}, which {} changed @{} in between; {}",
                ours.what, entry.revision, theirs.what, other.revision, ours.based_on
            );
            let mut because = vec![sent.step];
            because.extend(self.told.get(&other.revision));
            because.extend(ours.steps.into_iter().chain(theirs.steps));
            let detail = match theirs.based_on.as_str() {
                "" => None,
                based_on => Some(format!("the write @{}: {based_on}", other.revision)),
            };
            return report.find(
                message,
                About {
                    object: Some(object),
                    replica: Some(replica),
                    because,
                    detail,
                },
            );
        }
    }

    /// A replica's write in words, with what it is based on.
    fn writer(&self, sent: &SentRequest, object: &ObjectKey, view: &View<'_>) -> Writer {
        let what = format!("{}'s {}", view.name_of(sent.replica), sent.call);
        let Some(base) = sent.base else {
            return Writer {
                what,
                based_on: "it is based on no version that its writer had seen".to_owned(),
                steps: vec![sent.step],
            };
        };
        let source = match base.source {
            BaseSource::Carried => "which it carries",
            BaseSource::Read => "which its reconcile had read",
            BaseSource::Cache => "which stood in its cache",
        };
        let arrived = view
            .knowledge
            .arrived(sent.replica, sent.reconcile, object, base.revision);
        let where_from = arrived.map_or(String::new(), |step| format!(", known since {step}"));
        let mut steps = vec![sent.step];
        steps.extend(arrived);
        Writer {
            what,
            based_on: format!("it is based on {}, {source}{where_from}", base.revision),
            steps,
        }
    }

    fn writer_of(&self, entry: &Entry, object: &ObjectKey, view: &View<'_>) -> Writer {
        let sent = match &entry.origin {
            Origin::Request(id) => self.sent.get(RequestId(id.0)),
            Origin::Actor(_) => None,
        };
        match (sent, &entry.origin) {
            (Some(sent), _) => self.writer(sent, object, view),
            (None, Origin::Request(_)) => Writer::nobody("the workload"),
            (None, Origin::Actor(_)) => Writer::nobody("the control plane"),
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

/// Whether a change of a field from `before` to `theirs` is undone by `ours`. A list that has what they added to it, and has
/// not what they took away, is merged and not overwritten.
fn is_lost(before: Option<&Value>, theirs: Option<&Value>, ours: Option<&Value>) -> bool {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned();
    match (list(before), list(theirs), list(ours)) {
        (None, None, _) | (_, None, None) => theirs != ours,
        (before, theirs, ours) => {
            let [before, theirs, ours] = [before, theirs, ours].map(Option::unwrap_or_default);
            let added = |item: &&Value| !before.contains(item);
            let taken = |item: &&Value| !theirs.contains(item);
            theirs.iter().filter(added).any(|item| !ours.contains(item))
                || before.iter().filter(taken).any(|item| ours.contains(item))
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

#[cfg(test)]
mod tests {
    use fake_apiserver::json;

    use super::*;

    #[test]
    fn a_list_that_is_merged_is_not_lost() {
        let lost = |before: Value, theirs: Value, ours: Value| {
            let some = |value| Some(value).filter(|value: &Value| !value.is_null());
            let [before, theirs, ours] = [before, theirs, ours].map(some);
            is_lost(before.as_ref(), theirs.as_ref(), ours.as_ref())
        };
        let none = || Value::Null;
        assert!(!lost(none(), json!(["a"]), json!(["a", "b"])));
        assert!(lost(none(), json!(["a"]), json!(["b"])));
        assert!(lost(none(), json!(["a"]), none()));
        assert!(!lost(json!(["a", "b"]), json!(["b"]), json!(["b", "c"])));
        assert!(lost(json!(["a", "b"]), json!(["b"]), json!(["a", "c"])));
        assert!(lost(json!(["a"]), none(), json!(["a", "c"])));
        assert!(lost(json!("a"), json!("b"), json!("c")));
        assert!(!lost(json!("a"), json!("b"), json!("b")));
    }
}
