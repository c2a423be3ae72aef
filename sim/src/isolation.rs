//! Many runs, kept apart from each other: on fresh threads, or each in a process of its own.
//!
//! `thread`: one run on one fresh thread of this process. `fork`: one run in one process, the second run of a seed
//! too, forked from one that has no other thread at work; what replicas of different runs could share, they do not, and
//! an abort or an endless loop ends that run alone. Under libtest, which has threads, the test binary is run again with
//! the one test (`zygote`). Where none of this is possible that is an error, never another level in silence.
//!
//! Does not own what is made of the runs.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::choice::Tape;
use crate::entropy::fork::{self, Forked, Outcome};
use crate::event::BodyId;
use crate::run::{Prepared, Run, RunOptions};
use crate::schedule::Input;
use crate::targeted::TargetedPlan;
use crate::telemetry::SpanSeen;
use crate::trace::{LogLine, Record, Trace};
use crate::verdict::Verdict;
pub use crate::whereabouts::Place;
use crate::whereabouts::Whereabouts;
use crate::zygote;

/// What a run shares with other runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// The process.
    Thread,
    /// Nothing.
    Fork,
}

impl Default for Isolation {
    /// `thread` where tokio takes a seed for `select!` (`--cfg tokio_unstable`), else `fork`.
    fn default() -> Self {
        if cfg!(tokio_unstable) {
            Isolation::Thread
        } else {
            Isolation::Fork
        }
    }
}

impl Isolation {
    /// Its name in reports and recordings.
    pub fn name(self) -> &'static str {
        match self {
            Isolation::Thread => "thread",
            Isolation::Fork => "fork",
        }
    }
}

/// How many runs are made.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The seeds, in order; where there are plans, their numbers.
    pub seeds: &'a [u64],
    /// Targeted plans that are run instead of seeds.
    pub plans: &'a [TargetedPlan],
    /// Runs at once; at least one.
    pub jobs: usize,
    /// What runs share.
    pub isolation: Isolation,
    /// A run that takes longer on the wall clock is given up.
    pub limit: Duration,
    /// A run without findings is made twice if its seed is a multiple of this; 0 for never. One with findings always is.
    pub check_one_in: u64,
}

impl Batch<'_> {
    fn input(&self, seed: u64) -> Input {
        let plan = usize::try_from(seed).ok().and_then(|n| self.plans.get(n));
        plan.map_or(Input::Seed(seed), |plan| Input::Plan(plan.clone()))
    }
}

/// A run that gave nothing back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Lost {
    /// Code of a replica never gave up its thread: an endless loop without an await.
    #[error("{}", stuck(*limit, place.as_ref()))]
    Stuck {
        /// How long it was waited for.
        limit: Duration,
        /// Where the run was last.
        place: Option<Place>,
    },
    /// Code of a replica ended its process.
    #[error("a replica killed its process: signal {0}")]
    Killed(i32),
    /// The engine itself panicked: a mistake of ours.
    #[error("the engine panicked: {0}")]
    Engine(String),
    /// No process could be made for it.
    #[error("no process could be made for the run: too many processes or open files")]
    NotMade,
}

fn stuck(limit: Duration, place: Option<&Place>) -> String {
    let given_up = format!("the run was given up after {} s", limit.as_secs_f64());
    match place {
        Some(Place {
            replica: Some(replica),
            at,
            event,
        }) => format!(
            "replica {replica} never gave up its thread: {given_up}; the last event before it, at {at}: {event}"
        ),
        Some(Place { at, event, .. }) => format!(
            "no replica had the thread, and what had it never came back: {given_up}; the last event before that, at \
             {at}: {event}"
        ),
        None => format!("it never came back, before any replica ran: {given_up}"),
    }
}

/// One seed, run.
#[derive(Clone, Debug)]
pub struct Made {
    /// The seed.
    pub seed: u64,
    /// Its run.
    pub run: Result<Run, Lost>,
    /// The same seed run again, where it was.
    pub again: Option<Result<Run, Lost>>,
}

/// Why runs could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsolationError {
    /// Other threads are at work in this process, and a fork would copy their locks. Run the test alone
    /// (`--test-threads=1`), in a `harness = false` binary, or build with `--cfg tokio_unstable`.
    #[error(
        "isolation `fork` needs a process without other threads at work; run with --test-threads=1, or build with \
         RUSTFLAGS=\"--cfg tokio_unstable\" for isolation `thread`"
    )]
    Threads,
    /// The test binary, run again with this test alone, did not hand back its runs. Run the test by itself and read what
    /// it prints.
    #[error("the runs of test {test} could not be made in a process of their own: {why}")]
    Zygote {
        /// The test.
        test: String,
        /// What went wrong.
        why: String,
    },
}

/// Makes the runs. `on_run` is called on this thread for each as it is done, in no certain order; it returns false to
/// stop, and may be called for some more that were under way.
pub fn make_runs(
    prepared: &Prepared,
    batch: &Batch<'_>,
    on_run: &mut dyn FnMut(Made) -> bool,
) -> Result<(), IsolationError> {
    match batch.isolation {
        Isolation::Thread => on_threads(prepared, batch, on_run),
        Isolation::Fork => {
            let call = zygote::next_call();
            if !fork::may_fork(zygote::patience_ms()) {
                for made in zygote::made_elsewhere(call)? {
                    on_run(made);
                }
            } else if let Some(path) = zygote::awaited(call) {
                let mut all = Vec::new();
                in_forks(prepared, batch, &mut |made| {
                    all.push(made);
                    true
                });
                zygote::hand_back(all, &path);
            } else {
                in_forks(prepared, batch, on_run);
            }
        }
    }
    Ok(())
}

fn on_threads(prepared: &Prepared, batch: &Batch<'_>, on_run: &mut dyn FnMut(Made) -> bool) {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::sync_channel(batch.jobs.max(1) * 2);
    std::thread::scope(|scope| {
        for _ in 0..batch.jobs.max(1) {
            let sender = sender.clone();
            scope.spawn(|| {
                let sender = sender;
                while let Some(seed) = batch.seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if sender.send(make(prepared, *seed, batch)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for made in receiver {
            if !on_run(made) {
                next.store(batch.seeds.len(), Ordering::Relaxed);
            }
        }
    });
}

fn in_forks(prepared: &Prepared, batch: &Batch<'_>, on_run: &mut dyn FnMut(Made) -> bool) {
    // Made before any run that is compared with it, and in a process of its own like those.
    prepared.reference(Isolation::Fork, batch.limit);
    let mut children: Vec<Forked> = Vec::new();
    let mut at_work: Vec<AtWork> = Vec::new();
    let mut seeds = batch.seeds.iter();
    let mut going = true;
    // A run that is to be made again, with what it gave.
    let mut first: Option<(u64, Run)> = None;
    loop {
        while first.is_some() || going && children.len() < batch.jobs.max(1) {
            let (seed, first) = match first.take() {
                Some((seed, run)) => (seed, Some(run)),
                None => match seeds.next() {
                    Some(seed) => (*seed, None),
                    None => break,
                },
            };
            // The parent watches; a child that watched itself would need a thread of its own.
            let page = Whereabouts::shared().map(Arc::new);
            let work = |page| wire_one(&make_one(prepared, seed, batch, Watch::Parent(page)));
            let child = page
                .clone()
                .and_then(|page| fork::fork(batch.limit, || work(page)));
            match (child, page) {
                (Some(child), Some(page)) => {
                    children.push(child);
                    at_work.push(AtWork { seed, first, page });
                }
                _ => going &= on_run(joined(seed, first, Err(Lost::NotMade))),
            }
        }
        let Some((at, outcome)) = fork::wait_any(&mut children) else {
            break;
        };
        let done = at_work.remove(at);
        let run = match outcome {
            Outcome::Finished(bytes) => unwire_one(&bytes)
                .unwrap_or_else(|| Err(Lost::Engine("its run did not come back whole".to_owned()))),
            Outcome::Stuck => Err(stuck_at(batch, done.page.read())),
            Outcome::Signalled(signal) => Err(Lost::Killed(signal)),
            Outcome::Exited(status) => Err(Lost::Engine(format!("exit status {status}"))),
        };
        match run {
            Ok(run) if done.first.is_none() && is_checked(&run, done.seed, batch) => {
                first = Some((done.seed, run));
            }
            run => going &= on_run(joined(done.seed, done.first, run)),
        }
    }
}

/// A run in a process of its own.
struct AtWork {
    seed: u64,
    /// Where it is the second of its seed: the first. Each has its own process, so that what the first left in it (a
    /// `static` of an operator) is not there.
    first: Option<Run>,
    page: Arc<Whereabouts>,
}

fn joined(seed: u64, first: Option<Run>, run: Result<Run, Lost>) -> Made {
    match first {
        Some(first) => Made {
            seed,
            run: Ok(first),
            again: Some(run),
        },
        None => Made {
            seed,
            run,
            again: None,
        },
    }
}

/// The run of seed 0, twice, kept apart as asked; none if it was not made. This process must be able to fork, if asked.
pub(crate) fn make_twice(
    prepared: &Prepared,
    isolation: Isolation,
    limit: Duration,
) -> Option<Made> {
    let batch = Batch {
        seeds: &[0],
        plans: &[],
        jobs: 1,
        isolation,
        limit,
        check_one_in: 1,
    };
    let mut all = None;
    match isolation {
        Isolation::Thread => all = Some(make(prepared, 0, &batch)),
        Isolation::Fork => in_forks(prepared, &batch, &mut |made| {
            all = Some(made);
            true
        }),
    }
    all
}

fn stuck_at(batch: &Batch<'_>, place: Option<Place>) -> Lost {
    Lost::Stuck {
        limit: batch.limit,
        place,
    }
}

/// Who gives a run up that never comes back.
enum Watch {
    /// The thread that waits for it.
    Own,
    /// The process that forked this one; it reads here where the run is.
    Parent(Arc<Whereabouts>),
}

/// One run on a thread, and a second one where it is to be made again.
fn make(prepared: &Prepared, seed: u64, batch: &Batch<'_>) -> Made {
    let run = make_one(prepared, seed, batch, Watch::Own);
    let checked = run.as_ref().is_ok_and(|run| is_checked(run, seed, batch));
    let again = checked.then(|| make_one(prepared, seed, batch, Watch::Own));
    Made { seed, run, again }
}

/// Whether a run is made again: it has findings, or its turn has come.
fn is_checked(run: &Run, seed: u64, batch: &Batch<'_>) -> bool {
    let sampled = batch.check_one_in > 0 && seed.is_multiple_of(batch.check_one_in);
    sampled || !run.verdict.findings.is_empty()
}

fn make_one(prepared: &Prepared, seed: u64, batch: &Batch<'_>, watch: Watch) -> Result<Run, Lost> {
    let input = batch.input(seed);
    let run = || match watch {
        Watch::Own => prepared
            .run_within(&input, RunOptions::default(), batch.limit)
            .map_err(|place| stuck_at(batch, place)),
        Watch::Parent(page) => Ok(prepared.run_watched(&input, page)),
    };
    // What a run leaves behind when it panics is dropped with it: nothing is shared between runs.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(run) => run,
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            Err(Lost::Engine(text.unwrap_or("without a message").to_owned()))
        }
    }
}

/// A run as it travels between processes.
#[derive(Serialize, Deserialize)]
struct WireRun {
    replicas: Vec<String>,
    records: Vec<Record>,
    bodies: BTreeMap<u64, String>,
    tape: Tape,
    logs: Vec<LogLine>,
    spans: Vec<SpanSeen>,
    verdict: Verdict,
    diverged: bool,
}

#[derive(Serialize, Deserialize)]
struct WireMade {
    seed: u64,
    run: Result<WireRun, Lost>,
    again: Option<Result<WireRun, Lost>>,
}

impl From<&Run> for WireRun {
    fn from(run: &Run) -> WireRun {
        let trace = &run.trace;
        let body = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        WireRun {
            replicas: trace.replicas.clone(),
            records: trace.records.clone(),
            bodies: trace
                .bodies
                .iter()
                .map(|(id, bytes)| (id.0, body(bytes)))
                .collect(),
            tape: trace.tape.clone(),
            logs: trace.logs.clone(),
            spans: trace.spans.clone(),
            verdict: run.verdict.clone(),
            diverged: run.diverged,
        }
    }
}

impl From<WireRun> for Run {
    fn from(wire: WireRun) -> Run {
        let bodies = wire
            .bodies
            .into_iter()
            .map(|(id, body)| (BodyId(id), Bytes::from(body)));
        Run {
            trace: Trace {
                replicas: wire.replicas,
                records: wire.records,
                bodies: bodies.collect(),
                tape: wire.tape,
                logs: wire.logs,
                spans: wire.spans,
            },
            verdict: wire.verdict,
            diverged: wire.diverged,
        }
    }
}

fn packed(run: &Result<Run, Lost>) -> Result<WireRun, Lost> {
    run.as_ref().map(WireRun::from).map_err(Clone::clone)
}

fn wire_one(run: &Result<Run, Lost>) -> Vec<u8> {
    serde_json::to_vec(&packed(run)).unwrap_or_default()
}

fn unwire_one(bytes: &[u8]) -> Option<Result<Run, Lost>> {
    let run: Result<WireRun, Lost> = serde_json::from_slice(bytes).ok()?;
    Some(run.map(Run::from))
}

/// A seed's runs as bytes.
pub(crate) fn wire(made: &Made) -> Vec<u8> {
    let made = WireMade {
        seed: made.seed,
        run: packed(&made.run),
        again: made.again.as_ref().map(packed),
    };
    serde_json::to_vec(&made).unwrap_or_default()
}

/// The runs that those bytes are.
pub(crate) fn unwire(bytes: &[u8]) -> Option<Made> {
    let made: WireMade = serde_json::from_slice(bytes).ok()?;
    Some(Made {
        seed: made.seed,
        run: made.run.map(Run::from),
        again: made.again.map(|run| run.map(Run::from)),
    })
}
