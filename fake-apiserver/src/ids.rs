//! Sources of what a real server draws at random: uids, generated name suffixes, cluster IPs and ports.
//!
//! The server never draws by itself: every call that may need one is handed an [`Ids`].

/// Where the server gets its random values from.
pub trait Ids {
    /// A new uid (UUID version 4 in its usual text form).
    fn uid(&mut self) -> String;
    /// Five characters of [`SUFFIX_ALPHABET`], for `generateName` (C4).
    fn suffix(&mut self) -> String;
    /// A number below `below` (which is above zero).
    fn number(&mut self, below: u64) -> u64;
}

/// The characters of generated name suffixes: no vowels and no look-alikes (C4).
pub const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Ids drawn from a 64-bit state (splitmix64): equal seeds give equal sequences.
#[derive(Clone, Debug)]
pub struct SeededIds {
    state: u64,
}

impl SeededIds {
    /// A sequence of its own per seed.
    pub fn new(seed: u64) -> SeededIds {
        SeededIds { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Ids for SeededIds {
    fn uid(&mut self) -> String {
        uid_from(self.next(), self.next())
    }

    fn suffix(&mut self) -> String {
        suffix_from(self.next())
    }

    fn number(&mut self, below: u64) -> u64 {
        self.next() % below
    }
}

/// A version 4 UUID from 128 random bits.
pub fn uid_from(high: u64, low: u64) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let high = (high & !0xf000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    let bits = (u128::from(high) << 64) | u128::from(low);
    let mut text = vec![b'-'; 36];
    let digits = (0..36).filter(|at| !matches!(at, 8 | 13 | 18 | 23));
    for (at, byte) in digits.step_by(2).zip(bits.to_be_bytes()) {
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
    }
    String::from_utf8(text).expect("hexadecimal digits are ASCII")
}

/// A generated name suffix from 64 random bits.
pub fn suffix_from(mut bits: u64) -> String {
    (0..5)
        .map(|_| {
            let c = SUFFIX_ALPHABET[(bits % 27) as usize] as char;
            bits /= 27;
            c
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_ids() {
        let (mut a, mut b) = (SeededIds::new(7), SeededIds::new(7));
        let uid = a.uid();
        assert_eq!(uid, b.uid());
        assert_eq!(uid.len(), 36);
        assert_eq!(&uid[14..15], "4");
        assert_eq!(a.suffix(), b.suffix());
    }
}
