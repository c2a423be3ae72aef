//! Simulated external systems: what an operator changes outside the cluster.
//!
//! Owns the declaration of a service ([`ServiceSetup`]), the small state machines behind it, and the operator's way there
//! ([`ServiceClient`]). Calls pass the same gate as requests to the API server and suffer the same faults; what they
//! change is told as [`Effect`](crate::event::Effect)s, so that properties can count it.
//!
//! A service answers at once and knows no time but the one it is handed; drawn durations come from the run's tape.

mod alerts;
mod client;
mod cloud;
mod collector;

use std::time::Duration;

use serde_json::{Value, json};

pub use client::{Reply, ServiceClient};

use crate::event::{Effect, EffectKind};
use crate::time::{DurationRange, SimTime};

/// A simulated external system.
#[derive(Clone, Debug)]
pub struct ServiceSetup {
    /// The name operators ask for.
    pub name: String,
    /// What it is.
    pub kind: ServiceKind,
    /// How long a call takes to get there, and the answer to get back.
    pub latency: DurationRange,
}

/// What a simulated external system is.
#[derive(Clone, Debug)]
pub enum ServiceKind {
    /// A store of resources, as a cloud's API. `POST /volumes` creates one of the `name` in its body, or of a name that
    /// the service gives it; `PUT`, `GET` and `DELETE /volumes/NAME` and `GET /volumes` are what one expects.
    Cloud {
        /// How long a deleted resource is still there, `deleting`.
        cleanup: DurationRange,
        /// No more than this many resources: then 403.
        limit: Option<u32>,
    },
    /// A sink of alerts: `POST /alerts`, taken (202) or refused with 429 and `Retry-After`.
    Alerts {
        /// How many it takes in how long a time.
        rate: Option<(u32, Duration)>,
    },
    /// A collector of telemetry: `POST` of a batch to any path. It answers once it has worked on the batch.
    Collector {
        /// How long a batch takes.
        work: DurationRange,
        /// How many batches it works on at once; more are refused with 503 and `Retry-After`.
        capacity: u32,
    },
}

impl ServiceSetup {
    /// A service with latencies of 10 to 200 ms.
    pub fn new(name: impl Into<String>, kind: ServiceKind) -> ServiceSetup {
        ServiceSetup {
            name: name.into(),
            kind,
            latency: DurationRange::ms(10, 200),
        }
    }

    pub(crate) fn start(&self) -> Box<dyn Service> {
        match &self.kind {
            ServiceKind::Cloud { cleanup, limit } => Box::new(cloud::Cloud::new(*cleanup, *limit)),
            ServiceKind::Alerts { rate } => Box::new(alerts::Alerts::new(*rate)),
            ServiceKind::Collector { work, capacity } => {
                Box::new(collector::Collector::new(*work, *capacity))
            }
        }
    }
}

/// A call as a service sees it.
pub(crate) struct Asked<'a> {
    pub(crate) now: SimTime,
    pub(crate) method: &'a http::Method,
    pub(crate) path: &'a str,
    /// The header `Idempotency-Key`.
    pub(crate) key: Option<&'a str>,
    /// The body; null where there is none, or none that is JSON.
    pub(crate) body: Value,
    /// False where there is a body that is not JSON.
    pub(crate) is_json: bool,
    /// Draws a duration, in microseconds.
    pub(crate) draw: &'a mut dyn FnMut(&'static str, DurationRange) -> u64,
}

impl Asked<'_> {
    /// The path's parts.
    fn parts(&self) -> Vec<&str> {
        self.path
            .split('/')
            .filter(|part| !part.is_empty())
            .collect()
    }

    fn effect(&self, kind: EffectKind, object: impl Into<String>) -> Effect {
        Effect {
            kind,
            object: object.into(),
            key: self.key.map(str::to_owned),
        }
    }
}

/// What a service does with a call.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) retry_after_s: Option<u64>,
    pub(crate) body: Value,
    pub(crate) effects: Vec<Effect>,
    /// The answer leaves only after this long.
    pub(crate) takes_us: u64,
}

impl Answered {
    fn new(status: u16, body: Value) -> Answered {
        Answered {
            status,
            body,
            ..Answered::default()
        }
    }

    fn refused(status: u16, why: &str) -> Answered {
        Answered::new(status, json!({"error": why}))
    }

    fn with(mut self, effect: Effect) -> Answered {
        self.effects.push(effect);
        self
    }
}

/// An external system.
pub(crate) trait Service {
    /// A call arrives.
    fn ask(&mut self, asked: Asked<'_>) -> Answered;

    /// When it has something to do by itself.
    fn due(&self) -> Option<SimTime> {
        None
    }

    /// Does what is due.
    fn work(&mut self, now: SimTime) -> Vec<Effect> {
        let _ = now;
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
