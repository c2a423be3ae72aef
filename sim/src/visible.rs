//! Text from outside — of operators, of objects, of recordings, of files — made safe to look at.
//!
//! Owns which characters a terminal or a reader would obey instead of seeing: control characters, and those that turn
//! the direction of a line or break it. They are written out (`\u{1b}`, `\r`), so that nothing of them is lost either.
//! Simplified: letters of other scripts that look like others stay as they are.

use std::borrow::Cow;

/// A text of several lines: line breaks and tabs stay.
pub fn text(text: &str) -> Cow<'_, str> {
    let wanted = |c| c != '\n' && c != '\t' && is_obeyed(c);
    written_out(text, wanted, |c| c.escape_default().to_string())
}

/// A text that must stay on its line: a cell of a table, a name.
pub fn line(text: &str) -> Cow<'_, str> {
    written_out(text, is_obeyed, |c| c.escape_default().to_string())
}

/// A text in JSON, which stays the same value.
pub fn json(text: &str) -> Cow<'_, str> {
    // None of these characters needs a pair of surrogates, and outside strings there are only line breaks.
    let wanted = |c| c != '\n' && is_obeyed(c);
    written_out(text, wanted, |c| format!("\\u{:04x}", u32::from(c)))
}

fn written_out(
    text: &str,
    wanted: impl Fn(char) -> bool,
    write: impl Fn(char) -> String,
) -> Cow<'_, str> {
    if !text.chars().any(&wanted) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match wanted(c) {
            true => out.push_str(&write(c)),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Whether a character is obeyed instead of seen.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Marks and overrides of direction, breaks of lines and paragraphs, the byte order mark.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        for (given, want) in [
            ("ready ✓ größer", "ready ✓ größer"),
            ("\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m"),
            ("done\rfailed", "done\\rfailed"),
            ("\u{9b}2J\u{7f}\0", "\\u{9b}2J\\u{7f}\\u{0}"),
            ("abc\u{202e}cba\u{2066}", "abc\\u{202e}cba\\u{2066}"),
        ] {
            assert_eq!((text(given), line(given)), (want.into(), want.into()));
        }
        assert_eq!(text("left\n\tright"), "left\n\tright");
        assert_eq!(line("left\n\tright"), "left\\n\\tright");
        let value = serde_json::json!({"a": "\u{9b}\u{202e}\n\u{1b}é"});
        let printed = format!("{value:#}");
        assert!(json(&printed).contains("\\u009b\\u202e\\n\\u001bé"));
        let read: serde_json::Value = serde_json::from_str(&json(&printed)).expect("it is JSON");
        assert_eq!(read, value);
    }
}
