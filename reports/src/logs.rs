//! What operators logged on the way to a finding, for a failure block.
//!
//! Owns which lines are told and how: none after the last finding, what is said again and again once, and of a long line
//! the beginning. The recording has them all.

use std::collections::BTreeMap;

use sim::time::SimTime;
use sim::trace::LogLine;

use crate::recording::Recording;

/// Lines told at most; the last ones.
const LINES_MAX: usize = 20;
/// A longer line is cut: errors of clients print whole objects.
const CHARS_MAX: usize = 200;

/// The lines to tell, and how many earlier ones are left out.
pub(crate) fn told(recording: &Recording) -> (Vec<String>, usize) {
    let last = recording.verdict.findings.iter().map(|f| f.at).max();
    let before = |log: &&LogLine| last.is_none_or(|last| log.at <= last);
    let mut said: BTreeMap<(&str, &str, &str), Said<'_>> = BTreeMap::new();
    for (place, log) in recording.trace.logs.iter().filter(before).enumerate() {
        let key = (&*log.replica, &*log.level, &*log.line);
        let same = said.entry(key).or_insert(Said {
            first: log.at,
            last: log,
            place,
            times: 0,
        });
        (same.last, same.place) = (log, place);
        same.times += 1;
    }
    let mut all: Vec<Said<'_>> = said.into_values().collect();
    all.sort_by_key(|said| said.place);
    let told = all.split_off(all.len().saturating_sub(LINES_MAX));
    let left_out = all.iter().map(|said| said.times).sum();
    (told.iter().map(line).collect(), left_out)
}

/// A line that was logged once or more often.
struct Said<'a> {
    first: SimTime,
    last: &'a LogLine,
    place: usize,
    times: usize,
}

fn line(said: &Said<'_>) -> String {
    let log = said.last;
    let reconcile = log.reconcile.map(|id| format!(" {id}")).unwrap_or_default();
    let words: Vec<&str> = log.line.split_whitespace().collect();
    let mut text = words.join(" ");
    if let Some((cut, _)) = text.char_indices().nth(CHARS_MAX) {
        text.truncate(cut);
        text.push('…');
    }
    let again = match said.times {
        1 => String::new(),
        times => format!(" ({times} times since {})", said.first),
    };
    format!(
        "{} {}{reconcile} {} {text}{again}",
        log.at, log.replica, log.level
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn what_is_said_again_is_told_once_and_nothing_after_the_finding() {
        let mut recording = example::lost_update();
        let log = recording.trace.logs.remove(0);
        for at in 0..50 {
            for line in ["the server is busy", "another try"] {
                recording.trace.logs.push(LogLine {
                    at: SimTime(at),
                    line: line.to_owned(),
                    ..log.clone()
                });
            }
        }
        let long = format!("{}\n{}", "word ".repeat(10), "x".repeat(500));
        recording.trace.logs.push(LogLine {
            line: long,
            ..log.clone()
        });
        recording.trace.logs.push(LogLine {
            at: SimTime(9_000_000),
            ..log
        });
        let (lines, left_out) = told(&recording);
        assert_eq!(left_out, 0);
        assert_eq!(
            lines[..2],
            [
                "0.000049s webapp-1 c1 INFO the server is busy (50 times since 0.000000s)",
                "0.000049s webapp-1 c1 INFO another try (50 times since 0.000000s)",
            ]
        );
        assert_eq!(lines.len(), 3, "nothing is told after the finding");
        let long = &lines[2];
        assert!(
            long.contains("word word x") && long.ends_with("x…"),
            "{long}"
        );
    }
}
