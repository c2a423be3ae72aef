//! Virtual time and seeded randomness for code that asks the operating system: the only module with `unsafe`.
//!
//! Owns what a thread that runs a simulation gets from `clock_gettime`, `epoll_wait`, `getrandom` and their like. The
//! symbols of the C library are interposed ([`hooks`]); a constant thread-local decides on each call whether it is
//! answered here or by the kernel. Threads that do not simulate see no difference.
//!
//! Does not own the order of events (`world`). Off under `cfg(madsim)`, whose symbols collide with these.
//!
//! Invariant: a simulated thread sees time move only when the world, or a blocking sleep of its own, moves it.

mod core_time;
pub(crate) mod fork;
mod hooks;
mod probe;
mod rng;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll, Waker};

pub use core_time::core_time;
pub use probe::{Leak, probe};
pub(crate) use rng::Rng;

use crate::time::{EPOCH_UNIX_US, SimTime};

/// What the monotonic clock shows when a run begins, in microseconds: a machine that has been up for a while.
const MONOTONIC_START_US: u64 = 1_000_000_000;

/// So many reads of the clock in one step without parking mean that somebody waits by spinning: then time moves.
const CLOCK_READS_FREE: u64 = 100_000;

/// So many turns of a runtime in one step without parking mean that it will never park.
const TURNS_MAX: u64 = 2_000_000;

/// What the hooks know of the thread they are called on. Constant and without a destructor, so that a hook may look
/// at it at any moment of a thread's life.
struct Hooked {
    /// Whether this thread simulates.
    active: Cell<bool>,
    /// Whether a replica is being stepped.
    stepping: Cell<bool>,
    now_us: Cell<u64>,
    skew_us: Cell<i64>,
    /// Feeds values: `getrandom`, uuids, jitter.
    values: Cell<u64>,
    /// Feeds hash keys: a draw more in one does not shift the other.
    hash_keys: Cell<u64>,
    /// Whether the runtime being stepped has nothing left to do.
    parked: Cell<bool>,
    /// What it gave `epoll_wait` as its timeout: milliseconds, -1 for ever.
    park_timeout_ms: Cell<i32>,
    turns: Cell<u64>,
    clock_reads: Cell<u64>,
    /// How long the replica has slept with its thread blocked in this step.
    blocked_us: Cell<u64>,
    threads_spawned: Cell<u32>,
    /// The status with which the replica's process exited in this step.
    exited: Cell<Option<i32>>,
    /// Whether std let a replica's process of this run not exit, because another thread was about to.
    exit_refused: Cell<bool>,
}

thread_local! {
    static HOOKED: Hooked = const {
        Hooked {
            active: Cell::new(false),
            stepping: Cell::new(false),
            now_us: Cell::new(0),
            skew_us: Cell::new(0),
            values: Cell::new(0),
            hash_keys: Cell::new(0),
            parked: Cell::new(false),
            park_timeout_ms: Cell::new(-1),
            turns: Cell::new(0),
            clock_reads: Cell::new(0),
            blocked_us: Cell::new(0),
            threads_spawned: Cell::new(0),
            exited: Cell::new(None),
            exit_refused: Cell::new(false),
        }
    };
    static STEPPER: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// Turns this thread into one that simulates, for as long as the guard lives.
pub(crate) struct Simulated(());

impl Simulated {
    /// From here on this thread's clock stands at zero and its randomness comes from `seed`.
    ///
    /// The thread should be a fresh one: std's hash keys and `rand`'s generator are made once per thread.
    pub(crate) fn enter(seed: u64) -> Simulated {
        warm_up();
        HOOKED.with(|hooked| {
            assert!(
                !hooked.active.get(),
                "a thread runs one simulation at a time"
            );
            hooked.now_us.set(0);
            hooked.skew_us.set(0);
            hooked.values.set(rng::mix(seed ^ 0x76_61_6c_75_65_73));
            hooked.hash_keys.set(rng::mix(seed ^ 0x6b_65_79_73));
            hooked.stepping.set(false);
            hooked.exit_refused.set(false);
            hooked.active.set(true);
        });
        fastrand::seed(rng::mix(seed ^ 0x66_61_73_74));
        Simulated(())
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        HOOKED.with(|hooked| hooked.active.set(false));
    }
}

/// Whether this thread simulates.
pub(crate) fn is_active() -> bool {
    HOOKED.with(|hooked| hooked.active.get())
}

/// Whether code of a replica is running on this thread.
pub(crate) fn is_stepping() -> bool {
    HOOKED.with(|hooked| hooked.stepping.get())
}

/// The master clock.
pub(crate) fn now() -> SimTime {
    SimTime(HOOKED.with(|hooked| hooked.now_us.get()))
}

/// Moves the master clock. Invariant: never back.
pub(crate) fn set_now(now: SimTime) {
    HOOKED.with(|hooked| {
        assert!(now.0 >= hooked.now_us.get(), "the clock never goes back");
        hooked.now_us.set(now.0);
    });
}

/// What one step of a replica did to the world outside it, as seen from the hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stepped {
    /// When the runtime wants to run again; none if only a message can wake it.
    pub(crate) deadline: Option<SimTime>,
    /// How long it slept with its thread blocked, in microseconds.
    pub(crate) blocked_us: u64,
    /// Threads it started.
    pub(crate) threads_spawned: u32,
    /// The status it called `exit` with.
    pub(crate) exited: Option<i32>,
    /// It never came to rest.
    pub(crate) spun: bool,
}

/// Runs `body` as code of a replica whose wall clock is off by `skew_us`.
pub(crate) fn step(skew_us: i64, body: impl FnOnce()) -> Stepped {
    HOOKED.with(|hooked| {
        hooked.skew_us.set(skew_us);
        hooked.parked.set(false);
        hooked.park_timeout_ms.set(-1);
        hooked.turns.set(0);
        hooked.clock_reads.set(0);
        hooked.blocked_us.set(0);
        hooked.threads_spawned.set(0);
        hooked.exited.set(None);
        hooked.stepping.set(true);
    });
    let unset = Unset;
    body();
    drop(unset);
    HOOKED.with(|hooked| {
        let timeout_ms = hooked.park_timeout_ms.get();
        Stepped {
            deadline: u64::try_from(timeout_ms)
                .ok()
                .map(|ms| SimTime(hooked.now_us.get() + ms * 1_000)),
            blocked_us: hooked.blocked_us.get(),
            threads_spawned: hooked.threads_spawned.get(),
            exited: hooked.exited.get(),
            spun: hooked.turns.get() > TURNS_MAX,
        }
    })
}

struct Unset;

impl Drop for Unset {
    fn drop(&mut self) {
        HOOKED.with(|hooked| {
            hooked.stepping.set(false);
            hooked.skew_us.set(0);
        });
        STEPPER.with(|stepper| stepper.borrow_mut().take());
    }
}

/// Resolves when the runtime that polls it has nothing left to run: its `epoll_wait` would block.
pub(crate) struct UntilIdle;

impl Future for UntilIdle {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if HOOKED.with(|hooked| hooked.parked.get() || hooked.exited.get().is_some()) {
            return Poll::Ready(());
        }
        STEPPER.with(|stepper| {
            let mut stepper = stepper.borrow_mut();
            if !stepper
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                *stepper = Some(cx.waker().clone());
            }
        });
        Poll::Pending
    }
}

/// A runtime of this thread would wait: notes for how long and wakes the stepping future. Called by the hook.
fn on_epoll_wait(timeout_ms: i32) {
    HOOKED.with(|hooked| {
        let turns = hooked.turns.get() + 1;
        hooked.turns.set(turns);
        if timeout_ms == 0 && turns <= TURNS_MAX {
            return;
        }
        hooked.park_timeout_ms.set(timeout_ms);
        hooked.parked.set(true);
        let waker = STEPPER
            .try_with(|stepper| stepper.borrow().clone())
            .ok()
            .flatten();
        if let Some(waker) = waker {
            waker.wake();
        }
    });
}

/// The clock as the hook shows it, in microseconds; `wall` since the Unix epoch.
fn on_clock_read(wall: bool) -> u64 {
    HOOKED.with(|hooked| {
        let reads = hooked.clock_reads.get() + 1;
        hooked.clock_reads.set(reads);
        if reads > CLOCK_READS_FREE && hooked.stepping.get() {
            sleep_blocking(hooked, 10);
        }
        let now = hooked.now_us.get();
        if wall {
            (EPOCH_UNIX_US + now).saturating_add_signed(hooked.skew_us.get())
        } else {
            MONOTONIC_START_US + now
        }
    })
}

fn on_sleep(duration_us: u64) {
    HOOKED.with(|hooked| sleep_blocking(hooked, duration_us));
}

fn sleep_blocking(hooked: &Hooked, duration_us: u64) {
    hooked.now_us.set(hooked.now_us.get() + duration_us);
    hooked.blocked_us.set(hooked.blocked_us.get() + duration_us);
}

fn on_thread_spawned() {
    HOOKED.with(|hooked| hooked.threads_spawned.set(hooked.threads_spawned.get() + 1));
}

/// The replica's process is over: what runs in this step from here on has no effect outside it.
fn on_exit(status: i32) {
    HOOKED.with(|hooked| hooked.exited.set(Some(status)));
    let waker = STEPPER
        .try_with(|stepper| stepper.borrow().clone())
        .ok()
        .flatten();
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The replica's process is over, and with which status is lost.
fn on_exit_refused() {
    HOOKED.with(|hooked| hooked.exit_refused.set(true));
    on_exit(0);
}

/// Whether the run that this thread has made is not what its seed says: an exit in it met one of another thread.
pub(crate) fn exit_refused() -> bool {
    HOOKED.with(|hooked| hooked.exit_refused.get())
}

/// Says so of a process whose destructors are about to run.
pub(crate) fn mark_exited() {
    HOOKED.with(|hooked| hooked.exited.set(Some(0)));
}

/// Whether the replica being stepped has exited in this step.
pub(crate) fn has_exited() -> bool {
    HOOKED.with(|hooked| hooked.exited.get().is_some())
}

/// The next word of the values' stream, or of the hash keys'.
fn draw(hash_key: bool) -> u64 {
    HOOKED.with(|hooked| {
        rng::next(if hash_key {
            &hooked.hash_keys
        } else {
            &hooked.values
        })
    })
}

/// Supplies aHash, behind kube's `Store`, with keys from the hash keys' stream.
struct HashKeys;

impl ahash::random_state::RandomSource for HashKeys {
    fn gen_hasher_seed(&self) -> usize {
        // Outside a simulation a constant would do; hash-flooding is no concern of a test harness.
        usize::try_from(draw(true)).unwrap_or_default()
    }
}

/// Initialises what a process initialises once and would else draw from the first run's stream.
///
/// aHash has fixed keys per process: they are drawn here with a constant seed, so that all processes share them.
pub(crate) fn warm_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let was = HOOKED.with(|hooked| {
            hooked.values.set(rng::mix(1));
            hooked.hash_keys.set(rng::mix(2));
            hooked.active.replace(true)
        });
        // An error means that somebody was first; `probe` names it.
        let _ = ahash::random_state::set_random_source(HashKeys);
        let _ = ahash::RandomState::new();
        HOOKED.with(|hooked| hooked.active.set(was));
        hooks::keep();
    });
}
