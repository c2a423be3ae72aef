//! The path of a field beside its value, and the errors found on the way.
//!
//! Owns the walk that validation does over a `Value`, and the checks that many kinds share (ranges, enumerations, names).
//! Does not own what a kind demands. A path is a chain on the stack and becomes text only when there is something to say,
//! so that a valid object costs no allocation.
//! Source: apimachinery `pkg/util/validation/field`.

use std::fmt::Write;

use crate::json::{Map, Value};
use crate::status::Cause;

use super::internal;
use super::names::Names;
use super::quantity::Quantity;

static NULL: Value = Value::Null;

#[derive(Clone, Copy)]
enum Segment<'a> {
    Root,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

/// A value and where it stands in its object.
#[derive(Clone, Copy)]
pub struct At<'p, 'v> {
    parent: Option<&'p At<'p, 'v>>,
    segment: Segment<'p>,
    value: &'v Value,
}

impl<'p, 'v> At<'p, 'v> {
    /// The whole object.
    pub fn root(value: &'v Value) -> At<'p, 'v> {
        At {
            parent: None,
            segment: Segment::Root,
            value,
        }
    }

    /// A value shown under a path that is not its own (`spec.template` of something that is stored elsewhere).
    pub fn named(path: &'p str, value: &'v Value) -> At<'p, 'v> {
        At {
            parent: None,
            segment: Segment::Field(path),
            value,
        }
    }

    /// A field of this object; absent is null.
    pub fn field<'b>(&'b self, name: &'b str) -> At<'b, 'v> {
        At {
            parent: Some(self),
            segment: Segment::Field(name),
            value: self.value.get(name).unwrap_or(&NULL),
        }
    }

    /// A path below this one that stands for another value.
    pub fn field_as<'b>(&'b self, name: &'b str, value: &'v Value) -> At<'b, 'v> {
        At {
            parent: Some(self),
            segment: Segment::Field(name),
            value,
        }
    }

    /// `path[key]` of a map.
    pub fn key<'b>(&'b self, key: &'b str) -> At<'b, 'v> {
        At {
            parent: Some(self),
            segment: Segment::Key(key),
            value: self.value.get(key).unwrap_or(&NULL),
        }
    }

    /// `path[index]` of a list.
    pub fn index(&self, index: usize) -> At<'_, 'v> {
        At {
            parent: Some(self),
            segment: Segment::Index(index),
            value: self
                .value
                .as_array()
                .and_then(|items| items.get(index))
                .unwrap_or(&NULL),
        }
    }

    /// The elements of a list; none if it is no list.
    pub fn items(&self) -> impl Iterator<Item = At<'_, 'v>> {
        self.list().iter().enumerate().map(|(index, value)| At {
            parent: Some(self),
            segment: Segment::Index(index),
            value,
        })
    }

    /// The entries of a map, each at `path[key]`.
    pub fn entries(&self) -> impl Iterator<Item = (&'v str, At<'_, 'v>)> {
        self.value
            .as_object()
            .into_iter()
            .flat_map(|map| map.iter())
            .map(|(key, value)| {
                let at = At {
                    parent: Some(self),
                    segment: Segment::Key(key),
                    value,
                };
                (key, at)
            })
    }

    /// The value.
    pub fn value(&self) -> &'v Value {
        self.value
    }

    /// The list, empty if it is none.
    pub fn list(&self) -> &'v [Value] {
        self.value.as_array().map_or(&[], |items| items.as_slice())
    }

    /// The text, `""` if it is none.
    pub fn text(&self) -> &'v str {
        self.value.as_str().unwrap_or_default()
    }

    /// The number, if it is one.
    pub fn int(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// True only for `true`.
    pub fn flag(&self) -> bool {
        self.value.as_bool() == Some(true)
    }

    /// True if there is a value other than null.
    pub fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// The dotted path.
    pub fn path(&self) -> String {
        let mut out = match self.parent {
            Some(parent) => parent.path(),
            None => String::new(),
        };
        match self.segment {
            Segment::Root => {}
            Segment::Field(name) if out.is_empty() => out.push_str(name),
            Segment::Field(name) => {
                out.push('.');
                out.push_str(name);
            }
            Segment::Index(index) => {
                let _ = write!(out, "[{index}]");
            }
            Segment::Key(key) => {
                let _ = write!(out, "[{key}]");
            }
        }
        out
    }
}

/// The errors found so far.
#[derive(Default)]
pub struct Errors {
    /// In the order found, which is the order answered.
    pub causes: Vec<Cause>,
    /// Characters in all of them.
    told: usize,
}

/// Once errors have this many characters, further ones are not told: a list of thousands may be shown for each of its
/// elements.
const TOLD_MAX: usize = 4 << 20;

impl Errors {
    /// True if nothing was found.
    pub fn is_empty(&self) -> bool {
        self.causes.is_empty()
    }

    /// One more.
    pub fn push(&mut self, cause: Cause) {
        self.told += cause.field.len() + cause.message.len();
        self.causes.push(cause);
    }

    /// True once further errors are not told.
    pub fn is_full(&self) -> bool {
        self.told > TOLD_MAX
    }

    fn tell(&mut self, cause: impl FnOnce() -> Cause) {
        if !self.is_full() {
            self.push(cause());
        }
    }

    /// `Required value[: detail]`
    pub fn required(&mut self, at: &At, detail: &str) {
        self.tell(|| Cause::required(at.path(), detail));
    }

    /// `Invalid value: VALUE: detail`
    pub fn invalid(&mut self, at: &At, detail: &str) {
        self.tell(|| Cause::invalid(at.path(), at.value, detail));
    }

    /// `Invalid value: SHOWN: detail`
    pub fn invalid_as(&mut self, at: &At, shown: impl Into<Value>, detail: &str) {
        self.tell(|| Cause::invalid(at.path(), &shown.into(), detail));
    }

    /// `Invalid value: TEXT: detail`, the text as it is (Go prints of internal types, messages without a value).
    pub fn invalid_raw(&mut self, at: &At, shown: &str, detail: &str) {
        let colon = if shown.is_empty() || detail.is_empty() {
            ""
        } else {
            ": "
        };
        self.tell(|| {
            Cause::new(
                "FieldValueInvalid",
                at.path(),
                format!("Invalid value: {shown}{colon}{detail}"),
            )
        });
    }

    /// `Forbidden: detail`
    pub fn forbidden(&mut self, at: &At, detail: &str) {
        self.tell(|| Cause::forbidden(at.path(), detail));
    }

    /// `Unsupported value: VALUE: supported values: …`
    pub fn unsupported(&mut self, at: &At, supported: &[&str]) {
        let text = Value::from("");
        let value = if at.is_set() { at.value } else { &text };
        self.tell(|| Cause::not_supported(at.path(), value, supported));
    }

    /// `Duplicate value: VALUE`
    pub fn duplicate(&mut self, at: &At) {
        self.tell(|| Cause::duplicate(at.path(), at.value));
    }

    /// `Duplicate value: SHOWN`
    pub fn duplicate_as(&mut self, at: &At, shown: impl Into<Value>) {
        self.tell(|| Cause::duplicate(at.path(), &shown.into()));
    }

    /// `Not found: VALUE`
    pub fn not_found(&mut self, at: &At) {
        self.tell(|| Cause::not_found(at.path(), at.value));
    }

    /// `Too long: may not be more than N bytes`
    pub fn too_long(&mut self, at: &At, max: usize) {
        self.tell(|| Cause::too_long(at.path(), max));
    }

    /// `Too many: N: must have at most MAX items`
    pub fn too_many(&mut self, at: &At, actual: usize, max: usize) {
        self.tell(|| Cause::too_many(at.path(), actual, max));
    }

    /// Negative numbers are wrong; an absent one is not.
    pub fn non_negative(&mut self, at: &At) {
        if at.int().is_some_and(|number| number < 0) {
            self.invalid(at, "must be greater than or equal to 0");
        }
    }

    /// Absent counts as 0.
    pub fn positive(&mut self, at: &At) {
        if at.int().unwrap_or(0) <= 0 {
            self.invalid_as(at, at.int().unwrap_or(0), "must be greater than 0");
        }
    }

    /// A number between `low` and `high`; absent counts as 0.
    pub fn in_range(&mut self, at: &At, low: i64, high: i64) {
        let number = at.int().unwrap_or(0);
        if number < low || number > high {
            self.invalid_as(
                at,
                number,
                &format!("must be between {low} and {high}, inclusive"),
            );
        }
    }

    /// A port number.
    pub fn port(&mut self, at: &At) {
        self.in_range(at, 1, 65535);
    }

    /// One of the values, which are printed sorted.
    pub fn one_of(&mut self, at: &At, supported: &[&str]) {
        if !supported.contains(&at.text()) {
            let mut sorted = supported.to_vec();
            sorted.sort_unstable();
            self.unsupported(at, &sorted);
        }
    }

    /// One of the values, which are printed in the order given.
    pub fn one_of_in_order(&mut self, at: &At, supported: &[&str]) {
        if !supported.contains(&at.text()) {
            self.unsupported(at, supported);
        }
    }

    /// A text that has to obey a name rule.
    pub fn name(&mut self, at: &At, rule: Names) {
        self.name_as(at, at.text(), rule);
    }

    /// Another text, shown at this place, that has to obey a name rule.
    pub fn name_as(&mut self, at: &At, text: &str, rule: Names) {
        for message in rule.check(text) {
            self.invalid_as(at, text, &message);
        }
    }

    /// `field is immutable` unless old and new are equal (null and absent, empty lists and maps too).
    pub fn immutable(&mut self, at: &At, old: &Value) {
        if !semantically_equal(at.value, old) {
            self.invalid(at, IMMUTABLE);
        }
    }

    /// As [`Errors::immutable`], for a value that is shown as an internal type.
    pub fn immutable_as(&mut self, at: &At, old: &Value, fields: &'static [internal::Field]) {
        if !semantically_equal(at.value, old) {
            self.invalid_raw(at, &internal::print(at.value, fields), IMMUTABLE);
        }
    }
}

/// What is said of fields that may not change.
pub const IMMUTABLE: &str = "field is immutable";

/// Maps whose values are quantities wherever they stand.
const AMOUNTS: [&str; 6] = [
    "limits",
    "requests",
    "overhead",
    "capacity",
    "allocatable",
    "hard",
];

/// Go's `apiequality.Semantic.DeepEqual` on decoded values: absent, null and empty are the same, so are two spellings of a
/// quantity.
pub fn semantically_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            x.iter().all(|(key, value)| match (value, y.get(key)) {
                (Value::Object(x), Some(Value::Object(y))) if AMOUNTS.contains(&key) => {
                    equal_amounts(x, y)
                }
                (value, Some(other)) => semantically_equal(value, other),
                (value, None) => is_empty(value),
            }) && y
                .iter()
                .all(|(key, value)| x.contains_key(key) || is_empty(value))
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| semantically_equal(x, y))
        }
        (x, y) => x == y || (is_empty(x) && is_empty(y)),
    }
}

fn equal_amounts(a: &Map, b: &Map) -> bool {
    let equal = |x: &Value, y: &Value| {
        let read = |value: &Value| Quantity::parse(value.as_str()?).ok();
        x == y || read(x).is_some_and(|amount| read(y) == Some(amount)) || semantically_equal(x, y)
    };
    a.len() == b.len()
        && a.iter()
            .all(|(key, x)| b.get(key).is_some_and(|y| equal(x, y)))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn b3_paths_print_fields_indexes_and_keys() {
        let value = json!({"spec": {"ports": [{"x": {"a/b": 1}}]}});
        let root = At::root(&value);
        let spec = root.field("spec");
        let ports = spec.field("ports");
        let port = ports.index(0);
        let x = port.field("x");
        assert_eq!(x.key("a/b").path(), "spec.ports[0].x[a/b]");
        assert_eq!(x.key("a/b").int(), Some(1));
        assert!(!root.field("status").is_set());
    }

    #[test]
    fn d9_absent_null_and_empty_lists_are_equal() {
        assert!(semantically_equal(&json!({"a": null, "b": []}), &json!({})));
        assert!(!semantically_equal(&json!({"a": 1}), &json!({})));
    }

    #[test]
    fn o4_amounts_are_equal_in_any_spelling() {
        let with = |cpu: &str| json!({"resources": {"limits": {"cpu": cpu}}});
        assert!(semantically_equal(&with("1"), &with("1000m")));
        assert!(!semantically_equal(&with("1"), &with("1001m")));
        let data = |text: &str| json!({"data": {"cpu": text}});
        assert!(!semantically_equal(&data("1"), &data("1000m")));
    }
}
