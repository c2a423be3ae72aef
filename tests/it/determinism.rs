//! The same seed gives the same bytes: twice in a process, in several threads, and in new processes.

use std::path::Path;

use operators::all;
use reconverge::exploration::{Options, compare, explore, run_to_show};
use reconverge::plan::{Plan, plan};
use reconverge::reports::Recording;
use reconverge::scenarios::load::Files;
use reconverge::sim::run::Prepared;

use crate::program::{err, files, folder, out, reconverge};

const RACES: [&str; 6] = [
    "duplicate-create",
    "status-spec-tear",
    "finalizer-vs-cleanup",
    "dual-write",
    "dual-write-put",
    "informer-lag",
];

fn race(name: &str, variant: &str) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/races/{name}.yaml"));
    plan(&path, Some(variant), &Files::Disk, &all())
        .unwrap_or_else(|e| panic!("{}", e.render(false)))
}

fn fingerprint(plan: &Plan, seed: u64) -> String {
    run_to_show(&plan.prepared, seed)
        .unwrap_or_else(|e| panic!("{e}"))
        .fingerprint()
        .to_string()
}

#[test]
fn tokio_takes_a_seed_for_select() {
    let displaces = ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS"]
        .into_iter()
        .find(|name| std::env::var_os(name).is_some());
    let takes = cfg!(tokio_unstable);
    assert!(
        takes,
        "built without `--cfg tokio_unstable`, on which other tests rely: {} displaced .cargo/config.toml",
        displaces
            .unwrap_or("another configuration, or a working directory outside the repository,")
    );
}

#[test]
fn every_race_is_the_same_twice_in_one_process() {
    for name in RACES {
        for variant in ["buggy", "fixed"] {
            let plan = race(name, variant);
            for seed in 0..8 {
                let run = |_| {
                    run_to_show(&plan.prepared, seed)
                        .unwrap_or_else(|e| panic!("{name} {variant} {seed}: {e}"))
                };
                let (first, second) = (run(1), run(2));
                if let Some(mismatch) = compare(seed, &first, &second) {
                    panic!("{name} {variant} seed {seed}: {}", mismatch.difference);
                }
            }
        }
    }
}

#[test]
fn threads_do_not_disturb_each_other() {
    let plan = race("dual-write", "buggy");
    let seeds: Vec<u64> = (0..24).collect();
    let alone: Vec<String> = seeds.iter().map(|s| fingerprint(&plan, *s)).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let here: Vec<String> = seeds.iter().map(|s| fingerprint(&plan, *s)).collect();
                assert_eq!(here, alone);
            });
        }
    });
}

#[test]
fn the_number_of_threads_changes_no_result() {
    let plan = race("dual-write", "buggy");
    let seeds: Vec<u64> = (0..40).collect();
    let summary = |threads| {
        let options = Options {
            jobs: threads,
            ..Options::default()
        };
        let found =
            explore(&plan.prepared, &seeds, &options, &mut || true).expect("threads can be made");
        (
            found.runs,
            found.violated,
            found.failing_runs,
            found
                .first_failure
                .map(|(seed, run)| (seed, run.fingerprint())),
        )
    };
    assert_eq!(summary(1), summary(4));
}

#[test]
fn seeds_differ() {
    let plan = race("dual-write", "buggy");
    let mut all: Vec<String> = (1..21).map(|s| fingerprint(&plan, s)).collect();
    all.sort();
    all.dedup();
    assert!(all.len() > 15, "20 seeds gave only {} runs", all.len());
}

#[test]
fn properties_only_read() {
    let plan = race("dual-write", "buggy");
    let mut setup = plan.prepared.setup().clone();
    setup.properties.clear();
    let mut without = plan.clone();
    without.prepared = Prepared::new(setup).expect("the objects are the same");
    for seed in 0..6 {
        let upto = |plan: &Plan| {
            let run = run_to_show(&plan.prepared, seed).unwrap_or_else(|e| panic!("{e}"));
            run.trace
        };
        let (with, without) = (upto(&plan), upto(&without));
        assert_eq!(
            with.fingerprint(),
            without.fingerprint(),
            "seed {seed}: {:?}",
            with.first_difference(&without)
        );
    }
}

#[test]
fn a_replay_is_the_same_in_a_new_process() {
    for (name, seed) in [
        ("dual-write", "7"),
        ("informer-lag", "3"),
        ("finalizer-vs-cleanup", "2"),
    ] {
        let path = format!("scenarios/races/{name}.yaml");
        let replayed = |n: u32| {
            let folder = folder(&format!("replay-{name}-{n}"));
            let arg = folder.display().to_string();
            let output = reconverge(&[
                "replay",
                &path,
                "--variant",
                "buggy",
                "--seed",
                seed,
                "--out",
                &arg,
            ]);
            assert!(
                matches!(output.status.code(), Some(0 | 1)),
                "{}",
                err(&output)
            );
            let (_, recording) = files(&folder).pop().expect("a recording was written");
            let text = String::from_utf8(recording.clone()).expect("UTF-8");
            Recording::read(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            (out(&output), recording)
        };
        let (first, second) = (replayed(1), replayed(2));
        assert_eq!(first.0, second.0, "the timelines differ");
        assert!(first.1 == second.1, "the recordings differ");
    }
}

#[test]
fn a_run_in_this_process_is_the_run_of_the_program() {
    let plan = race("dual-write", "buggy");
    let folder = folder("replay-here");
    let arg = folder.display().to_string();
    let output = reconverge(&[
        "replay",
        "scenarios/races/dual-write.yaml",
        "--variant",
        "buggy",
        "--seed",
        "11",
        "--out",
        &arg,
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let (_, bytes) = files(&folder).pop().expect("a recording was written");
    let recording =
        Recording::read(&String::from_utf8(bytes).expect("UTF-8")).expect("a recording");
    assert_eq!(
        recording.trace.fingerprint().to_string(),
        fingerprint(&plan, 11)
    );
    assert_eq!(recording.header.scenario_hash, plan.hash());
}

#[test]
fn a_recording_replays_without_its_files() {
    let folder = folder("replay-recording");
    let arg = folder.display().to_string();
    let args = [
        "replay",
        "scenarios/races/dual-write.yaml",
        "--variant",
        "buggy",
        "--seed",
        "5",
        "--out",
        &arg,
    ];
    let first = reconverge(&args);
    assert_eq!(first.status.code(), Some(0), "{}", err(&first));
    let (path, before) = files(&folder).pop().expect("a recording was written");
    let second = reconverge(&["replay", &path.display().to_string(), "--out", &arg]);
    assert_eq!(second.status.code(), Some(0), "{}", err(&second));
    assert_eq!(out(&first), out(&second));
    assert!(
        files(&folder) == [(path, before)],
        "the recording was written anew, the same"
    );
}
