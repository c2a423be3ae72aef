//! The reference: what a cluster of ConfigMaps is, in the fewest words, and what each request must come to.
//!
//! Owns the transitions and their outcome on a map of objects. Knows no revisions, no caches and no bytes: those the test
//! (`cluster`) checks against what the reference says has changed.
//! Simplification: an object that is being deleted is not deleted again, and owners are ConfigMaps of the same namespace.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::defect::Defect;

/// Names of objects.
const NAMES: u8 = 5;
/// API servers.
pub(crate) const SERVERS: u32 = 3;

/// How a deletion goes on to what is owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Background,
    Foreground,
    Orphan,
}

/// A request that changes something.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// Creates an object, owned by whatever has the owner's name now, or by an object that never was.
    Create { owner: Option<u8>, finalizer: bool },
    /// Replaces the object as it was last read, or as it was before.
    Put { value: u8, stale: bool },
    /// Sets the value whatever it was.
    Patch { value: u8 },
    /// Sets the value, forced.
    Apply { value: u8 },
    /// Deletes the object.
    Delete { policy: Policy },
    /// Takes the client's own finalizer off.
    Release,
}

/// One step of a history.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A request through some server. A slow one waits for a webhook before it is stored.
    Write {
        server: u32,
        name: u8,
        write: Write,
        slow: bool,
    },
    /// The webhook answers one of the requests that wait.
    Answer(usize),
    /// Reads an object, from storage or from the server's cache.
    Get { server: u32, name: u8, cached: bool },
    /// Lists all, in pages if a limit is given; from the cache, from storage, or at a revision so many writes ago.
    List {
        server: u32,
        limit: u8,
        cached: bool,
        back: Option<u8>,
    },
    /// Opens a watch at a revision so many writes ago, or from the beginning.
    Watch { server: u32, back: Option<u8> },
    /// Breaks a watch off and goes on from its last event, through another server.
    Resume { pick: usize, server: u32 },
    /// A server's cache sees one more write.
    Advance { server: u32 },
    /// The garbage collector works until it has nothing to do.
    Collect,
}

/// An object, as far as the reference cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Which object of that name it is: names are used again.
    pub(crate) uid: u32,
    pub(crate) value: Option<u8>,
    pub(crate) owner: Option<u32>,
    pub(crate) finalizer: bool,
    /// Being deleted, and how.
    pub(crate) going: Option<Policy>,
    /// The collector has a reason to look at it as an owner: it began to wait for its dependents, or one of them went.
    /// One that comes later is no reason, as in the real collector.
    looked_at: bool,
    /// Changes whenever the object is written.
    pub(crate) version: u64,
    /// True once a write before the last one of this object is known to clients.
    pub(crate) rewritten: bool,
    /// Who has applied the value, the slow client (true) or the fast one: one more of them is a change of ownership.
    appliers: BTreeSet<bool>,
}

impl Object {
    fn rewrite(&mut self, version: u64) {
        self.version = version;
        self.rewritten = true;
    }
}

/// A request that waits for the webhook.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) id: u64,
    pub(crate) name: u8,
    write: Write,
    /// The owner an object to be created names.
    owner: Option<u32>,
    /// The object the webhook was asked about.
    seen: Option<(u32, u64)>,
}

/// What a step must come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing is stored and nobody is told.
    #[default]
    Nothing,
    /// The answer of a request, and whether it stored something.
    Answered { id: u64, code: u16, stored: bool },
    /// The webhook is asked (again).
    Waits { id: u64 },
    /// The collector's writes; what matters is what is left.
    Collected,
}

/// The reference state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) objects: BTreeMap<u8, Object>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) outcome: Outcome,
    /// Requests so far.
    pub(crate) requests: u64,
    uids: u32,
    versions: u64,
    /// What the test is to do wrong.
    pub(crate) defect: Option<Defect>,
}

impl Model {
    fn write(&mut self, id: u64, name: u8, write: &Write, owner: Option<u32>, slow: bool) {
        let (code, stored) = self.perform(name, write, owner, slow);
        self.outcome = Outcome::Answered { id, code, stored };
    }

    fn stamp(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    fn perform(&mut self, name: u8, write: &Write, owner: Option<u32>, slow: bool) -> (u16, bool) {
        let version = self.stamp();
        if let Write::Create { finalizer, .. } = write {
            if self.objects.contains_key(&name) {
                return (409, false);
            }
            self.uids += 1;
            let object = Object {
                uid: self.uids,
                value: None,
                owner,
                finalizer: *finalizer,
                going: None,
                looked_at: false,
                version,
                rewritten: false,
                appliers: BTreeSet::new(),
            };
            self.objects.insert(name, object);
            return (201, true);
        }
        let Some(object) = self.objects.get_mut(&name) else {
            if let Write::Apply { value } = write {
                self.uids += 1;
                let object = Object {
                    uid: self.uids,
                    value: Some(*value),
                    owner: None,
                    finalizer: false,
                    going: None,
                    looked_at: false,
                    version,
                    rewritten: false,
                    appliers: BTreeSet::from([slow]),
                };
                self.objects.insert(name, object);
                return (201, true);
            }
            return (404, false);
        };
        match write {
            Write::Create { .. } => unreachable!("done above"),
            Write::Put { stale: true, .. } => (409, false),
            Write::Put { value, .. } | Write::Patch { value } => {
                let changed = object.value != Some(*value);
                if changed {
                    object.value = Some(*value);
                    object.appliers.clear();
                    object.rewrite(version);
                }
                (200, changed)
            }
            Write::Apply { value } => {
                let same = object.value == Some(*value);
                if !same {
                    object.appliers.clear();
                }
                let changed = object.appliers.insert(slow) || !same;
                if changed {
                    object.value = Some(*value);
                    object.rewrite(version);
                }
                (200, changed)
            }
            Write::Delete { policy } => {
                if *policy == Policy::Background && !object.finalizer {
                    self.gone(name);
                } else {
                    object.going = Some(*policy);
                    object.looked_at = true;
                    object.rewrite(version);
                }
                (200, true)
            }
            Write::Release => {
                let changed = object.finalizer;
                object.finalizer = false;
                if changed {
                    object.rewrite(version);
                }
                if object.going == Some(Policy::Background) {
                    self.gone(name);
                }
                (200, changed)
            }
        }
    }

    /// An object is no more.
    fn gone(&mut self, name: u8) {
        let owner = self.objects.remove(&name).and_then(|object| object.owner);
        for object in self
            .objects
            .values_mut()
            .filter(|object| Some(object.uid) == owner)
        {
            object.looked_at = true;
        }
    }

    /// Where the garbage collector ends.
    fn collect(&mut self) {
        loop {
            let before = self.objects.clone();
            for name in before.keys() {
                self.collect_one(*name);
            }
            if self.objects == before {
                for object in self.objects.values_mut() {
                    object.looked_at = false;
                }
                return;
            }
        }
    }

    fn collect_one(&mut self, name: u8) {
        let version = self.stamp();
        let Some(object) = self.objects.get(&name).cloned() else {
            return;
        };
        let owned = |other: &Object| other.owner == Some(object.uid);
        let finish = |model: &mut Model| {
            if object.finalizer {
                let object = model.objects.get_mut(&name).expect("just seen");
                object.going = Some(Policy::Background);
                object.rewrite(version);
            } else {
                model.gone(name);
            }
        };
        match object.going {
            Some(Policy::Background) => {}
            Some(Policy::Orphan) => {
                for other in self.objects.values_mut().filter(|other| owned(other)) {
                    other.owner = None;
                    other.rewrite(version);
                }
                finish(self);
            }
            Some(Policy::Foreground) => {
                if object.looked_at && !self.objects.values().any(owned) {
                    finish(self);
                }
            }
            None => {
                let Some(uid) = object.owner else {
                    return;
                };
                let owner = self.objects.values().find(|other| other.uid == uid);
                let policy = match owner {
                    None => Policy::Background,
                    Some(owner) if owner.going == Some(Policy::Foreground) && owner.looked_at => {
                        if self.objects.values().any(owned) {
                            Policy::Foreground
                        } else {
                            Policy::Background
                        }
                    }
                    Some(_) => return,
                };
                if policy == Policy::Background {
                    finish(self);
                } else {
                    let object = self.objects.get_mut(&name).expect("just seen");
                    object.going = Some(policy);
                    object.looked_at = true;
                    object.rewrite(version);
                }
            }
        }
    }

    fn answer(&mut self, pick: usize) {
        if self.pending.is_empty() {
            self.outcome = Outcome::Nothing;
            return;
        }
        let mut pending = self.pending.remove(pick % self.pending.len());
        let now = self.seen(pending.name);
        let id = pending.id;
        let asked_again = match pending.write {
            Write::Create { .. } => false,
            Write::Put { .. } => {
                // What was read before somebody else wrote is stale by now. Admission comes before that is looked at, but
                // not where the name is another object's.
                let changed = now != pending.seen;
                let uid = |seen: Option<(u32, u64)>| seen.map(|(uid, _)| uid);
                let same = uid(now) == uid(pending.seen);
                if changed {
                    let stale = true;
                    pending.write = Write::Put { value: 0, stale };
                }
                changed && same
            }
            Write::Patch { .. } => now.is_some() && now != pending.seen,
            _ => now != pending.seen,
        };
        if asked_again {
            pending.seen = now;
            self.pending.push(pending);
            self.outcome = Outcome::Waits { id };
        } else {
            self.write(id, pending.name, &pending.write, pending.owner, true);
        }
    }

    fn seen(&self, name: u8) -> Option<(u32, u64)> {
        self.objects
            .get(&name)
            .map(|object| (object.uid, object.version))
    }

    /// Whether a slow request gets as far as the webhook.
    fn is_asked(&self, name: u8, write: &Write) -> bool {
        match write {
            Write::Create { .. } => true,
            Write::Apply { .. } => true,
            Write::Put { .. } | Write::Patch { .. } => self.objects.contains_key(&name),
            Write::Delete { .. } | Write::Release => false,
        }
    }
}

fn write() -> impl Strategy<Value = Write> {
    let policy = prop_oneof![
        3 => Just(Policy::Background),
        1 => Just(Policy::Foreground),
        1 => Just(Policy::Orphan),
    ];
    let owner = prop::option::of(0..NAMES + 1);
    prop_oneof![
        5 => (owner, prop::bool::weighted(0.25)).prop_map(|(owner, finalizer)| Write::Create { owner, finalizer }),
        2 => (0..4u8, prop::bool::weighted(0.3)).prop_map(|(value, stale)| Write::Put { value, stale }),
        3 => (0..4u8).prop_map(|value| Write::Patch { value }),
        2 => (0..4u8).prop_map(|value| Write::Apply { value }),
        3 => policy.prop_map(|policy| Write::Delete { policy }),
        2 => Just(Write::Release),
    ]
}

impl ReferenceStateMachine for Model {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(_: &Model) -> BoxedStrategy<Step> {
        let server = || 0..SERVERS;
        let back = || prop::option::of(0..8u8);
        prop_oneof![
            12 => (server(), 0..NAMES, write(), prop::bool::weighted(0.25))
                .prop_map(|(server, name, write, slow)| Step::Write { server, name, write, slow }),
            4 => (0..8usize).prop_map(Step::Answer),
            3 => (server(), 0..NAMES, any::<bool>()).prop_map(|(server, name, cached)| Step::Get { server, name, cached }),
            2 => (server(), 0..4u8, any::<bool>(), back())
                .prop_map(|(server, limit, cached, back)| Step::List { server, limit, cached, back }),
            2 => (server(), back()).prop_map(|(server, back)| Step::Watch { server, back }),
            1 => (0..8usize, server()).prop_map(|(pick, server)| Step::Resume { pick, server }),
            10 => server().prop_map(|server| Step::Advance { server }),
            2 => Just(Step::Collect),
        ]
        .boxed()
    }

    fn preconditions(state: &Model, step: &Step) -> bool {
        match step {
            Step::Write {
                name,
                write: Write::Delete { .. },
                ..
            } => state
                .objects
                .get(name)
                .is_none_or(|object| object.going.is_none()),
            _ => true,
        }
    }

    fn apply(mut state: Model, step: &Step) -> Model {
        state.outcome = Outcome::Nothing;
        match step {
            Step::Write {
                name, write, slow, ..
            } => {
                state.requests += 1;
                let id = state.requests;
                let mut write = write.clone();
                // Without an older version there is nothing stale to send.
                if let Write::Put { stale, .. } = &mut write {
                    *stale &= state
                        .objects
                        .get(name)
                        .is_some_and(|object| object.rewritten);
                }
                let owner = match write {
                    Write::Create { owner, .. } => owner,
                    _ => None,
                };
                // An owner that is not there is one that never was.
                let owner =
                    owner.map(|owner| state.objects.get(&owner).map_or(0, |owner| owner.uid));
                if *slow && state.is_asked(*name, &write) {
                    let seen = state.seen(*name);
                    state.pending.push(Pending {
                        id,
                        name: *name,
                        write,
                        owner,
                        seen,
                    });
                    state.outcome = Outcome::Waits { id };
                } else {
                    state.write(id, *name, &write, owner, false);
                }
            }
            Step::Answer(pick) => state.answer(*pick),
            Step::Collect => {
                state.collect();
                state.outcome = Outcome::Collected;
            }
            Step::Get { .. }
            | Step::List { .. }
            | Step::Watch { .. }
            | Step::Resume { .. }
            | Step::Advance { .. } => {}
        }
        state
    }
}
