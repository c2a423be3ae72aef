//! `no-task-leak`: a replica that was told to stop, and has stopped, leaves no task behind.
//!
//! Counted are the tasks of the replica's runtime at the moment its main function returns. In a process of its own
//! they would die with it; in a test, or where an operator is one of several in a process, they would go on writing.
//!
//! The finding names where they were spawned: the call of `tokio::spawn` or the like, which for a task that a library spawns
//! is within the library. Tokio tells that when it is built with `--cfg tokio_unstable`; else the finding counts them only.
//!
//! Does not see: tasks of a replica that crashed, or that was never told to stop; so a scenario needs a `restart` step.

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_apiserver::store::Entry;

use super::{About, Property, Report, View};
use crate::event::{Event, ReplicaId, StepId};
use crate::trace::Record;

#[derive(Default)]
pub(super) struct NoTaskLeak {
    /// Where each replica was told to stop.
    told: BTreeMap<ReplicaId, StepId>,
}

impl Property for NoTaskLeak {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        match &record.event {
            Event::ShutdownRequested { replica } => {
                self.told.insert(*replica, record.step);
            }
            Event::TasksLeaked {
                replica,
                tasks,
                spawned_at,
            } => {
                let about = About {
                    replica: Some(*replica),
                    because: self.told.get(replica).copied().into_iter().collect(),
                    ..About::default()
                };
                let name = view.name_of(*replica);
                let (noun, verb) = match tasks {
                    1 => ("task", "runs"),
                    _ => ("tasks", "run"),
                };
                let sites = match spawned_at.is_empty() {
                    true => String::new(),
                    false => format!(", spawned at {}", spawned_at.join(" and ")),
                };
                let message =
                    format!("{name} has stopped, and {tasks} {noun} of it still {verb}{sites}");
                report.find(message, about);
            }
            _ => {}
        }
    }
}
