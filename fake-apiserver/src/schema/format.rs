//! String formats of OpenAPI as the real server checks them.
//!
//! Owns which formats are known and what fits them. Simplification: `creditcard` checks the digits' shape and Luhn sum,
//! `isbn` the check digits, not the ranges in use.
//! Source: k8s.io/kube-openapi `pkg/validation/strfmt`, apiextensions-apiserver `pkg/apiserver/validation/formats.go`.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::go;

/// Formats a CRD may name without a warning.
pub fn is_known(format: &str) -> bool {
    is_checked(format)
        || matches!(
            format,
            "int32" | "int64" | "float" | "double" | "float32" | "float64" | "password"
        )
}

/// True for formats of strings that are checked.
pub fn is_checked(format: &str) -> bool {
    matches!(
        format,
        "bsonobjectid"
            | "uri"
            | "email"
            | "hostname"
            | "ipv4"
            | "ipv6"
            | "cidr"
            | "mac"
            | "uuid"
            | "uuid3"
            | "uuid4"
            | "uuid5"
            | "isbn"
            | "isbn10"
            | "isbn13"
            | "creditcard"
            | "ssn"
            | "hexcolor"
            | "rgbcolor"
            | "byte"
            | "password"
            | "date"
            | "duration"
            | "datetime"
            | "date-time"
            | "k8s-short-name"
            | "k8s-long-name"
    )
}

/// True if a text fits a format; unknown formats fit everything.
pub fn fits(format: &str, text: &str) -> bool {
    match format {
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()),
        "uri" => uri(text),
        "email" => email(text),
        "hostname" => hostname(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.contains(':') && text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => cidr(text),
        "mac" => mac(text),
        "uuid" => uuid(text, None),
        "uuid3" => uuid(text, Some(b'3')),
        "uuid4" => uuid(text, Some(b'4')),
        "uuid5" => uuid(text, Some(b'5')),
        "isbn" => isbn10(text) || isbn13(text),
        "isbn10" => isbn10(text),
        "isbn13" => isbn13(text),
        "creditcard" => credit_card(text),
        "ssn" => {
            shaped(text, "###-##-####") || shaped(text, "### ## ####") || shaped(text, "#########")
        }
        "hexcolor" => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            matches!(digits.len(), 3 | 6) && digits.bytes().all(|b| b.is_ascii_hexdigit())
        }
        "rgbcolor" => rgb_color(text),
        "byte" => text.len().is_multiple_of(4) && !text.is_empty() && STANDARD.decode(text).is_ok(),
        "date" => text.len() == 10 && go::parse_time(&format!("{text}T00:00:00Z"), false).is_ok(),
        "duration" => duration(text),
        "datetime" | "date-time" => date_time(text),
        "k8s-short-name" => crate::strategy::names::Names::Label.allows(text),
        "k8s-long-name" => crate::strategy::names::Names::Subdomain.allows(text),
        _ => true,
    }
}

// Lower-case t and z are allowed, a zone is demanded.
fn date_time(text: &str) -> bool {
    if text.len() < 4 || !text.is_ascii() {
        return false;
    }
    let upper = text.to_ascii_uppercase();
    let seconds_zero_padded = if upper.get(17..19) == Some("60") {
        upper.replacen(":60", ":59", 1)
    } else {
        upper
    };
    go::parse_time(&seconds_zero_padded, false).is_ok()
}

fn hostname(text: &str) -> bool {
    if text.is_empty() || text.len() > 255 || !text.is_ascii() {
        return false;
    }
    text.trim_end_matches('.').split('.').all(|part| {
        let bytes = part.as_bytes();
        let plain = |b: &u8| b.is_ascii_alphanumeric();
        let inner = |b: &u8| plain(b) || matches!(b, b'-' | b'_');
        !bytes.is_empty()
            && bytes.len() <= 63
            && bytes.first().is_some_and(plain)
            && bytes.last().is_some_and(plain)
            && bytes.iter().all(inner)
    })
}

fn email(text: &str) -> bool {
    let address = match (text.find('<'), text.strip_suffix('>')) {
        (Some(at), Some(head)) => &head[at + 1..],
        _ => text,
    };
    match address.rsplit_once('@') {
        Some((local, domain)) => {
            let allowed = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
            let dotted = |text: &str| !text.is_empty() && !text.split('.').any(str::is_empty);
            dotted(local)
                && local.chars().all(allowed)
                && dotted(domain)
                && domain.chars().all(allowed)
        }
        None => false,
    }
}

// `url.ParseRequestURI`: absolute, or a path from the root; no blanks or controls before the query.
fn uri(text: &str) -> bool {
    if text.is_empty()
        || text.bytes().any(|b| b < 0x20 || b == 0x7f)
        || text.contains('#') && text.starts_with('#')
    {
        return false;
    }
    let head = text.split('?').next().unwrap_or_default();
    let percent = |text: &str| {
        text.match_indices('%').all(|(at, _)| {
            let hex = text.as_bytes().get(at + 1..at + 3);
            hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
        })
    };
    if !percent(head) {
        return false;
    }
    if head.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = head.split_once(':') else {
        return false;
    };
    let good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let host = rest
        .strip_prefix("//")
        .and_then(|rest| rest.split('/').next())
        .unwrap_or_default();
    good && !host.contains(' ') && !rest.is_empty()
}

fn cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let digits =
        !length.is_empty() && length.len() <= 3 && length.bytes().all(|b| b.is_ascii_digit());
    let length: u32 = length.parse().unwrap_or(u32::MAX);
    let most = match (address.parse::<Ipv4Addr>(), address.parse::<Ipv6Addr>()) {
        (Ok(_), _) => 32,
        (_, Ok(_)) => 128,
        _ => return false,
    };
    digits && length <= most
}

fn mac(text: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let pairs = |separator: char| {
        let parts: Vec<&str> = text.split(separator).collect();
        matches!(parts.len(), 6 | 8 | 20) && parts.iter().all(|part| hex(part, 2))
    };
    let quads = || {
        let parts: Vec<&str> = text.split('.').collect();
        matches!(parts.len(), 3 | 4 | 10) && parts.iter().all(|part| hex(part, 4))
    };
    text.len() < 64 && (pairs(':') || pairs('-') || quads())
}

// Dashes are optional everywhere.
fn uuid(text: &str, version: Option<u8>) -> bool {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    let shape = parts == [8, 4, 4, 4, 12] || parts == [32];
    let variant = || matches!(digits[16].to_ascii_lowercase(), b'8' | b'9' | b'a' | b'b');
    shape
        && digits.len() == 32
        && digits.iter().all(u8::is_ascii_hexdigit)
        && match version {
            None => true,
            Some(b'3') => digits[12] == b'3',
            Some(version) => digits[12] == version && variant(),
        }
}

fn isbn10(text: &str) -> bool {
    let digits: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'-' | b' ')).collect();
    if digits.len() != 10 || !digits[..9].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let value = |(i, b): (usize, &u8)| (i as u32 + 1) * u32::from(b - b'0');
    let sum: u32 = digits[..9].iter().enumerate().map(value).sum();
    let last = match digits[9] {
        b'X' => 10,
        b if b.is_ascii_digit() => u32::from(b - b'0'),
        _ => return false,
    };
    (sum + 10 * last).is_multiple_of(11)
}

fn isbn13(text: &str) -> bool {
    let digits: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'-' | b' ')).collect();
    let value = |(i, b): (usize, &u8)| u32::from(b - b'0') * if i % 2 == 0 { 1 } else { 3 };
    digits.len() == 13
        && digits.iter().all(u8::is_ascii_digit)
        && digits
            .iter()
            .enumerate()
            .map(value)
            .sum::<u32>()
            .is_multiple_of(10)
}

fn credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let shape = text
        .chars()
        .all(|c| c.is_ascii_digit() || c == '-' || c == ' ');
    let luhn: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, digit)| {
            if i % 2 == 0 {
                *digit
            } else {
                digit * 2 / 10 + digit * 2 % 10
            }
        })
        .sum();
    shape && (13..=16).contains(&digits.len()) && luhn.is_multiple_of(10)
}

fn shaped(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(b, s)| {
            if s == b'#' {
                b.is_ascii_digit()
            } else {
                b == s
            }
        })
}

fn rgb_color(text: &str) -> bool {
    let inner = text
        .strip_prefix("rgb(")
        .and_then(|rest| rest.strip_suffix(')'));
    inner.is_some_and(|inner| {
        let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
        parts.len() == 3 && parts.iter().all(|part| part.parse::<u8>().is_ok())
    })
}

// Go's durations, and `5 seconds`, `2 weeks` and the like.
fn duration(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let units = |unit: &str| matches!(unit, "ns" | "us" | "µs" | "μs" | "ms" | "s" | "m" | "h");
    let words = |unit: &str| {
        matches!(
            unit,
            "ns" | "nano"
                | "us"
                | "µs"
                | "micro"
                | "ms"
                | "milli"
                | "s"
                | "sec"
                | "m"
                | "min"
                | "h"
                | "hr"
                | "hour"
                | "d"
                | "day"
                | "w"
                | "wk"
                | "week"
        )
    };
    if body == "0" {
        return true;
    }
    let mut rest = body;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        if digits == 0
            || rest[..digits].bytes().all(|b| b == b'.')
            || rest[..digits].matches('.').count() > 1
        {
            return false;
        }
        let after = &rest[digits..];
        let blanks = after.len() - after.trim_start().len();
        let unit_text = &after[blanks..];
        let length = unit_text
            .find(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')
            .unwrap_or(unit_text.len());
        let unit = &unit_text[..length];
        let singular = unit
            .strip_suffix('s')
            .filter(|unit| !unit.is_empty())
            .unwrap_or(unit);
        let lower = singular.to_lowercase();
        if !(units(unit)
            || words(&unit.to_lowercase())
            || words(&lower)
            || matches!(
                lower.as_str(),
                "nanosecond" | "microsecond" | "millisecond" | "second" | "minute"
            ))
        {
            return false;
        }
        parts += 1;
        rest = unit_text[length..].trim_start();
    }
    parts > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(fits(format, text), "{format} {text}");
        }
        for text in bad {
            assert!(!fits(format, text), "{format} {text}");
        }
    }

    #[test]
    fn l6_formats_as_recorded() {
        check("ipv4", &["1.2.3.4"], &["1.2.3", "::1"]);
        check("ipv6", &["::1"], &["1.2.3.4"]);
        check(
            "cidr",
            &["10.0.0.0/8", "10.0.0.1/8"],
            &["10.0.0.0", "1.1.1.1/33"],
        );
        check("mac", &["00:1a:2b:3c:4d:5e"], &["zz"]);
        check("hostname", &["my-host.example"], &["-bad-", ""]);
        check("uri", &["http://x.y/z?q=1", "/a"], &["no uri", ""]);
        check("email", &["a@b.c"], &["a.b.c"]);
        check(
            "date-time",
            &["2024-01-02T03:04:05.123+02:00"],
            &["2024-01-02", "2024-01-02 03:04:05", ""],
        );
        check(
            "date",
            &["2024-01-02"],
            &["2024-13-02", "2024-01-02T00:00:00Z"],
        );
        check("duration", &["1h30m", "5 seconds", "2 weeks"], &["1x", ""]);
        check("uuid", &["0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"], &["x"]);
        check("byte", &["YQ=="], &["%%%"]);
    }
}
