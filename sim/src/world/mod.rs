//! The world: replicas, the API server and the messages between them, moved one choice at a time.
//!
//! Owns the loop *enabled choices → pick → apply → event → properties* and all state of a run. Its parts: [`agenda`] (what
//! is enabled), `requests` and `watches` (messages), `replicas` (processes), `control` (chores, workload, lag), `phases`
//! (faults off, settled, forced reconcile), `begin` (the state a run starts from). Does not own who picks (`schedule`).
//!
//! Invariant: nothing happens by itself; whatever changes the world is one [`Choice`] and at least one [`Event`].

mod actors;
mod agenda;
mod begin;
mod control;
mod directed;
mod phases;
mod replicas;
mod requests;
mod services;
mod targeted;
mod watches;
mod webhooks;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use fake_apiserver::actors::Chore;
use fake_apiserver::ids::SeededIds;
use fake_apiserver::server::{self, ApiServer, Cx};
use fake_apiserver::store::Entry;
use fake_apiserver::time::Timestamp;
use tokio::sync::oneshot;

use actors::StandIns;
pub use begin::SetupError;
pub(crate) use begin::base;
pub use directed::Requests;

use self::agenda::Agenda;
use self::control::Lag;
use self::phases::Progress;
use self::replicas::Replica;
use self::requests::InFlight;
use self::targeted::Targets;
use self::watches::OpenWatch;
use self::webhooks::WebhookCall;
use crate::choice::{Choice, TapeMode};
use crate::entropy;
use crate::event::{
    CallId, Change, ChangeKind, Event, ObjectKey, ReconcileId, ReplicaId, RequestId, Revision,
    StepId, WatchId,
};
use crate::gate::Gate;
use crate::knowledge::Knowledge;
use crate::property::reference::Reference;
use crate::property::{Property, Report, View, diff};
use crate::schedule::{Chooser, Input};
use crate::setup::{Fault, Setup};
use crate::time::SimTime;
use crate::trace::{LogLine, Record, Trace};
use crate::verdict::Verdict;
use crate::whereabouts::Whereabouts;

/// A run that has so many records goes in circles, unless it has more to do than [`RECORDS_A_STEP`] for each object and
/// step of the workload comes to.
const RECORDS_MAX: usize = 20_000;
const RECORDS_A_STEP: usize = 100;

/// In the controlled way of time, so much passes at most while something waits that could happen. Once the faults are
/// over none of it does: nothing is late then, or a run would settle before a replica that is woken late has begun.
const PASS_US_MAX: u64 = 30_000_000;
/// In the controlled way of time, after so many choices in one instant each further one takes a millisecond.
const AT_ONCE_MAX: u32 = 500;

/// The state of one run.
pub struct World<'s> {
    setup: &'s Setup,
    server: ApiServer,
    ids: SeededIds,
    gate: Gate,
    chooser: Chooser,
    agenda: Agenda,
    replicas: Vec<Replica>,
    /// Boxed: a map moves what it holds, and these are large.
    requests: BTreeMap<RequestId, Box<InFlight>>,
    watches: BTreeMap<WatchId, OpenWatch>,
    services: Vec<services::Running>,
    calls: BTreeMap<CallId, WebhookCall>,
    /// Connections of webhook calls that the server has given up, until the replica learns it.
    hung_up: Vec<(ReplicaId, oneshot::Sender<()>)>,
    /// Steps of the workload and chores that wait for a webhook.
    parked_steps: BTreeMap<server::RequestId, (u32, String)>,
    parked_chores: BTreeMap<server::RequestId, Chore>,
    chores: BTreeMap<Chore, u64>,
    chores_offered: u64,
    stand_ins: StandIns,
    lags: Vec<Lag>,
    workload_next: usize,
    faults_left: u32,
    /// What a targeted plan still forces.
    targets: Option<Targets>,
    held: BTreeSet<ReplicaId>,
    knowledge: Knowledge,
    progress: Progress,
    /// The store's log has been read up to here.
    logged: u64,
    /// Writes not yet told in an event.
    fresh: Vec<Arc<Entry>>,
    /// How often each name of a message has been given.
    names: BTreeMap<String, u32>,
    trace: Trace,
    properties: Vec<(String, Box<dyn Property>)>,
    report: Report,
    /// What makes happen what happens now.
    cause: Option<StepId>,
    /// Where whoever waits for this run reads how far it has come.
    whereabouts: Option<Arc<Whereabouts>>,
    /// How many choices were taken in turn without time passing by itself; only in controlled schedules.
    at_once: u32,
    /// The fault-free run, if a property compares with it.
    reference: Option<&'s Result<Reference, String>>,
}

impl<'s> World<'s> {
    /// Runs to the end of the run.
    pub(crate) fn run(&mut self) {
        while self.turn() {}
        self.finish();
    }

    /// Does one thing; false when the run is over.
    pub(crate) fn turn(&mut self) -> bool {
        let steps = self.setup.objects.len() + self.setup.workload.len();
        let records_max = RECORDS_MAX.max(steps * RECORDS_A_STEP);
        if self.trace.records.len() > records_max {
            let why = format!(
                "it goes in circles: more than {},000 events",
                records_max / 1_000
            );
            self.never_settles(&why);
            return false;
        }
        let before = self.progress.phase;
        if !self.move_phase() {
            return false;
        }
        if self.progress.phase != before {
            // The new phase may be over before anything else happens.
            return true;
        }
        let Some((at, choice)) = self.pick() else {
            return true;
        };
        self.agenda.remove(&choice);
        entropy::set_now(at.max(entropy::now()));
        self.cause = None;
        self.apply(choice);
        self.force_after_turn();
        true
    }

    fn pick(&mut self) -> Option<(SimTime, Choice)> {
        let (first_at, first) = self.agenda.first()?;
        if self.chooser.mode() == TapeMode::Timed {
            return Some((first_at, first.clone()));
        }
        let now = entropy::now();
        let mut ready: Vec<(SimTime, Choice)> = Vec::new();
        let mut later: Option<(SimTime, Choice)> = None;
        for (at, choice) in self.agenda.iter() {
            if at <= now || choice.is_free() && !self.is_held_up(choice) {
                ready.push((at, choice.clone()));
            } else if later.is_none() {
                later = Some((at, choice.clone()));
            }
        }
        let Some((first_due, _)) = ready.first() else {
            self.at_once = 0;
            return later;
        };
        let pass_until = if self.progress.faults_on() {
            SimTime(now.0 + PASS_US_MAX)
        } else {
            *first_due
        };
        let may_pass = later.as_ref().is_some_and(|(at, _)| *at <= pass_until);
        let mut names: Vec<Cow<'static, str>> =
            ready.iter().map(|(_, choice)| self.name(choice)).collect();
        if may_pass {
            names.push(Cow::Borrowed("time passes"));
        }
        let taken = self.chooser.order(names, may_pass);
        let Some((due, choice)) = ready.into_iter().nth(taken) else {
            self.at_once = 0;
            return later;
        };
        self.progress.came(due);
        self.at_once += 1;
        // Operators that answer each other without a pause would stop the clock for good.
        let takes_us = if self.at_once > AT_ONCE_MAX { 1_000 } else { 0 };
        Some((SimTime(now.0 + takes_us), choice))
    }

    /// A stable name for the tape.
    fn name(&self, choice: &Choice) -> Cow<'static, str> {
        match choice {
            Choice::CommitRequest(id) => self
                .requests
                .get(id)
                .map(|request| format!("commit {}", request.name)),
            Choice::DeliverReply(id) => self
                .requests
                .get(id)
                .map(|request| format!("reply {}", request.name)),
            Choice::DeliverWatch(id) => self
                .watches
                .get(id)
                .map(|watch| format!("event {}", watch.name)),
            Choice::DeliverCall(id) => self.calls.get(id).map(|call| format!("call {}", call.name)),
            Choice::DeliverAnswer(id) => self
                .calls
                .get(id)
                .map(|call| format!("answer {}", call.name)),
            Choice::Service(number) => self.service_name(*number),
            Choice::Chore(id) => self
                .chores
                .iter()
                .find(|(_, number)| *number == id)
                .map(|(chore, _)| format!("chore {chore:?}")),
            Choice::Inform(number) => Some(self.stand_ins.name_of_sight(*number)),
            Choice::Act(number) | Choice::Stage(number) => self.stand_ins.name_of_step(*number),
            Choice::Start(id) => Some(format!("start {}", self.replicas[id.0 as usize].name)),
            Choice::Scrape(id) => Some(format!("scrape {}", self.replicas[id.0 as usize].name)),
            Choice::Resume(id) => Some(format!("resume {}", self.replicas[id.0 as usize].name)),
            Choice::Wake(id) => Some(format!("wake {}", self.replicas[id.0 as usize].name)),
            Choice::Workload(step) => Some(format!("workload {step}")),
            Choice::Unsilence(id) => Some(format!("unsilence {id}")),
            Choice::Bookmark(id) => self
                .watches
                .get(id)
                .map(|watch| format!("bookmark {}", watch.name)),
            Choice::Unlag(number) => Some(format!("unlag {number}")),
            Choice::ServerDeadline => return Cow::Borrowed("server deadline"),
        }
        .map_or(Cow::Borrowed("gone"), Cow::Owned)
    }

    fn apply(&mut self, choice: Choice) {
        match choice {
            Choice::CommitRequest(id) => self.commit(id),
            Choice::DeliverReply(id) => self.deliver_reply(id),
            Choice::DeliverWatch(id) => self.deliver_watch(id),
            Choice::DeliverCall(id) => self.deliver_call(id),
            Choice::DeliverAnswer(id) => self.deliver_answer(id),
            Choice::Service(number) => self.work_service(number),
            Choice::Chore(number) => self.do_chore(number),
            Choice::Inform(number) => self.inform(number),
            Choice::Act(number) | Choice::Stage(number) => self.act(number),
            Choice::Workload(_) => self.do_workload(),
            Choice::Start(id) => self.start(id),
            Choice::Resume(id) => self.resume(id),
            Choice::Scrape(id) => self.scrape(id),
            Choice::Unsilence(id) => self.unsilence(id),
            Choice::Bookmark(id) => self.bookmark(id),
            Choice::Unlag(number) => self.unlag(number),
            Choice::ServerDeadline => self.server_deadline(),
            Choice::Wake(id) => self.wake(id),
        }
    }

    /// Calls the server, reads what it wrote and passes on what comes out.
    fn serve(
        &mut self,
        call: impl FnOnce(&mut ApiServer, &mut Cx<'_>) -> Vec<fake_apiserver::server::Output>,
    ) {
        let outputs = self.with_server(call);
        self.take_outputs(outputs);
        self.refresh_chores();
    }

    fn with_server<T>(&mut self, call: impl FnOnce(&mut ApiServer, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx {
            now: timestamp(entropy::now()),
            ids: &mut self.ids,
        };
        let result = call(&mut self.server, &mut cx);
        own_mistake(self.server.breach());
        let store = self.server.store();
        self.fresh.extend(store.log_since(self.logged).cloned());
        self.logged = store.revision();
        result
    }

    /// The writes since the last call, as changes; they go into the next event.
    fn take_changes(&mut self, of: impl Fn(&Entry) -> bool) -> (Vec<Change>, Vec<Arc<Entry>>) {
        let (entries, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.fresh)
            .into_iter()
            .partition(|e| of(e));
        self.fresh = rest;
        let changes = entries.iter().map(|entry| self.change(entry)).collect();
        (changes, entries)
    }

    fn change(&mut self, entry: &Entry) -> Change {
        let body = self.trace.keep(&Bytes::from(entry.object.to_json()));
        let (kind, fields) = match (&entry.old, entry.deleted) {
            (_, true) => (ChangeKind::Deleted, Vec::new()),
            (None, _) => (ChangeKind::Created, Vec::new()),
            (Some(old), _) => (
                ChangeKind::Updated,
                diff::changed_fields(old.value(), entry.object.value()),
            ),
        };
        let object = self.key_of(entry);
        if self.counts(&object, kind, &fields) {
            self.progress.change(entry.revision);
        }
        Change {
            revision: Revision(entry.revision),
            object,
            uid: entry.uid().to_owned(),
            kind,
            body,
            fields,
        }
    }

    fn key_of(&self, entry: &Entry) -> ObjectKey {
        crate::property::key_of(&self.server, entry)
    }

    /// Records what happened and shows it to the properties.
    fn record(&mut self, event: Event) -> StepId {
        self.record_with(event, Vec::new())
    }

    fn record_with(&mut self, event: Event, entries: Vec<Arc<Entry>>) -> StepId {
        let step = StepId(self.trace.records.len() as u64);
        self.trace.records.push(Record {
            step,
            at: entropy::now(),
            cause: self.cause,
            event,
        });
        let mut properties = std::mem::take(&mut self.properties);
        let (view, report) = self.view();
        let record = &view.trace.records[step.0 as usize];
        for (name, property) in &mut properties {
            report.judging(name, record);
            property.observe(record, &entries, &view, report);
        }
        self.properties = properties;
        self.stand_ins.remember(&entries, step);
        step
    }

    fn view(&mut self) -> (View<'_>, &mut Report) {
        let view = View {
            setup: self.setup,
            server: &self.server,
            knowledge: &self.knowledge,
            reference: self.reference,
            trace: &self.trace,
            replicas: replicas::infos(&self.replicas),
            phase: self.progress.phase,
            now: entropy::now(),
        };
        (view, &mut self.report)
    }

    /// Whether a fault could strike now: what a fault is judged by need not be worked out if none can.
    fn may_strike(&self) -> bool {
        self.faults_left > 0 && self.progress.faults_on()
    }

    /// Whether one of the plan's faults strikes here, and which.
    fn strike(
        &mut self,
        site: &'static str,
        fits: impl Fn(&Self, &Fault) -> bool,
    ) -> Option<&'s Fault> {
        if !self.may_strike() {
            return None;
        }
        let setup = self.setup;
        let fitting = setup
            .faults
            .from
            .iter()
            .enumerate()
            .filter(|(_, fault)| fits(self, fault));
        let fitting: Vec<(usize, &'static str)> = fitting
            .map(|(index, fault)| (index, fault.name()))
            .collect();
        let struck = self.chooser.fault(site, &fitting)?;
        self.faults_left -= 1;
        Some(&setup.faults.from[struck])
    }

    /// What the messages of a call are called.
    fn name_of(&self, replica: ReplicaId, call: &crate::event::Call) -> String {
        format!("{}: {call}", self.replicas[replica.0 as usize].name)
    }

    /// A name for the tape that no other message of this run has. Where the earliest is next, nobody asks for names.
    fn unique_name(&mut self, name: impl FnOnce(&Self) -> String) -> String {
        if self.chooser.mode() == TapeMode::Timed {
            return String::new();
        }
        let name = name(self);
        let count = self.names.entry(name.clone()).or_insert(0);
        *count += 1;
        format!("{name} #{count}")
    }

    /// Holds what the open watches were told against what they should have been.
    fn check_watches(&mut self) {
        own_mistake(self.server.check_watches());
    }

    /// The history and the verdict.
    pub(crate) fn into_parts(self) -> (Trace, Verdict, bool) {
        let World {
            mut trace,
            chooser,
            report,
            progress,
            replicas,
            targets,
            ..
        } = self;
        let unmet = targets.is_some_and(|targets| !targets.are_met());
        let diverged = chooser.diverged() || unmet;
        trace.tape = chooser.into_tape();
        let verdict = Verdict {
            findings: report.findings,
            inconclusive: report.inconclusive,
            reached: report.reached,
            figures: report.figures,
            settled: progress.settled,
            ended: entropy::now(),
        };
        drop(replicas);
        (trace, verdict, diverged)
    }

    /// Begins a run.
    pub(crate) fn new(
        setup: &'s Setup,
        input: &Input,
        base: ApiServer,
        whereabouts: Option<Arc<Whereabouts>>,
        reference: Option<&'s Result<Reference, String>>,
    ) -> World<'s> {
        let chooser = Chooser::new(input, setup.mode);
        let replicas = replicas::lay_out(setup);
        let names = replicas
            .iter()
            .map(|replica| replica.name.clone())
            .collect();
        let tape = crate::choice::Tape {
            seed: chooser.seed(),
            mode: chooser.mode(),
            plan: None,
            entries: Vec::new(),
        };
        let mut world = World {
            setup,
            logged: base.store().revision(),
            ids: SeededIds::new(chooser.seed() ^ 0x6964_7321),
            gate: Gate::default(),
            chooser,
            agenda: Agenda::default(),
            replicas,
            requests: BTreeMap::new(),
            watches: BTreeMap::new(),
            services: services::start(setup),
            calls: BTreeMap::new(),
            hung_up: Vec::new(),
            parked_steps: BTreeMap::new(),
            parked_chores: BTreeMap::new(),
            chores: BTreeMap::new(),
            chores_offered: 0,
            stand_ins: StandIns::new(setup, &base),
            server: base,
            lags: Vec::new(),
            workload_next: 0,
            faults_left: setup.faults.at_most,
            targets: input.plan().map(Targets::new),
            held: BTreeSet::new(),
            knowledge: Knowledge::default(),
            progress: Progress::new(setup),
            fresh: Vec::new(),
            names: BTreeMap::new(),
            trace: Trace::new(names, tape),
            properties: begin::properties(setup),
            report: Report::default(),
            cause: None,
            whereabouts,
            at_once: 0,
            reference,
        };
        world.begin_phase(crate::event::Phase::Safety);
        for index in 0..world.replicas.len() {
            world
                .agenda
                .put(Choice::Start(ReplicaId(index as u32)), SimTime::ZERO);
        }
        world.offer_workload();
        world.refresh_chores();
        world
    }

    fn log(
        &mut self,
        at: SimTime,
        replica: ReplicaId,
        reconcile: Option<ReconcileId>,
        level: &str,
        line: String,
    ) {
        let replica = self.trace.replicas[replica.0 as usize].clone();
        self.trace.logs.push(LogLine {
            at,
            replica,
            reconcile,
            level: level.to_owned(),
            line,
        });
    }
}

/// Invariant: the fake API server keeps what a real one promises of watches; a run in which it does not says nothing
/// about the operator.
fn own_mistake(breach: Option<&str>) {
    assert!(
        breach.is_none(),
        "the fake API server broke a guarantee of watches, which no operator can be blamed for: {}",
        breach.unwrap_or_default()
    );
}

/// The master clock as the API server is handed it.
fn timestamp(now: SimTime) -> Timestamp {
    Timestamp(i64::try_from(now.unix_us()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
