//! What operators report about themselves: metrics, spans and log lines, captured into the trace.
//!
//! Owns [`Metrics`], the door through which an operator shows its metrics, and the reader of the text that Prometheus
//! scrapes. An operator registers a function that renders its own registry (`prometheus_client::encoding::text::encode`,
//! `prometheus::TextEncoder`); the run scrapes it at the scenario's interval, on the replica itself, as an event. A registry
//! belongs to a replica: a process-wide one would mix those of all replicas and runs.
//!
//! Spans and log lines are captured by the run's subscriber (`spans`), with virtual time, replica and reconcile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{ReconcileId, ReplicaId};
use crate::gate::Gate;
use crate::time::SimTime;

/// What is captured of operators' telemetry, besides what a run that is shown captures anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Telemetry {
    /// Keep log lines, up to `INFO`.
    pub logs: bool,
    /// Keep spans, up to `INFO`.
    pub spans: bool,
    /// Scrape metrics at this interval.
    pub scrape: Option<Duration>,
}

/// A function that renders metrics.
pub(crate) type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// Where an operator shows its metrics.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) gate: Gate,
    pub(crate) replica: ReplicaId,
}

impl Metrics {
    /// Registers what `GET /metrics` would answer: the text exposition format. Several are scraped one after another; they
    /// are gone when the replica is.
    pub fn register(&self, render: impl Fn() -> String + Send + Sync + 'static) {
        self.gate.register(self.replica, Arc::new(render));
    }
}

/// A span of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanSeen {
    /// The replica's name.
    pub replica: String,
    /// The span it was opened in, as an index into [`Trace::spans`](crate::trace::Trace::spans).
    pub parent: Option<usize>,
    /// Its name.
    pub name: String,
    /// The module that opened it.
    pub target: String,
    /// Its fields, as they print.
    pub fields: BTreeMap<String, String>,
    /// The reconcile it belongs to.
    pub reconcile: Option<ReconcileId>,
    /// When it was opened.
    pub opened: SimTime,
    /// When the last handle of it was dropped.
    pub closed: Option<SimTime>,
}

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// A scrape, read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition {
    /// `counter`, `gauge`, `histogram`, … of the metrics that say it.
    pub types: BTreeMap<String, String>,
    /// The samples, in order.
    pub samples: Vec<Sample>,
}

impl Exposition {
    /// Reads the text exposition format; lines that are not of it come back as errors, with their number.
    ///
    /// Simplification: timestamps and exemplars are passed over.
    pub fn read(text: &str) -> (Exposition, Vec<(usize, String)>) {
        let (mut read, mut errors) = (Exposition::default(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(comment) = line.strip_prefix('#') {
                let mut words = comment.split_whitespace();
                if let (Some("TYPE"), Some(name), Some(kind)) =
                    (words.next(), words.next(), words.next())
                {
                    read.types.insert(name.to_owned(), kind.to_owned());
                }
            } else if !line.is_empty() {
                match sample(line) {
                    Some(sample) => read.samples.push(sample),
                    None => errors.push((number + 1, line.to_owned())),
                }
            }
        }
        (read, errors)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// The labels up to the closing brace, and what comes after it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.insert(name.trim().to_owned(), value);
        rest = after;
    }
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_that_is_scraped_is_read() {
        let text = "# HELP a_total What.\n# TYPE a_total counter\na_total{x=\"1\",y=\"a\\\"b\"} 3\n\nup 1 1700000000\n# EOF\n";
        let (read, errors) = Exposition::read(text);
        assert_eq!(errors, []);
        assert_eq!(read.types["a_total"], "counter");
        assert_eq!(read.samples[0].labels["y"], "a\"b");
        assert_eq!(
            (read.samples[1].name.as_str(), read.samples[1].value),
            ("up", 1.0)
        );
    }

    #[test]
    fn what_is_not_of_it_is_told_with_its_line() {
        for line in ["a{x=\"1\" 3", "a", "a{x=1} 2", "a three", "{} 1x"] {
            let (_, errors) = Exposition::read(&format!("ok 1\n{line}\n"));
            assert_eq!(errors, [(2, line.to_owned())]);
        }
    }
}
