//! Scenario files as test cases: what [`scenario_tests!`](crate::scenario_tests) expands to.
//!
//! Owns a test binary's main function: one case per file and variant, in libtest's dialect (`--list`, filters, nextest),
//! and the whole command line after `--`. Does not own running (`exploration`).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use reports::{Colors, failure};
use scenarios::quantity::{SeedRange, seeds};
use sim::Isolation;
use sim::operator::Operators;
use sim::targeted::TargetedPlan;
use sim::visible;

use crate::cli::{self, Program};
use crate::exploration::{Judgement, Options, explore, with_logs};
use crate::plan::{self, Plan};
use crate::{rerun, targeted};

/// How many seeds a case runs under `cargo test`; `RECONVERGE_SEEDS` says otherwise.
const TEST_SEEDS: u64 = 200;

/// Makes a test binary (`harness = false`) of a folder of scenario files.
///
/// ```no_run
/// fn operators() -> reconverge::prelude::Operators {
///     reconverge::prelude::Operators::new()
/// }
///
/// reconverge::scenario_tests!("scenarios/", operators());
/// # // The macro makes `main`.
/// ```
#[macro_export]
macro_rules! scenario_tests {
    ($folder:expr, $operators:expr) => {
        fn main() -> ::std::process::ExitCode {
            $crate::harness::main(
                $folder,
                env!("CARGO_MANIFEST_DIR"),
                env!("CARGO_PKG_NAME"),
                env!("CARGO_CRATE_NAME"),
                $operators,
            )
        }
    };
}

/// The main function of a test binary.
pub fn main(
    folder: &str,
    package_dir: &str,
    package: &str,
    binary: &str,
    operators: Operators,
) -> ExitCode {
    let folder = match Path::new(folder).exists() {
        true => PathBuf::from(folder),
        false => Path::new(package_dir).join(folder),
    };
    let program = Program {
        command: format!("cargo test -p {package} --test {binary} --"),
        folder,
    };
    let first = std::env::args().nth(1).unwrap_or_default();
    if cli::subcommands().contains(&first) {
        return cli::run(&program, &operators, std::env::args_os());
    }
    let mut arguments = Arguments::from_args();
    if Isolation::default() == Isolation::Fork {
        // A process with other threads at work cannot be forked: cases run one by one, on the main thread.
        arguments.test_threads = Some(1);
    }
    match trials(&program, &operators) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            // Under `--list` too: a broken scenario file must not look like an empty folder.
            cli::report(&error);
            ExitCode::from(2)
        }
    }
}

fn trials(program: &Program, operators: &Operators) -> scenarios::error::Result<Vec<Trial>> {
    let mut trials = Vec::new();
    let read = plan::read(std::slice::from_ref(&program.folder), operators)?;
    for plan in read.into_iter().flat_map(|cases| cases.plans) {
        let name = case_name(&plan, &program.folder);
        let command = program.command.clone();
        trials.push(Trial::test(name, move || test(&plan, &command)));
    }
    Ok(trials)
}

/// `races/dual-write::buggy`: the file under the folder, and the variant.
fn case_name(plan: &Plan, folder: &Path) -> String {
    let path = plan
        .path()
        .strip_prefix(folder)
        .unwrap_or(plan.path())
        .with_extension("");
    format!("{}::{}", path.display(), plan.case.variant)
}

/// On threads the test runner already runs as many cases at once as there are cores; forks run at once themselves.
fn options() -> Options {
    let isolation = Isolation::default();
    let jobs = match isolation {
        Isolation::Thread => 1,
        Isolation::Fork => std::thread::available_parallelism().map_or(1, usize::from),
    };
    Options {
        jobs,
        isolation,
        ..Options::default()
    }
}

fn test(plan: &Plan, command: &str) -> Result<(), Failed> {
    let range = test_seeds(plan)?;
    let list: Vec<u64> = range.iter().collect();
    let options = options();
    let found = explore(&plan.prepared, &list, &options, &mut || true)
        .map_err(|error| error.to_string())?;
    let mut message = String::new();
    if list.len() > 1 {
        message.push_str(&targeted(plan, &options, command)?);
    }
    for (seed, fault) in &found.faults {
        message.push_str(&format!("fault of reconverge at seed {seed}: {fault}\n"));
    }
    for mismatch in &found.mismatches {
        message.push_str(&format!(
            "seed {} is not deterministic, {}\n",
            mismatch.seed, mismatch.difference
        ));
    }
    if let Judgement::Unexpected(reasons) = found.judge(&plan.expect, list.len() == 1) {
        for reason in reasons {
            message.push_str(&reason);
            message.push('\n');
        }
        for (seed, lost) in &found.lost {
            if let Some(again) = rerun::again(plan, *seed, lost, options.isolation, options.limit) {
                let replay = plan.replay_command(*seed, command);
                message.push_str(&format!("  seed {seed}: {again}\n  replay: {replay}\n"));
            }
        }
        if let Some((seed, run)) = found.first_failure {
            let run = with_logs(&plan.prepared, seed, run);
            message.push('\n');
            message.push_str(&failure(
                &plan.record(seed, run, options.isolation, command),
                Colors::Off,
            ));
        }
    }
    match message.is_empty() {
        true => Ok(()),
        false => Err(visible::text(&message).into()),
    }
}

/// What the targeted plans say against a case; nothing if all is as expected.
fn targeted(plan: &Plan, options: &Options, command: &str) -> Result<String, Failed> {
    let (prepared, patterns) = (&plan.prepared, plan.patterns());
    let choose = |all: &[TargetedPlan]| targeted::thinned(all, targeted::TEST_PLANS);
    let found = targeted::run(prepared, &patterns, options, choose, &mut || true);
    let found = found.map_err(|error| error.to_string())?;
    let mut message = String::new();
    for (name, difference) in &found.mismatches {
        message.push_str(&format!("plan {name} is not deterministic, {difference}\n"));
    }
    let reasons = found.reasons(&plan.expect);
    for reason in &reasons {
        message.push_str(&format!("{reason}\n"));
    }
    if let Some((_, run)) = found.first_failure.filter(|_| !reasons.is_empty()) {
        let run = with_logs(&plan.prepared, 0, run);
        let recording = plan.record(0, run, options.isolation, command);
        message.push_str(&format!("\n{}", failure(&recording, Colors::Off)));
    }
    Ok(message)
}

/// `RECONVERGE_SEED`, else `RECONVERGE_SEEDS`, else the first 200 of the file.
fn test_seeds(plan: &Plan) -> Result<SeedRange, Failed> {
    let said = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    if let Some(seed) = said("RECONVERGE_SEED") {
        let bad = || {
            Failed::from(format!(
                "RECONVERGE_SEED={seed} is not a seed below 2^64 - 1"
            ))
        };
        let seed: u64 = seed.parse().map_err(|_| bad())?;
        return Ok(seeds(seed..seed.checked_add(1).ok_or_else(bad)?));
    }
    if let Some(range) = said("RECONVERGE_SEEDS") {
        return range
            .parse()
            .map_err(|e: String| Failed::from(format!("RECONVERGE_SEEDS: {e}")));
    }
    let end = plan
        .seeds
        .end
        .min(plan.seeds.start.saturating_add(TEST_SEEDS));
    Ok(seeds(plan.seeds.start..end))
}
