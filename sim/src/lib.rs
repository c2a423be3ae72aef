//! The simulated world: operator replicas, the gate to the fake API server, schedulers, faults, trace and properties.
//!
//! A run is a pure function, `run(setup, seed | tape) → (trace, verdict)`: the same input gives the same bytes in
//! another thread and in another process.
//!
//! Modules in reading order:
//! - [`time`]: simulated time and ranges of durations
//! - [`setup`]: what goes into a run; [`operator`]: the operators it runs and the doors they have
//! - [`choice`]: everything that can happen, and the tape that records what was taken
//! - [`event`]: everything that happened; [`trace`]: the run's history and its fingerprint
//! - [`verdict`]: what the properties said about it

pub mod choice;
pub mod event;
pub mod operator;
pub mod property;
pub mod setup;
pub mod time;
pub mod trace;
pub mod verdict;

pub use setup::Setup;
pub use time::SimTime;
pub use trace::Trace;
pub use verdict::Verdict;
