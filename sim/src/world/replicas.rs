//! Replicas over their lives: started, stepped, paused, crashed, stopped, started again.

use std::collections::BTreeMap;

use bytes::Bytes;
use fake_apiserver::time::Timestamp;
use serde::Deserialize;

use super::World;
use crate::choice::Choice;
use crate::entropy::{self, Stepped};
use crate::event::{Event, ObjectKey, ReplicaId, StepId};
use crate::operator::{Doors, OperatorContext, OperatorFuture, Shutdown};
use crate::panics;
use crate::property::{LeaseSeen, ReplicaInfo};
use crate::replica::{Ended, Process};
use crate::setup::{CrashPoint, Fault, Setup};
use crate::spans::{self, SpanNote};
use crate::telemetry::Metrics;
use crate::time::{DurationRange, EPOCH_UNIX_US, SimTime};

/// A process that ended by itself is started again after this long, as the kubelet would.
const RESTART_US: u64 = 10_000_000;

/// Fewer tasks than this at once are nothing to speak of.
const TASKS_FEW: usize = 32;

/// One replica, over all its incarnations.
pub(super) struct Replica {
    pub(super) name: String,
    pub(super) operator: usize,
    pub(super) incarnation: u32,
    /// The API server its connections go to.
    pub(super) server: u32,
    pub(super) paused_until: Option<SimTime>,
    process: Option<Process>,
    skew_us: i64,
    stopping: bool,
    restart_us: u64,
    /// So many tasks at once are worth an event.
    tasks_next: usize,
    info: ReplicaInfo,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Lease {
    spec: LeaseSpec,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct LeaseSpec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u64>,
    renew_time: Option<String>,
}

impl Replica {
    /// Notes whom a Lease names, as this replica has just read or written it.
    pub(super) fn saw_lease(&mut self, key: &ObjectKey, body: &Bytes) {
        if key.resource != "leases" {
            return;
        }
        let Lease { spec } = serde_json::from_slice(body).unwrap_or_default();
        let now = entropy::now();
        // The holder wrote it by its own clock, which may be wrong.
        let renewed = spec
            .renew_time
            .as_deref()
            .and_then(Timestamp::parse_rfc3339);
        let renewed = renewed.map(|at| {
            let unix_us = at.micros().saturating_sub(self.skew_us);
            SimTime(
                u64::try_from(unix_us)
                    .unwrap_or(0)
                    .saturating_sub(EPOCH_UNIX_US),
            )
        });
        let seen = LeaseSeen {
            holder: spec.holder_identity.unwrap_or_default(),
            seen: now,
            renewed: renewed.map_or(now, |at| at.min(now)),
            duration: std::time::Duration::from_secs(spec.lease_duration_seconds.unwrap_or(15)),
        };
        self.info.leases.insert(key.clone(), seen);
    }

    fn is_running(&self) -> bool {
        self.process.is_some()
    }
}

/// The replicas of a setup, none of them started.
pub(super) fn lay_out(setup: &Setup) -> Vec<Replica> {
    let mut replicas = Vec::new();
    for (operator, of) in setup.operators.iter().enumerate() {
        for index in 0..of.replicas {
            let id = ReplicaId(replicas.len() as u32);
            let name = format!("{}-{index}", of.name);
            replicas.push(Replica {
                name: name.clone(),
                operator,
                incarnation: 0,
                server: id.0 % setup.servers.max(1),
                paused_until: None,
                process: None,
                skew_us: 0,
                stopping: false,
                restart_us: RESTART_US,
                tasks_next: TASKS_FEW,
                info: ReplicaInfo {
                    id,
                    name,
                    operator: of.name.clone(),
                    running: false,
                    leases: BTreeMap::new(),
                },
            });
        }
    }
    replicas
}

/// What properties see of the replicas.
pub(super) fn infos(replicas: &[Replica]) -> Vec<&ReplicaInfo> {
    replicas.iter().map(|replica| &replica.info).collect()
}

impl World<'_> {
    pub(super) fn operator_of(&self, replica: ReplicaId) -> &str {
        &self.setup.operators[self.replicas[replica.0 as usize].operator].name
    }

    fn replica(&mut self, id: ReplicaId) -> &mut Replica {
        &mut self.replicas[id.0 as usize]
    }

    /// Starts a new incarnation.
    pub(super) fn start(&mut self, id: ReplicaId) {
        let setup = self.setup;
        let seed = self.chooser.seed();
        let transport = self.gate.transport(id);
        let doors = Doors {
            gate: self.gate.clone(),
            replica: id,
        };
        let metrics = Metrics {
            gate: self.gate.clone(),
            replica: id,
        };
        let replica = self.replica(id);
        replica.incarnation += 1;
        replica.stopping = false;
        replica.tasks_next = TASKS_FEW;
        let incarnation = replica.incarnation;
        let operator = &setup.operators[replica.operator];
        let identity = replica.name.clone();
        let (name, namespace, run) = (
            operator.name.clone(),
            operator.namespace.clone(),
            operator.run.clone(),
        );
        let make = move |shutdown: Shutdown| -> OperatorFuture {
            run(OperatorContext {
                #[cfg(feature = "kube-5")]
                client: crate::gate::client(transport.clone(), &namespace),
                transport,
                name,
                namespace,
                identity,
                shutdown,
                metrics,
                doors,
            })
        };
        replica.process = Some(Process::start(
            seed ^ u64::from(id.0 + 1) << 32 ^ u64::from(incarnation),
            make,
        ));
        replica.info.running = true;
        let step = self.record(Event::ReplicaStarted {
            replica: id,
            incarnation,
        });
        self.cause = Some(step);
        self.offer_scrape(id);
        self.step(id, || {});
    }

    fn offer_scrape(&mut self, id: ReplicaId) {
        if let Some(every) = self.setup.telemetry.scrape {
            let at = entropy::now() + every;
            self.agenda.put(Choice::Scrape(id), at);
        }
    }

    /// Reads the metrics that a replica shows: its own code renders them.
    pub(super) fn scrape(&mut self, id: ReplicaId) {
        if self.replica(id).paused_until.is_some() {
            // It does not answer; the next one may.
            return self.offer_scrape(id);
        }
        let renders: Vec<_> = {
            let queue = self.gate.queue();
            let of = queue.metrics.iter().filter(|(of, _)| *of == id);
            of.map(|(_, render)| render.clone()).collect()
        };
        let mut text = String::new();
        if !renders.is_empty() {
            self.step(id, || {
                for render in &renders {
                    text.push_str(&render());
                }
            });
        }
        if !text.is_empty() && self.replica(id).is_running() {
            let body = self.trace.keep(&Bytes::from(text));
            self.record(Event::MetricsScraped { replica: id, body });
        }
        if self.replica(id).is_running() {
            self.offer_scrape(id);
        }
    }

    /// Time has come for a timer of the replica.
    pub(super) fn wake(&mut self, id: ReplicaId) {
        if !self.postponed(id, Choice::Wake(id)) {
            self.step(id, || {});
        }
    }

    /// Whether something for a paused replica has to wait until it runs again.
    pub(super) fn postponed(&mut self, id: ReplicaId, choice: Choice) -> bool {
        if let Some(until) = self.replica(id).paused_until {
            self.agenda.put(choice, until);
            return true;
        }
        self.struck_while_running(id, choice)
    }

    /// Whether a message has to wait for its time: its replica is paused, it is delayed, or the server stalls.
    pub(super) fn is_held_up(&self, choice: &Choice) -> bool {
        let now = entropy::now();
        let not_before = match choice {
            Choice::CommitRequest(id) | Choice::DeliverReply(id) => {
                self.requests.get(id).map(|request| request.not_before)
            }
            Choice::DeliverCall(id) => self.calls.get(id).map(|call| call.not_before),
            _ => None,
        };
        if not_before.is_some_and(|at| at > now) {
            return true;
        }
        let replica = match choice {
            Choice::DeliverReply(id) => self.requests.get(id).map(|request| request.replica),
            Choice::DeliverWatch(id) => self.watches.get(id).map(|watch| watch.replica),
            Choice::DeliverCall(id) => self.calls.get(id).and_then(|call| call.replica),
            _ => None,
        };
        replica.is_some_and(|id| self.replicas[id.0 as usize].paused_until.is_some())
    }

    /// Whether a pause befalls the replica just before something reaches it. A jump of its clock does not hold that up.
    fn struck_while_running(&mut self, id: ReplicaId, choice: Choice) -> bool {
        if !self.may_strike() {
            return false;
        }
        let operator = self.operator_of(id).to_owned();
        let struck = self.strike("run", |_, fault| match fault {
            Fault::Pause { operator: of, .. } | Fault::ClockSkew { operator: of, .. } => {
                of.as_ref().is_none_or(|of| *of == operator)
            }
            _ => false,
        });
        match struck {
            Some(Fault::Pause { lasting, .. }) => {
                let for_us = self.chooser.delay("pause", *lasting);
                let until = SimTime(entropy::now().0 + for_us);
                self.replica(id).paused_until = Some(until);
                self.record(Event::ReplicaPaused {
                    replica: id,
                    for_us,
                });
                self.agenda.put(Choice::Resume(id), until);
                self.agenda.put(choice, until);
                true
            }
            Some(Fault::ClockSkew { by, .. }) => {
                let span = u64::try_from(by.max_us.saturating_sub(by.min_us)).unwrap_or(0);
                let by_us = by
                    .min_us
                    .saturating_add_unsigned(self.chooser.up_to("skew", span));
                self.replica(id).skew_us += by_us;
                let offset_us = self.replica(id).skew_us;
                self.record(Event::ClockSkewed {
                    replica: id,
                    offset_us,
                });
                false
            }
            _ => false,
        }
    }

    pub(super) fn resume(&mut self, id: ReplicaId) {
        self.replica(id).paused_until = None;
        self.record(Event::ReplicaResumed { replica: id });
        self.deliver_hang_ups(id);
    }

    /// Hands something to a replica and runs it to quiescence.
    pub(super) fn step(&mut self, id: ReplicaId, deliver: impl FnOnce()) {
        self.note_step(id);
        let replica = self.replica(id);
        let skew_us = replica.skew_us;
        let Some(process) = &mut replica.process else {
            return;
        };
        let stepped = process.step(skew_us, deliver);
        let tasks = process.alive_tasks();
        self.note_step_over();
        match stepped.deadline {
            Some(at) => self.agenda.put(Choice::Wake(id), at),
            None => {
                self.agenda.remove(&Choice::Wake(id));
            }
        }
        self.read_spans(id);
        self.read_panics(id);
        self.read_queue();
        self.note_tasks(id, tasks);
        self.read_step(id, stepped);
    }

    /// Tells whoever waits for this run whose code has the thread from here on, should it never give it back.
    fn note_step(&self, id: ReplicaId) {
        if let Some(whereabouts) = &self.whereabouts {
            let replica = &self.replicas[id.0 as usize].name;
            whereabouts.step_begins(replica, entropy::now(), &self.trace, self.cause);
        }
    }

    /// Records that a replica has more tasks than ever, at each doubling.
    fn note_tasks(&mut self, id: ReplicaId, tasks: usize) {
        if tasks >= self.replica(id).tasks_next {
            self.replica(id).tasks_next = (tasks + 1).next_power_of_two();
            let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
            self.record(Event::TasksGrew { replica: id, tasks });
        }
    }

    fn note_step_over(&self) {
        if let Some(whereabouts) = &self.whereabouts {
            whereabouts.step_ends();
        }
    }

    fn read_spans(&mut self, id: ReplicaId) {
        for note in spans::take() {
            match note {
                SpanNote::Began {
                    reconcile,
                    object,
                    reason,
                } => {
                    let step = self.record(Event::ReconcileStarted {
                        replica: id,
                        reconcile,
                        object,
                        reason,
                    });
                    self.knowledge.reconcile_began(reconcile, step);
                }
                SpanNote::Ended { reconcile } => {
                    self.record(Event::ReconcileEnded {
                        replica: id,
                        reconcile,
                    });
                }
                SpanNote::Logged {
                    at,
                    reconcile,
                    level,
                    line,
                } => self.log(at, id, reconcile, level, line),
                SpanNote::Opened(mut span) => {
                    span.replica.clone_from(&self.replica(id).name);
                    self.trace.spans.push(span);
                }
                SpanNote::Told { span, fields } => {
                    if let Some(span) = self.trace.spans.get_mut(span) {
                        span.fields.extend(fields);
                    }
                }
                SpanNote::Closed { span, at } => {
                    if let Some(span) = self.trace.spans.get_mut(span) {
                        span.closed = Some(at);
                    }
                }
            }
        }
    }

    fn read_panics(&mut self, id: ReplicaId) {
        for note in panics::take() {
            self.report.backtrace = note.backtrace;
            self.record(Event::Panicked {
                replica: id,
                message: note.message,
                location: note.location,
            });
        }
    }

    fn read_queue(&mut self) {
        let (sent, cancelled, answered) = {
            let mut queue = self.gate.queue();
            (
                std::mem::take(&mut queue.sent),
                std::mem::take(&mut queue.cancelled),
                std::mem::take(&mut queue.answered),
            )
        };
        for sent in sent {
            self.send(sent);
        }
        for id in cancelled {
            self.cancelled(id);
        }
        for (call, response) in answered {
            self.webhook_replied(call, response);
        }
    }

    fn read_step(&mut self, id: ReplicaId, stepped: Stepped) {
        if stepped.blocked_us > 0 {
            self.record(Event::Blocked {
                replica: id,
                for_us: stepped.blocked_us,
            });
        }
        if stepped.threads_spawned > 0 {
            self.record(Event::ThreadSpawned { replica: id });
        }
        if stepped.spun {
            let restart = DurationRange::fixed(std::time::Duration::from_micros(RESTART_US));
            return self.crash(id, "it never came to rest: killed", restart);
        }
        if let Some(status) = stepped.exited {
            return self.ended(id, (status != 0).then(|| format!("exit status {status}")));
        }
        match self.replica(id).process.as_mut().and_then(Process::ended) {
            Some(Ended::Returned(result)) => self.ended(id, result.err()),
            Some(Ended::Panicked) => self.ended(id, Some("panicked".to_owned())),
            None => {}
        }
    }

    /// The main function has returned, or the process has exited.
    fn ended(&mut self, id: ReplicaId, error: Option<String>) {
        let replica = self.replica(id);
        let graceful = replica.stopping;
        let restart_us = if graceful {
            replica.restart_us
        } else {
            RESTART_US
        };
        let tasks = replica.process.as_ref().map_or(0, Process::alive_tasks);
        if graceful && tasks > 0 {
            let spawned_at = replica.process.as_ref().map(Process::spawn_sites);
            self.record(Event::TasksLeaked {
                replica: id,
                tasks: tasks as u32,
                spawned_at: spawned_at.unwrap_or_default(),
            });
        }
        let step = self.record(Event::ReplicaEnded { replica: id, error });
        self.cause = Some(step);
        self.bury(id, restart_us);
    }

    /// A replica dies with everything it ever spawned.
    pub(super) fn crash(&mut self, id: ReplicaId, why: &str, restart: DurationRange) {
        if !self.replica(id).is_running() {
            return;
        }
        let restart_us = self.chooser.delay("restart", restart);
        let step = self.record(Event::ReplicaCrashed {
            replica: id,
            why: why.to_owned(),
        });
        self.cause = Some(step);
        self.bury(id, restart_us);
    }

    fn bury(&mut self, id: ReplicaId, restart_us: u64) {
        self.note_step(id);
        self.replica(id).process = None;
        self.note_step_over();
        let replica = self.replica(id);
        replica.info.running = false;
        replica.info.leases.clear();
        replica.paused_until = None;
        self.agenda.remove(&Choice::Wake(id));
        self.agenda.remove(&Choice::Resume(id));
        self.agenda.remove(&Choice::Scrape(id));
        self.drop_requests(id);
        self.drop_watches(id);
        self.drop_calls(id);
        self.knowledge.forget(id);
        // What its destructors panicked with, or opened and closed, belongs to nobody.
        panics::take();
        spans::order_ends();
        self.read_spans(id);
        self.agenda
            .put(Choice::Start(id), SimTime(entropy::now().0 + restart_us));
    }

    /// Tells a replica to stop, and to start again some time after it has.
    pub(super) fn stop(&mut self, id: ReplicaId, down: std::time::Duration) {
        let replica = self.replica(id);
        if !replica.is_running() {
            return;
        }
        replica.stopping = true;
        replica.restart_us = crate::time::us(down);
        let step = self.record(Event::ShutdownRequested { replica: id });
        self.cause = Some(step);
        self.note_step(id);
        let replica = self.replica(id);
        let skew_us = replica.skew_us;
        if let Some(process) = &mut replica.process {
            process.request_stop();
            let stepped = process.step(skew_us, || {});
            self.note_step_over();
            if let Some(at) = stepped.deadline {
                self.agenda.put(Choice::Wake(id), at);
            }
            self.read_spans(id);
            self.read_panics(id);
            self.read_queue();
            self.read_step(id, stepped);
        }
    }

    /// The moment right after a delivery, where a crash may strike.
    pub(super) fn after_delivery(&mut self, id: ReplicaId) {
        if !self.may_strike() {
            return;
        }
        let operator = self.operator_of(id).to_owned();
        let struck = self.strike("delivery", |_, fault| {
            matches!(fault, Fault::Crash { operator: of, after: CrashPoint::AnyDelivery, .. }
                if of.as_ref().is_none_or(|of| *of == operator))
        });
        if let Some(Fault::Crash { restart, .. }) = struck {
            self.crash(id, "crash after a delivery", *restart);
        }
    }

    /// Whether every replica runs, and none is paused.
    pub(super) fn all_run(&self) -> bool {
        self.replicas
            .iter()
            .all(|replica| replica.is_running() && replica.paused_until.is_none())
    }

    pub(super) fn replica_ids(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        (0..self.replicas.len() as u32).map(ReplicaId)
    }

    /// The last record in which a replica began a reconcile, or sent a request.
    pub(super) fn has_worked_since(&self, operator: &str, since: StepId) -> bool {
        let records = &self.trace.records[since.0 as usize..];
        records.iter().any(|record| match &record.event {
            Event::ReconcileStarted { replica, .. } => self.operator_of(*replica) == operator,
            Event::RequestSent { replica, call, .. } => {
                self.operator_of(*replica) == operator
                    && call.verb != "watch"
                    && call.resource != "leases"
            }
            _ => false,
        })
    }
}
