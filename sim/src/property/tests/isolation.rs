//! Runs on threads and in forks are the same, and a fork contains what kills a process.

use std::process::Command;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::mpsc;
use std::task::{Context, Wake, Waker};

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::storm::stormy;
use super::*;
use crate::entropy::{self, fork::Page};
use crate::isolation::Made;

/// The limit where runs come to their end, on a busy machine, too.
const LONG: Duration = Duration::from_secs(60);
/// The limit where they never do.
const SHORT: Duration = Duration::from_secs(5);

/// The runs of a batch in order of their seeds: the fingerprint and the broken properties, or how the run was lost.
pub(super) fn made(
    prepared: &Prepared,
    jobs: usize,
    isolation: Isolation,
    seeds: u64,
) -> Vec<Result<(u64, String), Lost>> {
    made_within(LONG, prepared, jobs, isolation, seeds)
}

fn made_within(
    limit: Duration,
    prepared: &Prepared,
    jobs: usize,
    isolation: Isolation,
    seeds: u64,
) -> Vec<Result<(u64, String), Lost>> {
    let seeds: Vec<u64> = (0..seeds).collect();
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
    let lost = |run, jobs, limit| {
        let prepared = Prepared::new(setup(run, 2)).expect("a setup");
        made_within(limit, &prepared, jobs, Isolation::Fork, 2)
    };
    let abort = || async {
        // Nothing is to be dumped: that takes time, and leaves a file.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        std::process::abort()
    };
    let aborted = lost(maps(move |_, _| abort()), 1, LONG);
    assert_eq!(aborted, [Err(Lost::Killed(6)), Err(Lost::Killed(6))]);
    let stuck = lost(
        maps(|_, _| async {
            loop {
                std::hint::spin_loop();
            }
        }),
        2,
        SHORT,
    );
    let places = stuck.into_iter().map(|lost| match lost {
        Err(Lost::Stuck { limit, place }) if limit == SHORT => place,
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

/// Two seeds under `fork`, each run twice; the operator is handed how many runs came before, and whether to spin.
fn twice(
    limit: Duration,
    runs: impl Fn() -> (u8, bool) + Clone + Send + Sync + 'static,
) -> Vec<Made> {
    let asks = operator(move |cx: OperatorContext| {
        let (run, spins) = runs();
        async move {
            let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
            let _ = api.get_opt(&format!("run-{run}")).await;
            if spins {
                loop {
                    std::hint::spin_loop();
                }
            }
            std::future::pending::<()>().await
        }
    });
    let mut setup = setup(asks, 1);
    // One start a run.
    setup.settle.force = false;
    let prepared = Prepared::new(setup).expect("a setup");
    let batch = Batch {
        plans: &[],
        seeds: &[1, 2],
        jobs: 1,
        isolation: Isolation::Fork,
        limit,
        check_one_in: 1,
    };
    let mut all = Vec::new();
    let told = make_runs(&prepared, &batch, &mut |made| {
        all.push(made);
        true
    });
    told.expect("runs can be kept apart");
    assert_eq!(all.iter().map(|made| made.seed).collect::<Vec<_>>(), [1, 2]);
    all
}

fn both(made: &Made) -> (&Run, &Run) {
    match (&made.run, &made.again) {
        (Ok(run), Some(Ok(again))) => (run, again),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_second_run_of_a_seed_has_a_process_of_its_own() {
    let all = twice(LONG, || {
        static RUNS: AtomicU8 = AtomicU8::new(0);
        (RUNS.fetch_add(1, Ordering::Relaxed), false)
    });
    for made in &all {
        let (run, again) = both(made);
        assert_eq!(run.trace.first_difference(&again.trace), None);
        assert_eq!(run.verdict, again.verdict);
    }
}

#[test]
fn a_second_run_that_differs_or_hangs_is_told_as_that() {
    // What all processes see, unlike a `static`.
    let count = |spins: bool, limit| {
        let page = Arc::new(Page::new(1).expect("memory"));
        twice(limit, move || {
            let run = page.bytes()[0].fetch_add(1, Ordering::Relaxed);
            (run, spins && run == 1)
        })
    };
    for made in &count(false, LONG) {
        let (run, again) = both(made);
        let at = run.trace.first_difference(&again.trace);
        let event = at.and_then(|at| again.trace.records.get(at));
        let event = format!("{:?}", event.expect("they differ in an event"));
        let asked = format!("run-{}", made.seed * 2 - 1);
        assert!(event.contains(&asked), "{event}");
    }
    let hangs = count(true, SHORT);
    assert!(hangs[0].run.is_ok());
    let Some(Err(Lost::Stuck { place, .. })) = &hangs[0].again else {
        panic!("{:?}", hangs[0].again);
    };
    let place = place.as_ref().expect("it ran");
    assert_eq!(place.replica.as_deref(), Some("op-0"));
    both(&hangs[1]);
}

/// Wakes nobody until so many replicas have started: what exits meanwhile meets the thread that is to be woken.
struct Holds {
    inside: mpsc::SyncSender<()>,
    until: u32,
}

static STARTS: AtomicU32 = AtomicU32::new(0);

impl Wake for Holds {
    fn wake(self: Arc<Self>) {
        self.inside.send(()).expect("it is awaited");
        while STARTS.load(Ordering::Relaxed) < self.until {
            std::thread::yield_now();
        }
    }
}

#[test]
fn an_exit_that_meets_another_is_made_again() {
    const ALONE: &str = "RECONVERGE_TEST_EXITS_ALONE";
    let thread = std::thread::current();
    let (name, alone) = (thread.name().unwrap_or_default(), std::env::var_os(ALONE));
    if alone.is_none() {
        // In a process of its own: no other test is to exit meanwhile.
        let binary = std::env::current_exe().expect("this binary has a path");
        let output = Command::new(binary)
            .args([name, "--exact", "--nocapture"])
            .env(ALONE, "1")
            .output();
        let output = output.expect("this binary can be called");
        let said = String::from_utf8_lossy(&output.stderr);
        return assert!(output.status.success(), "{said}");
    }
    let exits = operator(|cx: OperatorContext| async move {
        STARTS.fetch_add(1, Ordering::Relaxed);
        let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
        if api.get_opt("main").await.is_ok() {
            std::process::exit(3);
        }
    });
    let prepared = Prepared::new(setup(exits, 1)).expect("a setup");
    let run = || prepared.run_within(&Input::Seed(1), RunOptions::default(), LONG);
    let undisturbed = run().expect("it ends");
    let (inside, is_inside) = mpsc::sync_channel(1);
    let until = STARTS.load(Ordering::Relaxed) * 4;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _simulated = entropy::Simulated::enter(2);
            let holds = Waker::from(Arc::new(Holds { inside, until }));
            let stepped = entropy::step(0, || {
                let idle = std::pin::pin!(entropy::UntilIdle);
                assert!(idle.poll(&mut Context::from_waker(&holds)).is_pending());
                let exit = std::panic::catch_unwind(|| std::process::exit(4));
                assert!(exit.is_err());
            });
            assert_eq!(stepped.exited, Some(4));
        });
        is_inside.recv().expect("the other thread is in its exit");
        let beside = run().expect("it ends");
        assert!(STARTS.load(Ordering::Relaxed) > until, "it was made again");
        assert_eq!(beside.fingerprint(), undisturbed.fingerprint());
        assert_eq!(beside.verdict, undisturbed.verdict);
    });
}
