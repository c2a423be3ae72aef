//! Deterministic race simulation for Kubernetes operators.
//!
//! An operator, unmodified, runs against a fake API server in a simulated world in which every order and every delay
//! follows from a seed. Properties watch each run; a run that breaks one is replayed from its seed, byte for byte.
//!
//! Modules in reading order:
//! - [`plan`]: a scenario file's variant, ready to run
//! - [`exploration`]: many seeds of it, and the judgement; [`rates`]: how often, and how sure that is
//! - [`targeted`]: the staleness patterns, as plans that go before the seeds
//! - [`simulation`]: [`Sim`], a simulation written in a test
//! - [`harness`]: scenario files as test cases, [`scenario_tests!`]
//! - [`cli`]: the command line

pub mod cli;
pub mod exploration;
pub mod harness;
mod log_filter;
pub mod plan;
pub mod rates;
mod rerun;
pub mod simulation;
pub mod targeted;

pub use simulation::Sim;

pub use {fake_apiserver, reports, scenarios, sim};

/// The version of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The JSON Schema of scenario files, as `reconverge schema` prints it.
pub fn scenario_schema() -> String {
    format!("{:#}\n", scenarios::schema::schema())
}

/// What a test author needs in scope.
pub mod prelude {
    pub use crate::simulation::{Explored, Sim};
    pub use scenarios::quantity::seeds;
    pub use sim::operator::{OperatorContext, Operators};
    pub use sim::targeted::Pattern;
}
