//! Watches as clients see them: ordered, unique, complete, resumable.
//!
//! What a watch must have told is known at any time: the writes between where it began and where its server's cache is.

use std::collections::BTreeMap;

use fake_apiserver::json::{self, Value};
use fake_apiserver::server::WatchId;

use super::cluster::Logged;
use super::defect::Defect;

/// An event: type, name, revision, object.
type Event = (String, String, u64, Value);

#[derive(Debug)]
struct Watch {
    id: WatchId,
    server: usize,
    /// Revision it goes on from.
    from: u64,
    /// The objects it begins with, if it does not go on from a revision.
    first: Vec<(String, u64)>,
    told: Vec<Event>,
}

impl Watch {
    /// The revision of the last event, from which a client goes on.
    fn position(&self) -> u64 {
        let told = self.told.iter().map(|(.., revision, _)| *revision);
        told.fold(self.from, u64::max)
    }
}

/// Open watches, in the order of their opening.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    open: Vec<Watch>,
    heard: usize,
}

impl Watches {
    /// A watch is about to be opened: at a revision, or at what its server's cache shows.
    pub(crate) fn open(
        &mut self,
        id: WatchId,
        server: u32,
        from: Option<u64>,
        seen: Option<&Logged>,
        state: &BTreeMap<String, u64>,
        began: u64,
    ) {
        let first = if from.is_some() {
            Vec::new()
        } else {
            state
                .iter()
                .map(|(name, revision)| (name.clone(), *revision))
                .collect()
        };
        let position = seen.map_or(began, |seen| seen.revision);
        self.open.push(Watch {
            id,
            server: server as usize,
            from: from.unwrap_or(position),
            first,
            told: Vec::new(),
        });
    }

    /// Forgets a watch; its id and the last revision it told.
    pub(crate) fn close(&mut self, pick: usize) -> Option<(WatchId, u64)> {
        let resumable: Vec<usize> = (0..self.open.len())
            .filter(|at| self.open[*at].first.is_empty())
            .collect();
        let at = *resumable.get(pick.checked_rem(resumable.len())?)?;
        let watch = self.open.remove(at);
        Some((watch.id, watch.position()))
    }

    /// An event has come.
    pub(crate) fn hear(&mut self, id: WatchId, line: &[u8], defect: Option<Defect>) {
        let event = json::parse(line).expect("an event is JSON");
        let metadata = &event["object"]["metadata"];
        let revision = metadata
            .str_at(&["resourceVersion"])
            .parse()
            .expect("a revision");
        let kind = event.str_at(&["type"]).to_owned();
        let name = metadata.str_at(&["name"]).to_owned();
        let watch = self
            .open
            .iter_mut()
            .find(|watch| watch.id == id)
            .expect("an open watch");
        watch
            .told
            .push((kind, name, revision, event["object"].clone()));
        self.heard += 1;
        if self.heard.is_multiple_of(4) {
            match defect {
                Some(Defect::LostEvent) => drop(watch.told.pop()),
                Some(Defect::DoubledEvent) => watch.told.extend(watch.told.last().cloned()),
                Some(Defect::SwappedEvents) if watch.told.len() > 1 => {
                    let last = watch.told.len() - 1;
                    watch.told.swap(last, last - 1);
                }
                _ => {}
            }
        }
    }

    /// Each watch has told exactly what it must have, in order.
    pub(crate) fn check(&self, log: &[Logged], cursors: &[usize]) {
        for watch in &self.open {
            let first = watch
                .first
                .iter()
                .map(|(name, revision)| ("ADDED", name.as_str(), *revision, None));
            let seen = log[..cursors[watch.server]].iter();
            let after = seen.filter(|write| write.revision > watch.from);
            let after = after.map(|write| {
                (
                    write.kind,
                    write.name.as_str(),
                    write.revision,
                    Some(&write.object),
                )
            });
            let mut wanted = first.chain(after);
            for (kind, name, revision, object) in &watch.told {
                let next = wanted.next();
                let Some((wanted_kind, wanted_name, wanted_revision, wanted_object)) = next else {
                    panic!(
                        "{:?} tells {kind} {name} at {revision}, which nobody wrote or it had told",
                        watch.id
                    );
                };
                assert_eq!(
                    (kind.as_str(), name.as_str(), *revision),
                    (wanted_kind, wanted_name, wanted_revision),
                    "{:?} from {}",
                    watch.id,
                    watch.from
                );
                if let Some(wanted) = wanted_object {
                    assert_eq!(
                        &object["metadata"], &wanted["metadata"],
                        "the object of its revision"
                    );
                    assert_eq!(
                        &object["data"], &wanted["data"],
                        "the object of its revision"
                    );
                }
            }
            let missing = wanted.next();
            assert!(
                missing.is_none(),
                "{:?} from {} has not told {missing:?}",
                watch.id,
                watch.from
            );
        }
    }

    /// With nothing left to see, what watches told from the beginning on is what there is.
    pub(crate) fn check_folded(&self, live: &BTreeMap<String, u64>) {
        for watch in self.open.iter().filter(|watch| !watch.first.is_empty()) {
            let mut state = BTreeMap::new();
            for (kind, name, revision, _) in &watch.told {
                match kind.as_str() {
                    "DELETED" => drop(state.remove(name)),
                    _ => drop(state.insert(name.clone(), *revision)),
                }
            }
            assert_eq!(&state, live, "list and watch are the state");
        }
    }
}
