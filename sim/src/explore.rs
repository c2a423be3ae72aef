//! Many runs of one setup: seeds shared out, results merged, determinism checked all the while.
//!
//! Owns the isolation of runs. `thread`: one run on one fresh thread of this process. `fork`: one run in one process,
//! forked from one that has no other thread at work; contains aborts and endless loops. Where neither is possible that is
//! an error, never another level in silence.
//!
//! Invariant: the result is a function of setup and seeds, whatever the number of workers.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::entropy::fork::{self, Forked, Outcome};
use crate::run::{Prepared, Run, RunOptions};
use crate::schedule::Input;
use crate::time::SimTime;
use crate::trace::{Fingerprint, Record};
use crate::verdict::{Finding, Verdict};
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

/// How an exploration is made.
#[derive(Clone, Copy, Debug)]
pub struct ExploreOptions {
    /// Runs at once; 0 for one per core.
    pub jobs: usize,
    /// What runs share.
    pub isolation: Isolation,
    /// One in so many runs that hold is run twice, beside every run that does not; 0 for none of them.
    pub check_one_in: u64,
    /// A run that takes longer than this on the wall clock is stuck.
    pub limit: Duration,
    /// Stop after so many runs with findings; 0 for never. More may finish that were under way.
    pub stop_after: u64,
}

impl Default for ExploreOptions {
    fn default() -> Self {
        ExploreOptions {
            jobs: 0,
            isolation: Isolation::default(),
            check_one_in: 100,
            limit: Duration::from_secs(20),
            stop_after: 0,
        }
    }
}

/// Why an exploration could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExploreError {
    /// Other threads are at work in this process, and a fork would copy their locks. Run the test alone
    /// (`--test-threads=1`), in a `harness = false` binary, or build with `--cfg tokio_unstable` and isolation `thread`.
    #[error(
        "isolation `fork` needs a process without other threads at work; run with --test-threads=1, or build with \
         RUSTFLAGS=\"--cfg tokio_unstable\" for isolation `thread`"
    )]
    Threads,
    /// The test binary, run again with this test alone, did not hand back a result. Run the test by itself and read
    /// what it prints.
    #[error("the exploration of test {test} could not be made in a process of its own: {why}")]
    Zygote {
        /// The test.
        test: String,
        /// What went wrong.
        why: String,
    },
}

/// What one property came to over all runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// In how many runs it was broken.
    pub runs: u64,
    /// The first seed of these.
    pub seed: u64,
    /// What was found there.
    pub finding: Finding,
}

/// Two runs of one seed that differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// The seed.
    pub seed: u64,
    /// The first record that differs, in the first run and in the second.
    pub first: Option<Record>,
    /// See `first`.
    pub second: Option<Record>,
}

/// The result of many runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exploration {
    /// The setup's name.
    pub name: String,
    /// Runs made, without those of the self-check.
    pub runs: u64,
    /// Runs that settled.
    pub settled: u64,
    /// Different histories among them.
    pub distinct: u64,
    /// Properties that were broken.
    pub broken: BTreeMap<String, Broken>,
    /// Properties that could not be judged in some run: in how many, and the reason in the first.
    pub inconclusive: BTreeMap<String, (u64, String)>,
    /// `sometimes` properties that came true in no run.
    pub unreached: Vec<String>,
    /// Seeds that are not deterministic.
    pub mismatches: Vec<Mismatch>,
}

impl Exploration {
    /// Whether nothing was found, everything was judged, and everything was deterministic.
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
            && self.inconclusive.is_empty()
            && self.unreached.is_empty()
            && self.mismatches.is_empty()
    }
}

/// What is kept of a run when many are made.
#[derive(Clone, Serialize, Deserialize)]
struct Summary {
    fingerprint: Fingerprint,
    verdict: Verdict,
    mismatch: Option<Mismatch>,
}

/// Makes the runs of these seeds. `progress` is told after each how many are done.
pub fn explore(
    prepared: &Prepared,
    seeds: Range<u64>,
    options: &ExploreOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Exploration, ExploreError> {
    let jobs = match options.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    let summaries = match options.isolation {
        Isolation::Thread => on_threads(prepared, seeds, jobs, options, progress),
        Isolation::Fork => {
            let call = zygote::next_call();
            if !fork::may_fork() {
                return zygote::explore_elsewhere(call);
            }
            let summaries = in_forks(prepared, seeds, jobs, options, progress);
            if let Some(path) = zygote::awaited(call) {
                zygote::hand_back(&merge(prepared, &summaries), &path);
            }
            summaries
        }
    };
    Ok(merge(prepared, &summaries))
}

fn on_threads(
    prepared: &Prepared,
    seeds: Range<u64>,
    jobs: usize,
    options: &ExploreOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> BTreeMap<u64, Summary> {
    let next = AtomicU64::new(seeds.start);
    let (done, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let summaries = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while options.stop_after == 0 || failed.load(Ordering::Relaxed) < options.stop_after
                {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let summary = summarise(prepared, seed, options);
                    failed.fetch_add(
                        u64::from(!summary.verdict.findings.is_empty()),
                        Ordering::Relaxed,
                    );
                    if let Ok(mut summaries) = summaries.lock() {
                        summaries.insert(seed, summary);
                    }
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
    });
    summaries.into_inner().unwrap_or_default()
}

fn in_forks(
    prepared: &Prepared,
    seeds: Range<u64>,
    jobs: usize,
    options: &ExploreOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> BTreeMap<u64, Summary> {
    let mut summaries = BTreeMap::new();
    let mut children: Vec<Forked> = Vec::new();
    let mut at_work: Vec<u64> = Vec::new();
    let mut seeds = seeds;
    let mut failed = 0;
    loop {
        let stop = options.stop_after > 0 && failed >= options.stop_after;
        while children.len() < jobs && !stop {
            let Some(seed) = seeds.next() else { break };
            // The child's own watchdog must not come first.
            let unlimited = ExploreOptions {
                limit: Duration::MAX,
                ..*options
            };
            let work =
                || serde_json::to_vec(&summarise(prepared, seed, &unlimited)).unwrap_or_default();
            match fork::fork(options.limit, work) {
                Some(child) => {
                    children.push(child);
                    at_work.push(seed);
                }
                None => {
                    summaries.insert(seed, died(Outcome::NotForked, options.limit));
                }
            }
        }
        let Some((at, outcome)) = fork::wait_any(&mut children) else {
            break;
        };
        let seed = at_work.remove(at);
        let summary = match outcome {
            Outcome::Finished(bytes) => serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| died(Outcome::Exited(0), options.limit)),
            outcome => died(outcome, options.limit),
        };
        failed += u64::from(!summary.verdict.findings.is_empty());
        summaries.insert(seed, summary);
        progress(summaries.len() as u64);
    }
    summaries
}

/// One run, and a second one where the first has findings or its turn has come.
fn summarise(prepared: &Prepared, seed: u64, options: &ExploreOptions) -> Summary {
    let Some(run) = prepared.run_within(&Input::Seed(seed), RunOptions::default(), options.limit)
    else {
        return died(Outcome::Stuck, options.limit);
    };
    let fingerprint = run.fingerprint();
    let sampled = options.check_one_in > 0 && seed.is_multiple_of(options.check_one_in);
    let mismatch = (sampled || !run.verdict.findings.is_empty())
        .then(|| check_again(prepared, seed, &run, options.limit))
        .flatten();
    Summary {
        fingerprint,
        verdict: run.verdict,
        mismatch,
    }
}

/// Runs a seed once more and names the first difference.
fn check_again(prepared: &Prepared, seed: u64, run: &Run, limit: Duration) -> Option<Mismatch> {
    let again = prepared.run_within(&Input::Seed(seed), RunOptions::default(), limit)?;
    let at = run.trace.first_difference(&again.trace)?;
    Some(Mismatch {
        seed,
        first: run.trace.records.get(at).cloned(),
        second: again.trace.records.get(at).cloned(),
    })
}

/// What is known of a run whose process, or thread, did not come back.
fn died(outcome: Outcome, limit: Duration) -> Summary {
    let (property, message) = match outcome {
        Outcome::Stuck => {
            let seconds = limit.as_secs();
            (
                "no-stall",
                format!(
                    "a replica never gave up its thread: the run was given up after {seconds} s"
                ),
            )
        }
        Outcome::Signalled(6) => ("no-panic", "a replica aborted its process".to_owned()),
        Outcome::Signalled(signal) => ("no-panic", format!("signal {signal} killed the process")),
        Outcome::Exited(status) => (
            "no-panic",
            format!("the process exited with status {status}"),
        ),
        Outcome::NotForked | Outcome::Finished(_) => (
            "no-panic",
            "no process could be made for the run: too many processes or files".to_owned(),
        ),
    };
    let finding = Finding {
        property: property.to_owned(),
        message,
        at: SimTime::ZERO,
        step: crate::event::StepId(0),
        object: None,
        replica: None,
        because: Vec::new(),
        detail: None,
    };
    let verdict = Verdict {
        findings: vec![finding],
        ..Verdict::default()
    };
    Summary {
        fingerprint: Fingerprint(0),
        verdict,
        mismatch: None,
    }
}

fn merge(prepared: &Prepared, summaries: &BTreeMap<u64, Summary>) -> Exploration {
    let mut merged = Exploration {
        name: prepared.setup().name.clone(),
        runs: summaries.len() as u64,
        ..Exploration::default()
    };
    let mut reached = std::collections::BTreeSet::new();
    let mut histories = std::collections::BTreeSet::new();
    for (seed, summary) in summaries {
        histories.insert(summary.fingerprint);
        let verdict = &summary.verdict;
        merged.settled += u64::from(verdict.settled.is_some());
        for name in verdict.violated() {
            let finding = verdict
                .findings
                .iter()
                .find(|finding| finding.property == name);
            let Some(finding) = finding else { continue };
            let fresh = || Broken {
                runs: 0,
                seed: *seed,
                finding: finding.clone(),
            };
            merged
                .broken
                .entry(name.to_owned())
                .or_insert_with(fresh)
                .runs += 1;
        }
        for (name, why) in &verdict.inconclusive {
            merged
                .inconclusive
                .entry(name.clone())
                .or_insert_with(|| (0, why.clone()))
                .0 += 1;
        }
        reached.extend(verdict.reached.iter().cloned());
        merged.mismatches.extend(summary.mismatch.clone());
    }
    merged.distinct = histories.len() as u64;
    let must = prepared
        .setup()
        .properties
        .iter()
        .filter(|spec| spec.sometimes);
    merged.unreached = must
        .map(|spec| spec.name.clone())
        .filter(|name| !reached.contains(name))
        .collect();
    merged
}
