//! The generator behind every stream: SplitMix64, whose state is one word and whose streams are apart by their seeds.

use std::cell::Cell;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Scrambles a word: seeds of neighbouring numbers give unrelated streams.
pub(super) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The next word of the stream whose state is in `cell`.
pub(super) fn next(cell: &Cell<u64>) -> u64 {
    let state = cell.get().wrapping_add(STEP);
    cell.set(state);
    mix(state)
}

/// A named stream of random words.
#[derive(Clone, Debug)]
pub(crate) struct Rng(Cell<u64>);

impl Rng {
    /// The stream of that name under that seed.
    pub(crate) fn new(seed: u64, name: &str) -> Rng {
        let named = name
            .bytes()
            .fold(seed, |state, byte| mix(state ^ u64::from(byte)));
        Rng(Cell::new(mix(named)))
    }

    /// The next word.
    pub(crate) fn next(&self) -> u64 {
        next(&self.0)
    }

    /// A number below `end`; 0 where `end` is 0.
    pub(crate) fn below(&self, end: u64) -> u64 {
        // Multiply and shift: the bias is below 2⁻³² for the small numbers asked for here.
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// True once in `times` draws.
    pub(crate) fn one_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }
}
