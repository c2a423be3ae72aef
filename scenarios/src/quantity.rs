//! Durations, ranges and seeds as people write them.
//!
//! Owns the notation: `500ms`, `1m30s`, `1ms..20ms`, `-5s..5s`, seeds `0..1000`. Inside, a duration is whole
//! microseconds, the resolution of the simulated clock and of Kubernetes' `MicroTime`.
//!
//! Ranges of durations include both ends; a range of seeds, as in Rust, excludes its end.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use crate::de::HINT;

const DURATION_HINT: &str = "write a number with a unit: 250us, 500ms, 2s, 1m30s, 1h";
const RANGE_HINT: &str = "write one duration, or two with two dots between: 500ms, 1ms..20ms";
const SEEDS_HINT: &str =
    "write how many, or a range that excludes its end: 200, 0..1000; a seed is below 2^64";

/// So many seeds in one call keep their list in memory; more are shared out over several.
const SEEDS_MAX: u64 = 10_000_000;
/// Timers of operators reach two years; what takes longer than one is a slip of the pen.
const DURATION_MAX_US: u64 = 366 * 24 * 3_600 * 1_000_000;

/// A length of time, not negative: `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A length of time drawn anew each time, both ends included: `1ms..20ms`, or one fixed: `5ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanRange {
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

/// A shift of a clock, in microseconds, both ends included: `-5s..5s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkewRange {
    /// The lowest, in microseconds.
    pub min_us: i64,
    /// The highest, in microseconds.
    pub max_us: i64,
}

/// Seeds to explore, the end excluded: `0..1000`, or how many: `200`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedRange {
    /// The first seed.
    pub start: u64,
    /// One past the last seed.
    pub end: u64,
}

/// The seeds of a range, as `seeds(0..1_000)`.
pub fn seeds(range: std::ops::Range<u64>) -> SeedRange {
    SeedRange {
        start: range.start,
        end: range.end,
    }
}

impl SeedRange {
    /// How many seeds there are.
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The seeds, lowest first.
    pub fn iter(&self) -> std::ops::Range<u64> {
        self.start..self.end
    }
}

impl fmt::Display for SeedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// Microseconds of a signed duration.
fn micros(text: &str) -> Result<i64, String> {
    let text = text.trim();
    if text == "0" {
        return Ok(0);
    }
    let bad = || format!("`{text}` is not a duration{HINT}{DURATION_HINT}");
    let duration: jiff::SignedDuration = text.parse().map_err(|_| bad())?;
    let us = duration.as_micros();
    if duration.as_nanos() % 1000 != 0 {
        return Err(format!(
            "`{text}` is finer than a microsecond{HINT}{DURATION_HINT}"
        ));
    }
    let us = i64::try_from(us).map_err(|_| bad())?;
    if us.unsigned_abs() > DURATION_MAX_US {
        return Err(format!(
            "`{text}` is longer than a year{HINT}{DURATION_HINT}"
        ));
    }
    Ok(us)
}

fn not_negative(text: &str) -> Result<Duration, String> {
    let us = micros(text)?;
    let us = u64::try_from(us).map_err(|_| format!("`{text}` is negative{HINT}{DURATION_HINT}"))?;
    Ok(Duration::from_micros(us))
}

fn both<T>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<(T, Option<T>), String> {
    match text.split_once("..") {
        Some((min, max)) => Ok((
            parse(min)?,
            Some(parse(max.strip_prefix('=').unwrap_or(max))?),
        )),
        None => Ok((parse(text)?, None)),
    }
}

fn ordered<T: PartialOrd + Copy>(text: &str, min: T, max: Option<T>) -> Result<(T, T), String> {
    let max = max.unwrap_or(min);
    if min > max {
        return Err(format!("`{text}` ends before it begins{HINT}{RANGE_HINT}"));
    }
    Ok((min, max))
}

impl std::str::FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        not_negative(text).map(Self)
    }
}

impl std::str::FromStr for SpanRange {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = both(text, not_negative)?;
        let (min, max) = ordered(text, min, max)?;
        Ok(Self { min, max })
    }
}

impl std::str::FromStr for SkewRange {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = both(text, micros)?;
        let (min_us, max_us) = ordered(text, min, max)?;
        Ok(Self { min_us, max_us })
    }
}

impl std::str::FromStr for SeedRange {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            let digits = part.trim().replace('_', "");
            digits
                .parse::<u64>()
                .map_err(|_| format!("`{}` is not a seed{HINT}{SEEDS_HINT}", part.trim()))
        };
        let (start, end) = match text.split_once("..") {
            Some((start, end)) => (number(start)?, number(end)?),
            None => (0, number(text)?),
        };
        if start >= end {
            return Err(format!("`{text}` holds no seed{HINT}{SEEDS_HINT}"));
        }
        if end - start > SEEDS_MAX {
            return Err(format!(
                "`{text}` holds more than 10,000,000 seeds{HINT}take fewer at a time; `twins` takes any number"
            ));
        }
        Ok(Self { start, end })
    }
}

/// Reads a type by its `FromStr`; a whole number is read as its text, so that `0` and `200` need no quotes.
struct Text<T>(&'static str, std::marker::PhantomData<T>);

impl<T: std::str::FromStr<Err = String>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<T, E> {
        v.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<T, E> {
        v.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<T, E> {
        v.to_string().parse().map_err(E::custom)
    }
}

macro_rules! textual {
    ($type:ty, $name:literal, $expected:literal, $schema:tt) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Text($expected, std::marker::PhantomData))
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

textual!(Span, "Duration", "a duration as 500ms", {
    "description": "A length of time: 250us, 500ms, 2s, 1m30s, 1h",
    "type": ["string", "integer"],
    "examples": ["500ms", "1m30s"]
});
textual!(SpanRange, "DurationRange", "a duration or a range as 1ms..20ms", {
    "description": "A length of time, or a range of which each use draws one: 5ms, 1ms..20ms",
    "type": ["string", "integer"],
    "examples": ["1ms..20ms", "500ms"]
});
textual!(SkewRange, "SkewRange", "a shift or a range as -5s..5s", {
    "description": "How far a clock is wrong, or a range of which each run draws one: 2s, -5s..5s",
    "type": ["string", "integer"],
    "examples": ["-5s..5s"]
});
textual!(SeedRange, "SeedRange", "a range of seeds as 0..1000", {
    "description": "The seeds to explore, the end excluded, or how many: 0..1000, 200",
    "type": ["string", "integer"],
    "examples": ["0..1000", 200]
});

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str) -> Result<u128, String> {
        text.parse::<Span>().map(|s| s.0.as_micros())
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, us) in [
            ("0", 0),
            ("0s", 0),
            ("250us", 250),
            ("250µs", 250),
            ("1ms", 1_000),
            ("1.5s", 1_500_000),
            ("1m30s", 90_000_000),
            ("1h", 3_600_000_000),
        ] {
            assert_eq!(span(text), Ok(us), "{text}");
        }
        for text in ["5", "-1s", "fast", "1ns", "", "1s..2s", "9000h"] {
            let error = span(text).expect_err(text);
            assert!(error.contains(HINT), "{error}");
        }
    }

    #[test]
    fn ranges_are_ordered() {
        let range: SpanRange = "1ms..20ms".parse().expect("a range");
        assert_eq!((range.min.as_millis(), range.max.as_millis()), (1, 20));
        let fixed: SpanRange = "5ms".parse().expect("a duration");
        assert_eq!(fixed.min, fixed.max);
        assert!("2s..1s".parse::<SpanRange>().is_err());
        let skew: SkewRange = "-5s..5s".parse().expect("a skew");
        assert_eq!((skew.min_us, skew.max_us), (-5_000_000, 5_000_000));
    }

    #[test]
    fn seeds_are_a_range_or_a_count() {
        assert_eq!("0..1_000".parse(), Ok(seeds(0..1000)));
        assert_eq!("200".parse(), Ok(seeds(0..200)));
        for text in [
            "5..5",
            "0",
            "18446744073709551616",
            "0..18446744073709551615",
            "0..-1",
            "x",
        ] {
            assert!(text.parse::<SeedRange>().is_err(), "{text}");
        }
    }
}
