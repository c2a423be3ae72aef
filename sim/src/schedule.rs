//! Who picks: from a seed, from a tape, or the boring default; and the tape that records it.
//!
//! Owns the [`Chooser`]. Every decision of a run goes through it and is recorded from the first run on; a decision with one
//! option is none and is not recorded. Does not own what is enabled (`world`).

use std::borrow::Cow;

use crate::choice::{ChoiceKind, Options, Tape, TapeEntry, TapeMode};
use crate::entropy::Rng;
use crate::setup::Mode;
use crate::targeted::TargetedPlan;
use crate::time::{DurationRange, us};

/// What a run is to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The seed fills the tape. Seed 0 is the unperturbed run.
    Seed(u64),
    /// The tape of an earlier run.
    Tape(Tape),
    /// The unperturbed run, but for what a plan forces.
    Plan(TargetedPlan),
}

impl Input {
    /// The seed that feeds the replicas' own randomness.
    pub fn seed(&self) -> u64 {
        match self {
            Input::Seed(seed) => *seed,
            Input::Tape(tape) => tape.seed,
            Input::Plan(_) => 0,
        }
    }

    /// What is forced, if anything is.
    pub(crate) fn plan(&self) -> Option<&TargetedPlan> {
        match self {
            Input::Seed(_) => None,
            Input::Tape(tape) => tape.plan.as_ref(),
            Input::Plan(plan) => Some(plan),
        }
    }
}

impl From<u64> for Input {
    fn from(seed: u64) -> Input {
        Input::Seed(seed)
    }
}

/// One stream per kind of decision, so that one more draw of one kind does not shift the others.
struct Streams {
    order: Rng,
    delay: Rng,
    fault: Rng,
    /// A fault strikes at one in so many opportunities.
    fault_one_in: u64,
    /// Which of the plan's faults are on in this run, by index: a swarm of different plans finds more than one plan.
    swarm: u64,
}

enum Source {
    /// Option 0, always.
    Boring,
    Seed(Streams),
    Tape {
        entries: std::vec::IntoIter<TapeEntry>,
    },
}

/// Decides, and records.
pub(crate) struct Chooser {
    source: Source,
    tape: Tape,
    diverged: bool,
}

impl Chooser {
    pub(crate) fn new(input: &Input, mode: Mode) -> Chooser {
        let (source, seed, mode) = match input {
            Input::Tape(tape) => (
                Source::Tape {
                    entries: tape.entries.clone().into_iter(),
                },
                tape.seed,
                tape.mode,
            ),
            Input::Seed(0) | Input::Plan(_) => (Source::Boring, 0, mode_of(mode, 0)),
            Input::Seed(seed) => (
                Source::Seed(Streams::new(*seed)),
                *seed,
                mode_of(mode, *seed),
            ),
        };
        Chooser {
            source,
            tape: Tape {
                seed,
                mode,
                plan: input.plan().cloned(),
                entries: Vec::new(),
            },
            diverged: false,
        }
    }

    pub(crate) fn mode(&self) -> TapeMode {
        self.tape.mode
    }

    pub(crate) fn seed(&self) -> u64 {
        self.tape.seed
    }

    /// Whether a tape did not fit what happened: the default was taken where it did not.
    pub(crate) fn diverged(&self) -> bool {
        self.diverged
    }

    pub(crate) fn into_tape(self) -> Tape {
        self.tape
    }

    /// A duration of the range, in microseconds.
    pub(crate) fn delay(&mut self, site: &'static str, range: DurationRange) -> u64 {
        let (min, max) = (us(range.min), us(range.max));
        min + self.up_to(site, max.saturating_sub(min))
    }

    /// A number up to `max`.
    pub(crate) fn up_to(&mut self, site: &'static str, max: u64) -> u64 {
        if max == 0 {
            return 0;
        }
        let taken = match &mut self.source {
            Source::Boring => 0,
            Source::Seed(streams) => streams.delay.below(max + 1),
            Source::Tape { .. } => {
                self.read_tape(site, ChoiceKind::Delay, |entry| Some(entry.taken.min(max)))
            }
        };
        self.record(site, ChoiceKind::Delay, Options::UpTo(max), taken);
        taken
    }

    /// Which of these is next; `pass` stands at the end where time may pass instead.
    pub(crate) fn order(&mut self, names: Vec<Cow<'static, str>>, may_pass: bool) -> usize {
        if names.len() < 2 {
            return 0;
        }
        let count = names.len() as u64;
        let taken = match &mut self.source {
            Source::Boring => 0,
            // Passing time is rare: messages are what races are made of.
            Source::Seed(streams) if may_pass && streams.order.one_in(12) => count - 1,
            Source::Seed(streams) => streams.order.below(count - u64::from(may_pass)),
            Source::Tape { .. } => {
                self.read_tape("order", ChoiceKind::Order, |entry| by_name(entry, &names))
            }
        };
        self.record("order", ChoiceKind::Order, Options::Names(names), taken);
        taken as usize
    }

    /// Which fault strikes here, if one does: `faults` are indices into the plan with their names.
    pub(crate) fn fault(
        &mut self,
        site: &'static str,
        faults: &[(usize, &'static str)],
    ) -> Option<usize> {
        if faults.is_empty() {
            return None;
        }
        let mut names: Vec<Cow<'static, str>> = vec![Cow::Borrowed("none")];
        names.extend(
            faults
                .iter()
                .map(|(index, name)| Cow::Owned(format!("{name}/{index}"))),
        );
        let taken = match &mut self.source {
            Source::Boring => 0,
            Source::Seed(streams) => streams.fault(faults),
            Source::Tape { .. } => {
                self.read_tape(site, ChoiceKind::Fault, |entry| by_name(entry, &names))
            }
        };
        self.record(site, ChoiceKind::Fault, Options::Names(names), taken);
        usize::try_from(taken)
            .ok()?
            .checked_sub(1)
            .map(|at| faults[at].0)
    }

    fn record(&mut self, site: &'static str, kind: ChoiceKind, options: Options, taken: u64) {
        self.tape.entries.push(TapeEntry {
            site: Cow::Borrowed(site),
            kind,
            options,
            taken,
        });
    }

    /// The next entry's decision, if it was made at this site; else the default.
    fn read_tape(
        &mut self,
        site: &str,
        kind: ChoiceKind,
        read: impl FnOnce(&TapeEntry) -> Option<u64>,
    ) -> u64 {
        let Source::Tape { entries } = &mut self.source else {
            return 0;
        };
        let Some(entry) = entries.as_slice().first() else {
            return 0;
        };
        if entry.site != site || entry.kind != kind {
            self.diverged = true;
            return 0;
        }
        let taken = read(entry);
        entries.next();
        self.diverged |= taken.is_none();
        taken.unwrap_or_default()
    }
}

/// The option of that entry's name among today's.
fn by_name(entry: &TapeEntry, names: &[Cow<'static, str>]) -> Option<u64> {
    let Options::Names(were) = &entry.options else {
        return None;
    };
    let name = were.get(usize::try_from(entry.taken).ok()?)?;
    names
        .iter()
        .position(|option| option == name)
        .map(|at| at as u64)
}

fn mode_of(mode: Mode, seed: u64) -> TapeMode {
    match mode {
        Mode::Timed => TapeMode::Timed,
        Mode::Controlled => TapeMode::Controlled,
        Mode::Portfolio if seed.is_multiple_of(2) => TapeMode::Timed,
        Mode::Portfolio => TapeMode::Controlled,
    }
}

impl Streams {
    fn new(seed: u64) -> Streams {
        let swarm = Rng::new(seed, "swarm");
        Streams {
            order: Rng::new(seed, "order"),
            delay: Rng::new(seed, "delay"),
            fault: Rng::new(seed, "fault"),
            fault_one_in: [2, 6, 20][swarm.below(3) as usize],
            swarm: swarm.next(),
        }
    }

    fn fault(&self, faults: &[(usize, &'static str)]) -> u64 {
        if !self.fault.one_in(self.fault_one_in) {
            return 0;
        }
        let at = self.fault.below(faults.len() as u64);
        let on = self.swarm >> (faults[at as usize].0 % 64) & 1 == 1;
        if on { at + 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(chooser: &mut Chooser) -> Vec<u64> {
        let mut taken = Vec::new();
        for _ in 0..50 {
            taken.push(chooser.delay("request", DurationRange::ms(1, 20)));
            taken.push(chooser.order(vec!["a".into(), "b".into(), "c".into()], false) as u64);
            taken.push(
                chooser
                    .fault("commit", &[(0, "crash"), (3, "lag")])
                    .map_or(9, |at| at as u64),
            );
        }
        taken
    }

    #[test]
    fn a_tape_replays_what_its_seed_decided() {
        for seed in 0..20 {
            let mut first = Chooser::new(&Input::Seed(seed), Mode::Portfolio);
            let want = decide(&mut first);
            let tape = first.into_tape();
            let mut again = Chooser::new(&Input::Tape(tape.clone()), Mode::Timed);
            assert_eq!(decide(&mut again), want);
            assert!(!again.diverged());
            assert_eq!(again.into_tape(), tape);
        }
    }

    #[test]
    fn seed_zero_is_boring() {
        let mut chooser = Chooser::new(&Input::Seed(0), Mode::Portfolio);
        assert_eq!(decide(&mut chooser)[..3], [1_000, 0, 9]);
    }

    #[test]
    fn a_tape_that_does_not_fit_takes_the_default_and_says_so() {
        let mut first = Chooser::new(&Input::Seed(5), Mode::Timed);
        decide(&mut first);
        let mut again = Chooser::new(&Input::Tape(first.into_tape()), Mode::Timed);
        assert_eq!(again.order(vec!["a".into(), "b".into()], false), 0);
        assert!(again.diverged());
    }
}
