//! Operators that never give up their thread, under the command line of a test binary without a harness.
//!
//! Such a run is given up, and the binary calls itself for that seed under isolation `fork`: so this is a binary of its
//! own, whose main function is the command line when it is called with a subcommand, and the tests otherwise.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU32, Ordering};

use libtest_mimic::{Arguments, Failed, Trial};
use reconverge::cli::{self, Program};
use reconverge::prelude::*;

/// The limit where every run spins: each needs it only to get there.
const SHORT: &str = "3s";
/// The limit where a run must come to its end, beside what spins in the other tests.
const LONG: &str = "15s";

fn operators() -> Operators {
    Operators::new()
        .add("spins", |cx: OperatorContext| async move {
            read_then_spin(&cx, || true).await
        })
        .add(
            "spins-at-the-second-run",
            |cx: OperatorContext| async move {
                // What the runs of one process share: a fork begins without it.
                static RUNS: AtomicU32 = AtomicU32::new(0);
                let run = RUNS.fetch_add(1, Ordering::Relaxed);
                read_then_spin(&cx, || run > 0).await
            },
        )
}

/// Reads a ConfigMap, then never gives up its thread.
async fn read_then_spin(cx: &OperatorContext, spins: impl Fn() -> bool) {
    let maps = kube::Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(
        cx.client.clone(),
        &cx.namespace,
    );
    let _ = maps.get_opt("shared").await;
    while spins() {
        std::hint::spin_loop();
    }
    std::future::pending().await
}

fn main() -> ExitCode {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/misbehaving"));
    let program = Program {
        command: "cargo test -p reconverge --test misbehaving --".to_owned(),
        folder,
    };
    if std::env::args()
        .nth(1)
        .is_some_and(|first| first == "run" || first == "replay")
    {
        return cli::run(&program, &operators(), std::env::args_os());
    }
    let trials = vec![
        Trial::test("a_stuck_run_is_confirmed_under_fork", confirmed),
        Trial::test("a_replay_that_is_stuck_is_confirmed", replayed),
        Trial::test("plans_that_cannot_be_made_are_told", planless),
        Trial::test("what_runs_share_is_told_apart", shared),
        Trial::test("under_fork_the_process_is_killed", killed),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What this binary's command line says of runs that are given up after this time: nothing that was expected.
fn unexpected(limit: &str, command: &str, variant: &str, args: &[&str]) -> String {
    let case = [
        command,
        "tests/misbehaving/spins.yaml",
        "--variant",
        variant,
    ];
    let out = format!("{}/misbehaving", env!("CARGO_TARGET_TMPDIR"));
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command.args(case).args(args);
    command.args(["--limit", limit, "--out", &out]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    for name in ["RECONVERGE_SEED", "RECONVERGE_SEEDS", "RECONVERGE_LOG"] {
        command.env_remove(name);
    }
    let output = command.output().expect("this binary can be called");
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8(said).expect("output is UTF-8");
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

fn says(said: &str, wanted: &[&str]) -> Result<(), Failed> {
    let missing: Vec<_> = wanted
        .iter()
        .filter(|part| !said.contains(**part))
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(format!("{missing:?} is not in:\n{said}").into()),
    }
}

fn confirmed() -> Result<(), Failed> {
    let args = ["--seeds", "3", "--jobs", "1", "--isolation", "thread"];
    let said = unexpected(SHORT, "run", "alone", &args);
    // A run without a verdict says nothing about rates.
    assert!(!said.contains("0 of 3"), "{said}");
    says(
        &said,
        &[
            "seed 0 gave no verdict: replica spinner-0 never gave up its thread: the run was given up after 3 s; the last \
             event before it, at ",
            "the reply 404 to get configmaps/default/shared",
            "  seed 0: run again under isolation `fork` its process did not end within 3 s either and was killed",
            "  replay: cargo test -p reconverge --test misbehaving -- replay tests/misbehaving/spins.yaml --variant alone \
             --seed 0",
        ],
    )
}

fn planless() -> Result<(), Failed> {
    let said = unexpected(SHORT, "run", "alone", &["--plans", "only"]);
    let wanted =
        "seed 0, whose run the plans are made from, gave no verdict: replica spinner-0 never";
    says(&said, &[wanted])
}

fn replayed() -> Result<(), Failed> {
    let said = unexpected(SHORT, "replay", "alone", &["--seed", "5"]);
    let wanted = [
        "seed 5 gave no verdict: replica spinner-0 never",
        "was killed",
    ];
    says(&said, &wanted)
}

fn shared() -> Result<(), Failed> {
    // Of this seed alone, for each run after the first of a process spins: it is one that is checked by a second run, and
    // that one is stuck beside the first. Its runs that come to their end do so within the limit on a busy machine, too.
    let args = ["--seed", "0", "--isolation", "thread"];
    let said = unexpected(LONG, "run", "beside-others", &args);
    says(
        &said,
        &[
            "seed 0 gave no verdict the second time: replica spinner-0 never",
            "it comes to its end (every property holds): it gets stuck only beside other runs",
        ],
    )
}

fn killed() -> Result<(), Failed> {
    let said = unexpected(
        SHORT,
        "run",
        "alone",
        &["--seed", "4", "--isolation", "fork"],
    );
    let wanted = [
        "seed 4 gave no verdict: replica spinner-0 never gave up its thread",
        "the reply 404 to get configmaps/default/shared",
        "seed 4: its process was killed",
    ];
    says(&said, &wanted)
}
