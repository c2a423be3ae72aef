//! What has happened, as values of the language, and the variables bound to a moment.
//!
//! Owns the histories of the store, of requests and of reconciles, kept only where an expression mentions them. Does not own
//! what happens outside the API server (`outside`) nor their types (`scope`).

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use fake_apiserver::cel::value::{Dict, Text};
use fake_apiserver::cel::{Bindings, Checked, Failure, Val};
use fake_apiserver::json;
use fake_apiserver::json::Value;
use fake_apiserver::store::Entry;

use super::outside::Outside;
use super::scope::Scope;
use crate::event::{Event, Phase, ReconcileId, RequestId, Who};
use crate::property::View;
use crate::time::SimTime;
use crate::trace::Record;

/// The histories so far.
#[derive(Default)]
pub(super) struct History {
    keeps_writes: bool,
    keeps_requests: bool,
    keeps_reconciles: bool,
    writes: Vec<Value>,
    requests: Vec<Value>,
    /// Where each request stands in the list.
    request_at: BTreeMap<RequestId, usize>,
    reconciles: Vec<Value>,
    reconcile_at: BTreeMap<ReconcileId, usize>,
    outside: Outside,
}

impl History {
    pub(super) fn new(checked: &Checked) -> History {
        History {
            keeps_writes: checked.mentions("writes"),
            keeps_requests: checked.mentions("requests"),
            keeps_reconciles: checked.mentions("reconciles"),
            outside: Outside::new(checked),
            ..History::default()
        }
    }

    /// Adds what happened; true if there is something new outside the API server.
    pub(super) fn note(
        &mut self,
        record: &Record,
        entries: &[Arc<Entry>],
        view: &View<'_>,
    ) -> bool {
        if self.keeps_writes && !entries.is_empty() {
            self.note_writes(record, view);
        }
        match &record.event {
            Event::RequestSent {
                replica,
                request,
                reconcile,
                call,
                ..
            } if self.keeps_requests => {
                self.request_at.insert(*request, self.requests.len());
                self.requests.push(json!({
                    "replica": view.name_of(*replica),
                    "operator": view.operator_of(*replica),
                    "verb": call.verb.as_str(),
                    "resource": call.resource.as_str(),
                    "namespace": call.namespace.as_str(),
                    "name": call.name.as_str(),
                    "subresource": call.subresource.as_str(),
                    "reconcile": number(*reconcile),
                    "status": 0,
                    "at": span(record.at),
                }));
            }
            Event::RequestCommitted {
                request, status, ..
            }
            | Event::RequestRefused {
                request, status, ..
            } if self.keeps_requests => {
                let at = self.request_at.get(request);
                if let Some(value) = at.and_then(|at| self.requests.get_mut(*at)) {
                    value.set(&["status"], i64::from(*status));
                }
            }
            Event::ReconcileStarted {
                replica,
                reconcile,
                object,
                reason,
            } if self.keeps_reconciles => {
                self.reconcile_at.insert(*reconcile, self.reconciles.len());
                self.reconciles.push(json!({
                    "id": number(Some(*reconcile)),
                    "replica": view.name_of(*replica),
                    "operator": view.operator_of(*replica),
                    "object": object.as_str(),
                    "reason": reason.as_str(),
                    "at": span(record.at),
                    "ended": false,
                }));
            }
            Event::ReconcileEnded { reconcile, .. } if self.keeps_reconciles => {
                let at = self.reconcile_at.get(reconcile);
                if let Some(value) = at.and_then(|at| self.reconciles.get_mut(*at)) {
                    value.set(&["ended"], true);
                }
            }
            _ => {}
        }
        self.outside.note(record, view)
    }

    /// The list that a variable is.
    fn list(&self, variable: &str) -> Option<Box<dyn Iterator<Item = &Value> + '_>> {
        let outside = &self.outside;
        Some(match variable {
            "writes" => Box::new(self.writes.iter()),
            "requests" => Box::new(self.requests.iter()),
            "reconciles" => Box::new(self.reconciles.iter()),
            "effects" => Box::new(outside.effects.iter()),
            "calls" => Box::new(outside.calls.iter()),
            "spans" => Box::new(outside.spans.iter()),
            "logs" => Box::new(outside.logs.iter()),
            "metrics" => Box::new(outside.metrics()),
            _ => return None,
        })
    }

    fn note_writes(&mut self, record: &Record, view: &View<'_>) {
        let (by, operator) = match record.event.who() {
            Who::Replica(replica) => (view.name_of(replica), view.operator_of(replica)),
            Who::Workload => ("workload", ""),
            Who::ControlPlane => ("control-plane", ""),
            Who::World => ("world", ""),
        };
        for change in record.event.changes() {
            let verb = match change.kind {
                crate::event::ChangeKind::Created => "created",
                crate::event::ChangeKind::Updated => "updated",
                crate::event::ChangeKind::Deleted => "deleted",
            };
            let fields: Value = change
                .fields
                .iter()
                .map(|f| Value::from(f.as_str()))
                .collect();
            self.writes.push(json!({
                "by": by,
                "operator": operator,
                "verb": verb,
                "resource": change.object.resource.as_str(),
                "namespace": change.object.namespace.as_str(),
                "name": change.object.name.as_str(),
                "fields": fields,
                "revision": change.revision.0,
                "at": span(record.at),
            }));
        }
    }
}

pub(super) fn span(at: SimTime) -> String {
    format!("{}us", at.as_us())
}

/// A reconcile's number; 0 for none.
pub(super) fn number(reconcile: Option<ReconcileId>) -> i64 {
    reconcile.map_or(0, |id| i64::try_from(id.0).unwrap_or(i64::MAX))
}

/// The variables at a moment.
pub(super) struct Bound<'v> {
    scope: &'v Scope,
    history: &'v History,
    view: &'v View<'v>,
}

impl<'v> Bound<'v> {
    pub(super) fn new(scope: &'v Scope, history: &'v History, view: &'v View<'v>) -> Bound<'v> {
        Bound {
            scope,
            history,
            view,
        }
    }

    /// The live objects of a kind with the names that `named` has for them.
    fn of_kind(&self, kind: &str) -> Vec<(String, Val<'v>)> {
        let view = self.view;
        let Some(known) = self.scope.kinds.get(kind) else {
            return Vec::new();
        };
        let row = view
            .server
            .registry()
            .rows()
            .find(|row| row.kind == kind && row.group == known.group);
        let Some(row) = row else { return Vec::new() };
        let objects = view.server.store().objects(row.id);
        let one = |(key, object): (&'v fake_apiserver::store::Key, _)| {
            let object: &'v Arc<fake_apiserver::store::Object> = object;
            let name = match key.namespace() {
                "" | "default" => key.name().to_owned(),
                namespace => format!("{namespace}/{}", key.name()),
            };
            (name, Val::of(object.value(), Some(&known.decl)))
        };
        objects.map(one).collect()
    }

    fn list(&self, kind: &str) -> Val<'v> {
        Val::list(
            self.of_kind(kind)
                .into_iter()
                .map(|(_, object)| object)
                .collect(),
        )
    }

    fn map(&self, kind: &str) -> Val<'v> {
        dict(self.of_kind(kind))
    }
}

fn dict<'v>(entries: impl IntoIterator<Item = (String, Val<'v>)>) -> Val<'v> {
    let entries = entries
        .into_iter()
        .map(|(key, value)| (Val::text(key), value));
    Val::Dict(Dict::Owned(Rc::new(entries.collect())))
}

fn text(text: &str) -> Val<'_> {
    Val::String(Text::Borrowed(text))
}

impl<'v> Bindings<'v> for Bound<'v> {
    fn variable(&self, name: &str) -> Option<Val<'v>> {
        let view = self.view;
        let kinds = || self.scope.kinds.keys();
        if let Some(item) = self.scope.histories.get(name) {
            let list = self.history.list(name)?;
            let values = list.map(|one| Val::of(one, Some(item)));
            return Some(Val::list(values.collect()));
        }
        Some(match name {
            "objects" => dict(kinds().map(|kind| (kind.clone(), self.list(kind)))),
            "named" => dict(kinds().map(|kind| (kind.clone(), self.map(kind)))),
            "replicas" => Val::list(
                view.replicas
                    .iter()
                    .map(|one| {
                        dict([
                            ("name".to_owned(), text(&one.name)),
                            ("operator".to_owned(), text(&one.operator)),
                            ("running".to_owned(), Val::Bool(one.running)),
                        ])
                    })
                    .collect(),
            ),
            "leaders" => {
                let operators = view.setup.operators.iter().map(|of| of.name.clone());
                dict(operators.map(|operator| {
                    let leaders = view.active_leaders(&operator);
                    let leaders = leaders.into_iter().map(Val::text).collect();
                    (operator, Val::list(leaders))
                }))
            }
            "phase" => text(match view.phase {
                Phase::Safety => "safety",
                Phase::Liveness => "liveness",
                Phase::Settled => "settled",
                Phase::Forced => "forced",
                Phase::Done => "done",
            }),
            "now" => Val::Duration(
                i64::try_from(view.now.as_us())
                    .unwrap_or(i64::MAX)
                    .saturating_mul(1_000),
            ),
            _ => return None,
        })
    }

    fn member(&self, variable: &str, field: &str) -> Option<Result<Val<'v>, Failure>> {
        match variable {
            "objects" => Some(Ok(self.list(field))),
            "named" => Some(Ok(self.map(field))),
            _ => None,
        }
    }
}
