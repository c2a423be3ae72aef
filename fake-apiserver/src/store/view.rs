//! A set of objects as it was at a revision: today's objects with the writes since then undone.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use super::{Collection, Key, Object};

/// A read-only set of objects at one revision.
pub struct View<'a> {
    collection: Option<&'a Collection>,
    /// What was different then: the object, or its absence.
    undone: BTreeMap<&'a Key, Option<&'a Arc<Object>>>,
    revision: u64,
}

impl<'a> View<'a> {
    pub(super) fn new(collection: Option<&'a Collection>, revision: u64) -> View<'a> {
        let mut undone = BTreeMap::new();
        if let Some(set) = collection {
            for entry in set.history.iter().rev() {
                if entry.revision <= revision {
                    break;
                }
                undone.insert(&entry.key, entry.old.as_ref());
            }
        }
        View {
            collection,
            undone,
            revision,
        }
    }

    /// The revision looked at.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&'a Arc<Object>> {
        match self.undone.get(key) {
            Some(then) => *then,
            None => self.collection?.live.get(key),
        }
    }

    /// Objects in key order, from a key on (inclusive), up to another (exclusive).
    pub fn range(
        &self,
        from: Option<&Key>,
        to: Option<&Key>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Object>)> {
        let from = from.map_or(Bound::Unbounded, Bound::Included);
        let to = to.map_or(Bound::Unbounded, Bound::Excluded);
        // An empty range would be a panic of the map.
        let empty = match (from, to) {
            (Bound::Included(from), Bound::Excluded(to)) => from >= to,
            _ => false,
        };
        let live = self.collection.filter(|_| !empty);
        let live = live
            .into_iter()
            .flat_map(move |set| set.live.range::<Key, _>((from, to)));
        let then = self.undone.iter().filter(move |(key, _)| {
            !empty
                && match from {
                    Bound::Included(from) => **key >= from,
                    _ => true,
                }
                && match to {
                    Bound::Excluded(to) => **key < to,
                    _ => true,
                }
        });
        Merged {
            live: live.peekable(),
            then: then.map(|(key, then)| (*key, *then)).peekable(),
        }
    }
}

/// Two ordered streams by key; on equal keys the second wins, and its `None` hides.
struct Merged<L: Iterator, T: Iterator> {
    live: Peekable<L>,
    then: Peekable<T>,
}

impl<'a, L, T> Iterator for Merged<L, T>
where
    L: Iterator<Item = (&'a Key, &'a Arc<Object>)>,
    T: Iterator<Item = (&'a Key, Option<&'a Arc<Object>>)>,
{
    type Item = (&'a Key, &'a Arc<Object>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((then_key, _)) = self.then.peek() else {
                return self.live.next();
            };
            if let Some((live_key, _)) = self.live.peek() {
                if live_key < then_key {
                    return self.live.next();
                }
                if live_key == then_key {
                    self.live.next();
                }
            }
            let (key, then) = self.then.next()?;
            if let Some(object) = then {
                return Some((key, object));
            }
        }
    }
}
