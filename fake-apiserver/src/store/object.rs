//! A stored object: the parsed value and the bytes it is answered with, made once.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::itoa;
use crate::json::{self, CompactString, Map, Value};

/// The storage key of an object within its set: `namespace/name`, or the name alone. Ordered by bytes (H1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(CompactString);

impl Key {
    /// A key; the namespace is "" for cluster-scoped objects.
    pub fn new(namespace: &str, name: &str) -> Key {
        if namespace.is_empty() {
            return Key(name.into());
        }
        let mut text = CompactString::with_capacity(namespace.len() + name.len() + 1);
        text.push_str(namespace);
        text.push('/');
        text.push_str(name);
        Key(text)
    }

    /// A key from its text.
    pub fn from_text(text: &str) -> Key {
        Key(text.into())
    }

    /// The whole key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The namespace, "" if there is none.
    pub fn namespace(&self) -> &str {
        self.0
            .split_once('/')
            .map_or("", |(namespace, _)| namespace)
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The half-open range that holds a namespace's keys.
    pub fn namespace_range(namespace: &str) -> (Key, Key) {
        // '0' is the character after '/'.
        let bound = |end: char| Key(format!("{namespace}{end}").into());
        (bound('/'), bound('0'))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A stored object. Immutable: a write makes a new one.
#[derive(Debug)]
pub struct Object {
    value: Value,
    /// Everything behind `apiVersion` and `kind`: `,"data":…,"metadata":…}`, so that each served version and each form
    /// (in a list built-ins carry no type) can be put together without writing the object again.
    tail: Bytes,
    /// Where in it `apiVersion` and `kind` are left out.
    gaps: [usize; 2],
    /// Where in it the lists and objects directly below the object stand, and those directly below its metadata.
    pieces: [Pieces; 2],
    revision: u64,
    /// What a conversion webhook made of the object, by version.
    views: Vec<(CompactString, Value)>,
}

impl Object {
    pub(crate) fn new(value: Value, revision: u64) -> Object {
        Object::written(value, revision, None)
    }

    /// The state after another one: what has not changed is not written again.
    pub(crate) fn after(value: Value, revision: u64, old: &Object) -> Object {
        Object::written(value, revision, Some(old))
    }

    fn written(value: Value, revision: u64, old: Option<&Object>) -> Object {
        let mut writer = Writer::new(old);
        writer.object(&value);
        Object {
            value,
            tail: Bytes::copy_from_slice(&writer.out),
            gaps: writer.gaps,
            pieces: writer.pieces,
            revision,
            views: Vec::new(),
        }
    }

    /// The same with what a conversion webhook made of it.
    pub(crate) fn with_views(mut self, views: Vec<(CompactString, Value)>) -> Object {
        self.views = views;
        for (_, view) in &mut self.views {
            view.set(&["metadata", "resourceVersion"], itoa(self.revision));
        }
        self
    }

    /// The object as a conversion webhook made it for a version.
    pub(crate) fn view(&self, version: &str) -> Option<&Value> {
        let mut views = self.views.iter();
        views
            .find(|(name, _)| name == version)
            .map(|(_, view)| view)
    }

    /// The views for a newer state whose metadata alone has changed.
    pub(crate) fn views_with_metadata(&self, metadata: &Value) -> Vec<(CompactString, Value)> {
        let mut views = self.views.clone();
        for (_, view) in &mut views {
            view.set(&["metadata"], metadata);
        }
        views
    }

    /// The object, in its storage version.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The revision of its last write.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// `metadata.uid`
    pub fn uid(&self) -> &str {
        self.value.str_at(&["metadata", "uid"])
    }

    /// `metadata.name`
    pub fn name(&self) -> &str {
        self.value.str_at(&["metadata", "name"])
    }

    /// `metadata.namespace`, "" if there is none.
    pub fn namespace(&self) -> &str {
        self.value.str_at(&["metadata", "namespace"])
    }

    /// True once `metadata.deletionTimestamp` is set.
    pub fn is_terminating(&self) -> bool {
        self.value.at(&["metadata", "deletionTimestamp"]).is_some()
    }

    /// The serialised fields behind the type, with the closing brace; begins with a comma unless there are none.
    pub(crate) fn tail(&self) -> &Bytes {
        &self.tail
    }

    /// The bytes of a field of the object or its metadata, if it is what is asked for.
    fn piece(&self, below: Below, key: &str, field: &Value) -> Option<&[u8]> {
        let parent = match below {
            Below::Object => &self.value,
            Below::Metadata => self.value.get(METADATA)?,
        };
        let map = parent.as_object()?;
        if map.get(key)? != field {
            return None;
        }
        let before = map.iter().take_while(|(name, _)| *name != key);
        let before = before.filter(|(name, value)| is_piece(below, name, value));
        let at = self.pieces[below as usize].get(before.count())?;
        self.tail.get(at.start as usize..at.end as usize)
    }

    /// The object as JSON, its fields in order, as `json::to_vec` writes the value.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.tail.len() + 64);
        let mut done = 0;
        for (key, gap) in ["apiVersion", "kind"].into_iter().zip(self.gaps) {
            let Some(field) = self.value.get(key) else {
                continue;
            };
            out.extend_from_slice(&self.tail[done..gap]);
            done = gap;
            out.push(b',');
            json::write_string(key, &mut out);
            out.push(b':');
            json::write(field, &mut out);
        }
        out.extend_from_slice(&self.tail[done..]);
        // The first field's comma gives way to the brace.
        match out.first_mut() {
            Some(first @ b',') => *first = b'{',
            _ => out.insert(0, b'{'),
        }
        out
    }

    /// The same object as of another revision (selector transitions, deletions).
    pub(crate) fn with_revision(&self, revision: u64) -> Object {
        let mut value = self.value.clone();
        value.set(&["metadata", "resourceVersion"], itoa(revision));
        Object::after(value, revision, self).with_views(self.views.clone())
    }
}

/// Serialises what stands behind `apiVersion` and `kind`.
pub(crate) fn tail_of(value: &Value) -> Vec<u8> {
    let mut writer = Writer::new(None);
    writer.object(value);
    writer.out
}

/// Writes the tail of an object, copying what a former state of it has written alike.
struct Writer<'a> {
    out: Vec<u8>,
    gaps: [usize; 2],
    pieces: [Pieces; 2],
    old: Option<&'a Object>,
}

impl<'a> Writer<'a> {
    fn new(old: Option<&'a Object>) -> Writer<'a> {
        Writer {
            out: Vec::with_capacity(1_000),
            gaps: [0; 2],
            pieces: [Vec::new(), Vec::new()],
            old,
        }
    }

    fn object(&mut self, value: &Value) {
        for (key, field) in value.as_object().into_iter().flatten() {
            match key {
                "apiVersion" => self.gaps[0] = self.out.len(),
                "kind" => self.gaps[1] = self.out.len(),
                _ => {
                    self.key(key);
                    match field {
                        Value::Object(map) if key == METADATA => self.metadata(map),
                        _ => self.field(Below::Object, key, field),
                    }
                }
            }
        }
        self.out.push(b'}');
    }

    fn metadata(&mut self, map: &Map) {
        let start = self.out.len();
        for (key, field) in map {
            self.key(key);
            self.field(Below::Metadata, key, field);
        }
        // The first field's comma gives way to the brace.
        match self.out.get_mut(start) {
            Some(first) => *first = b'{',
            None => self.out.push(b'{'),
        }
        self.out.push(b'}');
    }

    fn key(&mut self, key: &str) {
        self.out.push(b',');
        json::write_string(key, &mut self.out);
        self.out.push(b':');
    }

    fn field(&mut self, below: Below, key: &str, field: &Value) {
        if !is_piece(below, key, field) {
            return json::write(field, &mut self.out);
        }
        let start = self.out.len();
        match self.old.and_then(|old| old.piece(below, key, field)) {
            Some(bytes) => self.out.extend_from_slice(bytes),
            None => json::write(field, &mut self.out),
        }
        self.pieces[below as usize].push(start as u32..self.out.len() as u32);
    }
}

const METADATA: &str = "metadata";

/// Where values stand in an object's bytes.
type Pieces = Vec<Range<u32>>;

/// What a field stands directly below.
#[derive(Clone, Copy)]
enum Below {
    Object,
    Metadata,
}

/// True for what is worth copying: a list, or an object, but for the metadata, which is copied field by field. The type is
/// not written at all.
fn is_piece(below: Below, key: &str, field: &Value) -> bool {
    let own = matches!(below, Below::Metadata);
    match field {
        Value::Array(_) => own || !matches!(key, "apiVersion" | "kind"),
        Value::Object(_) => own || !matches!(key, "apiVersion" | "kind" | METADATA),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn an_object_as_json_is_its_value_as_json() {
        for value in [
            json!({}),
            json!({"kind": "A"}),
            json!({"a": 1}),
            json!({"apiVersion": "v1", "kind": "A"}),
            json!({"apiVersion": "v1", "data": {"a": "<"}, "kind": "A", "metadata": {"name": "x"}}),
            json!({"Upper": 1, "apiVersion": "v1", "kind": "A", "zoo": []}),
            json!({"metadata": {}, "spec": {"metadata": {"a": [1]}}}),
            json!({"apiVersion": [1], "kind": {}, "metadata": [2], "spec": {}}),
        ] {
            let object = Object::new(value.clone(), 1);
            assert_eq!(object.to_json(), json::to_vec(&value), "{value}");
            let next = Object::after(value.clone(), 2, &object);
            assert_eq!(next.to_json(), json::to_vec(&value), "{value}");
        }
    }

    #[test]
    fn an_object_after_another_is_its_own_value_as_json() {
        let old = json!({
            "a": [1], "b": {"x": 1}, "c": {"x": "<"},
            "metadata": {"a": {"y": 1}, "labels": {"l": "1"}, "managedFields": [{"a": 1}], "name": "x"},
        });
        let new = json!({
            "a": [2], "c": {"x": "<"}, "d": {"x": 1},
            "metadata": {"annotations": {"y": 1}, "labels": {"l": "1"}, "managedFields": [{"a": 2}], "name": [3]},
        });
        let after = Object::after(new.clone(), 2, &Object::new(old.clone(), 1));
        assert_eq!(after.to_json(), json::to_vec(&new));
        let back = Object::after(old.clone(), 3, &after);
        assert_eq!(back.to_json(), json::to_vec(&old));
    }
}
