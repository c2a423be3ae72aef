//! YAML as a tree in which every key and value knows its place.
//!
//! Owns parsing, RFC 7386 merge patches over the tree (a variant keeps the places of what it says), and turning a tree
//! into JSON for objects. Does not own the meaning of any key: `de` reads a tree into the types of `format`.
//!
//! Simplifications: keys are strings; aliases are expanded by the parser; tags are ignored.

use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use crate::error::{Error, Problem, Result};
use crate::source::{Place, Source};

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where the value begins.
    pub place: Place,
    /// The value.
    pub value: Value,
}

/// What YAML can say, after its core schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond `i64`.
    UInt(u64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// Anything else that is not a collection.
    String(String),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping, in the order of the file, keys unique.
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// Reads a file that holds exactly one YAML document.
    pub fn parse(source: &Arc<Source>) -> Result<Self> {
        let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(&source.text, options())
            .map_err(|e| broken(source, &e))?;
        Ok(Self::from_raw(raw, source))
    }

    /// Reads a file of any number of YAML documents; empty ones are skipped.
    pub fn parse_all(source: &Arc<Source>) -> Result<Vec<Self>> {
        let raws: Vec<Spanned<Raw>> =
            serde_saphyr::from_multiple_with_options(&source.text, options())
                .map_err(|e| broken(source, &e))?;
        let nodes = raws.into_iter().map(|raw| Self::from_raw(raw, source));
        Ok(nodes.filter(|n| n.value != Value::Null).collect())
    }

    /// The value under `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|e| e.key == key)
            .map(|e| &e.value)
    }

    /// Takes `key` out of a mapping.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let Value::Map(entries) = &mut self.value else {
            return None;
        };
        let at = entries.iter().position(|e| e.key == key)?;
        Some(entries.remove(at).value)
    }

    /// The keys and values of a mapping; nothing for another value.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; nothing for another value.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Seq(items) => items,
            _ => &[],
        }
    }

    /// The text of a string; `None` for another value.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    /// Applies a merge patch (RFC 7386): mappings merge, `null` removes, all else replaces.
    pub fn merge(&mut self, patch: &Node) {
        let Value::Map(changes) = &patch.value else {
            *self = patch.clone();
            return;
        };
        if !matches!(self.value, Value::Map(_)) {
            *self = Node {
                place: patch.place.clone(),
                value: Value::Map(Vec::new()),
            };
        }
        let Value::Map(entries) = &mut self.value else {
            unreachable!("made a mapping above")
        };
        for change in changes {
            let at = entries.iter().position(|e| e.key == change.key);
            match (at, &change.value.value) {
                (Some(at), Value::Null) => drop(entries.remove(at)),
                (None, Value::Null) => {}
                (Some(at), _) => {
                    entries[at].place = change.place.clone();
                    entries[at].value.merge(&change.value);
                }
                (None, _) => {
                    let mut value = Node {
                        place: change.value.place.clone(),
                        value: Value::Null,
                    };
                    value.merge(&change.value);
                    entries.push(Entry {
                        value,
                        ..change.clone()
                    });
                }
            }
        }
    }

    /// The same value as JSON.
    pub fn to_json(&self) -> Result<serde_json::Value> {
        use serde_json::Value as Json;
        Ok(match &self.value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Int(i) => Json::from(*i),
            Value::UInt(u) => Json::from(*u),
            Value::Float(x) => serde_json::Number::from_f64(*x)
                .map(Json::Number)
                .ok_or_else(|| {
                    Error::value(
                        &self.place,
                        format!("{x} is not a JSON number"),
                        "quote it to make it a string",
                    )
                })?,
            Value::String(s) => Json::String(s.clone()),
            Value::Seq(items) => {
                Json::Array(items.iter().map(Node::to_json).collect::<Result<_>>()?)
            }
            Value::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|e| Ok((e.key.clone(), e.value.to_json()?)))
                    .collect::<Result<_>>()?,
            ),
        })
    }

    fn from_raw(raw: Spanned<Raw>, source: &Arc<Source>) -> Self {
        let place = place(source, raw.referenced);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(b) => Value::Bool(b),
            Raw::Int(i) => Value::Int(i),
            Raw::UInt(u) => Value::UInt(u),
            Raw::Float(x) => Value::Float(x),
            Raw::String(s) => Value::String(s),
            Raw::Seq(items) => Value::Seq(
                items
                    .into_iter()
                    .map(|n| Self::from_raw(n, source))
                    .collect(),
            ),
            Raw::Map(entries) => {
                let entry = |(key, value): (Spanned<String>, Spanned<Raw>)| Entry {
                    place: self::place(source, key.referenced),
                    key: key.value,
                    value: Self::from_raw(value, source),
                };
                Value::Map(entries.into_iter().map(entry).collect())
            }
        };
        Self { place, value }
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
    }
}

fn place(source: &Arc<Source>, at: Location) -> Place {
    Place::new(
        source,
        at.line(),
        at.column(),
        at.span().byte_len().unwrap_or(1) as usize,
    )
}

fn broken(source: &Arc<Source>, error: &serde_saphyr::Error) -> Error {
    let at = match error.location() {
        Some(at) if at.line() > 0 => Place::new(source, at.line(), at.column(), 1),
        _ => Place::start(source),
    };
    let text = error.to_string();
    // The reader appends its own place and advice to programmers; ours are shown beside the lines.
    let end = [" at line ", ", set DuplicateKeyPolicy"]
        .iter()
        .filter_map(|tail| text.find(tail))
        .min();
    let message = in_our_words(&text[..end.unwrap_or(text.len())]);
    Error::at(&at, Problem::Yaml { message })
}

/// What the reader says about its limits, for somebody who does not know them.
fn in_our_words(message: &str) -> String {
    let ours = [
        (
            "multiple YAML documents",
            "a second document begins here, and there can be only one",
        ),
        ("budget breached: Depth", "this is nested too deep"),
        ("recursion limit exceeded", "this is nested too deep"),
        (
            "budget breached: Nodes",
            "there are too many values, those that aliases repeat included",
        ),
        (
            "recursive references",
            "an alias stands inside of what it names",
        ),
    ];
    let known = ours.iter().find(|(theirs, _)| message.starts_with(theirs));
    known.map_or(message, |(_, ours)| ours).to_owned()
}

/// The tree as the YAML reader gives it, before places are tied to a source.
enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    String(String),
    Seq(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> std::result::Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, d: D) -> std::result::Result<Raw, D::Error> {
        d.deserialize_any(self)
    }

    fn visit_bool<E>(self, v: bool) -> std::result::Result<Raw, E> {
        Ok(Raw::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> std::result::Result<Raw, E> {
        Ok(Raw::Int(v))
    }

    fn visit_u64<E>(self, v: u64) -> std::result::Result<Raw, E> {
        Ok(i64::try_from(v).map_or(Raw::UInt(v), Raw::Int))
    }

    fn visit_f64<E>(self, v: f64) -> std::result::Result<Raw, E> {
        Ok(Raw::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> std::result::Result<Raw, E> {
        Ok(Raw::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> std::result::Result<Raw, E> {
        Ok(Raw::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Node {
        Node::parse(&Source::new("t.yaml", text)).expect("parses")
    }

    fn json(text: &str) -> serde_json::Value {
        parse(text).to_json().expect("is JSON")
    }

    #[test]
    fn keys_and_values_know_their_place() {
        let node = parse("a:\n  bé: [1, two]\n");
        let inner = node.get("a").expect("a");
        assert_eq!(inner.entries()[0].place.to_string(), "t.yaml:2:3");
        let two = &inner.get("bé").expect("bé").items()[1];
        assert_eq!(two.place.to_string(), "t.yaml:2:11");
        assert_eq!(
            &two.place.source.text[two.place.offset..][..two.place.len],
            "two"
        );
    }

    #[test]
    fn the_core_schema_is_read_as_kubernetes_reads_it() {
        assert_eq!(
            json(
                "a: 1\nb: 1.5\nc: true\nd: yes\ne: null\nf: '1'\ng: 18446744073709551615\nh: 1s\n"
            ),
            serde_json::json!({"a": 1, "b": 1.5, "c": true, "d": "yes", "e": null, "f": "1", "g": 18446744073709551615u64, "h": "1s"})
        );
    }

    #[test]
    fn broken_yaml_names_its_place() {
        for (text, line) in [
            ("a: [1, 2\n", 1),
            ("a: 1\nb: {\n", 2),
            ("a: 1\na: 2\n", 2),
            ("a: *x\n", 1),
        ] {
            let error = Node::parse(&Source::new("t.yaml", text)).expect_err(text);
            let place = error.place.clone().expect("has a place");
            assert!(matches!(*error.problem, Problem::Yaml { .. }), "{error}");
            assert_eq!(place.line, line, "{text:?}: {error}");
        }
    }

    #[test]
    fn merge_patches_follow_rfc_7386() {
        // The appendix of the RFC, case by case, where YAML can say it.
        for (target, patch, want) in [
            ("{a: b}", "{a: c}", "{a: c}"),
            ("{a: b}", "{b: c}", "{a: b, b: c}"),
            ("{a: b}", "{a: null}", "{}"),
            ("{a: b, b: c}", "{a: null}", "{b: c}"),
            ("{a: [b]}", "{a: c}", "{a: c}"),
            ("{a: c}", "{a: [b]}", "{a: [b]}"),
            ("{a: {b: c}}", "{a: {b: d, c: null}}", "{a: {b: d}}"),
            ("{a: [{b: c}]}", "{a: [1]}", "{a: [1]}"),
            ("[a, b]", "[c, d]", "[c, d]"),
            ("{a: b}", "[c]", "[c]"),
            ("{a: foo}", "bar", "bar"),
            ("{e: null}", "{a: 1}", "{e: null, a: 1}"),
            ("[1, 2]", "{a: b, c: null}", "{a: b}"),
            ("{}", "{a: {bb: {ccc: null}}}", "{a: {bb: {}}}"),
        ] {
            let mut node = parse(target);
            node.merge(&parse(patch));
            assert_eq!(
                node.to_json().expect("json"),
                json(want),
                "{target} + {patch}"
            );
        }
    }

    #[test]
    fn what_a_patch_says_keeps_the_place_in_the_patch() {
        let mut node = parse("a: {b: 1}\n");
        node.merge(&parse("\n\na: {b: 2}\n"));
        assert_eq!(
            node.get("a")
                .and_then(|a| a.get("b"))
                .expect("b")
                .place
                .line,
            3
        );
    }
}
