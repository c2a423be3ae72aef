//! Carrying out a targeted plan: what is forced at which point of the run.
//!
//! Two hooks: after each turn, for what follows a write or a change; before the delivery of a watch event, for what comes
//! in its place. A run without a plan passes both by.

use fake_apiserver::server::ServerId;

use super::World;
use super::control::Lag;
use crate::choice::Choice;
use crate::entropy;
use crate::event::{Event, ObjectKey, ReplicaId, RequestId, WatchId};
use crate::targeted::{
    COALESCED_US, Force, Passed, Point, Points, STALE_US, Site, TargetedPlan, event_name, is_event,
};
use crate::time::{DurationRange, SimTime};

/// What is still to be forced.
pub(super) struct Targets {
    plan: TargetedPlan,
    points: Points,
    read: usize,
    /// Silent watches that are to expire instead of speaking again.
    expiring: Vec<WatchId>,
}

impl Targets {
    pub(super) fn new(plan: &TargetedPlan) -> Targets {
        Targets {
            plan: plan.clone(),
            points: Points::default(),
            read: 0,
            expiring: Vec::new(),
        }
    }

    /// Whether everything was forced: else the run is not the one the plan was learnt from.
    pub(super) fn are_met(&self) -> bool {
        self.plan.forced.is_empty()
    }

    fn take(&mut self, point: &Point) -> Option<Force> {
        let at = self.plan.forced.iter().position(|f| f.at == *point)?;
        Some(self.plan.forced.remove(at).force)
    }
}

impl World<'_> {
    /// Forces what the plan says about what has just happened.
    pub(super) fn force_after_turn(&mut self) {
        let Some(mut targets) = self.targets.take() else {
            return;
        };
        while targets.read < self.trace.records.len() {
            let record = &self.trace.records[targets.read];
            targets.read += 1;
            let unsilenced = match record.event {
                Event::WatchUnsilenced { watch } if targets.expiring.contains(&watch) => {
                    Some(watch)
                }
                _ => None,
            };
            let step = record.step;
            let passed = targets.points.read(&self.trace.replicas, record);
            self.cause = Some(step);
            if let Some(watch) = unsilenced {
                self.expire_watch(watch);
            }
            for passed in passed {
                if let Some(force) = targets.take(&passed.point) {
                    self.force_after(force, &passed);
                }
            }
        }
        self.targets = Some(targets);
    }

    fn force_after(&mut self, force: Force, passed: &Passed) {
        let second = DurationRange::fixed(std::time::Duration::from_secs(1));
        match (force, passed.request, &passed.resource) {
            (Force::Crash, Some((replica, _)), _) => {
                self.crash(replica, "crash after a write, as planned", second);
            }
            (Force::LoseReply, Some((replica, request)), _) => {
                self.lose_reply(replica, request);
            }
            (Force::RestartStale, _, Some((group, resource))) => {
                self.lag_all(group, resource);
                for id in self.replica_ids() {
                    self.crash(id, "restarted onto an old state, as planned", second);
                }
            }
            _ => {}
        }
    }

    fn lose_reply(&mut self, replica: ReplicaId, request: RequestId) {
        if self.break_reply(request) {
            self.record(Event::ReplyLost { replica, request });
        }
    }

    fn lag_all(&mut self, group: &str, resource: &str) {
        let row = self
            .server
            .registry()
            .rows()
            .find(|row| row.is(group, resource));
        let Some(id) = row.map(|row| row.id) else {
            return;
        };
        for server in 0..self.setup.servers.max(1) {
            self.lags.push(Lag {
                server: ServerId(server),
                resource: id,
                over: false,
            });
            let number = self.lags.len() as u32 - 1;
            self.record(Event::CacheLagged {
                server,
                resource: resource.to_owned(),
                for_us: STALE_US,
            });
            self.agenda
                .put(Choice::Unlag(number), SimTime(entropy::now().0 + STALE_US));
        }
        self.stop_caches(id);
    }

    /// Forces what the plan says in place of a watch event's delivery; true if it does.
    pub(super) fn force_on_event(
        &mut self,
        watch: WatchId,
        replica: ReplicaId,
        kind: &str,
        object: &ObjectKey,
    ) -> bool {
        if self.targets.is_none() || !is_event(kind) {
            return false;
        }
        // What has happened in this very turn counts too.
        let name = event_name(&self.trace.replicas[replica.0 as usize], kind, object);
        let Some(targets) = &mut self.targets else {
            return false;
        };
        let point = targets.points.next(Site::Event, name);
        let for_us = match targets.take(&point) {
            Some(Force::Hold) => STALE_US,
            Some(Force::Coalesce) => {
                targets.expiring.push(watch);
                COALESCED_US
            }
            _ => return false,
        };
        self.silence(watch, replica, for_us);
        true
    }
}
