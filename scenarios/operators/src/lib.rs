//! The catalogue's operators: real kube-rs code, each race a buggy twin and a fixed one.
//!
//! A module per folder of `scenarios/`; in it each file is one lesson: the race as a timeline in its header, the wrong
//! line marked, and the fix beside it. `webapp` holds the custom resource and the wiring they share, `lease` the election.
//! The operators know nothing of the simulation but the doors of their context; the folders' registries give them names.

pub mod lease;
pub mod webapp;

pub mod api;
pub mod control;
pub mod lifecycle;
pub mod races;
pub mod telemetry;

use sim::operator::Operators;

/// Registers `MODULE::buggy` and `MODULE::fixed` for each module, with the doors of the context that both take.
macro_rules! twins {
    ($operators:expr; $($module:ident($($door:ident),*)),+ $(,)?) => {
        $operators$(
            .add(concat!(stringify!($module), "::buggy"), |cx| $module::buggy($(cx.$door),*))
            .add(concat!(stringify!($module), "::fixed"), |cx| $module::fixed($(cx.$door),*))
        )+
    };
}
use twins;

/// Every operator of the catalogue under the name that scenario files use.
pub fn all() -> Operators {
    let operators = races::register(Operators::new());
    let operators = control::register(operators);
    let operators = lifecycle::register(operators);
    let operators = telemetry::register(operators);
    api::register(operators)
}
