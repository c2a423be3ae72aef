//! The history of a run and its fingerprint.
//!
//! Owns the order of records and the bodies they speak of. Two runs are the same exactly when their fingerprints are;
//! [`Trace::first_difference`] names where two part.
//!
//! Invariant: a fingerprint depends on records and bodies alone, never on addresses, hash orders or the wall clock.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::choice::Tape;
use crate::event::{BodyId, Event, ReconcileId, StepId};
use crate::telemetry::SpanSeen;
use crate::time::SimTime;

/// One thing that happened, when, and what made it happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Its number.
    pub step: StepId,
    /// When.
    pub at: SimTime,
    /// The record that made it happen, where one did.
    pub cause: Option<StepId>,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// Equal fingerprints: equal runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The history of a run.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Names of the replicas, by id: `webapp-0`.
    pub replicas: Vec<String>,
    /// What happened, in order.
    pub records: Vec<Record>,
    /// Objects and request bodies, by hash: each once.
    pub bodies: BTreeMap<BodyId, Bytes>,
    /// What was decided.
    pub tape: Tape,
    /// Lines the operators logged: (time, replica, line). Not part of the fingerprint.
    pub logs: Vec<LogLine>,
    /// Spans of the operators, in the order in which they were opened. Not part of the fingerprint.
    pub spans: Vec<SpanSeen>,
}

/// A line an operator logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When.
    pub at: SimTime,
    /// The replica's name.
    pub replica: String,
    /// The reconcile it was logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconcile: Option<ReconcileId>,
    /// `INFO`, `WARN`, ….
    pub level: String,
    /// The line.
    pub line: String,
}

impl Trace {
    /// An empty history.
    pub fn new(replicas: Vec<String>, tape: Tape) -> Trace {
        Trace {
            replicas,
            // Few runs are shorter, and records are large to move.
            records: Vec::with_capacity(128),
            bodies: BTreeMap::new(),
            tape,
            logs: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Keeps a body and returns its id.
    pub fn keep(&mut self, body: &Bytes) -> BodyId {
        let mut hasher = StableHasher::default();
        hasher.write(body);
        let id = BodyId(hasher.finish());
        self.bodies.entry(id).or_insert_with(|| body.clone());
        id
    }

    /// The fingerprint of everything that happened so far.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = StableHasher::default();
        self.records.hash(&mut hasher);
        Fingerprint(hasher.finish())
    }

    /// The index of the first record in which two histories differ, if they do.
    pub fn first_difference(&self, other: &Trace) -> Option<usize> {
        let same = self
            .records
            .iter()
            .zip(&other.records)
            .take_while(|(a, b)| a == b)
            .count();
        (same < self.records.len() || same < other.records.len()).then_some(same)
    }

    /// The record of that number.
    pub fn record(&self, step: StepId) -> Option<&Record> {
        self.records.get(usize::try_from(step.0).ok()?)
    }
}

/// FNV-1a over eight bytes at a time with a final mix: fast, and the same on every machine.
#[derive(Clone)]
pub(crate) struct StableHasher(u64);

impl Default for StableHasher {
    fn default() -> Self {
        StableHasher(0xcbf2_9ce4_8422_2325)
    }
}

impl StableHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }
}

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last) ^ ((rest.len() as u64) << 56));
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn finish(&self) -> u64 {
        let mut h = self.0;
        h ^= h >> 32;
        h = h.wrapping_mul(0xd6e8_feb8_6659_fd93);
        h ^ (h >> 32)
    }
}
