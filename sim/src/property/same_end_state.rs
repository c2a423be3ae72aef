//! `same-end-state`: whatever went wrong on the way, the objects in the end are those of the fault-free run.
//!
//! Compared when the world has settled, with the run of seed 0: every object but Leases and Events, without names, uids,
//! versions, generations and times that differ from run to run, and without order in lists. Fields under
//! `settle.noise` and those that the parameter `ignore` names (JSON pointers) do not count.
//!
//! Does not see: a run that does not settle; names that an operator draws itself, which it takes for differences;
//! effects outside the API server. An operator whose result depends on who came first (which replica signed, which of two
//! edits it saw) is no case for it.
//!
//! `level-triggered` compares in the same way, and only where a state was missed: a version of an object that an operator
//! watches was replaced before any watch of that operator brought it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fake_apiserver::store::Entry;
use serde::Deserialize;

use super::builtin::Tuned;
use super::end_state::EndState;
use super::{About, Property, Report, View};
use crate::event::{Event, ObjectKey, Phase, Revision, StepId};
use crate::trace::Record;

/// What can be set in both.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Fields {
    ignore: Vec<String>,
}

fn check(fields: &Fields) -> Result<(), String> {
    match fields.ignore.iter().find(|field| !field.starts_with('/')) {
        Some(field) => Err(format!("`{field}` is not a JSON pointer, as /status/by")),
        None => Ok(()),
    }
}

pub(super) struct SameEndState(Comparison);

impl Tuned for SameEndState {
    type Params = Fields;

    fn tuned(fields: &Fields) -> Self {
        SameEndState(Comparison::new(fields))
    }

    fn check(fields: &Fields) -> Result<(), String> {
        check(fields)
    }
}

impl Property for SameEndState {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        if self.0.note(record) {
            self.0.compare(view, report, "", &[]);
        }
    }

    fn finish(&mut self, view: &View<'_>, report: &mut Report) {
        self.0.finish("same-end-state", view, report);
    }
}

pub(super) struct LevelTriggered {
    comparison: Comparison,
    /// The resources that each operator watches.
    watched: BTreeSet<(String, String)>,
    /// What each operator's watches brought.
    brought: BTreeSet<(String, ObjectKey, Revision)>,
    versions: Vec<(ObjectKey, Revision, StepId)>,
}

impl Tuned for LevelTriggered {
    type Params = Fields;

    fn tuned(fields: &Fields) -> Self {
        LevelTriggered {
            comparison: Comparison::new(fields),
            watched: BTreeSet::new(),
            brought: BTreeSet::new(),
            versions: Vec::new(),
        }
    }

    fn check(fields: &Fields) -> Result<(), String> {
        check(fields)
    }
}

impl Property for LevelTriggered {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        match &record.event {
            Event::WatchOpened { replica, call, .. } => {
                let operator = view.operator_of(*replica).to_owned();
                self.watched.insert((operator, call.resource.to_string()));
            }
            Event::WatchDelivered {
                replica,
                object: Some(object),
                revision: Some(revision),
                ..
            } => {
                let operator = view.operator_of(*replica).to_owned();
                self.brought.insert((operator, object.clone(), *revision));
            }
            _ => {}
        }
        for change in record.event.changes() {
            self.versions
                .push((change.object.clone(), change.revision, record.step));
        }
        if self.comparison.note(record)
            && let Some((operator, object, step)) = self.missed()
        {
            let because = format!("; {operator} had missed a state of {object}");
            self.comparison.compare(view, report, &because, &[step]);
        }
    }

    fn finish(&mut self, view: &View<'_>, report: &mut Report) {
        self.comparison.finish("level-triggered", view, report);
    }
}

impl LevelTriggered {
    /// The first version that an operator's watches did not bring before there was a newer one.
    fn missed(&self) -> Option<(String, ObjectKey, StepId)> {
        let mut last: BTreeMap<&ObjectKey, Revision> = BTreeMap::new();
        for (object, revision, _) in &self.versions {
            last.insert(object, *revision);
        }
        let replaced = self
            .versions
            .iter()
            .filter(|(object, revision, _)| last.get(object) > Some(revision));
        for (object, revision, step) in replaced {
            for (operator, _) in self.watched.iter().filter(|(_, r)| *r == object.resource) {
                let brought = (operator.clone(), object.clone(), *revision);
                if !self.brought.contains(&brought) {
                    return Some((brought.0, brought.1, *step));
                }
            }
        }
        None
    }
}

struct Comparison {
    ignore: Vec<String>,
    compared: bool,
    /// Where each object was changed last.
    changed: BTreeMap<ObjectKey, StepId>,
}

impl Comparison {
    fn new(fields: &Fields) -> Comparison {
        Comparison {
            ignore: fields.ignore.clone(),
            compared: false,
            changed: BTreeMap::new(),
        }
    }

    /// Whether it is time to compare.
    fn note(&mut self, record: &Record) -> bool {
        for change in record.event.changes() {
            self.changed.insert(change.object.clone(), record.step);
        }
        let settled = matches!(
            record.event,
            Event::PhaseBegan {
                phase: Phase::Settled
            }
        );
        settled && !std::mem::replace(&mut self.compared, true)
    }

    fn compare(&self, view: &View<'_>, report: &mut Report, because: &str, steps: &[StepId]) {
        let Ok(reference) = view.reference() else {
            return;
        };
        let noise = &view.setup.settle.noise;
        let ignored: Vec<&str> = noise
            .iter()
            .chain(&self.ignore)
            .map(String::as_str)
            .collect();
        let here = EndState::new(
            view.objects().map(|(key, object)| (key, object.value())),
            &ignored,
        );
        let there = reference.objects.iter();
        let there = EndState::new(there.map(|(key, object)| (key.clone(), object)), &ignored);
        for difference in here.differs_from(&there) {
            let object = difference.object;
            let mut told = steps.to_vec();
            told.extend(self.changed.get(&object));
            let about = About {
                because: told,
                object: Some(object.clone()),
                ..About::default()
            };
            report.find(format!("{object}: {}{because}", difference.what), about);
        }
    }

    fn finish(&self, name: &str, view: &View<'_>, report: &mut Report) {
        let why = match view.reference() {
            Err(why) => why,
            // A run that might have settled and did not is a finding of `converges`.
            Ok(_) if self.compared || report.unsettled.is_some() => return,
            Ok(_) => "the run ended before it had settled",
        };
        report.inconclusive.push((name.to_owned(), why.to_owned()));
    }
}
