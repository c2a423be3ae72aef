//! Properties written in CEL: conditions over objects, replicas, history and telemetry, checked before a run and asked
//! during it.
//!
//! Modules in reading order: `scope` (the variables and their types), `history` (what has happened, as values), `outside`
//! (the same of services, spans, log lines and metrics). Owns
//! [`Program`] and when a condition is asked: after each record that can have changed what it speaks of. Does not own
//! the language (`fake_apiserver::cel`) nor where expressions come from.
//!
//! A condition that has no value, because a field is not there, does not hold; `has(…)` guards against that. One that
//! spends its budget makes the property inconclusive.
//!
//! Does not see: bodies of requests; versions of objects between two records.

mod history;
mod outside;
mod scope;

use std::sync::Arc;

use fake_apiserver::cel::parse::Issue;
use fake_apiserver::cel::why::{Part, why};
use fake_apiserver::cel::{self, Checked, Failure, Type, Val};
use fake_apiserver::store::Entry;

use self::history::{Bound, History};
pub use self::scope::{Scope, VARIABLES, Variable};
use super::{About, Property, PropertySpec, Report, View};
use crate::event::{Event, Phase};
use crate::trace::Record;
use crate::verdict::Figure;

/// One question may cost so much, as estimated before and as spent while running: a Kubernetes API server's own limit
/// for one expression.
pub const COST_MAX: u64 = 10_000_000;

/// A condition in CEL that has been checked.
#[derive(Debug)]
pub struct Program {
    checked: Checked,
    scope: Scope,
    source: String,
}

/// When a condition must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// After everything that happens.
    Always,
    /// Once the world has settled, and from then on; in a run that does not settle, at its end.
    Eventually,
    /// At least once, in at least one run of an exploration.
    Sometimes,
}

impl Program {
    /// Checks a condition; the issues carry line and column within it.
    pub fn new(source: &str, scope: Scope) -> Result<Program, Vec<Issue>> {
        Program::of(source, scope, &[Type::Bool], "a condition is true or false")
    }

    /// Checks an expression that gives a whole number, or says whether something was so.
    pub fn figure(source: &str, scope: Scope) -> Result<Program, Vec<Issue>> {
        let wanted = "a figure is a whole number, or true or false";
        Program::of(source, scope, &[Type::Int, Type::Bool], wanted)
    }

    fn of(source: &str, scope: Scope, types: &[Type], wanted: &str) -> Result<Program, Vec<Issue>> {
        let checked = cel::check(source, scope.environment())?;
        let issue = |message: String| {
            vec![Issue {
                line: 1,
                column: 1,
                message,
                ..Issue::default()
            }]
        };
        if !matches!(checked.ty(), Type::Dyn) && !types.contains(checked.ty()) {
            return Err(issue(format!(
                "{wanted}, and this is of type '{}'",
                checked.ty()
            )));
        }
        let cost = cel::cost::estimate(&checked, scope.environment()).max;
        if cost > COST_MAX {
            return Err(issue(format!(
                "it may cost up to {cost} units each time it is asked; the limit is {COST_MAX}"
            )));
        }
        Ok(Program {
            checked,
            scope,
            source: source.to_owned(),
        })
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the expression speaks of a variable.
    pub fn mentions(&self, variable: &str) -> bool {
        self.checked.mentions(variable)
    }

    /// Whether a record can have changed the answer.
    fn concerns(&self, record: &Record, entries: &[Arc<Entry>]) -> bool {
        let speaks = |list: &[&str]| list.iter().any(|name| self.mentions(name));
        if speaks(&["now", "leaders"]) {
            return true;
        }
        let by_event = match &record.event {
            Event::PhaseBegan { .. } => true,
            Event::RequestSent { .. }
            | Event::RequestCommitted { .. }
            | Event::RequestRefused { .. }
            | Event::ReplyDelivered { .. }
            | Event::ReplyLost { .. }
            | Event::RequestCancelled { .. } => speaks(&["requests"]),
            Event::ReconcileStarted { .. } | Event::ReconcileEnded { .. } => {
                speaks(&["reconciles"])
            }
            Event::ReplicaStarted { .. }
            | Event::ReplicaCrashed { .. }
            | Event::ReplicaEnded { .. } => speaks(&["replicas"]),
            _ => false,
        };
        by_event || !entries.is_empty() && speaks(&["objects", "named", "writes"])
    }
}

/// A property that asks a condition.
pub fn property(name: impl Into<String>, when: When, program: Program) -> PropertySpec {
    let program = Arc::new(program);
    let mut spec = PropertySpec::new(name, move || {
        Box::new(Condition {
            history: History::new(&program.checked),
            program: Arc::clone(&program),
            when,
            over: false,
        })
    });
    spec.sometimes = when == When::Sometimes;
    spec
}

/// A figure of a run: what an expression comes to at its end. It holds whatever it is.
pub fn figure(name: impl Into<String>, program: Program) -> PropertySpec {
    let program = Arc::new(program);
    PropertySpec::new(name, move || {
        Box::new(Measure {
            history: History::new(&program.checked),
            program: Arc::clone(&program),
        })
    })
}

struct Measure {
    program: Arc<Program>,
    history: History,
}

impl Property for Measure {
    fn observe(
        &mut self,
        record: &Record,
        entries: &[Arc<Entry>],
        view: &View<'_>,
        _: &mut Report,
    ) {
        self.history.note(record, entries, view);
    }

    fn finish(&mut self, view: &View<'_>, report: &mut Report) {
        let bound = Bound::new(&self.program.scope, &self.history, view);
        let figure = match cel::evaluate(&self.program.checked, &bound, COST_MAX).value {
            Ok(Val::Int(value)) => Figure::Number(value),
            Ok(Val::Bool(value)) => Figure::Truth(value),
            _ => return,
        };
        let name = report.name.clone();
        report.figures.push((name, figure));
    }
}

struct Condition {
    program: Arc<Program>,
    when: When,
    history: History,
    /// What there is to say has been said.
    over: bool,
}

enum Answer {
    Holds,
    Fails(Vec<Part>),
    Budget,
}

impl Condition {
    fn ask(&self, view: &View<'_>) -> Answer {
        let bound = Bound::new(&self.program.scope, &self.history, view);
        match cel::evaluate(&self.program.checked, &bound, COST_MAX).value {
            Ok(Val::Bool(true)) => Answer::Holds,
            Err(Failure::Budget) => Answer::Budget,
            _ => Answer::Fails(why(&self.program.checked, &bound, COST_MAX)),
        }
    }

    fn judge(&mut self, when: &str, view: &View<'_>, report: &mut Report) {
        let answer = self.ask(view);
        match (answer, self.when) {
            (Answer::Holds, When::Sometimes) => {
                report.reach();
                self.over = true;
            }
            (Answer::Holds, _) | (Answer::Fails(_), When::Sometimes) => {}
            (Answer::Fails(parts), _) => {
                let values: Vec<String> = parts
                    .iter()
                    .map(|part| format!("{} = {}", part.text, part.value))
                    .collect();
                let about = About {
                    detail: Some(self.program.source.clone()),
                    ..About::default()
                };
                report.find(format!("{when}: {}", values.join(", ")), about);
                self.over = true;
            }
            (Answer::Budget, _) => {
                let why = format!("it costs more than {COST_MAX} units to ask");
                let name = report.name.clone();
                report.inconclusive.push((name, why));
                self.over = true;
            }
        }
    }
}

impl Property for Condition {
    fn observe(
        &mut self,
        record: &Record,
        entries: &[Arc<Entry>],
        view: &View<'_>,
        report: &mut Report,
    ) {
        let outside = self.history.note(record, entries, view);
        if self.over {
            return;
        }
        match self.when {
            When::Always | When::Sometimes => {
                if outside || self.program.concerns(record, entries) {
                    self.judge("it does not hold here", view, report);
                }
            }
            When::Eventually => {
                let settled = matches!(
                    record.event,
                    Event::PhaseBegan {
                        phase: Phase::Settled
                    }
                );
                let later = view.phase == Phase::Settled && (outside || !entries.is_empty());
                if settled || later {
                    self.judge("the world has settled and it does not hold", view, report);
                }
            }
        }
    }

    fn finish(&mut self, view: &View<'_>, report: &mut Report) {
        if self.when == When::Eventually && !self.over {
            self.judge("the run has ended and it does not hold", view, report);
        }
    }
}
