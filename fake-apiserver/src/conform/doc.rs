//! JSON documents as the recordings hold them: keys in file order, numbers as written.
//!
//! Owns a parser and a writer that lose nothing of a recording: a request body goes out with its keys in file order,
//! and `1.0` stays different from `1`. It is not the server's `json::Value`, which sorts keys and reads numbers.

use std::fmt::Write as _;

/// Nesting beyond this is read as text: no recorded answer comes near it.
const DEPTH_MAX: usize = 400;

/// One JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Doc {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it was written.
    Number(String),
    /// A string.
    String(String),
    /// A list.
    Array(Vec<Doc>),
    /// An object: keys in the order met, the last value of a repeated key.
    Object(Vec<(String, Doc)>),
}

impl Doc {
    /// Reads one JSON document; `None` when the bytes are anything else.
    pub fn parse(bytes: &[u8]) -> Option<Doc> {
        let mut parser = Parser { bytes, at: 0 };
        let value = parser.value(0)?;
        parser.space();
        (parser.at == bytes.len()).then_some(value)
    }

    /// A body as compared: JSON, else `{"$text": …}`, else `{"$base64": …}`; nothing is `null`.
    pub fn of_body(bytes: &[u8]) -> Doc {
        use base64::Engine as _;
        if bytes.is_empty() {
            return Doc::Null;
        }
        if let Some(doc) = Doc::parse(bytes) {
            return doc;
        }
        let (key, text) = match std::str::from_utf8(bytes) {
            Ok(text) => ("$text", text.to_string()),
            Err(_) => (
                "$base64",
                base64::engine::general_purpose::STANDARD.encode(bytes),
            ),
        };
        Doc::Object(vec![(key.to_string(), Doc::String(text))])
    }

    /// The bytes that a recorded body stands for, written as the recorder wrote them.
    pub fn to_body(&self) -> Vec<u8> {
        use base64::Engine as _;
        if let Doc::Object(entries) = self
            && let [(key, Doc::String(text))] = entries.as_slice()
        {
            match key.as_str() {
                "$text" => return text.clone().into_bytes(),
                "$base64" => {
                    return base64::engine::general_purpose::STANDARD
                        .decode(text)
                        .unwrap_or_else(|_| text.clone().into_bytes());
                }
                _ => {}
            }
        }
        let mut out = String::new();
        self.write(&mut out, ", ", ": ");
        out.into_bytes()
    }

    /// The document on one line without spaces.
    pub fn to_compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, ",", ":");
        out
    }

    /// A member of an object.
    pub fn get(&self, key: &str) -> Option<&Doc> {
        match self {
            Doc::Object(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Doc::String(text) => Some(text),
            _ => None,
        }
    }

    /// The members of an object; none for anything else.
    pub fn entries(&self) -> &[(String, Doc)] {
        match self {
            Doc::Object(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list; none for anything else.
    pub fn elements(&self) -> &[Doc] {
        match self {
            Doc::Array(elements) => elements,
            _ => &[],
        }
    }

    /// The value at a JSON pointer.
    pub fn pointer(&self, pointer: &str) -> Option<&Doc> {
        let mut at = self;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            at = match at {
                Doc::Array(elements) => elements.get(part.parse::<usize>().ok()?)?,
                other => other.get(&part)?,
            };
        }
        Some(at)
    }

    /// Takes the value at a pointer away; `*` stands for every member and element.
    pub fn remove(&mut self, pointer: &str) {
        let parts: Vec<String> = pointer
            .trim_start_matches('/')
            .split('/')
            .map(|p| p.replace("~1", "/").replace("~0", "~"))
            .collect();
        remove(self, &parts);
    }

    /// Merges a patch into the document (RFC 7386).
    pub fn merge(&mut self, patch: &Doc) {
        let Doc::Object(changes) = patch else {
            *self = patch.clone();
            return;
        };
        if !matches!(self, Doc::Object(_)) {
            *self = Doc::Object(Vec::new());
        }
        let Doc::Object(entries) = self else { return };
        for (key, change) in changes {
            if *change == Doc::Null {
                entries.retain(|(k, _)| k != key);
            } else if let Some((_, old)) = entries.iter_mut().find(|(k, _)| k == key) {
                old.merge(change);
            } else {
                let mut fresh = Doc::Null;
                fresh.merge(change);
                entries.push((key.clone(), fresh));
            }
        }
    }

    /// The document with the keys of every object sorted.
    #[must_use]
    pub fn sorted(&self) -> Doc {
        match self {
            Doc::Array(elements) => Doc::Array(elements.iter().map(Doc::sorted).collect()),
            Doc::Object(entries) => {
                let mut entries: Vec<_> = entries
                    .iter()
                    .map(|(k, v)| (k.clone(), v.sorted()))
                    .collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                Doc::Object(entries)
            }
            other => other.clone(),
        }
    }

    fn write(&self, out: &mut String, comma: &str, colon: &str) {
        match self {
            Doc::Null => out.push_str("null"),
            Doc::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Doc::Number(text) => out.push_str(text),
            Doc::String(text) => write_string(out, text),
            Doc::Array(elements) => {
                out.push('[');
                for (i, element) in elements.iter().enumerate() {
                    if i > 0 {
                        out.push_str(comma);
                    }
                    element.write(out, comma, colon);
                }
                out.push(']');
            }
            Doc::Object(entries) => {
                out.push('{');
                for (i, (key, value)) in entries.iter().enumerate() {
                    if i > 0 {
                        out.push_str(comma);
                    }
                    write_string(out, key);
                    out.push_str(colon);
                    value.write(out, comma, colon);
                }
                out.push('}');
            }
        }
    }
}

/// A string member, for building documents.
impl From<&str> for Doc {
    fn from(text: &str) -> Doc {
        Doc::String(text.to_string())
    }
}

fn remove(doc: &mut Doc, parts: &[String]) {
    let [head, rest @ ..] = parts else { return };
    match doc {
        Doc::Object(entries) if rest.is_empty() => {
            entries.retain(|(k, _)| k != head && head != "*")
        }
        Doc::Object(entries) => {
            for (_, value) in entries.iter_mut().filter(|(k, _)| k == head || head == "*") {
                remove(value, rest);
            }
        }
        Doc::Array(elements) if head == "*" => {
            for element in elements {
                remove(element, rest);
            }
        }
        Doc::Array(elements) => {
            let Ok(index) = head.parse::<usize>() else {
                return;
            };
            if rest.is_empty() && index < elements.len() {
                elements.remove(index);
            } else if let Some(element) = elements.get_mut(index) {
                remove(element, rest);
            }
        }
        _ => {}
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.bytes.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    fn word(&mut self, word: &str, value: Doc) -> Option<Doc> {
        self.bytes[self.at..].starts_with(word.as_bytes()).then(|| {
            self.at += word.len();
            value
        })
    }

    fn value(&mut self, depth: usize) -> Option<Doc> {
        self.space();
        match *self.bytes.get(self.at)? {
            b'{' if depth < DEPTH_MAX => self.object(depth),
            b'[' if depth < DEPTH_MAX => self.array(depth),
            b'"' => self.string().map(Doc::String),
            b'n' => self.word("null", Doc::Null),
            b't' => self.word("true", Doc::Bool(true)),
            b'f' => self.word("false", Doc::Bool(false)),
            b'-' | b'0'..=b'9' => self.number(),
            _ => None,
        }
    }

    fn object(&mut self, depth: usize) -> Option<Doc> {
        self.at += 1;
        let mut entries: Vec<(String, Doc)> = Vec::new();
        self.space();
        if self.take(b'}').is_some() {
            return Some(Doc::Object(entries));
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.take(b':')?;
            let value = self.value(depth + 1)?;
            match entries.iter_mut().find(|(k, _)| *k == key) {
                Some((_, old)) => *old = value,
                None => entries.push((key, value)),
            }
            self.space();
            if self.take(b',').is_none() {
                self.take(b'}')?;
                return Some(Doc::Object(entries));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Doc> {
        self.at += 1;
        let mut elements = Vec::new();
        self.space();
        if self.take(b']').is_some() {
            return Some(Doc::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            self.space();
            if self.take(b',').is_none() {
                self.take(b']')?;
                return Some(Doc::Array(elements));
            }
        }
    }

    fn number(&mut self) -> Option<Doc> {
        let start = self.at;
        while matches!(
            self.bytes.get(self.at),
            Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
        ) {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).ok()?;
        text.parse::<f64>().ok()?;
        Some(Doc::Number(text.to_string()))
    }

    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut out: Vec<u8> = Vec::new();
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return String::from_utf8(out).ok();
                }
                b'\\' => {
                    let c = self.escape()?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                byte if byte < 0x20 => return None,
                byte => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let kind = *self.bytes.get(self.at + 1)?;
        self.at += 2;
        Some(match kind {
            b'"' | b'\\' | b'/' => kind as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return Some(char::from_u32(first).unwrap_or('\u{fffd}'));
                }
                if !self.bytes[self.at..].starts_with(b"\\u") {
                    return Some('\u{fffd}');
                }
                self.at += 2;
                let second = self.hex()?;
                let code =
                    0x10000 + ((first - 0xd800) << 10) + (second.wrapping_sub(0xdc00) & 0x3ff);
                char::from_u32(code).unwrap_or('\u{fffd}')
            }
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = std::str::from_utf8(self.bytes.get(self.at..self.at + 4)?).ok()?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Doc {
        Doc::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn keeps_key_order_and_numbers() {
        let doc = parse(r#"{"b": 1.0, "a": [1, -2e3, "x\n\u00e9\ud83d\ude00"]}"#);
        assert_eq!(doc.to_compact(), "{\"b\":1.0,\"a\":[1,-2e3,\"x\\né😀\"]}");
        assert_eq!(
            String::from_utf8(doc.to_body()).unwrap(),
            "{\"b\": 1.0, \"a\": [1, -2e3, \"x\\né😀\"]}"
        );
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in [
            "",
            "{",
            "nul",
            "[1,]",
            "{\"a\" 1}",
            "1 2",
            "\"a\nb\"",
            "--1",
        ] {
            assert_eq!(Doc::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Doc::parse("[".repeat(10_000).as_bytes()), None);
    }

    #[test]
    fn bodies_that_are_not_json_are_text_or_base64() {
        assert_eq!(Doc::of_body(b""), Doc::Null);
        assert_eq!(Doc::of_body(b"ok").to_compact(), r#"{"$text":"ok"}"#);
        assert_eq!(
            Doc::of_body(&[0xff, 0]).to_compact(),
            r#"{"$base64":"/wA="}"#
        );
        assert_eq!(Doc::of_body(&[0xff, 0]).to_body(), vec![0xff, 0]);
    }

    #[test]
    fn removes_by_pointer() {
        let mut doc = parse(r#"{"items":[{"a":1,"b":2},{"a":3}],"c~d/e":1}"#);
        doc.remove("/items/*/a");
        doc.remove("/c~0d~1e");
        assert_eq!(doc.to_compact(), r#"{"items":[{"b":2},{}]}"#);
    }

    #[test]
    fn merges_as_rfc_7386() {
        let mut doc = parse(r#"{"a":{"b":1,"c":2},"d":[1]}"#);
        doc.merge(&parse(
            r#"{"a":{"b":null,"e":{"f":null,"g":1}},"d":{"x":1}}"#,
        ));
        assert_eq!(doc.to_compact(), r#"{"a":{"c":2,"e":{"g":1}},"d":{"x":1}}"#);
    }
}
