//! A document on its way through a JSON patch: opened along the paths that operations take, plain everywhere else.
//!
//! Owns containers that change at a small cost: ten thousand operations on a list of a million elements must not move the
//! list ten thousand times. Does not own what operations mean (`json_patch`).

use std::collections::BTreeMap;

use crate::json::{CompactString, DEPTH_MAX, Map, Value};

/// Elements of a chunk when a list is opened; a chunk of twice as many is split.
const CHUNK: usize = 512;

/// A value whose containers may be open.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    /// A value nobody has looked into.
    Plain(Value),
    /// An open object.
    Object(BTreeMap<CompactString, Tree>),
    /// An open list.
    List(Chunks),
}

impl Tree {
    /// Opens a container by one level; a scalar stays plain.
    pub(crate) fn open(&mut self) -> &mut Tree {
        if let Tree::Plain(value) = self {
            match value.take() {
                Value::Object(map) => {
                    let fields = map
                        .into_iter()
                        .map(|(key, value)| (key, Tree::Plain(value)));
                    *self = Tree::Object(fields.collect());
                }
                Value::Array(items) => *self = Tree::List(Chunks::of(items)),
                scalar => *value = scalar,
            }
        }
        self
    }

    /// The value, closed again.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Tree::Plain(value) => value,
            Tree::Object(fields) => {
                let mut map = Map::with_capacity(fields.len());
                for (key, value) in fields {
                    map.insert(key, value.into_value());
                }
                Value::Object(map)
            }
            Tree::List(items) => {
                let items = items.chunks.into_iter().flatten();
                Value::Array(items.map(Tree::into_value).collect())
            }
        }
    }

    /// A copy as a value.
    pub(crate) fn to_value(&self) -> Value {
        self.clone().into_value()
    }

    /// True for `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Tree::Plain(Value::Null))
    }

    /// Equality as the library has it: by structure, scalars by their text.
    pub(crate) fn equals(&self, wanted: &Value) -> bool {
        match (self, wanted) {
            (Tree::Plain(there), wanted) => equals(there, wanted),
            (Tree::Object(fields), Value::Object(wanted)) => {
                fields.len() == wanted.len()
                    && fields
                        .iter()
                        .zip(wanted.iter())
                        .all(|((k1, v1), (k2, v2))| k1 == k2 && v1.equals(v2))
            }
            (Tree::List(items), Value::Array(wanted)) => {
                items.len() == wanted.len()
                    && items
                        .chunks
                        .iter()
                        .flatten()
                        .zip(wanted)
                        .all(|(there, wanted)| there.equals(wanted))
            }
            _ => false,
        }
    }
}

fn equals(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equals(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b.iter())
                    .all(|((k1, v1), (k2, v2))| k1 == k2 && equals(v1, v2))
        }
        // A whole number is stored as one: 2.0 reads back as 2, and 1.0 in a patch equals no stored 1.
        (Value::Float(a), Value::Int(b)) => *a == *b as f64,
        (Value::Int(_), Value::Float(_)) => false,
        (a, b) => a == b,
    }
}

/// How far documents may grow: a value that is put somewhere must not make them nest deeper than any body may.
///
/// Invariant: no document nests deeper than [`DEPTH_MAX`], so that walking or dropping one cannot exhaust a stack.
#[derive(Debug)]
pub(crate) struct Depth {
    /// Nodes that may still be looked at, so that a deep document that is moved about does not take for ever.
    nodes: usize,
    /// What the document nests at most, once that has been looked at.
    bound: Option<usize>,
}

impl Depth {
    /// For one patch.
    pub(crate) const fn new() -> Depth {
        Depth {
            nodes: 20_000_000,
            bound: None,
        }
    }

    /// Whether a value may stand at a path.
    pub(crate) fn allows(&mut self, path: &str, value: &Tree) -> Option<()> {
        let depth = levels(path) + self.height(value)?;
        self.bound = self.bound.map(|bound| bound.max(depth));
        (depth <= DEPTH_MAX).then_some(())
    }

    /// Whether a value that was taken out of a document may stand at a path of it. It is no deeper than the document was:
    /// it is looked at only when that is too much.
    pub(crate) fn allows_moved(&mut self, document: &Tree, path: &str, value: &Tree) -> Option<()> {
        let levels = levels(path);
        let mut depth = self.bound.map(|bound| levels + bound);
        if depth.is_none_or(|depth| depth > DEPTH_MAX) {
            let moved = levels + self.height(value)?;
            depth = Some(moved.max(self.height(document)?));
        }
        self.bound = depth;
        depth.filter(|depth| *depth <= DEPTH_MAX).map(drop)
    }

    /// How many containers stand in one another.
    fn height(&mut self, value: &Tree) -> Option<usize> {
        self.nodes = self.nodes.checked_sub(1)?;
        let mut below = 0;
        match value {
            Tree::Plain(value) => return self.height_of(value),
            Tree::Object(fields) => {
                for field in fields.values() {
                    below = below.max(self.height(field)?);
                }
            }
            Tree::List(items) => {
                for item in items.chunks.iter().flatten() {
                    below = below.max(self.height(item)?);
                }
            }
        }
        Some(1 + below)
    }

    fn height_of(&mut self, value: &Value) -> Option<usize> {
        self.nodes = self.nodes.checked_sub(1)?;
        let mut below = 0;
        match value {
            Value::Object(map) => {
                for field in map.values() {
                    below = below.max(self.height_of(field)?);
                }
            }
            Value::Array(items) => {
                for item in items {
                    below = below.max(self.height_of(item)?);
                }
            }
            _ => return Some(0),
        }
        Some(1 + below)
    }
}

fn levels(path: &str) -> usize {
    path.matches('/').count()
}

/// A list in chunks.
#[derive(Clone, Debug)]
pub(crate) struct Chunks {
    chunks: Vec<Vec<Tree>>,
    length: usize,
}

impl Chunks {
    fn of(items: Vec<Value>) -> Chunks {
        let length = items.len();
        let mut chunks = Vec::with_capacity(length / CHUNK + 1);
        let mut items = items.into_iter().map(Tree::Plain);
        loop {
            let chunk: Vec<Tree> = items.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                return Chunks { chunks, length };
            }
            chunks.push(chunk);
        }
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The chunk that holds an element, or the last one for the place behind the last element.
    fn place(&self, mut index: usize) -> (usize, usize) {
        for (at, chunk) in self.chunks.iter().enumerate() {
            if index < chunk.len() || at + 1 == self.chunks.len() {
                return (at, index);
            }
            index -= chunk.len();
        }
        (0, index)
    }

    /// An element, to change.
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Tree> {
        let (chunk, at) = self.place(index);
        self.chunks.get_mut(chunk)?.get_mut(at)
    }

    /// Puts an element in front of another, or at the end.
    pub(crate) fn insert(&mut self, index: usize, item: Tree) {
        if self.chunks.is_empty() {
            self.chunks.push(Vec::new());
        }
        let (chunk, at) = self.place(index);
        let items = &mut self.chunks[chunk];
        items.insert(at, item);
        if items.len() > 2 * CHUNK {
            let rest = items.split_off(CHUNK);
            self.chunks.insert(chunk + 1, rest);
        }
        self.length += 1;
    }

    /// Takes an element out.
    pub(crate) fn remove(&mut self, index: usize) -> Option<Tree> {
        let (chunk, at) = self.place(index);
        let items = self.chunks.get_mut(chunk)?;
        let item = (at < items.len()).then(|| items.remove(at))?;
        if items.is_empty() {
            self.chunks.remove(chunk);
        }
        self.length -= 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Ids, SeededIds};

    #[test]
    fn e2_a_list_in_chunks_is_a_list() {
        let mut list: Vec<Value> = (0..3 * CHUNK).map(Value::from).collect();
        let mut chunks = Chunks::of(list.clone());
        let mut dice = SeededIds::new(3);
        for turn in 0..4 * CHUNK {
            let at = dice.number(list.len() as u64 + 1) as usize;
            if at < list.len() && dice.number(3) == 0 {
                let gone = chunks.remove(at).map(Tree::into_value);
                assert_eq!(gone, Some(list.remove(at)));
            } else {
                list.insert(at, Value::from(turn));
                chunks.insert(at, Tree::Plain(Value::from(turn)));
            }
            assert_eq!(chunks.len(), list.len());
        }
        let closed = Tree::List(chunks);
        assert!(closed.equals(&Value::Array(list.clone())));
        assert_eq!(closed.into_value(), Value::Array(list));
    }

    #[test]
    fn e2_an_emptied_list_takes_elements_again() {
        let mut chunks = Chunks::of(vec![Value::Null]);
        assert!(chunks.remove(0).is_some());
        assert!(chunks.remove(0).is_none());
        chunks.insert(0, Tree::Plain(Value::Bool(true)));
        assert_eq!(chunks.len(), 1);
    }
}
