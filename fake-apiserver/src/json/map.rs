//! An object: a vector of fields, sorted by key and unique.
//!
//! Kubernetes objects have few fields per level, so a sorted vector beats a tree in space and time and compares by bytes.

use super::{CompactString, Value};

/// The fields of a JSON object in key order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    // Invariant: keys strictly increase.
    fields: Vec<(CompactString, Value)>,
}

impl Map {
    /// An empty object.
    pub const fn new() -> Map {
        Map { fields: Vec::new() }
    }

    /// An empty object with room for `capacity` fields.
    pub fn with_capacity(capacity: usize) -> Map {
        Map {
            fields: Vec::with_capacity(capacity),
        }
    }

    /// An object of fields that are in order, each once.
    pub(crate) fn from_sorted(fields: Vec<(CompactString, Value)>) -> Map {
        // Invariant: keys strictly increase.
        debug_assert!(fields.windows(2).all(|pair| pair[0].0 < pair[1].0));
        Map { fields }
    }

    /// A copy without one of the fields.
    pub fn clone_without(&self, key: &str) -> Map {
        // Room for one more: what is left out here often comes back in another form.
        let mut fields = Vec::with_capacity(self.fields.len() + 1);
        fields.extend(self.fields.iter().filter(|(name, _)| name != key).cloned());
        Map { fields }
    }

    /// Adds a field whose key is above all others; hands it back if it is not.
    pub fn push(&mut self, key: CompactString, value: Value) -> Result<(), (CompactString, Value)> {
        match self.fields.last() {
            Some((last, _)) if last.as_str() >= key.as_str() => Err((key, value)),
            _ => {
                self.fields.push((key, value));
                Ok(())
            }
        }
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// True without fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        match self.fields.last() {
            None => return Err(0),
            Some((last, _)) if last.as_str() < key => return Err(self.fields.len()),
            Some(_) => {}
        }
        self.fields
            .binary_search_by(|(name, _)| name.as_str().cmp(key))
    }

    // Where a field is. Most objects are small: there, looking at lengths first beats comparing strings for their order.
    fn position(&self, key: &str) -> Option<usize> {
        if self.fields.len() > 16 {
            return self.find(key).ok();
        }
        let equal = |(name, _): &(CompactString, Value)| name.len() == key.len() && name == key;
        self.fields.iter().position(equal)
    }

    /// A field's value.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.position(key).map(|i| &self.fields[i].1)
    }

    /// A field's value, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.position(key).map(|i| &mut self.fields[i].1)
    }

    /// True if the field is there.
    pub fn contains_key(&self, key: &str) -> bool {
        self.position(key).is_some()
    }

    /// Sets a field, returning the value it had.
    pub fn insert(
        &mut self,
        key: impl Into<CompactString>,
        value: impl Into<Value>,
    ) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.find(&key) {
            Ok(i) => Some(std::mem::replace(&mut self.fields[i].1, value)),
            Err(i) => {
                self.fields.insert(i, (key, value));
                None
            }
        }
    }

    /// Removes a field.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.position(key).map(|i| self.fields.remove(i).1)
    }

    /// The field's value, set to `default` first if absent.
    pub fn get_or_insert(&mut self, key: &str, default: impl Into<Value>) -> &mut Value {
        // Mostly it is there.
        let i = self.position(key).unwrap_or_else(|| {
            let i = self.find(key).unwrap_or_else(|i| i);
            self.fields.insert(i, (key.into(), default.into()));
            i
        });
        &mut self.fields[i].1
    }

    /// The field as an object; absent or of another type it becomes an empty one.
    pub fn object(&mut self, key: &str) -> &mut Map {
        self.get_or_insert(key, Value::Null).make_object()
    }

    /// Fields in key order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Value)> + ExactSizeIterator {
        self.fields.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Fields in key order, values to change.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&str, &mut Value)> {
        self.fields
            .iter_mut()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// Keys in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.fields.iter().map(|(key, _)| key.as_str())
    }

    /// Values in key order.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Value> + ExactSizeIterator {
        self.fields.iter().map(|(_, value)| value)
    }

    /// Values in key order, to change.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Value> {
        self.fields.iter_mut().map(|(_, value)| value)
    }

    /// Keeps the fields the predicate likes.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.fields.retain_mut(|(key, value)| keep(key, value));
    }

    /// Adds fields that are not there yet, many at a time at the cost of sorting them.
    pub fn add_new(&mut self, fields: Vec<(CompactString, Value)>) {
        if fields.len() < 32 {
            for (key, value) in fields {
                self.insert(key, value);
            }
        } else {
            self.fields.extend(fields);
            self.fields.sort_by(|a, b| a.0.cmp(&b.0));
            self.fields.dedup_by(|a, b| a.0 == b.0);
        }
    }

    /// Removes all fields.
    pub fn clear(&mut self) {
        self.fields.clear();
    }
}

impl IntoIterator for Map {
    type Item = (CompactString, Value);
    type IntoIter = std::vec::IntoIter<(CompactString, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.fields.into_iter()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = (&'a str, &'a Value);
    type IntoIter = std::iter::Map<
        std::slice::Iter<'a, (CompactString, Value)>,
        fn(&'a (CompactString, Value)) -> (&'a str, &'a Value),
    >;
    fn into_iter(self) -> Self::IntoIter {
        self.fields.iter().map(|(key, value)| (key.as_str(), value))
    }
}

impl<K: Into<CompactString>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(fields: I) -> Map {
        let mut fields: Vec<(CompactString, Value)> = fields
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        // Stable sort, then the last of equal keys wins, as it does when a document repeats a key.
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        fields.reverse();
        fields.dedup_by(|a, b| a.0 == b.0);
        fields.reverse();
        Map { fields }
    }
}

impl<K: Into<CompactString>, V: Into<Value>> Extend<(K, V)> for Map {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, fields: I) {
        for (key, value) in fields {
            self.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collecting_sorts_and_the_last_duplicate_wins() {
        let map: Map = [("b", 1), ("a", 2), ("b", 3)].into_iter().collect();
        assert_eq!(map.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(map.get("b"), Some(&Value::Int(3)));
    }
}
