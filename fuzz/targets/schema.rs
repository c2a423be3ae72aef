//! Definitions of custom resources and objects under them: see the entry point of this name.

#![no_main]

#[path = "../../fake-apiserver/tests/robust/entry/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "each target drives one of the entry points"
)]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::schema(bytes));
