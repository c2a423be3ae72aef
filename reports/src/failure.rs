//! The failure block: what a person needs first and last when a run broke a property.
//!
//! Owns its layout: property, scenario, seed, version and scenario hash, the one command that replays it; the story as
//! a timeline in between; the command again at the end, where a terminal leaves the eye.

use owo_colors::Style;
use sim::verdict::Outcome;
use sim::visible;

use crate::logs;
use crate::recording::Recording;
use crate::timeline::{Colors, Rows, timeline};

/// The failure block of a run; an empty text for a run that broke nothing.
pub fn failure(recording: &Recording, colors: Colors) -> String {
    if recording.verdict.outcome() != Outcome::Violated {
        return String::new();
    }
    let header = &recording.header;
    let red = Style::new().red().bold();
    let dim = Style::new().dimmed();
    let mut text = String::new();
    for finding in &recording.verdict.findings {
        let title = format!("✗ {}: {}", finding.property, finding.message);
        let mut lines = title.lines();
        let first = visible::line(lines.next().unwrap_or_default());
        text.push_str(&colors.paint(&first, red));
        text.push('\n');
        // What a message says on more lines is indented, so that it is not taken for our own words.
        for line in lines.chain(finding.detail.iter().flat_map(|d| d.lines())) {
            text.push_str(&format!("    {}\n", visible::line(line)));
        }
    }
    let variant = match header.variant.as_str() {
        "" => String::new(),
        variant => format!(" · variant {variant}"),
    };
    let input = match &header.plan {
        Some(plan) => format!("plan {} ({})", plan.name, plan.says()),
        None => format!("seed {}", header.seed),
    };
    let run = format!(
        "scenario {}{variant} · {input} · reconverge {} · scenario hash {}",
        header.scenario, header.reconverge, header.scenario_hash
    );
    text.push_str(&format!("  {}\n", visible::line(&run)));
    let replay = match header.replay.as_str() {
        "" => format!(".replay(\"{}\")", recording.token()),
        command => command.to_owned(),
    };
    let replay = format!("  replay: {}\n", visible::line(&replay));
    text.push_str(&replay);
    text.push('\n');
    for line in timeline(recording, Rows::Story, colors).lines() {
        text.push_str(&format!("  {line}\n"));
    }
    let (logs, left_out) = logs::told(recording);
    if !logs.is_empty() {
        text.push('\n');
        if left_out > 0 {
            text.push_str(&colors.paint(&format!("  … {left_out} earlier log lines"), dim));
            text.push('\n');
        }
        for line in logs {
            let line = format!("  {line}");
            text.push_str(&colors.paint(&visible::line(&line), dim));
            text.push('\n');
        }
    }
    text.push('\n');
    text.push_str(&replay);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn the_failure_block_of_a_lost_update() {
        insta::assert_snapshot!(failure(&example::lost_update(), Colors::Off));
    }

    #[test]
    fn what_operators_say_moves_no_cursor() {
        let mut recording = example::lost_update();
        let hostile = "\u{1b}[2Jgone\rclean\u{9b}1A\u{202e}";
        recording.verdict.findings[0].message = format!("a\nreplay: {hostile}");
        recording.verdict.findings[0].detail = Some(hostile.to_owned());
        recording.header.scenario = hostile.to_owned();
        recording.header.replay = hostile.to_owned();
        recording.trace.replicas[0] = hostile.to_owned();
        recording.trace.logs[0].line = hostile.to_owned();
        let text = failure(&recording, Colors::Off);
        let obeyed = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!text.contains(obeyed), "{text:?}");
        for want in [
            "✗ no-lost-update: a\n    replay: \\u{1b}[2Jgone\\rclean\\u{9b}1A\\u{202e}\n",
            "replay: \\u{1b}[2J",
            "INFO \\u{1b}[2J",
        ] {
            assert!(text.contains(want), "no {want:?} in\n{text}");
        }
    }

    #[test]
    fn a_run_that_holds_has_no_block() {
        let mut recording = example::lost_update();
        recording.verdict.findings.clear();
        assert_eq!(failure(&recording, Colors::Off), "");
    }
}
