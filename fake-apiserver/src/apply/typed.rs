//! Operations on values under a schema: the check of an applied body, its fields, merging it in, taking fields out.
//!
//! Owns what structured-merge-diff calls validate, ToFieldSet, Merge, RemoveItems and EnsureNamedFieldsAreMembers.
//! Does not own comparison (`compare`) nor who owns what (`managed`).
//! Source: structured-merge-diff v6 `typed/{validate,tofieldset,merge,remove}.go`, `fieldpath/set.go`.

use std::collections::{BTreeMap, BTreeSet};

use super::field_set::{self, FieldSet, SELF, children, field_key, has_member, is_member};
use super::shape::{Kind, List, Shape};
use crate::json::{CompactString, Map, Value};
use crate::status::cut_path;

/// The errors of a value that does not fit its schema (F12), `.path: text` each.
pub(crate) fn validate(shape: Shape<'_>, value: &Value) -> Vec<String> {
    let mut errors = Errors::default();
    errors.value(shape, value);
    errors.found
}

/// Whether a stored object can be read as a type; doubled elements do not matter then.
pub(crate) fn converts(shape: Shape<'_>, value: &Value) -> bool {
    let errors = validate(shape, value);
    errors
        .iter()
        .all(|error| error.contains(": duplicate entries for key"))
}

/// The errors as one message.
pub(crate) fn error_text(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    }
}

#[derive(Default)]
struct Errors {
    path: String,
    found: Vec<String>,
}

impl Errors {
    fn add(&mut self, text: &str) {
        // A hostile body can be wrong a million times; nobody reads that.
        if self.found.len() < 1000 {
            let separator = if self.path.is_empty() { "" } else { ": " };
            self.found.push(format!("{}{separator}{text}", self.path));
        }
    }

    fn below(&mut self, key: &str, inner: impl FnOnce(&mut Errors)) {
        let length = self.path.len();
        field_set::print_element(key, &mut self.path);
        cut_path(&mut self.path);
        inner(self);
        self.path.truncate(length);
    }

    fn value(&mut self, shape: Shape<'_>, value: &Value) {
        if value.is_null() {
            return;
        }
        if let Some(text) = shape.mismatch(value) {
            return self.add(&text);
        }
        match value {
            Value::Object(map) => {
                for (name, item) in map {
                    if !shape.declares(name) {
                        self.below(&field_key(name), |e| e.add("field not declared in schema"));
                        return;
                    }
                    // Scalars are most of a body and need no path unless they are wrong.
                    let child = shape.child(name);
                    if Kind::of(item) == Kind::Scalar && child.mismatch(item).is_none() {
                        continue;
                    }
                    self.below(&field_key(name), |e| e.value(child, item));
                }
            }
            Value::Array(items) => self.list(&shape.list(), items),
            _ => {}
        }
    }

    fn list(&mut self, list: &List<'_>, items: &[Value]) {
        let mut seen: BTreeSet<CompactString> = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let key = if list.is_atomic() {
                CompactString::from(format!("i:{index}"))
            } else {
                match list.key_of(item) {
                    Ok(key) => key,
                    Err(text) => return self.add(&format!("element {index}: {text}")),
                }
            };
            if !list.is_atomic() && seen.contains(&key) {
                let mut printed = String::new();
                field_set::print_element(&key, &mut printed);
                self.add(&format!("duplicate entries for key {printed}"));
            }
            self.below(&key, |e| e.value(list.items, item));
            if !list.is_atomic() {
                seen.insert(key);
            }
        }
    }
}

/// The fields an applied body names (F6a).
pub(crate) fn field_set_of(shape: Shape<'_>, value: &Value) -> FieldSet {
    let (set, _) = fields_below(shape, value);
    set
}

/// The members below a node, and whether the node itself is one.
fn fields_below(shape: Shape<'_>, value: &Value) -> (FieldSet, bool) {
    let mut set = FieldSet::new();
    match value {
        Value::Object(map) if shape.is_granular_map() => {
            for (name, item) in map {
                let (below, mut member) = fields_below(shape.child(name), item);
                member |= item.is_null() || item.as_object().is_some_and(Map::is_empty);
                member |= !shape.has_field(name);
                set.put(field_key(name), below, member);
            }
            (set, false)
        }
        Value::Array(items) => {
            let list = shape.list();
            if list.is_atomic() {
                return (set, true);
            }
            let mut elements: BTreeMap<CompactString, (&Value, bool)> = BTreeMap::new();
            for item in items {
                if let Ok(key) = list.key_of(item) {
                    elements
                        .entry(key)
                        .and_modify(|(_, duplicate)| *duplicate = true)
                        .or_insert((item, false));
                }
            }
            for (key, (item, duplicate)) in elements {
                let below = if duplicate {
                    FieldSet::new()
                } else {
                    fields_below(list.items, item).0
                };
                set.put(key, below, true);
            }
            (set, false)
        }
        Value::Null => (set, shape.is_scalar()),
        _ => (set, true),
    }
}

/// Merges an applied body into a live value (F4, F6b).
pub(crate) fn merge(shape: Shape<'_>, live: &mut Value, applied: &Value) {
    match applied {
        Value::Object(theirs) if shape.is_granular_map() => match live {
            Value::Object(ours) if !ours.is_empty() || !theirs.is_empty() => {
                let mut new = Vec::new();
                for (name, item) in theirs {
                    match ours.get_mut(name) {
                        Some(there) => merge(shape.child(name), there, item),
                        None => new.push((name.into(), item.clone())),
                    }
                }
                ours.add_new(new);
            }
            _ => *live = applied.clone(),
        },
        Value::Array(theirs) => {
            let list = shape.list();
            match live {
                Value::Array(ours)
                    if !list.is_atomic() && (!ours.is_empty() || !theirs.is_empty()) =>
                {
                    let merged = merge_lists(&list, std::mem::take(ours), theirs);
                    *ours = merged;
                }
                _ => *live = applied.clone(),
            }
        }
        // Null names a granular map or list without saying anything about it.
        Value::Null => match live {
            Value::Object(ours) if !ours.is_empty() && shape.is_granular_map() => {}
            Value::Array(ours)
                if !ours.is_empty() && shape.is_list() && !shape.list().is_atomic() => {}
            _ => *live = Value::Null,
        },
        _ => *live = applied.clone(),
    }
}

/// The order of a merged list: see F6b.
fn merge_lists(list: &List<'_>, live: Vec<Value>, applied: &[Value]) -> Vec<Value> {
    let key = |item: &Value| list.key_of(item).unwrap_or_default();
    let right: Vec<CompactString> = applied.iter().map(key).collect();
    let left: Vec<CompactString> = live.iter().map(key).collect();
    let in_right: BTreeSet<&str> = right.iter().map(|k| k.as_str()).collect();
    // The index of the only live item of a key; duplicates are not merged with.
    let mut in_left: BTreeMap<&str, Option<usize>> = BTreeMap::new();
    for (index, key) in left.iter().enumerate() {
        in_left
            .entry(key)
            .and_modify(|at| *at = None)
            .or_insert(Some(index));
    }
    let mut shared = right.iter().filter(|k| in_left.contains_key(k.as_str()));
    let mut next_shared = shared.next();
    let mut merged: BTreeSet<&str> = BTreeSet::new();
    let mut live: Vec<Option<Value>> = live.into_iter().map(Some).collect();
    let mut out = Vec::with_capacity(live.len().max(applied.len()));
    let combine = |live: &mut Vec<Option<Value>>, r: usize| {
        let at = in_left.get(right[r].as_str()).copied().flatten();
        match at.and_then(|at| live[at].take()) {
            Some(mut item) => {
                merge(list.items, &mut item, &applied[r]);
                item
            }
            None => applied[r].clone(),
        }
    };
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() {
            if left[l] == right[r] {
                merged.insert(&right[r]);
                out.push(combine(&mut live, r));
                (l, r) = (l + 1, r + 1);
                next_shared = shared.next();
                continue;
            }
            if in_right.contains(left[l].as_str())
                && next_shared.is_some_and(|next| *next != left[l])
            {
                l += 1;
                continue;
            }
        }
        if l < left.len() {
            if !in_right.contains(left[l].as_str()) {
                out.extend(live[l].take());
                l += 1;
                continue;
            }
            if merged.contains(left[l].as_str()) {
                l += 1;
            }
        }
        if r < right.len() {
            merged.insert(&right[r]);
            out.push(combine(&mut live, r));
            if next_shared == Some(&right[r]) {
                next_shared = shared.next();
            }
            r += 1;
        }
    }
    out
}

/// Takes fields out of a value; whatever loses its last part becomes null (F5a).
pub(crate) fn remove(shape: Shape<'_>, value: &mut Value, fields: &Map) {
    let emptied = match value {
        Value::Object(map) if shape.is_granular_map() => {
            map.retain(|name, item| {
                let key = field_key(name);
                if has_member(fields, &key) {
                    return false;
                }
                if let Some(below) = field_set::below(fields, &key) {
                    remove(shape.child(name), item, below);
                }
                true
            });
            map.is_empty()
        }
        Value::Array(items) => {
            let list = shape.list();
            if !list.is_atomic() {
                items.retain_mut(|item| {
                    let Ok(key) = list.key_of(item) else {
                        return true;
                    };
                    if has_member(fields, &key) {
                        return false;
                    }
                    if let Some(below) = field_set::below(fields, &key) {
                        remove(list.items, item, below);
                    }
                    true
                });
            }
            list.is_atomic() || items.is_empty()
        }
        Value::Object(_) => true,
        _ => false,
    };
    if emptied {
        *value = Value::Null;
    }
}

/// The set with every declared field on the way to a member made a member too.
pub(crate) fn name_parents(shape: Shape<'_>, level: &Map) -> FieldSet {
    let mut out = FieldSet::new();
    for (key, node) in children(level) {
        let (child, named) = match key.strip_prefix("f:") {
            Some(name) => (shape.child(name), shape.has_field(name)),
            None if key.starts_with("k:") && shape.is_list() => (shape.list().items, false),
            None => (Shape::Deduced, false),
        };
        let parent = named && node.keys().any(|key| key != SELF);
        out.put(key, name_parents(child, node), parent || is_member(node));
    }
    out
}

/// Takes a set out of a value.
pub(crate) fn remove_all(shape: Shape<'_>, value: &mut Value, fields: &FieldSet) {
    if !fields.is_empty() {
        remove(shape, value, fields.tree());
    }
}
