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
    // By name: files and lines are there only where the build has debug information.
    let by_name = backtrace.contains("a_panic_in_an_operator_is_a_finding");
    assert!(by_name, "{backtrace}");
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

mod plans {
    //! A bug that no seed finds and a plan does: the operator acts on a state that the workload soon goes on from.

    use std::sync::Arc;
    use std::time::Duration;

    use futures::StreamExt;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::{Api, Patch, PatchParams};
    use kube::runtime::{Controller, controller::Action as Next, watcher};
    use reconverge::sim::setup::{Action, PatchType, Target, WorkloadStep};
    use reconverge::sim::time::SimTime;
    use serde_json::json;

    use super::*;

    /// Notes that the first step has come: when it sees that very step, or when it sees that one or a later one.
    async fn notes(client: kube::Client, level: bool) {
        let api: Api<ConfigMap> = Api::namespaced(client, "default");
        Controller::new(api.clone(), watcher::Config::default().labels("main=yes"))
            .run(
                move |map: Arc<ConfigMap>, api: Arc<Api<ConfigMap>>| async move {
                    let step = map.data.as_ref().and_then(|data| data.get("step"));
                    let seen = step.is_some_and(|step| step == "1" || level);
                    if seen {
                        let patch = Patch::Merge(json!({"data": {"saw": "1"}}));
                        api.patch("main", &PatchParams::default(), &patch).await?;
                    }
                    Ok(Next::await_change())
                },
                |_, _: &kube::Error, _| Next::requeue(Duration::from_secs(1)),
                Arc::new(api),
            )
            .for_each(|_| std::future::ready(()))
            .await;
    }

    fn step(at_s: u64, step: &str) -> WorkloadStep {
        WorkloadStep {
            at: SimTime(at_s * 1_000_000),
            action: Action::Patch {
                target: Target {
                    api_version: "v1".into(),
                    kind: "ConfigMap".into(),
                    namespace: "default".into(),
                    name: "main".into(),
                },
                subresource: None,
                patch: PatchType::Merge,
                body: json!({"data": {"step": step}}),
            },
        }
    }

    fn sim(level: bool) -> Sim {
        Sim::new("two steps")
            .object(json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "main", "namespace": "default", "labels": {"main": "yes"}}}))
            .operator("op", 1, move |cx| notes(cx.client, level))
            .step(step(2, "1"))
            .step(step(4, "2"))
            .eventually("the first step was seen", |s| {
                let maps = s.of_kind("ConfigMap");
                maps.iter().any(|map| map.str_at(&["data", "saw"]) == "1")
            })
    }

    #[test]
    fn a_plan_finds_what_no_seed_does() {
        let found = sim(false).explore(seeds(0..60));
        assert_eq!(found.exploration().failing_runs, 0);
        let failing: Vec<&String> = found.plans().failing.keys().collect();
        assert!(!failing.is_empty());
        assert!(failing.iter().all(|plan| plan.starts_with("coalesce-")));
        let recording = found.first_failure().expect("a plan fails");
        let token = recording.token();
        assert!(token.ends_with(failing[0].as_str()), "{token}");
        let again = sim(false).replay(&token);
        let replayed = again.first_failure().expect("the replay fails too");
        assert_eq!(replayed.write(), recording.write());
        found.assert_violates("the first step was seen");
    }

    #[test]
    #[should_panic(expected = "the first step was seen failed under plan coalesce-")]
    fn a_failing_plan_is_a_failure() {
        sim(false).explore(seeds(0..10)).assert_holds();
    }

    #[test]
    fn the_twin_holds_under_every_plan() {
        let found = sim(true).explore(seeds(0..10));
        let plans = found.plans();
        assert!(plans.made > 0 && plans.held() == plans.known);
        found.assert_holds();
    }

    #[test]
    fn plans_are_chosen_by_pattern_and_thinned() {
        let made = |sim: Sim| {
            let found = sim.explore(seeds(0..2));
            let plans = found.plans();
            (plans.made, plans.known)
        };
        let (all, known) = made(sim(false));
        let of = |patterns: &[Pattern]| made(sim(false).plans(patterns.iter().copied())).0;
        assert_eq!(all, known);
        assert_eq!(Pattern::ALL.map(|one| of(&[one])).iter().sum::<u64>(), all);
        assert_eq!(of(&[]), 0);
        assert_eq!(made(sim(false).plans_at_most(3)), (3, known));
        // A single seed is run alone.
        assert_eq!(sim(false).explore(seeds(7..8)).plans().made, 0);
        sim(false).plans([]).explore(seeds(0..10)).assert_holds();
    }

    #[test]
    #[should_panic(expected = "this simulation has no plan `crash-99`")]
    fn a_plan_that_there_is_not_is_told() {
        let hash = sim(false).explore(seeds(0..2)).first_failure();
        let token = hash.expect("a plan fails").token();
        let hash = token.split('.').nth(1).expect("a hash");
        let _never = sim(false).replay(&format!("v1.{hash}.crash-99"));
    }
}

mod misbehaving {
    use std::panic::AssertUnwindSafe;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use reconverge::sim::Isolation;
    use reconverge::sim::isolation::Lost;
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    use super::*;

    fn lost(sim: Sim, limit: Duration) -> Lost {
        let found = sim
            .isolation(Isolation::Fork)
            .limit(limit)
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
        let given = Duration::from_secs(2);
        let Lost::Stuck { limit, place } = lost(spins, given) else {
            panic!("it is stuck");
        };
        assert_eq!(limit, given);
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
                // Nothing is to be dumped: that takes time, and leaves a file.
                let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
                std::process::abort();
            }
        });
        assert_eq!(lost(aborts, Duration::from_secs(60)), Lost::Killed(6));
    }
}
