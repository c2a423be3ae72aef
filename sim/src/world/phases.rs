//! The phases of a run: faults and workload on, then off, then settled, then everything reconciled once more.
//!
//! **Settled** = faults off, workload done, nothing in flight or due, every cache caught up, every replica running, and for
//! `settle.window` no write changed an object other than Leases, Events and the fields under `settle.noise`, no replica
//! heard of such a change, or late of a failure, and nothing happened that was overdue. The window is raised to the longest
//! requeue seen, up to its cap.
//! **Forced reconcile** = the last event of each object is delivered again, then every watch expires (410, relist), then
//! every replica is restarted; each has its time to come to rest.
//!
//! Simplification: a requeue is seen as the gap between two reconciles of one object of which the second says that the
//! reconciler asked for it; one that is longer than the window and was never seen is missed.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use crate::choice::Choice;
use crate::entropy;
use crate::event::{ChangeKind, Event, ObjectKey, Phase, ReplicaId, Revision, StepId, WatchId};
use crate::setup::{Setup, Until};
use crate::time::{SimTime, us};

/// How long faults may strike after the last step of the workload.
const FAULTS_US: u64 = 30_000_000;
/// How long each part of the forced reconcile is given at least, and at most.
const FORCED_US: u64 = 30_000_000;
const FORCED_US_MAX: u64 = 300_000_000;

/// What comes so much later than it was due, or a failure so long after its request, is news to whoever gets it.
const LATE_US: u64 = 1_000_000;

/// The parts of the forced reconcile, by what has been done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Forced {
    Redelivered,
    Relisted,
    Restarted,
}

/// How far a run has come.
pub(super) struct Progress {
    pub(super) phase: Phase,
    /// When something changed last, or somebody heard of a change.
    last_change: SimTime,
    /// The last change that counts.
    changed: u64,
    /// Which collections each start of a replica has listed since the last change that counts.
    listed: BTreeSet<(ReplicaId, u32, String, String)>,
    pub(super) settled: Option<SimTime>,
    /// No faults from here on.
    faults_until: SimTime,
    /// When the phase, or the part of the forced reconcile, began.
    began: SimTime,
    /// Where the forced reconcile began, once it has; and how far it is.
    forced_from: Option<StepId>,
    forced: Forced,
    /// When each object's last reconcile ended, and the longest requeue seen.
    reconciled: BTreeMap<String, SimTime>,
    requeue_us_max: u64,
    read: usize,
}

impl Progress {
    pub(super) fn new(setup: &Setup) -> Progress {
        let last = setup.workload.last().map_or(0, |step| step.at.0);
        let faults_us = if setup.faults.at_most == 0 {
            0
        } else {
            FAULTS_US
        };
        let end = match setup.until {
            Until::Settled => SimTime::MAX,
            Until::Time(end) => end,
        };
        Progress {
            phase: Phase::Safety,
            last_change: SimTime::ZERO,
            changed: 0,
            listed: BTreeSet::new(),
            settled: None,
            faults_until: SimTime(last + faults_us).min(end),
            began: SimTime::ZERO,
            forced_from: None,
            forced: Forced::Redelivered,
            reconciled: BTreeMap::new(),
            requeue_us_max: 0,
            read: 0,
        }
    }

    pub(super) fn faults_on(&self) -> bool {
        self.phase == Phase::Safety
    }

    /// Something changed, or somebody heard of it: the settle window begins anew.
    pub(super) fn news(&mut self) {
        self.last_change = entropy::now();
    }

    /// A change that counts was written.
    pub(super) fn change(&mut self, revision: u64) {
        self.news();
        self.changed = revision;
        self.listed.clear();
    }

    /// A watch event has arrived. One of a later change, which does not count, is no news.
    pub(super) fn heard(&mut self, revision: Revision) {
        if revision.0 <= self.changed {
            self.news();
        }
    }

    /// A list has arrived: the first one that shows the last change is news.
    pub(super) fn saw_list(
        &mut self,
        replica: ReplicaId,
        incarnation: u32,
        (group, resource): (&str, &str),
        revision: Revision,
    ) {
        if revision.0 < self.changed {
            return;
        }
        let of = (replica, incarnation, group.to_owned(), resource.to_owned());
        if self.listed.insert(of) {
            self.news();
        }
    }

    /// What was due then, or a failure of what was sent then, comes only now: so does what comes of it.
    pub(super) fn came(&mut self, since: SimTime) {
        if entropy::now().0.saturating_sub(since.0) > LATE_US {
            self.news();
        }
    }
}

impl World<'_> {
    /// Enters the next phase when its time has come; false when the run is over.
    pub(super) fn move_phase(&mut self) -> bool {
        let now = entropy::now();
        let next = self.agenda.first().map(|(at, _)| at.max(now));
        if let Until::Time(end) = self.setup.until
            && next.is_none_or(|at| at > end)
        {
            entropy::set_now(end.max(now));
            return false;
        }
        match self.progress.phase {
            Phase::Safety => {
                let until = self.progress.faults_until;
                let over = now >= until || self.is_quiet() && next.is_none_or(|at| at > until);
                if self.workload_is_done() && over {
                    self.begin_phase(Phase::Liveness);
                }
                true
            }
            Phase::Liveness => self.wait_until_settled(now),
            Phase::Settled if self.setup.settle.force => {
                self.force();
                true
            }
            Phase::Forced => self.wait_until_forced(now),
            Phase::Settled | Phase::Done => {
                matches!(self.setup.until, Until::Time(_)) && next.is_some()
            }
        }
    }

    fn wait_until_settled(&mut self, now: SimTime) -> bool {
        self.read_requeues();
        let settle = &self.setup.settle;
        let longest = self
            .progress
            .requeue_us_max
            .saturating_add(1_000_000)
            .min(us(settle.window_max));
        let window_us = us(settle.window).max(if self.progress.requeue_us_max > 0 {
            longest
        } else {
            0
        });
        let settled = SimTime(self.progress.last_change.0.saturating_add(window_us)).max(now);
        if self.rests_until(settled) {
            entropy::set_now(settled);
            self.progress.settled = Some(settled);
            self.begin_phase(Phase::Settled);
            return true;
        }
        let bound = us(settle.bound).saturating_add(window_us);
        if now.0 > self.progress.began.0.saturating_add(bound) {
            self.never_settles("objects still change, or messages are still on their way");
            return false;
        }
        true
    }

    pub(super) fn never_settles(&mut self, why: &str) {
        let why = why.to_owned();
        self.report.unsettled = Some(why);
    }

    /// Makes every replica reconcile everything: first by what it has heard already.
    fn force(&mut self) {
        let from = self.begin_phase(Phase::Forced);
        self.progress.forced_from = Some(from);
        self.for_each_watch(Self::redeliver);
    }

    fn for_each_watch(&mut self, act: impl Fn(&mut Self, WatchId)) {
        let watches: Vec<WatchId> = self.watches.keys().copied().collect();
        for watch in watches {
            self.cause = self.progress.forced_from;
            act(self, watch);
        }
    }

    fn wait_until_forced(&mut self, now: SimTime) -> bool {
        let began = self.progress.began.0;
        // What is heard puts it off, but once only: an operator that never ends shall not be waited for.
        let heard = self.progress.last_change.0.clamp(began, began + FORCED_US);
        let enough = SimTime(heard + FORCED_US).max(now);
        if self.rests_until(enough) {
            entropy::set_now(enough);
            self.progress.began = enough;
            match self.progress.forced {
                Forced::Redelivered => {
                    self.progress.forced = Forced::Relisted;
                    self.for_each_watch(Self::expire_watch);
                }
                Forced::Relisted => {
                    self.progress.forced = Forced::Restarted;
                    for id in self.replica_ids() {
                        self.cause = self.progress.forced_from;
                        let at_once =
                            crate::time::DurationRange::fixed(std::time::Duration::from_secs(1));
                        self.crash(id, "restarted to reconcile everything once more", at_once);
                    }
                }
                Forced::Restarted => {
                    self.prove_forced();
                    return false;
                }
            }
        } else if now.0 > began + FORCED_US_MAX {
            self.report.inconclusive.push((
                "idempotent".to_owned(),
                "the forced reconcile did not come to rest within 300 s".to_owned(),
            ));
            return false;
        }
        true
    }

    /// Each operator must have done something in the forced phase, else nothing is proven by its silence.
    fn prove_forced(&mut self) {
        let Some(from) = self.progress.forced_from else {
            return;
        };
        let setup = self.setup;
        for operator in &setup.operators {
            if operator.replicas > 0 && !self.has_worked_since(&operator.name, from) {
                let why = format!("{} was not seen to reconcile once more", operator.name);
                self.report
                    .inconclusive
                    .push(("idempotent".to_owned(), why));
            }
        }
    }

    pub(super) fn begin_phase(&mut self, phase: Phase) -> StepId {
        self.progress.phase = phase;
        self.progress.began = entropy::now();
        self.cause = None;
        self.record(Event::PhaseBegan { phase })
    }

    /// Nothing is to be done before then, nor is anything due by now.
    fn rests_until(&self, then: SimTime) -> bool {
        let now = entropy::now();
        let first = self.agenda.first();
        first.is_none_or(|(at, _)| at > now && at >= then) && self.is_quiet()
    }

    /// Nothing is on its way and nothing is held up.
    fn is_quiet(&self) -> bool {
        self.requests.is_empty()
            && self.calls.is_empty()
            && self.services_are_idle()
            && self.watches_are_idle()
            && self.control_is_idle()
            && self.all_run()
            && self.workload_is_done()
    }

    /// Whether a change keeps the world from being settled.
    pub(super) fn counts(&self, object: &ObjectKey, kind: ChangeKind, fields: &[String]) -> bool {
        let noise = &self.setup.settle.noise;
        let noisy = |field: &String| {
            noise.iter().any(|prefix| {
                field
                    .strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        !matches!(object.resource.as_str(), "leases" | "events")
            && (kind != ChangeKind::Updated || !fields.iter().all(noisy))
    }

    /// Reads from the trace how long reconcilers asked to be left alone.
    fn read_requeues(&mut self) {
        let progress = &mut self.progress;
        let mut open = BTreeMap::new();
        for record in &self.trace.records[progress.read..] {
            match &record.event {
                Event::ReconcileStarted {
                    reconcile,
                    object,
                    reason,
                    replica,
                } => {
                    let key = format!("{replica} {object}");
                    if reason.contains("retry") || reason.contains("requested") {
                        let ended = progress.reconciled.get(&key).copied().unwrap_or(record.at);
                        let gap = record.at.0 - ended.0;
                        progress.requeue_us_max = progress.requeue_us_max.max(gap);
                    }
                    progress.reconciled.insert(key.clone(), record.at);
                    open.insert(*reconcile, key);
                }
                Event::ReconcileEnded { reconcile, .. } => {
                    if let Some(key) = open.remove(reconcile) {
                        progress.reconciled.insert(key, record.at);
                    }
                }
                _ => {}
            }
        }
        progress.read = self.trace.records.len();
    }

    /// The run is over: properties that wait for the end are asked.
    pub(super) fn finish(&mut self) {
        self.check_watches();
        self.begin_phase(Phase::Done);
        let mut properties = std::mem::take(&mut self.properties);
        let (view, report) = self.view();
        for (name, property) in &mut properties {
            if let Some(record) = view.trace.records.last() {
                report.judging(name, record);
            }
            property.finish(&view, report);
        }
        self.properties = properties;
    }

    /// Restarts whatever a directed test holds back, so that the end can come.
    pub(super) fn release_all(&mut self) {
        self.held.clear();
        let waiting: Vec<_> = self
            .requests
            .iter()
            .filter(|(_, r)| !r.is_committed())
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            if !self.agenda.contains(&Choice::CommitRequest(id)) {
                self.agenda.put(Choice::CommitRequest(id), entropy::now());
            }
        }
    }
}
