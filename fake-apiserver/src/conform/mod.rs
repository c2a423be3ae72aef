//! The judge: recorded answers of a real API server, played against any server.
//!
//! Owns the format of the recordings (cases, symbols, webhooks), the player and the comparer.
//! Knows nothing of this crate's server: a [`play::Target`] carries the requests.
//! The in-process target lives beside the test that uses it, the one over HTTP is `http` (feature `serve`).
//!
//! Reading order: [`doc`], [`case`], [`symbols`], [`compare`](mod@compare), [`hooks`], [`play`](mod@play).

pub mod case;
pub mod compare;
pub mod doc;
pub mod hooks;
#[cfg(feature = "serve")]
pub mod http;
pub mod play;
#[cfg(feature = "serve")]
pub mod recorded;
pub mod symbols;
pub mod tally;
