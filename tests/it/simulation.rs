//! [`Sim`] as a user's tests use it, on the catalogue's operators.

use operators::all;
use operators::races::dual_write;
use reconverge::prelude::*;
use reconverge::simulation::assert_deterministic;

fn dual_write(variant: &str) -> Sim {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/scenarios/races/dual-write.yaml"
    );
    Sim::scenario(path).variant(variant).operators(all())
}

#[test]
fn the_buggy_twin_is_caught_and_the_fixed_one_holds() {
    dual_write("buggy")
        .explore(seeds(0..60))
        .assert_violates("no-lost-update");
    dual_write("fixed").explore(seeds(0..60)).assert_holds();
}

#[test]
fn an_operator_in_code_goes_before_the_file() {
    dual_write("buggy")
        .operator("webapp", 2, |cx| dual_write::fixed(cx.client, cx.identity))
        .explore(seeds(0..30))
        .assert_holds();
}

#[test]
fn a_token_replays_one_seed() {
    let found = dual_write("buggy").explore(seeds(0..60));
    let failure = found.first_failure().expect("the buggy twin fails");
    let again = dual_write("buggy").replay(&failure.token());
    let replayed = again.first_failure().expect("the replay fails too");
    assert_eq!(replayed.write(), failure.write());
    again.assert_violates("no-lost-update");
}

#[test]
#[should_panic(expected = "is of another simulation")]
fn a_token_of_another_simulation_is_refused() {
    let _never = dual_write("buggy").replay("v1.00000000.1");
}

#[test]
#[should_panic(expected = "unknown operator `dual_write::buggy`")]
fn an_unregistered_operator_is_named() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/scenarios/races/dual-write.yaml"
    );
    let _never = Sim::scenario(path).run(1);
}

#[test]
fn a_simulation_is_deterministic() {
    assert_deterministic(&dual_write("buggy"), 3);
}

#[test]
fn a_panic_in_an_operator_is_a_finding() {
    let found = Sim::new("panics")
        .operator("fragile", 2, |cx| async move {
            assert!(cx.identity != "fragile-1", "one of two gives up");
        })
        .explore(seeds(0..4));
    assert_eq!(found.exploration().violated["no-panic"].runs, 4);
    let recording = found.first_failure().expect("it fails");
    let finding = &recording.verdict.findings[0];
    assert!(
        finding.message.contains("one of two gives up"),
        "{}",
        finding.message
    );
    let replica = finding.replica.expect("the replica is named");
    assert_eq!(recording.header.replicas[replica.0 as usize], "fragile-1");
    let backtrace = finding.detail.as_deref().unwrap_or_default();
    assert!(backtrace.contains("simulation.rs"), "{backtrace}");
}

#[test]
fn closures_watch_every_run() {
    let sim = || {
        dual_write("fixed").sometimes("both replicas have acknowledged", |s| {
            s.list::<operators::webapp::WebApp>().iter().any(|app| {
                let names = app.status.as_ref().and_then(|s| s.acknowledged_by.as_ref());
                names.is_some_and(|names| names.len() == 2)
            })
        })
    };
    sim()
        .eventually("the app is still there", |s| s.of_kind("WebApp").len() == 1)
        .explore(seeds(0..10))
        .assert_holds();
    sim()
        .always("nobody writes", |s| {
            s.trace.records.iter().all(|r| r.event.changes().is_empty())
        })
        .explore(seeds(0..3))
        .assert_violates("nobody writes");
}

#[test]
#[should_panic(expected = "`the moon is full` came true in none of 3 runs")]
fn what_never_comes_true_is_told() {
    dual_write("fixed")
        .sometimes("the moon is full", |_| false)
        .explore(seeds(0..3))
        .assert_holds();
}

mod misbehaving {
    use std::panic::AssertUnwindSafe;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use reconverge::sim::Isolation;
    use reconverge::sim::isolation::Lost;

    use super::*;

    fn lost(sim: Sim) -> Lost {
        let found = sim
            .isolation(Isolation::Fork)
            .limit(Duration::from_secs(2))
            .explore(seeds(0..1));
        found.exploration().lost[&0].clone()
    }

    #[test]
    fn an_endless_loop_is_told_apart_from_a_finding() {
        let spins = Sim::new("spins").operator("spinning", 1, |cx| async move {
            while !cx.name.is_empty() {
                std::hint::spin_loop();
            }
        });
        let Lost::Stuck { seconds: 2, place } = lost(spins) else {
            panic!("it is stuck");
        };
        let place = place.expect("it ran");
        assert_eq!(place.replica.as_deref(), Some("spinning-0"));
        assert_eq!(place.event, "its process had started");
    }

    #[test]
    fn in_a_test_on_threads_a_sentence_says_what_to_do() {
        static OVER: AtomicBool = AtomicBool::new(false);
        let explored = Sim::new("spins")
            .operator("spinning", 1, |_| async {
                while !OVER.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
            .isolation(Isolation::Thread)
            .limit(Duration::from_secs(1))
            .explore(seeds(0..1));
        OVER.store(true, Ordering::Relaxed);
        let panic = std::panic::catch_unwind(AssertUnwindSafe(|| explored.assert_holds()));
        let panic = panic.expect_err("it gave no verdict");
        let text = panic.downcast_ref::<String>().expect("a text");
        let help = "help: run it again with .isolation(Isolation::Fork)";
        assert!(text.contains(help), "{text}");
    }

    #[test]
    fn an_abort_ends_its_run_alone() {
        let aborts = Sim::new("aborts").operator("aborting", 1, |cx| async move {
            if !cx.name.is_empty() {
                std::process::abort();
            }
        });
        assert_eq!(lost(aborts), Lost::Killed(6));
    }
}
