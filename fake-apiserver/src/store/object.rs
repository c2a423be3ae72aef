//! A stored object: the parsed value and the bytes it is answered with, made once.

use std::fmt;

use bytes::Bytes;

use super::itoa;
use crate::json::{self, CompactString, Value};

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
    revision: u64,
    /// What a conversion webhook made of the object, by version.
    views: Vec<(CompactString, Value)>,
}

impl Object {
    pub(crate) fn new(value: Value, revision: u64) -> Object {
        let (tail, gaps) = tail_and_gaps(&value);
        Object {
            value,
            tail: Bytes::copy_from_slice(&tail),
            gaps,
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
        Object::new(value, revision).with_views(self.views.clone())
    }
}

/// Serialises what stands behind `apiVersion` and `kind`.
pub(crate) fn tail_of(value: &Value) -> Vec<u8> {
    tail_and_gaps(value).0
}

fn tail_and_gaps(value: &Value) -> (Vec<u8>, [usize; 2]) {
    let mut gaps = [0; 2];
    let mut out = Vec::with_capacity(1_000);
    if let Some(map) = value.as_object() {
        for (key, field) in map {
            match key {
                "apiVersion" => gaps[0] = out.len(),
                "kind" => gaps[1] = out.len(),
                _ => {}
            }
            if matches!(key, "apiVersion" | "kind") {
                continue;
            }
            out.push(b',');
            json::write_string(key, &mut out);
            out.push(b':');
            json::write(field, &mut out);
        }
    }
    out.push(b'}');
    (out, gaps)
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
        ] {
            let object = Object::new(value.clone(), 1);
            assert_eq!(object.to_json(), json::to_vec(&value), "{value}");
        }
    }
}
