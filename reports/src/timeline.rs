//! The timeline of a run: time · actor · event · object@resourceVersion · why, one row per event.
//!
//! Owns the layout: column widths follow the content, the last column is not padded. Does not own the words (`words`),
//! nor which rows make a story (`story`).

use owo_colors::{OwoColorize, Style};
use sim::visible;

use crate::past::Past;
use crate::recording::Recording;
use crate::story::story;
use crate::words::{Row, row};

/// Whether a text may carry colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// Plain text: files, pipes, `NO_COLOR`.
    Off,
    /// ANSI colours: a terminal.
    On,
}

impl Colors {
    pub(crate) fn paint(self, text: &str, style: Style) -> String {
        match self {
            Colors::On => text.style(style).to_string(),
            Colors::Off => text.to_owned(),
        }
    }
}

/// Which rows a timeline has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Every event.
    All,
    /// What the findings speak of, and what led there.
    Story,
}

/// The timeline of a run, findings included where they were noticed.
pub fn timeline(recording: &Recording, which: Rows, colors: Colors) -> String {
    let chosen = match which {
        Rows::All => None,
        Rows::Story => Some(story(recording)),
    };
    let mut rows = vec![Row {
        step: "#".to_owned(),
        time: "time".to_owned(),
        actor: "actor".to_owned(),
        event: "event".to_owned(),
        object: "object@resourceVersion".to_owned(),
        why: "why".to_owned(),
    }];
    let mut styles = vec![Style::new().bold()];
    let past = Past::of(&recording.trace);
    for record in &recording.trace.records {
        let findings: Vec<_> = recording
            .verdict
            .findings
            .iter()
            .filter(|f| f.step == record.step)
            .collect();
        if chosen.as_ref().is_none_or(|c| c.contains(&record.step)) {
            rows.push(row(record, &recording.trace, &past));
            styles.push(match findings.is_empty() {
                true => Style::new(),
                false => Style::new().yellow(),
            });
        }
        for finding in findings {
            rows.push(Row {
                step: String::new(),
                time: finding.at.to_string(),
                actor: "✗".to_owned(),
                event: finding.property.clone(),
                object: finding
                    .object
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                why: finding.message.clone(),
            });
            styles.push(Style::new().red().bold());
        }
    }
    lay_out(&rows, &styles, colors)
}

/// Pads the columns; a row whose object is empty still keeps its place.
fn lay_out(rows: &[Row], styles: &[Style], colors: Colors) -> String {
    let cells = |row: &Row| {
        [
            &row.step,
            &row.time,
            &row.actor,
            &row.event,
            &row.object,
            &row.why,
        ]
        .map(|cell| visible::line(cell).into_owned())
    };
    let mut widths = [0; 6];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(cells(row)) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (row, style) in rows.iter().zip(styles) {
        let mut line = String::new();
        for (i, (width, cell)) in widths.iter().zip(cells(row)).enumerate() {
            if i > 0 {
                line.push_str("  ");
            }
            let pad = " ".repeat(width - cell.chars().count());
            // Numbers and times stand to the right.
            match i < 2 {
                true => line.push_str(&format!("{pad}{cell}")),
                false => line.push_str(&format!("{cell}{pad}")),
            }
        }
        text.push_str(&colors.paint(line.trim_end(), *style));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn the_whole_timeline_of_a_lost_update() {
        insta::assert_snapshot!(timeline(&example::lost_update(), Rows::All, Colors::Off));
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let recording = example::lost_update();
        let plain = timeline(&recording, Rows::Story, Colors::Off);
        let colored = timeline(&recording, Rows::Story, Colors::On);
        let mut stripped = String::new();
        let mut escape = false;
        for c in colored.chars() {
            match c {
                '\u{1b}' => escape = true,
                'm' if escape => escape = false,
                _ if escape => {}
                c => stripped.push(c),
            }
        }
        assert_ne!(plain, colored);
        assert_eq!(plain, stripped);
    }
}
