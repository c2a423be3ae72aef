//! What each built-in kind does beyond its schema.
//!
//! Modules, in reading order:

pub mod field;
pub mod metadata;
pub mod names;
pub mod quantity;
