//! Services: the external systems that operators call.
//!
//! Owns the notation and which key belongs to which kind. What the services do is `sim::service`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use sim::service::{ServiceKind, ServiceSetup};
use sim::time::DurationRange;

use crate::quantity::{Span, SpanRange};

/// An external system that operators call by its name.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// What it is.
    pub kind: Kind,
    /// How long a call takes to get there, and again its answer back; 10ms..200ms unless said.
    pub latency: Option<SpanRange>,
    /// Of a cloud: how long a deleted resource is still there; not at all unless said.
    pub cleanup: Option<SpanRange>,
    /// Of a cloud: the most resources at once; without it, no limit.
    pub limit: Option<u32>,
    /// Of alerts: how many are taken in how long; without it, all.
    pub rate: Option<Rate>,
    /// Of a collector: how long it works on a batch; 100ms..1s unless said.
    pub work: Option<SpanRange>,
    /// Of a collector: how many batches it works on at once; 1 unless said.
    pub capacity: Option<u32>,
}

/// What an external system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A store of resources: POST, PUT, GET and DELETE by name, with idempotency keys.
    Cloud,
    /// A sink of alerts with a rate limit: 429 and Retry-After above it.
    Alerts,
    /// A collector of telemetry: slow, and of limited capacity.
    Collector,
}

/// How many in how long.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// How many.
    #[schemars(range(min = 1))]
    pub times: u32,
    /// In how long.
    pub per: Span,
}

impl Service {
    /// A key that means nothing to a service of this kind.
    pub(crate) fn misplaced(&self) -> Option<&'static str> {
        let keys = [
            ("cleanup", Kind::Cloud, self.cleanup.is_some()),
            ("limit", Kind::Cloud, self.limit.is_some()),
            ("rate", Kind::Alerts, self.rate.is_some()),
            ("work", Kind::Collector, self.work.is_some()),
            ("capacity", Kind::Collector, self.capacity.is_some()),
        ];
        let wrong = keys
            .into_iter()
            .find(|(_, kind, there)| *there && *kind != self.kind);
        wrong.map(|(key, ..)| key)
    }

    pub(crate) fn setup(&self, name: &str) -> ServiceSetup {
        let range = |said: Option<SpanRange>, default| {
            said.map_or(default, |said| DurationRange::new(said.min, said.max))
        };
        let kind = match self.kind {
            Kind::Cloud => ServiceKind::Cloud {
                cleanup: range(self.cleanup, DurationRange::fixed(Duration::ZERO)),
                limit: self.limit,
            },
            Kind::Alerts => ServiceKind::Alerts {
                rate: self.rate.map(|rate| (rate.times.max(1), rate.per.0)),
            },
            Kind::Collector => ServiceKind::Collector {
                work: range(self.work, DurationRange::ms(100, 1_000)),
                capacity: self.capacity.unwrap_or(1),
            },
        };
        let mut setup = ServiceSetup::new(name, kind);
        setup.latency = range(self.latency, setup.latency);
        setup
    }
}
