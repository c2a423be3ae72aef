//! Steps replicas without a gate: what operators draw and read must be a function of the seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::reflector;
use kube::runtime::watcher;
use rand::RngCore;

use crate::entropy::{self, Simulated};
use crate::operator::OperatorFuture;
use crate::replica::{Ended, Process};
use crate::time::{EPOCH_UNIX_US, SimTime};

/// Runs `body` on a fresh simulated thread.
fn simulate<T: Send>(seed: u64, body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let _simulated = Simulated::enter(seed);
                crate::panics::install();
                body()
            })
            .join()
            .expect("the simulation does not panic")
    })
}

/// Steps one process, letting time pass to each deadline, until its main function ends or `until`.
fn drive(process: &mut Process, until: SimTime) -> Option<Ended> {
    loop {
        let stepped = process.step(0, || {});
        if let Some(ended) = process.ended() {
            return Some(ended);
        }
        match stepped.deadline {
            Some(deadline) if deadline <= until => entropy::set_now(deadline),
            _ => return None,
        }
    }
}

fn process(future: impl Future<Output = ()> + Send + 'static) -> Process {
    Process::start(1, move |_| -> OperatorFuture {
        Box::pin(async move {
            future.await;
            Ok(())
        })
    })
}

/// Everything random or timed that an operator may use, as text.
async fn draw_everything(text: Arc<Mutex<String>>) {
    let mut out = String::new();
    let std_map: std::collections::HashMap<u32, u32> = (0..8).map(|n| (n, n)).collect();
    let _ = writeln!(out, "std {:?}", std_map.keys().collect::<Vec<_>>());
    let _ = writeln!(out, "ahash {}", ahash::RandomState::new().hash_one(7));
    let _ = writeln!(
        out,
        "rand {} {}",
        rand::rng().next_u64(),
        rand::random::<u32>()
    );
    let _ = writeln!(
        out,
        "fastrand {} {}",
        fastrand::u64(..),
        fastrand::Rng::new().u64(..)
    );
    let _ = writeln!(out, "uuid {}", uuid::Uuid::new_v4());
    let _ = writeln!(
        out,
        "chrono {} jiff {}",
        chrono::Utc::now(),
        jiff::Timestamp::now()
    );
    let _ = writeln!(out, "system {:?}", SystemTime::now());
    for _ in 0..20 {
        tokio::select! {
            () = std::future::ready(()) => out.push('a'),
            () = std::future::ready(()) => out.push('b'),
            () = std::future::ready(()) => out.push('c'),
        }
    }
    let (store, mut writer) = reflector::store::<ConfigMap>();
    for name in 0..12 {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(format!("m{name}"));
        writer.apply_watcher_event(&watcher::Event::Apply(object));
    }
    let names: Vec<_> = store
        .state()
        .iter()
        .map(|object| object.metadata.name.clone().unwrap_or_default())
        .collect();
    let _ = writeln!(out, "\nstore {names:?}");
    tokio::time::sleep(Duration::from_millis(fastrand::u64(1..1000))).await;
    let _ = writeln!(out, "later {:?}", entropy::now());
    text.lock().expect("one thread").push_str(&out);
}

fn everything(seed: u64) -> String {
    simulate(seed, || {
        let text = Arc::new(Mutex::new(String::new()));
        let mut process = Process::start(seed, {
            let text = Arc::clone(&text);
            move |_| {
                Box::pin(async move {
                    draw_everything(text).await;
                    Ok(())
                })
            }
        });
        assert_eq!(
            drive(&mut process, SimTime(10_000_000)),
            Some(Ended::Returned(Ok(())))
        );
        std::mem::take(&mut *text.lock().expect("one thread"))
    })
}

#[test]
fn draws_are_equal_over_repeats_and_differ_by_seed() {
    let first = everything(3);
    assert_eq!(first, everything(3));
    assert_ne!(first, everything(4));
}

#[test]
fn draws_are_equal_on_parallel_threads() {
    let want: BTreeMap<u64, String> = (0..8).map(|seed| (seed, everything(seed))).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for (seed, want) in &want {
                    assert_eq!(&everything(*seed), want);
                }
            });
        }
    });
}

/// Prints what another process must reproduce; `draws_are_equal_in_another_process` runs it.
#[test]
fn draws_in_this_process() {
    if let Ok(path) = std::env::var("RECONVERGE_TEST_DRAWS") {
        let all: String = (0..4).map(everything).collect();
        std::fs::write(path, all).expect("the parent's folder is writable");
    }
}

#[test]
fn draws_are_equal_in_another_process() {
    let want: String = (0..4).map(everything).collect();
    for turn in 0..2 {
        let path =
            std::env::temp_dir().join(format!("reconverge-draws-{}-{turn}", std::process::id()));
        let status = std::process::Command::new(std::env::current_exe().expect("a test binary"))
            .args(["--exact", "replica_tests::draws_in_this_process"])
            .env("RECONVERGE_TEST_DRAWS", &path)
            .stdout(std::process::Stdio::null())
            .status()
            .expect("the test binary runs");
        assert!(status.success());
        let got = std::fs::read_to_string(&path).expect("the child has written");
        let _ = std::fs::remove_file(&path);
        assert_eq!(got, want);
    }
}

#[test]
fn nothing_leaks() {
    assert_eq!(entropy::probe(), []);
}

#[test]
fn all_clocks_agree() {
    simulate(1, || {
        let mut process = process(async {
            let (std_start, tokio_start, jiff_start) = (
                Instant::now(),
                tokio::time::Instant::now(),
                jiff::Timestamp::now(),
            );
            tokio::time::sleep(Duration::from_millis(12_345)).await;
            assert_eq!(std_start.elapsed(), Duration::from_millis(12_345));
            assert_eq!(tokio_start.elapsed(), Duration::from_millis(12_345));
            let jiff = jiff::Timestamp::now().as_microsecond() - jiff_start.as_microsecond();
            assert_eq!(jiff, 12_345_000);
            let wall = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .expect("after 1970");
            assert_eq!(wall, Duration::from_micros(EPOCH_UNIX_US + 12_345_000));
        });
        assert_eq!(
            drive(&mut process, SimTime(60_000_000)),
            Some(Ended::Returned(Ok(())))
        );
        assert_eq!(crate::panics::take(), []);
        assert_eq!(entropy::now(), SimTime(12_345_000));
    });
}

#[test]
fn a_paused_renew_loop_notices_nothing_until_it_wakes() {
    simulate(1, || {
        let renewals: Arc<Mutex<Vec<u64>>> = Arc::default();
        let noted = Arc::clone(&renewals);
        let mut process = process(async move {
            tokio::spawn(async move {
                loop {
                    noted
                        .lock()
                        .expect("one thread")
                        .push(entropy::now().as_us() / 1_000_000);
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            });
            std::future::pending::<()>().await;
        });
        drive(&mut process, SimTime(12_000_000));
        // Paused: time passes and nobody steps the process, for longer than a lease of 15 s.
        entropy::set_now(SimTime(40_000_000));
        assert_eq!(*renewals.lock().expect("one thread"), [0, 5, 10]);
        drive(&mut process, SimTime(46_000_000));
        assert_eq!(*renewals.lock().expect("one thread"), [0, 5, 10, 40, 45]);
    });
}

#[test]
fn tasks_of_a_crashed_process_never_run_again() {
    simulate(1, || {
        let ticks: Arc<Mutex<u32>> = Arc::default();
        let counted = Arc::clone(&ticks);
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let mut process = process(async move {
            let also = Arc::clone(&counted);
            tokio::spawn(async move {
                let _ = receiver.await;
                *also.lock().expect("one thread") += 1_000;
            });
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                *counted.lock().expect("one thread") += 1;
            }
        });
        drive(&mut process, SimTime(3_500_000));
        drop(process);
        let _ = sender.send(());
        entropy::set_now(SimTime(60_000_000));
        assert_eq!(*ticks.lock().expect("one thread"), 3);
    });
}

#[test]
fn a_panic_is_noted_with_its_place() {
    simulate(1, || {
        let mut process = process(async { panic!("no such widget: {}", 7) });
        assert_eq!(drive(&mut process, SimTime(1)), Some(Ended::Panicked));
        let notes = crate::panics::take();
        assert_eq!(notes[0].message, "no such widget: 7");
        assert!(
            notes[0].location.contains("replica_tests.rs"),
            "{}",
            notes[0].location
        );
    });
}

#[test]
fn a_blocking_sleep_moves_the_clock() {
    simulate(1, || {
        let mut process = process(async { std::thread::sleep(Duration::from_millis(250)) });
        let stepped = process.step(0, || {});
        assert_eq!(stepped.blocked_us, 250_000);
        assert_eq!(entropy::now(), SimTime(250_000));
    });
}

#[test]
fn a_wait_by_spinning_ends() {
    simulate(1, || {
        let mut process = process(async {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(3) {}
            tokio::time::sleep(Duration::from_millis(1)).await;
        });
        assert_eq!(
            drive(&mut process, SimTime(60_000_000)),
            Some(Ended::Returned(Ok(())))
        );
    });
}

#[test]
fn an_exit_ends_the_process_and_not_the_run() {
    simulate(1, || {
        let mut process = process(async { std::process::exit(3) });
        assert_eq!(process.step(0, || {}).exited, Some(3));
        drop(process);
        let mut next = self::process(async { std::process::exit(0) });
        assert_eq!(next.step(0, || {}).exited, Some(0));
    });
    // On another thread, which may have the first one's place in memory.
    simulate(1, || {
        let mut process = process(async { std::process::exit(4) });
        assert_eq!(process.step(0, || {}).exited, Some(4));
    });
}

#[test]
fn a_thread_of_its_own_is_detected() {
    simulate(1, || {
        let mut process = process(async {
            let _ = std::thread::spawn(|| {}).join();
        });
        assert_eq!(process.step(0, || {}).threads_spawned, 1);
    });
}

#[test]
fn a_skewed_replica_sees_another_wall_clock_and_the_same_monotonic_one() {
    simulate(1, || {
        let mut process = process(async {
            let wall = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .expect("after 1970");
            assert_eq!(
                wall,
                Duration::from_micros(EPOCH_UNIX_US) - Duration::from_secs(5)
            );
        });
        process.step(-5_000_000, || {});
        assert_eq!(crate::panics::take(), []);
    });
}
