//! Instants as the API writes them: RFC 3339 in whole seconds (`Time`) or with six digits (`MicroTime`), always UTC.
//!
//! Owns conversions only, those of durations among them (`1m30s`, as Go's `time.ParseDuration` reads them); the current time
//! is handed in by the caller.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use crate::json::CompactString;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From whole seconds since the epoch.
    pub const fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The form of `metav1.Time`: `2026-01-02T03:04:05Z`.
    pub fn rfc3339(self) -> CompactString {
        let mut out = self.date_time();
        out.push('Z');
        out
    }

    /// The form of `metav1.MicroTime`: `2026-01-02T03:04:05.000006Z`.
    pub fn rfc3339_micro(self) -> CompactString {
        let mut out = self.date_time();
        out.push('.');
        let micros = self.0.rem_euclid(1_000_000) as u32;
        for place in [100_000, 10_000, 1_000, 100, 10, 1] {
            out.push(digit(micros / place));
        }
        out.push('Z');
        out
    }

    /// Reads an RFC 3339 time of any zone and precision; `None` if it is not one. Digits below a microsecond are cut.
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = bytes.get(from..to)?;
            digits.iter().try_fold(0, |sum, byte| {
                byte.is_ascii_digit()
                    .then(|| sum * 10 + i64::from(byte - b'0'))
            })
        };
        let is = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let separated = is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':');
        if !separated || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        let (mut at, mut micros) = (19, 0);
        if is(at, b'.') || is(at, b',') {
            let digits = bytes[at + 1..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if digits == 0 {
                return None;
            }
            micros = number(at + 1, at + 1 + digits.min(6))? * 10_i64.pow(6 - digits.min(6) as u32);
            at += 1 + digits;
        }
        let offset = match bytes.get(at)? {
            b'Z' if bytes.len() == at + 1 => 0,
            sign @ (b'+' | b'-') if bytes.len() == at + 6 && is(at + 3, b':') => {
                let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let seconds = hours * 3600 + minutes * 60;
                if *sign == b'-' { -seconds } else { seconds }
            }
            _ => return None,
        };
        let seconds =
            days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        Some(Timestamp((seconds - offset) * 1_000_000 + micros))
    }

    fn date_time(self) -> CompactString {
        let seconds = self.seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let second = seconds.rem_euclid(86_400);
        let year = year.rem_euclid(10_000);
        let mut text = *b"YYYY-MM-DDTHH:MM:SS";
        for (at, number) in [
            (0, year / 100),
            (2, year % 100),
            (5, month),
            (8, day),
            (11, second / 3600),
            (14, second / 60 % 60),
            (17, second % 60),
        ] {
            text[at] = digit(number as u32 / 10) as u8;
            text[at + 1] = digit(number as u32) as u8;
        }
        CompactString::from_utf8(text).expect("digits are ASCII")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339_micro())
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, duration: Duration) -> Timestamp {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_add(micros))
    }
}

impl Sub for Timestamp {
    type Output = Duration;
    /// Zero when `earlier` is the later one.
    fn sub(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

/// The last digit of a number.
fn digit(number: u32) -> char {
    (b'0' + (number % 10) as u8) as char
}

/// Days since the epoch of a date of the proleptic Gregorian calendar (years begin in March, so the leap day is last).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Reads a duration as Go does, in nanoseconds; the error is the library's.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let wrong = |what: &str| format!("time: {what} {}", quoted(text));
    let invalid = || wrong("invalid duration");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    match rest {
        "0" => return Ok(0),
        "" => return Err(invalid()),
        _ => {}
    }
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = rest.split_at(digits(rest));
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(digits(after)),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let number_begins = |c: char| c == '.' || c.is_ascii_digit();
        let unit_len = after.find(number_begins).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let scale: u64 = match unit {
            "" => return Err(wrong("missing unit in duration")),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            other => {
                let unknown = format!("unknown unit {} in duration", quoted(other));
                return Err(wrong(&unknown));
            }
        };
        total = measure(whole, fraction, scale)
            .and_then(|amount| total.checked_add(amount))
            .filter(|total| *total <= NANOSECONDS_MAX)
            .ok_or_else(invalid)?;
        rest = after;
    }
    match (negative, i64::try_from(total)) {
        (false, nanoseconds) => nanoseconds.map_err(|_| invalid()),
        (true, nanoseconds) => Ok(nanoseconds.map_or(i64::MIN, |number| -number)),
    }
}

/// The most that a duration may come to on the way: below zero there is room for it.
const NANOSECONDS_MAX: u64 = 1 << 63;

/// `WHOLE.FRACTION` of a unit of so many nanoseconds; none if that is too much.
fn measure(whole: &str, fraction: &str, scale: u64) -> Option<u64> {
    let whole: u64 = match whole {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    // Digits that an integer has no room for come to nothing.
    let (mut part, mut parts) = (0_u64, 1.0);
    for digit in fraction.bytes() {
        let more = u64::from(digit - b'0');
        let next = part.checked_mul(10).and_then(|n| n.checked_add(more));
        let Some(next) = next.filter(|next| *next <= NANOSECONDS_MAX) else {
            break;
        };
        (part, parts) = (next, parts * 10.0);
    }
    let part = part as f64 * (scale as f64 / parts);
    whole.checked_mul(scale)?.checked_add(part as u64)
}

/// A text in quotes as Go's package `time` has it: what is not ASCII byte by byte.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', byte as char]),
            0..b' ' | 0x80.. => out.push_str(&format!("\\x{byte:02x}")),
            _ => out.push(byte as char),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_round_trip() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2000-02-29T23:59:59Z",
            "2026-11-21T05:15:00Z",
            "1899-12-31T12:00:00Z",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text).unwrap().rfc3339(), text);
        }
    }

    #[test]
    fn zones_and_fractions_are_understood() {
        let time = Timestamp::parse_rfc3339("2026-01-01T02:00:00.25+02:00").unwrap();
        assert_eq!(time.rfc3339_micro(), "2026-01-01T00:00:00.250000Z");
        for bad in [
            "2026-02-30T00:00:00Z",
            "2026-01-01 00:00:00Z",
            "x",
            "2026-01-01T00:00:00",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn a16_durations_are_those_of_go() {
        for (text, want) in [
            ("0", 0),
            ("-0", 0),
            ("500ms", 500_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("+.5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("3µs2us", 5_000),
            ("-1s", -1_000_000_000),
            ("-9223372036854775808ns", i64::MIN),
            ("0.3333333333333333333333333h", 1_200_000_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(want), "{text}");
        }
        for (text, want) in [
            ("", r#"invalid duration """#),
            ("-", r#"invalid duration "-""#),
            (".s", r#"invalid duration ".s""#),
            ("s", r#"invalid duration "s""#),
            ("1s ", r#"unknown unit "s " in duration "1s ""#),
            ("5", r#"missing unit in duration "5""#),
            ("1.5.5s", r#"missing unit in duration "1.5.5s""#),
            ("1d", r#"unknown unit "d" in duration "1d""#),
            ("1é", r#"unknown unit "\xc3\xa9" in duration "1\xc3\xa9""#),
            (
                "9223372036854775808ns",
                r#"invalid duration "9223372036854775808ns""#,
            ),
            (
                "99999999999999999999h",
                r#"invalid duration "99999999999999999999h""#,
            ),
        ] {
            assert_eq!(parse_duration(text), Err(format!("time: {want}")), "{text}");
        }
    }
}
