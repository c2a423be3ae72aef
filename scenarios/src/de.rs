//! From a tree with places to the types of `format`, through serde.
//!
//! Owns where an error is put: the innermost key or value that serde was reading when it complained. Does not own the
//! types, and knows no key by name.
//!
//! Types read through here avoid `flatten` and `untagged`: serde buffers those, and a buffer has no places.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, Unexpected, Visitor,
};

use crate::error::{Error, Problem, Result};
use crate::source::Place;
use crate::tree::{Entry, Node, Value};

/// Separates a message from its hint in errors made by hand-written `Deserialize` implementations.
pub(crate) const HINT: &str = "\nhint: ";

/// Reads a tree into a type.
pub(crate) fn read<T: DeserializeOwned>(node: &Node) -> Result<T> {
    T::deserialize(Reader(node)).map_err(|fault| {
        let place = fault.place.unwrap_or_else(|| node.place.clone());
        Error::at(&place, *fault.problem)
    })
}

/// A complaint of serde's, placed as soon as the deserializer sees it.
#[derive(Debug)]
struct Fault {
    problem: Box<Problem>,
    place: Option<Place>,
}

impl Fault {
    fn new(problem: Problem) -> Self {
        Self {
            problem: Box::new(problem),
            place: None,
        }
    }

    fn at(mut self, place: &Place) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for Fault {}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let text = message.to_string();
        let (message, hint) = match text.split_once(HINT) {
            Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
            None => (text, None),
        };
        Self::new(Problem::Value { message, hint })
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = wanted(expected);
        Self::custom(format_args!(
            "expected {expected}, found {}",
            found(&unexpected)
        ))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format_args!(
            "{} is out of range: expected {}",
            found(&unexpected),
            wanted(expected)
        ))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownKey {
            key: field.to_owned(),
            known: owned(expected),
        })
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownWord {
            what: "word",
            word: variant.to_owned(),
            known: owned(expected),
            more: None,
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Problem::MissingKey {
            key: field.to_owned(),
        })
    }
}

/// What was expected, in the words of YAML instead of Rust's.
fn wanted(expected: &dyn de::Expected) -> String {
    match expected.to_string().as_str() {
        "u8" | "u16" | "u32" | "u64" => "a whole number, not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        text if text.starts_with("struct ") || text == "a map" => "a mapping".to_owned(),
        "a sequence" => "a list".to_owned(),
        text => text.to_owned(),
    }
}

/// What was found, in the words of YAML.
fn found(unexpected: &Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Bool(b) => format!("`{b}`"),
        Unexpected::Signed(i) => format!("the number {i}"),
        Unexpected::Unsigned(u) => format!("the number {u}"),
        Unexpected::Float(x) => format!("the number {x}"),
        Unexpected::Str(s) => format!("`{s}`"),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

struct Reader<'a>(&'a Node);

impl<'de> de::Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let place = &self.0.place;
        match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Int(i) => match u64::try_from(*i) {
                Ok(u) => visitor.visit_u64(u),
                Err(_) => visitor.visit_i64(*i),
            },
            Value::UInt(u) => visitor.visit_u64(*u),
            Value::Float(x) => visitor.visit_f64(*x),
            Value::String(s) => visitor.visit_str(s),
            Value::Seq(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(entries) => visitor.visit_map(Entries {
                rest: entries.iter(),
                value: None,
            }),
        }
        .map_err(|fault: Fault| fault.at(place))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let place = &self.0.place;
        visitor
            .visit_newtype_struct(Reader(self.0))
            .map_err(|fault: Fault| fault.at(place))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let place = &self.0.place;
        let result = match &self.0.value {
            Value::String(word) => visitor.visit_enum(Choice {
                word,
                place,
                content: None,
            }),
            Value::Map(entries) if entries.len() == 1 => visitor.visit_enum(Choice {
                word: &entries[0].key,
                place: &entries[0].place,
                content: Some(&entries[0].value),
            }),
            _ => Err(Fault::custom(format_args!(
                "expected exactly one of these words, or one of them as the only key: {}",
                variants.join(", ")
            ))),
        };
        result.map_err(|fault| fault.at(place))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'a>(std::slice::Iter<'a, Node>);

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        self.0
            .next()
            .map(|node| seed.deserialize(Reader(node)))
            .transpose()
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, Entry>,
    value: Option<&'a Node>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(&entry.value);
        let key: StrDeserializer<'_, Fault> = entry.key.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|fault| fault.at(&entry.place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let node = self
            .value
            .take()
            .expect("a value is asked for after its key");
        seed.deserialize(Reader(node))
            .map_err(|fault| fault.at(&node.place))
    }
}

struct Choice<'a> {
    word: &'a str,
    place: &'a Place,
    content: Option<&'a Node>,
}

impl<'a, 'de> de::EnumAccess<'de> for Choice<'a> {
    type Error = Fault;
    type Variant = Content<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Content<'a>), Fault> {
        let word: StrDeserializer<'_, Fault> = self.word.into_deserializer();
        let value = seed
            .deserialize(word)
            .map_err(|fault| fault.at(self.place))?;
        Ok((
            value,
            Content {
                word: self.word,
                place: self.place,
                node: self.content,
            },
        ))
    }
}

struct Content<'a> {
    word: &'a str,
    place: &'a Place,
    node: Option<&'a Node>,
}

impl<'a> Content<'a> {
    fn node(&self) -> Result<&'a Node, Fault> {
        self.node.ok_or_else(|| self.needs_value())
    }

    fn needs_value(&self) -> Fault {
        let needs = format!("`{0}` needs a value{HINT}write {{{0}: …}}", self.word);
        Fault::custom(needs).at(self.place)
    }
}

impl<'de> de::VariantAccess<'de> for Content<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.node {
            None => Ok(()),
            Some(node) if node.value == Value::Null || node.value == Value::Map(Vec::new()) => {
                Ok(())
            }
            Some(node) => Err(Fault::custom(format_args!(
                "`{0}` takes no value{HINT}write {0} alone",
                self.word
            ))
            .at(&node.place)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let Some(node) = self.node else {
            // A word alone, where what it may be given has defaults.
            let nothing: de::value::UnitDeserializer<Fault> = ().into_deserializer();
            return seed.deserialize(nothing).map_err(|_| self.needs_value());
        };
        seed.deserialize(Reader(node))
            .map_err(|fault| fault.at(&node.place))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Fault> {
        de::Deserializer::deserialize_any(Reader(self.node()?), visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        de::Deserializer::deserialize_any(Reader(self.node()?), visitor)
    }
}
