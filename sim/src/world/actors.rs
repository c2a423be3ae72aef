//! The stand-ins' part in the world: what they could see or do next is offered as choices, and what was taken is done.
//!
//! A sight ([`Choice::Inform`]) and a controller's step ([`Choice::Act`]) are messages, whose order is free; a stage of an
//! object ([`Choice::Stage`]) takes its time in both ways of time. Does not own what they do (`crate::actors`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use fake_apiserver::server::{ApiServer, Output, RequestId};
use fake_apiserver::store::{Entry, Key, Origin};

use super::requests::StatusHead;
use super::{World, timestamp};
use crate::actors::{Plan, SERVER, StandIn, When, stand_ins};
use crate::choice::Choice;
use crate::entropy;
use crate::event::{Event, StepId};
use crate::setup::Setup;
use crate::time::{EPOCH_UNIX_US, SimTime};

/// The stand-ins of a run.
pub(super) struct StandIns {
    list: Vec<StandIn>,
    /// Steps offered so far.
    offered: u64,
    /// Sights offered now.
    sights: BTreeSet<u32>,
    /// Which event made a revision, for those that are not seen by all yet.
    made_by: BTreeMap<u64, StepId>,
    /// Steps whose answer is still to come.
    asked: BTreeMap<RequestId, Asked>,
}

struct Asked {
    actor: usize,
    key: Key,
    what: String,
}

/// Sights are numbered by stand-in and informer.
const INFORMERS_MAX: u32 = 8;

impl StandIns {
    pub(super) fn new(setup: &Setup, server: &ApiServer) -> StandIns {
        StandIns {
            list: stand_ins(&setup.actors, server),
            offered: 0,
            sights: BTreeSet::new(),
            made_by: BTreeMap::new(),
            asked: BTreeMap::new(),
        }
    }

    /// Remembers by which event writes were made.
    pub(super) fn remember(&mut self, entries: &[Arc<Entry>], step: StepId) {
        if !self.list.is_empty() {
            let made = entries.iter().map(|entry| (entry.revision, step));
            self.made_by.extend(made);
        }
    }

    /// Nothing to see, nothing to do.
    pub(super) fn are_idle(&self) -> bool {
        self.sights.is_empty()
            && self.asked.is_empty()
            && self.list.iter().all(|actor| actor.offers.is_empty())
    }

    /// Whether a request is a stand-in's.
    pub(super) fn asked(&self, id: RequestId) -> bool {
        self.asked.contains_key(&id)
    }

    pub(super) fn name_of_sight(&self, number: u32) -> String {
        let actor = &self.list[(number / INFORMERS_MAX) as usize];
        let plural = actor.plural_of((number % INFORMERS_MAX) as usize);
        format!("{} sees {plural}", actor.name)
    }

    pub(super) fn name_of_step(&self, number: u64) -> Option<String> {
        self.list.iter().find_map(|actor| {
            let mut offers = actor.offers.iter();
            let (key, _) = offers.find(|(_, offered)| offered.number == number)?;
            Some(format!("{} acts on {key}", actor.name))
        })
    }
}

impl World<'_> {
    /// Offers what stand-ins could see and do now.
    pub(super) fn refresh_stand_ins(&mut self) {
        if self.stand_ins.list.is_empty() {
            return;
        }
        let now = timestamp(entropy::now());
        for at in 0..self.stand_ins.list.len() {
            let actor = &mut self.stand_ins.list[at];
            for plan in actor.plan(now) {
                self.take_plan(at, plan);
            }
            let actor = &self.stand_ins.list[at];
            let pace = actor.pace.watch.unwrap_or(self.setup.timing.watch);
            for informer in 0..actor.informers.len() {
                let number = at as u32 * INFORMERS_MAX + informer as u32;
                let ahead = self.stand_ins.list[at]
                    .ahead(&self.server, informer)
                    .is_some();
                if ahead && self.stand_ins.sights.insert(number) {
                    let latency = self.latency("actor-watch", pace);
                    self.agenda
                        .put(Choice::Inform(number), SimTime(entropy::now().0 + latency));
                }
            }
        }
    }

    fn take_plan(&mut self, at: usize, plan: Plan) {
        let (key, step, cause) = match plan {
            Plan::Drop { number } => {
                self.agenda.remove(&Choice::Act(number));
                self.agenda.remove(&Choice::Stage(number));
                return;
            }
            Plan::Offer { key, step, cause } => (key, step, cause),
        };
        let now = entropy::now();
        self.stand_ins.offered += 1;
        let number = self.stand_ins.offered;
        let (choice, due) = match step.when {
            When::Soon => {
                let pace = self.stand_ins.list[at].pace.act;
                let pace = pace.unwrap_or(self.setup.timing.chore);
                let latency = self.latency("actor", pace);
                (Choice::Act(number), SimTime(now.0 + latency))
            }
            When::After(stage) => {
                let stage_us = self.chooser.delay("stage", stage);
                (Choice::Stage(number), SimTime(now.0 + stage_us))
            }
            When::At(time) => {
                let us = u64::try_from(time.micros()).unwrap_or(0);
                let due = SimTime(us.saturating_sub(EPOCH_UNIX_US));
                (Choice::Stage(number), due.max(now))
            }
        };
        self.stand_ins.list[at].offer(key, number, step, cause);
        self.agenda.put(choice, due);
    }

    /// A stand-in sees the next write to a resource.
    pub(super) fn inform(&mut self, number: u32) {
        let (at, informer) = (
            (number / INFORMERS_MAX) as usize,
            (number % INFORMERS_MAX) as usize,
        );
        self.stand_ins.sights.remove(&number);
        let actor = &mut self.stand_ins.list[at];
        if let Some(entry) = actor.ahead(&self.server, informer).cloned() {
            let cause = self.stand_ins.made_by.get(&entry.revision).copied();
            actor.see(informer, &entry, cause);
        }
        self.refresh_stand_ins();
    }

    /// A stand-in takes a step: it asks the API server for one write.
    pub(super) fn act(&mut self, number: u64) {
        let now = timestamp(entropy::now());
        let taken = self
            .stand_ins
            .list
            .iter_mut()
            .enumerate()
            .find_map(|(at, actor)| {
                let (key, offered) = actor.take(number, now)?;
                Some((at, actor.manager(), key, offered))
            });
        let Some((actor, manager, key, offered)) = taken else {
            return;
        };
        self.cause = offered.cause;
        let Some(request) = offered.step.ask.request(manager) else {
            return;
        };
        let id = RequestId(self.gate.next_request().0);
        let asked = Asked {
            actor,
            key,
            what: offered.step.what,
        };
        let what = asked.what.clone();
        self.stand_ins.asked.insert(id, asked);
        let outputs = self.with_server(|server, cx| server.submit(cx, SERVER, id, request));
        let answers = |output: &Output| matches!(output, Output::Reply { id: of, .. } if *of == id);
        if !outputs.iter().any(answers) {
            let actor = self.stand_ins.list[actor].name.to_owned();
            let event = Event::ActorActed {
                actor,
                what,
                status: 0,
                message: String::new(),
                changes: Vec::new(),
            };
            self.cause = Some(self.record(event));
        }
        self.take_outputs(outputs);
        self.refresh_chores();
    }

    /// The API server answers a stand-in.
    pub(super) fn actor_answered(&mut self, id: RequestId, response: &http::Response<Bytes>) {
        let of = Origin::Request(id);
        let (changes, entries) = self.take_changes(|entry| entry.origin == of);
        let Some(asked) = self.stand_ins.asked.remove(&id) else {
            return;
        };
        let status = response.status().as_u16();
        let head: StatusHead = match status {
            0..300 => StatusHead::default(),
            _ => serde_json::from_slice(response.body()).unwrap_or_default(),
        };
        // There is no use in trying again in a namespace that goes.
        let ended = status == 403 && head.message.contains("is being terminated");
        let now = timestamp(entropy::now());
        let actor = &mut self.stand_ins.list[asked.actor];
        actor.answered(&asked.key, status, ended, &entries, now);
        let event = Event::ActorActed {
            actor: actor.name.to_owned(),
            what: asked.what,
            status,
            message: head.message,
            changes,
        };
        self.cause = Some(self.record_with(event, entries));
    }
}
