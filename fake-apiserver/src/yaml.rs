//! YAML bodies: from bytes to a [`Value`], in the manner of the YAML 1.1 library the real server uses (F1a, D15).
//!
//! Owns the resolution of plain scalars (`yes` is a boolean, dates stay strings), keys that become strings, anchors, merge
//! keys, duplicate keys and the wording of errors. The grammar is the parser crate's. Only the first document is read.
//! Simplification: errors deep inside the grammar have the real library's wording for the common cases only.
//! Source: sigs.k8s.io/yaml (goyaml.v2).

mod resolve;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};

use crate::json::{CompactString, DEPTH_MAX, Map, Parsed, Value};
use crate::status::go_quote;

pub use write::to_string;

/// Nodes that aliases may add to a document.
const ALIASED_NODES_MAX: usize = 100_000;

/// Parses the first document. Duplicate keys are told as `line N: key "k" already set in map`.
pub fn parse(bytes: &[u8]) -> Result<Parsed, String> {
    // Most bodies are JSON, which is YAML too.
    if bytes.first() == Some(&b'{')
        && let Ok(parsed) = crate::json::parse_with(bytes, crate::json::Duplicates::Last)
        && parsed.duplicates.is_empty()
    {
        return Ok(parsed);
    }
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader {
        text: &text,
        parser: Parser::new_from_str(&text),
        anchors: BTreeMap::new(),
        duplicates: Vec::new(),
        aliased: 0,
        depth: 0,
    };
    let value = reader.document()?;
    Ok(Parsed {
        value,
        duplicates: reader.duplicates,
    })
}

struct Reader<'i> {
    text: &'i str,
    parser: Parser<'i, granit_parser::StrInput<'i>>,
    anchors: BTreeMap<usize, (Value, usize)>,
    duplicates: Vec<String>,
    aliased: usize,
    depth: usize,
}

impl<'i> Reader<'i> {
    fn next(&mut self) -> Result<Option<(Event<'i>, Span)>, String> {
        loop {
            match self.parser.next_event() {
                None => return Ok(None),
                Some(Err(error)) => return Err(wording(&error, self.text)),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(next)) => return Ok(Some(next)),
            }
        }
    }

    fn document(&mut self) -> Result<Value, String> {
        while let Some((event, _)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentStart(..) => {}
                Event::StreamEnd | Event::DocumentEnd => break,
                event => return self.node(event),
            }
        }
        Ok(Value::Null)
    }

    fn node(&mut self, event: Event<'i>) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("yaml: exceeded max depth".to_owned());
        }
        let nodes = self.aliased;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let string = tag.is_some_and(|tag| tag.suffix().ends_with("str"));
                let value = if plain && !string {
                    resolve(&text)
                } else {
                    Value::from(text.as_ref())
                };
                (value, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.sequence()?, anchor),
            Event::MappingStart(_, anchor, _) => (self.mapping()?, anchor),
            Event::Alias(id) => {
                let Some((value, size)) = self.anchors.get(&id) else {
                    return Err("yaml: unknown anchor referenced".to_owned());
                };
                let value = value.clone();
                self.aliased += size;
                if self.aliased > ALIASED_NODES_MAX {
                    return Err("yaml: document contains excessive aliasing".to_owned());
                }
                (value, 0)
            }
            _ => (Value::Null, 0),
        };
        self.depth -= 1;
        if anchor != 0 {
            let size = count(&value) + (self.aliased - nodes);
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok(value)
    }

    fn sequence(&mut self) -> Result<Value, String> {
        let mut items = Vec::new();
        while let Some((event, _)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            items.push(self.node(event)?);
        }
        Ok(Value::Array(items))
    }

    fn mapping(&mut self) -> Result<Value, String> {
        let mut fields: Vec<(CompactString, Value)> = Vec::new();
        let mut seen: BTreeSet<CompactString> = BTreeSet::new();
        let mut merged: Vec<Value> = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let merges =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node(event)?;
            let value = match self.next()? {
                Some((event, _)) => self.node(event)?,
                None => Value::Null,
            };
            if merges {
                merged.push(value);
                continue;
            }
            let key = key_text(key)?;
            if !seen.insert(key.clone()) {
                let line = span.start.line();
                self.duplicates.push(format!(
                    "line {line}: key {} already set in map",
                    go_quote(&key)
                ));
            }
            fields.push((key, value));
        }
        let mut map: Map = fields.into_iter().collect();
        for base in merged {
            let bases = match base {
                Value::Array(bases) => bases,
                base => vec![base],
            };
            for base in bases {
                let Value::Object(base) = base else {
                    return Err(
                        "yaml: map merge requires map or sequence of maps as the value".to_owned(),
                    );
                };
                for (key, value) in base {
                    if !map.contains_key(&key) {
                        map.insert(key, value);
                    }
                }
            }
        }
        Ok(Value::Object(map))
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

/// A key as the JSON object has it.
fn key_text(key: Value) -> Result<CompactString, String> {
    Ok(match key {
        Value::String(text) => text,
        Value::Array(_) | Value::Object(_) => {
            return Err("error converting YAML to JSON: unsupported map key".to_owned());
        }
        other => other.to_string().into(),
    })
}

/// What a plain scalar stands for.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    let numeric = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.'));
    numeric
        .then(|| number(text))
        .flatten()
        .unwrap_or_else(|| Value::from(text))
}

fn number(text: &str) -> Option<Value> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let integer = |digits: &str, radix: u32| -> Option<Value> {
        if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let number = i128::from_str_radix(digits, radix).ok()?;
        let number = if negative { -number } else { number };
        i64::try_from(number)
            .map(Value::from)
            .or_else(|_| u64::try_from(number).map(Value::from))
            .ok()
    };
    let whole = if let Some(hex) = digits.strip_prefix("0x") {
        integer(hex, 16)
    } else if let Some(binary) = digits.strip_prefix("0b") {
        integer(binary, 2)
    } else if digits.len() > 1
        && digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit())
    {
        integer(digits.strip_prefix("0o").unwrap_or(digits), 8)
    } else {
        integer(digits, 10)
    };
    if whole.is_some() {
        return whole;
    }
    let float = digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !float {
        return None;
    }
    let number: f64 = plain.parse().ok()?;
    number.is_finite().then(|| Value::from(number))
}

/// An error in the words of the real server's library.
fn wording(error: &ScanError, text: &str) -> String {
    let line = error.marker().line().max(1);
    let (text, with_line) = match error.kind() {
        ErrorKind::UnclosedFlowCollection { .. }
            if text.trim_end().ends_with(['[', '{', ',', ':']) =>
        {
            ("did not find expected node content".to_owned(), true)
        }
        ErrorKind::UnclosedFlowCollection { open: '{' } => {
            ("did not find expected ',' or '}'".to_owned(), true)
        }
        ErrorKind::UnclosedFlowCollection { .. } => {
            ("did not find expected ',' or ']'".to_owned(), true)
        }
        ErrorKind::ExpectedFlowSequenceSeparator | ErrorKind::UnexpectedEofFlowSequence => {
            ("did not find expected ',' or ']'".to_owned(), true)
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::UnexpectedEofFlowMapping => {
            ("did not find expected ',' or '}'".to_owned(), true)
        }
        ErrorKind::ExpectedNodeContent
        | ErrorKind::UnexpectedEof
        | ErrorKind::UnexpectedEofImplicitFlowMapping => {
            ("did not find expected node content".to_owned(), true)
        }
        ErrorKind::ExpectedBlockMappingKey => ("did not find expected key".to_owned(), true),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("could not find expected ':'".to_owned(), true)
        }
        ErrorKind::UnknownAnchor => ("unknown anchor referenced".to_owned(), false),
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation => (
            "found character that cannot start any token".to_owned(),
            true,
        ),
        _ if error.info().contains("mapping values are not allowed") => (
            "mapping values are not allowed in this context".to_owned(),
            false,
        ),
        _ => (error.info(), true),
    };
    if with_line {
        format!("yaml: line {line}: {text}")
    } else {
        format!("yaml: {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn check(text: &str, want: Value) {
        assert_eq!(parse(text.as_bytes()).map(|p| p.value), Ok(want), "{text}");
    }

    #[test]
    fn f1a_scalars_are_those_of_yaml_1_1() {
        check(
            "a: yes\nb: n\nc: ~\nd: 2001-01-01\ne: \"no\"\nf: 1.5\ng: 0x10\nh: 010\ni: 1e3",
            json!({"a": true, "b": false, "c": null, "d": "2001-01-01", "e": "no", "f": 1.5, "g": 16, "h": 8, "i": 1000.0}),
        );
        check("n: 1\n7: x\n", json!({"false": 1, "7": "x"}));
    }

    #[test]
    fn f1a_only_the_first_document_counts() {
        check("---\na: 1\n---\nb: 2\n", json!({"a": 1}));
        check("", Value::Null);
        check("# nothing\n", Value::Null);
    }

    #[test]
    fn f1a_anchors_block_scalars_and_duplicates() {
        check(
            "a: &l {x: z}\nb: *l\nc: |\n  two\n  lines\n",
            json!({"a": {"x": "z"}, "b": {"x": "z"}, "c": "two\nlines\n"}),
        );
        let parsed = parse(b"m: {}\nd: {k: one, k: two}\n").expect("YAML");
        assert_eq!(parsed.value, json!({"m": {}, "d": {"k": "two"}}));
        assert_eq!(parsed.duplicates, ["line 2: key \"k\" already set in map"]);
    }

    #[test]
    fn d15_errors_name_the_line() {
        for (text, want) in [
            ("{", "yaml: line 1: did not find expected node content"),
            ("a: [", "yaml: line 1: did not find expected node content"),
            ("a: [b", "yaml: line 1: did not find expected ',' or ']'"),
            (
                "a: b: c",
                "yaml: mapping values are not allowed in this context",
            ),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn f1a_aliases_cannot_blow_up() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..12 {
            let line = format!(
                "a{n}: &a{n} [{}]\n",
                vec![format!("*a{}", n - 1); 10].join(",")
            );
            text.push_str(&line);
        }
        assert_eq!(
            parse(text.as_bytes()),
            Err("yaml: document contains excessive aliasing".to_owned())
        );
    }
}
