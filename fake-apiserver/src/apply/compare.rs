//! What a write changes: the fields it adds or modifies, and those it removes.
//!
//! Owns the comparison of two objects over a schema. Does not own who loses or gains the fields (`managed`).
//! Built-in objects count as Go structs: a struct field that is no pointer is always there, so an object that does not
//! say it equals one that says it empty. That decides which parents get a `.` (F6a).
//! Source: structured-merge-diff v6 `typed/compare.go`.

use std::collections::BTreeMap;

use super::field_set::{FieldSet, field_key};
use super::shape::{Kind, List, Shape};
use crate::json::{CompactString, Map, Value};

/// The difference between two objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Comparison {
    /// Fields the new object adds or changes.
    pub(crate) taken: FieldSet,
    /// Fields the new object has no more.
    pub(crate) removed: FieldSet,
}

/// Compares two objects of one type. Their own managedFields are no fields here, on either side.
pub(crate) fn compare(shape: Shape<'_>, old: &Value, new: &Value) -> Comparison {
    let mut node = Node {
        place: Place::Object,
        ..Node::default()
    };
    walk(shape, Some(old), Some(new), &mut node);
    Comparison {
        taken: node.taken,
        removed: node.removed,
    }
}

/// The fields that an object takes by coming new: those of its comparison with an empty one, but for those named by
/// `untracked` (fields of the object, fields of its metadata) and the metadata itself.
pub(crate) fn added(shape: Shape<'_>, new: &Value, untracked: [&[&str]; 2]) -> FieldSet {
    static EMPTY: Value = Value::Object(Map::new());
    let mut taken = FieldSet::new();
    let [of_object, of_metadata] = untracked;
    for (key, value) in fields(Some(new)) {
        if key == "metadata" {
            let (zero, shape) = (shape.zero(key), shape.child(key));
            let mut below = FieldSet::new();
            for (key, value) in fields(Some(value)) {
                if !of_metadata.contains(&key) {
                    put_born(shape, zero, key, value, &mut below);
                }
            }
            taken.put(field_key(key), below, false);
        } else if !of_object.contains(&key) {
            put_born(shape, Some(&EMPTY), key, value, &mut taken);
        }
    }
    taken
}

/// Puts what is found under a key of an object whose old side is `zero`.
fn put_born(shape: Shape<'_>, zero: Option<&Value>, key: &str, new: &Value, taken: &mut FieldSet) {
    let struct_is = zero.is_some_and(Value::is_object);
    let zero = if struct_is { shape.zero(key) } else { None };
    let (below, itself) = born(shape.child(key), zero, new);
    if itself || !below.is_empty() {
        taken.put(field_key(key), below, itself);
    }
}

/// What [`walk`] finds taken below a node and at it, where the old side is the zero value of a struct field or nothing.
fn born(shape: Shape<'_>, zero: Option<&Value>, new: &Value) -> (FieldSet, bool) {
    let mut taken = FieldSet::new();
    match new {
        Value::Object(map) if shape.is_granular_map() && !map.is_empty() => {
            for (key, value) in map {
                put_born(shape, zero, key, value, &mut taken);
            }
        }
        Value::Array(items) if !items.is_empty() && !shape.list().is_atomic() => {
            let list = shape.list();
            let mut elements: BTreeMap<CompactString, Option<&Value>> = BTreeMap::new();
            for item in items {
                if let Ok(key) = list.key_of(item) {
                    // Duplicates count as one atomic thing.
                    let seen = elements.entry(key).and_modify(|item| *item = None);
                    seen.or_insert(Some(item));
                }
            }
            for (key, item) in elements {
                let below = item.map(|item| born(list.items, None, item).0);
                taken.put(key, below.unwrap_or_default(), true);
            }
        }
        _ => return (taken, zero.is_none_or(|zero| !same(zero, new))),
    }
    let itself = zero.is_none_or(|zero| {
        !matches!(Kind::of(zero), Kind::Null) && Kind::of(zero) != Kind::of(new)
    });
    (taken, itself)
}

/// Structured-merge-diff's equality: numbers by value, all else as it is.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b.iter())
                    .all(|((k1, v1), (k2, v2))| k1 == k2 && same(v1, v2))
        }
        (Value::Float(_), _) | (_, Value::Float(_)) => {
            a.is_number() && b.is_number() && a.as_f64() == b.as_f64()
        }
        _ => a == b,
    }
}

/// Where a node stands.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// The whole object.
    Object,
    /// Its metadata.
    Metadata,
    #[default]
    Below,
}

/// What was found at one node and below it.
#[derive(Default)]
struct Node {
    place: Place,
    taken: FieldSet,
    removed: FieldSet,
    taken_self: bool,
    removed_self: bool,
}

impl Node {
    fn adopt(&mut self, key: impl FnOnce() -> CompactString, child: Node) {
        let taken = child.taken_self || !child.taken.is_empty();
        let removed = child.removed_self || !child.removed.is_empty();
        if taken || removed {
            let key = key();
            if taken {
                self.taken.put(key.clone(), child.taken, child.taken_self);
            }
            if removed {
                self.removed.put(key, child.removed, child.removed_self);
            }
        }
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, _) => self.taken_self = true,
            (_, None) => self.removed_self = true,
            (Some(old), Some(new)) => self.taken_self |= !same(old, new),
        }
    }
}

static NOTHING: Map = Map::new();

fn fields(side: Option<&Value>) -> &Map {
    side.and_then(Value::as_object).unwrap_or(&NOTHING)
}

fn items(side: Option<&Value>) -> &[Value] {
    side.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn walk(shape: Shape<'_>, old: Option<&Value>, new: Option<&Value>, out: &mut Node) {
    let old_kind = old.map_or(Kind::Null, Kind::of);
    let new_kind = new.map_or(Kind::Null, Kind::of);
    match (old_kind, new_kind) {
        (Kind::Null, kind) | (kind, Kind::Null) => walk_as(kind, shape, old, new, out),
        (one, two) if one == two => walk_as(one, shape, old, new, out),
        (one, two) => {
            // Of another type on either side: the node itself changed, and so did all below it.
            walk_as(one, shape, old, None, out);
            walk_as(two, shape, None, new, out);
            out.removed_self = false;
            out.taken_self = true;
        }
    }
}

fn walk_as(kind: Kind, shape: Shape<'_>, old: Option<&Value>, new: Option<&Value>, out: &mut Node) {
    match kind {
        Kind::Scalar | Kind::Null => return out.leaf(old, new),
        Kind::Object => {
            let (a, b) = (fields(old), fields(new));
            if !shape.is_granular_map() || (a.is_empty() && b.is_empty()) {
                return out.leaf(old, new);
            }
            let (old_is, new_is) = (
                old.is_some_and(Value::is_object),
                new.is_some_and(Value::is_object),
            );
            walk_maps(shape, (a, old_is), (b, new_is), out);
        }
        Kind::Array => {
            let (a, b) = (items(old), items(new));
            let list = shape.list();
            if list.is_atomic() || (a.is_empty() && b.is_empty()) {
                return out.leaf(old, new);
            }
            walk_lists(&list, a, b, out);
        }
    }
    // Not a leaf: the node itself came or went.
    match (old, new) {
        (None, _) => out.taken_self = true,
        (_, None) => out.removed_self = true,
        _ => {}
    }
}

/// Walks the fields of two objects in key order; the flag says whether the object is there at all.
fn walk_maps(shape: Shape<'_>, (a, a_is): (&Map, bool), (b, b_is): (&Map, bool), out: &mut Node) {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            // Strings under the same key are most of what there is: no need for the whole walk.
            (Some((key, Value::String(one))), Some((same, Value::String(two))))
                if key == same && one == two =>
            {
                left.next();
                right.next();
                continue;
            }
            (Some((one, _)), Some((two, _))) => one.cmp(two),
        };
        let old = order.is_le().then(|| left.next()).flatten();
        let new = order.is_ge().then(|| right.next()).flatten();
        let key = old.or(new).map_or("", |(key, _)| key);
        let (mut old, mut new) = (old.map(|(_, v)| v), new.map(|(_, v)| v));
        let place = match (out.place, key) {
            (Place::Metadata, "managedFields") => continue,
            (Place::Object, "metadata") => Place::Metadata,
            _ => Place::Below,
        };
        if old.is_none() && a_is {
            old = shape.zero(key);
        } else if new.is_none() && b_is {
            new = shape.zero(key);
        }
        let mut child = Node {
            place,
            ..Node::default()
        };
        walk(shape.child(key), old, new, &mut child);
        out.adopt(|| field_key(key), child);
    }
}

fn walk_lists(list: &List<'_>, a: &[Value], b: &[Value], out: &mut Node) {
    if a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)) {
        return;
    }
    let mut elements: BTreeMap<CompactString, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for item in a {
        if let Ok(key) = list.key_of(item) {
            elements.entry(key).or_default().0.push(item);
        }
    }
    for item in b {
        if let Ok(key) = list.key_of(item) {
            elements.entry(key).or_default().1.push(item);
        }
    }
    for (key, (olds, news)) in elements {
        let mut child = Node::default();
        match (olds.len(), news.len()) {
            (0 | 1, 0 | 1) => {
                let (old, new) = (olds.first().copied(), news.first().copied());
                walk(list.items, old, new, &mut child);
            }
            // Duplicates count as one atomic thing, under the item's own path.
            (2.., 2..) => {
                let equal = olds.len() == news.len()
                    && olds.iter().zip(&news).all(|(one, two)| same(one, two));
                child.taken_self = !equal;
            }
            (2.., _) => {
                if let Some(new) = news.first() {
                    walk(list.items, None, Some(new), &mut child);
                }
                child.removed_self = true;
            }
            (_, _) => {
                if let Some(old) = olds.first() {
                    walk(list.items, Some(old), None, &mut child);
                }
                child.taken_self = true;
            }
        }
        out.adopt(|| key, child);
    }
}
