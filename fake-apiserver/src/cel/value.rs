//! Values while an expression runs. JSON is borrowed and looked at lazily.
//!
//! Owns conversion from and to JSON under a declaration, equality, ordering and sizes.
//! Behaviour: cel-go `common/types`; Kubernetes `apiserver/pkg/cel/common/values.go`
//! (sets and maps-as-lists compare without order).

use super::net::{Cidr, Ip};
use super::quantity::Quantity;
use super::semver::Semver;
use super::times::{self, Stamp};
use super::types::{Decl, ListKind, Type};
use crate::json::{self, Map, Value};
use base64::Engine as _;
use std::cmp::Ordering;
use std::rc::Rc;

/// Text, borrowed from the input where it can be.
#[derive(Clone, Debug)]
pub enum Text<'v> {
    /// Part of the input.
    Borrowed(&'v str),
    /// Made while running.
    Owned(Rc<str>),
}

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Owned(text) => text,
        }
    }
}

/// A list.
#[derive(Clone, Debug)]
pub enum List<'v> {
    /// Part of the input, with the declaration of the list.
    Json(&'v [Value], Option<&'v Decl>),
    /// Made while running.
    Owned(Rc<Vec<Val<'v>>>),
}

/// A map or an object.
#[derive(Clone, Debug)]
pub enum Dict<'v> {
    /// Part of the input, with the declaration of the map or object.
    Json(&'v Map, Option<&'v Decl>),
    /// Made while running, in order of insertion.
    Owned(Rc<Vec<(Val<'v>, Val<'v>)>>),
}

/// A value of one of Kubernetes' own types.
#[derive(Clone, Debug, PartialEq)]
pub enum Opaque {
    /// `quantity(…)`
    Quantity(Quantity),
    /// `semver(…)`
    Semver(Semver),
    /// `url(…)`
    Url(super::url::Url),
    /// `ip(…)`
    Ip(Ip),
    /// `cidr(…)`
    Cidr(Cidr),
    /// `format.…()`
    Format(&'static str),
    /// A step of `authorizer.…`.
    Check(Check),
}

/// What `authorizer` has been asked for so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Check {
    /// Instead of the requesting user: name space and name of a service account.
    pub service_account: Option<(String, String)>,
    /// A non-resource path.
    pub path: Option<String>,
    /// API group.
    pub group: String,
    /// Plural resource.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Name space.
    pub namespace: String,
    /// Object.
    pub name: String,
    /// The answer, once checked.
    pub decision: Option<Decision>,
}

/// An answer of the authorizer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The verb is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Val<'v> {
    /// `null`
    Null,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `uint`
    UInt(u64),
    /// `double`
    Double(f64),
    /// `string`
    String(Text<'v>),
    /// `bytes`
    Bytes(Rc<[u8]>),
    /// `timestamp`
    Timestamp(Stamp),
    /// `duration`, in nanoseconds
    Duration(i64),
    /// `list`
    List(List<'v>),
    /// `map` or an object
    Dict(Dict<'v>),
    /// A type.
    Type(&'static str),
    /// `optional`
    Optional(Option<Rc<Val<'v>>>),
    /// An object made by the expression.
    Object(Rc<str>, Rc<Vec<(Rc<str>, Val<'v>)>>),
    /// One of Kubernetes' own.
    Opaque(Rc<Opaque>),
}

impl<'v> Val<'v> {
    /// A string made while running.
    pub fn text(text: impl Into<Rc<str>>) -> Val<'v> {
        Val::String(Text::Owned(text.into()))
    }

    /// A list made while running.
    pub fn list(items: Vec<Val<'v>>) -> Val<'v> {
        Val::List(List::Owned(Rc::new(items)))
    }

    /// An opaque value.
    pub fn opaque(opaque: Opaque) -> Val<'v> {
        Val::Opaque(Rc::new(opaque))
    }

    /// The present optional of a value.
    pub fn some(value: Val<'v>) -> Val<'v> {
        Val::Optional(Some(Rc::new(value)))
    }

    /// JSON under an optional declaration.
    pub fn of(value: &'v Value, decl: Option<&'v Decl>) -> Val<'v> {
        match value {
            Value::Null => Val::Null,
            Value::Bool(b) => Val::Bool(*b),
            Value::Int(i) if decl.is_some_and(|d| d.ty == Type::Double) => Val::Double(*i as f64),
            Value::Int(i) => Val::Int(*i),
            Value::UInt(u) => Val::Double(*u as f64),
            Value::Float(f) if decl.is_some_and(|d| d.ty == Type::Int) && f.fract() == 0.0 => {
                Val::Int(*f as i64)
            }
            Value::Float(f) => Val::Double(*f),
            Value::String(text) => match decl.map(|d| &d.ty) {
                Some(Type::Timestamp) => match times::parse_date_time(text) {
                    Some(stamp) => Val::Timestamp(stamp),
                    None => Val::String(Text::Borrowed(text)),
                },
                Some(Type::Duration) => match times::parse_duration(text) {
                    Some(nanos) => Val::Duration(nanos),
                    None => Val::String(Text::Borrowed(text)),
                },
                Some(Type::Bytes) => {
                    match base64::engine::general_purpose::STANDARD.decode(text.as_bytes()) {
                        Ok(bytes) => Val::Bytes(bytes.into()),
                        Err(_) => Val::String(Text::Borrowed(text)),
                    }
                }
                _ => Val::String(Text::Borrowed(text)),
            },
            Value::Array(items) => Val::List(List::Json(items, decl)),
            Value::Object(map) => Val::Dict(Dict::Json(map, decl)),
        }
    }

    /// Why an object made by the expression is not of the type that its place asks for: types are named by the path from
    /// the root.
    pub fn type_mismatch(&self, path: &str) -> Option<String> {
        match self {
            Val::Object(name, _) if &**name != path => Some(format!(
                "unexpected type name {name:?}, expected {path:?}, which matches field name path from root Object type"
            )),
            Val::Object(_, fields) => fields
                .iter()
                .find_map(|(field, value)| value.type_mismatch(&format!("{path}.{field}"))),
            Val::List(List::Owned(items)) => items.iter().find_map(|item| item.type_mismatch(path)),
            Val::Dict(Dict::Owned(entries)) => entries
                .iter()
                .find_map(|(_, value)| value.type_mismatch(path)),
            _ => None,
        }
    }

    /// As JSON; `None` for what has no JSON form.
    pub fn to_json(&self) -> Option<Value> {
        Some(match self {
            Val::Null => Value::Null,
            Val::Bool(b) => Value::Bool(*b),
            Val::Int(i) => Value::Int(*i),
            Val::UInt(u) => Value::from(*u),
            Val::Double(d) => Value::from(*d),
            Val::String(text) => Value::from(&**text),
            Val::Bytes(bytes) => {
                Value::from(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            Val::Timestamp(stamp) => Value::from(stamp.to_string()),
            Val::Duration(nanos) => Value::from(times::format_duration(*nanos)),
            Val::List(List::Json(items, _)) => Value::Array(items.to_vec()),
            Val::List(list) => {
                let items: Option<Vec<Value>> = list.iter().map(|item| item.to_json()).collect();
                Value::Array(items?)
            }
            Val::Dict(Dict::Json(map, _)) => Value::Object((*map).clone()),
            Val::Dict(Dict::Owned(entries)) => {
                let mut map = Map::new();
                for (key, value) in entries.iter() {
                    let Val::String(key) = key else { return None };
                    map.insert(&**key, value.to_json()?);
                }
                Value::Object(map)
            }
            Val::Object(_, fields) => {
                let mut map = Map::new();
                for (key, value) in fields.iter() {
                    map.insert(&**key, value.to_json()?);
                }
                Value::Object(map)
            }
            Val::Optional(Some(value)) => value.to_json()?,
            Val::Optional(None) => Value::Null,
            Val::Opaque(opaque) => match &**opaque {
                Opaque::Quantity(quantity) => Value::from(quantity.to_string()),
                Opaque::Ip(ip) => Value::from(ip.to_string()),
                Opaque::Cidr(cidr) => Value::from(cidr.to_string()),
                _ => return None,
            },
            Val::Type(_) => return None,
        })
    }

    /// The name of its type as error messages have it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Val::Null => "null_type",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::UInt(_) => "uint",
            Val::Double(_) => "double",
            Val::String(_) => "string",
            Val::Bytes(_) => "bytes",
            Val::Timestamp(_) => "google.protobuf.Timestamp",
            Val::Duration(_) => "google.protobuf.Duration",
            Val::List(_) => "list",
            Val::Dict(_) => "map",
            Val::Object(..) => "object",
            Val::Type(_) => "type",
            Val::Optional(_) => "optional_type",
            Val::Opaque(opaque) => match &**opaque {
                Opaque::Quantity(_) => "kubernetes.Quantity",
                Opaque::Semver(_) => "kubernetes.Semver",
                Opaque::Url(_) => "kubernetes.URL",
                Opaque::Ip(_) => "net.IP",
                Opaque::Cidr(_) => "net.CIDR",
                Opaque::Format(_) => "kubernetes.NamedFormat",
                Opaque::Check(_) => "kubernetes.authorization.Authorizer",
            },
        }
    }

    /// Its size as cost is counted: characters, bytes, items, entries, else 1.
    pub fn size(&self) -> u64 {
        match self {
            Val::String(text) => text.chars().count() as u64,
            Val::Bytes(bytes) => bytes.len() as u64,
            Val::List(list) => list.len() as u64,
            Val::Dict(dict) => dict.len() as u64,
            Val::Opaque(opaque) => match &**opaque {
                Opaque::Ip(ip) => ip.bytes_len(),
                Opaque::Cidr(cidr) => cidr.ip.bytes_len(),
                _ => 1,
            },
            _ => 1,
        }
    }

    /// Whether two values are equal; numbers compare across their types.
    pub fn equals(&self, other: &Val<'v>) -> bool {
        match (self, other) {
            (Val::Null, Val::Null) => true,
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::String(a), Val::String(b)) => **a == **b,
            (Val::Bytes(a), Val::Bytes(b)) => a == b,
            (Val::Timestamp(a), Val::Timestamp(b)) => a == b,
            (Val::Duration(a), Val::Duration(b)) => a == b,
            (Val::Type(a), Val::Type(b)) => a == b,
            (Val::Opaque(a), Val::Opaque(b)) => a == b,
            (Val::Optional(a), Val::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals(b),
                (None, None) => true,
                _ => false,
            },
            (Val::List(a), Val::List(b)) => a.equals(b),
            (Val::Dict(a), Val::Dict(b)) => {
                a.len() == b.len()
                    && a.entries()
                        .iter()
                        .all(|(key, value)| b.get(key).is_some_and(|other| value.equals(&other)))
            }
            (Val::Object(an, a), Val::Object(bn, b)) => {
                an == bn
                    && a.len() == b.len()
                    && a.iter()
                        .all(|(key, value)| b.iter().any(|(k, v)| k == key && value.equals(v)))
            }
            _ => compare_numbers(self, other) == Some(Ordering::Equal),
        }
    }

    /// The order of two values, `None` where they have none.
    pub fn compare(&self, other: &Val<'v>) -> Option<Ordering> {
        match (self, other) {
            (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
            (Val::String(a), Val::String(b)) => Some((**a).cmp(&**b)),
            (Val::Bytes(a), Val::Bytes(b)) => Some(a.cmp(b)),
            (Val::Timestamp(a), Val::Timestamp(b)) => Some(a.cmp(b)),
            (Val::Duration(a), Val::Duration(b)) => Some(a.cmp(b)),
            _ => compare_numbers(self, other),
        }
    }
}

fn compare_numbers(a: &Val<'_>, b: &Val<'_>) -> Option<Ordering> {
    match (a, b) {
        (Val::Int(a), Val::Int(b)) => Some(a.cmp(b)),
        (Val::UInt(a), Val::UInt(b)) => Some(a.cmp(b)),
        (Val::Int(a), Val::UInt(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Val::UInt(a), Val::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Val::Double(a), Val::Double(b)) => a.partial_cmp(b),
        (Val::Double(a), Val::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Val::Int(a), Val::Double(b)) => (*a as f64).partial_cmp(b),
        (Val::Double(a), Val::UInt(b)) => a.partial_cmp(&(*b as f64)),
        (Val::UInt(a), Val::Double(b)) => (*a as f64).partial_cmp(b),
        _ => None,
    }
}

impl<'v> List<'v> {
    /// How many items.
    pub fn len(&self) -> usize {
        match self {
            List::Json(items, _) => items.len(),
            List::Owned(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One item.
    pub fn get(&self, index: usize) -> Option<Val<'v>> {
        match self {
            List::Json(items, decl) => items
                .get(index)
                .map(|item| Val::of(item, decl.and_then(|d| d.items.as_deref()))),
            List::Owned(items) => items.get(index).cloned(),
        }
    }

    /// All items.
    pub fn iter(&self) -> impl Iterator<Item = Val<'v>> + '_ {
        (0..self.len()).filter_map(|i| self.get(i))
    }

    /// Whether an item is equal to `value`.
    pub fn contains(&self, value: &Val<'v>) -> bool {
        self.iter().any(|item| item.equals(value))
    }

    /// Whether concatenation is a merge.
    pub fn merges(&self) -> bool {
        matches!(self.kind(), Some(ListKind::Set | ListKind::Map(_)))
    }

    fn kind(&self) -> Option<&'v ListKind> {
        match self {
            List::Json(_, Some(decl)) => Some(&decl.list_kind),
            _ => None,
        }
    }

    fn equals(&self, other: &List<'v>) -> bool {
        if self.len() != other.len() {
            return false;
        }
        match self.kind().or(other.kind()) {
            // Beyond a size, compare sorted text: pairs would take quadratic time.
            Some(ListKind::Set | ListKind::Map(_)) if self.len() > 64 => {
                self.sorted_text() == other.sorted_text()
            }
            Some(ListKind::Set) => self.iter().all(|item| other.contains(&item)),
            Some(ListKind::Map(keys)) => self.iter().all(|item| {
                let same = other
                    .iter()
                    .find(|candidate| same_keys(&item, candidate, keys));
                same.is_some_and(|same| item.equals(&same))
            }),
            _ => self.iter().zip(other.iter()).all(|(a, b)| a.equals(&b)),
        }
    }

    fn sorted_text(&self) -> Vec<String> {
        let text = |item: Val<'v>| item.to_json().map(|json| json::to_string(&json));
        let mut texts: Vec<String> = self.iter().filter_map(text).collect();
        texts.sort();
        texts
    }

    /// The concatenation, which for sets and maps-as-lists is a merge.
    pub fn plus(&self, other: &List<'v>) -> Vec<Val<'v>> {
        let mut items: Vec<Val<'v>> = self.iter().collect();
        for item in other.iter() {
            match self.kind() {
                Some(ListKind::Set) if items.iter().any(|before| before.equals(&item)) => {}
                Some(ListKind::Map(keys)) => {
                    match items
                        .iter_mut()
                        .find(|before| same_keys(before, &item, keys))
                    {
                        Some(before) => *before = item,
                        None => items.push(item),
                    }
                }
                _ => items.push(item),
            }
        }
        items
    }
}

fn same_keys<'v>(a: &Val<'v>, b: &Val<'v>, keys: &[String]) -> bool {
    let (Val::Dict(a), Val::Dict(b)) = (a, b) else {
        return false;
    };
    keys.iter().all(|key| match (a.json(key), b.json(key)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => true,
        _ => false,
    })
}

impl<'v> Dict<'v> {
    /// How many entries.
    pub fn len(&self) -> usize {
        match self {
            Dict::Json(map, _) => map.len(),
            Dict::Owned(entries) => entries.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn json(&self, key: &str) -> Option<&'v Value> {
        match self {
            Dict::Json(map, _) => map.get(key),
            Dict::Owned(_) => None,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &Val<'v>) -> Option<Val<'v>> {
        match self {
            Dict::Json(map, decl) => match key {
                Val::String(name) => {
                    let value = map.get(name)?;
                    Some(Val::of(value, value_decl(*decl, name)))
                }
                _ => None,
            },
            Dict::Owned(entries) => entries
                .iter()
                .find(|(k, _)| k.equals(key))
                .map(|(_, value)| value.clone()),
        }
    }

    /// The value of a field as expressions name it.
    pub fn field(&self, name: &str) -> Option<Val<'v>> {
        match self {
            Dict::Json(map, decl) => {
                if let Some(field) = decl.and_then(|d| d.field(name)) {
                    let value = map.get(&field.name)?;
                    return Some(Val::of(value, Some(&field.decl)));
                }
                Some(Val::of(map.get(name)?, value_decl(*decl, name)))
            }
            Dict::Owned(entries) => entries
                .iter()
                .find(|(key, _)| matches!(key, Val::String(text) if **text == *name))
                .map(|(_, value)| value.clone()),
        }
    }

    /// Keys and values.
    pub fn entries(&self) -> Vec<(Val<'v>, Val<'v>)> {
        match self {
            Dict::Json(map, decl) => {
                let map: &'v Map = map;
                map.iter()
                    .map(|(key, value)| {
                        let value = Val::of(value, value_decl(*decl, key));
                        (Val::String(Text::Borrowed(key)), value)
                    })
                    .collect()
            }
            Dict::Owned(entries) => entries.to_vec(),
        }
    }
}

fn value_decl<'v>(decl: Option<&'v Decl>, key: &str) -> Option<&'v Decl> {
    let decl = decl?;
    match &decl.ty {
        Type::Object(object) => object
            .fields
            .values()
            .find(|field| field.name == key)
            .map(|field| &*field.decl),
        _ => decl.items.as_deref(),
    }
}
