//! Targeted plans: the three staleness patterns, aimed at the points that the unperturbed run shows.
//!
//! Owns the plans' type, how they are learnt from a trace, and how a point is recognised again. A plan forces one thing at
//! one point and takes the boring default everywhere else, like a tape of one entry; the point is known by its name and
//! by how often that name came before, not by a step's number. Does not own how the world carries it out (`world`).
//!
//! - *intermediate*: the replica dies after a write, or never hears of its success
//! - *stale*: an event and all after it on that watch come late; or every cache stops before a change, and every replica
//!   is restarted onto that old state
//! - *unobserved*: an event is never seen, because it is coalesced with what comes after it
//!
//! There are at most two plans for each write, two for each event and one for each change that a reader could miss: as
//! many as the run is long.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Event, ObjectKey, Phase, ReplicaId, RequestId};
use crate::trace::{Record, Trace};

/// For how long an event is held back, or a cache stands still.
pub(crate) const STALE_US: u64 = 30_000_000;
/// For how long events are coalesced.
pub(crate) const COALESCED_US: u64 = 10_000_000;

/// One of the three patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// A write is done and what should follow is not.
    Intermediate,
    /// What is read is old.
    Stale,
    /// What happened is never seen.
    Unobserved,
}

impl Pattern {
    /// All of them, in the order in which their plans are run.
    pub const ALL: [Pattern; 3] = [Pattern::Intermediate, Pattern::Stale, Pattern::Unobserved];
}

/// What a point of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Site {
    /// A replica's write took effect.
    Write,
    /// A watch event reaches a replica.
    Event,
    /// An object changed, by whoever.
    Change,
}

/// A point of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Point {
    /// What it is.
    pub site: Site,
    /// Its name: `webapp-0: patch webapps/default/demo status`.
    pub name: String,
    /// Which point of that name it is, from 1.
    pub nth: u32,
}

/// What is forced there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Force {
    /// The replica dies after the write, before the reply.
    Crash,
    /// The reply to the write never arrives.
    LoseReply,
    /// The watch says nothing from this event on, for a while; then all comes.
    Hold,
    /// The watch says nothing from this event on, for a while; then it has expired and the client lists again.
    Coalesce,
    /// Every cache of the resource stands still from before the change on, and every replica is restarted.
    RestartStale,
}

/// One forced choice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Forced {
    /// Where.
    pub at: Point,
    /// What.
    pub force: Force,
}

/// A run with forced choices, and the boring default elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TargetedPlan {
    /// `crash-3`: what is forced, and at which point of its kind.
    pub name: String,
    /// The pattern it belongs to.
    pub pattern: Pattern,
    /// What is forced.
    pub forced: Vec<Forced>,
}

impl TargetedPlan {
    /// What is forced, in words.
    pub fn says(&self) -> String {
        let one = |forced: &Forced| {
            let what = match forced.force {
                Force::Crash => "a crash after",
                Force::LoseReply => "a lost reply to",
                Force::Hold => "late events from",
                Force::Coalesce => "coalesced events from",
                Force::RestartStale => "a restart onto the state before",
            };
            let nth = match forced.at.nth {
                1 => String::new(),
                n => format!(", time {n}"),
            };
            format!("{what} {}{nth}", forced.at.name)
        };
        let all: Vec<String> = self.forced.iter().map(one).collect();
        all.join("; ")
    }
}

/// The points of a run, as they go by.
#[derive(Default)]
pub(crate) struct Points {
    requests: BTreeMap<RequestId, (ReplicaId, String)>,
    seen: BTreeMap<(Site, String), u32>,
}

/// A point that a record is, and what is needed to act there.
pub(crate) struct Passed {
    pub(crate) point: Point,
    /// The replica and the request, for a write.
    pub(crate) request: Option<(ReplicaId, RequestId)>,
    /// The resource, for a change.
    pub(crate) resource: Option<(String, String)>,
}

impl Points {
    /// The points that a record is.
    pub(crate) fn read(&mut self, replicas: &[String], record: &Record) -> Vec<Passed> {
        let mut passed = Vec::new();
        let name_of = |replica: &ReplicaId| {
            let name = replicas.get(replica.0 as usize);
            name.map_or("", String::as_str).to_owned()
        };
        match &record.event {
            Event::RequestSent {
                replica,
                request,
                call,
                ..
            } if call.is_write() => {
                let name = format!("{}: {call}", name_of(replica));
                self.requests.insert(*request, (*replica, name));
            }
            Event::RequestCommitted {
                request, changes, ..
            } => {
                if let Some((replica, name)) = self.requests.remove(request)
                    && !changes.is_empty()
                {
                    let point = self.pass(Site::Write, name);
                    passed.push(Passed {
                        point,
                        request: Some((replica, *request)),
                        resource: None,
                    });
                }
            }
            Event::WatchDelivered {
                replica,
                kind,
                object: Some(object),
                ..
            } if is_event(kind) => {
                let point = self.pass(Site::Event, event_name(&name_of(replica), kind, object));
                passed.push(Passed {
                    point,
                    request: None,
                    resource: None,
                });
            }
            _ => {}
        }
        for change in record.event.changes() {
            let point = self.pass(Site::Change, format!("a change of {}", change.object));
            passed.push(Passed {
                point,
                request: None,
                resource: Some((
                    change.object.group.to_string(),
                    change.object.resource.to_string(),
                )),
            });
        }
        passed
    }

    fn pass(&mut self, site: Site, name: String) -> Point {
        let nth = self.seen.entry((site, name.clone())).or_insert(0);
        *nth += 1;
        Point {
            site,
            name,
            nth: *nth,
        }
    }

    /// The point that the delivery of an event would be.
    pub(crate) fn next(&self, site: Site, name: String) -> Point {
        let before = self.seen.get(&(site, name.clone())).copied();
        Point {
            site,
            name,
            nth: before.unwrap_or(0) + 1,
        }
    }
}

/// Whether a watch event is about a change, and not about the watch.
pub(crate) fn is_event(kind: &str) -> bool {
    matches!(kind, "ADDED" | "MODIFIED" | "DELETED")
}

/// The name of an event's point: `webapp-0: ADDED webapps/default/demo`.
pub(crate) fn event_name(replica: &str, kind: &str, object: &ObjectKey) -> String {
    format!("{replica}: {kind} {object}")
}

/// All plans for a setup, learnt from its unperturbed run. What replicas do to elect a leader is left out: Leases change
/// every few seconds, for ever.
pub fn plans(reference: &Trace) -> Vec<TargetedPlan> {
    let mut points = Points::default();
    let mut plans = Vec::new();
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    for record in &reference.records {
        if let Event::PhaseBegan {
            phase: Phase::Settled | Phase::Done,
        } = record.event
        {
            break;
        }
        for passed in points.read(&reference.replicas, record) {
            let point = passed.point;
            if point.name.contains(" leases/") || point.name.contains(" events/") {
                continue;
            }
            let forces: &[(&'static str, Pattern, Force)] = match point.site {
                Site::Write => &[
                    ("crash", Pattern::Intermediate, Force::Crash),
                    ("lose-reply", Pattern::Intermediate, Force::LoseReply),
                ],
                Site::Event => &[
                    ("hold", Pattern::Stale, Force::Hold),
                    ("coalesce", Pattern::Unobserved, Force::Coalesce),
                ],
                Site::Change => &[("restart-stale", Pattern::Stale, Force::RestartStale)],
            };
            for (word, pattern, force) in forces {
                let number = numbers.entry(word).or_insert(0);
                *number += 1;
                plans.push(TargetedPlan {
                    name: format!("{word}-{number}"),
                    pattern: *pattern,
                    forced: vec![Forced {
                        at: point.clone(),
                        force: *force,
                    }],
                });
            }
        }
    }
    plans.sort_by_key(|plan| plan.pattern);
    plans
}
