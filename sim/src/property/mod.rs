//! What must hold: the trait, what a property can see, and the built-in properties by name.
//!
//! Owns [`Property`], [`View`] and [`Report`]; each built-in property has a file of its own that says what it does not see,
//! and a planted mutant in `tests` that must make it fire.
//!
//! Invariant: properties only read. Removing them all leaves the fingerprint of a run unchanged.

mod bounded_queue;
mod bounded_requests;
mod builtin;
pub mod cel;
mod closures;
mod converges;
mod deadline_honoured;
pub(crate) mod diff;
mod end_state;
mod finalizer_covers_cleanup;
mod idempotent;
mod no_duplicate_create;
mod no_lost_update;
mod no_orphans;
mod no_panic;
mod no_stall;
mod no_task_leak;
mod no_write_after_deposed;
mod owner_refs_kept;
pub(crate) mod reference;
mod safe_delete;
mod same_end_state;
mod sent;
mod single_leader;
mod status_not_ahead_of_spec;
mod telemetry;
#[cfg(test)]
mod tests;
mod unique_effect;
mod view;

use std::fmt;
use std::sync::Arc;

use fake_apiserver::store::Entry;

pub use builtin::{
    BUILTIN, Builtin, BuiltinError, Needs, Parameter, all_names, builtin, builtin_with, names,
};
pub use closures::{always, eventually, sometimes};
pub(crate) use view::key_of;
pub use view::{LeaseSeen, ReplicaInfo, View};

use crate::event::{ObjectKey, ReplicaId, StepId};
use crate::time::SimTime;
use crate::trace::Record;
use crate::verdict::{Figure, Finding};

/// Watches one run.
pub trait Property {
    /// Something happened; `entries` are the writes it made to the store.
    fn observe(
        &mut self,
        record: &Record,
        entries: &[Arc<Entry>],
        view: &View<'_>,
        report: &mut Report,
    ) {
        let _ = (record, entries, view, report);
    }

    /// The run is over.
    fn finish(&mut self, view: &View<'_>, report: &mut Report) {
        let _ = (view, report);
    }
}

/// A property by name, made anew for each run.
#[derive(Clone)]
pub struct PropertySpec {
    /// `no-lost-update`, or the name given to a closure.
    pub name: String,
    pub(crate) make: builtin::Maker,
    /// Whether it must come true in some run of an exploration.
    pub(crate) sometimes: bool,
    /// What a run must do so that it has something to judge.
    pub needs: Needs,
}

impl PropertySpec {
    /// A property made by the given function at the start of each run.
    pub fn new(
        name: impl Into<String>,
        make: impl Fn() -> Box<dyn Property> + Send + Sync + 'static,
    ) -> Self {
        PropertySpec {
            name: name.into(),
            make: Arc::new(make),
            sometimes: false,
            needs: Needs::default(),
        }
    }
}

impl PropertySpec {
    /// Whether it must come true in some run of an exploration.
    pub fn is_sometimes(&self) -> bool {
        self.sometimes
    }
}

impl fmt::Debug for PropertySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PropertySpec").field(&self.name).finish()
    }
}

/// Where properties put what they find.
#[derive(Default)]
pub struct Report {
    pub(crate) findings: Vec<Finding>,
    pub(crate) inconclusive: Vec<(String, String)>,
    pub(crate) reached: Vec<String>,
    pub(crate) figures: Vec<(String, Figure)>,
    /// The backtrace of the panic that is being told.
    pub(crate) backtrace: Option<String>,
    /// Why the run never settled, if it did not.
    pub(crate) unsettled: Option<String>,
    name: String,
    at: SimTime,
    step: StepId,
}

/// What a finding is about, besides its message.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The object.
    pub object: Option<ObjectKey>,
    /// The replica.
    pub replica: Option<ReplicaId>,
    /// The records that tell the story, besides the present one.
    pub because: Vec<StepId>,
    /// More text.
    pub detail: Option<String>,
}

impl Report {
    pub(crate) fn judging(&mut self, name: &str, record: &Record) {
        if self.name != name {
            name.clone_into(&mut self.name);
        }
        self.at = record.at;
        self.step = record.step;
    }

    /// Notes a breach of the property that is being asked, once per object and replica.
    pub fn find(&mut self, message: impl Into<String>, about: About) {
        let known = |finding: &Finding| {
            finding.property == self.name
                && finding.object == about.object
                && finding.replica == about.replica
        };
        if self.findings.iter().any(known) {
            return;
        }
        let mut because = about.because;
        because.push(self.step);
        because.sort_unstable();
        because.dedup();
        self.findings.push(Finding {
            property: self.name.clone(),
            message: message.into(),
            at: self.at,
            step: self.step,
            object: about.object,
            replica: about.replica,
            because,
            detail: about.detail,
        });
    }

    /// Says more at the end of what the property that is being asked has found already of an object and a replica; false
    /// if it has found nothing.
    pub(crate) fn add(
        &mut self,
        object: Option<&ObjectKey>,
        replica: Option<ReplicaId>,
        more: impl FnOnce(&str) -> String,
    ) -> bool {
        let step = self.step;
        let known = self.findings.iter_mut().find(|finding| {
            finding.property == self.name
                && finding.object.as_ref() == object
                && finding.replica == replica
        });
        let Some(finding) = known else {
            return false;
        };
        let more = more(&finding.message);
        if !more.is_empty() {
            finding.message.push_str(&more);
            if finding.because.last() != Some(&step) {
                finding.because.push(step);
            }
        }
        true
    }

    /// Notes that the property that is being asked came true.
    pub(crate) fn reach(&mut self) {
        if !self.reached.contains(&self.name) {
            self.reached.push(self.name.clone());
        }
    }
}
