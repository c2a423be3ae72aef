//! A seed that never came back, once more in a process of its own.
//!
//! Under isolation `thread` nothing can stop code that never gives up its thread: the run is left behind, and whether the
//! operator did that or something that all runs of the process share is open. So the program calls itself for that one
//! seed under `fork`, where the run can be killed. Owns the call and what its answer means. Does not own giving up
//! (`sim::isolation`).
//!
//! Simplification: a test binary of libtest has no command line to be called with; there a sentence says what to do.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;
use sim::Isolation;
use sim::isolation::Lost;

use crate::plan::Plan;

/// What to do in a test that runs a simulation itself.
pub(crate) const IN_A_TEST: &str = "  help: run it again with .isolation(Isolation::Fork): a run that is stuck in a process of its own is killed";

/// Runs a seed that is stuck again under `fork`, by calling this very program, and tells in a sentence what that gave.
/// None if it was not stuck, or was in a process of its own already.
pub(crate) fn again(
    plan: &Plan,
    seed: u64,
    lost: &Lost,
    isolation: Isolation,
    limit: Duration,
) -> Option<String> {
    let Lost::Stuck { .. } = lost else {
        return None;
    };
    if isolation == Isolation::Fork {
        return Some("its process was killed".to_owned());
    }
    Some(match called(plan, seed, limit) {
        Ok(report) => meaning(&report, seed, limit),
        Err(why) => format!("it could not be run again under isolation `fork`: {why}"),
    })
}

fn called(plan: &Plan, seed: u64, limit: Duration) -> Result<Json, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let limit = format!("{}ms", limit.as_millis());
    let output = Command::new(program)
        .arg("run")
        .args(plan.arguments(seed))
        .args(["--isolation", "fork", "--jobs", "1", "--format", "json"])
        .args(["--limit", &limit])
        .arg("--out")
        .arg(std::env::temp_dir())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("{} {}", output.status, said.trim())
    })
}

fn meaning(report: &Json, seed: u64, limit: Duration) -> String {
    let case = &report["cases"][0];
    let lost = case["lost"].as_array().into_iter().flatten();
    let lost = lost
        .filter(|lost| lost["seed"] == seed)
        .filter_map(|lost| lost["why"].as_str());
    let why: Vec<&str> = lost.collect();
    if why.contains(&"stuck") {
        return format!(
            "run again under isolation `fork` its process did not end within {} s either and was killed: the operator is \
             stuck",
            limit.as_secs_f64()
        );
    }
    if let Some(why) = why.first() {
        return format!("run again under isolation `fork` it was lost in another way: {why}");
    }
    let violated: Vec<&String> = case["violated"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(property, _)| property)
        .collect();
    let found = match (case["runs"].as_u64(), violated.as_slice()) {
        (Some(1), []) => "every property holds".to_owned(),
        (Some(1), violated) => format!("{violated:?} fails"),
        _ => return "run again under isolation `fork` it gave no verdict".to_owned(),
    };
    format!(
        "run again under isolation `fork` it comes to its end ({found}): it gets stuck only beside other runs, by \
         something that the runs of one process share, or on a machine that is too busy"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_answer_of_the_other_process_is_put_into_words() {
        let meaning = |case: Json| meaning(&json!({"cases": [case]}), 7, Duration::from_secs(2));
        let stuck = meaning(json!({"runs": 1, "lost": [{"seed": 7, "why": "stuck"}]}));
        assert!(
            stuck.contains("within 2 s either and was killed"),
            "{stuck}"
        );
        let killed = meaning(json!({"runs": 1, "lost": [{"seed": 7, "why": "killed"}]}));
        assert!(killed.ends_with("another way: killed"), "{killed}");
        let holds = meaning(json!({"runs": 1, "lost": [], "violated": {}}));
        assert!(holds.contains("(every property holds)"), "{holds}");
        let fails = meaning(json!({"runs": 1, "lost": [], "violated": {"converges": {}}}));
        assert!(fails.contains("([\"converges\"] fails)"), "{fails}");
    }
}
