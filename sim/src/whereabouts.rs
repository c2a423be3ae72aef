//! Where a run is, told to whoever waits for it: another thread, or the process that forked this one.
//!
//! Owns a few bytes that the run writes before and after each step of a replica, and that are read once it has been
//! given up. A run that is stuck cannot be asked, so it says beforehand what it is about to do. Costs some copied bytes a
//! step; nothing of it goes into the trace.
//!
//! Simplification: the bytes are read while nobody writes them, for the run is stuck; one that is only slow may be read
//! in the middle of a note, and what is told then mixes two.

use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

use crate::entropy::fork::Page;
use crate::event::{Event, StepId};
use crate::time::SimTime;
use crate::trace::{Record, Trace};

/// What a note has room for; a longer one is cut.
const LENGTH: usize = 512;
/// State, length of the replica's name, length of the event (low, high), virtual time.
const HEAD: usize = 12;

const IN_A_STEP: u8 = 1;
const BETWEEN_STEPS: u8 = 2;

/// The last that was heard of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Place {
    /// The replica whose code had the thread; none if it was not code of a replica.
    pub replica: Option<String>,
    /// When the last replica was given the thread, in virtual time.
    pub at: SimTime,
    /// Why it was: the last event before it fell silent.
    pub event: String,
}

/// The bytes.
pub(crate) enum Whereabouts {
    /// Seen by this process alone.
    Own(Box<[AtomicU8]>),
    /// Seen by the parent too.
    Shared(Page),
}

impl Whereabouts {
    /// For a run on a thread of this process.
    pub(crate) fn own() -> Whereabouts {
        Whereabouts::Own((0..LENGTH).map(|_| AtomicU8::new(0)).collect())
    }

    /// For a run in a forked process; none if no memory can be shared.
    pub(crate) fn shared() -> Option<Whereabouts> {
        Page::new(LENGTH).map(Whereabouts::Shared)
    }

    fn bytes(&self) -> &[AtomicU8] {
        match self {
            Whereabouts::Own(bytes) => bytes,
            Whereabouts::Shared(page) => page.bytes(),
        }
    }

    /// A replica is about to be given the thread.
    pub(crate) fn step_begins(
        &self,
        replica: &str,
        at: SimTime,
        trace: &Trace,
        cause: Option<StepId>,
    ) {
        let mut note = Note {
            bytes: self.bytes(),
            next: HEAD,
        };
        note.put(&replica[..replica.len().min(100)]);
        let named = note.next - HEAD;
        match cause.and_then(|step| trace.records.get(step.0 as usize)) {
            Some(record) => describe(record, trace, &mut note),
            None => note.put("a timer of its own was due"),
        }
        let length = (note.next - HEAD - named) as u16;
        let [low, high] = length.to_le_bytes();
        let head = [IN_A_STEP, named as u8, low, high];
        for (byte, to) in head.iter().chain(&at.0.to_le_bytes()).zip(self.bytes()) {
            to.store(*byte, Ordering::Relaxed);
        }
    }

    /// It has given it back.
    pub(crate) fn step_ends(&self) {
        self.bytes()[0].store(BETWEEN_STEPS, Ordering::Relaxed);
    }

    /// The last note; none if no replica ever ran.
    pub(crate) fn read(&self) -> Option<Place> {
        let bytes: Vec<u8> = self
            .bytes()
            .iter()
            .map(|byte| byte.load(Ordering::Relaxed))
            .collect();
        let (head, text) = bytes.split_at(HEAD);
        let named = usize::from(head[1]);
        let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let replica = String::from_utf8_lossy(text.get(..named)?).into_owned();
        let event = String::from_utf8_lossy(text.get(named..named + length)?).into_owned();
        let at = SimTime(u64::from_le_bytes(head[4..].try_into().ok()?));
        let replica = match head[0] {
            IN_A_STEP => Some(replica),
            BETWEEN_STEPS => None,
            _ => return None,
        };
        Some(Place { replica, at, event })
    }
}

/// Text that is being noted: pushed piece by piece, for formatting costs more than the rest of a step's bookkeeping.
struct Note<'a> {
    bytes: &'a [AtomicU8],
    next: usize,
}

impl Note<'_> {
    fn put(&mut self, text: &str) {
        for (byte, to) in text.bytes().zip(&self.bytes[self.next..]) {
            to.store(byte, Ordering::Relaxed);
            self.next += 1;
        }
    }

    fn all(&mut self, texts: &[&str]) {
        for text in texts {
            self.put(text);
        }
    }

    fn number(&mut self, number: u16) {
        let digits = [number / 100, number / 10 % 10, number % 10];
        let digits = digits.map(|digit| char::from(b'0' + (digit % 10) as u8));
        let mut text = [0; 4];
        for digit in digits {
            self.put(digit.encode_utf8(&mut text));
        }
    }
}

/// What a replica is handed by an event.
fn describe(record: &Record, trace: &Trace, note: &mut Note<'_>) {
    match &record.event {
        Event::ReplicaStarted { .. } => note.put("its process had started"),
        Event::ShutdownRequested { .. } => note.put("it had been told to stop"),
        Event::ReplyDelivered { status, .. } => {
            note.put("the reply ");
            note.number(*status);
            ask(record, trace, note);
        }
        Event::WatchOpened { call, .. } => {
            note.all(&["its watch of ", &call.resource, " was open"])
        }
        Event::WatchDelivered { kind, object, .. } => {
            note.all(&["the watch event ", kind]);
            if let Some(key) = object {
                note.all(&[" of ", &key.resource, "/", &key.namespace, "/", &key.name]);
            }
        }
        Event::WatchEnded { .. } => note.put("a watch of it had ended"),
        Event::ReplicaCrashed { .. } | Event::ReplicaEnded { .. } => {
            note.put("its process was over and its destructors ran");
        }
        Event::ReplyLost { .. } => {
            note.put("a broken connection instead of the reply");
            ask(record, trace, note);
        }
        _ => note.put("something reached it"),
    }
}

/// Names the request that a reply belongs to: found along the causes of the reply's record.
fn ask(record: &Record, trace: &Trace, note: &mut Note<'_>) {
    let mut cause = record.cause;
    for _ in 0..4 {
        let Some(record) = cause.and_then(|step| trace.records.get(step.0 as usize)) else {
            return;
        };
        if let Event::RequestSent { call, .. } = &record.event {
            note.all(&[" to ", &call.verb, " ", &call.resource]);
            for part in [&call.namespace, &call.name] {
                if !part.is_empty() {
                    note.all(&["/", part]);
                }
            }
            return;
        }
        cause = record.cause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::{Tape, TapeMode};
    use crate::event::{ObjectKey, ReplicaId, Revision, WatchId};

    fn trace(event: Event) -> Trace {
        let tape = Tape {
            seed: 0,
            mode: TapeMode::Timed,
            plan: None,
            entries: Vec::new(),
        };
        let mut trace = Trace::new(Vec::new(), tape);
        trace.records.push(Record {
            step: StepId(0),
            at: SimTime(5),
            cause: None,
            event,
        });
        trace
    }

    #[test]
    fn a_note_is_read_back_while_the_step_lasts_and_after_it() {
        let name = "n".repeat(LENGTH);
        let event = |name: &str| Event::WatchDelivered {
            replica: ReplicaId(0),
            watch: WatchId(1),
            kind: "ADDED".to_owned(),
            object: Some(ObjectKey {
                group: "".into(),
                resource: "configmaps".into(),
                namespace: "default".into(),
                name: name.into(),
            }),
            revision: Some(Revision(7)),
        };
        for whereabouts in [Whereabouts::own(), Whereabouts::shared().expect("memory")] {
            assert_eq!(whereabouts.read(), None);
            whereabouts.step_begins("op-1", SimTime(5), &trace(event("a")), Some(StepId(0)));
            let place = whereabouts.read().expect("a place");
            assert_eq!(place.replica.as_deref(), Some("op-1"));
            assert_eq!(place.event, "the watch event ADDED of configmaps/default/a");
            assert_eq!(place.at, SimTime(5));
            whereabouts.step_ends();
            assert_eq!(whereabouts.read().and_then(|place| place.replica), None);
            // What does not fit is cut, and nothing else is touched.
            whereabouts.step_begins(&name, SimTime(6), &trace(event(&name)), Some(StepId(0)));
            let place = whereabouts.read().expect("a place");
            assert!(place.event.ends_with("nnn"), "{place:?}");
        }
    }
}
