//! `unique-effect`: what is done once in the fault-free run is done once, whatever goes wrong.
//!
//! Effects are creations and deletions that took place in the API server, and what calls changed in simulated services,
//! counted by operator, resource and namespace
//! until the world has settled; Leases and Events do not count. More than in the run of seed 0 is a breach. Fewer is one
//! with the parameter `exactly: true`: a workload that is quicker than its operator lets that skip states, which is
//! its right.
//!
//! Does not see: an effect that replaces another one of its kind; updates; a workload so quick that the fault-free run
//! itself skips states, against which a slower run does more.

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_apiserver::store::Entry;
use serde::Deserialize;

use super::builtin::Tuned;
use super::reference::{Effect, Effects};
use super::{About, Property, Report, View};
use crate::event::{Event, ObjectKey, Phase, StepId};
use crate::trace::Record;

/// What can be set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Counting {
    exactly: bool,
}

#[derive(Default)]
pub(super) struct UniqueEffect {
    exactly: bool,
    effects: Effects,
    /// Where each effect took place so far, and on what.
    done: BTreeMap<Effect, Vec<(StepId, ObjectKey)>>,
    settled: bool,
}

impl Tuned for UniqueEffect {
    type Params = Counting;

    fn tuned(params: &Counting) -> Self {
        UniqueEffect {
            exactly: params.exactly,
            ..UniqueEffect::default()
        }
    }
}

impl Property for UniqueEffect {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        let Ok(reference) = view.reference() else {
            return;
        };
        let settled = matches!(
            record.event,
            Event::PhaseBegan {
                phase: Phase::Settled
            }
        );
        if self.settled {
            return;
        }
        self.settled = settled;
        let done = self
            .effects
            .note(record, |replica| view.operator_of(replica));
        for (effect, object) in done {
            let all = self.done.entry(effect.clone()).or_default();
            all.push((record.step, object.clone()));
            let wanted = reference.effects.counts.get(&effect).copied().unwrap_or(0);
            let count = all.len() as u64;
            if count > wanted {
                let mut names: Vec<&str> = Vec::new();
                for (_, object) in all.iter() {
                    if !names.contains(&object.name.as_str()) {
                        names.push(&object.name);
                    }
                }
                let (what, which) = match names.len() {
                    1 => (object.to_string(), String::new()),
                    _ => (effect.resource.clone(), format!(" ({})", names.join(", "))),
                };
                let message = format!(
                    "{}: {} {what} {}{which}, and in the fault-free run {}",
                    effect.operator,
                    effect.verb,
                    times(count),
                    times(wanted)
                );
                let about = About {
                    object: Some(object),
                    because: all.iter().map(|(step, _)| *step).collect(),
                    ..About::default()
                };
                report.find(message, about);
            }
        }
        if settled && self.exactly {
            for (effect, wanted) in &reference.effects.counts {
                let count = self.effects.counts.get(effect).copied().unwrap_or(0);
                if count < *wanted {
                    let message = format!(
                        "{}: {} {} {}, and in the fault-free run {}",
                        effect.operator,
                        effect.verb,
                        effect.resource,
                        times(count),
                        times(*wanted)
                    );
                    report.find(message, About::default());
                }
            }
        }
    }

    fn finish(&mut self, view: &View<'_>, report: &mut Report) {
        if let Err(why) = view.reference() {
            let why = why.to_owned();
            report.inconclusive.push(("unique-effect".to_owned(), why));
        }
    }
}

fn times(count: u64) -> String {
    match count {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}
