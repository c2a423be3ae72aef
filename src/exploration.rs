//! Many seeds of one setup: how often which property failed, and the first failing run.
//!
//! Owns the spread over threads, the count, the self-check (a failing run, and a sample of the others, is run twice
//! and must be the same) and the judgement against what is expected. Does not own a single run (`sim`).
//!
//! Invariant: the result does not depend on the number of threads; what is kept is kept for the lowest seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use scenarios::expect::Expect;
use sim::Isolation;
use sim::isolation::{Batch, IsolationError, Lost, Made, make_runs};
use sim::run::{Prepared, Run, RunOptions};
use sim::schedule::Input;
use sim::verdict::{Figure, Outcome};

use crate::log_filter::LogFilter;

/// One run in so many is run twice although nothing failed in it.
pub(crate) const SELF_CHECK_ONE_IN: u64 = 100;

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
    /// The `sometimes` properties there are.
    pub sometimes: Vec<String>,
    /// What runs were measured by: each figure's values, in no certain order.
    pub figures: BTreeMap<String, Vec<Figure>>,
    /// The seeds in which a property failed.
    pub failing: BTreeSet<u64>,
    /// The failing run of the lowest seed.
    pub first_failure: Option<(u64, Run)>,
    /// Seeds that were not deterministic.
    pub mismatches: Vec<Mismatch>,
    /// Runs in which at least one property failed.
    pub failing_runs: u64,
    /// Runs that an operator made impossible, by seed: it never gave up its thread, or killed its process.
    pub lost: BTreeMap<u64, Lost>,
    /// The seeds whose first run gave a verdict, and only the second was lost.
    pub ended_once: BTreeSet<u64>,
    /// Our own mistakes, by seed: the engine failed to make the run.
    pub faults: BTreeMap<u64, String>,
    /// True if it was stopped by its caller: there are seeds that were not run.
    pub stopped: bool,
}

/// Whether an exploration showed what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// As expected.
    Expected,
    /// Not as expected; each reason in a sentence.
    Unexpected(Vec<String>),
}

impl Judgement {
    /// The same with more that is not as expected.
    pub fn and(self, more: Vec<String>) -> Judgement {
        let mut reasons = match self {
            Judgement::Expected => Vec::new(),
            Judgement::Unexpected(reasons) => reasons,
        };
        reasons.extend(more);
        match reasons.is_empty() {
            true => Judgement::Expected,
            false => Judgement::Unexpected(reasons),
        }
    }
}

/// How many runs are made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Runs at once.
    pub jobs: usize,
    /// What runs share.
    pub isolation: Isolation,
    /// A run that takes longer on the wall clock is given up: an operator in it never gives up its thread.
    pub limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            jobs: 1,
            isolation: Isolation::default(),
            limit: Duration::from_secs(60),
        }
    }
}

/// Runs every seed; `on_run` is called after each run, and where it returns false the exploration stops, and neither that
/// run nor those under way count. A run that never ends stops it after those under way: what was found until then is
/// kept.
pub fn explore(
    prepared: &Prepared,
    seeds: &[u64],
    options: &Options,
    on_run: &mut dyn FnMut() -> bool,
) -> Result<Exploration, IsolationError> {
    let properties = &prepared.setup().properties;
    let sometimes = properties.iter().filter(|spec| spec.is_sometimes());
    let mut found = Exploration {
        sometimes: sometimes.map(|spec| spec.name.clone()).collect(),
        ..Exploration::default()
    };
    let batch = Batch {
        seeds,
        plans: &[],
        jobs: options.jobs.clamp(1, seeds.len().max(1)),
        isolation: options.isolation,
        limit: options.limit,
        check_one_in: SELF_CHECK_ONE_IN,
    };
    make_runs(prepared, &batch, &mut |made| {
        found.stopped |= !on_run();
        if found.stopped {
            return false;
        }
        found.add(made);
        found.faults.is_empty() && found.lost.is_empty()
    })?;
    found.mismatches.sort_by_key(|m| m.seed);
    Ok(found)
}

impl Exploration {
    /// How many runs gave a verdict: rates are over these.
    pub fn verdicts(&self) -> u64 {
        let lost = self.lost.len() + self.faults.len() - self.ended_once.len();
        self.runs - lost as u64
    }

    fn add(&mut self, made: Made) {
        self.runs += 1;
        let seed = made.seed;
        let run = match made.run {
            Ok(run) => run,
            Err(lost) => return self.lose(seed, lost),
        };
        match made.again {
            Some(Ok(again)) => self.mismatches.extend(compare(seed, &run, &again)),
            Some(Err(lost)) => {
                self.ended_once.insert(seed);
                self.lose(seed, lost);
            }
            None => {}
        }
        let failing = run.verdict.outcome() == Outcome::Violated;
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
        for (figure, value) in &run.verdict.figures {
            self.figures.entry(figure.clone()).or_default().push(*value);
        }
        if failing {
            self.failing_runs += 1;
            self.failing.insert(seed);
            if self
                .first_failure
                .as_ref()
                .is_none_or(|(first, _)| seed < *first)
            {
                self.first_failure = Some((seed, run));
            }
        }
    }

    fn lose(&mut self, seed: u64, lost: Lost) {
        match lost {
            Lost::Stuck { .. } | Lost::Killed(_) => {
                self.lost.insert(seed, lost);
            }
            Lost::Engine(_) | Lost::NotMade => {
                self.faults.insert(seed, lost.to_string());
            }
        }
    }

    /// Holds the result against what was expected. With a `single` seed a property that should fail may well not, and
    /// before the last seed it may not have yet.
    pub fn judge(&self, expect: &Expect, single: bool) -> Judgement {
        let wanted = expect.violated();
        let mut reasons = Vec::new();
        for (seed, lost) in &self.lost {
            let second = self.ended_once.contains(seed);
            reasons.push(no_verdict(
                &format!("seed {seed}"),
                second,
                &lost.to_string(),
            ));
        }
        for (property, tally) in &self.violated {
            if !wanted.contains(property) {
                reasons.push(format!(
                    "{property} failed in {} of {} runs, first with seed {}",
                    tally.runs, self.runs, tally.first_seed
                ));
            }
        }
        for property in wanted {
            if !single
                && !self.stopped
                && self.lost.is_empty()
                && !self.violated.contains_key(property)
            {
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
        for name in &self.sometimes {
            if !single && !self.stopped && self.runs > 1 && !self.reached.contains_key(name) {
                reasons.push(format!("`{name}` came true in none of {} runs", self.runs));
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

/// Runs one seed twice, kept apart as asked.
pub fn run_twice(prepared: &Prepared, seed: u64, options: &Options) -> Result<(Run, Run), NoRun> {
    let batch = Batch {
        seeds: &[seed],
        plans: &[],
        jobs: 1,
        isolation: options.isolation,
        limit: options.limit,
        check_one_in: 1,
    };
    let mut made = None;
    make_runs(prepared, &batch, &mut |m| {
        made = Some(m);
        true
    })?;
    let made = made.ok_or(Lost::NotMade)?;
    // Seed 0 is a multiple of one, as every seed is: there is a second run.
    Ok((made.run?, made.again.ok_or(Lost::NotMade)??))
}

/// Why a seed gave no run.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NoRun {
    /// Runs cannot be kept apart here.
    #[error(transparent)]
    Isolation(#[from] IsolationError),
    /// The run was lost: an operator's doing, or ours.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Runs one seed on a thread of this process, with logs and backtraces: for a run that is going to be shown.
pub fn run_to_show(prepared: &Prepared, seed: u64) -> Result<Run, String> {
    show(prepared, &Input::Seed(seed))
}

fn show(prepared: &Prepared, input: &Input) -> Result<Run, String> {
    let options = RunOptions {
        logs: true,
        backtraces: true,
    };
    let filter = LogFilter::from_env()?;
    // What a run leaves behind when it panics is dropped with it: nothing is shared between runs.
    let run = || prepared.run_within(input, options, Options::default().limit);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    let mut run = match caught {
        Ok(Ok(run)) => run,
        Ok(Err(place)) => {
            let limit = Options::default().limit;
            return Err(Lost::Stuck { limit, place }.to_string());
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            return Err(Lost::Engine(text.unwrap_or("without a message").to_owned()).to_string());
        }
    };
    filter.keep(&mut run.trace.logs);
    Ok(run)
}

/// The same run with logs and backtraces, if it can be made here; else as it is.
pub fn with_logs(prepared: &Prepared, seed: u64, run: Run) -> Run {
    let input = match &run.trace.tape.plan {
        Some(plan) => Input::Plan(plan.clone()),
        None => Input::Seed(seed),
    };
    match show(prepared, &input) {
        Ok(shown) if shown.fingerprint() == run.fingerprint() => shown,
        _ => run,
    }
}

/// `seed 7 gave no verdict: …`; or none the second time, where only the first run came to its end.
pub(crate) fn no_verdict(what: &str, second: bool, why: &str) -> String {
    let time = if second { " the second time" } else { "" };
    format!("{what} gave no verdict{time}: {why}")
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
