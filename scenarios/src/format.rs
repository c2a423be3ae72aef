//! The scenario file, key by key. `docs/writing-a-scenario.md` tells the same as a story.
//!
//! Owns the names and shapes of all keys; the JSON Schema for editors is generated from here, doc comments included.
//! Does not own their effect (`lower`), variants as merge patches (`load`), nor places (`tree`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::actors::Actor;
use crate::expect::Expect;
use crate::faults::Faults;
use crate::property::Property;
use crate::quantity::{SeedRange, Span, SpanRange};
use crate::services::Service;
use crate::workload::Step;

/// A scenario: a cluster, the operators under test, what happens to them, and what must hold.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// The scenario's name; the first key of the file. Lower-case words joined by dashes.
    pub scenario: String,
    /// The version of this format.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The race in one or two sentences.
    pub summary: String,
    /// What runs it; only the simulator's scenarios are run here, others are listed.
    #[serde(default)]
    pub engine: Engine,
    /// Where the race is known from: a row of the catalogue, an issue, a paper.
    pub source: Option<String>,
    /// The cluster before the run begins.
    #[serde(default)]
    pub cluster: Cluster,
    /// The operators under test, by the name they go under in this scenario.
    #[serde(default)]
    pub operators: BTreeMap<String, Operator>,
    /// How long messages travel.
    #[serde(default)]
    pub timing: Timing,
    /// What users and other systems do, in order of time.
    #[serde(default)]
    pub workload: Vec<Step>,
    /// The external systems that operators call, by name.
    #[serde(default)]
    pub services: BTreeMap<String, Service>,
    /// What is captured of the operators' telemetry.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Faults,
    /// When a run ends.
    #[serde(default)]
    pub until: Until,
    /// When a run counts as settled.
    #[serde(default)]
    pub settle: Settle,
    /// What is explored; flags and `RECONVERGE_SEEDS` go before this.
    #[serde(default)]
    pub explore: Explore,
    /// The properties that are checked; `no-panic` always is.
    #[serde(default)]
    pub properties: Vec<Property>,
    /// What each run is measured by: expressions in CEL that come to a whole number, or to true or false, at its end, by
    /// name. `run` prints the least, the median and the most over all runs, or in how many it was so.
    #[serde(default)]
    pub figures: BTreeMap<String, String>,
    /// The verdict of a file without variants.
    pub expect: Option<Expect>,
    /// Merge patches (RFC 7386) over the file, by name; each is a case of its own and says what it expects.
    #[serde(default)]
    pub variants: BTreeMap<String, BTreeMap<String, Json>>,
}

/// What runs a scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The simulator.
    #[default]
    Sim,
    /// A loom model, run by its own test.
    Loom,
    /// A madsim test, run from its own package.
    Madsim,
    /// Nothing yet: the scenario is owed, and listed so that it is not forgotten.
    Owed,
}

impl Engine {
    /// Its name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Loom => "loom",
            Self::Madsim => "madsim",
            Self::Owed => "owed",
        }
    }
}

/// The cluster before the run begins.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// How many API servers share the store; each has watch caches of its own.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 9))]
    pub api_servers: u32,
    /// Files with CustomResourceDefinitions, relative to this file.
    #[serde(default)]
    pub crds: Vec<String>,
    /// Objects that exist when the run begins.
    #[serde(default)]
    pub objects: Vec<Manifest>,
    /// The parts of the cluster that act beside the operators; without this key, `garbage-collector` and `namespaces`.
    pub actors: Option<Vec<Actor>>,
}

/// Where an object is written down: exactly one of the keys.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// A YAML file with one or more objects, relative to this file.
    pub file: Option<String>,
    /// The object itself.
    pub object: Option<BTreeMap<String, Json>>,
}

/// One operator under test.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Operator {
    /// The registered name of its function, as `dual_write::buggy`.
    pub run: String,
    /// How many replicas run at once.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 9))]
    pub replicas: u32,
    /// The namespace its `OperatorContext` names.
    pub namespace: Option<String>,
}

/// How long messages travel; each message draws anew.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timing {
    /// A request to the API server and, again, its reply back.
    pub request: Option<SpanRange>,
    /// A watch event from the API server to the operator.
    pub watch: Option<SpanRange>,
    /// A change from the store to an API server's watch cache.
    pub cache: Option<SpanRange>,
    /// From the moment an actor of the cluster has something to do until it does it.
    pub actors: Option<SpanRange>,
    /// From the moment an API server could tell a watch how far it has come until it sends the bookmark.
    pub bookmark: Option<SpanRange>,
}

/// What is captured of the operators' telemetry, for properties to judge and reports to show.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Telemetry {
    /// Log lines, up to INFO. Runs that are shown have them anyway.
    #[serde(default)]
    pub logs: bool,
    /// Spans, up to INFO.
    #[serde(default)]
    pub spans: bool,
    /// Metrics, scraped at this interval.
    pub scrape: Option<Span>,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// Nothing is in flight, the workload is done, the faults are over, and nothing changed for the settle window.
    #[default]
    Settled,
    /// This much simulated time has passed.
    Time(Span),
}

/// When a run counts as settled.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settle {
    /// For how long no object may change; 60s unless said.
    pub window: Option<Span>,
    /// By when, after the last fault and step, it must have settled; else `converges` fails.
    pub bound: Option<Span>,
    /// Fields whose change does not count, as JSON pointers: `/status/lastHeartbeat`.
    #[serde(default)]
    pub noise: Vec<String>,
}

/// What is explored.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Explore {
    /// The seeds; 0..1000 unless said.
    pub seeds: Option<SeedRange>,
    /// How schedules are made.
    #[serde(default)]
    pub schedule: Schedule,
    /// The targeted plans that are run before the seeds; all unless said.
    pub plans: Option<Vec<Plans>>,
}

/// A staleness pattern, of which a plan is made for each point of the unperturbed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Plans {
    /// A replica dies after a write, or its reply is lost.
    Intermediate,
    /// Events come late; a replica is restarted onto an old state.
    Stale,
    /// Events are coalesced away.
    Unobserved,
}

/// How schedules are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Latencies are drawn per message; the earliest is next.
    Timed,
    /// Any message in flight may be next.
    Controlled,
    /// Both in turn, after one unperturbed run.
    #[default]
    Portfolio,
}

fn one() -> u32 {
    1
}
