//! What the conformance test prints: the table per folder, the differences, the verdict, the table for the documents.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use fake_apiserver::conform::compare::Difference;
use fake_apiserver::conform::play::Report;
use fake_apiserver::conform::tally::{Tally, by_folder};

use crate::known::{Known, Place};

const BEGIN: &str = "<!-- known differences: begin (written by the conformance test) -->";
const END: &str = "<!-- known differences: end -->";

/// Whether the run fits the list, and what does not, in words.
pub(crate) struct Verdict {
    pub(crate) holds: bool,
    pub(crate) text: String,
}

/// Exchanges right and all, per folder.
pub(crate) fn tally(reports: &[Report]) -> String {
    let mut out = String::new();
    for (name, tally) in by_folder(reports) {
        let Tally {
            right,
            exchanges,
            wording,
            whole,
            cases,
        } = tally;
        let percent = 100.0 * right as f64 / exchanges.max(1) as f64;
        let _ = writeln!(
            out,
            "{name:12} {right:6} of {exchanges:6} exchanges {percent:6.1} %   {wording:5} more but for wording   {whole:4} of {cases:4} cases whole"
        );
    }
    out
}

/// Every difference of every case that has one; cut unless `CONFORMANCE_SHOW=all`.
pub(crate) fn differences(reports: &[Report]) -> String {
    let uncut = std::env::var("CONFORMANCE_SHOW").is_ok_and(|v| v == "all");
    let (steps_max, each_max) = if uncut {
        (usize::MAX, usize::MAX)
    } else {
        (8, 6)
    };
    let mut out = String::new();
    for report in reports.iter().filter(|r| !r.wrong.is_empty()) {
        let _ = writeln!(out, "✗ {}", report.case);
        for wrong in report.wrong.iter().take(steps_max) {
            let step = wrong.step.map_or("end".to_string(), |s| s.to_string());
            let _ = writeln!(out, "    step {step}: {}", wrong.what);
            // Where the status differs, the bodies have nothing in common but perhaps a message.
            let refused = wrong.differences.iter().any(|d| d.at == "status") && !uncut;
            let told = |d: &&Difference| {
                !refused || matches!(d.at.as_str(), "status" | "/message" | "/reason" | "/$text")
            };
            let told: Vec<&Difference> = wrong.differences.iter().filter(told).collect();
            for difference in told.iter().take(each_max) {
                let _ = writeln!(out, "        {difference}");
            }
            if told.len() > each_max {
                let _ = writeln!(out, "        and {} more", told.len() - each_max);
            }
        }
        if report.wrong.len() > steps_max {
            let _ = writeln!(out, "    and {} more steps", report.wrong.len() - steps_max);
        }
    }
    out
}

/// The commonest differences of all cases, places and values without what differs from case to case.
pub(crate) fn commonest(reports: &[Report]) -> String {
    let mut kinds: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for report in reports {
        for wrong in &report.wrong {
            let refused = wrong.differences.iter().any(|d| d.at == "status");
            let mut seen: Vec<String> = Vec::new();
            for difference in wrong
                .differences
                .iter()
                .filter(|d| !refused || d.at == "status")
            {
                let place: Vec<&str> = difference
                    .at
                    .split('/')
                    .map(|part| {
                        if part.parse::<u32>().is_ok() {
                            "#"
                        } else {
                            part
                        }
                    })
                    .collect();
                let shape = |doc: &Option<fake_apiserver::conform::doc::Doc>| {
                    let text = doc
                        .as_ref()
                        .map_or("(absent)".to_string(), |d| d.to_compact());
                    text.replace(&report.case.replace('/', "-"), "CASE")
                        .chars()
                        .take(70)
                        .collect::<String>()
                };
                let key = format!(
                    "{}: want {} got {}",
                    place.join("/"),
                    shape(&difference.want),
                    shape(&difference.got)
                );
                if !seen.contains(&key) {
                    kinds
                        .entry(key.clone())
                        .or_insert_with(|| (0, format!("{} {:?}", report.case, wrong.step)))
                        .0 += 1;
                    seen.push(key);
                }
            }
        }
    }
    let mut kinds: Vec<(usize, String, String)> = kinds
        .into_iter()
        .map(|(key, (count, first))| (count, key, first))
        .collect();
    kinds.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    kinds
        .into_iter()
        .take(40)
        .map(|(count, key, first)| format!("{count:5} {key}   (first {first})\n"))
        .collect()
}

/// Compares what differs with what is known to differ.
pub(crate) fn verdict(reports: &[Report], known: &Known) -> Verdict {
    let mut fresh: Vec<String> = Vec::new();
    let mut seen: Vec<Place> = Vec::new();
    for report in reports {
        for wrong in &report.wrong {
            let place = (report.case.clone(), wrong.step);
            if !known.places.contains_key(&place) {
                let first = wrong
                    .differences
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                fresh.push(format!(
                    "{} step {:?} {}: {first}",
                    report.case, wrong.step, wrong.what
                ));
            }
            seen.push(place);
        }
    }
    seen.sort();
    let played: Vec<&str> = reports.iter().map(|r| r.case.as_str()).collect();
    let gone = known
        .places
        .keys()
        .filter(|place| played.contains(&place.0.as_str()) && seen.binary_search(place).is_err());
    let gone: Vec<String> = gone
        .map(|(case, step)| format!("{case} step {step:?}"))
        .collect();
    let mut text = String::new();
    list(&mut text, "not in known-differences.txt", &fresh);
    list(
        &mut text,
        "known differences that have come right (CONFORMANCE_KNOWN=write takes them off)",
        &gone,
    );
    Verdict {
        holds: fresh.is_empty() && gone.is_empty(),
        text,
    }
}

/// Puts the table of known differences between its marks in a document.
pub(crate) fn write_table(docs: &Path, table: &str) -> std::io::Result<()> {
    let text = std::fs::read_to_string(docs)
        .unwrap_or_else(|_| format!("# Fidelity\n\n## Known differences\n\n{BEGIN}\n{END}\n"));
    let text = match (text.find(BEGIN), text.find(END)) {
        (Some(begin), Some(end)) => {
            format!("{}\n{table}{}", &text[..begin + BEGIN.len()], &text[end..])
        }
        _ => format!(
            "{}\n## Known differences\n\n{BEGIN}\n{table}{END}\n",
            text.trim_end_matches('\n').to_string() + "\n"
        ),
    };
    if let Some(folder) = docs.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(docs, text)
}

/// Whether the document shows the table as it is.
pub(crate) fn check_table(docs: &Path, table: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(docs).unwrap_or_default();
    match text.contains(&format!("{BEGIN}\n{table}{END}")) {
        true => Ok(()),
        false => Err("docs/fidelity.md does not show the known differences as they are (CONFORMANCE_KNOWN=write)\n".to_string()),
    }
}

fn list(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "{} {title}:", lines.len());
    for line in lines.iter().take(40) {
        let _ = writeln!(out, "    {}", line.chars().take(300).collect::<String>());
    }
    if lines.len() > 40 {
        let _ = writeln!(out, "    and {} more", lines.len() - 40);
    }
}
