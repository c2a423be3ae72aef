//! `twins`: the cases that must hold, with many seeds, for long.
//!
//! Owns the job's state: JSON Lines, a line for each chunk of seeds that is done, so that the job goes on where it was
//! stopped, and the files of several shards make up the whole when put one after the other. A chunk that was run with
//! another version of the scenario does not count. Does not own a run, nor what seeds mean.
//!
//! Every case is run until it has had so many seeds, or so much of a core's time, whichever is first.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sim::Isolation;
use sim::operator::Operators;

use super::interrupt::{self, Interrupt};
use super::output::{self, writable_file};
use super::progress::Progress;
use super::run::{Apart, isolation, jobs, shard, span};
use super::{Failure, Format, Output, Program, paths, table};
use crate::exploration::{Options, explore};
use crate::plan::{self, Plan};
use crate::rates;

/// Seeds that are run, and noted, together.
const CHUNK: u64 = 500;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  reconverge twins scenarios --seeds 20000 --budget 10m
  reconverge twins scenarios --shard 2/8 --state shard-2.jsonl
  cat shard-*.jsonl > all.jsonl && reconverge twins scenarios --state all.jsonl --seeds 0")]
pub(super) struct Args {
    /// Scenario files, or folders that are searched
    paths: Vec<PathBuf>,
    /// How many seeds each case is run with; 0 to print what the state file has
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    seeds: u64,
    /// How much of a core's time each case is given
    #[arg(long, value_parser = span, default_value = "10m", value_name = "DURATION")]
    budget: Duration,
    /// One share of the seeds, as 2/8; its budget is that share too
    #[arg(long, value_parser = shard, value_name = "I/N")]
    shard: Option<(u64, u64)>,
    /// What is done so far: read first, and added to
    #[arg(
        long,
        default_value = "target/reconverge/twins.jsonl",
        value_name = "FILE"
    )]
    state: PathBuf,
    /// How many runs at once; as many as there are cores unless said
    #[arg(long, value_parser = jobs, value_name = "N")]
    jobs: Option<usize>,
    /// What runs share: `thread` the process, `fork` nothing
    #[arg(long, value_enum)]
    isolation: Option<Apart>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// How a chunk's line begins, and with it the file.
const BEGIN: &str = "{\"scenario\":";

/// A chunk that is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    scenario: String,
    variant: String,
    hash: String,
    /// Seeds `from..from + runs`.
    from: u64,
    runs: u64,
    /// Core time, in milliseconds.
    core_ms: u64,
    /// Failing seeds, with what failed.
    failing: BTreeMap<u64, String>,
}

pub(super) fn twins(
    program: &Program,
    operators: &Operators,
    args: &Args,
    output: &Output,
) -> Result<u8, Failure> {
    let interrupt = Interrupt::listen();
    let cases = plan::read(&paths(&args.paths, program), operators)?;
    let mut twins: Vec<Plan> = cases.into_iter().flat_map(|cases| cases.plans).collect();
    twins.retain(|plan| plan.expect.violated().is_empty());
    if twins.is_empty() {
        return Err(Failure::usage(
            "no case here must hold",
            "a twin that holds says `expect: holds`, or nothing",
        ));
    }
    let mut done = read(&args.state)?;
    writable_file(&args.state)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        jobs: args.jobs.unwrap_or(cores),
        isolation: args
            .isolation
            .map_or_else(Isolation::default, Isolation::from),
        ..Options::default()
    };
    let progress = Progress::new(args.seeds.saturating_mul(twins.len() as u64));
    for twin in &twins {
        progress.case(twin.case.title());
        work(twin, args, &options, &mut done, &progress, &interrupt)?;
    }
    progress.done();
    let interrupted = interrupt.seen();
    let code = print(&twins, &done, args, interrupted, output);
    match interrupted {
        true => Ok(interrupt::CODE),
        false => Ok(code),
    }
}

/// Runs the chunks of a case that are not done.
fn work(
    twin: &Plan,
    args: &Args,
    options: &Options,
    done: &mut Vec<Chunk>,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let (i, n) = args.shard.unwrap_or((1, 1));
    let hash = twin.hash();
    let budget_ms = u64::try_from(args.budget.as_millis()).unwrap_or(u64::MAX) / n;
    for from in (0..args.seeds).step_by(CHUNK as usize) {
        if (from / CHUNK) % n != i - 1 {
            continue;
        }
        let list: Vec<u64> = (from..args.seeds.min(from + CHUNK)).collect();
        let mine = |chunk: &&Chunk| is_of(chunk, twin, &hash);
        if interrupt.seen() {
            return Ok(());
        }
        let spent: u64 = done.iter().filter(mine).map(|c| c.core_ms).sum();
        if spent >= budget_ms {
            break;
        }
        let known = done
            .iter()
            .filter(mine)
            .any(|c| c.from == from && c.runs >= list.len() as u64);
        if known {
            list.iter().for_each(|_| progress.step());
            continue;
        }
        let before = sim::entropy::core_time();
        let on_run = &mut || {
            progress.step();
            !interrupt.seen()
        };
        let found = explore(&twin.prepared, &list, options, on_run).map_err(isolation)?;
        if found.stopped {
            // A chunk counts whole or not at all: which of its seeds were run, a line cannot say.
            return Ok(());
        }
        let spent = sim::entropy::core_time().saturating_sub(before);
        let mut failing: BTreeMap<u64, String> = BTreeMap::new();
        for seed in &found.failing {
            failing.insert(*seed, String::new());
        }
        for (property, tally) in &found.violated {
            failing.insert(tally.first_seed, property.clone());
        }
        for (seed, lost) in &found.lost {
            failing.insert(*seed, lost.to_string());
        }
        for (seed, fault) in &found.faults {
            failing.insert(*seed, format!("fault of reconverge: {fault}"));
        }
        for mismatch in &found.mismatches {
            failing.insert(mismatch.seed, "not deterministic".to_owned());
        }
        let chunk = Chunk {
            scenario: twin.case.scenario.scenario.clone(),
            variant: twin.case.variant.clone(),
            hash: hash.clone(),
            from,
            runs: found.runs,
            core_ms: u64::try_from(spent.as_millis()).unwrap_or(u64::MAX),
            failing,
        };
        note(&args.state, &chunk)?;
        done.push(chunk);
    }
    Ok(())
}

fn is_of(chunk: &Chunk, twin: &Plan, hash: &str) -> bool {
    chunk.scenario == twin.case.scenario.scenario
        && chunk.variant == twin.case.variant
        && chunk.hash == hash
}

fn read(path: &PathBuf) -> Result<Vec<Chunk>, Failure> {
    let text = match output::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(scenarios::error::Error::read(path, error, None).into()),
    };
    let mut chunks = Vec::new();
    for (i, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(chunk) => chunks.push(chunk),
            // A line may have been cut off when the job was stopped: its chunk is run again.
            Err(_) if BEGIN.starts_with(line) || line.starts_with(BEGIN) => {}
            Err(error) => {
                return Err(Failure::usage(
                    format!(
                        "{} is no state of this job: line {}: {error}",
                        path.display(),
                        i + 1
                    ),
                    "name the file that `twins --state` wrote, or one that is not there yet",
                ));
            }
        }
    }
    Ok(chunks)
}

fn note(path: &PathBuf, chunk: &Chunk) -> Result<(), Failure> {
    let failed = |error| Failure::Write {
        path: path.clone(),
        error,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let line = serde_json::to_string(chunk).unwrap_or_default();
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(failed)?;
    // A line break first: what was cut off before stays a line of its own. All in one write, so that the lines of two
    // jobs with one file do not mix.
    let line = format!("\n{line}\n");
    file.write_all(line.as_bytes()).map_err(failed)
}

fn print(twins: &[Plan], done: &[Chunk], args: &Args, interrupted: bool, output: &Output) -> u8 {
    let header = [
        "scenario",
        "variant",
        "n",
        "failed",
        "95 %",
        "core time",
        "first",
    ];
    let mut rows = table::table(output.colors, &header);
    let mut cases = Vec::new();
    let (mut all, mut failed) = (0, 0);
    let mut failures: Vec<(String, Vec<u64>)> = Vec::new();
    for twin in twins {
        let hash = twin.hash();
        let mut chunks: Vec<&Chunk> = done.iter().filter(|c| is_of(c, twin, &hash)).collect();
        // A chunk may be there twice: of two jobs with one file, or begun with fewer seeds. The longer one counts.
        chunks.sort_by_key(|chunk| (chunk.from, Reverse(chunk.runs)));
        chunks.dedup_by_key(|chunk| chunk.from);
        let n: u64 = chunks.iter().map(|c| c.runs).sum();
        let core_ms: u64 = chunks.iter().map(|c| c.core_ms).sum();
        let failing: BTreeMap<u64, &String> = chunks
            .iter()
            .flat_map(|c| c.failing.iter().map(|(s, w)| (*s, w)))
            .collect();
        let hits = failing.len() as u64;
        (all, failed) = (all + n, failed + hits);
        if hits > 0 {
            failures.push((twin.case.title(), failing.keys().copied().collect()));
        }
        let first = failing
            .iter()
            .next()
            .map_or(String::new(), |(seed, what)| format!("seed {seed}: {what}"));
        rows.add_row([
            table::words(&twin.case.scenario.scenario),
            table::words(&twin.case.variant),
            table::number(n),
            table::number(hits),
            rates::words(hits, n).into(),
            table::number(format!("{} s", core_ms / 1_000)),
            table::verdict(&first, false),
        ]);
        cases.push(serde_json::json!({
            "scenario": twin.case.scenario.scenario,
            "variant": twin.case.variant,
            "hash": hash,
            "runs": n,
            "failing": failing,
            "coreMs": core_ms,
        }));
    }
    match args.format {
        Format::Text => {
            output.painted(&table::text(&rows));
            output.out(&summary(failed, all, &failures));
            if interrupted {
                output.out("interrupted by Ctrl-C: the same command goes on from here\n");
            }
        }
        Format::Json => output.json(&serde_json::json!({
            "version": 1,
            "interrupted": interrupted,
            "runs": all,
            "failing": failed,
            "cases": cases,
        })),
    }
    u8::from(failed > 0)
}

/// What all twins together showed, and the first failing seeds of each that failed.
fn summary(failed: u64, all: u64, failures: &[(String, Vec<u64>)]) -> String {
    const NAMED: usize = 5;
    let mut text = format!("all twins together: {}\n", rates::count_words(failed, all));
    for (case, seeds) in failures {
        let first: Vec<String> = seeds.iter().take(NAMED).map(u64::to_string).collect();
        let more = match seeds.len() {
            n if n > NAMED => format!(" and {} more", n - NAMED),
            _ => String::new(),
        };
        let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
        text.push_str(&format!(
            "  {case} failed with {noun} {}{more}\n",
            first.join(", ")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_how_many_of_how_many_and_names_the_first_seeds() {
        assert_eq!(
            summary(0, 1_032_000, &[]),
            "all twins together: 0 of 1032000 (p < 0.00029 %)\n"
        );
        let failures = [
            ("dual-write (fixed)".to_owned(), vec![7]),
            ("fencing (fixed)".to_owned(), vec![3, 11, 12, 13, 14, 600]),
        ];
        assert_eq!(
            summary(7, 1_032_000, &failures),
            "all twins together: 7 of 1032000: 0.00068 % (0.00033–0.00140)\n  \
             dual-write (fixed) failed with seed 7\n  \
             fencing (fixed) failed with seeds 3, 11, 12, 13, 14 and 1 more\n"
        );
    }
}
