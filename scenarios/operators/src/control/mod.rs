//! `control/`: concurrency control and idempotency.

pub mod clock_boundaries;
pub mod event_storm;
pub mod field_managers;
pub mod hidden_state;
pub mod lease_failover;
pub mod own_create_unseen;
pub mod rate_limit;
pub mod retry_storm;
pub mod state_machine;
pub mod torn_snapshot;
pub mod uid_blind_delete;

use sim::operator::Operators;

/// The operators of this folder's scenarios.
pub(crate) fn register(operators: Operators) -> Operators {
    crate::twins!(operators;
        clock_boundaries(client, identity),
        event_storm(client),
        field_managers(client, name),
        hidden_state(client),
        lease_failover(client, identity),
        own_create_unseen(client),
        rate_limit(client),
        retry_storm(client),
        state_machine(client),
        torn_snapshot(client),
        uid_blind_delete(client),
    )
}
