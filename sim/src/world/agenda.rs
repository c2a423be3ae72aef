//! What can happen and when it is due: the enabled choices in order of time, then of age.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::choice::Choice;
use crate::time::SimTime;

/// The enabled choices.
#[derive(Default)]
pub(crate) struct Agenda {
    age: u64,
    by_time: BTreeMap<(SimTime, u64), Choice>,
    slots: BTreeMap<Choice, (SimTime, u64)>,
}

impl Agenda {
    /// Enables a choice from `at` on; one that is enabled already moves there.
    pub(crate) fn put(&mut self, choice: Choice, at: SimTime) {
        if self.is_last_at(&choice, at) {
            return;
        }
        self.remove(&choice);
        self.age += 1;
        let slot = (at, self.age);
        self.by_time.insert(slot, choice.clone());
        self.slots.insert(choice, slot);
    }

    /// Whether a choice stands at this time already, behind all others of that time: where it would be put.
    fn is_last_at(&self, choice: &Choice, at: SimTime) -> bool {
        let Some(slot) = self.slots.get(choice).filter(|slot| slot.0 == at) else {
            return false;
        };
        let behind = (Bound::Excluded(slot), Bound::Unbounded);
        let next = self.by_time.range::<(SimTime, u64), _>(behind).next();
        next.is_none_or(|((time, _), _)| *time > at)
    }

    /// Disables a choice and tells when it was due.
    pub(crate) fn remove(&mut self, choice: &Choice) -> Option<SimTime> {
        let slot = self.slots.remove(choice)?;
        self.by_time.remove(&slot);
        Some(slot.0)
    }

    /// Whether a choice is enabled.
    pub(crate) fn contains(&self, choice: &Choice) -> bool {
        self.slots.contains_key(choice)
    }

    /// The earliest.
    pub(crate) fn first(&self) -> Option<(SimTime, &Choice)> {
        self.by_time
            .first_key_value()
            .map(|((at, _), choice)| (*at, choice))
    }

    /// All, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SimTime, &Choice)> {
        self.by_time.iter().map(|((at, _), choice)| (*at, choice))
    }
}
