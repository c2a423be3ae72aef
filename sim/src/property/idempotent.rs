//! `idempotent`: once settled, another reconcile of everything writes nothing.
//!
//! The world makes it happen (`settle.force`), in three parts: the last event of each object is delivered again, then every
//! watch expires and is listed again, then every replica is restarted; after each all comes to rest. A write that changes
//! nothing is none. Leases, Events and the fields under `settle.noise` do not count.
//!
//! Each part is judged by itself: a finding names the part that brought the write out and those that brought it out again,
//! and says where the object is back in the end as it was when the part began. Where a replica has written, every object
//! that is another one at the end of the part is a finding too, whoever changed it. A finding leads back to the write
//! before: it is the one that had left the object as it should not be. Where nothing is written, the end
//! states are equal.
//!
//! Does not see: effects outside the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fake_apiserver::registry::ResourceId;
use fake_apiserver::store::{Entry, Key, Object};

use super::sent::SentRequests;
use super::{About, Property, Report, View, diff};
use crate::event::{Event, ObjectKey, Phase, ReplicaId, RequestId, StepId, WatchEnd};
use crate::trace::Record;

/// What makes the replicas reconcile, in order.
const TIME: &str = "nothing but time";
const REDELIVERY: &str = "events that it had heard already";
const RELIST: &str = "a relist";
const RESTART: &str = "a restart";

#[derive(Default)]
pub(super) struct Idempotent {
    sent: SentRequests,
    part: Option<Part>,
    /// Where each object was last written by a replica.
    written: BTreeMap<(ResourceId, Key), StepId>,
}

/// A part of the forced reconcile.
struct Part {
    how: &'static str,
    /// Its first record.
    from: StepId,
    /// Who wrote what, as far as it counts.
    wrote: BTreeSet<(ObjectKey, ReplicaId)>,
    /// Each object that was touched, as it was when the part began.
    before: BTreeMap<(ResourceId, Key), Touched>,
}

struct Touched {
    object: ObjectKey,
    old: Option<Arc<Object>>,
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
        if view.phase == Phase::Forced
            && let Some(how) = part_of(record)
            && self.part.as_ref().is_none_or(|part| part.how != how)
        {
            self.compare(view, report);
            self.part = Some(Part {
                how,
                from: record.step,
                wrote: BTreeSet::new(),
                before: BTreeMap::new(),
            });
        }
        if let Some(part) = &mut self.part {
            for entry in entries {
                let touched = || Touched {
                    object: view.key_of(entry),
                    old: entry.old.clone(),
                };
                part.before
                    .entry((entry.resource, entry.key.clone()))
                    .or_insert_with(touched);
            }
        }
        if let Event::RequestCommitted {
            request, replica, ..
        } = &record.event
        {
            for entry in entries {
                self.judge(entry, *request, *replica, view, report);
                let object = (entry.resource, entry.key.clone());
                self.written.insert(object, record.step);
            }
        }
    }

    fn finish(&mut self, view: &View<'_>, report: &mut Report) {
        self.compare(view, report);
        if !view.setup.settle.force && !view.setup.operators.is_empty() {
            report.inconclusive.push((
                "idempotent".to_owned(),
                "nothing was reconciled once more: settle.force is off".to_owned(),
            ));
        }
    }
}

impl Idempotent {
    /// A write of a replica.
    fn judge(
        &mut self,
        entry: &Entry,
        request: RequestId,
        replica: ReplicaId,
        view: &View<'_>,
        report: &mut Report,
    ) {
        let Some(part) = &mut self.part else {
            return;
        };
        let object = view.key_of(entry);
        let fields = entry
            .old
            .as_ref()
            .filter(|_| !entry.deleted)
            .map(|old| diff::changed_fields(old.value(), entry.object.value()));
        if !view.counts(&object, fields.as_deref()) {
            return;
        }
        let sent = self.sent.get(request);
        let what = sent.map(|sent| sent.call.to_string()).unwrap_or_default();
        let what = format!("{what}{}", in_brackets(fields.unwrap_or_default()));
        let how = part.how;
        let new = part.wrote.insert((object.clone(), replica));
        let once_more = |message: &str| match message.split("; ").any(|said| said.ends_with(&what))
        {
            _ if !new => String::new(),
            true => format!("; after {how} again"),
            false => format!("; after {how}: {what}"),
        };
        if report.add(Some(&object), Some(replica), once_more) {
            return;
        }
        let before = self.written.get(&(entry.resource, entry.key.clone()));
        let about = About {
            object: Some(object),
            replica: Some(replica),
            because: sent
                .map(|sent| sent.step)
                .into_iter()
                .chain([part.from])
                .chain(before.copied())
                .collect(),
            detail: None,
        };
        report.find(
            format!("everything was settled, and after {how} it wrote: {what}"),
            about,
        );
    }

    /// A part is over: compares what there is with what there was when it began.
    fn compare(&mut self, view: &View<'_>, report: &mut Report) {
        let Some(part) = self.part.take().filter(|part| !part.wrote.is_empty()) else {
            return;
        };
        for ((resource, key), Touched { object, old }) in &part.before {
            let new = view.server.store().get(*resource, key);
            let difference = match (old, new) {
                (None, None) => None,
                (None, Some(_)) => Some("it is new".to_owned()),
                (Some(_), None) => Some("it is gone".to_owned()),
                (Some(old), Some(new)) => {
                    let fields = diff::changed_fields(old.value(), new.value());
                    let counts = view.counts(object, Some(&fields)) && !fields.is_empty();
                    counts.then(|| format!("it differs{}", in_brackets(fields)))
                }
            };
            let mut writers = part.wrote.iter().filter(|(of, _)| of == object).peekable();
            match difference {
                None => writers.for_each(|(_, replica)| {
                    report.add(Some(object), Some(*replica), |_| {
                        "; in the end it is as it was".to_owned()
                    });
                }),
                Some(difference) if writers.peek().is_none() && view.counts(object, None) => {
                    let about = About {
                        object: Some(object.clone()),
                        because: vec![part.from],
                        ..About::default()
                    };
                    let how = part.how;
                    report.find(
                        format!(
                            "everything was settled, and {object} is another one after {how}: {difference}"
                        ),
                        about,
                    );
                }
                Some(_) => {}
            }
        }
    }
}

/// The part that a record of the forced phase begins or goes on with.
fn part_of(record: &Record) -> Option<&'static str> {
    Some(match &record.event {
        Event::PhaseBegan { .. } => TIME,
        Event::WatchRedelivered { .. } => REDELIVERY,
        Event::WatchEnded {
            why: WatchEnd::Expired,
            ..
        } => RELIST,
        Event::ReplicaCrashed { .. } => RESTART,
        _ => return None,
    })
}

fn in_brackets(fields: Vec<String>) -> String {
    match fields.is_empty() {
        true => String::new(),
        false => format!(" ({})", fields.join(", ")),
    }
}
