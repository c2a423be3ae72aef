//! The Common Expression Language as Kubernetes uses it.
//!
//! Owns parsing (by the crate `cel`), type checking against declarations, static cost
//! estimates, running with a budget, and Kubernetes' function libraries. Knows no
//! policies and no requests: whoever evaluates hands in an [`Environment`] and
//! [`Bindings`]. Modules in reading order: `types`, `parse`, `signatures`, `check`,
//! `cost`, `value`, `eval`, `functions` and the libraries, `schema`, `rules`, `typed`, `why`.
//! Behaviour: cel-go, Kubernetes `apiserver/pkg/cel`, KEP-2876.

pub mod types;

pub mod parse;

mod macros;
mod signatures;

pub mod check;
pub mod cost;
pub mod eval;
pub mod value;

mod formats;
mod functions;
mod library;
mod lists;
mod net;
mod quantity;
mod semver;
mod strings;
mod times;
mod url;

pub mod rules;
pub mod schema;
pub mod typed;
pub mod why;

pub use check::{Checked, Environment, check};
pub use eval::{Bindings, Failure, Outcome, evaluate};
pub use signatures::{AUTHORIZER, RESOURCE_CHECK};
pub use types::{Decl, Type};
pub use value::Val;

#[cfg(test)]
mod tests;
