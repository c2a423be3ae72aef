//! Many seeds of one setup: how often which property failed, and the first failing run.
//!
//! Owns the spread over threads, the count, the self-check (a failing run, and a sample of the others, is run twice
//! and must be the same) and the judgement against what is expected. Does not own a single run (`sim`).
//!
//! Invariant: the result does not depend on the number of threads; what is kept is kept for the lowest seed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use scenarios::expect::Expect;
use sim::run::{Prepared, Run, RunOptions};
use sim::schedule::Input;
use sim::trace::Fingerprint;
use sim::verdict::Outcome;

use crate::log_filter::LogFilter;

/// One run in so many is run twice although nothing failed in it.
const SELF_CHECK_ONE_IN: u64 = 100;

/// How often something happened, and where first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// In how many runs.
    pub runs: u64,
    /// The lowest seed.
    pub first_seed: u64,
}

/// A seed that gave two different runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The seed.
    pub seed: u64,
    /// The first event in which the two differ, and how.
    pub difference: String,
}

/// What many runs of one setup showed.
#[derive(Clone, Debug, Default)]
pub struct Exploration {
    /// How many runs there were.
    pub runs: u64,
    /// The properties that failed.
    pub violated: BTreeMap<String, Tally>,
    /// The properties that could not be judged, with the reason of the lowest seed.
    pub inconclusive: BTreeMap<String, (Tally, String)>,
    /// The `sometimes` properties that came true.
    pub reached: BTreeMap<String, Tally>,
    /// The failing run of the lowest seed, by its fingerprint: it can be made again.
    pub first_failure: Option<(u64, Fingerprint)>,
    /// Seeds that were not deterministic.
    pub mismatches: Vec<Mismatch>,
    /// Runs in which at least one property failed.
    pub failing_runs: u64,
    /// Our own mistakes, by seed: the engine failed to make the run.
    pub faults: BTreeMap<u64, String>,
}

/// Whether an exploration showed what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// As expected.
    Expected,
    /// Not as expected; each reason in a sentence.
    Unexpected(Vec<String>),
}

/// Runs every seed; `on_run` is called after each run, from any thread.
pub fn explore(
    prepared: &Prepared,
    seeds: &[u64],
    threads: usize,
    on_run: &(dyn Fn() + Sync),
) -> Exploration {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let total = Mutex::new(Exploration::default());
    let work = || {
        let mut part = Exploration::default();
        while !stop.load(Ordering::Relaxed) {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(seed) = usize::try_from(i).ok().and_then(|i| seeds.get(i)) else {
                break;
            };
            part.add(prepared, *seed);
            if !part.faults.is_empty() {
                stop.store(true, Ordering::Relaxed);
            }
            on_run();
        }
        total
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .merge(part);
    };
    let threads = threads.clamp(1, seeds.len().max(1));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Exploration {
    fn add(&mut self, prepared: &Prepared, seed: u64) {
        self.runs += 1;
        let run = match run_once(prepared, seed) {
            Ok(run) => run,
            Err(fault) => {
                self.faults.insert(seed, fault);
                return;
            }
        };
        let failing = run.verdict.outcome() == Outcome::Violated;
        if failing || seed.is_multiple_of(SELF_CHECK_ONE_IN) {
            match run_once(prepared, seed) {
                Ok(again) => self.mismatches.extend(compare(seed, &run, &again)),
                Err(fault) => {
                    self.faults.insert(seed, fault);
                }
            }
        }
        for property in run.verdict.violated() {
            count(&mut self.violated, property, seed);
        }
        for property in &run.verdict.reached {
            count(&mut self.reached, property, seed);
        }
        for (property, reason) in &run.verdict.inconclusive {
            let new = Tally {
                runs: 0,
                first_seed: seed,
            };
            let (tally, kept) = self
                .inconclusive
                .entry(property.clone())
                .or_insert((new, reason.clone()));
            tally.runs += 1;
            if seed < tally.first_seed {
                (tally.first_seed, *kept) = (seed, reason.clone());
            }
        }
        if failing {
            self.failing_runs += 1;
            if self
                .first_failure
                .as_ref()
                .is_none_or(|(first, _)| seed < *first)
            {
                self.first_failure = Some((seed, run.fingerprint()));
            }
        }
    }

    fn merge(&mut self, other: Exploration) {
        self.runs += other.runs;
        self.failing_runs += other.failing_runs;
        self.mismatches.extend(other.mismatches);
        self.mismatches.sort_by_key(|m| m.seed);
        self.faults.extend(other.faults);
        for (into, from) in [
            (&mut self.violated, other.violated),
            (&mut self.reached, other.reached),
        ] {
            for (property, tally) in from {
                let mine = into.entry(property).or_insert(Tally { runs: 0, ..tally });
                mine.runs += tally.runs;
                mine.first_seed = mine.first_seed.min(tally.first_seed);
            }
        }
        for (property, (tally, reason)) in other.inconclusive {
            let new = Tally { runs: 0, ..tally };
            let (mine, kept) = self
                .inconclusive
                .entry(property)
                .or_insert((new, reason.clone()));
            mine.runs += tally.runs;
            if tally.first_seed < mine.first_seed {
                (mine.first_seed, *kept) = (tally.first_seed, reason);
            }
        }
        let earlier = match (&self.first_failure, &other.first_failure) {
            (Some((mine, _)), Some((theirs, _))) => theirs < mine,
            (None, Some(_)) => true,
            _ => false,
        };
        if earlier {
            self.first_failure = other.first_failure;
        }
    }

    /// Holds the result against what was expected. With a `single` seed a property that should fail may well not.
    pub fn judge(&self, expect: &Expect, single: bool) -> Judgement {
        let wanted = expect.violated();
        let mut reasons = Vec::new();
        for (property, tally) in &self.violated {
            if !wanted.contains(property) {
                reasons.push(format!(
                    "{property} failed in {} of {} runs, first with seed {}",
                    tally.runs, self.runs, tally.first_seed
                ));
            }
        }
        for property in wanted {
            if !single && !self.violated.contains_key(property) {
                reasons.push(format!(
                    "{property} was expected to fail and held in all {} runs",
                    self.runs
                ));
            }
        }
        for (property, (tally, reason)) in &self.inconclusive {
            if !wanted.contains(property) {
                reasons.push(format!(
                    "{property} could not be judged in {} of {} runs, first with seed {}: {reason}",
                    tally.runs, self.runs, tally.first_seed
                ));
            }
        }
        match reasons.is_empty() {
            true => Judgement::Expected,
            false => Judgement::Unexpected(reasons),
        }
    }
}

fn count(tallies: &mut BTreeMap<String, Tally>, property: &str, seed: u64) {
    let tally = tallies.entry(property.to_owned()).or_insert(Tally {
        runs: 0,
        first_seed: seed,
    });
    tally.runs += 1;
    tally.first_seed = tally.first_seed.min(seed);
}

/// Runs one seed; a panic of the engine's own is a fault of ours, told in words.
pub fn run_once(prepared: &Prepared, seed: u64) -> Result<Run, String> {
    run_with(prepared, seed, RunOptions::default())
}

/// The same, with logs and backtraces: for a run that is going to be shown.
pub fn run_to_show(prepared: &Prepared, seed: u64) -> Result<Run, String> {
    let options = RunOptions {
        logs: true,
        backtraces: true,
    };
    let filter = LogFilter::from_env()?;
    let mut run = run_with(prepared, seed, options)?;
    filter.keep(&mut run.trace.logs);
    Ok(run)
}

fn run_with(prepared: &Prepared, seed: u64, options: RunOptions) -> Result<Run, String> {
    // What a run leaves behind when it panics is dropped with it: nothing is shared between runs.
    let run = || prepared.run(&Input::Seed(seed), options);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!(
            "the engine panicked: {}",
            text.unwrap_or("without a message")
        )
    })
}

/// Names the first event in which two runs of one seed differ.
pub fn compare(seed: u64, a: &Run, b: &Run) -> Option<Mismatch> {
    let difference = match a.trace.first_difference(&b.trace) {
        Some(i) => {
            let show = |run: &Run| match run.trace.records.get(i) {
                Some(record) => format!("{} {:?}", record.at, record.event),
                None => "nothing more".to_owned(),
            };
            format!("at event #{i}: first {}, then {}", show(a), show(b))
        }
        None if a.trace.bodies != b.trace.bodies => "in the objects, not in the events".to_owned(),
        None if a.verdict != b.verdict => "in the verdict, not in the events".to_owned(),
        None => return None,
    };
    Some(Mismatch { seed, difference })
}
