//! Renderers of a recording. A report is a function of a recording: it runs nothing and reads no clock.
//!
//! Modules in reading order:
//! - [`recording`]: one run as a file
//! - [`timeline`]: its events, one row each
//! - [`failure`]: the block a broken property prints

mod chore;
pub mod failure;
mod logs;
mod past;
pub mod recording;
mod story;
pub mod timeline;
mod words;

#[cfg(test)]
mod example;

pub use failure::failure;
pub use recording::Recording;
pub use timeline::{Colors, Rows, timeline};
