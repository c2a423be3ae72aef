//! `control/`: concurrency control and idempotency.

pub mod field_managers;
pub mod hidden_state;
pub mod own_create_unseen;
pub mod torn_snapshot;
pub mod uid_blind_delete;

use sim::operator::Operators;

/// The operators of this folder's scenarios.
pub(crate) fn register(operators: Operators) -> Operators {
    crate::twins!(operators;
        field_managers(client, name),
        hidden_state(client),
        own_create_unseen(client),
        torn_snapshot(client),
        uid_blind_delete(client),
    )
}
