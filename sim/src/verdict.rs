//! What the properties said about a run.
//!
//! Findings are data, never panics: the panic belongs to `assert_holds`.

use serde::{Deserialize, Serialize};

use crate::event::{ObjectKey, ReplicaId, StepId};
use crate::time::SimTime;

/// One breach of one property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The property: `no-lost-update`, or the name given to a closure.
    pub property: String,
    /// What is wrong, in a sentence.
    pub message: String,
    /// When it was noticed.
    pub at: SimTime,
    /// The record at which it was noticed.
    pub step: StepId,
    /// The object it is about.
    pub object: Option<ObjectKey>,
    /// The replica it is about.
    pub replica: Option<ReplicaId>,
    /// The records that tell the story, in order.
    pub because: Vec<StepId>,
    /// More text, such as a backtrace.
    pub detail: Option<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every property held.
    Holds,
    /// A property was broken.
    Violated,
    /// Nothing was broken, but a property could not be judged.
    Inconclusive,
}

/// What a figure of a scenario comes to in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Figure {
    /// So many: of several runs the least, the median and the most are told.
    Number(i64),
    /// Whether it was so: of several runs the share is told.
    Truth(bool),
}

/// What the properties said about one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Breaches, in the order they were noticed; at most one per property and object.
    pub findings: Vec<Finding>,
    /// Properties that could not be judged, with the reason.
    pub inconclusive: Vec<(String, String)>,
    /// `sometimes` properties that came true in this run. One that came true in no run of an exploration is a finding
    /// of the exploration.
    pub reached: Vec<String>,
    /// What the run was measured by: figures of the scenario, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<(String, Figure)>,
    /// When the world settled, if it did.
    pub settled: Option<SimTime>,
    /// When the run ended.
    pub ended: SimTime,
}

impl Verdict {
    /// The verdict in one word.
    pub fn outcome(&self) -> Outcome {
        if !self.findings.is_empty() {
            Outcome::Violated
        } else if !self.inconclusive.is_empty() {
            Outcome::Inconclusive
        } else {
            Outcome::Holds
        }
    }

    /// The names of the properties that were broken, each once, in order of their first finding.
    pub fn violated(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for finding in &self.findings {
            if !names.contains(&finding.property.as_str()) {
                names.push(&finding.property);
            }
        }
        names
    }
}
