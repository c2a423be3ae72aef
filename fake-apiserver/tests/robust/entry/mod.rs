//! Entry points for hostile bytes, one a room: any input must get a proper answer, twice the same, in bounded space.
//!
//! Two callers: the fuzz targets in `fuzz/`, which include this module by its path, and the bounded smoke run on stable
//! (`smoke`). An input is text in sections that a line `%%` separates; what each section means stands at its entry point.
//! A broken promise is a panic in words.

mod apply;
mod cel;
mod cluster;
mod patch;
mod request;
mod schema;
mod selector;

pub(crate) use apply::apply;
pub(crate) use cel::cel;
pub(crate) use patch::patch;
pub(crate) use request::request;
pub(crate) use schema::schema;
pub(crate) use selector::selector;

use fake_apiserver::json::{self, Value};

/// The parts of an input.
fn sections(bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(4).position(|four| four == b"\n%%\n") {
        parts.push(&rest[..at]);
        rest = &rest[at + 4..];
    }
    parts.push(rest);
    parts
}

/// The first line of a section, and what follows.
fn first_line(section: &[u8]) -> (&[u8], &[u8]) {
    match section.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&section[..at], &section[at + 1..]),
        None => (section, &[]),
    }
}

/// What is written reads back equal, and is then written with equal bytes.
fn assert_round_trip(value: &Value) {
    let bytes = json::to_vec(value);
    let again = json::parse(&bytes).expect("what is written can be read");
    let rewritten = json::to_vec(&again);
    assert!(
        bytes == rewritten,
        "what is read again is written differently: {} and {}",
        String::from_utf8_lossy(&bytes),
        String::from_utf8_lossy(&rewritten)
    );
}
