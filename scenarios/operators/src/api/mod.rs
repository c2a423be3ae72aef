//! `api/`: bad input and change of shape.

pub mod lagging_server;
pub mod malformed_object;
pub mod namespace_teardown;
pub mod relist_storm;
pub mod version_migration;

use sim::operator::Operators;

/// The operators of this folder's scenarios.
pub(crate) fn register(operators: Operators) -> Operators {
    crate::twins!(operators;
        lagging_server(client),
        malformed_object(client),
        namespace_teardown(client),
        relist_storm(client),
        version_migration(client),
    )
}
