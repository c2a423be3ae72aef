//! The Kubernetes API machinery as a pure state machine.
//!
//! Requests, times and ids go in, responses and events come out; there is no clock, no randomness, no thread and no
//! socket here (outside the adapter `serve`), and equal calls give equal bytes. Modules, in reading order:

pub mod json;
pub mod yaml;

pub mod ids;
pub mod schema;
pub mod status;
pub mod time;

pub mod registry;
pub mod request;
pub mod store;
pub mod strategy;

pub mod apply;
pub mod cel;
pub mod patch;
pub mod protobuf;
pub mod table;

pub mod actors;
pub mod admission;
pub mod auth;
pub mod discovery;
pub mod server;

pub mod conform;

#[cfg(feature = "serve")]
pub mod serve;
