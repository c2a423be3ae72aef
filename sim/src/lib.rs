//! The simulated world: operator replicas, the gate to the fake API server, schedulers, faults, trace and properties.
//!
//! A run is a pure function, `run(setup, seed | tape) → (trace, verdict)`: the same input gives the same bytes in
//! another thread and in another process.
//!
//! Modules in reading order:
//! - [`time`]: simulated time and ranges of durations
//! - [`entropy`]: virtual time and seeded randomness for whatever runs on a simulated thread
//! - [`setup`]: what goes into a run; [`operator`]: the operators it runs and the doors they have
//! - [`actors`]: stand-ins for the controllers of Pods, Deployments, Jobs and their like
//! - [`choice`]: everything that can happen, and the tape that records what was taken
//! - [`event`]: everything that happened; [`trace`]: the run's history and its fingerprint
//! - [`property`]: what must hold; [`verdict`]: what the properties said about a run; [`visible`]: any of its text made safe to look at
//! - [`gate`]: where operators' requests stop; [`webhook`]: where operators serve them; [`service`]: external systems; [`telemetry`]: what operators report; [`schedule`]: who picks what happens next
//! - [`targeted`]: the staleness patterns, aimed at the points of the unperturbed run
//! - [`world`]: everything together, moved one choice at a time
//! - [`run`]: one run, alone on its thread; [`isolation`]: many, on threads or in processes of their own

pub mod actors;
pub mod choice;
#[cfg(test)]
mod conversion_tests;
pub mod entropy;
pub mod event;
pub mod gate;
pub mod isolation;
mod knowledge;
mod metadata;
pub mod operator;
mod panics;
pub mod property;
mod replica;
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "operators may use all of it; that is the test"
)]
mod replica_tests;
pub mod run;
pub mod schedule;
pub mod service;
#[cfg(test)]
mod service_tests;
pub mod setup;
mod spans;
pub mod targeted;
pub mod telemetry;
pub mod time;
pub mod trace;
pub mod verdict;
pub mod visible;
pub mod webhook;
#[cfg(test)]
mod webhook_tests;
mod whereabouts;
pub mod world;
mod zygote;

pub use isolation::Isolation;
pub use operator::{OperatorContext, Operators};
pub use setup::Setup;
pub use time::SimTime;
pub use trace::Trace;
pub use verdict::Verdict;
