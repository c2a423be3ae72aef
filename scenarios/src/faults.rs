//! Faults: what goes wrong, how often, and from which list the scheduler picks.
//!
//! Owns the notation. Which fault happens when is a choice of the run, never of this file.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::quantity::{SkewRange, Span, SpanRange};

/// What may go wrong in a run.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Faults {
    /// The most faults in one run.
    #[serde(default = "two")]
    pub at_most: u32,
    /// The faults there are to pick from.
    #[serde(default)]
    pub from: Vec<Fault>,
}

/// One kind of fault.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A replica dies, with all its tasks, and starts again later.
    Crash(Crash),
    /// A replica stands still, its clock goes on: a long garbage collection, a stalled VM.
    Pause(Pause),
    /// A replica's clock is wrong.
    ClockSkew(ClockSkew),
    /// A request is carried out but its reply never arrives.
    LoseReply(Requests),
    /// A request is carried out and its reply takes long.
    StallReply(StallReply),
    /// The server answers a request with an error and does not carry it out.
    Refuse(Refuse),
    /// A request travels longer than others.
    Delay(Delay),
    /// A server's watch cache stands still.
    Lag(Lag),
    /// A watch connection breaks off.
    DropWatch(Watches),
    /// A watch ends with 410 Gone, so that the client must list again.
    ExpireWatch(Watches),
    /// A watch stays open and says nothing.
    SilenceWatch(Silence),
}

/// A replica's death.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Crash {
    /// The operator whose replica dies; without it, any.
    pub operator: Option<String>,
    /// At which moments it may die.
    #[serde(default)]
    pub after: Moment,
    /// How long it stays away.
    pub restart: SpanRange,
}

/// A moment at which a replica may die.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// A write of its was carried out and the reply is on its way.
    #[default]
    AnyWrite,
    /// A request of its was carried out and the reply is on its way.
    AnyRequest,
    /// A reply or a watch event has just reached it.
    AnyDelivery,
}

/// A replica that stands still.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pause {
    /// The operator whose replica stands still; without it, any.
    pub operator: Option<String>,
    /// For how long.
    pub r#for: SpanRange,
}

/// A clock that is wrong.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClockSkew {
    /// The operator whose replica's clock is wrong; without it, any.
    pub operator: Option<String>,
    /// By how much.
    pub by: SkewRange,
}

/// Requests, by verb.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requests {
    /// The verbs; without them, all writes.
    #[serde(default)]
    pub verbs: Vec<Verb>,
    /// The kinds the requests are about; without them, all kinds.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// The operator whose requests they are; without it, all operators.
    pub operator: Option<String>,
    /// Calls of webhooks instead, by their path (`/validate`; `*` for any).
    #[serde(default)]
    pub webhooks: Vec<String>,
    /// Calls of services instead, by name (`*` for any).
    #[serde(default)]
    pub services: Vec<String>,
}

/// Replies that take long.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StallReply {
    /// The verbs; without them, all writes.
    #[serde(default)]
    pub verbs: Vec<Verb>,
    /// The kinds the requests are about; without them, all kinds.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// The operator whose requests they are; without it, all operators.
    pub operator: Option<String>,
    /// Calls of services instead, by name (`*` for any).
    #[serde(default)]
    pub services: Vec<String>,
    /// For how long.
    pub r#for: SpanRange,
}

/// An answer given without doing anything.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refuse {
    /// The status codes to pick from.
    pub with: Vec<Code>,
    /// What the answer tells the client to wait, with 429 and 503.
    pub retry_after: Option<Span>,
    /// The verbs; without them, all writes.
    #[serde(default)]
    pub verbs: Vec<Verb>,
    /// The kinds the requests are about; without them, all kinds.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// The operator whose requests they are; without it, all operators.
    pub operator: Option<String>,
    /// Calls of webhooks instead, by their path (`/validate`; `*` for any).
    #[serde(default)]
    pub webhooks: Vec<String>,
    /// Calls of services instead, by name (`*` for any).
    #[serde(default)]
    pub services: Vec<String>,
}

/// A request that travels longer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delay {
    /// How much longer.
    pub r#for: SpanRange,
    /// The verbs; without them, all writes.
    #[serde(default)]
    pub verbs: Vec<Verb>,
    /// The kinds the requests are about; without them, all kinds.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// The operator whose requests they are; without it, all operators.
    pub operator: Option<String>,
    /// Calls of webhooks instead, by their path (`/validate`; `*` for any).
    #[serde(default)]
    pub webhooks: Vec<String>,
    /// Calls of services instead, by name (`*` for any).
    #[serde(default)]
    pub services: Vec<String>,
}

/// A status code that can be injected: 409, 429, 500, 503 or 504.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub struct Code(#[schemars(range(min = 409, max = 504))] pub u16);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u16::deserialize(deserializer)? {
            code @ (409 | 429 | 500 | 503 | 504) => Ok(Self(code)),
            other => Err(serde::de::Error::custom(format_args!(
                "{other} cannot be injected{}known here: 409, 429, 500, 503, 504",
                crate::de::HINT
            ))),
        }
    }
}

/// A watch cache that stands still.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lag {
    /// The kind whose cache it is; without it, any kind.
    pub kind: Option<String>,
    /// The API server, from 0; without it, any.
    pub server: Option<u32>,
    /// For how long.
    pub r#for: SpanRange,
}

/// Watches, by kind.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Watches {
    /// The kind that is watched; without it, any kind.
    pub kind: Option<String>,
    /// The operator whose watches they are; without it, all operators.
    pub operator: Option<String>,
}

/// A watch that says nothing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Silence {
    /// The kind that is watched; without it, any kind.
    pub kind: Option<String>,
    /// The operator whose watches they are; without it, all operators.
    pub operator: Option<String>,
    /// For how long.
    pub r#for: SpanRange,
}

/// A verb as Kubernetes names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads many.
    List,
    /// Opens a watch.
    Watch,
    /// Creates an object.
    Create,
    /// Replaces an object.
    Update,
    /// Changes an object by a patch of any kind.
    Patch,
    /// Deletes an object.
    Delete,
    /// Deletes many.
    DeleteCollection,
}

impl Verb {
    /// The verbs that change something.
    pub const WRITES: [Verb; 5] = [
        Self::Create,
        Self::Update,
        Self::Patch,
        Self::Delete,
        Self::DeleteCollection,
    ];

    /// As Kubernetes spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

fn two() -> u32 {
    2
}
