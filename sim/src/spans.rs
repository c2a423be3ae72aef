//! Tracing spans of operators: which reconcile a request belongs to, and what operators log.
//!
//! Owns the subscriber of a run. kube's controller runs each reconcile in a span `reconciling object`; kube's client
//! carries the caller's span to the transport, where [`current_reconcile`] reads it. One dispatcher serves the whole
//! process, since each new one makes tracing rebuild its caches; what it notes is kept per thread.
//!
//! A span that is opened within a reconcile belongs to it, also where only that span is carried along: to the transport, or
//! to a task. All spans up to `INFO` are followed for that, whether they are captured or not: what is captured must not
//! change whose a request is.
//!
//! Does not see: requests of an operator that does not use kube's controller, or that moves them to a task of its own
//! without the span. Such requests belong to no reconcile.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::OnceLock;

use tracing::dispatcher::Dispatch;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

use crate::entropy;
use crate::event::{CallId, ReconcileId};
use crate::telemetry::SpanSeen;
use crate::time::SimTime;

const RECONCILE: &str = "reconciling object";
/// The span of a webhook's handler; its server opens it.
const WEBHOOK: &str = "serving webhook";

/// What a replica's spans told during a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SpanNote {
    /// A reconcile began.
    Began {
        reconcile: ReconcileId,
        object: String,
        reason: String,
    },
    /// It ended.
    Ended { reconcile: ReconcileId },
    /// A span was opened; its replica's name is not known here.
    Opened(SpanSeen),
    /// A span was told more fields.
    Told {
        span: usize,
        fields: BTreeMap<String, String>,
    },
    /// A span was closed.
    Closed { span: usize, at: SimTime },
    /// A line was logged.
    Logged {
        at: SimTime,
        reconcile: Option<ReconcileId>,
        level: &'static str,
        line: String,
    },
}

#[derive(Default)]
struct Table {
    next_span: u64,
    next_reconcile: u64,
    open: BTreeMap<u64, Open>,
    entered: Vec<u64>,
    notes: Vec<SpanNote>,
    logs: bool,
    spans: bool,
    /// How many spans have been noted.
    noted: usize,
}

struct Open {
    metadata: &'static Metadata<'static>,
    /// The work it stands for, or belongs to.
    work: Option<Work>,
    /// Whether it stands for it.
    own: bool,
    /// Its number among the captured spans, if spans are captured.
    number: Option<usize>,
    handles: u32,
}

/// What a span stands for.
#[derive(Clone, Copy)]
enum Work {
    Reconcile(ReconcileId),
    Webhook(CallId),
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::new(Table::default());
}

/// Begins a run on this thread: `logs` asks for the operators' log lines too, `spans` for all their spans.
pub(crate) fn begin(logs: bool, spans: bool) {
    TABLE.with(|table| {
        *table.borrow_mut() = Table {
            logs,
            spans,
            ..Table::default()
        }
    });
}

/// Runs `body` with the run's subscriber.
pub(crate) fn observe<T>(body: impl FnOnce() -> T) -> T {
    static DISPATCH: OnceLock<Dispatch> = OnceLock::new();
    tracing::dispatcher::with_default(DISPATCH.get_or_init(|| Dispatch::new(Spans)), body)
}

/// The notes since the last call.
pub(crate) fn take() -> Vec<SpanNote> {
    TABLE.with(|table| std::mem::take(&mut table.borrow_mut().notes))
}

/// Puts the ends that a replica's death left behind in order: its tasks are dropped in one that depends on a counter of
/// tokio's which all runs of a process share.
pub(crate) fn order_ends() {
    TABLE.with(|table| {
        table.borrow_mut().notes.sort_by_key(|note| match note {
            SpanNote::Ended { reconcile } => Some(*reconcile),
            _ => None,
        });
    });
}

/// The reconcile whose span is entered now.
pub(crate) fn current_reconcile() -> Option<ReconcileId> {
    current(|work| match work {
        Work::Reconcile(id) => Some(id),
        Work::Webhook(_) => None,
    })
}

/// The webhook call whose handler's span is entered now.
pub(crate) fn current_webhook() -> Option<CallId> {
    current(|work| match work {
        Work::Webhook(id) => Some(id),
        Work::Reconcile(_) => None,
    })
}

fn current<T>(read: impl Fn(Work) -> Option<T>) -> Option<T> {
    TABLE.with(|table| {
        let table = table.borrow();
        let open = table
            .entered
            .iter()
            .rev()
            .filter_map(|id| table.open.get(id));
        open.into_iter().find_map(|open| read(open.work?))
    })
}

struct Spans;

fn is_work(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && matches!(metadata.name(), RECONCILE | WEBHOOK)
}

impl Subscriber for Spans {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_work(metadata) {
            Interest::always()
        } else {
            Interest::sometimes()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_work(metadata)
            || entropy::is_stepping()
                && TABLE
                    .try_with(|table| {
                        let table = table.try_borrow();
                        table.is_ok_and(|table| metadata.is_span() || table.logs)
                    })
                    .unwrap_or(false)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let metadata = attributes.metadata();
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        TABLE.with(|table| {
            let table = &mut *table.borrow_mut();
            table.next_span += 1;
            let work = match fields.webhook {
                _ if !is_work(metadata) => None,
                Some(call) => Some(Work::Webhook(call)),
                None => {
                    table.next_reconcile += 1;
                    Some(Work::Reconcile(ReconcileId(table.next_reconcile)))
                }
            };
            let parent = match attributes.parent() {
                Some(id) => Some(id.into_u64()),
                None => table.entered.last().copied(),
            };
            let own = work.is_some();
            let work = work.or_else(|| {
                let around = table.entered.iter().rev().chain(&parent);
                around
                    .filter_map(|id| table.open.get(id))
                    .find_map(|open| open.work)
            });
            let number = table
                .spans
                .then(|| table.note_span(attributes, work, parent));
            table.open.insert(
                table.next_span,
                Open {
                    metadata,
                    work,
                    own,
                    number,
                    handles: 1,
                },
            );
            if let Some(Work::Reconcile(reconcile)) = work.filter(|_| own) {
                table.notes.push(SpanNote::Began {
                    reconcile,
                    object: fields.object,
                    reason: fields.reason,
                });
            }
            Id::from_u64(table.next_span)
        })
    }

    fn record(&self, span: &Id, record: &Record<'_>) {
        TABLE.with(|table| {
            let table = &mut *table.borrow_mut();
            let open = table.open.get(&span.into_u64());
            if let Some(number) = open.and_then(|open| open.number) {
                let mut fields = All::default();
                record.record(&mut fields);
                table.notes.push(SpanNote::Told {
                    span: number,
                    fields: fields.0,
                });
            }
        });
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let metadata = event.metadata();
        let note = SpanNote::Logged {
            at: entropy::now(),
            reconcile: current_reconcile(),
            level: metadata.level().as_str(),
            line: format!("{}: {}{}", metadata.target(), line.message, line.fields),
        };
        TABLE.with(|table| table.borrow_mut().notes.push(note));
    }

    fn enter(&self, span: &Id) {
        TABLE.with(|table| table.borrow_mut().entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        let _ = TABLE.try_with(|table| {
            let entered = &mut table.borrow_mut().entered;
            // Mostly the one that was entered last.
            if entered.last() == Some(&span.into_u64()) {
                entered.pop();
            } else if let Some(at) = entered.iter().rposition(|id| *id == span.into_u64()) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, span: &Id) -> Id {
        TABLE.with(|table| {
            if let Some(open) = table.borrow_mut().open.get_mut(&span.into_u64()) {
                open.handles += 1;
            }
        });
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        // A span may outlive its thread's table, in a static of the operator.
        TABLE
            .try_with(|table| {
                let Ok(mut table) = table.try_borrow_mut() else {
                    return false;
                };
                let Some(open) = table.open.get_mut(&span.into_u64()) else {
                    return false;
                };
                open.handles -= 1;
                if open.handles > 0 {
                    return false;
                }
                let (work, number) = (open.work.filter(|_| open.own), open.number);
                table.open.remove(&span.into_u64());
                if let Some(span) = number {
                    let at = entropy::now();
                    table.notes.push(SpanNote::Closed { span, at });
                }
                if let Some(Work::Reconcile(reconcile)) = work {
                    table.notes.push(SpanNote::Ended { reconcile });
                }
                true
            })
            .unwrap_or(false)
    }

    fn current_span(&self) -> Current {
        TABLE.with(|table| {
            let table = table.borrow();
            match table
                .entered
                .last()
                .and_then(|id| Some((id, table.open.get(id)?)))
            {
                Some((id, open)) => Current::new(Id::from_u64(*id), open.metadata),
                None => Current::none(),
            }
        })
    }
}

impl Table {
    /// Notes a span that is captured.
    fn note_span(
        &mut self,
        attributes: &Attributes<'_>,
        work: Option<Work>,
        parent: Option<u64>,
    ) -> usize {
        let metadata = attributes.metadata();
        let mut fields = All::default();
        attributes.record(&mut fields);
        let reconcile = work.and_then(|work| match work {
            Work::Reconcile(id) => Some(id),
            Work::Webhook(_) => None,
        });
        self.notes.push(SpanNote::Opened(SpanSeen {
            replica: String::new(),
            parent: parent.and_then(|id| self.open.get(&id)?.number),
            name: metadata.name().to_owned(),
            target: metadata.target().to_owned(),
            fields: fields.0,
            reconcile,
            opened: entropy::now(),
            closed: None,
        }));
        self.noted += 1;
        self.noted - 1
    }
}

/// All fields, as they print.
#[derive(Default)]
struct All(BTreeMap<String, String>);

impl Visit for All {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

/// The fields kube gives a reconcile's span, and the server of a webhook gives a call's.
#[derive(Default)]
struct Fields {
    webhook: Option<CallId>,
    object: String,
    reason: String,
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "webhook" {
            self.webhook = Some(CallId(value));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "object.ref" => self.object = format!("{value:?}"),
            "object.reason" => self.reason = format!("{value:?}"),
            _ => {}
        }
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}
