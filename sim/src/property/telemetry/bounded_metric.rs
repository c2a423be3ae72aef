//! `bounded-metric`: a metric that an operator shows, such as the length of a queue, stays within a bound.
//!
//! Each series of the metric, or of every metric with the word `queue` in its name, is judged at each scrape.
//!
//! Does not see: what happens between two scrapes; that a metric of that name is shown at all.

use std::sync::Arc;

use fake_apiserver::store::Entry;
use serde::Deserialize;

use super::super::builtin::Tuned;
use super::super::{About, Property, Report, View};
use crate::event::Event;
use crate::telemetry::Exposition;
use crate::trace::Record;

/// What can be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::property) struct Bound {
    metric: String,
    at_most: u64,
}

impl Default for Bound {
    fn default() -> Self {
        Bound {
            metric: String::new(),
            at_most: 100,
        }
    }
}

pub(in crate::property) struct BoundedMetric(Bound);

impl Tuned for BoundedMetric {
    type Params = Bound;

    fn tuned(params: &Bound) -> Self {
        BoundedMetric(params.clone())
    }
}

impl Property for BoundedMetric {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        let Event::MetricsScraped { replica, body } = &record.event else {
            return;
        };
        let Bound { metric, at_most } = &self.0;
        let text = view.trace.bodies.get(body);
        let text = text.map(|text| String::from_utf8_lossy(text));
        let (read, _) = Exposition::read(&text.unwrap_or_default());
        let over = |value: f64| value > *at_most as f64;
        let meant = |name: &str| match metric.as_str() {
            "" => name.split('_').any(|word| word == "queue"),
            metric => name == metric,
        };
        let mut series = read.samples.iter().filter(|one| meant(&one.name));
        if let Some(sample) = series.find(|one| over(one.value)) {
            let about = About {
                replica: Some(*replica),
                ..About::default()
            };
            report.find(
                format!("{} is {}, more than {at_most}", sample.name, sample.value),
                about,
            );
        }
    }
}
