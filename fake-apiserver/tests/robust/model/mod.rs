//! Model-based tests: random histories of all verbs from several clients over three lagging servers, against a reference.
//!
//! Reading order: `reference` (what must come of each step), `cluster` (sends it and checks), `watches`, `history`
//! (linearizability), `defect` (what is planted to prove that the test can fail).
//! Checked all along: answers and what they store, no-op writes that nobody hears of, reads and lists at their revision,
//! caches that show what they have seen, watches that are ordered, unique, complete and resumable, where the collector ends.

mod cluster;
mod defect;
mod history;
mod reference;
mod watches;

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use cluster::Cluster;
use defect::Defect;
use reference::{Model, Step};

/// The test of the cluster against the reference.
struct Histories;

impl StateMachineTest for Histories {
    type SystemUnderTest = Cluster;
    type Reference = Model;

    fn init_test(model: &Model) -> Cluster {
        Cluster::new(model.defect)
    }

    fn apply(mut cluster: Cluster, model: &Model, step: Step) -> Cluster {
        cluster.step(model, &step);
        cluster
    }

    fn teardown(cluster: Cluster, _: Model) {
        cluster.finish();
    }
}

fn fixed(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(11),
        ..Config::default()
    }
}

/// Histories to try; more where a longer run is asked for as in `smoke`.
fn histories() -> u32 {
    match std::env::var("RECONVERGE_FUZZ_RUNS") {
        Ok(_) => 1_500,
        Err(_) => 150,
    }
}

prop_state_machine! {
    #![proptest_config(fixed(histories()))]

    #[test]
    fn w2_histories_of_all_verbs_are_what_the_reference_says(sequential 1..100 => Histories);
}

/// Histories until one is not what the reference says; how many that took.
fn noticed(defect: Option<Defect>, histories: usize) -> Option<usize> {
    let mut runner = TestRunner::new(fixed(1));
    let strategy = Model::sequential_strategy(60..61);
    (1..=histories).find(|_| {
        let tree = strategy.new_tree(&mut runner).expect("a history");
        let (mut model, steps, _) = tree.current();
        model.defect = defect;
        let run = || Histories::test_sequential(fixed(1), model, steps, None);
        catch_unwind(AssertUnwindSafe(run)).is_err()
    })
}

#[test]
fn equal_histories_give_equal_bytes() {
    let mut runner = TestRunner::new(fixed(1));
    let strategy = Model::sequential_strategy(80..81);
    for _ in 0..10 {
        let tree = strategy.new_tree(&mut runner).expect("a history");
        let (begun, steps, _) = tree.current();
        let run = || {
            let mut model = begun.clone();
            let mut cluster = Cluster::new(None);
            for step in &steps {
                model = Model::apply(model, step);
                cluster.step(&model, step);
            }
            format!("{:?} {:?}", cluster.log, cluster.watches)
        };
        assert_eq!(run(), run());
    }
}

#[test]
fn planted_defects_are_noticed() {
    for defect in Defect::ALL {
        assert!(
            noticed(Some(defect), 40).is_some(),
            "{defect:?} goes unnoticed"
        );
    }
    assert_eq!(
        noticed(None, 40),
        None,
        "without a defect there is nothing to notice"
    );
}
