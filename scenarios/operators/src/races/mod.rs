//! `races/`: the reconcile races.

pub mod dual_write;
pub mod dual_write_put;
pub mod duplicate_create;
pub mod finalizer_vs_cleanup;
pub mod finalizer_window;
pub mod informer_lag;
pub mod owner_ref_cascade;
pub mod patch_retry_overwrites;
pub mod same_key_twice;
pub mod status_spec_tear;

use sim::operator::Operators;

/// The operators of this folder's scenarios.
pub(crate) fn register(operators: Operators) -> Operators {
    let operators = crate::twins!(operators;
        dual_write(client, identity),
        dual_write_put(client, identity),
        duplicate_create(client),
        finalizer_vs_cleanup(client),
        informer_lag(client),
        owner_ref_cascade(client, name),
        patch_retry_overwrites(client),
        same_key_twice(client),
        status_spec_tear(client),
    );
    operators
        .add("finalizer_window::buggy", |cx| {
            finalizer_window::buggy(cx.client.clone(), cx.service("cloud"))
        })
        .add("finalizer_window::fixed", |cx| {
            finalizer_window::fixed(cx.client.clone(), cx.service("cloud"))
        })
}
