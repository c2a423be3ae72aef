//! Events live for an hour after their last write (O2).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Chore;
use crate::server::{Core, Cx};
use crate::store::{Entry, Key, Origin};
use crate::time::Timestamp;

/// When which Event goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expiry {
    ends: BTreeMap<Key, Timestamp>,
    by_time: BTreeSet<(Timestamp, Key)>,
}

impl Expiry {
    pub(super) fn observe(core: &mut Core, entry: &Arc<Entry>) {
        let seconds = core.config.event_ttl_seconds;
        if seconds == 0 || core.registry.events().id != entry.resource {
            return;
        }
        let expiry = core.actors.expiry();
        if let Some(end) = expiry.ends.remove(&entry.key) {
            expiry.by_time.remove(&(end, entry.key.clone()));
        }
        if !entry.deleted {
            let end = entry.time + Duration::from_secs(seconds);
            expiry.ends.insert(entry.key.clone(), end);
            expiry.by_time.insert((end, entry.key.clone()));
        }
    }

    pub(super) fn chores(&self, now: Timestamp) -> impl Iterator<Item = Chore> {
        let due = self.by_time.iter();
        let due = due.take_while(move |(end, _)| *end <= now);
        due.map(|(_, key)| Chore::ExpireEvent { key: key.clone() })
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(end, _)| *end)
    }

    pub(super) fn perform(core: &mut Core, cx: &mut Cx<'_>, key: &Key) {
        let due = core.actors.expiry().ends.get(key).copied();
        let Some(row) = core.registry.find("", "v1", "events").cloned() else {
            return;
        };
        if due.is_some_and(|end| end <= cx.now) {
            core.delete(&row, key, Origin::Actor("event-expiry"), cx.now);
        }
    }
}
