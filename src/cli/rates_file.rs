//! The file of rates: what the last long run of each case showed, for the catalogue.
//!
//! Owns its format: JSON, cases in order of their names, each on a line of its own so that a change reads well. A case
//! carries the scenario hash it was run with: figures of another version of a scenario are told apart.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::figures::Summary;
use super::{Failure, output};
use crate::exploration::Exploration;
use crate::plan::Plan;
use crate::rates;
use crate::targeted::Targeted;

/// One case's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Case {
    pub(super) scenario: String,
    pub(super) variant: String,
    pub(super) hash: String,
    pub(super) runs: u64,
    /// In how many runs each property failed.
    pub(super) violated: BTreeMap<String, u64>,
    pub(super) failing_runs: u64,
    /// Median and 90th percentile of the seeds to a failure.
    #[serde(default)]
    pub(super) seeds_to_failure: Option<(u64, u64)>,
    /// Plans under which all held, and all plans.
    pub(super) plans: (u64, u64),
    /// What the scenario's figures came to.
    #[serde(default)]
    pub(super) figures: BTreeMap<String, Summary>,
}

impl Case {
    pub(super) fn new(
        plan: &Plan,
        seeds: &[u64],
        found: &Exploration,
        targeted: &Targeted,
    ) -> Case {
        let tallies = found.violated.iter();
        Case {
            scenario: plan.case.scenario.scenario.clone(),
            variant: plan.case.variant.clone(),
            hash: plan.hash(),
            runs: found.verdicts(),
            violated: tallies
                .map(|(name, tally)| (name.clone(), tally.runs))
                .collect(),
            failing_runs: found.failing_runs,
            seeds_to_failure: rates::seeds_to_failure(seeds, &found.failing),
            plans: (targeted.held(), targeted.made),
            figures: found
                .figures
                .iter()
                .map(|(name, values)| (name.clone(), Summary::new(values)))
                .collect(),
        }
    }
}

/// All cases of a file; none if there is no file.
pub(super) fn read(path: &Path) -> Result<Vec<Case>, Failure> {
    let text = match output::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(scenarios::error::Error::read(path, error, None).into()),
    };
    serde_json::from_str(&text).map_err(|error| {
        Failure::usage(
            format!("{} is no file of rates: {error}", path.display()),
            "`run --rates FILE` writes one; remove this file or name another",
        )
    })
}

/// Writes cases beside those that the file has of others.
pub(super) fn write(path: &Path, cases: Vec<Case>) -> Result<(), Failure> {
    let key = |case: &Case| (case.scenario.clone(), case.variant.clone());
    let mut all: BTreeMap<_, _> = read(path)?.into_iter().map(|c| (key(&c), c)).collect();
    all.extend(cases.into_iter().map(|case| (key(&case), case)));
    let lines: Vec<String> = all
        .values()
        .map(|case| serde_json::to_string(case).unwrap_or_default())
        .collect();
    output::write(path, &format!("[\n{}\n]\n", lines.join(",\n")))
}
