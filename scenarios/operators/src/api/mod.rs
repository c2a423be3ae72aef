//! `api/`: bad input and change of shape.

pub mod lagging_server;
pub mod malformed_object;
pub mod namespace_teardown;
pub mod relist_storm;
pub mod version_migration;
pub mod webhook_side_effects;

use sim::operator::Operators;

/// The operators of this folder's scenarios.
pub(crate) fn register(operators: Operators) -> Operators {
    let operators = crate::twins!(operators;
        lagging_server(client),
        malformed_object(client),
        namespace_teardown(client),
        relist_storm(client),
        version_migration(client, identity),
    );
    operators
        .add("webhook_side_effects::buggy", |cx| async move {
            let client = cx.client.clone();
            let answer = move |call| webhook_side_effects::buggy(client.clone(), call);
            cx.serve_webhook("/resize", answer).await
        })
        .add("webhook_side_effects::fixed", |cx| async move {
            let client = cx.client.clone();
            let answer = move |call| webhook_side_effects::fixed(client.clone(), call);
            cx.serve_webhook("/resize", answer).await
        })
}
