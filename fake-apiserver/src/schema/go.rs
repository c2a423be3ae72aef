//! Go's words: names of Go types, errors of `encoding/json` and of `time.Parse`.
//!
//! Owns the texts that depend on Go's type names only; what is wrong is found by `decode`. The names of string types
//! (`v1.Protocol`) are not part of OpenAPI: the ones in [`NAMED`] are known, others are called `string`.
//! Source: Go `encoding/json/decode.go`, `time/format.go`; sigs.k8s.io/json.

use super::{Schema, Special, Type};
use crate::json::Value;
use crate::status::go_quote;

/// Fields whose Go type has a name of its own: `struct field type` a line.
const NAMED: &str = include_str!("../../data/go-types.txt");

fn named(struct_name: &str, field: &str) -> Option<&'static str> {
    NAMED.lines().find_map(|line| {
        line.strip_prefix(struct_name)?
            .strip_prefix(' ')?
            .strip_prefix(field)?
            .strip_prefix(' ')
    })
}

/// The Go type of a field.
pub(crate) fn type_of(struct_name: &str, field: &str, schema: &Schema) -> String {
    match named(struct_name, field) {
        Some(go) => go.to_owned(),
        None => type_name(schema),
    }
}

/// The Go type of what a field's list holds.
pub(crate) fn element_type_of(struct_name: &str, field: &str, schema: &Schema) -> String {
    match named(struct_name, field).and_then(|go| go.strip_prefix("[]")) {
        Some(go) => go.to_owned(),
        None => type_name(schema),
    }
}

/// The Go type of a node.
pub fn type_name(schema: &Schema) -> String {
    match schema.special {
        Special::Time | Special::MicroTime => return "string".to_owned(),
        Special::Bytes => return "[]uint8".to_owned(),
        _ => {}
    }
    if let Some(name) = schema.name {
        return qualified(name).to_owned();
    }
    match schema.kind {
        Type::Array => format!("[]{}", schema.items().map(type_name).unwrap_or_default()),
        Type::Object => match schema.values() {
            Some(value) if value.special == Special::Quantity => "v1.ResourceList".to_owned(),
            Some(value) => format!("map[string]{}", type_name(value)),
            None => "struct {}".to_owned(),
        },
        Type::String => "string".to_owned(),
        Type::Boolean => "bool".to_owned(),
        Type::Number => "float64".to_owned(),
        Type::Integer if schema.format() == Some("int32") => "int32".to_owned(),
        Type::Integer => "int64".to_owned(),
        Type::Any => "interface {}".to_owned(),
    }
}

/// `v1.Pod` of `io.k8s.api.core.v1.Pod`.
pub(crate) fn qualified(name: &str) -> &str {
    let mut dots = name.rmatch_indices('.').map(|(at, _)| at);
    dots.next();
    dots.next().map_or(name, |at| &name[at + 1..])
}

/// `Pod` of `io.k8s.api.core.v1.Pod`.
pub(crate) fn unqualified(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// What `encoding/json` calls a value that does not fit; numbers are named with their digits where an integer was wanted.
pub(crate) fn value_word(value: &Value, integer_wanted: bool) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
        _ if !integer_wanted => "number".to_owned(),
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            format!("number {number:.1}")
        }
        number => format!("number {number}"),
    }
}

/// `json: cannot unmarshal WORD into Go struct field STRUCT.PATH of type TYPE`
pub(crate) fn unmarshal_error(
    word: &str,
    struct_name: &str,
    path: &str,
    type_name: &str,
) -> String {
    if path.is_empty() {
        return format!("json: cannot unmarshal {word} into Go value of type {type_name}");
    }
    format!(
        "json: cannot unmarshal {word} into Go struct field {struct_name}.{path} of type {type_name}"
    )
}

const RFC3339: &str = "2006-01-02T15:04:05Z07:00";
const RFC3339_MICRO: &str = "2006-01-02T15:04:05.000000Z07:00";

/// Checks a time as `time.Parse` does for the layout of `metav1.Time`, or of `metav1.MicroTime` (exactly six digits).
pub fn parse_time(text: &str, micro: bool) -> Result<(), String> {
    let layout = if micro { RFC3339_MICRO } else { RFC3339 };
    scan_time(text, micro).map_err(|problem| {
        let head = format!("parsing time {}", go_quote(text));
        match problem {
            Problem::Element(rest, element) => {
                format!(
                    "{head} as \"{layout}\": cannot parse {} as \"{element}\"",
                    go_quote(rest)
                )
            }
            Problem::Range(what) => format!("{head}: {what} out of range"),
            Problem::Extra(rest) => format!("{head}: extra text: {}", go_quote(rest)),
        }
    })
}

enum Problem<'a> {
    Element(&'a str, &'static str),
    Range(&'static str),
    Extra(&'a str),
}

fn scan_time(text: &str, micro: bool) -> Result<(), Problem<'_>> {
    let mut rest = text;
    let year = match text.as_bytes() {
        [b'0'..=b'9', _, _, _, ..] if text.is_char_boundary(4) => text[..4].parse::<i64>().ok(),
        _ => None,
    };
    let year = year.ok_or(Problem::Element(rest, "2006"))?;
    rest = &rest[4..];
    rest = literal(rest, "-")?;
    let month = two(&mut rest, "01")?;
    if !(1..=12).contains(&month) {
        return Err(Problem::Range("month"));
    }
    rest = literal(rest, "-")?;
    let day = two(&mut rest, "02")?;
    rest = literal(rest, "T")?;
    if two(&mut rest, "15")? >= 24 {
        return Err(Problem::Range("hour"));
    }
    rest = literal(rest, ":")?;
    if two(&mut rest, "04")? >= 60 {
        return Err(Problem::Range("minute"));
    }
    rest = literal(rest, ":")?;
    if two(&mut rest, "05")? >= 60 {
        return Err(Problem::Range("second"));
    }
    let digits = |from: &str| from.bytes().take_while(u8::is_ascii_digit).count();
    if micro {
        let fits = rest.starts_with(['.', ',']) && digits(&rest[1..]) >= 6;
        if !fits {
            return Err(Problem::Element(rest, ".000000"));
        }
        rest = &rest[7..];
    } else if rest.starts_with(['.', ',']) && digits(&rest[1..]) > 0 {
        rest = &rest[1 + digits(&rest[1..])..];
    }
    rest = zone(rest)?;
    if !rest.is_empty() {
        return Err(Problem::Extra(rest));
    }
    if day == 0 || day > days_in(month, year) {
        return Err(Problem::Range("day"));
    }
    Ok(())
}

fn zone(rest: &str) -> Result<&str, Problem<'_>> {
    if let Some(rest) = rest.strip_prefix('Z') {
        return Ok(rest);
    }
    let wrong = || Problem::Element(rest, "Z07:00");
    let bytes = rest.as_bytes();
    match bytes {
        [b'+' | b'-', a, b, b':', c, d, ..]
            if [a, b, c, d].iter().all(|digit| digit.is_ascii_digit()) =>
        {
            let number = |tens: &u8, ones: &u8| (tens - b'0') * 10 + (ones - b'0');
            if number(a, b) > 24 {
                return Err(Problem::Range("time zone offset hour"));
            }
            if number(c, d) > 60 {
                return Err(Problem::Range("time zone offset minute"));
            }
            Ok(&rest[6..])
        }
        _ => Err(wrong()),
    }
}

fn literal<'a>(rest: &'a str, wanted: &'static str) -> Result<&'a str, Problem<'a>> {
    rest.strip_prefix(wanted)
        .ok_or(Problem::Element(rest, wanted))
}

fn two<'a>(rest: &mut &'a str, element: &'static str) -> Result<i64, Problem<'a>> {
    let text: &'a str = rest;
    match text.as_bytes() {
        [a, b, ..] if a.is_ascii_digit() && b.is_ascii_digit() => {
            *rest = &text[2..];
            Ok(i64::from((a - b'0') * 10 + (b - b'0')))
        }
        _ => Err(Problem::Element(text, element)),
    }
}

fn days_in(month: i64, year: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, micro: bool, want: &str) {
        assert_eq!(parse_time(text, micro).err().unwrap_or_default(), want);
    }

    #[test]
    fn o1_times_fail_in_gos_words() {
        check("2024-02-29T10:00:00.5+02:00", false, "");
        check("2024-02-29T10:00:00.123456Z", true, "");
        let want = r#"parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006""#;
        check("yesterday", false, want);
        let want = r#"parsing time "2024-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#;
        check("2024-01-01T00:00:00Z", true, want);
        check(
            "2023-02-29T00:00:00Z",
            false,
            r#"parsing time "2023-02-29T00:00:00Z": day out of range"#,
        );
        check(
            "é",
            false,
            r#"parsing time "é" as "2006-01-02T15:04:05Z07:00": cannot parse "é" as "2006""#,
        );
    }
}
