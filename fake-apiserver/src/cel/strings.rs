//! Functions of strings, regular expressions among them.
//!
//! Behaviour: cel-go `ext/strings.go` (version 2), Kubernetes
//! `apiserver/pkg/cel/library/regex.go`. Regular expressions run in linear time and
//! their compiled size is bounded.

use super::eval::{Failure, Run, SIZE_MAX, failure, text_of};
use super::functions::{go_float, no_overload, plain};
use super::value::Val;
use crate::status::go_quote;

type Out<'v> = Result<Val<'v>, Failure>;

/// Whether there is a string function of this name for such a first argument.
pub(super) fn has(name: &str, first: &Val<'_>) -> bool {
    matches!(first, Val::String(_))
        && matches!(
            name,
            "contains"
                | "endsWith"
                | "startsWith"
                | "matches"
                | "charAt"
                | "indexOf"
                | "lastIndexOf"
                | "lowerAscii"
                | "upperAscii"
                | "replace"
                | "split"
                | "substring"
                | "trim"
                | "format"
                | "strings.quote"
                | "find"
                | "findAll"
                | "jsonpatch.escapeKey"
        )
}

/// A compiled regular expression.
pub(crate) fn regex(pattern: &str) -> Result<regex::Regex, Failure> {
    regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .dfa_size_limit(1 << 20)
        .nest_limit(100)
        .build()
        .map_err(|_| Failure::Message(format!("error parsing regexp: invalid: `{pattern}`")))
}

/// Calls a function whose first argument is a string.
pub(super) fn call<'v>(_run: &mut Run<'_, 'v>, name: &str, args: &[Val<'v>]) -> Out<'v> {
    let Some(text) = args.first().and_then(text_of) else {
        return no_overload();
    };
    let text: &str = text;
    match (name, &args[1..]) {
        ("contains", [Val::String(part)]) => Ok(Val::Bool(text.contains(&**part))),
        ("endsWith", [Val::String(part)]) => Ok(Val::Bool(text.ends_with(&**part))),
        ("startsWith", [Val::String(part)]) => Ok(Val::Bool(text.starts_with(&**part))),
        ("matches", [Val::String(pattern)]) => Ok(Val::Bool(regex(pattern)?.is_match(text))),
        ("find", [Val::String(pattern)]) => {
            let found = regex(pattern)?.find(text).map_or("", |m| m.as_str());
            Ok(Val::text(found))
        }
        ("findAll", [Val::String(pattern), limit @ ..]) => {
            let limit = match limit {
                [] => -1,
                [Val::Int(limit)] => *limit,
                _ => return no_overload(),
            };
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let pattern = regex(pattern)?;
            let found = pattern.find_iter(text).take(limit);
            Ok(Val::list(found.map(|m| Val::text(m.as_str())).collect()))
        }
        ("charAt", [Val::Int(index)]) => {
            let length = text.chars().count() as i64;
            if *index < 0 || *index > length {
                return failure(format!("index out of range: {index}"));
            }
            let found = text.chars().nth(*index as usize);
            Ok(Val::text(found.map(String::from).unwrap_or_default()))
        }
        ("indexOf", [Val::String(part)]) => index_of(text, part, 0),
        ("indexOf", [Val::String(part), Val::Int(from)]) => index_of(text, part, *from),
        ("lastIndexOf", [Val::String(part)]) => last_index_of(text, part, None),
        ("lastIndexOf", [Val::String(part), Val::Int(from)]) => {
            last_index_of(text, part, Some(*from))
        }
        ("lowerAscii", []) => Ok(Val::text(text.to_ascii_lowercase())),
        ("upperAscii", []) => Ok(Val::text(text.to_ascii_uppercase())),
        ("replace", [Val::String(old), Val::String(new)]) => replace(text, old, new, usize::MAX),
        ("replace", [Val::String(old), Val::String(new), Val::Int(limit)]) => replace(
            text,
            old,
            new,
            usize::try_from(*limit).unwrap_or(usize::MAX),
        ),
        ("split", [Val::String(separator)]) => split(text, separator, -1),
        ("split", [Val::String(separator), Val::Int(limit)]) => split(text, separator, *limit),
        ("substring", [Val::Int(from)]) => substring(text, *from, text.chars().count() as i64),
        ("substring", [Val::Int(from), Val::Int(to)]) => substring(text, *from, *to),
        ("trim", []) => Ok(Val::text(text.trim())),
        ("strings.quote", []) => Ok(Val::text(quote(text))),
        ("format", [Val::List(list)]) => {
            let values: Vec<Val<'v>> = list.iter().collect();
            format(text, &values)
        }
        ("jsonpatch.escapeKey", []) => Ok(Val::text(text.replace('~', "~0").replace('/', "~1"))),
        _ => no_overload(),
    }
}

fn index_of<'v>(text: &str, part: &str, from: i64) -> Out<'v> {
    let length = text.chars().count() as i64;
    if part.is_empty() {
        return Ok(Val::Int(from));
    }
    if from < 0 || from >= length.max(1) {
        return failure(format!("index out of range: {from}"));
    }
    let start = text
        .char_indices()
        .nth(from as usize)
        .map_or(text.len(), |(at, _)| at);
    let found = text[start..].find(part).map(|at| start + at);
    Ok(Val::Int(
        found.map_or(-1, |at| text[..at].chars().count() as i64),
    ))
}

fn last_index_of<'v>(text: &str, part: &str, from: Option<i64>) -> Out<'v> {
    let length = text.chars().count() as i64;
    if part.is_empty() {
        return Ok(Val::Int(from.unwrap_or(length)));
    }
    let end = match from {
        Some(from) if from < 0 || from >= length.max(1) => {
            return failure(format!("index out of range: {from}"));
        }
        Some(from) => text
            .char_indices()
            .nth(from as usize)
            .map_or(text.len(), |(at, _)| (at + part.len()).min(text.len())),
        None => text.len(),
    };
    let end = (end..=text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len());
    let found = text[..end].rfind(part);
    Ok(Val::Int(
        found.map_or(-1, |at| text[..at].chars().count() as i64),
    ))
}

fn replace<'v>(text: &str, old: &str, new: &str, limit: usize) -> Out<'v> {
    let times = if old.is_empty() {
        text.chars().count() + 1
    } else {
        text.matches(old).count()
    };
    if text
        .len()
        .saturating_add(times.min(limit).saturating_mul(new.len()))
        > SIZE_MAX
    {
        return Err(Failure::Budget);
    }
    Ok(Val::text(text.replacen(old, new, limit)))
}

fn split<'v>(text: &str, separator: &str, limit: i64) -> Out<'v> {
    if limit == 0 {
        return Ok(Val::list(Vec::new()));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let parts: Vec<Val<'v>> = if separator.is_empty() {
        let count = text.chars().count();
        let single = count.min(limit.saturating_sub(1));
        let mut parts: Vec<Val<'v>> = text
            .chars()
            .take(single)
            .map(|c| Val::text(c.to_string()))
            .collect();
        let rest: String = text.chars().skip(single).collect();
        if !rest.is_empty() {
            parts.push(Val::text(rest));
        }
        parts
    } else {
        text.splitn(limit, separator).map(Val::text).collect()
    };
    Ok(Val::list(parts))
}

fn substring<'v>(text: &str, from: i64, to: i64) -> Out<'v> {
    let length = text.chars().count() as i64;
    if from > to {
        return failure(format!("invalid substring range. start: {from}, end: {to}"));
    }
    if from < 0 || from > length {
        return failure(format!("index out of range: {from}"));
    }
    if to < 0 || to > length {
        return failure(format!("index out of range: {to}"));
    }
    let part: String = text
        .chars()
        .skip(from as usize)
        .take((to - from) as usize)
        .collect();
    Ok(Val::text(part))
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

fn format<'v>(template: &str, values: &[Val<'v>]) -> Out<'v> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut used = 0;
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            out.push('%');
            continue;
        }
        let mut precision = None;
        if chars.peek() == Some(&'.') {
            chars.next();
            let mut digits = String::new();
            while let Some(digit) = chars.peek().filter(|c| c.is_ascii_digit()) {
                digits.push(*digit);
                chars.next();
            }
            precision = digits.parse::<usize>().ok().map(|p| p.min(1000));
        }
        let Some(verb) = chars.next() else {
            return failure("could not parse formatting clause: unexpected end of string");
        };
        let Some(value) = values.next() else {
            return failure(format!("index {used} out of range"));
        };
        used += 1;
        match formatted(verb, precision, value) {
            Some(text) => out.push_str(&text),
            None => {
                return failure(format!(
                    "error during formatting: no formatting function for %{verb} applied to type {}",
                    value.type_name()
                ));
            }
        }
        if out.len() > SIZE_MAX {
            return Err(Failure::Budget);
        }
    }
    Ok(Val::text(out))
}

fn formatted(verb: char, precision: Option<usize>, value: &Val<'_>) -> Option<String> {
    let precision = precision.unwrap_or(6);
    Some(match (verb, value) {
        ('s', value) => displayed(value),
        ('d', Val::Int(_) | Val::UInt(_)) => plain(value),
        ('d', Val::Double(d)) if !d.is_finite() => go_float(*d),
        ('f', Val::Double(d)) => std::format!("{d:.precision$}"),
        ('f', Val::Int(i)) => std::format!("{:.precision$}", *i as f64),
        ('e', Val::Double(d)) => {
            let text = std::format!("{d:.precision$e}");
            let (mantissa, exponent) = text.split_once('e')?;
            let exponent: i32 = exponent.parse().ok()?;
            let sign = if exponent < 0 { '-' } else { '+' };
            std::format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        ('b', Val::Int(i)) => signed(*i, |u| std::format!("{u:b}")),
        ('b', Val::UInt(u)) => std::format!("{u:b}"),
        ('b', Val::Bool(b)) => u8::from(*b).to_string(),
        ('o', Val::Int(i)) => signed(*i, |u| std::format!("{u:o}")),
        ('o', Val::UInt(u)) => std::format!("{u:o}"),
        ('x', Val::Int(i)) => signed(*i, |u| std::format!("{u:x}")),
        ('X', Val::Int(i)) => signed(*i, |u| std::format!("{u:X}")),
        ('x', Val::UInt(u)) => std::format!("{u:x}"),
        ('X', Val::UInt(u)) => std::format!("{u:X}"),
        ('x', Val::String(text)) => text.bytes().map(|b| std::format!("{b:02x}")).collect(),
        ('X', Val::String(text)) => text.bytes().map(|b| std::format!("{b:02X}")).collect(),
        ('x', Val::Bytes(bytes)) => bytes.iter().map(|b| std::format!("{b:02x}")).collect(),
        ('X', Val::Bytes(bytes)) => bytes.iter().map(|b| std::format!("{b:02X}")).collect(),
        _ => return None,
    })
}

fn signed(value: i64, digits: impl Fn(u64) -> String) -> String {
    let sign = if value < 0 { "-" } else { "" };
    std::format!("{sign}{}", digits(value.unsigned_abs()))
}

fn displayed(value: &Val<'_>) -> String {
    match value {
        Val::List(list) => {
            let items: Vec<String> = list.iter().map(|item| nested(&item)).collect();
            std::format!("[{}]", items.join(", "))
        }
        Val::Dict(dict) => {
            let mut entries: Vec<String> = dict
                .entries()
                .iter()
                .map(|(key, value)| std::format!("{}: {}", nested(key), nested(value)))
                .collect();
            entries.sort();
            std::format!("{{{}}}", entries.join(", "))
        }
        other => plain(other),
    }
}

fn nested(value: &Val<'_>) -> String {
    match value {
        Val::String(text) => go_quote(text),
        other => displayed(other),
    }
}
