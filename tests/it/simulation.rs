//! [`Sim`] as a user's tests use it, on the catalogue's operators.

use operators::{all, dual_write};
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
