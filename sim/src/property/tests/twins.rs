//! The silent twins of the mutants for `no-panic`, `converges` and `no-orphans`: the same setup, the mistake taken out.

use super::*;

/// Reads a field of the object: a mutant takes it for granted.
fn reader(careful: bool) -> crate::operator::OperatorFn {
    maps(move |map, _| async move {
        let data = map.data.as_ref().and_then(|data| data.get("size"));
        match (data, careful) {
            (Some(size), _) => assert!(!size.is_empty()),
            (None, true) => {}
            (None, false) => panic!("no size in {}", map.name_any()),
        }
        Ok(Next::await_change())
    })
}

pub(super) fn no_panic_tells_an_object_taken_for_granted_from_one_that_is_read() {
    for (careful, want) in [(false, Some("no-panic")), (true, None)] {
        let mut setup = setup(reader(careful), 2);
        setup.workload = vec![poke(500, json!({"data": {"size": "3"}}))];
        check_seeds(setup, want, 12);
    }
}

/// Puts its name into the object: a mutant also where another has put its own.
fn winner(yields: bool) -> crate::operator::OperatorFn {
    maps(move |map, ctx| async move {
        let taken = map.data.as_ref().and_then(|data| data.get("winner"));
        if yields && taken.is_some() {
            return Ok(Next::await_change());
        }
        let patch = json!({
            "metadata": {"resourceVersion": map.resource_version()},
            "data": {"winner": ctx.identity},
        });
        match api(&ctx)
            .patch("main", &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Next::await_change()),
            Err(error) => Err(error),
            Ok(_) => Ok(Next::await_change()),
        }
    })
}

pub(super) fn converges_tells_a_fight_from_one_that_is_over_at_once() {
    for (yields, want) in [(false, Some("converges")), (true, None)] {
        let mut setup = setup(winner(yields), 2);
        setup.settle.bound = Duration::from_secs(30);
        check_seeds(setup, want, if yields { 12 } else { 3 });
    }
}

pub(super) fn no_orphans_tells_a_cluster_that_collects_its_garbage_from_one_that_does_not() {
    let child = || maps(|map, ctx| ensure_child(map, ctx, true));
    for (collected, want) in [(false, Some("no-orphans")), (true, None)] {
        let mut setup = setup(child(), 1);
        if !collected {
            setup.actors = Vec::new();
        }
        setup.workload = vec![WorkloadStep {
            at: SimTime(5_000_000),
            action: Action::Delete {
                target: target("ConfigMap", "v1"),
                propagation_policy: None,
            },
        }];
        let runs = check_seeds(setup, want, 12);
        let orphaned = |run: &Run| run.verdict.violated() == ["no-orphans"];
        assert!(collected || runs.iter().all(orphaned));
    }
}
