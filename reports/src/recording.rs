//! A recording: one run, with all that is needed to read it and to run it again.
//!
//! Owns the file format: JSON Lines, one value a line, each line an object with one key that says what it is.
//!
//! ```text
//! {"reconverge-recording":{…header…}}     version, scenario and the files it names, variant, seed
//! {"choice":{…}}                          the tape, in order
//! {"body":{"id":…,"text":…}}              objects and request bodies, each once, before the first record
//! {"record":{…}}                          what happened, in order
//! {"log":{…}}                             what operators logged
//! {"span":{…}}                            the operators' spans, where they were asked for
//! {"verdict":{…}}
//! {"end":{"lines":…,"fingerprint":…}}     a recording without this line was cut off
//! ```
//!
//! Does not own running (`sim`) nor files on disk: it reads and writes text.
//! Invariant: equal runs give equal bytes; nothing here reads a clock or the environment.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sim::choice::{Tape, TapeEntry, TapeMode};
use sim::event::BodyId;
use sim::targeted::TargetedPlan;
use sim::telemetry::SpanSeen;
use sim::trace::{Fingerprint, LogLine, Record, Trace};
use sim::verdict::Verdict;

/// The version of the format that is written, and the newest that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FormatVersion(pub u32);

impl FormatVersion {
    /// The version this crate writes.
    pub const CURRENT: FormatVersion = FormatVersion(1);
}

/// A file that a recording carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InlinedFile {
    /// The path it was read from, as the user named it.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// What a recording is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// The version of the format.
    pub format: FormatVersion,
    /// The version of reconverge that wrote it.
    pub reconverge: String,
    /// The scenario's name.
    pub scenario: String,
    /// The variant; empty for a run that was set up in code.
    pub variant: String,
    /// The hash of the scenario, its files and the variant, as tokens carry it.
    pub scenario_hash: String,
    /// The scenario file and every file it names; empty for a run that was set up in code.
    pub files: Vec<InlinedFile>,
    /// The seed.
    pub seed: u64,
    /// The targeted plan that was run instead of a seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<TargetedPlan>,
    /// How the run was kept apart from others: `thread` or `fork`.
    pub isolation: String,
    /// The command that replays the run; empty where there is none.
    pub replay: String,
    /// How time passed.
    pub mode: TapeMode,
    /// The replicas' names, by id.
    pub replicas: Vec<String>,
}

impl Header {
    /// The seed, or the name of the plan.
    pub fn input(&self) -> String {
        match &self.plan {
            Some(plan) => plan.name.clone(),
            None => self.seed.to_string(),
        }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What it is of.
    pub header: Header,
    /// What happened.
    pub trace: Trace,
    /// What the properties said.
    pub verdict: Verdict,
}

/// Why a text is no recording that can be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is something else: name a file that `replay` or `run` wrote.
    #[error("this is not a reconverge recording")]
    Foreign,
    /// It was written by a newer reconverge: update this one.
    #[error("the recording has format {found}, this reconverge reads up to {}", FormatVersion::CURRENT.0)]
    TooNew {
        /// The recording's format.
        found: u32,
    },
    /// The end is missing: the writing process was stopped, or the file was cut; record it again.
    #[error("the recording is cut off after line {lines}")]
    Cut {
        /// How many lines are whole.
        lines: usize,
    },
    /// A line says something that is not of the format: the file was altered.
    #[error("line {line} of the recording cannot be read: {error}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        error: String,
    },
    /// The content does not agree with its own fingerprint: the file was altered.
    #[error("the recording was altered: its content does not give its fingerprint")]
    Altered,
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Error::Foreign => {
                "recordings are the .jsonl files that `replay` writes to target/reconverge/"
            }
            Error::TooNew { .. } => "update reconverge, or read it with the version that wrote it",
            Error::Cut { .. } | Error::Line { .. } | Error::Altered => {
                "record the run again: `replay FILE --variant V --seed N`"
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    ReconvergeRecording(Header),
    Choice(TapeEntry),
    Body(Body),
    Record(Record),
    Log(LogLine),
    Span(SpanSeen),
    Verdict(Verdict),
    End(End),
}

#[derive(Serialize, Deserialize)]
struct Body {
    id: BodyId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Only for bodies that are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct End {
    lines: usize,
    fingerprint: Fingerprint,
}

impl Recording {
    /// The short name of the run: `v1.HASH.SEED`, or `v1.HASH.PLAN`.
    pub fn token(&self) -> String {
        format!("v1.{}.{}", self.header.scenario_hash, self.header.input())
    }

    /// The recording as text.
    pub fn write(&self) -> String {
        let mut writer = Writer::default();
        writer.line(&Line::ReconvergeRecording(self.header.clone()));
        for entry in &self.trace.tape.entries {
            writer.line(&Line::Choice(entry.clone()));
        }
        for (id, bytes) in &self.trace.bodies {
            let text = std::str::from_utf8(bytes).ok().map(str::to_owned);
            let bytes = text.is_none().then(|| bytes.to_vec());
            writer.line(&Line::Body(Body {
                id: *id,
                text,
                bytes,
            }));
        }
        for record in &self.trace.records {
            writer.line(&Line::Record(record.clone()));
        }
        for log in &self.trace.logs {
            writer.line(&Line::Log(log.clone()));
        }
        for span in &self.trace.spans {
            writer.line(&Line::Span(span.clone()));
        }
        writer.line(&Line::Verdict(self.verdict.clone()));
        let end = End {
            lines: writer.lines,
            fingerprint: self.trace.fingerprint(),
        };
        writer.line(&Line::End(end));
        writer.text
    }

    /// Reads what [`Recording::write`] wrote, and refuses anything else in words.
    pub fn read(text: &str) -> Result<Self, Error> {
        let mut lines = text.lines();
        let header = header(lines.next().unwrap_or_default())?;
        let tape = Tape {
            seed: header.seed,
            mode: header.mode,
            plan: header.plan.clone(),
            entries: Vec::new(),
        };
        let mut trace = Trace::new(header.replicas.clone(), tape);
        let mut verdict = None;
        let mut read = 1;
        while let Some(text) = lines.next() {
            let line = serde_json::from_str(text).map_err(|error| match error.is_eof() {
                true => Error::Cut { lines: read },
                false => Error::Line {
                    line: read + 1,
                    error: error.to_string(),
                },
            })?;
            match line {
                Line::ReconvergeRecording(_) => {
                    return Err(Error::Line {
                        line: read + 1,
                        error: "a second header".to_owned(),
                    });
                }
                Line::Choice(entry) => trace.tape.entries.push(entry),
                Line::Body(body) => {
                    let bytes = body.text.map(String::into_bytes).or(body.bytes);
                    if trace.keep(&bytes.unwrap_or_default().into()) != body.id {
                        return Err(Error::Altered);
                    }
                }
                Line::Record(record) => trace.records.push(record),
                Line::Log(log) => trace.logs.push(log),
                Line::Span(span) => trace.spans.push(span),
                Line::Verdict(said) => verdict = Some(said),
                Line::End(end) => {
                    let whole = end.lines == read
                        && end.fingerprint == trace.fingerprint()
                        && lines.next().is_none();
                    return match verdict {
                        Some(verdict) if whole => Ok(Self {
                            header,
                            trace,
                            verdict,
                        }),
                        _ => Err(Error::Altered),
                    };
                }
            }
            read += 1;
        }
        Err(Error::Cut { lines: read })
    }
}

/// Reads the first line, leniently where a newer format may have more to say.
fn header(line: &str) -> Result<Header, Error> {
    let json: serde_json::Value = serde_json::from_str(line).map_err(|error| {
        let ours = line.starts_with("{\"reconverge-recording\"");
        match ours && error.is_eof() {
            true => Error::Cut { lines: 0 },
            false => Error::Foreign,
        }
    })?;
    let header = json.get("reconverge-recording").ok_or(Error::Foreign)?;
    let found = header["format"]
        .as_u64()
        .filter(|format| *format > 0)
        .ok_or(Error::Foreign)?;
    if found > u64::from(FormatVersion::CURRENT.0) {
        return Err(Error::TooNew {
            found: u32::try_from(found).unwrap_or(u32::MAX),
        });
    }
    Header::deserialize(header).map_err(|error| Error::Line {
        line: 1,
        error: error.to_string(),
    })
}

#[derive(Default)]
struct Writer {
    text: String,
    lines: usize,
}

impl Writer {
    fn line(&mut self, line: &Line) {
        // Every type here has string keys and finite numbers only, so it always serialises.
        let json = serde_json::to_string(line).expect("a line of a recording serialises");
        writeln!(self.text, "{json}").expect("a String takes any text");
        self.lines += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn what_is_written_is_read_back_and_written_the_same() {
        let recording = example::lost_update();
        let text = recording.write();
        let read = Recording::read(&text).expect("reads back");
        assert_eq!(read.header, recording.header);
        assert_eq!(read.trace.records, recording.trace.records);
        assert_eq!(read.trace.tape, recording.trace.tape);
        assert_eq!(read.verdict, recording.verdict);
        assert_eq!(read.write(), text);
    }

    #[test]
    fn a_recording_cut_anywhere_is_refused() {
        let text = example::lost_update().write();
        for end in (1..text.len() - 1).filter(|end| text.is_char_boundary(*end)) {
            let error = Recording::read(&text[..end]).expect_err("is refused");
            let cut =
                matches!(error, Error::Cut { .. }) || (end < 30 && matches!(error, Error::Foreign));
            assert!(cut, "cut at {end}: {error}");
        }
    }

    #[test]
    fn a_foreign_or_altered_text_is_refused_in_words() {
        for foreign in [
            "",
            "hello",
            "{}",
            "{\"a\":1}\n",
            "scenario: x\nversion: 1\n",
            "[1]",
        ] {
            let error = Recording::read(foreign).expect_err(foreign);
            assert!(matches!(error, Error::Foreign), "{foreign}: {error}");
        }
        let text = example::lost_update().write();
        let newer = text.replacen("\"format\":1", "\"format\":9", 1);
        assert!(matches!(
            Recording::read(&newer),
            Err(Error::TooNew { found: 9 })
        ));
        let other = text.replacen("webapp-1", "webapp-7", 2).replacen(
            "\"status\":200",
            "\"status\":201",
            1,
        );
        assert!(matches!(Recording::read(&other), Err(Error::Altered)));
        let none = text.replacen("\"format\":1", "\"format\":0", 1);
        assert!(matches!(Recording::read(&none), Err(Error::Foreign)));
        let more = format!("{text}{}\n", text.lines().nth(1).unwrap_or_default());
        assert!(matches!(Recording::read(&more), Err(Error::Altered)));
        let strange = text.replacen("{\"record\"", "{\"rekord\"", 1);
        assert!(matches!(Recording::read(&strange), Err(Error::Line { .. })));
    }
}
