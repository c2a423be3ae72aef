//! What `run` found, shown: the table with its legend, the reasons below it, the same as JSON, and the exit code.
//!
//! Owns the verdict of a case in a word. Does not own exploring (`run`), nor whether a case is as expected (`exploration`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reports::recording::Recording;
use scenarios::load::Case;
use scenarios::quantity::SeedRange;
use serde_json::{Value as Json, json};
use sim::isolation::Lost;
use sim::run::Run;
use sim::visible;

use super::figures::Summary;
use super::output::write;
use super::run::file_name;
use super::{Failure, Output, Program, interrupt, list, table};
use crate::exploration::{Exploration, Judgement, Options};
use crate::plan::Plan;
use crate::rates;
use crate::targeted::Targeted;

/// A case that was explored.
pub(super) struct Explored {
    pub(super) plan: Plan,
    pub(super) seeds: SeedRange,
    pub(super) list: Vec<u64>,
    pub(super) found: Exploration,
    pub(super) judgement: Judgement,
    pub(super) recording: Option<PathBuf>,
    pub(super) targeted: Targeted,
    /// What became of seeds that never came back, by seed: in sentences.
    pub(super) again: BTreeMap<u64, String>,
}

/// What became of all cases.
pub(super) struct Results {
    pub(super) explored: Vec<Explored>,
    /// Those of other engines.
    pub(super) elsewhere: Vec<Case>,
    /// Those that Ctrl-C left no time for.
    pub(super) left: Vec<Case>,
}

impl Explored {
    /// Whether Ctrl-C came before its last run.
    pub(super) fn stopped(&self) -> bool {
        self.found.stopped || self.targeted.stopped
    }

    /// Whether a run was another one the second time.
    fn differed(&self) -> bool {
        !self.found.mismatches.is_empty() || !self.targeted.mismatches.is_empty()
    }

    /// The first failing run, if one failed: that of a plan where all must hold, else that of a seed.
    pub(super) fn first_failure(&self) -> Option<(u64, Run)> {
        let held = self.plan.expect.violated().is_empty();
        let of_plan = || self.targeted.first_failure.clone().map(|(_, run)| (0, run));
        let by_seed = self.found.first_failure.clone();
        match held {
            true => of_plan().or(by_seed),
            false => by_seed.or_else(of_plan),
        }
    }

    /// Writes a run's recording into a folder.
    pub(super) fn keep(
        &mut self,
        seed: u64,
        run: Run,
        options: &Options,
        program: &Program,
        out: &Path,
    ) -> Result<(Recording, PathBuf), Failure> {
        let recording = self
            .plan
            .record(seed, run, options.isolation, &program.command);
        let path = out.join(file_name(&recording.header));
        write(&path, &recording.write())?;
        self.recording = Some(path.clone());
        Ok((recording, path))
    }
}

impl Results {
    /// Whether Ctrl-C came before the last run of the last case.
    fn interrupted(&self) -> bool {
        !self.left.is_empty() || self.explored.iter().any(Explored::stopped)
    }

    pub(super) fn exit_code(&self) -> u8 {
        let any = |f: &dyn Fn(&Explored) -> bool| self.explored.iter().any(f);
        if self.interrupted() {
            interrupt::CODE
        } else if any(&|e| !e.found.faults.is_empty()) {
            4
        } else if any(&Explored::differed) {
            3
        } else if any(&|e| e.judgement != Judgement::Expected) {
            1
        } else {
            0
        }
    }

    /// Cases without a row of their own, and why.
    fn not_run(&self) -> impl Iterator<Item = (&Case, String)> {
        let left = self.left.iter();
        let left = left.map(|case| (case, format!("not run ({INTERRUPTED})")));
        left.chain(self.elsewhere.iter().map(|case| (case, not_run(case))))
    }

    /// `interrupted by Ctrl-C: of 5 cases 2 are whole, 1 in part and 2 not run`
    fn interrupted_words(&self) -> String {
        let part = self.explored.iter().filter(|case| case.stopped()).count();
        let (seen, left) = (self.explored.len(), self.left.len());
        format!(
            "{INTERRUPTED} by Ctrl-C: of {} cases {} are whole, {part} in part and {left} not run\n",
            seen + left,
            seen - part
        )
    }
}

/// The verdict of a case that might have shown more: it neither holds nor is caught.
const INTERRUPTED: &str = "interrupted";

fn verdict(case: &Explored) -> &'static str {
    if !case.found.faults.is_empty() {
        "fault"
    } else if case.differed() {
        "not deterministic"
    } else if case.judgement != Judgement::Expected {
        "unexpected"
    } else if case.stopped() {
        INTERRUPTED
    } else if case.plan.expect.violated().is_empty() {
        "holds"
    } else {
        "caught"
    }
}

pub(super) fn text_table(results: &Results, output: &Output) -> String {
    let header = [
        "scenario",
        "variant",
        "runs",
        "failed (95 %)",
        "seeds to failure",
        "plans",
        "expected",
        "verdict",
    ];
    let mut rows = table::table(output.colors, &header);
    for case in &results.explored {
        let found = &case.found;
        let verdicts = found.verdicts();
        let failed = found.violated.iter().map(|(property, tally)| {
            let rate = rates::words(tally.runs, verdicts);
            format!("{property} {rate}")
        });
        let failed: Vec<String> = failed.collect();
        let none = || match verdicts {
            0 => "–".to_owned(),
            runs => rates::words(0, runs),
        };
        let first = rates::seeds_to_failure(&case.list, &found.failing)
            .map_or("–".to_owned(), |(median, p90)| {
                format!("{median} / {p90}")
            });
        let word = verdict(case);
        let runs = match case.stopped() {
            true => format!("{} of {}", found.runs, case.list.len()),
            false => found.runs.to_string(),
        };
        let failed = match failed.is_empty() {
            true => none(),
            false => failed.join("\n"),
        };
        rows.add_row([
            table::words(&case.plan.case.scenario.scenario),
            table::words(&case.plan.case.variant),
            table::number(runs),
            table::words(&failed),
            table::number(first),
            table::number(case.targeted.words()),
            table::words(&list::expects(&case.plan.expect)),
            table::verdict(word, matches!(word, "holds" | "caught")),
        ]);
    }
    for (case, why) in results.not_run() {
        let expects = case.scenario.expect.as_ref().map(list::expects);
        rows.add_row([
            table::words(&case.scenario.scenario),
            table::words(&case.variant),
            table::number("–"),
            "–".into(),
            table::number("–"),
            table::number("–"),
            table::words(&expects.unwrap_or_default()),
            why.into(),
        ]);
    }
    let mut text = table::text(&rows);
    for case in &results.explored {
        for (name, of) in figures(&case.found) {
            let line = format!("{} · {name}: {of}", case.plan.case.title());
            text.push_str(&format!("{}\n", visible::line(&line)));
        }
    }
    if results.explored.iter().any(|case| case.list.len() > 1) {
        text.push_str(LEGEND);
    }
    if results.interrupted() {
        text.push_str(&results.interrupted_words());
    }
    text
}

const LEGEND: &str = "failed: rate with its 95 % interval · seeds to failure: median / 90th percentile over disjoint blocks of seeds · \
                      plans: those under which every property held, of all\n";

/// A case's figures in words.
fn figures(found: &Exploration) -> impl Iterator<Item = (&String, String)> {
    found.figures.iter().map(|(name, values)| {
        let summary = Summary::new(values);
        (name, format!("{}{}", summary.words(), summary.legend()))
    })
}

/// The word for a case that has no verdict here.
fn not_run(case: &Case) -> String {
    format!("not run here (engine {})", case.scenario.engine.name())
}

/// Why a case is not as expected, in sentences below the table.
pub(super) fn reasons(results: &Results, command: &str) -> String {
    let mut text = String::new();
    for case in &results.explored {
        let title = case.plan.case.title();
        for (seed, fault) in &case.found.faults {
            text.push_str(&format!(
                "{title}: fault of reconverge at seed {seed}: {fault}\n"
            ));
        }
        if !case.found.faults.is_empty() {
            continue;
        }
        if let Judgement::Unexpected(reasons) = &case.judgement {
            for reason in reasons {
                text.push_str(&format!("{title}: {reason}\n"));
            }
        }
        for (seed, again) in &case.again {
            let replay = case.plan.replay_command(*seed, command);
            text.push_str(&format!("  seed {seed}: {again}\n  replay: {replay}\n"));
        }
        for (plan, difference) in &case.targeted.mismatches {
            text.push_str(&format!(
                "{title}: plan {plan} is not deterministic, {difference}; docs/determinism.md lists the causes\n"
            ));
        }
        for mismatch in &case.found.mismatches {
            text.push_str(&format!(
                "{title}: seed {} is not deterministic, {}; docs/determinism.md lists the causes\n",
                mismatch.seed, mismatch.difference
            ));
        }
    }
    text
}

/// The 95 % interval of the rate of failing runs.
fn interval(case: &Explored) -> Json {
    let (low, high) = rates::interval(case.found.failing_runs, case.found.verdicts());
    json!([low, high])
}

pub(super) fn report(results: &Results, code: u8) -> Json {
    let case = |e: &Explored| {
        let tallies: serde_json::Map<_, _> = e
            .found
            .violated
            .iter()
            .map(|(p, t)| {
                (
                    p.clone(),
                    json!({"runs": t.runs, "firstSeed": t.first_seed}),
                )
            })
            .collect();
        let reasons = match &e.judgement {
            Judgement::Expected => Vec::new(),
            Judgement::Unexpected(reasons) => reasons.clone(),
        };
        let mismatches: Vec<_> = e
            .found
            .mismatches
            .iter()
            .map(|m| json!({"seed": m.seed, "difference": m.difference}))
            .collect();
        let lost = e.found.lost.iter().map(|(seed, lost)| match lost {
            Lost::Stuck { place, .. } => json!({
                "seed": seed,
                "why": "stuck",
                "replica": place.as_ref().and_then(|place| place.replica.clone()),
                "lastEvent": place.as_ref().map(|place| place.event.clone()),
                "again": e.again.get(seed),
            }),
            other => json!({"seed": seed, "why": "killed", "text": other.to_string()}),
        });
        let lost: Vec<Json> = lost.collect();
        json!({
            "file": e.plan.path().display().to_string(),
            "scenario": e.plan.case.scenario.scenario,
            "variant": e.plan.case.variant,
            "scenarioHash": e.plan.hash(),
            "seeds": e.seeds.to_string(),
            "runs": e.found.runs,
            "interrupted": e.stopped(),
            "failingRuns": e.found.failing_runs,
            "interval": interval(e),
            "seedsToFailure": rates::seeds_to_failure(&e.list, &e.found.failing)
                .map(|(median, p90)| json!({"median": median, "p90": p90})),
            "plans": json!({
                "made": e.targeted.made,
                "failing": e.targeted.failing,
                "lost": e.targeted.lost,
            }),
            "figures": figures(&e.found).collect::<BTreeMap<_, _>>(),
            "violated": tallies,
            "expected": list::expects(&e.plan.expect),
            "verdict": verdict(e),
            "reasons": reasons,
            "mismatches": mismatches,
            "lost": lost,
            "recording": e.recording.as_ref().map(|p| p.display().to_string()),
        })
    };
    let other = |(case, why): (&Case, String)| {
        json!({
            "file": case.path.display().to_string(),
            "scenario": case.scenario.scenario,
            "variant": case.variant,
            "engine": case.scenario.engine.name(),
            "verdict": why,
        })
    };
    json!({
        "version": 1,
        "reconverge": crate::VERSION,
        "exitCode": code,
        "interrupted": results.interrupted(),
        "cases": results.explored.iter().map(case).collect::<Vec<_>>(),
        "elsewhere": results.not_run().map(other).collect::<Vec<_>>(),
    })
}
