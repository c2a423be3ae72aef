//! The catalogue's operators: real kube-rs code, each race a buggy twin and a fixed one.
//!
//! Each module below is one lesson in one file: the race as a timeline in its header, the wrong line
//! marked, and the fix beside it. `webapp` holds the custom resource and the wiring they share.
//! The operators know nothing of the simulation; only [`all`] does, which gives them names.

pub mod webapp;

pub mod dual_write;
pub mod dual_write_put;
pub mod duplicate_create;
pub mod finalizer_vs_cleanup;
pub mod informer_lag;
pub mod status_spec_tear;
