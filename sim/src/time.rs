//! Simulated time: microseconds since a run began, and the ranges that latencies are drawn from.
//!
//! Owns the units. Does not own the clock that replicas read (`entropy`) nor who moves it (`world`).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The wall clock at the start of every run: 2026-01-01T00:00:00Z, in microseconds since the Unix epoch.
pub const EPOCH_UNIX_US: u64 = 1_767_225_600_000_000;

/// Microseconds since the run began.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SimTime(pub u64);

impl SimTime {
    /// The start of a run.
    pub const ZERO: SimTime = SimTime(0);
    /// Later than anything that happens.
    pub const MAX: SimTime = SimTime(u64::MAX);

    /// The moment this long after the start.
    pub fn after(duration: Duration) -> SimTime {
        SimTime(us(duration))
    }

    /// Microseconds since the run began.
    pub fn as_us(self) -> u64 {
        self.0
    }

    /// Time since `earlier`, zero if that is later.
    pub fn since(self, earlier: SimTime) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Microseconds since the Unix epoch, as the master clock shows it.
    pub fn unix_us(self) -> u64 {
        EPOCH_UNIX_US + self.0
    }
}

impl std::ops::Add<Duration> for SimTime {
    type Output = SimTime;
    fn add(self, rhs: Duration) -> SimTime {
        SimTime(self.0.saturating_add(us(rhs)))
    }
}

/// Seconds with six digits after the point, so that columns align: `12.003500s`.
impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A duration as whole microseconds.
pub(crate) fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A range of durations, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DurationRange {
    /// The shortest.
    pub min: Duration,
    /// The longest; not below `min`.
    pub max: Duration,
}

impl DurationRange {
    /// From `min` to `max`; the ends may come in either order.
    pub fn new(min: Duration, max: Duration) -> Self {
        DurationRange {
            min: min.min(max),
            max: min.max(max),
        }
    }

    /// From `min` to `max` milliseconds.
    pub fn ms(min: u64, max: u64) -> Self {
        Self::new(Duration::from_millis(min), Duration::from_millis(max))
    }

    /// Always this duration.
    pub fn fixed(duration: Duration) -> Self {
        Self::new(duration, duration)
    }
}

impl From<Duration> for DurationRange {
    fn from(duration: Duration) -> Self {
        Self::fixed(duration)
    }
}

/// A range of signed durations (a clock may be early or late), in microseconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkewRange {
    /// The lowest.
    pub min_us: i64,
    /// The highest; not below `min_us`.
    pub max_us: i64,
}
