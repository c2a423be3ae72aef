//! What the server promises when nobody means well: hostile bytes, hostile sizes, random histories.
//!
//! `entry` are the entry points that `fuzz/` drives as well, `smoke` is their bounded run; `hostile` sends what nobody would
//! in good faith, `values` fills every field of every kind with it; `growth`, `kinds` and `many` make it eight times as large
//! and count the work; `model` plays random histories against a reference.

mod entry;
mod growth;
mod hostile;
mod kinds;
mod many;
mod model;
mod smoke;
mod values;
