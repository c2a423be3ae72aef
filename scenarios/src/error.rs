//! What a user can get wrong in a scenario file, with the place and what to do next.
//!
//! Owns the one error type of this crate. It is shown by `miette`: a message, the lines around the place, a hint.
//! Does not own findings of a run (those are data, `sim::verdict`) nor API answers (`Status` inside the simulated world).

use std::fmt;
use std::io;
use std::path::PathBuf;

use miette::{Diagnostic, LabeledSpan, SourceCode, SourceSpan};
use sim::visible;

use crate::source::Place;

/// A mistake in a scenario file or in one of the files it names.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct Error {
    /// What is wrong.
    pub problem: Box<Problem>,
    /// Where it is wrong; `None` if no file could be read.
    pub place: Option<Place>,
}

/// The kinds of mistakes. Each variant's documentation says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A file or folder cannot be read: check the path and its permissions.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The path that was tried.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// A folder holds no scenario at all: name another folder, or a file.
    #[error("no scenario under {}", path.display())]
    Empty {
        /// The folder that was searched.
        path: PathBuf,
    },
    /// The text is not YAML: mend it at the place shown.
    #[error("not valid YAML: {message}")]
    Yaml {
        /// What the YAML reader said.
        message: String,
    },
    /// A YAML file under a scenario folder that is no scenario: begin it with `scenario:`, or move it to `crds/` or `objects/`.
    #[error("this YAML file is no scenario: its first key is not `scenario`")]
    NotAScenario,
    /// A key that the format does not know: take the nearest known one, or remove it.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The keys allowed here.
        known: Vec<String>,
    },
    /// A word that is not one of a closed list: take one of the list.
    #[error("unknown {what} `{word}`")]
    UnknownWord {
        /// What the word should name, as `operator` or `property`.
        what: &'static str,
        /// The word as written.
        word: String,
        /// The words known here.
        known: Vec<String>,
        /// Anything more that helps, as how to register an operator.
        more: Option<String>,
    },
    /// A key that must be there: add it.
    #[error("missing key `{key}`")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A value that is not what the key takes: the hint shows the form.
    #[error("{message}")]
    Value {
        /// What is wrong with it.
        message: String,
        /// The form that is taken.
        hint: Option<String>,
    },
}

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error at a place.
    pub fn at(place: &Place, problem: Problem) -> Self {
        Self {
            problem: Box::new(problem),
            place: Some(place.clone()),
        }
    }

    /// A wrong value at a place, with the form that is taken.
    pub fn value(place: &Place, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::at(
            place,
            Problem::Value {
                message: message.into(),
                hint: Some(hint.into()),
            },
        )
    }

    /// A file or folder that cannot be read; `place` is where another file names it.
    pub fn read(path: impl Into<PathBuf>, error: io::Error, place: Option<&Place>) -> Self {
        Self {
            problem: Box::new(Problem::Read {
                path: path.into(),
                error,
            }),
            place: place.cloned(),
        }
    }

    /// The error as people read it: message, the lines around the place, hint; ends with a newline.
    pub fn render(&self, color: bool) -> String {
        let theme = match color {
            true => miette::GraphicalTheme::unicode(),
            false => miette::GraphicalTheme::unicode_nocolor(),
        };
        let handler = miette::GraphicalReportHandler::new_themed(theme)
            .with_width(120)
            // Lines end at blanks alone: a path that is cut in two can be neither opened nor copied.
            .with_break_words(false)
            .with_word_separator(textwrap::WordSeparator::AsciiSpace)
            .with_word_splitter(textwrap::WordSplitter::NoHyphenation)
            .with_links(false)
            .with_context_lines(2);
        let mut text = String::new();
        let shown = Shown {
            error: self,
            place: self.place.as_ref().map(Place::to_show),
        };
        match handler.render_report(&mut text, &shown) {
            Ok(()) => text,
            // The handler fails only where the place lies outside its text.
            Err(_) => format!("{shown}\n"),
        }
    }

    /// What to do next, if more can be said than the message says.
    pub fn hint(&self) -> Option<String> {
        match &*self.problem {
            Problem::Read { .. } => Some("check the path; a path inside a file is relative to that file".into()),
            Problem::Empty { .. } => Some(
                "a scenario is a .yaml file whose first key is `scenario`; `crds/` and `objects/` are skipped".into(),
            ),
            Problem::Yaml { .. } | Problem::MissingKey { .. } => None,
            Problem::NotAScenario => Some(
                "begin it with `scenario: NAME`, or move it to a folder named `crds` or `objects`".into(),
            ),
            Problem::UnknownKey { key, known } => Some(suggest(key, known)),
            Problem::UnknownWord {
                word, known, more, ..
            } => {
                let mut hint = suggest(word, known);
                if let Some(more) = more {
                    hint.push_str(". ");
                    hint.push_str(more);
                }
                Some(hint)
            }
            Problem::Value { hint, .. } => hint.clone(),
        }
    }
}

/// "did you mean …", else the whole list.
fn suggest(word: &str, known: &[String]) -> String {
    let list = || {
        if known.is_empty() {
            "nothing is known here".to_owned()
        } else {
            format!("known here: {}", known.join(", "))
        }
    };
    match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`? {}", list()),
        None => list(),
    }
}

/// The known word nearest to `word`, if any is near enough to be meant.
pub fn nearest<'a>(word: &str, known: &'a [String]) -> Option<&'a str> {
    known
        .iter()
        .map(|k| {
            (
                strsim::damerau_levenshtein(&word.to_lowercase(), &k.to_lowercase()),
                k,
            )
        })
        .filter(|(distance, k)| *distance <= 1 + k.len().max(word.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k.as_str())
}

/// An error as a terminal can take it: nothing in it is obeyed instead of seen.
#[derive(Debug, thiserror::Error)]
#[error("{}", visible::text(&error.to_string()))]
struct Shown<'e> {
    error: &'e Error,
    place: Option<Place>,
}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(visible::text(&self.error.hint()?).into_owned()))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.place.as_ref()? as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.place.as_ref()?;
        let label = LabeledSpan::new(Some("here".into()), place.offset, place.len);
        Some(Box::new(std::iter::once(label)))
    }
}

impl SourceCode for Place {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        context_lines_before: usize,
        context_lines_after: usize,
    ) -> std::result::Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let contents =
            self.source
                .text
                .read_span(span, context_lines_before, context_lines_after)?;
        Ok(Box::new(miette::MietteSpanContents::new_named(
            visible::line(&self.source.path.to_string_lossy()).into_owned(),
            contents.data(),
            *contents.span(),
            contents.line(),
            contents.column(),
            contents.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_moves_no_cursor() {
        let hostile = "\u{1b}[2J\r\u{202e}";
        let source =
            crate::source::Source::new(format!("{hostile}.yaml"), format!("{hostile}: 1\n"));
        let place = Place::new(&source, 1, 1, 3);
        for error in [
            Error::value(&place, hostile, hostile),
            Error::at(
                &place,
                Problem::UnknownKey {
                    key: hostile.to_owned(),
                    known: vec![hostile.to_owned()],
                },
            ),
            Error::read(hostile, io::Error::other(hostile), None),
        ] {
            let text = error.render(false);
            let obeyed = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!text.contains(obeyed), "{text:?}");
            assert!(text.contains("\\u{1b}[2J\\r\\u{202e}"), "{text}");
        }
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["replicas".to_owned(), "run".to_owned()];
        assert_eq!(nearest("replica", &known), Some("replicas"));
        assert_eq!(nearest("Rnu", &known), Some("run"));
        assert_eq!(nearest("quite-another-thing", &known), None);
    }
}
