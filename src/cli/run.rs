//! `run`: explores every variant of the scenarios, prints a table and the failure block of the first failing run of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reports::failure;
use reports::recording::{Header, Recording};
use scenarios::load::{self, Case, Files};
use scenarios::quantity::{SeedRange, Span, seeds};
use serde_json::{Value as Json, json};
use sim::Isolation;
use sim::isolation::{IsolationError, Lost};
use sim::operator::Operators;
use sim::run::Run;

use super::figures::Summary;
use super::output::{writable, writable_file, write};
use super::progress::Progress;
use super::rates_file;
use super::{Failure, Format, Output, Program, list, paths, table};
use crate::exploration::{Exploration, Judgement, Options, explore, with_logs};
use crate::plan::{self, Plan};
use crate::targeted::{self, Targeted};
use crate::{rates, rerun};

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
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// What runs share: `thread` the process, `fork` nothing
    #[arg(long, value_enum)]
    isolation: Option<Apart>,
    /// A run that takes longer than this on the wall clock is given up
    #[arg(long, value_parser = span, default_value = "60s", value_name = "DURATION")]
    limit: Duration,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Where the recordings of failing runs go
    #[arg(long, default_value = "target/reconverge", value_name = "FOLDER")]
    out: PathBuf,
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

pub(super) fn shard(text: &str) -> Result<(u64, u64), String> {
    let parsed = text
        .split_once('/')
        .and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parsed {
        Some((i, n)) if 1 <= i && i <= n => Ok((i, n)),
        _ => Err("write I/N with I from 1 to N, as 2/8".to_owned()),
    }
}

/// A case that was explored.
struct Explored {
    plan: Plan,
    seeds: SeedRange,
    list: Vec<u64>,
    found: Exploration,
    judgement: Judgement,
    recording: Option<PathBuf>,
    targeted: Targeted,
    /// What became of seeds that never came back, by seed: in sentences.
    again: BTreeMap<u64, String>,
}

impl Explored {
    /// The first failing run, if one failed: that of a plan where all must hold, else that of a seed.
    fn first_failure(&self) -> Option<(u64, Run)> {
        let held = self.plan.expect.violated().is_empty();
        let of_plan = || self.targeted.first_failure.clone().map(|(_, run)| (0, run));
        let by_seed = self.found.first_failure.clone();
        match held {
            true => of_plan().or(by_seed),
            false => by_seed.or_else(of_plan),
        }
    }

    /// Writes a run's recording into a folder.
    fn keep(
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

pub(super) fn run(
    program: &Program,
    operators: &Operators,
    args: &Args,
    output: &Output,
) -> Result<u8, Failure> {
    let mut plans = Vec::new();
    let mut elsewhere = Vec::new();
    for path in load::find(&paths(&args.paths, program))? {
        let cases = plan::cases(&path, &Files::Disk, operators)?;
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
    let mut explored = Vec::new();
    for (plan, range, list) in work {
        progress.case(plan.case.title());
        let targeted = targeted_of(&plan, args, &options, &progress)?;
        let list = match args.plans {
            Plans::Only => Vec::new(),
            Plans::All | Plans::None => list,
        };
        let found =
            explore(&plan.prepared, &list, &options, &mut || progress.step()).map_err(isolation)?;
        let judgement = found.judge(&plan.expect, list.len() < 2);
        let judgement = judgement.and(targeted.reasons(&plan.expect));
        let again = found.lost.iter().filter_map(|(seed, lost)| {
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
        blocks.push_str(&format!("  recording: {}\n\n", path.display()));
    }
    if let Some(path) = &args.rates {
        let cases = explored
            .iter()
            .map(|e| rates_file::Case::new(&e.plan, &e.list, &e.found, &e.targeted));
        rates_file::write(path, cases.collect())?;
    }
    let code = exit_code(&explored);
    let reasons = reasons(&explored, &program.command);
    match args.format {
        Format::Text => {
            output.out(&blocks);
            output.out(&text_table(&explored, &elsewhere, output));
            output.out(&reasons);
        }
        Format::Json => output.out(&format!("{:#}\n", report(&explored, &elsewhere, code))),
    }
    Ok(code)
}

/// What the plans of a case show, or those of this shard.
fn targeted_of(
    plan: &Plan,
    args: &Args,
    options: &Options,
    progress: &Progress,
) -> Result<Targeted, Failure> {
    let single = args.seed.is_some() && args.plans == Plans::All;
    if args.plans == Plans::None || single {
        return Ok(Targeted::default());
    }
    let all = targeted::plans_of(&plan.prepared, &plan.patterns(), options).map_err(isolation)?;
    let mut plans = targeted::thinned(&all, args.plans_at_most);
    if let Some((i, n)) = args.shard {
        let mut number = 0;
        plans.retain(|_| {
            number += 1;
            (number - 1) % n == i - 1
        });
    }
    progress.more(plans.len() as u64);
    let found = targeted::explore(&plan.prepared, &plans, options, &mut || progress.step());
    let mut found = found.map_err(isolation)?;
    found.known = all.len() as u64;
    Ok(found)
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
    let clean = |s: &str| s.replace(|c: char| !c.is_alphanumeric() && c != '-' && c != '_', "-");
    format!(
        "{}.{}.{}.jsonl",
        clean(&header.scenario),
        clean(&header.variant),
        header.input()
    )
}

fn exit_code(explored: &[Explored]) -> u8 {
    let any = |f: &dyn Fn(&Explored) -> bool| explored.iter().any(f);
    if any(&|e| !e.found.faults.is_empty()) {
        4
    } else if any(&|e| !e.found.mismatches.is_empty() || !e.targeted.mismatches.is_empty()) {
        3
    } else if any(&|e| e.judgement != Judgement::Expected) {
        1
    } else {
        0
    }
}

fn verdict(case: &Explored) -> &'static str {
    if !case.found.faults.is_empty() {
        "fault"
    } else if !case.found.mismatches.is_empty() || !case.targeted.mismatches.is_empty() {
        "not deterministic"
    } else if case.judgement != Judgement::Expected {
        "unexpected"
    } else if case.plan.expect.violated().is_empty() {
        "holds"
    } else {
        "caught"
    }
}

fn text_table(explored: &[Explored], elsewhere: &[Case], output: &Output) -> String {
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
    for case in explored {
        let found = &case.found;
        let failed: Vec<String> = found
            .violated
            .iter()
            .map(|(property, tally)| format!("{property} {}", rates::words(tally.runs, found.runs)))
            .collect();
        let none = || match found.runs {
            0 => "–".to_owned(),
            runs => rates::words(0, runs),
        };
        let first = rates::seeds_to_failure(&case.list, &found.failing)
            .map_or("–".to_owned(), |(median, p90)| {
                format!("{median} / {p90}")
            });
        let word = verdict(case);
        rows.add_row([
            case.plan.case.scenario.scenario.as_str().into(),
            case.plan.case.variant.as_str().into(),
            table::number(found.runs),
            if failed.is_empty() {
                none().into()
            } else {
                failed.join("\n").into()
            },
            table::number(first),
            table::number(case.targeted.words()),
            list::expects(&case.plan.expect).into(),
            table::verdict(word, matches!(word, "holds" | "caught")),
        ]);
    }
    for case in elsewhere {
        let expects = case.scenario.expect.as_ref().map(list::expects);
        rows.add_row([
            case.scenario.scenario.as_str().into(),
            case.variant.as_str().into(),
            table::number("–"),
            "–".into(),
            table::number("–"),
            table::number("–"),
            expects.unwrap_or_default().into(),
            not_run(case).into(),
        ]);
    }
    let mut text = table::text(&rows);
    for case in explored {
        for (name, of) in figures(&case.found) {
            text.push_str(&format!("{} · {name}: {of}\n", case.plan.case.title()));
        }
    }
    if explored.iter().any(|case| case.list.len() > 1) {
        text.push_str(LEGEND);
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
fn reasons(explored: &[Explored], command: &str) -> String {
    let mut text = String::new();
    for case in explored {
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
    let (low, high) = rates::interval(case.found.failing_runs, case.found.runs);
    json!([low, high])
}

fn report(explored: &[Explored], elsewhere: &[Case], code: u8) -> Json {
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
    let other = |case: &Case| {
        json!({
            "file": case.path.display().to_string(),
            "scenario": case.scenario.scenario,
            "variant": case.variant,
            "engine": case.scenario.engine.name(),
            "verdict": not_run(case),
        })
    };
    json!({
        "version": 1,
        "reconverge": crate::VERSION,
        "exitCode": code,
        "cases": explored.iter().map(case).collect::<Vec<_>>(),
        "elsewhere": elsewhere.iter().map(other).collect::<Vec<_>>(),
    })
}
