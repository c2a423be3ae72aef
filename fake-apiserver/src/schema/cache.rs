//! What is made of a schema's text, kept for the process.
//!
//! Runs of a simulation register the same definitions over and over; parsing their rules costs more than all else they do.
//! A cache of pure functions: whether it hits cannot be seen in any answer.
//! Invariant: the entries are few, so that hostile definitions cannot fill the memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

const ENTRIES_MAX: usize = 128;
const KEY_BYTES_MAX: usize = 256 << 10;

/// Values by the text they are made from.
pub(crate) struct Cache<T> {
    entries: Mutex<BTreeMap<String, Arc<T>>>,
}

impl<T> Cache<T> {
    /// An empty cache.
    pub(crate) const fn new() -> Cache<T> {
        Cache {
            entries: Mutex::new(BTreeMap::new()),
        }
    }

    /// The value of a text, made if it is not known.
    pub(crate) fn get(&self, key: String, make: impl FnOnce() -> T) -> Arc<T> {
        if key.len() > KEY_BYTES_MAX {
            return Arc::new(make());
        }
        let lock = || self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return known.clone();
        }
        let made = Arc::new(make());
        let mut entries = lock();
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(key, made.clone());
        made
    }
}
