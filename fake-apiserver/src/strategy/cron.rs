//! Cron schedules and time zones of CronJobs, checked only.
//!
//! Source: github.com/robfig/cron/v3 `parser.go`; `validateScheduleFormat`, `validateTimeZone`.

use super::field::{At, Errors};
use crate::status::go_quote;

static ZONES: &str = include_str!("zones.txt");

const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A schedule. `zone_inside` = the stored one already had its zone inside.
pub fn schedule(errors: &mut Errors, at: &At, zone_inside: bool, zone_given: bool) {
    if let Err(message) = parse(at.text()) {
        errors.invalid(at, &message);
    }
    let inside = at.text().contains("TZ");
    if zone_inside && inside && zone_given {
        errors.invalid(
            at,
            "cannot use both timeZone field and TZ or CRON_TZ in schedule",
        );
    } else if !zone_inside && inside {
        errors.invalid(
            at,
            "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        );
    }
}

/// A time zone by name.
pub fn zone(errors: &mut Errors, at: &At) {
    let name = at.text();
    if !at.is_set() {
        return;
    }
    if name.is_empty() {
        errors.invalid(at, "timeZone must be nil or non-empty string");
        return;
    }
    if name.eq_ignore_ascii_case("local") {
        errors.invalid(
            at,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        );
        if name == "Local" {
            return;
        }
    }
    if !is_zone(name) {
        errors.invalid(at, &format!("unknown time zone {name}"));
    }
}

fn is_zone(name: &str) -> bool {
    name == "UTC" || ZONES.lines().any(|zone| zone == name)
}

fn parse(text: &str) -> Result<(), String> {
    let mut rest = text;
    if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
        let after = text.split_once('=').map_or("", |(_, after)| after);
        let Some((name, schedule)) = after.split_once(' ') else {
            return Err("panic: runtime error: slice bounds out of range [:-1]".to_owned());
        };
        if !is_zone(name) && name != "Local" {
            return Err(format!(
                "provided bad location {name}: unknown time zone {name}"
            ));
        }
        rest = schedule.trim();
    }
    if let Some(descriptor) = rest.strip_prefix('@') {
        return match descriptor {
            "yearly" | "annually" | "monthly" | "weekly" | "daily" | "midnight" | "hourly" => {
                Ok(())
            }
            _ => match descriptor.strip_prefix("every ") {
                Some(duration) if is_duration(duration) => Ok(()),
                Some(duration) => Err(format!(
                    "failed to parse duration {rest}: time: invalid duration {}",
                    go_quote(duration)
                )),
                None => Err(format!("unrecognized descriptor: {rest}")),
            },
        };
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!(
            "expected exactly 5 fields, found {}: [{}]",
            fields.len(),
            fields.join(" ")
        ));
    }
    let bounds: [(u64, u64, &[&str], u64); 5] = [
        (0, 59, &[], 0),
        (0, 23, &[], 0),
        (1, 31, &[], 0),
        (1, 12, MONTHS, 1),
        (0, 6, DAYS, 0),
    ];
    for (field, bounds) in fields.iter().zip(bounds) {
        for range in field.split(',').filter(|range| !range.is_empty()) {
            check_range(range, bounds)?;
        }
    }
    Ok(())
}

fn check_range(
    text: &str,
    (min, max, names, first): (u64, u64, &[&str], u64),
) -> Result<(), String> {
    let number = |part: &str| -> Result<u64, String> {
        if let Some(at) = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(part))
        {
            return Ok(at as u64 + first);
        }
        to_number(part)
    };
    let steps: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = steps[0].split('-').collect();
    let (start, mut end) = if matches!(ends[0], "*" | "?") {
        (min, max)
    } else {
        let start = number(ends[0])?;
        match ends.len() {
            1 => (start, start),
            2 => (start, number(ends[1])?),
            _ => return Err(format!("too many hyphens: {text}")),
        }
    };
    let step = match steps.len() {
        1 => 1,
        2 => {
            let step = to_number(steps[1])?;
            if ends.len() == 1 {
                end = max;
            }
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    if start < min {
        return Err(format!(
            "beginning of range ({start}) below minimum ({min}): {text}"
        ));
    }
    if end > max {
        return Err(format!(
            "end of range ({end}) above maximum ({max}): {text}"
        ));
    }
    if start > end {
        return Err(format!(
            "beginning of range ({start}) beyond end of range ({end}): {text}"
        ));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(())
}

fn to_number(text: &str) -> Result<u64, String> {
    let number: i64 = text.parse().map_err(|_| {
        format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {}: invalid syntax",
            go_quote(text)
        )
    })?;
    u64::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}

fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    while !rest.is_empty() {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if number.len() == rest.len() {
            return false;
        }
        let Some(unit) = ["ns", "us", "µs", "ms", "s", "m", "h"].iter().find(|unit| {
            number
                .strip_prefix(**unit)
                .is_some_and(|after| !after.starts_with(|c: char| c.is_alphabetic()))
        }) else {
            return false;
        };
        rest = &number[unit.len()..];
    }
    !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o9_schedules_have_their_errors() {
        for good in [
            "*/5 * * * *",
            "@hourly",
            "0 0 * jan-mar mon",
            "@every 1h30m",
            "1,2,3 * ? * *",
        ] {
            assert_eq!(parse(good), Ok(()), "{good}");
        }
        assert_eq!(
            parse("61 * * * *").unwrap_err(),
            "end of range (61) above maximum (59): 61"
        );
        assert_eq!(
            parse("* * * *").unwrap_err(),
            "expected exactly 5 fields, found 4: [* * * *]"
        );
        assert!(
            parse("x * * * *")
                .unwrap_err()
                .starts_with("failed to parse int from x")
        );
        assert!(is_zone("Etc/UTC") && !is_zone("Mars/Phobos"));
    }
}
