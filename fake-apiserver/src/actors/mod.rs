//! Controllers inside the cluster: garbage collector, namespace controller, Event expiry, compaction.
//!
//! Owns which chores are enabled and what doing one changes. Nothing here runs by itself: a chore is done when the caller
//! says so, so controllers race with everything else.
//! Simplification: controllers look at storage, not at watch caches of their own; their lag is how late their chores are done.

mod collector;
mod compaction;
pub(crate) mod crd;
#[cfg(test)]
mod crd_tests;
mod expiry;
mod namespaces;

use std::sync::Arc;

use collector::Collector;
use compaction::Compaction;
use expiry::Expiry;
use namespaces::Namespaces;

use crate::json::CompactString;
use crate::registry::ResourceId;
use crate::request::User;
use crate::server::{Config, Core, Cx, Halt, ServerId, Session, WatchId};
use crate::store::{Entry, Key};
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
    /// The garbage collector looks at one object: a dependent whose owner may be gone, or an owner that waits.
    CollectGarbage {
        /// Its resource.
        resource: ResourceId,
        /// Its key.
        key: Key,
        /// Its uid.
        uid: CompactString,
    },
    /// The namespace controller works on a terminating namespace.
    Namespace {
        /// Its name.
        name: CompactString,
    },
    /// An Event has outlived its time.
    ExpireEvent {
        /// Its key.
        key: Key,
    },
    /// A CustomResourceDefinition is looked at: its names, whether it is served, what of it is left to delete. One write
    /// at most.
    Definition {
        /// Its name.
        name: CompactString,
    },
    /// A watch gets a bookmark. Not needed to settle.
    Bookmark {
        /// The watch.
        watch: WatchId,
    },
    /// Old revisions are forgotten. Not needed to settle.
    Compact {
        /// What is older than this.
        revision: u64,
    },
}

impl Chore {
    /// True for what goes through admission as a request does.
    pub(crate) fn is_request(&self) -> bool {
        matches!(self, Chore::CollectGarbage { .. } | Chore::Namespace { .. })
    }

    /// True if the cluster is not at rest while this can be done.
    pub fn is_settling(&self) -> bool {
        !matches!(self, Chore::Bookmark { .. } | Chore::Compact { .. })
    }
}

/// The state of all controllers.
#[derive(Clone, Debug)]
pub(crate) struct Actors {
    collector: Collector,
    namespaces: Namespaces,
    expiry: Expiry,
    compaction: Compaction,
    pub(crate) definitions: crd::Definitions,
}

impl Actors {
    pub(crate) fn new(config: &Config, began: u64) -> Actors {
        Actors {
            collector: Collector::default(),
            namespaces: Namespaces::default(),
            expiry: Expiry::default(),
            compaction: Compaction::new(began, config.began),
            definitions: crd::Definitions::default(),
        }
    }

    /// A write happened.
    pub(crate) fn observe(core: &mut Core, entry: &Arc<Entry>) {
        if core.config.garbage_collector {
            Collector::observe(core, entry);
        }
        if core.config.namespace_controller {
            Namespaces::observe(core, entry);
        }
        Expiry::observe(core, entry);
        crd::observe(core, entry);
    }

    /// The chores without which the cluster does not come to rest. Made one by one, as they are asked for.
    pub(crate) fn settling(&self, now: Timestamp) -> impl Iterator<Item = Chore> {
        let collector = self.collector.chores(now);
        let controllers = collector.chain(self.namespaces.chores(now));
        let expiry = self.expiry.chores(now);
        controllers.chain(expiry).chain(self.definitions.chores())
    }

    /// Adds the chores that could be done now.
    pub(crate) fn chores(&self, core: &Core, now: Timestamp, chores: &mut Vec<Chore>) {
        chores.extend(self.settling(now));
        let watches = core.watches.iter();
        let watches = watches.filter(|(_, watch)| core.has_bookmark(watch));
        chores.extend(watches.map(|(id, _)| Chore::Bookmark { watch: *id }));
        self.compaction.chores(core, now, chores);
    }

    /// Does what a controller asks the API server for, as an administrator and through admission.
    pub(crate) fn act(s: &mut Session<'_>, chore: &Chore) -> Result<(), Halt> {
        s.user = Arc::new(User {
            name: "admin".into(),
            uid: "admin".into(),
            groups: vec!["system:masters".into(), "system:authenticated".into()],
            ..User::default()
        });
        match chore {
            Chore::CollectGarbage { uid, .. } => Collector::act(s, uid),
            Chore::Namespace { name } => Namespaces::act(s, name),
            _ => unreachable!("the others ask nobody"),
        }
    }

    /// Does a chore of a controller that asks nobody.
    pub(crate) fn perform(core: &mut Core, cx: &mut Cx<'_>, chore: &Chore) {
        match chore {
            Chore::ExpireEvent { key } => Expiry::perform(core, cx, key),
            Chore::Compact { revision } => Compaction::perform(core, cx.now, *revision),
            Chore::Definition { name } => crd::perform(core, cx, name),
            Chore::CollectGarbage { .. } | Chore::Namespace { .. } => {
                unreachable!("they go through admission")
            }
            Chore::Advance { .. } | Chore::Bookmark { .. } => {
                unreachable!("caches and watches do their own chores")
            }
        }
    }

    /// When a chore becomes possible by time alone.
    pub(crate) fn next_deadline(&self, config: &Config) -> Option<Timestamp> {
        let expiry = self.expiry.next_deadline();
        let namespaces = self.namespaces.next_deadline();
        let collector = self.collector.next_deadline();
        let compaction = self.compaction.next_deadline(config);
        let all = expiry.into_iter().chain(namespaces);
        all.chain(compaction).chain(collector).min()
    }

    pub(crate) fn collector_ref(&self) -> &Collector {
        &self.collector
    }

    pub(crate) fn collector(&mut self) -> &mut Collector {
        &mut self.collector
    }

    pub(crate) fn namespaces(&mut self) -> &mut Namespaces {
        &mut self.namespaces
    }

    pub(crate) fn expiry(&mut self) -> &mut Expiry {
        &mut self.expiry
    }

    pub(crate) fn compaction(&mut self) -> &mut Compaction {
        &mut self.compaction
    }
}
