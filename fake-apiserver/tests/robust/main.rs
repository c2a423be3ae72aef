//! What the server promises when nobody means well: hostile bytes, hostile sizes, random histories.
//!
//! `entry` are the entry points that `fuzz/` drives as well; `smoke` is their bounded run.

mod entry;
mod smoke;
