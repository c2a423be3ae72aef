//! Every fault at once: correct operators hold, equal seeds give equal runs, and properties only read.

use super::*;

/// Faults of every kind at once.
pub(super) fn stormy(mut setup: Setup) -> Setup {
    let second = DurationRange::ms(100, 5_000);
    let anything = crate::setup::RequestFilter::default;
    setup.servers = 2;
    setup.faults = FaultPlan {
        at_most: 4,
        from: vec![
            Fault::Crash {
                operator: None,
                after: crate::setup::CrashPoint::AnyWrite,
                restart: second,
            },
            Fault::Crash {
                operator: None,
                after: crate::setup::CrashPoint::AnyDelivery,
                restart: second,
            },
            Fault::LoseReply { on: anything() },
            Fault::Refuse {
                on: anything(),
                status: 409,
                retry_after_s: None,
            },
            Fault::Refuse {
                on: anything(),
                status: 429,
                retry_after_s: Some(1),
            },
            Fault::Refuse {
                on: anything(),
                status: 500,
                retry_after_s: None,
            },
            Fault::Refuse {
                on: anything(),
                status: 503,
                retry_after_s: None,
            },
            Fault::DropWatch {
                kind: None,
                operator: None,
            },
            Fault::ExpireWatch {
                kind: None,
                operator: None,
            },
            Fault::SilenceWatch {
                kind: None,
                operator: None,
                lasting: second,
            },
            Fault::Lag {
                kind: None,
                server: None,
                lasting: second,
            },
            Fault::Pause {
                operator: None,
                lasting: second,
            },
            Fault::ClockSkew {
                operator: None,
                by: crate::time::SkewRange {
                    min_us: -5_000_000,
                    max_us: 5_000_000,
                },
            },
        ],
    };
    setup.workload = vec![
        poke(1_000, json!({"metadata": {"annotations": {"a": "1"}}})),
        poke(3_000, json!({"metadata": {"annotations": {"a": "2"}}})),
    ];
    setup
}

#[test]
fn correct_operators_hold_in_every_storm() {
    check(stormy(setup(maps(|_, ctx| sign(ctx, true)), 2)), None);
    check(
        stormy(setup(maps(|map, ctx| ensure_child(map, ctx, true)), 2)),
        None,
    );
}

#[test]
fn a_storm_is_the_same_again_by_seed_by_tape_and_on_parallel_threads() {
    let prepared =
        Prepared::new(stormy(setup(maps(|_, ctx| sign(ctx, false)), 2))).expect("a setup");
    let first: Vec<Run> = (0..30)
        .map(|seed| prepared.run(&Input::Seed(seed), RunOptions::default()))
        .collect();
    let distinct: BTreeSet<_> = first.iter().map(Run::fingerprint).collect();
    assert!(
        distinct.len() > 25,
        "{} of 30 runs are distinct",
        distinct.len()
    );
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for (seed, want) in first.iter().enumerate() {
                    for input in [
                        Input::Seed(seed as u64),
                        Input::Tape(want.trace.tape.clone()),
                    ] {
                        let got = prepared.run(&input, RunOptions::default());
                        if let Some(at) = got.trace.first_difference(&want.trace) {
                            panic!(
                                "seed {seed}: {:#?}\n{:#?}",
                                want.trace.records.get(at),
                                got.trace.records.get(at)
                            );
                        }
                        assert!(!got.diverged);
                        assert_eq!(got.trace.tape, want.trace.tape);
                    }
                }
            });
        }
    });
}

fn fingerprints(setup: Setup, seeds: u64) -> Vec<crate::trace::Fingerprint> {
    let runs = runs(setup, 0..seeds);
    runs.iter().map(Run::fingerprint).collect()
}

/// A storm with every built-in property, conventions among them.
fn with_all() -> Setup {
    let mut setup = stormy(setup(maps(|_, ctx| sign(ctx, false)), 2));
    setup.properties = crate::property::all_names().filter_map(builtin).collect();
    setup
}

#[test]
fn properties_only_read() {
    let with = with_all();
    let without = Setup {
        properties: Vec::new(),
        ..with.clone()
    };
    assert_eq!(fingerprints(with, 20), fingerprints(without, 20));
}

#[test]
fn each_property_alone_only_reads() {
    let with = with_all();
    let want = fingerprints(with.clone(), 6);
    for property in with.properties.clone() {
        let name = property.name.clone();
        let alone = Setup {
            properties: vec![property],
            ..with.clone()
        };
        assert_eq!(fingerprints(alone, 6), want, "{name} changes the run");
    }
}

#[test]
fn no_choice_of_properties_changes_a_run() {
    let with = with_all();
    let want = fingerprints(with.clone(), 3);
    // Halves, quarters, eighths, …: any two properties are together in one choice and apart in another.
    for bit in 0..5 {
        for on in [0, 1] {
            let numbered = with.properties.iter().enumerate();
            let chosen = numbered.filter(|(number, _)| (number >> bit) & 1 == on);
            let some = Setup {
                properties: chosen.map(|(_, property)| property.clone()).collect(),
                ..with.clone()
            };
            assert_eq!(fingerprints(some, 3), want, "bit {bit} is {on}");
        }
    }
}
