//! `single-leader`: no two replicas of an operator hold one Lease at once, each by its own clock.
//!
//! A replica holds a Lease while it runs, the last it read or wrote of it names the replica as holder, and its
//! `renewTime`, which it wrote by its own clock, is not yet `leaseDurationSeconds` ago. A holder that ends its work
//! earlier than that is on the safe side and never alone the cause of a breach.
//!
//! Does not see: whether a replica that holds no Lease acts as if it did (`no-write-after-deposed` sees its writes);
//! holders that go under another name than the replica's identity, which leave the property inconclusive; locks that are
//! no Leases.

use std::sync::Arc;

use fake_apiserver::store::Entry;

use super::{About, Property, Report, View};
use crate::event::{Event, ObjectKey, ReplicaId, StepId};
use crate::trace::Record;

#[derive(Default)]
pub(super) struct SingleLeader {
    ever: bool,
}

impl Property for SingleLeader {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        // Between two replies nobody begins to hold anything. What a reply tells shows at the record after it.
        if matches!(record.event, Event::PhaseBegan { .. }) || view.replicas.is_empty() {
            return;
        }
        for operator in &view.setup.operators {
            let holders = view.active_holders(&operator.name);
            self.ever |= !holders.is_empty();
            let pairs = holders
                .iter()
                .enumerate()
                .flat_map(|(i, one)| holders[i + 1..].iter().map(move |other| (one, other)));
            for ((one, lease, seen), (other, also, seen_by_other)) in pairs {
                if lease != also {
                    continue;
                }
                let message = format!(
                    "{} holds {lease} until {}, and {} until {}",
                    one.name,
                    seen.renewed + seen.duration,
                    other.name,
                    seen_by_other.renewed + seen_by_other.duration
                );
                let written = [one, other].map(|replica| last_write(replica.id, lease, view));
                let about = About {
                    object: Some((*lease).clone()),
                    because: written.into_iter().flatten().collect(),
                    ..About::default()
                };
                report.find(message, about);
            }
        }
    }

    fn finish(&mut self, _: &View<'_>, report: &mut Report) {
        if !self.ever {
            report.inconclusive.push((
                "single-leader".to_owned(),
                "no Lease ever named a replica as its holder".to_owned(),
            ));
        }
    }
}

/// Where a replica last wrote a Lease: what makes it the holder that it takes itself for.
fn last_write(of: ReplicaId, lease: &ObjectKey, view: &View<'_>) -> Option<StepId> {
    let wrote = |record: &&Record| match &record.event {
        Event::RequestCommitted {
            replica, changes, ..
        } => *replica == of && changes.iter().any(|change| change.object == *lease),
        _ => false,
    };
    view.trace
        .records
        .iter()
        .rev()
        .find(wrote)
        .map(|record| record.step)
}
