//! Whether a plain scalar would be read as text: what is not has to be quoted.
//!
//! Source: go-yaml v2 `resolve.go`.

use crate::time::Timestamp;

/// True if a YAML 1.1 reader takes the plain scalar for text.
pub(super) fn is_text(text: &str) -> bool {
    const WORDS: [&str; 34] = [
        "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE",
        "on", "On", "ON", "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off",
        "OFF", ".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", "<<",
    ];
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if WORDS.contains(&text) || matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return false;
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return true;
    }
    !is_time(text) && !is_number(unsigned) && !is_base60(unsigned)
}

fn is_number(unsigned: &str) -> bool {
    let digits = unsigned.replace('_', "");
    let of =
        |digits: &str, radix: u32| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    if let Some(rest) = digits.strip_prefix("0x") {
        return of(rest, 16);
    }
    if let Some(rest) = digits.strip_prefix("0b") {
        return of(rest, 2);
    }
    if let Some(rest) = digits.strip_prefix("0o") {
        return of(rest, 8);
    }
    let start = |c: char| c.is_ascii_digit() || c == '.';
    digits.starts_with(start)
        && !digits.contains(['i', 'n', 'I', 'N'])
        && digits.parse::<f64>().is_ok()
}

/// A date, or a time with `T`, `t` or a blank between.
fn is_time(text: &str) -> bool {
    let date = |text: &str| {
        let parts: Vec<&str> = text.split('-').collect();
        let shape = |part: &str, max: usize| {
            (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
        };
        matches!(parts.as_slice(), [year, month, day] if year.len() == 4 && shape(year, 4) && shape(month, 2) && shape(day, 2))
    };
    if date(text) {
        return true;
    }
    let Some(at) = text.find(['T', 't', ' ']) else {
        return false;
    };
    let rest = text[at + 1..].trim();
    date(&text[..at])
        && (Timestamp::parse_rfc3339(&format!("{}T{rest}", &text[..at])).is_some()
            || Timestamp::parse_rfc3339(&format!("{}T{rest}Z", &text[..at])).is_some())
}

/// `1:30:00` and the like.
fn is_base60(text: &str) -> bool {
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    let mut rest = parts.peekable();
    let digits = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || b == b'_' || b == b'.')
    };
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && rest.peek().is_some()
        && rest.all(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a12_what_needs_quotes() {
        for text in [
            "yes",
            "~",
            "",
            "0x10",
            "1_000",
            "1.5",
            "2001-01-01",
            "2026-01-01T00:00:00Z",
            "1:30",
            "-.inf",
            "12",
        ] {
            assert!(!is_text(text), "{text}");
        }
        for text in ["abc", "1.2.3", "10.0.0.1", "1e", "v1", "-", "2001-01-01x"] {
            assert!(is_text(text), "{text}");
        }
    }
}
