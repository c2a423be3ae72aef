//! The workload: what users and other systems do while the operators run.
//!
//! Owns the notation of a step. Each step is made by an actor of its own, through the API, as a user with full rights.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::format::Manifest;
use crate::quantity::Span;

/// One step: when, and exactly one of the actions.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// When, after the start of the run; without it, at once.
    pub at: Option<Span>,
    /// Again and again, at this distance.
    pub every: Option<Span>,
    /// How often, with `every`.
    #[schemars(range(min = 1))]
    pub times: Option<u32>,
    /// Creates objects.
    pub create: Option<Manifest>,
    /// Changes an object by a patch.
    pub patch: Option<Patch>,
    /// Replaces an object whole.
    pub replace: Option<Manifest>,
    /// Sets an annotation to a value that is new each time.
    pub annotate: Option<Annotate>,
    /// Deletes an object.
    pub delete: Option<Delete>,
    /// Stops an operator's replicas gracefully and starts them again.
    pub restart: Option<Restart>,
    /// The object need not exist when the step is due; without this, a step on an object that nothing in the file
    /// creates is a mistake.
    #[serde(default)]
    pub if_present: bool,
}

/// A patch on one object: exactly one of `merge`, `strategic`, `json` and `apply`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patch {
    /// The object's kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// The object's namespace; `default` unless said.
    pub namespace: Option<String>,
    /// A merge patch (RFC 7386).
    pub merge: Option<BTreeMap<String, Json>>,
    /// A strategic merge patch, for built-in kinds.
    pub strategic: Option<BTreeMap<String, Json>>,
    /// A JSON patch (RFC 6902).
    pub json: Option<Vec<Json>>,
    /// Server-side apply of these fields, forced, as the field manager `workload`.
    pub apply: Option<BTreeMap<String, Json>>,
    /// The subresource it goes to, as `status`.
    pub subresource: Option<String>,
}

/// An annotation that is set to a new value each time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Annotate {
    /// The object's kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// The object's namespace; `default` unless said.
    pub namespace: Option<String>,
    /// The annotation's key.
    pub key: String,
}

/// A graceful restart of an operator.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restart {
    /// The operator.
    pub operator: String,
    /// For how long no replica of it runs.
    pub down: Span,
}

/// A deletion.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delete {
    /// The object's kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// The object's namespace; `default` unless said.
    pub namespace: Option<String>,
    /// What happens to its dependents; the kind's default unless said.
    pub propagation: Option<Propagation>,
}

/// What a deletion does with dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Propagation {
    /// The object goes after its dependents.
    Foreground,
    /// The object goes at once, its dependents later.
    Background,
    /// The dependents stay.
    Orphan,
}
