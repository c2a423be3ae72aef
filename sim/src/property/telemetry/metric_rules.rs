//! `metric-rules`: metrics have names that can be guessed, and labels of few values.
//!
//! Names are `namespace_subsystem_name_unit` in lower case: at least three words; counters end in `_total`. Labels are
//! words of letters, digits and `_`. A metric has at most fifty series on one replica (the parameter `series`): the name of
//! an object, or a uid, is no label. Judged at each scrape.
//!
//! Does not see: series beyond what a run creates; whether a unit is the right one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fake_apiserver::store::Entry;
use serde::Deserialize;

use super::super::builtin::Tuned;
use super::super::{About, Property, Report, View};
use crate::event::{Event, ReplicaId};
use crate::telemetry::Exposition;
use crate::trace::Record;

/// What can be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::property) struct Bounds {
    /// More series of one metric than this are a mistake.
    series: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { series: 50 }
    }
}

pub(in crate::property) struct MetricRules {
    bounds: Bounds,
    /// What has been said of which replica.
    said: BTreeSet<(ReplicaId, String)>,
}

impl Tuned for MetricRules {
    type Params = Bounds;

    fn tuned(params: &Bounds) -> Self {
        MetricRules {
            bounds: params.clone(),
            said: BTreeSet::new(),
        }
    }
}

fn breaches(read: &Exposition, series_max: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut series: BTreeMap<&str, usize> = BTreeMap::new();
    for sample in &read.samples {
        *series.entry(&sample.name).or_default() += 1;
    }
    for (name, count) in series {
        let words = name.split('_').filter(|word| !word.is_empty()).count();
        let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if words < 3 || !name.bytes().all(plain) {
            found.push(format!(
                "{name} is no namespace_subsystem_name_unit in lower case"
            ));
        }
        let counter = read.types.get(name).is_some_and(|kind| kind == "counter");
        if counter && !name.ends_with("_total") {
            found.push(format!("the counter {name} does not end in _total"));
        }
        if count > series_max {
            found.push(format!("{name} has {count} series, more than {series_max}"));
        }
    }
    let labels: BTreeSet<&String> = read.samples.iter().flat_map(|s| s.labels.keys()).collect();
    for label in labels {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let first = label
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic());
        if !first || !label.bytes().all(word) {
            found.push(format!("{label:?} is no label"));
        }
    }
    found
}

impl Property for MetricRules {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        let Event::MetricsScraped { replica, body } = &record.event else {
            return;
        };
        let text = view
            .trace
            .bodies
            .get(body)
            .map(|text| String::from_utf8_lossy(text));
        let (read, errors) = Exposition::read(&text.unwrap_or_default());
        let unread = errors
            .into_iter()
            .map(|(line, text)| format!("line {line} of the metrics is no sample: {text}"));
        let mut found: Vec<String> = unread.chain(breaches(&read, self.bounds.series)).collect();
        found.retain(|message| self.said.insert((*replica, message.clone())));
        if let Some(first) = found.first() {
            let about = About {
                replica: Some(*replica),
                detail: (found.len() > 1).then(|| found.join("\n")),
                ..About::default()
            };
            report.find(first.clone(), about);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &[&str]) {
        assert_eq!(breaches(&Exposition::read(text).0, 50), want, "{text}");
    }

    #[test]
    fn names_labels_and_series_are_judged() {
        check("# TYPE a_b_c_total counter\na_b_c_total{x=\"1\"} 1\n", &[]);
        check("a_queue_depth 3\n", &[]);
        check(
            "# TYPE a_b_c counter\na_b_c 1\n",
            &["the counter a_b_c does not end in _total"],
        );
        check(
            "Reconciles 1\n",
            &["Reconciles is no namespace_subsystem_name_unit in lower case"],
        );
        check("a_b_c{9=\"1\"} 1\n", &["\"9\" is no label"]);
        let many: String = (0..51).map(|n| format!("a_b_c{{x=\"{n}\"}} 1\n")).collect();
        check(&many, &["a_b_c has 51 series, more than 50"]);
    }
}
