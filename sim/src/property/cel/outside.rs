//! What happened outside the API server, as values of the language: services, and what operators say of themselves.
//!
//! Owns five histories, kept only where an expression mentions them. Spans and log lines are read off the trace, where they
//! appear without a record of their own; metrics are those of each replica's last scrape. Does not own their types
//! (`scope`) nor their capture (`spans`, `telemetry`): what the setup does not capture is empty here.

use std::collections::BTreeMap;

use fake_apiserver::cel::Checked;
use fake_apiserver::json;
use fake_apiserver::json::Value;

use super::history::{number, span};
use crate::event::{EffectKind, Event, ReplicaId, RequestId};
use crate::property::View;
use crate::telemetry::{Exposition, SpanSeen};
use crate::time::SimTime;
use crate::trace::{LogLine, Record};

/// The histories so far.
#[derive(Default)]
pub(super) struct Outside {
    keeps_effects: bool,
    keeps_calls: bool,
    keeps_spans: bool,
    keeps_logs: bool,
    keeps_metrics: bool,
    pub(super) effects: Vec<Value>,
    pub(super) calls: Vec<Value>,
    /// Where each call stands in the list.
    call_at: BTreeMap<RequestId, usize>,
    pub(super) spans: Vec<Value>,
    /// The spans that are open, as indices.
    open: Vec<usize>,
    pub(super) logs: Vec<Value>,
    metrics: BTreeMap<ReplicaId, Vec<Value>>,
}

impl Outside {
    pub(super) fn new(checked: &Checked) -> Outside {
        Outside {
            keeps_effects: checked.mentions("effects"),
            keeps_calls: checked.mentions("calls"),
            keeps_spans: checked.mentions("spans"),
            keeps_logs: checked.mentions("logs"),
            keeps_metrics: checked.mentions("metrics"),
            ..Outside::default()
        }
    }

    /// Adds what happened; true if there is something new.
    pub(super) fn note(&mut self, record: &Record, view: &View<'_>) -> bool {
        let by_record = match &record.event {
            Event::ServiceCalled { .. }
            | Event::ServiceCommitted { .. }
            | Event::ServiceWorked { .. }
            | Event::RequestRefused { .. } => self.note_service(record, view),
            Event::MetricsScraped { replica, body } if self.keeps_metrics => {
                let text = view.trace.bodies.get(body);
                let text = text.map(|text| String::from_utf8_lossy(text));
                let (read, _) = Exposition::read(&text.unwrap_or_default());
                self.metrics
                    .insert(*replica, samples(view, *replica, &read, record.at));
                true
            }
            _ => false,
        };
        let by_spans = self.keeps_spans && self.note_spans(view);
        let by_logs = self.keeps_logs && self.note_logs(view);
        by_record || by_spans || by_logs
    }

    fn note_service(&mut self, record: &Record, view: &View<'_>) -> bool {
        match &record.event {
            Event::ServiceCalled {
                replica,
                request,
                reconcile,
                service,
                method,
                path,
                key,
                ..
            } if self.keeps_calls => {
                self.call_at.insert(*request, self.calls.len());
                self.calls.push(json!({
                    "service": service.as_str(),
                    "replica": view.name_of(*replica),
                    "operator": view.operator_of(*replica),
                    "reconcile": number(*reconcile),
                    "method": method.as_str(),
                    "path": path.as_str(),
                    "key": key.as_deref().unwrap_or_default(),
                    "status": 0,
                    "at": span(record.at),
                }));
            }
            Event::ServiceCommitted {
                request, status, ..
            }
            | Event::RequestRefused {
                request, status, ..
            } if self.keeps_calls => {
                let at = self.call_at.get(request);
                if let Some(value) = at.and_then(|at| self.calls.get_mut(*at)) {
                    value.set(&["status"], i64::from(*status));
                }
            }
            _ => {}
        }
        if self.keeps_effects {
            self.note_effects(record, view);
        }
        self.keeps_calls || self.keeps_effects
    }

    fn note_effects(&mut self, record: &Record, view: &View<'_>) {
        let Some((service, effects)) = record.event.effects() else {
            return;
        };
        let (by, operator) = match &record.event {
            Event::ServiceCommitted { replica, .. } => {
                (view.name_of(*replica), view.operator_of(*replica))
            }
            _ => ("", ""),
        };
        for effect in effects {
            let kind = match effect.kind {
                EffectKind::Created => "created",
                EffectKind::Changed => "changed",
                EffectKind::Deleted => "deleted",
                EffectKind::CleanedUp => "cleaned-up",
                EffectKind::Accepted => "accepted",
            };
            self.effects.push(json!({
                "service": service,
                "kind": kind,
                "object": effect.object.as_str(),
                "key": effect.key.as_deref().unwrap_or_default(),
                "by": by,
                "operator": operator,
                "at": span(record.at),
            }));
        }
    }

    fn note_spans(&mut self, view: &View<'_>) -> bool {
        let seen = &view.trace.spans;
        let before = self.spans.len();
        let mut changed = seen.len() > before;
        let spans = &mut self.spans;
        self.open.retain(|at| {
            let now = value_of(view, &seen[*at]);
            changed |= now != spans[*at];
            spans[*at] = now;
            seen[*at].closed.is_none()
        });
        for (at, one) in seen.iter().enumerate().skip(before) {
            spans.push(value_of(view, one));
            if one.closed.is_none() {
                self.open.push(at);
            }
        }
        changed
    }

    fn note_logs(&mut self, view: &View<'_>) -> bool {
        let before = self.logs.len();
        let new = &view.trace.logs[before..];
        self.logs.extend(new.iter().map(|line| log_of(view, line)));
        self.logs.len() > before
    }

    /// The samples of the last scrape of each replica, in order.
    pub(super) fn metrics(&self) -> impl Iterator<Item = &Value> {
        self.metrics.values().flatten()
    }
}

fn operator_of<'v>(view: &'v View<'_>, replica: &str) -> &'v str {
    let of = view.replicas.iter().find(|one| one.name == replica);
    of.map_or("", |one| one.operator.as_str())
}

fn value_of(view: &View<'_>, one: &SpanSeen) -> Value {
    let parent = one.parent.and_then(|at| view.trace.spans.get(at));
    let took = one
        .closed
        .map_or(0, |closed| closed.as_us() - one.opened.as_us());
    json!({
        "replica": one.replica.as_str(),
        "operator": operator_of(view, &one.replica),
        "reconcile": number(one.reconcile),
        "name": one.name.as_str(),
        "target": one.target.as_str(),
        "parent": parent.map_or("", |parent| parent.name.as_str()),
        "fields": texts(&one.fields),
        "at": span(one.opened),
        "ended": one.closed.is_some(),
        "took": format!("{took}us"),
    })
}

fn log_of(view: &View<'_>, line: &LogLine) -> Value {
    json!({
        "replica": line.replica.as_str(),
        "operator": operator_of(view, &line.replica),
        "reconcile": number(line.reconcile),
        "level": line.level.as_str(),
        "line": line.line.as_str(),
        "at": span(line.at),
    })
}

fn samples(view: &View<'_>, replica: ReplicaId, read: &Exposition, at: SimTime) -> Vec<Value> {
    let of = |sample: &crate::telemetry::Sample| {
        json!({
            "replica": view.name_of(replica),
            "operator": view.operator_of(replica),
            "name": sample.name.as_str(),
            "labels": texts(&sample.labels),
            "value": sample.value,
            "at": span(at),
        })
    };
    read.samples.iter().map(of).collect()
}

fn texts(of: &BTreeMap<String, String>) -> Value {
    let mut texts = Value::object();
    for (key, text) in of {
        texts.set(&[key], text.as_str());
    }
    texts
}
