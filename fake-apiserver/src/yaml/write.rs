//! YAML as the real server writes it: sorted keys, two spaces, long lines folded after column 80.
//!
//! Source: go-yaml v2 (`emitterc.go`, `encode.go`) as sigs.k8s.io/yaml uses it.

use super::resolve::is_text;
use crate::json::{self, Value};

/// Text longer than this is folded at the next blank.
const COLUMN_MAX: usize = 80;

/// A document.
pub fn to_string(value: &Value) -> String {
    let mut writer = Writer {
        out: String::new(),
        column: 0,
    };
    writer.node(value, 0, false);
    if !writer.out.ends_with('\n') {
        writer.out.push('\n');
    }
    writer.out
}

struct Writer {
    out: String,
    column: usize,
}

impl Writer {
    fn push(&mut self, text: &str) {
        self.out.push_str(text);
        match text.rfind('\n') {
            Some(at) => self.column = text[at + 1..].chars().count(),
            None => self.column += text.chars().count(),
        }
    }

    fn line(&mut self, indent: usize) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.push("\n");
        }
        self.push(&" ".repeat(indent));
    }

    /// Writes a value; `inline` says that the cursor stands behind `key:` or `-` on its line.
    fn node(&mut self, value: &Value, indent: usize, inline: bool) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (i, (key, value)) in map.iter().enumerate() {
                    if i > 0 || !inline {
                        self.line(indent);
                    }
                    self.scalar(key, indent, true);
                    self.push(":");
                    self.member(value, indent);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (i, item) in items.iter().enumerate() {
                    if i > 0 || !inline {
                        self.line(indent);
                    }
                    self.push("- ");
                    self.node(item, indent + 2, true);
                }
            }
            Value::Object(_) => self.push("{}"),
            Value::Array(_) => self.push("[]"),
            Value::String(text) => self.scalar(text, indent, false),
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e21 => {
                self.push(&format!("{number}"))
            }
            other => self.push(&json::to_string(other)),
        }
    }

    /// The value behind a key: lists stand at the key's own indent.
    fn member(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(map) if !map.is_empty() => self.node(value, indent + 2, false),
            Value::Array(items) if !items.is_empty() => self.node(value, indent, false),
            _ => {
                self.push(" ");
                self.node(value, indent + 2, true);
            }
        }
    }

    fn scalar(&mut self, text: &str, indent: usize, key: bool) {
        let printable = text.chars().all(|c| {
            c == '\n'
                || (c >= ' '
                    && !matches!(
                        c,
                        '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
                    )
                    || c == '\u{85}')
        });
        if text.contains('\n') && printable && !key && !text.contains(" \n") && text.trim() != "" {
            return self.literal(text, indent);
        }
        if !printable || text.contains('\n') || !is_text(text) {
            return self.double(text);
        }
        if plain(text) {
            self.folded(text, indent, key, "");
        } else {
            self.folded(text, indent, key, "'");
        }
    }

    fn folded(&mut self, text: &str, indent: usize, key: bool, quote: &str) {
        self.push(quote);
        let chars: Vec<char> = text.chars().collect();
        for (i, c) in chars.iter().enumerate() {
            let alone = *c == ' '
                && i > 0
                && i + 1 < chars.len()
                && chars[i - 1] != ' '
                && chars[i + 1] != ' ';
            if alone && !key && self.column > COLUMN_MAX {
                self.push("\n");
                self.push(&" ".repeat(indent));
            } else if *c == '\'' && quote == "'" {
                self.push("''");
            } else {
                self.push(c.encode_utf8(&mut [0; 4]));
            }
        }
        self.push(quote);
    }

    fn literal(&mut self, text: &str, indent: usize) {
        let hint = if text.starts_with([' ', '\n']) {
            "2"
        } else {
            ""
        };
        let chomp = match text.strip_suffix('\n') {
            None => "-",
            Some(rest) if rest.ends_with('\n') => "+",
            Some(_) => "",
        };
        self.push(&format!("|{hint}{chomp}"));
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            self.push("\n");
            if !line.is_empty() {
                self.push(&" ".repeat(indent));
                self.push(line);
            }
        }
        self.push("\n");
    }

    fn double(&mut self, text: &str) {
        let mut out = String::from("\"");
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\0' => out.push_str("\\0"),
                '\u{7}' => out.push_str("\\a"),
                '\u{8}' => out.push_str("\\b"),
                '\u{b}' => out.push_str("\\v"),
                '\u{c}' => out.push_str("\\f"),
                '\u{1b}' => out.push_str("\\e"),
                c if (c as u32) < 0x20 || ('\u{7f}'..='\u{9f}').contains(&c) => {
                    out.push_str(&format!("\\x{:02X}", c as u32))
                }
                '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                    out.push_str(&format!("\\u{:04X}", c as u32))
                }
                c => out.push(c),
            }
        }
        out.push('"');
        self.push(&out);
    }
}

/// Whether a text may stand without quotes in a block.
fn plain(text: &str) -> bool {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return false;
    };
    let second = chars.next();
    let followed = second.is_none_or(|c| c == ' ');
    let bad_start = matches!(
        first,
        '#' | ','
            | '['
            | ']'
            | '{'
            | '}'
            | '&'
            | '*'
            | '!'
            | '|'
            | '>'
            | '\''
            | '"'
            | '%'
            | '@'
            | '`'
    ) || (matches!(first, '-' | '?' | ':') && followed);
    let bad_inside =
        text.contains(": ") || text.ends_with(':') || text.contains(" #") || text.contains('\t');
    let bad_ends = text.starts_with(' ')
        || text.ends_with(' ')
        || text.starts_with("---")
        || text.starts_with("...");
    !bad_start && !bad_inside && !bad_ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn a12_documents_as_the_server_writes_them() {
        let value = json!({"kind": "X", "a": {}, "items": [{"b": "y", "c": [1, 2]}, "1", []], "t": "2026-01-01T00:00:00Z", "m": "two\nlines\n", "e": "", "d": {"n": null, "q": "a: b"}});
        let want = "a: {}\nd:\n  \"n\": null\n  q: 'a: b'\ne: \"\"\nitems:\n- b: \"y\"\n  c:\n  - 1\n  - 2\n- \"1\"\n- []\nkind: X\nm: |\n  two\n  lines\nt: \"2026-01-01T00:00:00Z\"\n";
        assert_eq!(to_string(&value), want);
    }

    #[test]
    fn a12_long_texts_are_folded_after_column_80() {
        let message = "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf";
        let want = "message: 'the body of the request was in an unknown format - accepted media types\n  include: application/json, application/yaml, application/vnd.kubernetes.protobuf'\n";
        assert_eq!(to_string(&json!({"message": message})), want);
    }
}
