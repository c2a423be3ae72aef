//! Compaction (H8): every interval the history is cut at where it stood one interval before.

use std::time::Duration;

use super::Chore;
use crate::server::{Config, Core};
use crate::time::Timestamp;

/// When the last compaction was, and how far the next one may go.
#[derive(Clone, Debug)]
pub(crate) struct Compaction {
    last: Timestamp,
    /// The store's revision at that time.
    mark: u64,
}

impl Compaction {
    pub(super) fn new(mark: u64, last: Timestamp) -> Compaction {
        Compaction { last, mark }
    }

    pub(super) fn chores(&self, core: &Core, now: Timestamp, chores: &mut Vec<Chore>) {
        let Some(due) = self.next_deadline(&core.config) else {
            return;
        };
        if now >= due {
            chores.push(Chore::Compact {
                revision: self.mark,
            });
        }
    }

    pub(super) fn next_deadline(&self, config: &Config) -> Option<Timestamp> {
        let seconds = config.compaction_seconds;
        (seconds > 0).then(|| self.last + Duration::from_secs(seconds))
    }

    pub(super) fn perform(core: &mut Core, now: Timestamp, revision: u64) {
        let current = core.store.revision();
        let compaction = core.actors.compaction();
        compaction.last = now;
        compaction.mark = current;
        core.compact(revision);
    }
}
