//! `lifecycle/`: leaks, deadlines, cancellation.

pub mod avalanche;
pub mod deadline_hole;
pub mod false_timeout;
pub mod nested_timeout;
pub mod shared_config;
pub mod stalls;
pub mod watch_chain_leak;
pub mod webhook_hang;
pub mod worker_without_stop;

use sim::operator::Operators;

/// The operators of this folder's scenarios.
pub(crate) fn register(operators: Operators) -> Operators {
    let operators = crate::twins!(operators;
        avalanche(client, shutdown),
        deadline_hole(client),
        false_timeout(client, identity),
        nested_timeout(client),
        shared_config(client),
        watch_chain_leak(client, shutdown),
        worker_without_stop(client, shutdown),
    );
    operators
        .add("stalls::api", |cx| stalls::api(cx.client))
        .add("stalls::bounded", |cx| stalls::bounded(cx.client))
        .add("stalls::channel", |cx| stalls::channel(cx.client))
        .add("stalls::lock", |cx| stalls::lock(cx.client))
        .add("webhook_hang::buggy", webhook_hang::buggy)
        .add("webhook_hang::fixed", webhook_hang::fixed)
}
