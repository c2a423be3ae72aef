//! The start-up probe: proves each hook, and names the crate behind each one that does not hold.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Simulated, now, set_now};
use crate::time::{EPOCH_UNIX_US, SimTime};

/// A source of time or randomness that the simulation does not control in this process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not under control: {hint}")]
pub struct Leak {
    /// What leaks.
    pub what: &'static str,
    /// What to do about it.
    pub hint: &'static str,
}

/// Tries every hook on a thread of its own and returns what leaks. Empty on a supported platform.
pub fn probe() -> Vec<Leak> {
    let first = draws(7);
    let second = draws(7);
    let mut leaks = Vec::new();
    let mut check = |holds: bool, what, hint| {
        if !holds {
            leaks.push(Leak { what, hint });
        }
    };
    let linked = "the linker did not take this crate's symbols: link statically, without -Bsymbolic or a version script";
    check(
        first.elapsed == Duration::from_secs(5),
        "std::time::Instant (clock_gettime)",
        linked,
    );
    check(
        first.wall_us == EPOCH_UNIX_US + 5_000_000,
        "std::time::SystemTime (clock_gettime)",
        linked,
    );
    check(
        first.slept == Duration::from_millis(300),
        "std::thread::sleep (nanosleep)",
        linked,
    );
    check(
        first.std_hash == second.std_hash,
        "getrandom, behind std's HashMap keys",
        linked,
    );
    check(
        first.fastrand == second.fastrand,
        "fastrand",
        "two versions of fastrand in one build: seed the other one too",
    );
    check(
        first.ahash == second.ahash,
        "ahash, behind kube's Store",
        "something used ahash before the simulation was set up, or two versions of it are in one build",
    );
    leaks
}

#[derive(PartialEq)]
struct Draws {
    elapsed: Duration,
    wall_us: u64,
    slept: Duration,
    std_hash: u64,
    fastrand: u64,
    ahash: u64,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the probe asks what operators ask"
)]
fn draws(seed: u64) -> Draws {
    let thread = std::thread::spawn(move || {
        let _simulated = Simulated::enter(seed);
        let start = Instant::now();
        set_now(SimTime(5_000_000));
        let elapsed = start.elapsed();
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let before = now();
        std::thread::sleep(Duration::from_millis(300));
        let slept = now().since(before);
        Draws {
            elapsed,
            wall_us: u64::try_from(wall.as_micros()).unwrap_or_default(),
            slept,
            std_hash: RandomState::new().hash_one(1),
            fastrand: fastrand::u64(..),
            ahash: ahash::RandomState::new().hash_one(1),
        }
    });
    thread.join().expect("the probe does not panic")
}
