//! Targeted plans: each pattern finds the operator that is blind to it, and not the one that is not.

use super::*;
use crate::targeted::{Force, Pattern, TargetedPlan, plans};

/// All plans of a setup, with the properties that fail under each.
fn under_plans(setup: Setup) -> Vec<(TargetedPlan, Run)> {
    let prepared = Prepared::new(setup).expect("the server takes the setup");
    let reference = prepared.run(&Input::Seed(0), RunOptions::default());
    let plans = plans(&reference.trace);
    let run = |plan: TargetedPlan| {
        let run = prepared.run(&Input::Plan(plan.clone()), RunOptions::default());
        (plan, run)
    };
    plans.into_iter().map(run).collect()
}

fn forces(runs: &[(TargetedPlan, Run)]) -> BTreeSet<Force> {
    runs.iter().map(|(plan, _)| plan.forced[0].force).collect()
}

#[test]
fn every_force_is_used_and_every_point_is_met() {
    let runs = under_plans(setup(maps(|_, ctx| sign(ctx, true)), 2));
    assert_eq!(forces(&runs).len(), 5, "{:?}", forces(&runs));
    for (plan, run) in &runs {
        assert!(!run.diverged, "{} ({})", plan.name, plan.says());
    }
    let of = |pattern| {
        runs.iter()
            .filter(|(plan, _)| plan.pattern == pattern)
            .count()
    };
    assert!(of(Pattern::Intermediate) > 0 && of(Pattern::Stale) > of(Pattern::Unobserved));
}

#[test]
fn a_plan_is_the_same_again_and_by_its_tape() {
    let setup = setup(maps(|_, ctx| sign(ctx, false)), 2);
    let prepared = Prepared::new(setup.clone()).expect("the server takes the setup");
    for (plan, run) in under_plans(setup) {
        for input in [Input::Plan(plan), Input::Tape(run.trace.tape.clone())] {
            let again = prepared.run(&input, RunOptions::default());
            assert_eq!(again.trace.first_difference(&run.trace), None);
            assert_eq!(again.trace.tape, run.trace.tape);
        }
    }
}

#[test]
fn an_operator_that_finishes_what_it_began_holds_under_every_plan() {
    let runs = under_plans(setup(maps(|map, ctx| ensure_child(map, ctx, true)), 1));
    assert!(!runs.is_empty());
    for (plan, run) in &runs {
        assert_eq!(run.verdict.findings, [], "{} ({})", plan.name, plan.says());
    }
}

#[test]
fn an_operator_that_needs_to_see_every_state_fails_when_one_is_coalesced() {
    // It acts on `step: 1` only, and the workload goes on to 2 soon after.
    let blind = maps(|map, ctx| async move {
        let step = map.data.as_ref().and_then(|data| data.get("step").cloned());
        if step.as_deref() == Some("1") {
            let patch = json!({"data": {"saw": "1"}});
            let params = PatchParams::default();
            api(&ctx)
                .patch("main", &params, &Patch::Merge(patch))
                .await?;
        }
        Ok(Next::await_change())
    });
    let mut setup = setup(blind, 1);
    setup.workload = vec![
        poke(2_000, json!({"data": {"step": "1"}})),
        poke(4_000, json!({"data": {"step": "2"}})),
    ];
    setup.properties = vec![eventually("step 1 was seen", |view| {
        let maps = view.of_kind("ConfigMap");
        maps.iter().any(|map| map.str_at(&["data", "saw"]) == "1")
    })];
    let runs = under_plans(setup);
    let failing = |force| {
        let of = |(plan, run): &&(TargetedPlan, Run)| {
            plan.forced[0].force == force && !run.verdict.findings.is_empty()
        };
        runs.iter().filter(of).count()
    };
    assert!(failing(Force::Coalesce) > 0);
    assert_eq!(failing(Force::Hold), 0, "late is not lost");
}
