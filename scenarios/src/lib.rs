//! The scenario file format, its lowering into a run, and the catalogue.
//!
//! Modules in reading order.

pub mod actors;
mod cel;
mod de;
pub mod error;
pub mod expect;
pub mod faults;
pub mod format;
pub mod kinds;
pub mod load;
pub mod lower;
pub mod property;
pub mod quantity;
pub mod schema;
pub mod services;
pub mod source;
pub mod tree;
pub mod workload;

#[cfg(test)]
mod bad_input;
