//! The directed form: a test that says itself what happens when.

use std::time::Duration;

use super::World;
use crate::choice::Choice;
use crate::entropy;
use crate::event::{Event, ReplicaId};
use crate::property::View;
use crate::time::{DurationRange, SimTime};

/// The requests of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests(pub(super) ReplicaId);

impl World<'_> {
    /// The requests of the replica of that name (`widget-operator-0`).
    ///
    /// # Panics
    /// If there is no replica of that name.
    pub fn requests_of(&self, replica: &str) -> Requests {
        let at = self.replicas.iter().position(|one| one.name == replica);
        let known: Vec<&str> = self.replicas.iter().map(|one| one.name.as_str()).collect();
        Requests(ReplicaId(
            at.unwrap_or_else(|| panic!("no replica {replica:?}; there are {known:?}")) as u32,
        ))
    }

    /// Keeps those requests at the gate, the ones to come as well, until they are released.
    pub fn hold(&mut self, requests: Requests) {
        self.held.insert(requests.0);
        let of = self
            .requests
            .iter()
            .filter(|(_, request)| request.replica == requests.0);
        for (id, _) in of {
            self.agenda.remove(&Choice::CommitRequest(*id));
        }
    }

    /// Lets them pass.
    pub fn release(&mut self, requests: Requests) {
        self.held.remove(&requests.0);
        let now = entropy::now();
        let of = |id: ReplicaId| id == requests.0;
        for (id, request) in self
            .requests
            .iter()
            .filter(|(_, r)| of(r.replica) && !r.is_committed())
        {
            debug_assert!(!request.is_committed());
            self.agenda.put(Choice::CommitRequest(*id), now);
        }
    }

    /// Runs until the condition holds; false if the run ended before it did.
    pub fn run_until(&mut self, mut condition: impl FnMut(&View<'_>) -> bool) -> bool {
        loop {
            if condition(&self.view().0) {
                return true;
            }
            if !self.turn() {
                return false;
            }
        }
    }

    /// Runs until something like this has happened from now on; false if the run ended before it did.
    pub fn run_until_event(&mut self, mut wanted: impl FnMut(&Event) -> bool) -> bool {
        let mut read = self.trace.records.len();
        loop {
            if self.trace.records[read..]
                .iter()
                .any(|record| wanted(&record.event))
            {
                return true;
            }
            read = self.trace.records.len();
            if !self.turn() {
                return false;
            }
        }
    }

    /// Lets that much time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let until = entropy::now() + duration;
        while self.agenda.first().is_some_and(|(at, _)| at <= until) {
            if !self.turn() {
                return;
            }
        }
        entropy::set_now(until.max(entropy::now()));
    }

    /// Releases everything and runs to the end; whether the world settled.
    pub fn run_until_settled(&mut self) -> bool {
        self.release_all();
        while self.progress.settled.is_none() && self.turn() {}
        self.progress.settled.is_some()
    }

    /// Kills a replica and starts it again after that long.
    pub fn crash_replica(&mut self, replica: &str, restart: Duration) {
        let Requests(id) = self.requests_of(replica);
        self.crash(id, "the test says so", DurationRange::fixed(restart));
    }

    /// Stops running a replica for that long.
    pub fn pause_replica(&mut self, replica: &str, lasting: Duration) {
        let Requests(id) = self.requests_of(replica);
        let until = SimTime(entropy::now().0 + crate::time::us(lasting));
        self.replicas[id.0 as usize].paused_until = Some(until);
        self.record(Event::ReplicaPaused {
            replica: id,
            for_us: crate::time::us(lasting),
        });
        self.agenda.put(Choice::Resume(id), until);
    }

    /// What there is to see.
    pub fn look(&mut self) -> View<'_> {
        self.view().0
    }
}
