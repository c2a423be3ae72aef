//! The guarantees of watches, checked on what leaves the server: in order, unique, complete, resumable, bookmarkable.
//!
//! Owns a second opinion. The checker sees the outputs of every call as the caller will, and holds each event against
//! the log: it knows what the client asked for and what it was told last, and nothing of positions, caches or lines made
//! once for many. The five guarantees are those that etcd's robustness tests demand of a watch
//! (<https://etcd.io/docs/v3.6/learning/api_guarantees/#watch-apis>).
//! Does not own what becomes of a breach: it is a mistake of this crate, and the caller is told ([`ApiServer::breach`]).
//!
//! Simplification: the bytes of a line are not read; an event counts by its type and the revision it stands for.
//!
//! [`ApiServer::breach`]: super::ApiServer::breach

use std::collections::BTreeMap;
use std::sync::Arc;

use super::core::Core;
use super::read::selects;
use super::watch::Began;
use super::{EventKind, Output, Watch, WatchId};
use crate::registry::Resource;
use crate::request::ListOptions;
use crate::store::{Entry, Key, Object, Store};

/// A mistake that the server is told to make once, to prove that the checker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// An event is left out.
    Lose,
    /// An event is sent twice.
    Repeat,
    /// An event claims to be of another type.
    Mistake,
    /// A bookmark comes before an event that it covers.
    BookmarkEarly,
}

/// What the clients of all open watches have been told.
#[derive(Debug, Default)]
pub(super) struct Guarantees {
    followed: BTreeMap<WatchId, Followed>,
    breach: Option<String>,
}

/// One watch, as its client sees it.
#[derive(Debug)]
struct Followed {
    row: Arc<Resource>,
    namespace: String,
    name: String,
    options: ListOptions,
    /// Revisions of the objects that are still to come first, the next one last.
    initial: Vec<u64>,
    /// Everything up to this revision has been told.
    told: u64,
}

impl Followed {
    fn new(watch: &Watch, store: &Store) -> Followed {
        let mut followed = Followed {
            row: watch.row.clone(),
            namespace: watch.namespace.clone(),
            name: watch.name.clone(),
            options: watch.options.clone(),
            initial: Vec::new(),
            told: match watch.began {
                Began::WithState(revision) | Began::After(revision) => revision,
            },
        };
        if let Began::WithState(revision) = watch.began {
            let view = store.at(watch.row.id, revision);
            let wanted = view.range(None, None);
            let wanted = wanted.filter(|(key, object)| followed.wants(key, object));
            let mut initial: Vec<u64> = wanted.map(|(_, object)| object.revision()).collect();
            initial.reverse();
            followed.initial = initial;
        }
        followed
    }

    fn wants(&self, key: &Key, object: &Object) -> bool {
        (self.namespace.is_empty() || key.namespace() == self.namespace)
            && (self.name.is_empty() || key.name() == self.name)
            && selects(&self.row, &self.options, object)
    }

    /// The type of event that a write owes this watch.
    fn owed(&self, entry: &Entry) -> Option<EventKind> {
        let old = entry.old.as_ref();
        let before = old.is_some_and(|old| self.wants(&entry.key, old));
        let after = entry.new().is_some_and(|new| self.wants(&entry.key, new));
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(EventKind::Added),
            (true, true) => Some(EventKind::Modified),
            (true, false) => Some(EventKind::Deleted),
        }
    }

    /// The first write owed and not told, up to a revision.
    fn missed(&self, store: &Store, up_to: u64) -> Option<u64> {
        let entries = store.history_since(self.row.id, self.told);
        let mut entries = entries.take_while(|entry| entry.revision <= up_to);
        let missed = entries.find(|entry| self.owed(entry).is_some())?;
        Some(missed.revision)
    }

    fn told(&mut self, store: &Store, kind: EventKind, revision: u64) -> Result<(), String> {
        let said = kind.as_str();
        if let Some(next) = self.initial.pop() {
            let first = kind == EventKind::Added && revision == next;
            return match first {
                true => Ok(()),
                false => Err(format!(
                    "complete: {said} of revision {revision} where the state begins with the object of revision {next}"
                )),
            };
        }
        if kind == EventKind::Bookmark {
            if revision < self.told {
                let told = self.told;
                return Err(format!(
                    "bookmarkable: the bookmark {revision} is behind {told}, which has been told"
                ));
            }
            if let Some(missed) = self.missed(store, revision) {
                return Err(format!(
                    "bookmarkable: the bookmark {revision} is ahead of the write {missed}, which has not been told"
                ));
            }
            self.told = revision;
            return Ok(());
        }
        if revision <= self.told {
            let told = self.told;
            return Err(format!(
                "ordered, unique: {said} of revision {revision} after {told}"
            ));
        }
        if let Some(missed) = self.missed(store, revision - 1) {
            return Err(format!(
                "complete, resumable: {said} of revision {revision} although the write {missed} has not been told"
            ));
        }
        let entry = store.history_since(self.row.id, revision - 1).next();
        let entry = entry.filter(|entry| entry.revision == revision);
        let owed = entry.and_then(|entry| self.owed(entry));
        if owed != Some(kind) {
            return Err(format!(
                "{said} of revision {revision}, where {} is owed",
                owed.map_or("nothing", EventKind::as_str)
            ));
        }
        self.told = revision;
        Ok(())
    }
}

impl Guarantees {
    /// Reads what is about to leave the server.
    pub(super) fn read(&mut self, core: &Core, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Opened { watch, .. } => {
                    if let Some(open) = core.watches.get(watch) {
                        let followed = Followed::new(open, &core.store);
                        self.followed.insert(*watch, followed);
                    }
                }
                Output::Event {
                    watch,
                    kind: EventKind::Error,
                    ..
                }
                | Output::Ended { watch } => self.forget(*watch),
                Output::Event {
                    watch,
                    kind,
                    revision,
                    ..
                } => {
                    let Some(followed) = self.followed.get_mut(watch) else {
                        continue;
                    };
                    let told = followed.told(&core.store, *kind, *revision);
                    self.note(*watch, told);
                }
                _ => {}
            }
        }
    }

    /// Whether every open watch has been told all that its server's cache has seen.
    pub(super) fn check_all(&mut self, core: &Core) {
        let mut late = Vec::new();
        for (id, followed) in &self.followed {
            let Some(watch) = core.watches.get(id) else {
                continue;
            };
            let (server, resource) = (watch.server, followed.row.id);
            let seen = core.caches.revision(&core.store, server, resource);
            if let Some(revision) = followed.initial.last() {
                let why = format!("complete: the object of revision {revision} was never sent");
                late.push((*id, why));
            } else if let Some(missed) = followed.missed(&core.store, seen) {
                let why = format!(
                    "complete: the write {missed} was never told, although its server is at {seen}"
                );
                late.push((*id, why));
            }
        }
        for (id, why) in late {
            self.note(id, Err(why));
        }
    }

    pub(super) fn forget(&mut self, watch: WatchId) {
        self.followed.remove(&watch);
    }

    /// The first breach.
    pub(super) fn breach(&self) -> Option<&str> {
        self.breach.as_deref()
    }

    fn note(&mut self, watch: WatchId, told: Result<(), String>) {
        let (Err(why), None) = (told, &self.breach) else {
            return;
        };
        let followed = self.followed.get(&watch);
        let what = followed.map(|followed| followed.row.plural.as_str());
        let what = what.unwrap_or_default();
        self.breach = Some(format!("watch {} of {what}: {why}", watch.0));
    }
}

/// Makes the mistake in what is about to leave the server; false if there was no occasion.
pub(super) fn make(defect: Defect, outputs: &mut Vec<Output>) -> bool {
    let is_event = |output: &Output| {
        matches!(output, Output::Event { kind, .. }
            if !matches!(kind, EventKind::Bookmark | EventKind::Error))
    };
    let Some(at) = outputs.iter().rposition(is_event) else {
        return false;
    };
    let Output::Event {
        watch,
        kind,
        revision,
        line,
    } = &mut outputs[at]
    else {
        return false;
    };
    let copy = |kind| Output::Event {
        watch: *watch,
        kind,
        revision: *revision,
        line: line.clone(),
    };
    match defect {
        Defect::Lose => drop(outputs.remove(at)),
        Defect::Repeat => {
            let again = copy(*kind);
            outputs.insert(at, again);
        }
        Defect::Mistake => {
            *kind = match kind {
                EventKind::Deleted => EventKind::Modified,
                _ => EventKind::Deleted,
            };
        }
        Defect::BookmarkEarly => {
            let early = copy(EventKind::Bookmark);
            outputs.insert(at, early);
        }
    }
    true
}
