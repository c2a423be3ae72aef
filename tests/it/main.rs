//! Integration tests of the root package: what a user sees, and what holds over all crates.

mod architecture;
mod bad_input;
mod cli;
mod determinism;
mod hostile;
mod program;
mod simulation;
mod tidy;
