//! Parsing bytes into a [`Value`] in the manner of Go's scanner: its error texts, lenient about invalid UTF-8 (replaced by
//! U+FFFD), strict about everything else, and reporting duplicate keys with their path.

use super::{CompactString, Map, Value};

/// Deepest nesting accepted.
pub const DEPTH_MAX: usize = 512;

/// What becomes of an object key that appears twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// The last value wins whole (untyped decoding: custom resources, patches).
    Last,
    /// Objects are merged, other values replaced (typed decoding of built-in kinds decodes twice into one map).
    Merge,
}

/// A parsed document.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The value.
    pub value: Value,
    /// Paths of keys that appeared more than once (`spec.items[0].name`), in order of appearance, once each.
    pub duplicates: Vec<String>,
}

/// Why a document is not JSON, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// Go's message.
    pub message: String,
    /// Byte at which it was noticed.
    pub offset: usize,
}

/// Parses one JSON document; the last of duplicate keys wins silently.
pub fn parse(bytes: &[u8]) -> Result<Value, ParseError> {
    parse_with(bytes, Duplicates::Last).map(|parsed| parsed.value)
}

/// Parses one JSON document and reports duplicate keys.
pub fn parse_with(bytes: &[u8], policy: Duplicates) -> Result<Parsed, ParseError> {
    let mut parser = Parser {
        bytes,
        text: std::str::from_utf8(bytes).ok(),
        at: 0,
        depth: 0,
        policy,
        path: Vec::new(),
        duplicates: Vec::new(),
    };
    parser.blanks();
    let value = parser.value()?;
    parser.blanks();
    match parser.peek() {
        None => Ok(Parsed {
            value,
            duplicates: parser.duplicates,
        }),
        Some(_) => Err(parser.unexpected("after top-level value")),
    }
}

/// Bytes at which the plain part of a string ends: those that stand in none as they are.
pub(super) const STRING_ENDS: [bool; 256] = {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 0x20 {
        table[i] = true;
        i += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

enum Step {
    Key(CompactString),
    Index(usize),
}

struct Parser<'a> {
    bytes: &'a [u8],
    /// The same where all of it is UTF-8, so that its strings need not be looked at one by one.
    text: Option<&'a str>,
    at: usize,
    depth: usize,
    policy: Duplicates,
    path: Vec<Step>,
    duplicates: Vec<String>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError {
            message: message.into(),
            offset: self.at,
        }
    }

    /// The error at the current byte, or at the end of the input.
    fn unexpected(&self, context: &str) -> ParseError {
        match self.peek() {
            None => self.error("unexpected end of JSON input"),
            Some(byte) => self.error(format!("invalid character {} {context}", quote_char(byte))),
        }
    }

    fn value(&mut self) -> Result<Value, ParseError> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(Value::String),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn nested(
        &mut self,
        parse: fn(&mut Self) -> Result<Value, ParseError>,
    ) -> Result<Value, ParseError> {
        if self.depth == DEPTH_MAX {
            return Err(self.error("exceeded max depth"));
        }
        self.depth += 1;
        self.at += 1;
        let value = parse(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Value, ParseError> {
        let mut map = Map::new();
        // A large object with keys out of order is sorted once at its end: inserting one by one would be quadratic.
        let mut late: Vec<(CompactString, Value)> = Vec::new();
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(map));
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let key = self.string()?;
            self.blanks();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("after object key"));
            }
            self.at += 1;
            self.blanks();
            self.path.push(Step::Key(key));
            let value = self.value()?;
            let Some(Step::Key(key)) = self.path.pop() else {
                unreachable!("the key pushed above is on top");
            };
            if !late.is_empty()
                || (map.len() >= 64 && map.keys().next_back().is_some_and(|last| last >= &*key))
            {
                late.push((key, value));
            } else {
                self.put(&mut map, key, value);
            }
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    if !late.is_empty() {
                        let mut all: Vec<(CompactString, Value)> = map.into_iter().collect();
                        all.append(&mut late);
                        all.sort_by(|a, b| a.0.cmp(&b.0));
                        map = Map::with_capacity(all.len());
                        for (key, value) in all {
                            self.put(&mut map, key, value);
                        }
                    }
                    return Ok(Value::Object(map));
                }
                _ => return Err(self.unexpected("after object key:value pair")),
            }
        }
    }

    fn put(&mut self, map: &mut Map, key: CompactString, value: Value) {
        let Err((key, value)) = map.push(key, value) else {
            return;
        };
        if map.contains_key(&key) {
            // A hundred are told, as the real decoder does.
            if self.duplicates.len() < 100 {
                let path = self.path_text(&key);
                if !self.duplicates.contains(&path) {
                    self.duplicates.push(path);
                }
            }
            if self.policy == Duplicates::Merge {
                merge_into(map.get_or_insert(&key, Value::Null), value);
                return;
            }
        }
        map.insert(key, value);
    }

    fn path_text(&self, key: &str) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) if text.is_empty() => text.push_str(key),
                Step::Key(key) => {
                    text.push('.');
                    text.push_str(key);
                }
                Step::Index(i) => text.push_str(&format!("[{i}]")),
            }
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(key);
        text
    }

    fn array(&mut self) -> Result<Value, ParseError> {
        let mut items = Vec::new();
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            self.blanks();
            self.path.push(Step::Index(items.len()));
            items.push(self.value()?);
            self.path.pop();
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                _ => return Err(self.unexpected("after array element")),
            }
        }
    }

    fn literal(&mut self, word: &'static str, value: Value) -> Result<Value, ParseError> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return Err(self.unexpected(&format!(
                    "in literal {word} (expecting '{}')",
                    expected as char
                )));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, ParseError> {
        let start = self.at;
        let mut whole = true;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        if self.peek() == Some(b'.') {
            whole = false;
            self.at += 1;
            if !matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.unexpected("after decimal point in numeric literal"));
            }
            self.digits();
        }
        if let Some(b'e' | b'E') = self.peek() {
            whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if !matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.unexpected("in exponent of numeric literal"));
            }
            self.digits();
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).expect("digits are ASCII");
        if whole {
            if let Ok(number) = text.parse::<i64>() {
                return Ok(Value::Int(number));
            }
            if let Ok(number) = text.parse::<u64>() {
                return Ok(Value::UInt(number));
            }
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(self.error(format!(
                "json: cannot unmarshal number {text} into Go value of type float64"
            ))),
        }
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<CompactString, ParseError> {
        self.at += 1;
        let start = self.at;
        // The common case has nothing to unescape and is copied once.
        let rest = &self.bytes[start..];
        let ends = |byte: &u8| STRING_ENDS[*byte as usize];
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        self.at = start + length;
        match self.peek() {
            Some(b'"') => {
                let range = start..self.at;
                self.at += 1;
                return Ok(match self.text.and_then(|text| text.get(range.clone())) {
                    Some(text) => CompactString::from(text),
                    None => CompactString::from_utf8_lossy(&self.bytes[range]),
                });
            }
            Some(b'\\') => {}
            _ => return Err(self.unexpected("in string literal")),
        }
        let mut out = self.bytes[start..self.at].to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(CompactString::from_utf8_lossy(&out));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escape()?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(byte) if byte >= 0x20 => {
                    out.push(byte);
                    self.at += 1;
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ParseError> {
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => c as char,
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                let high = self.hex4()?;
                return Ok(self.surrogates(high));
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        Ok(c)
    }

    fn hex4(&mut self) -> Result<u32, ParseError> {
        let mut code = 0;
        for _ in 0..4 {
            match self.peek().and_then(|byte| (byte as char).to_digit(16)) {
                Some(digit) => code = code * 16 + digit,
                None => return Err(self.unexpected("in \\u hexadecimal character escape")),
            }
            self.at += 1;
        }
        Ok(code)
    }

    /// Joins a surrogate pair; a lone half becomes U+FFFD.
    fn surrogates(&mut self, high: u32) -> char {
        if let Some(c) = char::from_u32(high) {
            return c;
        }
        if high < 0xdc00 && self.bytes[self.at..].starts_with(b"\\u") {
            let mark = self.at;
            self.at += 2;
            if let Ok(low @ 0xdc00..=0xdfff) = self.hex4() {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return char::from_u32(code).unwrap_or('\u{fffd}');
            }
            self.at = mark;
        }
        '\u{fffd}'
    }
}

fn merge_into(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                match old.get_mut(&key) {
                    Some(here) => merge_into(here, value),
                    None => {
                        old.insert(key, value);
                    }
                }
            }
        }
        (old, new) => *old = new,
    }
}

/// Go's quoting of an offending byte: `'x'`, `'\''`, `'"'`, and escapes for what does not print.
fn quote_char(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0x07 => r"'\a'".to_owned(),
        0x08 => r"'\b'".to_owned(),
        0x0b => r"'\v'".to_owned(),
        0x0c => r"'\f'".to_owned(),
        0x20..=0x7e => format!("'{}'", byte as char),
        0..=0x1f | 0x7f => format!(r"'\x{byte:02x}'"),
        // Go shows the byte as the Latin-1 character of that number.
        0x80..=0x9f => format!(r"'\u{byte:04x}'"),
        _ => format!("'{}'", byte as char),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str, want: &str) {
        assert_eq!(parse(text.as_bytes()).unwrap_err().message, want, "{text}");
    }

    #[test]
    fn errors_in_go_words() {
        fails("", "unexpected end of JSON input");
        fails("{\"a\"", "unexpected end of JSON input");
        fails("x", "invalid character 'x' looking for beginning of value");
        fails(
            "{a}",
            "invalid character 'a' looking for beginning of object key string",
        );
        fails("{\"a\" 1}", "invalid character '1' after object key");
        fails(
            "{\"a\":1 2}",
            "invalid character '2' after object key:value pair",
        );
        fails("[1 2]", "invalid character '2' after array element");
        fails("{} {}", "invalid character '{' after top-level value");
        fails(
            "trux",
            "invalid character 'x' in literal true (expecting 'e')",
        );
        fails("\"a\nb\"", "invalid character '\\n' in string literal");
        fails("01", "invalid character '1' after top-level value");
        fails(
            "\u{feff}{}",
            "invalid character 'ï' looking for beginning of value",
        );
    }

    #[test]
    fn numbers_keep_their_kind() {
        assert_eq!(parse(b"9223372036854775807"), Ok(Value::Int(i64::MAX)));
        assert_eq!(parse(b"18446744073709551615"), Ok(Value::UInt(u64::MAX)));
        assert_eq!(parse(b"1.0"), Ok(Value::Float(1.0)));
        assert!(parse(b"1e400").is_err());
    }

    #[test]
    fn bad_unicode_is_replaced() {
        assert_eq!(parse(b"\"a\xffb\"").unwrap(), "a\u{fffd}b");
        assert_eq!(parse(br#""\ud83d\ude00\ud83d""#).unwrap(), "😀\u{fffd}");
    }

    #[test]
    fn duplicates_are_reported_with_their_path() {
        let text = br#"{"data":{"k":"1"},"list":[{"a":1,"a":2,"a":3}],"data":{"j":"2"}}"#;
        let last = parse_with(text, Duplicates::Last).unwrap();
        assert_eq!(last.duplicates, ["list[0].a", "data"]);
        assert_eq!(last.value["data"].to_string(), r#"{"j":"2"}"#);
        let merged = parse_with(text, Duplicates::Merge).unwrap();
        assert_eq!(merged.value["data"].to_string(), r#"{"j":"2","k":"1"}"#);
    }

    #[test]
    fn hostile_nesting_is_refused() {
        fails(&"[".repeat(10_000), "exceeded max depth");
    }
}
