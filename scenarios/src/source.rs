//! A text file that was read, and a place in it.
//!
//! Owns the pairing of text and name, so that an error can always show where it happened. Does not own reading from
//! disk (`load`) nor parsing (`tree`).

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sim::visible;

/// One file as it was read: the name people know it by, and its text.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The path as the user wrote it, or as it follows from the file that names it.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// Pairs a text with its name.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            path: path.into(),
            text: text.into(),
        })
    }
}

/// A place in a [`Source`]: where a key or a value stands.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub source: Arc<Source>,
    /// Byte offset of the first character.
    pub offset: usize,
    /// Length in bytes; never beyond the end of the first line.
    pub len: usize,
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
}

impl Place {
    /// The place at `line` and `column` (both from 1), `len` bytes long but never past the end of that line.
    pub fn new(source: &Arc<Source>, line: u64, column: u64, len: usize) -> Self {
        let (line, column) = (line.max(1), column.max(1));
        let text = &source.text;
        let start = text
            .split_inclusive('\n')
            .take(line as usize - 1)
            .map(str::len)
            .sum::<usize>();
        let rest = text[start..].split(['\n', '\r']).next().unwrap_or_default();
        let skipped: usize = rest
            .chars()
            .take(column as usize - 1)
            .map(char::len_utf8)
            .sum();
        let mut len = len.min(rest.len() - skipped);
        while !rest.is_char_boundary(skipped + len) {
            len -= 1;
        }
        Self {
            source: source.clone(),
            offset: start + skipped,
            len,
            line,
            column,
        }
    }

    /// The very beginning of a file: for errors about the file as a whole.
    pub fn start(source: &Arc<Source>) -> Self {
        Self::new(source, 1, 1, 0)
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// The same place in a text that a terminal can take: long lines cut around the place, control
    /// characters written out.
    pub(crate) fn to_show(&self) -> Self {
        let text = &self.source.text;
        let near = |n: usize| (self.line as usize).abs_diff(n + 1) <= 2;
        let tame =
            |line: &str| line.len() <= LINE_MAX && matches!(visible::text(line), Cow::Borrowed(_));
        let lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
        let lines = lines.enumerate();
        if lines
            .clone()
            .filter(|(n, _)| near(*n))
            .all(|(_, line)| tame(line))
        {
            return self.clone();
        }
        let before = (self.column as usize - 1).saturating_sub(LINE_MAX / 2);
        let (mut column, mut len) = (self.column, self.len);
        let mut shown = Vec::new();
        for (n, line) in lines {
            let here = n as u64 + 1 == self.line;
            let from = if here { before } else { 0 };
            let mut cut = String::new();
            if from > 0 {
                cut.push('…');
            }
            let mut chars = line.chars().skip(from);
            if here {
                // What is written out takes more room, before the place and in it.
                let lead: String = chars
                    .by_ref()
                    .take(self.column as usize - 1 - from)
                    .collect();
                cut.push_str(&visible::text(&lead));
                column = cut.chars().count() as u64 + 1;
                let word = &text[self.offset..self.offset + self.len];
                let word: String = word.chars().take(LINE_MAX / 2).collect();
                len = visible::text(&word).len();
                cut.push_str(&visible::text(&word));
                let skipped = word.chars().count();
                chars = line.chars().skip(self.column as usize - 1 + skipped);
            }
            let rest: String = chars
                .by_ref()
                .take(if near(n) { LINE_MAX } else { 0 })
                .collect();
            cut.push_str(&visible::text(&rest));
            if near(n) && chars.next().is_some() {
                cut.push('…');
            }
            shown.push(cut);
        }
        let source = Source::new(&self.source.path, shown.join("\n"));
        Self::new(&source, self.line, column, len)
    }
}

/// A line longer than this is cut where it is shown.
const LINE_MAX: usize = 160;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}",
            self.source.path.display(),
            self.line,
            self.column
        )
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_characters_but_points_at_bytes() {
        let source = Source::new("a.yaml", "first: 1\nsümmary: x\n");
        let place = Place::new(&source, 2, 10, 99);
        assert_eq!(&source.text[place.offset..place.offset + place.len], "x");
        assert_eq!(place.to_string(), "a.yaml:2:10");
    }

    #[test]
    fn a_place_is_shown_without_what_a_terminal_would_obey() {
        let source = Source::new(
            "a.yaml",
            format!("a: \u{1b}[31m\nb: {}x\n", "y".repeat(9_000)),
        );
        let place = Place::new(&source, 2, 9_004, 1);
        let shown = place.to_show();
        let text = &shown.source.text;
        assert_eq!(&text[shown.offset..shown.offset + shown.len], "x");
        assert!(
            text.starts_with("a: \\u{1b}[31m\n…y") && text.len() < 300,
            "{text}"
        );
        assert_eq!(shown.line, 2);
        let tame = Place::new(&Source::new("a.yaml", "a: 1\r\n"), 1, 4, 1);
        assert_eq!(tame.to_show(), tame);
        let source = Source::new("a.yaml", "\u{1b}é: \u{202e}b\u{7}c end\n");
        let shown = Place::new(&source, 1, 5, 6).to_show();
        let text = &shown.source.text;
        assert_eq!(text, "\\u{1b}é: \\u{202e}b\\u{7}c end\n");
        assert_eq!(
            &text[shown.offset..shown.offset + shown.len],
            "\\u{202e}b\\u{7}c"
        );
    }

    #[test]
    fn a_place_beyond_the_text_stays_inside_it() {
        let source = Source::new("a.yaml", "x: 1\n");
        let place = Place::new(&source, 9, 9, 9);
        assert_eq!((place.offset, place.len), (5, 0));
    }
}
