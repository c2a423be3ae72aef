//! `no-orphans`: once settled, no object is left whose owners are all gone.
//!
//! Does not see: objects that name no owner.

use std::collections::BTreeSet;
use std::sync::Arc;

use fake_apiserver::store::Entry;

use super::{About, Property, Report, View};
use crate::event::{Event, Phase};
use crate::trace::Record;

#[derive(Default)]
pub(super) struct NoOrphans;

impl Property for NoOrphans {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        if !matches!(
            record.event,
            Event::PhaseBegan {
                phase: Phase::Settled | Phase::Done
            }
        ) {
            return;
        }
        let uids: BTreeSet<&str> = view.objects().map(|(_, object)| object.uid()).collect();
        for (key, object) in view.objects() {
            let owners = object.value().array_at(&["metadata", "ownerReferences"]);
            let gone = |owner: &fake_apiserver::json::Value| !uids.contains(owner.str_at(&["uid"]));
            if !owners.is_empty() && owners.iter().all(gone) {
                let owner = format!(
                    "{} {}",
                    owners[0].str_at(&["kind"]),
                    owners[0].str_at(&["name"])
                );
                let about = About {
                    object: Some(key.clone()),
                    ..About::default()
                };
                report.find(
                    format!("{key} is left and its owner {owner} is gone"),
                    about,
                );
            }
        }
    }
}
