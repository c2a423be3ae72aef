//! Controllers inside the cluster: garbage collector, namespace controller, CRD life cycle, Event expiry, compaction.
//!
//! Owns which chores are enabled and what doing one changes. Nothing here runs by itself: a chore is done when the caller
//! says so, so controllers race with everything else.

use std::sync::Arc;

use crate::registry::ResourceId;
use crate::server::{Core, Cx, ServerId, WatchId};
use crate::store::Entry;
use crate::time::Timestamp;

/// Something a controller or a cache could do next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chore {
    /// A server's cache sees the next write to a resource.
    Advance {
        /// The server.
        server: ServerId,
        /// The resource.
        resource: ResourceId,
    },
    /// A watch gets a bookmark. Not needed to settle.
    Bookmark {
        /// The watch.
        watch: WatchId,
    },
}

impl Chore {
    /// True if the cluster is not at rest while this can be done.
    pub fn is_settling(&self) -> bool {
        !matches!(self, Chore::Bookmark { .. })
    }
}

/// The state of all controllers.
#[derive(Debug)]
pub(crate) struct Actors {}

impl Actors {
    pub(crate) fn new(_began: u64, _time: Timestamp) -> Actors {
        Actors {}
    }

    /// A write happened.
    pub(crate) fn observe(_core: &mut Core, _entry: &Arc<Entry>) {}

    /// Adds the chores that could be done now.
    pub(crate) fn chores(&self, core: &Core, _now: Timestamp, chores: &mut Vec<Chore>) {
        let watches = core.watches.iter();
        let watches = watches.filter(|(_, watch)| watch.wants_bookmarks());
        chores.extend(watches.map(|(id, _)| Chore::Bookmark { watch: *id }));
    }

    /// Does a chore of a controller.
    pub(crate) fn perform(_core: &mut Core, _cx: &mut Cx<'_>, _chore: &Chore) {}

    /// When a chore becomes possible by time alone.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        None
    }
}
