//! `replay`: one seed again, as a timeline. Twice, in fact: the two runs must agree before either is shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reports::recording::Recording;
use reports::{Rows, failure, timeline};
use scenarios::load::Files;
use serde_json::json;
use sim::isolation::Lost;
use sim::operator::Operators;
use sim::targeted::TargetedPlan;

use super::output::{self, writable, write};
use super::run::file_name;
use super::{Failure, Format, Output, Program};
use crate::exploration::{NoRun, Options, compare, run_twice, with_logs};
use crate::plan::{self, Plan};
use crate::{rerun, targeted};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  reconverge replay scenarios/races/dual-write.yaml --variant buggy --seed 7
  reconverge replay scenarios/races/dual-write.yaml --variant fixed --plan crash-1
  reconverge replay target/reconverge/dual-write.buggy.7.jsonl")]
pub(super) struct Args {
    /// A scenario file, or a recording
    file: PathBuf,
    /// The variant; not needed for a recording, or where there is only one
    #[arg(long)]
    variant: Option<String>,
    /// The seed, or a token as v1.9f3a07c1.7; not needed for a recording
    #[arg(
        long,
        env = "RECONVERGE_SEED",
        value_name = "SEED|TOKEN",
        allow_hyphen_values = true
    )]
    seed: Option<String>,
    /// A run that takes longer than this on the wall clock is given up
    #[arg(long, value_parser = super::run::span, default_value = "60s", value_name = "DURATION")]
    limit: Duration,
    /// The targeted plan, as crash-3; `run` names the plans under which a property failed
    #[arg(long, value_name = "PLAN")]
    plan: Option<String>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Where the recording goes
    #[arg(long, default_value = "target/reconverge", value_name = "FOLDER")]
    out: PathBuf,
}

pub(super) fn replay(
    program: &Program,
    operators: &Operators,
    args: &Args,
    output: &Output,
) -> Result<u8, Failure> {
    let scenario = matches!(
        args.file.extension().and_then(|e| e.to_str()),
        Some("yaml" | "yml")
    );
    agreed(args, scenario)?;
    let mut options = Options {
        limit: args.limit,
        ..Options::default()
    };
    let (plan, input, recorded) = match scenario {
        true => {
            let plan = plan::plan(&args.file, args.variant.as_deref(), &Files::Disk, operators)?;
            let input = chosen(args, &plan, &options)?;
            (plan, input, None)
        }
        false => {
            let recording = read(&args.file)?;
            let plan = inlined(&recording, operators)?;
            let input = match &recording.header.plan {
                Some(of) => Chosen::Plan(of.clone()),
                None => Chosen::Seed(recording.header.seed),
            };
            (plan, input, Some(recording))
        }
    };
    writable(&args.out)?;
    options.jobs = 1;
    let (seed, name) = (input.seed(), input.name());
    let twice = match &input {
        Chosen::Seed(seed) => run_twice(&plan.prepared, *seed, &options),
        Chosen::Plan(of) => targeted::run_twice(&plan.prepared, of, &options),
    };
    let (first, second) = match twice {
        Ok(runs) => runs,
        Err(NoRun::Isolation(error)) => return Err(Failure::Fault(error.to_string())),
        Err(NoRun::Lost(lost)) => {
            let again = match scenario {
                true if matches!(input, Chosen::Seed(_)) => {
                    rerun::again(&plan, seed, &lost, options.isolation, options.limit)
                }
                _ => None,
            };
            return Err(gone(&name, &lost, again));
        }
    };
    if let Some(mismatch) = compare(seed, &first, &second) {
        return Err(Failure::NotDeterministic {
            message: format!("{name} is not deterministic, {}", mismatch.difference),
            hint: "docs/determinism.md lists the causes".to_owned(),
        });
    }
    if let Some(recorded) = recorded
        && recorded.trace.fingerprint() != first.trace.fingerprint()
    {
        let at = recorded
            .trace
            .first_difference(&first.trace)
            .unwrap_or_default();
        return Err(Failure::NotDeterministic {
            message: format!(
                "the run is no longer the recorded one: they differ from event #{at} on"
            ),
            hint: format!(
                "it was recorded by reconverge {}, this is {}; an operator that has changed since also changes its runs",
                recorded.header.reconverge,
                crate::VERSION
            ),
        });
    }
    let first = with_logs(&plan.prepared, seed, first);
    let recording = plan.record(seed, first, options.isolation, &program.command);
    let path = args.out.join(file_name(&recording.header));
    write(&path, &recording.write())?;
    let violated = recording.verdict.violated();
    match args.format {
        Format::Text => {
            output.painted(&timeline(&recording, Rows::All, output.colors));
            output.out("\n");
            match violated.is_empty() {
                true => output.out(&format!(
                    "{} · {name}: every property holds\n",
                    plan.case.title()
                )),
                false => output.painted(&failure(&recording, output.colors)),
            }
            output.note(&format!("recording: {}\n", path.display()));
        }
        Format::Json => output.json(&json!({
            "version": 1,
            "token": recording.token(),
            "fingerprint": recording.trace.fingerprint().to_string(),
            "events": recording.trace.records.len(),
            "violated": violated,
            "recording": path.display().to_string(),
        })),
    }
    let wanted = plan.expect.violated();
    let unexpected = violated.iter().any(|v| !wanted.iter().any(|w| w == v));
    Ok(u8::from(unexpected))
}

/// No flag is ignored: a recording says itself which run it is, and a plan is no seed.
fn agreed(args: &Args, scenario: bool) -> Result<(), Failure> {
    // The seed of the environment stands for all commands; one that is typed is meant.
    let typed = args.seed.is_some() && args.seed != std::env::var("RECONVERGE_SEED").ok();
    let given = [
        ("--variant", args.variant.is_some()),
        ("--plan", args.plan.is_some()),
        ("--seed", typed),
    ];
    let first = given.iter().find(|(_, given)| *given);
    match first {
        Some((flag, _)) if !scenario => Err(Failure::usage(
            format!("{flag} does not go with a recording, which names its run itself"),
            "replay the recording without it, or the scenario file with it",
        )),
        _ if typed && args.plan.is_some() => Err(Failure::usage(
            "--seed and --plan name two runs".to_owned(),
            "give one of them",
        )),
        _ => Ok(()),
    }
}

/// A run that gave nothing back: the operator's doing, or ours.
fn gone(name: &str, lost: &Lost, again: Option<String>) -> Failure {
    match lost {
        Lost::Stuck { .. } | Lost::Killed(_) => {
            let again = again.map(|again| format!("\n  {again}"));
            Failure::Lost {
                message: format!(
                    "{name} gave no verdict: {lost}{}",
                    again.unwrap_or_default()
                ),
            }
        }
        Lost::Engine(_) | Lost::NotMade => Failure::Fault(lost.to_string()),
    }
}

/// What is to be run again.
enum Chosen {
    Seed(u64),
    Plan(TargetedPlan),
}

impl Chosen {
    fn seed(&self) -> u64 {
        match self {
            Chosen::Seed(seed) => *seed,
            Chosen::Plan(_) => 0,
        }
    }

    fn name(&self) -> String {
        match self {
            Chosen::Seed(seed) => format!("seed {seed}"),
            Chosen::Plan(plan) => format!("plan {} ({})", plan.name, plan.says()),
        }
    }
}

/// A seed, a targeted plan, or what a token says that names this very scenario.
fn chosen(args: &Args, plan: &Plan, options: &Options) -> Result<Chosen, Failure> {
    let name = match (&args.plan, args.seed.as_deref()) {
        (Some(name), _) => name.clone(),
        (None, given) => {
            let seed = input(given, plan)?;
            match seed.parse() {
                Ok(seed) => return Ok(Chosen::Seed(seed)),
                Err(_) => seed,
            }
        }
    };
    let plans = targeted::plans_of(&plan.prepared, &plan.patterns(), options)
        .map_err(|error| Failure::usage(error.to_string(), "docs/determinism.md tells more"))?;
    match plans.iter().find(|p| p.name == name) {
        Some(plan) => Ok(Chosen::Plan(plan.clone())),
        None => Err(Failure::usage(
            format!("this case has no plan `{name}`, but {} others", plans.len()),
            "plans are called crash-N, lose-reply-N, hold-N, restart-stale-N and coalesce-N, N from 1; `run` names those \
             under which a property failed",
        )),
    }
}

/// The seed, or the seed or plan of a token that names this very scenario.
fn input(given: Option<&str>, plan: &Plan) -> Result<String, Failure> {
    let Some(given) = given else {
        return Err(Failure::usage(
            "which seed?",
            "add --seed N, or --plan NAME; `run` prints the first failing seed of each scenario",
        ));
    };
    let bad = || {
        Failure::usage(
            format!("`{given}` is neither a seed nor a token"),
            "a seed is a whole number below 2^64, a token looks like v1.9f3a07c1.7",
        )
    };
    let Some(token) = given.strip_prefix("v1.") else {
        let seed = given.parse::<u64>().map_err(|_| bad())?;
        return Ok(seed.to_string());
    };
    let (hash, seed) = token.split_once('.').ok_or_else(bad)?;
    if hash != plan.hash() {
        return Err(Failure::usage(
            format!(
                "the token {given} is of another scenario, or of another version of this one: {} · {} has the hash {}",
                plan.path().display(),
                plan.case.variant,
                plan.hash()
            ),
            "take the file as it was when the token was printed, and the same --variant; or give the seed alone",
        ));
    }
    let plan = seed.contains('-') && seed.starts_with(|c: char| c.is_ascii_lowercase());
    match plan || seed.parse::<u64>().is_ok() {
        true => Ok(seed.to_owned()),
        false => Err(bad()),
    }
}

fn read(path: &Path) -> Result<Recording, Failure> {
    let text =
        output::read(path).map_err(|error| scenarios::error::Error::read(path, error, None))?;
    Recording::read(&text).map_err(|error| Failure::Recording {
        path: path.to_owned(),
        error,
    })
}

/// The plan of the scenario that a recording carries.
fn inlined(recording: &Recording, operators: &Operators) -> Result<Plan, Failure> {
    let header = &recording.header;
    let Some(file) = header.files.first() else {
        return Err(Failure::usage(
            format!(
                "this run of `{}` was set up in code, not in a file",
                header.scenario
            ),
            "replay it in its test: .replay(\"TOKEN\")",
        ));
    };
    let texts: BTreeMap<PathBuf, String> = header
        .files
        .iter()
        .map(|f| (PathBuf::from(&f.path), f.text.clone()))
        .collect();
    let plan = plan::plan(
        Path::new(&file.path),
        Some(&header.variant),
        &Files::Inlined(texts),
        operators,
    )?;
    if plan.hash() != header.scenario_hash {
        return Err(Failure::usage(
            "the recording was altered: its files do not give its scenario hash",
            "record the run again: `replay FILE --variant V --seed N`",
        ));
    }
    Ok(plan)
}
