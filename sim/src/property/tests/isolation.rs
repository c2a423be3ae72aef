//! Runs on threads and in forks are the same, and a fork contains what kills a process.

use super::storm::stormy;
use super::*;

/// The runs of a batch in order of their seeds: the fingerprint and the broken properties, or how the run was lost.
pub(super) fn made(
    prepared: &Prepared,
    jobs: usize,
    isolation: Isolation,
    seeds: u64,
) -> Vec<Result<(u64, String), Lost>> {
    let seeds: Vec<u64> = (0..seeds).collect();
    let limit = Duration::from_secs(5);
    let batch = Batch {
        plans: &[],
        seeds: &seeds,
        jobs,
        isolation,
        limit,
        check_one_in: 2,
    };
    let mut all = BTreeMap::new();
    let told = make_runs(prepared, &batch, &mut |made| {
        if let (Ok(run), Some(Ok(again))) = (&made.run, &made.again) {
            assert_eq!(run.trace.first_difference(&again.trace), None);
        }
        let told = made
            .run
            .map(|run| (run.fingerprint().0, format!("{:?}", run.verdict)));
        all.insert(made.seed, told).is_none()
    });
    told.expect("runs can be kept apart");
    all.into_values().collect()
}

#[test]
fn runs_are_the_same_with_one_worker_and_with_three_and_in_forks() {
    let prepared =
        Prepared::new(stormy(setup(maps(|_, ctx| sign(ctx, false)), 2))).expect("a setup");
    let forked = made(&prepared, 2, Isolation::Fork, 12);
    let one = made(&prepared, 1, Isolation::Thread, 12);
    assert_eq!(one.len(), 12);
    assert_eq!(one, made(&prepared, 3, Isolation::Thread, 12));
    assert_eq!(one, forked);
}

#[test]
fn a_fork_contains_what_kills_a_process() {
    let lost = |run, jobs| {
        let prepared = Prepared::new(setup(run, 2)).expect("a setup");
        made(&prepared, jobs, Isolation::Fork, 2)
    };
    let aborted = lost(maps(|_, _| async { std::process::abort() }), 1);
    assert_eq!(aborted, [Err(Lost::Killed(6)), Err(Lost::Killed(6))]);
    let stuck = lost(
        maps(|_, _| async {
            loop {
                std::hint::spin_loop();
            }
        }),
        2,
    );
    let places = stuck.into_iter().map(|lost| match lost {
        Err(Lost::Stuck { limit, place }) if limit == Duration::from_secs(5) => place,
        other => panic!("{other:?}"),
    });
    let places: Vec<_> = places.flatten().collect();
    assert_eq!(places.len(), 2);
    for place in places {
        let replica = place.replica.expect("the replica is named");
        assert!(replica.starts_with("op-"), "{replica}");
        assert!(place.event.contains("configmaps"), "{}", place.event);
    }
}
