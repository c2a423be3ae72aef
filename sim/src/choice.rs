//! Everything that can happen next, and the tape of what was taken.
//!
//! Owns the closed enum [`Choice`] and the typed choice [`Tape`]. A seed only fills a tape; replaying the tape gives
//! the same run. Option 0 is always the boring default: the oldest message, no delay beyond the shortest, no fault.
//! Does not own who picks (`schedule`).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::event::{CallId, ReplicaId, RequestId, WatchId};
use crate::targeted::TargetedPlan;

/// One thing the world can do next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    /// A request in flight reaches the API server and is carried out.
    CommitRequest(RequestId),
    /// A reply in flight reaches the replica that waits for it.
    DeliverReply(RequestId),
    /// The next event in flight of a watch reaches its replica.
    DeliverWatch(WatchId),
    /// A call of a webhook reaches whoever serves it.
    DeliverCall(CallId),
    /// The answer of a webhook reaches the API server.
    DeliverAnswer(CallId),
    /// A simulated service does something by itself; the number is that of the setup.
    Service(u32),
    /// A controller of the control plane does one thing; the number counts chores offered so far.
    Chore(u64),
    /// A stand-in sees the next write to a resource; the number counts what stand-ins watch.
    Inform(u32),
    /// A stand-in takes its next step for an object; the number counts steps offered so far.
    Act(u64),
    /// A stage of an object is over (a Pod has started, a claim is bound): it happens at its time. Numbered with `Act`.
    Stage(u64),
    /// The next step of the workload.
    Workload(u32),
    /// A replica starts, or starts again.
    Start(ReplicaId),
    /// A replica's metrics are scraped.
    Scrape(ReplicaId),
    /// A paused replica runs again.
    Resume(ReplicaId),
    /// A silenced watch speaks again.
    Unsilence(WatchId),
    /// A watch is told by a bookmark how far its server has come.
    Bookmark(WatchId),
    /// A lagging watch cache follows again; the number is that of the lag.
    Unlag(u32),
    /// The API server has something due: a watch at its end, a request that has waited long enough.
    ServerDeadline,
    /// The replica's earliest timer is due.
    Wake(ReplicaId),
}

impl Choice {
    /// Whether it is a message or a chore, whose order is free, and not something that happens at its time.
    pub fn is_free(&self) -> bool {
        matches!(
            self,
            Choice::CommitRequest(_)
                | Choice::DeliverReply(_)
                | Choice::DeliverWatch(_)
                | Choice::DeliverCall(_)
                | Choice::DeliverAnswer(_)
                | Choice::Chore(_)
                | Choice::Inform(_)
                | Choice::Act(_)
        )
    }
}

/// What an entry of the tape decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChoiceKind {
    /// Which of the enabled choices is next.
    Order,
    /// Whether a fault strikes here, and which.
    Fault,
    /// How long a message or a fault takes.
    Delay,
    /// Which name, uid or other drawn value.
    Value,
}

/// What could be taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Options {
    /// One of these, named stably.
    Names(Vec<Cow<'static, str>>),
    /// A number up to this, in microseconds above the shortest for delays.
    UpTo(u64),
}

/// One decision of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TapeEntry {
    /// Where it was decided, stable over small changes of the code: `request-latency`, `order`, `fault:commit`.
    pub site: Cow<'static, str>,
    /// What was decided.
    pub kind: ChoiceKind,
    /// What could have been taken.
    pub options: Options,
    /// What was taken: an index into the names, or the number. 0 is the boring default.
    pub taken: u64,
}

/// The two ways of time, as a tape remembers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TapeMode {
    /// The earliest message is next.
    Timed,
    /// The order is on the tape.
    Controlled,
}

/// All decisions of a run, in order, with the seed that feeds what is not a decision (hash keys, jitter).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tape {
    /// The seed of the replicas' own randomness.
    pub seed: u64,
    /// How time passes.
    pub mode: TapeMode,
    /// What is forced besides, at points known by their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<TargetedPlan>,
    /// The decisions.
    pub entries: Vec<TapeEntry>,
}
