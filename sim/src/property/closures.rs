//! Properties written as closures over the [`View`].

use std::sync::Arc;

use fake_apiserver::store::Entry;

use super::{About, Property, PropertySpec, Report, View};
use crate::event::{Event, Phase};
use crate::trace::Record;

type Condition = Arc<dyn Fn(&View<'_>) -> bool + Send + Sync>;

/// Must hold after everything that happens.
pub fn always(
    name: impl Into<String>,
    holds: impl Fn(&View<'_>) -> bool + Send + Sync + 'static,
) -> PropertySpec {
    let holds: Condition = Arc::new(holds);
    PropertySpec::new(name, move || Box::new(Always(Arc::clone(&holds))))
}

/// Must hold once the world has settled, and from then on; in a run that does not settle, at its end.
pub fn eventually(
    name: impl Into<String>,
    holds: impl Fn(&View<'_>) -> bool + Send + Sync + 'static,
) -> PropertySpec {
    let holds: Condition = Arc::new(holds);
    PropertySpec::new(name, move || {
        Box::new(Eventually {
            holds: Arc::clone(&holds),
            settled: false,
        })
    })
}

/// Must come true in at least one run of an exploration: else the exploration does not reach what it is meant to test.
pub fn sometimes(
    name: impl Into<String>,
    holds: impl Fn(&View<'_>) -> bool + Send + Sync + 'static,
) -> PropertySpec {
    let holds: Condition = Arc::new(holds);
    let mut spec = PropertySpec::new(name, move || Box::new(Sometimes(Arc::clone(&holds))));
    spec.sometimes = true;
    spec
}

struct Always(Condition);

impl Property for Always {
    fn observe(&mut self, _: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        if !(self.0)(view) {
            report.find("it does not hold here", About::default());
        }
    }
}

struct Eventually {
    holds: Condition,
    settled: bool,
}

impl Property for Eventually {
    fn observe(
        &mut self,
        record: &Record,
        entries: &[Arc<Entry>],
        view: &View<'_>,
        report: &mut Report,
    ) {
        self.settled |= matches!(
            record.event,
            Event::PhaseBegan {
                phase: Phase::Settled
            }
        );
        let look = matches!(
            record.event,
            Event::PhaseBegan {
                phase: Phase::Settled
            }
        ) || !entries.is_empty();
        if self.settled && view.phase == Phase::Settled && look && !(self.holds)(view) {
            report.find(
                "the world has settled and it does not hold",
                About::default(),
            );
        }
    }

    fn finish(&mut self, view: &View<'_>, report: &mut Report) {
        if !(self.holds)(view) {
            report.find("the run has ended and it does not hold", About::default());
        }
    }
}

struct Sometimes(Condition);

impl Property for Sometimes {
    fn observe(&mut self, _: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        if (self.0)(view) {
            report.reach();
        }
    }
}
