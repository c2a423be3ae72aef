//! A bounded run of the fuzz entry points on stable: every seed as it is, then mutations of them, the same ones each time.
//!
//! `RECONVERGE_FUZZ_RUNS=20000 cargo test -p fake-apiserver --test robust smoke` runs longer; `.ci/run` does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fake_apiserver::ids::{Ids, SeededIds};

use crate::entry;

/// Mutations of each target, unless the environment asks for more.
const RUNS: u64 = 300;

/// What matters to some parser.
const WORDS: [&str; 40] = [
    "\n%%\n",
    "null",
    "{}",
    "[]",
    "\"\"",
    "-1",
    "9223372036854775808",
    "1e400",
    "-0",
    "0.1e-7",
    "\u{0}",
    "\u{fffd}",
    "\"$patch\"",
    "\"delete\"",
    "\"$setElementOrder/containers\"",
    "\"$retainKeys\"",
    "\"$deleteFromPrimitiveList/x\"",
    "\"metadata\"",
    "\"name\"",
    "\"ownerReferences\"",
    "\"finalizers\"",
    "\"managedFields\"",
    "\"f:spec\"",
    "\"resourceVersion\"",
    "/-",
    "/0",
    "~1",
    "~0",
    "%2F",
    "?watch=1",
    "&limit=1",
    "&continue=",
    "in (a,b)",
    "!=",
    ",",
    "&&",
    "matches('(a*)*')",
    "[?",
    "{1: self}",
    "é",
];

fn smoke(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target);
    let mut seeds: Vec<(String, Vec<u8>)> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|file| {
            let path = file.expect("a readable folder").path();
            let bytes = std::fs::read(&path).expect("a readable seed");
            (path.display().to_string(), bytes)
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{target} has seeds");
    for (name, bytes) in &seeds {
        guarded(name, bytes, run);
    }
    let runs = asked_runs().unwrap_or(RUNS);
    let mut dice = Dice(SeededIds::new(target.len() as u64));
    for turn in 0..runs {
        let mut bytes = seeds[dice.below(seeds.len())].1.clone();
        for _ in 0..=dice.below(4) {
            let other = &seeds[dice.below(seeds.len())].1;
            dice.mutate(&mut bytes, other);
        }
        bytes.truncate(1 << 16);
        guarded(&format!("{target} mutation {turn}"), &bytes, run);
    }
}

/// How many turns the environment asks for.
pub(crate) fn asked_runs() -> Option<u64> {
    std::env::var("RECONVERGE_FUZZ_RUNS").ok()?.parse().ok()
}

/// Runs one input; a panic shows it.
fn guarded(name: &str, bytes: &[u8], run: fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(bytes))) {
        let shown = bytes.escape_ascii().to_string();
        let cut = shown.len().min(4_000);
        let why = panic.downcast_ref::<String>().cloned();
        let why = why.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        panic!(
            "{name}: {}\ninput: {}",
            why.unwrap_or_default(),
            &shown[..cut]
        );
    }
}

/// A source of decisions.
struct Dice(SeededIds);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0.number(bound.max(1) as u64) as usize
    }

    /// A place and a length within some bytes.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let from = self.below(length);
        let to = from + self.below((length - from).min(64)) + usize::from(from < length);
        from..to
    }

    /// A string, number or word of a JSON text, and the last bracket opened before it.
    fn token(&mut self, bytes: &[u8]) -> (std::ops::Range<usize>, usize) {
        let at = self.below(bytes.len());
        let stops = |byte: &u8| b"{}[]:,\n \"".contains(byte);
        let from = bytes[..at].iter().rposition(stops).map_or(0, |i| i + 1);
        let to = bytes[at..]
            .iter()
            .position(stops)
            .map_or(bytes.len(), |i| at + i);
        let quoted = from > 0 && bytes[from - 1] == b'"' && bytes.get(to) == Some(&b'"');
        let open = bytes[..at].iter().rposition(|byte| b"{[".contains(byte));
        let token = if quoted {
            from - 1..to + 1
        } else {
            from..to.max(from)
        };
        (token, open.unwrap_or(bytes.len()))
    }

    /// A JSON value out of the ordinary, or one of another input.
    fn value(&mut self, other: &[u8]) -> Vec<u8> {
        const VALUES: [&str; 20] = [
            "null",
            "true",
            "0",
            "-1",
            "1.5",
            "1e300",
            "99999999999999999999",
            "\"\"",
            "\"a\"",
            "\"é\\u0000\"",
            "\"1\"",
            "{}",
            "[]",
            "[null]",
            "{\"a\":null}",
            "[{}]",
            "[\"a\",\"a\"]",
            "\"2026-01-01T00:00:00Z\"",
            "\"100Mi\"",
            "[[{\"name\":\"c\"}]]",
        ];
        let (token, _) = self.token(other);
        match self.below(VALUES.len() + 4) {
            n if n < VALUES.len() => VALUES[n].as_bytes().to_vec(),
            _ => other[token].to_vec(),
        }
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let range = self.range(bytes.len());
        let at = range.start;
        match self.below(14) {
            0 => drop(bytes.drain(range)),
            1 => bytes.insert(at, self.below(256) as u8),
            2 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            3 => {
                let word = WORDS[self.below(WORDS.len())];
                bytes.splice(at..at, word.bytes());
            }
            4 => {
                let word = WORDS[self.below(WORDS.len())];
                bytes.splice(range, word.bytes());
            }
            5 => {
                let part = other[self.range(other.len())].to_vec();
                bytes.splice(at..at, part);
            }
            6 => {
                let part = bytes[range].repeat(1 + self.below(200));
                bytes.splice(at..at, part);
            }
            7 => {
                let target = self.below(bytes.len());
                let part = bytes[range].to_vec();
                bytes.splice(target..target, part);
            }
            8..=10 => {
                let (token, _) = self.token(bytes);
                let value = self.value(other);
                bytes.splice(token, value);
            }
            11 => {
                // One more field or element, where there is a place for it.
                let (_, open) = self.token(bytes);
                let value = self.value(other);
                let key = format!("\"{}\":", ["a", "name", "x", "spec"][self.below(4)]);
                let field = [key.as_bytes(), &value, b","].concat();
                let element = [&value[..], b","].concat();
                match bytes.get(open) {
                    Some(b'{') => drop(bytes.splice(open + 1..open + 1, field)),
                    Some(b'[') => drop(bytes.splice(open + 1..open + 1, element)),
                    _ => {}
                }
            }
            12 => {
                let (token, _) = self.token(bytes);
                let (from, _) = self.token(other);
                bytes.splice(token, other[from].to_vec());
            }
            _ => {
                let story = [b"\n%%\n", other].concat();
                bytes.extend(story);
            }
        }
    }
}

macro_rules! targets {
    ($($test:ident $target:ident),+ $(,)?) => {$(
        #[test]
        fn $test() {
            smoke(stringify!($target), entry::$target);
        }
    )+};
}

targets! {
    smoke_request request,
    smoke_patch patch,
    smoke_selector selector,
    smoke_schema schema,
    smoke_apply apply,
    smoke_cel cel,
}
