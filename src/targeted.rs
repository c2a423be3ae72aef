//! The targeted plans of a case: learnt from its unperturbed run, run before the seeds, counted apart.
//!
//! Owns which plans a case has and what they showed. Does not own what a plan is (`sim::targeted`) nor a single run.
//!
//! On a case that is expected to hold, a plan that breaks a property is as bad as a seed that does. On one that is
//! expected to fail, plans are counted and not judged: they aim at weaknesses that the case is not about.

use std::collections::{BTreeMap, BTreeSet};

use scenarios::expect::Expect;
use sim::isolation::{Batch, IsolationError, Lost, Made, make_runs};
use sim::run::{Prepared, Run};
use sim::targeted::{Pattern, TargetedPlan, plans};
use sim::verdict::Outcome;

use crate::exploration::{Options, SELF_CHECK_ONE_IN, compare, no_verdict};

/// How many plans are run in a test, evenly spread over all.
pub const TEST_PLANS: usize = 60;

/// What the plans of one case showed.
#[derive(Clone, Debug, Default)]
pub struct Targeted {
    /// How many plans were run.
    pub made: u64,
    /// How many there are.
    pub known: u64,
    /// The plans in which a property failed, with those properties.
    pub failing: BTreeMap<String, Vec<String>>,
    /// The first failing run in the order of the plans.
    pub first_failure: Option<(TargetedPlan, Run)>,
    /// Plans that were not deterministic, and where.
    pub mismatches: BTreeMap<String, String>,
    /// Plans whose points were not met: the run is another one than the reference.
    pub missed: Vec<String>,
    /// Why there are no plans, where the run that they are made from gave no verdict.
    pub unmade: Option<Lost>,
    /// Plans that gave no verdict, and why.
    pub lost: BTreeMap<String, String>,
    /// Those of them whose first run gave one: only the second was lost.
    pub ended_once: BTreeSet<String>,
    /// True if the caller stopped it: there are plans that were not run.
    pub stopped: bool,
}

impl Targeted {
    /// How many plans every property held under.
    pub fn held(&self) -> u64 {
        let held = |plan: &String| !self.failing.contains_key(plan);
        let lost = self.lost.keys().filter(|plan| held(plan)).count();
        self.made - self.failing.len() as u64 - lost as u64
    }

    /// `42/42`: of the plans that were run, those under which every property held; `300/300 of 900` where not all were.
    pub fn words(&self) -> String {
        match self.made {
            0 => "–".to_owned(),
            made if made < self.known => format!("{}/{made} of {}", self.held(), self.known),
            made => format!("{}/{made}", self.held()),
        }
    }

    /// What is not as expected, in sentences.
    pub fn reasons(&self, expect: &Expect) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(lost) = &self.unmade {
            reasons.push(NoPlans::Lost(lost.clone()).to_string());
        }
        for (plan, why) in &self.lost {
            let second = self.ended_once.contains(plan);
            reasons.push(no_verdict(&format!("plan {plan}"), second, why));
        }
        for plan in &self.missed {
            reasons.push(format!("plan {plan} did not meet its point"));
        }
        if expect.violated().is_empty() {
            for (plan, properties) in &self.failing {
                reasons.push(format!(
                    "{} failed under plan {plan}",
                    properties.join(", ")
                ));
            }
        }
        reasons
    }
}

/// Why the plans of a case are not known.
#[derive(Debug, thiserror::Error)]
pub enum NoPlans {
    /// Runs could not be kept apart.
    #[error(transparent)]
    Isolation(#[from] IsolationError),
    /// There is nothing to make them from.
    #[error("seed 0, whose run the plans are made from, gave no verdict: {0}")]
    Lost(Lost),
}

/// The plans of a setup that are of these patterns, in their order; they are numbered over all patterns.
pub fn plans_of(
    prepared: &Prepared,
    patterns: &[Pattern],
    options: &Options,
) -> Result<Vec<TargetedPlan>, NoPlans> {
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let mut reference = Err(Lost::NotMade);
    make_runs(prepared, &batch(&[0], &[], options), &mut |made| {
        reference = made.run;
        true
    })?;
    let all = plans(&reference.map_err(NoPlans::Lost)?.trace);
    let wanted = all.into_iter().filter(|p| patterns.contains(&p.pattern));
    Ok(wanted.collect())
}

/// At most so many of the plans, evenly spread over all.
pub fn thinned(plans: &[TargetedPlan], at_most: usize) -> Vec<TargetedPlan> {
    let kept = plans.len().min(at_most);
    let chosen = (0..kept).map(|i| plans[i * plans.len() / kept].clone());
    chosen.collect()
}

/// Runs what `choose` takes of a setup's plans of these patterns; nothing where the run that they are made from was lost.
pub(crate) fn run(
    prepared: &Prepared,
    patterns: &[Pattern],
    options: &Options,
    choose: impl FnOnce(&[TargetedPlan]) -> Vec<TargetedPlan>,
    on_run: &mut dyn FnMut() -> bool,
) -> Result<Targeted, IsolationError> {
    let all = match plans_of(prepared, patterns, options) {
        Ok(all) => all,
        Err(NoPlans::Isolation(error)) => return Err(error),
        Err(NoPlans::Lost(lost)) => {
            return Ok(Targeted {
                unmade: Some(lost),
                ..Targeted::default()
            });
        }
    };
    let mut found = explore(prepared, &choose(&all), options, on_run)?;
    found.known = all.len() as u64;
    Ok(found)
}

/// Runs the plans; `on_run` as in [`exploration::explore`](crate::exploration::explore).
pub fn explore(
    prepared: &Prepared,
    plans: &[TargetedPlan],
    options: &Options,
    on_run: &mut dyn FnMut() -> bool,
) -> Result<Targeted, IsolationError> {
    let numbers: Vec<u64> = (0..plans.len() as u64).collect();
    let mut all: BTreeMap<u64, Made> = BTreeMap::new();
    let mut found = Targeted {
        known: plans.len() as u64,
        ..Targeted::default()
    };
    if plans.is_empty() {
        return Ok(found);
    }
    make_runs(prepared, &batch(&numbers, plans, options), &mut |made| {
        found.stopped |= !on_run();
        if found.stopped {
            return false;
        }
        found.made += 1;
        let notable = match &made.run {
            Ok(run) => run.verdict.outcome() == Outcome::Violated || run.diverged,
            Err(_) => true,
        };
        if notable || made.again.is_some() {
            all.insert(made.seed, made);
        }
        true
    })?;
    for (number, made) in all {
        found.add(&plans[number as usize], made);
    }
    Ok(found)
}

/// Runs one plan twice.
pub fn run_twice(
    prepared: &Prepared,
    of: &TargetedPlan,
    options: &Options,
) -> Result<(Run, Run), crate::exploration::NoRun> {
    let plans = std::slice::from_ref(of);
    let twice = Batch {
        check_one_in: 1,
        ..batch(&[0], plans, options)
    };
    let mut made = None;
    make_runs(prepared, &twice, &mut |m| {
        made = Some(m);
        true
    })?;
    let made = made.ok_or(Lost::NotMade)?;
    Ok((made.run?, made.again.ok_or(Lost::NotMade)??))
}

fn batch<'a>(numbers: &'a [u64], plans: &'a [TargetedPlan], options: &Options) -> Batch<'a> {
    Batch {
        seeds: numbers,
        plans,
        jobs: options.jobs.clamp(1, numbers.len().max(1)),
        isolation: options.isolation,
        limit: options.limit,
        check_one_in: SELF_CHECK_ONE_IN,
    }
}

impl Targeted {
    fn add(&mut self, plan: &TargetedPlan, made: Made) {
        let name = plan.name.clone();
        let run = match made.run {
            Ok(run) => run,
            Err(lost) => {
                self.lost.insert(name, lost.to_string());
                return;
            }
        };
        match &made.again {
            Some(Ok(again)) => {
                let mismatch = compare(0, &run, again);
                let difference = mismatch.map(|mismatch| (name.clone(), mismatch.difference));
                self.mismatches.extend(difference);
            }
            Some(Err(lost)) => {
                self.lost.insert(name.clone(), lost.to_string());
                self.ended_once.insert(name.clone());
            }
            None => {}
        }
        if run.diverged {
            self.missed.push(name.clone());
        }
        if run.verdict.outcome() == Outcome::Violated {
            let properties = run.verdict.violated().into_iter().map(str::to_owned);
            self.failing.insert(name, properties.collect());
            if self.first_failure.is_none() {
                self.first_failure = Some((plan.clone(), run));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sim::run::RunOptions;
    use sim::schedule::Input;
    use sim::setup::Setup;

    use super::*;

    #[test]
    fn a_second_run_that_is_lost_is_told() {
        let prepared = Prepared::new(Setup::default()).expect("an empty world");
        let made = Made {
            seed: 0,
            run: Ok(prepared.run(&Input::Seed(0), RunOptions::default())),
            again: Some(Err(Lost::Killed(6))),
        };
        let plan = TargetedPlan {
            name: "crash-1".to_owned(),
            pattern: Pattern::Intermediate,
            forced: Vec::new(),
        };
        let mut targeted = Targeted {
            made: 1,
            known: 1,
            ..Targeted::default()
        };
        targeted.add(&plan, made);
        assert_eq!(targeted.held(), 0);
        let reasons = targeted.reasons(&scenarios::expect::Expect::Holds);
        let wanted =
            "plan crash-1 gave no verdict the second time: a replica killed its process: signal 6";
        assert_eq!(reasons, [wanted]);
    }
}
