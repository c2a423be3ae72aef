//! Known differences: which step of which case differs from the recordings, and why.
//!
//! The list is data (`known-differences.txt`): a section a reason, a line a case with its steps.
//! A reason's heading is `[name] One sentence.`; `end` stands for the order of revisions at the end of a case.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fake_apiserver::conform::play::{Report, Wrong};

/// A step of a case; `None` is the end.
pub(crate) type Place = (String, Option<usize>);

/// The list.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Known {
    /// Reasons by name, each with its sentence.
    pub(crate) reasons: BTreeMap<String, String>,
    /// The reason of each known difference.
    pub(crate) places: BTreeMap<Place, String>,
}

impl Known {
    pub(crate) fn parse(text: &str) -> Result<Known, String> {
        let mut known = Known::default();
        let mut reason = None;
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(heading) = line.strip_prefix('[') {
                let (name, sentence) = heading
                    .split_once(']')
                    .ok_or(format!("line {}: no closing ]", i + 1))?;
                known
                    .reasons
                    .insert(name.to_string(), sentence.trim().to_string());
                reason = Some(name.to_string());
                continue;
            }
            let reason = reason
                .clone()
                .ok_or(format!("line {}: a case before the first reason", i + 1))?;
            let mut words = line.split_whitespace();
            let case = words.next().unwrap_or_default();
            for word in words {
                let step = match word {
                    "end" => None,
                    number => Some(
                        number
                            .parse()
                            .map_err(|_| format!("line {}: {word} is not a step", i + 1))?,
                    ),
                };
                known
                    .places
                    .insert((case.to_string(), step), reason.clone());
            }
        }
        Ok(known)
    }

    /// The list as it is written to its file.
    pub(crate) fn render(&self) -> String {
        let mut out = String::from(
            "# Steps whose answer differs from the recording, by reason. Regenerate with CONFORMANCE_KNOWN=write (see main.rs).\n",
        );
        for (reason, sentence) in &self.reasons {
            let mut cases: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            for ((case, step), _) in self.places.iter().filter(|(_, r)| *r == reason) {
                cases
                    .entry(case)
                    .or_default()
                    .push(step.map_or("end".to_string(), |s| s.to_string()));
            }
            if cases.is_empty() {
                continue;
            }
            let _ = writeln!(out, "\n[{reason}] {sentence}");
            for (case, steps) in cases {
                let _ = writeln!(out, "{case} {}", steps.join(" "));
            }
        }
        out
    }

    /// The table for `docs/fidelity.md`: how many steps of how many cases a reason covers, by folder.
    pub(crate) fn table(&self) -> String {
        let mut out = String::from(
            "| reason | what differs | steps | cases | folders |\n|---|---|---:|---:|---|\n",
        );
        for (reason, sentence) in &self.reasons {
            let places: Vec<&Place> = self
                .places
                .iter()
                .filter(|(_, r)| *r == reason)
                .map(|(p, _)| p)
                .collect();
            if places.is_empty() {
                continue;
            }
            let mut cases: Vec<&str> = places.iter().map(|(case, _)| case.as_str()).collect();
            cases.dedup();
            let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
            for (case, _) in &places {
                *folders
                    .entry(case.split('/').next().unwrap_or_default())
                    .or_default() += 1;
            }
            let folders: Vec<String> = folders
                .iter()
                .map(|(folder, n)| format!("{folder} {n}"))
                .collect();
            let _ = writeln!(
                out,
                "| {reason} | {sentence} | {} | {} | {} |",
                places.len(),
                cases.len(),
                folders.join(", ")
            );
        }
        out
    }

    /// The list that fits these reports: reasons of places that still differ stay, new ones are given by kind.
    pub(crate) fn renewed(&self, reports: &[Report]) -> Known {
        let mut fresh = Known {
            reasons: standard_reasons(),
            places: BTreeMap::new(),
        };
        fresh.reasons.extend(self.reasons.clone());
        for report in reports {
            for wrong in &report.wrong {
                let place = (report.case.clone(), wrong.step);
                let kept = self
                    .places
                    .get(&place)
                    .filter(|r| !standard_reasons().contains_key(*r))
                    .cloned();
                fresh
                    .places
                    .insert(place, kept.unwrap_or_else(|| reason_of(wrong).to_string()));
            }
        }
        fresh
    }
}

/// The reasons that a regenerated list gives by itself.
fn standard_reasons() -> BTreeMap<String, String> {
    [
        ("wording", "Only the text of a message or a warning differs; status, reason, causes and objects are right."),
        ("status", "The HTTP status differs: a request is refused that should pass, or the other way round, or for another reason."),
        ("events", "A watch stream differs: an event more, less or other than recorded."),
        ("calls", "A webhook is called more, less or with another review than recorded."),
        ("managed-fields", "Only metadata.managedFields differs."),
        ("revisions", "The order of resourceVersions differs, or the value that a request needs was not learnt."),
        ("headers", "Only headers differ."),
        ("causes", "An error of the right status has other causes or details."),
        ("object", "An object or document has other fields or values than recorded."),
    ]
    .into_iter()
    .map(|(name, sentence)| (name.to_string(), sentence.to_string()))
    .collect()
}

fn reason_of(wrong: &Wrong) -> &'static str {
    let all = |test: fn(&str) -> bool| {
        wrong
            .differences
            .iter()
            .filter(|d| !d.wording)
            .all(|d| test(&d.at))
    };
    let any = |test: fn(&str) -> bool| wrong.differences.iter().any(|d| test(&d.at));
    match () {
        () if wrong.step.is_none() || any(|at| at == "exchange") => "revisions",
        () if wrong.is_wording() => "wording",
        () if any(|at| at == "status") => "status",
        () if any(|at| at.starts_with("events") || at == "ended") => "events",
        () if any(|at| at.starts_with("calls")) => "calls",
        () if all(|at| at.contains("/managedFields")) => "managed-fields",
        () if all(|at| at.starts_with("header ")) => "headers",
        () if all(|at| at.starts_with("/details") || at == "/reason" || at == "/message") => {
            "causes"
        }
        () => "object",
    }
}
