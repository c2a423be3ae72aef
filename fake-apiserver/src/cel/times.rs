//! Timestamps and durations of expressions.
//!
//! Behaviour: cel-go `common/types/{timestamp,duration}.go`, go-openapi `strfmt`
//! (`date`, `date-time`, `duration`). Simplified: time zones are UTC or fixed offsets.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

/// An instant.
pub(super) type Stamp = jiff::Timestamp;

/// Reads a `date` or a `date-time`.
pub(super) fn parse_date_time(text: &str) -> Option<Stamp> {
    if text.len() == 10 {
        let date: Date = text.parse().ok()?;
        return Some(
            date.to_datetime(jiff::civil::Time::midnight())
                .to_zoned(TimeZone::UTC)
                .ok()?
                .timestamp(),
        );
    }
    parse_timestamp(text)
}

/// Reads RFC 3339.
pub(super) fn parse_timestamp(text: &str) -> Option<Stamp> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !matches!(bytes[10], b'T' | b't') {
        return None;
    }
    text.parse().ok()
}

/// Reads a Go duration such as `1h30m`, or one of `strfmt`'s such as `2 days`; in nanoseconds.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    crate::time::parse_duration(text)
        .ok()
        .or_else(|| long_duration(text))
}

fn long_duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let number: i64 = text[..end].parse().ok()?;
    let unit: i64 = match text[end..].trim().to_ascii_lowercase().as_str() {
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1,
        "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
        "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        "w" | "week" | "weeks" | "wk" => 604_800_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// A duration as `string()` gives it: seconds.
pub(super) fn format_duration(nanos: i64) -> String {
    let (seconds, rest) = (
        nanos / 1_000_000_000,
        (nanos % 1_000_000_000).unsigned_abs(),
    );
    if rest == 0 {
        return format!("{seconds}s");
    }
    let sign = if nanos < 0 && seconds == 0 { "-" } else { "" };
    let fraction = format!("{rest:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

/// The civil time of an instant in a zone; `None` for a zone that is not known.
pub(super) fn civil(stamp: Stamp, zone: Option<&str>) -> Option<DateTime> {
    let offset = match zone {
        None | Some("UTC" | "" | "Z") => Offset::UTC,
        Some(text) => {
            let (sign, rest) = match text.strip_prefix('-') {
                Some(rest) => (-1, rest),
                None => (1, text.strip_prefix('+').unwrap_or(text)),
            };
            let (hours, minutes) = rest.split_once(':')?;
            let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
            Offset::from_seconds(sign * seconds).ok()?
        }
    };
    Some(offset.to_datetime(stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l8_durations_are_go_durations() {
        assert_eq!(parse_duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(parse_duration("-1.5s"), Some(-1_500_000_000));
        assert_eq!(parse_duration("2 days"), Some(172_800_000_000_000));
        assert_eq!(parse_duration("1x"), None);
        assert_eq!(format_duration(1_500_000_000), "1.5s");
    }
}
