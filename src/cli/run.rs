//! `run`: explores every variant of the scenarios, prints a table and the failure block of the first failing run of each.
//!
//! Does not own what the result looks like (`results`).

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use reports::failure;
use reports::recording::Header;
use scenarios::quantity::{SeedRange, Span, seeds};
use sim::Isolation;
use sim::isolation::IsolationError;
use sim::operator::Operators;
use sim::targeted::TargetedPlan;
use sim::visible;

use super::interrupt::Interrupt;
use super::output::{writable, writable_file};
use super::progress::Progress;
use super::rates_file;
use super::results::{Explored, Results, reasons, report, text_table};
use super::{Failure, Format, Output, Program, paths};
use crate::exploration::{Options, explore, with_logs};
use crate::plan::{self, Plan};
use crate::rerun;
use crate::targeted::{self, Targeted};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  reconverge run scenarios/races
  reconverge run scenarios/races/dual-write.yaml --variant buggy --seeds 0..10000
  reconverge run scenarios --shard 2/8 --format json > shard-2.json
  reconverge run scenarios/races/dual-write.yaml --plans only")]
pub(super) struct Args {
    /// Scenario files, or folders that are searched
    paths: Vec<PathBuf>,
    /// Only the variants of this name
    #[arg(long)]
    variant: Option<String>,
    /// The seeds to run, instead of those the files name: 0..1000 (the end excluded), or how many
    #[arg(long, env = "RECONVERGE_SEEDS", value_parser = seed_range, value_name = "RANGE")]
    seeds: Option<SeedRange>,
    /// One seed only
    #[arg(
        long,
        env = "RECONVERGE_SEED",
        value_name = "N",
        allow_hyphen_values = true
    )]
    seed: Option<u64>,
    /// One share of the seeds, as 2/8: the shares are disjoint and make up the whole
    #[arg(long, value_parser = shard, value_name = "I/N")]
    shard: Option<(u64, u64)>,
    /// The targeted plans (crash after each write, late events, coalesced events), which go before the seeds
    #[arg(long, value_enum, default_value_t)]
    plans: Plans,
    /// At most so many plans of a case, evenly spread over all it has
    #[arg(long, default_value_t = 300, value_name = "N")]
    plans_at_most: usize,
    /// Writes what was found into a file that `catalogue` reads, beside what it holds of other cases
    #[arg(long, value_name = "FILE")]
    rates: Option<PathBuf>,
    /// How many runs at once; as many as there are cores unless said
    #[arg(long, value_parser = jobs, value_name = "N")]
    jobs: Option<usize>,
    /// What runs share: `thread` the process, `fork` nothing
    #[arg(long, value_enum)]
    isolation: Option<Apart>,
    /// A run that takes longer than this on the wall clock is given up
    #[arg(long, value_parser = span, default_value = "60s", value_name = "DURATION")]
    limit: Duration,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Where the recordings of failing runs go
    #[arg(long, default_value = "target/reconverge", value_name = "FOLDER")]
    out: PathBuf,
}

impl Args {
    /// What is typed counts more than what the environment says.
    pub(super) fn prefer_typed(&mut self, given: &ArgMatches) -> Result<(), clap::Error> {
        let typed = |name: &str| given.value_source(name) == Some(ValueSource::CommandLine);
        match (typed("seed"), typed("seeds")) {
            (true, true) => Err(clap::Error::raw(
                ErrorKind::ArgumentConflict,
                "--seed and --seeds name two sets of runs: give one of them\n",
            )),
            (false, true) => {
                self.seed = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// How runs are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Apart {
    /// On threads of this process: fast
    Thread,
    /// Each in a process of its own: an abort or an endless loop ends that run alone
    Fork,
}

/// Whether targeted plans are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Plans {
    /// All plans, then the seeds; none with a single seed
    #[default]
    All,
    /// The seeds alone
    None,
    /// The plans alone
    Only,
}

impl From<Apart> for Isolation {
    fn from(apart: Apart) -> Self {
        match apart {
            Apart::Thread => Isolation::Thread,
            Apart::Fork => Isolation::Fork,
        }
    }
}

/// Runs that could not be kept apart.
pub(super) fn isolation(error: IsolationError) -> Failure {
    Failure::usage(
        error.to_string(),
        "docs/determinism.md tells the two levels of isolation apart",
    )
}

pub(super) fn seed_range(text: &str) -> Result<SeedRange, String> {
    // The hint of the format's own notation goes on the same line here.
    text.parse::<SeedRange>().map_err(|e| e.replace('\n', "; "))
}

pub(super) fn span(text: &str) -> Result<Duration, String> {
    let span = text.parse::<Span>().map_err(|e| e.replace('\n', "; "))?;
    match span.0.is_zero() {
        true => Err("no run ends at once: leave it away for 60s".to_owned()),
        false => Ok(span.0),
    }
}

pub(super) fn jobs(text: &str) -> Result<usize, String> {
    let jobs = text.parse().ok().filter(|n| (1..=1024).contains(n));
    jobs.ok_or_else(|| "write a number from 1 to 1024".to_owned())
}

pub(super) fn shard(text: &str) -> Result<(u64, u64), String> {
    let parsed = text
        .split_once('/')
        .and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parsed {
        Some((i, n)) if 1 <= i && i <= n => Ok((i, n)),
        _ => Err("write I/N with I from 1 to N, as 2/8".to_owned()),
    }
}

pub(super) fn run(
    program: &Program,
    operators: &Operators,
    args: &Args,
    output: &Output,
) -> Result<u8, Failure> {
    let interrupt = Interrupt::listen();
    let mut plans = Vec::new();
    let mut elsewhere = Vec::new();
    for cases in plan::read(&paths(&args.paths, program), operators)? {
        plans.extend(cases.plans);
        elsewhere.extend(cases.elsewhere);
    }
    if let Some(variant) = &args.variant {
        plans.retain(|p| p.case.variant == *variant);
        elsewhere.retain(|case| case.variant == *variant);
        if plans.is_empty() && elsewhere.is_empty() {
            return Err(Failure::usage(
                format!("no scenario here has a variant `{variant}`"),
                "`list` shows the variants",
            ));
        }
    }
    writable(&args.out)?;
    if let Some(path) = &args.rates {
        rates_file::read(path)?;
        writable_file(path)?;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        jobs: args.jobs.unwrap_or(cores),
        isolation: args
            .isolation
            .map_or_else(Isolation::default, Isolation::from),
        limit: args.limit,
    };
    let work: Vec<(Plan, SeedRange, Vec<u64>)> =
        plans.into_iter().map(|p| with_seeds(p, args)).collect();
    let progress = Progress::new(work.iter().map(|(.., list)| list.len() as u64).sum());
    let on_run = &mut || {
        progress.step();
        !interrupt.seen()
    };
    let mut explored = Vec::new();
    let mut left = Vec::new();
    for (plan, range, list) in work {
        if interrupt.seen() {
            left.push(plan.case);
            continue;
        }
        progress.case(plan.case.title());
        let targeted = targeted_of(&plan, args, &options, &progress, on_run)?;
        let list = match args.plans {
            Plans::Only => Vec::new(),
            Plans::All | Plans::None => list,
        };
        let found = explore(&plan.prepared, &list, &options, on_run).map_err(isolation)?;
        let judgement = found.judge(&plan.expect, list.len() < 2);
        let judgement = judgement.and(targeted.reasons(&plan.expect));
        let again = found.lost.iter().filter_map(|(seed, lost)| {
            if interrupt.seen() {
                return None;
            }
            let told = rerun::again(&plan, *seed, lost, options.isolation, options.limit)?;
            Some((*seed, told))
        });
        let again = again.collect();
        let mut case = Explored {
            plan,
            seeds: range,
            list,
            found,
            targeted,
            judgement,
            recording: None,
            again,
        };
        // At once: whoever stops the program half-way keeps the recordings of what was found until then.
        if let Some((seed, run)) = case.first_failure() {
            case.keep(seed, run, &options, program, &args.out)?;
        }
        explored.push(case);
    }
    progress.done();
    let mut blocks = String::new();
    for case in &mut explored {
        let Some((seed, run)) = case.first_failure() else {
            continue;
        };
        // Once more, with what operators log and where they panic: it costs too much to keep for every run. Not before
        // all forks are made, which would inherit what it leaves in this process.
        let run = with_logs(&case.plan.prepared, seed, run);
        let (recording, path) = case.keep(seed, run, &options, program, &args.out)?;
        blocks.push_str(&failure(&recording, output.colors));
        let path = path.display().to_string();
        blocks.push_str(&format!("  recording: {}\n\n", visible::line(&path)));
    }
    if let Some(path) = &args.rates {
        let whole = explored.iter().filter(|e| !e.stopped());
        let cases = whole.map(|e| rates_file::Case::new(&e.plan, &e.list, &e.found, &e.targeted));
        rates_file::write(path, cases.collect())?;
    }
    let results = Results {
        explored,
        elsewhere,
        left,
    };
    let code = results.exit_code();
    match args.format {
        Format::Text => {
            output.painted(&blocks);
            output.painted(&text_table(&results, output));
            output.out(&reasons(&results, &program.command));
        }
        Format::Json => output.json(&report(&results, code)),
    }
    Ok(code)
}

/// What the plans of a case show, or those of this shard.
fn targeted_of(
    plan: &Plan,
    args: &Args,
    options: &Options,
    progress: &Progress,
    on_run: &mut dyn FnMut() -> bool,
) -> Result<Targeted, Failure> {
    let single = args.seed.is_some() && args.plans == Plans::All;
    if args.plans == Plans::None || single {
        return Ok(Targeted::default());
    }
    let choose = |all: &[TargetedPlan]| {
        let mut plans = targeted::thinned(all, args.plans_at_most);
        if let Some((i, n)) = args.shard {
            let mut number = 0;
            plans.retain(|_| {
                number += 1;
                (number - 1) % n == i - 1
            });
        }
        progress.more(plans.len() as u64);
        plans
    };
    targeted::run(&plan.prepared, &plan.patterns(), options, choose, on_run).map_err(isolation)
}

fn with_seeds(plan: Plan, args: &Args) -> (Plan, SeedRange, Vec<u64>) {
    let range = match (args.seed, args.seeds) {
        (Some(seed), _) => match seed.checked_add(1) {
            Some(end) => seeds(seed..end),
            None => return (plan, seeds(seed..seed), vec![seed]),
        },
        (None, Some(range)) => range,
        (None, None) => plan.seeds,
    };
    let list = match args.shard {
        Some((i, n)) => range
            .iter()
            .filter(|s| (s - range.start) % n == i - 1)
            .collect(),
        None => range.iter().collect(),
    };
    (plan, range, list)
}

/// `dual-write.buggy.7.jsonl`
pub(super) fn file_name(header: &Header) -> String {
    let clean = |s: &str| {
        let mut name = s.replace(|c: char| !c.is_alphanumeric() && c != '-' && c != '_', "-");
        // Names that people give can be longer than those that a file may have.
        while name.len() > 100 {
            name.pop();
        }
        name
    };
    format!(
        "{}.{}.{}.jsonl",
        clean(&header.scenario),
        clean(&header.variant),
        header.input()
    )
}
