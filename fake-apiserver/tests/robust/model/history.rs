//! A small checker of linearizability, an object at a time.
//!
//! The server says of each write which revision it made: that is the order claimed. It must not contradict the order in
//! which requests were sent and answered, and what a request that failed or read was told must have been true at some moment
//! between the two.

use std::collections::BTreeMap;

/// What a request was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It made this revision.
    Stored(u64),
    /// It changed nothing of the object that has this revision.
    Unchanged(u64),
    /// The object had this revision; absent without one.
    Read(Option<u64>),
    /// There was such an object.
    Exists,
    /// There was no such object.
    Absent,
    /// The object did not have this revision.
    Differs(u64),
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    /// When it was sent and when it was answered, in steps.
    pub(crate) sent: usize,
    pub(crate) answered: usize,
    pub(crate) told: Told,
}

/// A history, and what was stored after each step.
#[derive(Debug, Default)]
pub(crate) struct History {
    spans: Vec<Span>,
    /// Revision of each object after each step.
    states: Vec<BTreeMap<String, u64>>,
}

impl History {
    /// The step under way.
    pub(crate) fn now(&self) -> usize {
        self.states.len()
    }

    /// A request has been answered.
    pub(crate) fn note(&mut self, span: Span) {
        self.spans.push(span);
    }

    /// A step is over.
    pub(crate) fn step(&mut self, state: BTreeMap<String, u64>) {
        self.states.push(state);
    }

    /// Checks all there is.
    pub(crate) fn check(&self) {
        for span in &self.spans {
            self.check_span(span);
        }
        let mut stored: Vec<(&Span, u64)> = Vec::new();
        for span in &self.spans {
            if let Told::Stored(revision) = span.told {
                stored.push((span, revision));
            }
        }
        stored.sort_by_key(|(_, revision)| *revision);
        // Invariant: a write that was answered before another was sent made the older revision.
        let mut latest_sent = 0;
        for (span, revision) in stored {
            assert!(
                span.answered >= latest_sent,
                "{revision} was made after a write that was sent only when it had been answered: {span:?}"
            );
            latest_sent = latest_sent.max(span.sent);
        }
    }

    fn check_span(&self, span: &Span) {
        // Before the step in which it was sent, and after each one up to that of its answer.
        let before = span.sent.checked_sub(1).map(|step| &self.states[step]);
        let during = &self.states[span.sent..=span.answered];
        let mut moments = before.into_iter().chain(during);
        let holds = moments.any(|state| {
            let there = state.get(&span.name).copied();
            match span.told {
                Told::Stored(_) => true,
                Told::Unchanged(revision) => there == Some(revision),
                Told::Read(revision) => there == revision,
                Told::Exists => there.is_some(),
                Told::Absent => there.is_none(),
                Told::Differs(revision) => there != Some(revision),
            }
        }) || (span.sent == 0 && matches!(span.told, Told::Absent | Told::Read(None)));
        assert!(holds, "what was told was true at no moment: {span:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(told: Told, states: &[Option<u64>]) -> History {
        let mut history = History::default();
        let name = String::from("a");
        for state in states {
            history.step(
                state
                    .iter()
                    .map(|revision| (name.clone(), *revision))
                    .collect(),
            );
        }
        let answered = states.len() - 1;
        history.note(Span {
            name,
            sent: 1,
            answered,
            told,
        });
        history
    }

    #[test]
    fn what_was_true_in_between_may_be_told() {
        history(Told::Read(Some(5)), &[None, Some(5), Some(7)]).check();
        history(Told::Absent, &[None, Some(5)]).check();
        history(Told::Differs(5), &[Some(5), Some(6)]).check();
    }

    #[test]
    #[should_panic(expected = "true at no moment")]
    fn what_was_true_only_before_may_not_be_told() {
        history(
            Told::Read(Some(5)),
            &[Some(5), Some(6), Some(7)].map(|_| Some(6)),
        )
        .check();
    }

    #[test]
    #[should_panic(expected = "sent only when it had been answered")]
    fn writes_in_the_wrong_order_are_noticed() {
        let mut history = History::default();
        for _ in 0..4 {
            history.step(BTreeMap::new());
        }
        let span = |sent, answered, revision| Span {
            name: "a".to_owned(),
            sent,
            answered,
            told: Told::Stored(revision),
        };
        history.note(span(0, 1, 9));
        history.note(span(2, 3, 8));
        history.check();
    }
}
