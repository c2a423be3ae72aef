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

use sim::operator::Operators;

/// Every operator of the catalogue under the name that scenario files use.
pub fn all() -> Operators {
    Operators::new()
        .add("duplicate_create::buggy", |cx| {
            duplicate_create::buggy(cx.client)
        })
        .add("duplicate_create::fixed", |cx| {
            duplicate_create::fixed(cx.client)
        })
        .add("status_spec_tear::buggy", |cx| {
            status_spec_tear::buggy(cx.client)
        })
        .add("status_spec_tear::fixed", |cx| {
            status_spec_tear::fixed(cx.client)
        })
        .add("finalizer_vs_cleanup::buggy", |cx| {
            finalizer_vs_cleanup::buggy(cx.client)
        })
        .add("finalizer_vs_cleanup::fixed", |cx| {
            finalizer_vs_cleanup::fixed(cx.client)
        })
        .add("dual_write::buggy", |cx| {
            dual_write::buggy(cx.client, cx.identity)
        })
        .add("dual_write::fixed", |cx| {
            dual_write::fixed(cx.client, cx.identity)
        })
        .add("dual_write_put::buggy", |cx| {
            dual_write_put::buggy(cx.client, cx.identity)
        })
        .add("dual_write_put::fixed", |cx| {
            dual_write_put::fixed(cx.client, cx.identity)
        })
        .add("informer_lag::buggy", |cx| informer_lag::buggy(cx.client))
        .add("informer_lag::fixed", |cx| informer_lag::fixed(cx.client))
}
