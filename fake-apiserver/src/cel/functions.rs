//! The functions of expressions: operators, conversions and the dispatch to libraries.
//!
//! Owns arithmetic, comparison, conversion and the cost of calls.
//! Behaviour: cel-go `common/stdlib`, `interpreter/runtimecost.go`; Kubernetes
//! `apiserver/pkg/cel/library/cost.go`.

use super::eval::{Failure, Run, failure};
use super::value::{Dict, Opaque, Val};
use super::{library, lists, strings, times};
use std::cmp::Ordering;
use std::rc::Rc;

type Out<'v> = Result<Val<'v>, Failure>;

pub(crate) fn no_overload<'v>() -> Out<'v> {
    failure("no such overload")
}

/// `ceil(units × 0.1)`: the cost of passing over text once.
pub(crate) fn traversal(units: u64) -> u64 {
    units.div_ceil(10)
}

/// Calls a function that needs all its arguments.
pub(crate) fn call<'v>(run: &mut Run<'_, 'v>, name: &'static str, args: Vec<Val<'v>>) -> Out<'v> {
    run.spend(cost_before(name, &args))?;
    match (name, args.as_slice()) {
        ("_==_", [a, b]) => Ok(Val::Bool(a.equals(b))),
        ("_!=_", [a, b]) => Ok(Val::Bool(!a.equals(b))),
        ("_<_", [a, b]) => ordered(a, b, |order| order == Ordering::Less),
        ("_<=_", [a, b]) => ordered(a, b, |order| order != Ordering::Greater),
        ("_>_", [a, b]) => ordered(a, b, |order| order == Ordering::Greater),
        ("_>=_", [a, b]) => ordered(a, b, |order| order != Ordering::Less),
        ("!_", [Val::Bool(b)]) => Ok(Val::Bool(!b)),
        ("-_", [Val::Int(i)]) => checked(i.checked_neg()),
        ("-_", [Val::Double(d)]) => Ok(Val::Double(-d)),
        ("_+_" | "_-_" | "_*_" | "_/_" | "_%_", [a, b]) => arithmetic(name, a, b),
        ("@in", [value, Val::List(list)]) => Ok(Val::Bool(list.contains(value))),
        ("@in", [key, Val::Dict(dict)]) => Ok(Val::Bool(dict.get(key).is_some())),
        ("_[_]", [container, index]) => match container {
            Val::List(list) => match list_index(index) {
                Some(i) => match usize::try_from(i).ok().and_then(|i| list.get(i)) {
                    Some(value) => Ok(value),
                    None => failure(format!("index out of bounds: {i}")),
                },
                None => no_overload(),
            },
            Val::Dict(dict) => match dict.get(index) {
                Some(value) => Ok(value),
                None => failure(format!("no such key: {}", plain(index))),
            },
            Val::Null => failure(format!("no such key: {}", plain(index))),
            // What is in an optional is looked at optionally.
            Val::Optional(_) => call(run, "_[?_]", args.clone()),
            _ => no_overload(),
        },
        ("_[?_]", [container, index]) => {
            let container = match container {
                Val::Optional(None) => return Ok(Val::Optional(None)),
                Val::Optional(Some(inner)) => inner,
                other => other,
            };
            let found = match container {
                Val::List(list) => list_index(index)
                    .and_then(|i| usize::try_from(i).ok())
                    .and_then(|i| list.get(i)),
                Val::Dict(dict) => dict.get(index),
                _ => return no_overload(),
            };
            Ok(Val::Optional(found.map(Rc::new)))
        }
        ("size", [value]) => match value {
            Val::String(_) | Val::Bytes(_) | Val::List(_) | Val::Dict(_) => {
                Ok(Val::Int(value.size() as i64))
            }
            _ => no_overload(),
        },
        ("dyn", [value]) => Ok(value.clone()),
        ("type", [value]) => Ok(Val::Type(value.type_name())),
        (
            "bool" | "bytes" | "double" | "duration" | "int" | "string" | "timestamp" | "uint",
            [value],
        ) => convert(name, value),
        ("hasValue", [Val::Optional(value)]) => Ok(Val::Bool(value.is_some())),
        ("value", [Val::Optional(value)]) => match value {
            Some(value) => Ok((**value).clone()),
            None => failure("optional.none() dereference"),
        },
        ("optional.of", [value]) => Ok(Val::some(value.clone())),
        ("optional.none", []) => Ok(Val::Optional(None)),
        ("optional.unwrap" | "unwrapOpt", [Val::List(list)]) => {
            let mut values = Vec::new();
            for item in list.iter() {
                match item {
                    Val::Optional(Some(value)) => values.push((*value).clone()),
                    Val::Optional(None) => {}
                    _ => return no_overload(),
                }
            }
            Ok(Val::list(values))
        }
        ("optional.ofNonZeroValue", [value]) => Ok(if is_zero(value) {
            Val::Optional(None)
        } else {
            Val::some(value.clone())
        }),
        ("@mapInsert", [Val::Dict(dict), key, value]) => {
            let mut entries = dict.entries();
            if entries.iter().any(|(before, _)| before.equals(key)) {
                return failure(format!("insert failed: key {} already exists", plain(key)));
            }
            entries.push((key.clone(), value.clone()));
            Ok(Val::Dict(Dict::Owned(Rc::new(entries))))
        }
        (_, [Val::Timestamp(_) | Val::Duration(_), ..]) if name.starts_with("get") => {
            getter(name, &args)
        }
        (_, [Val::List(list), rest @ ..]) if lists::has(name) => lists::call(run, name, list, rest),
        (_, [first, ..]) if strings::has(name, first) => strings::call(run, name, &args),
        _ => library::call(run, name, &args),
    }
}

fn list_index(index: &Val<'_>) -> Option<i64> {
    match index {
        Val::Int(i) => Some(*i),
        Val::UInt(u) => i64::try_from(*u).ok(),
        Val::Double(d) if d.fract() == 0.0 => Some(*d as i64),
        _ => None,
    }
}

fn is_zero(value: &Val<'_>) -> bool {
    match value {
        Val::Null => true,
        Val::Bool(b) => !b,
        Val::Int(i) => *i == 0,
        Val::UInt(u) => *u == 0,
        Val::Double(d) => *d == 0.0,
        Val::Duration(n) => *n == 0,
        Val::Optional(value) => value.is_none(),
        Val::String(_) | Val::Bytes(_) | Val::List(_) | Val::Dict(_) => value.size() == 0,
        _ => false,
    }
}

fn ordered<'v>(a: &Val<'v>, b: &Val<'v>, test: impl Fn(Ordering) -> bool) -> Out<'v> {
    match a.compare(b) {
        Some(order) => Ok(Val::Bool(test(order))),
        None => match (a, b) {
            // NaN has no order.
            (Val::Double(_), Val::Double(_)) => Ok(Val::Bool(false)),
            _ => no_overload(),
        },
    }
}

fn checked<'v>(value: Option<i64>) -> Out<'v> {
    match value {
        Some(value) => Ok(Val::Int(value)),
        None => failure("integer overflow"),
    }
}

fn arithmetic<'v>(name: &str, a: &Val<'v>, b: &Val<'v>) -> Out<'v> {
    let unsigned = |value: Option<u64>| match value {
        Some(value) => Ok(Val::UInt(value)),
        None => failure("unsigned integer overflow"),
    };
    match (name, a, b) {
        ("_/_", Val::Int(_), Val::Int(0)) | ("_/_", Val::UInt(_), Val::UInt(0)) => {
            failure("division by zero")
        }
        ("_%_", Val::Int(_), Val::Int(0)) | ("_%_", Val::UInt(_), Val::UInt(0)) => {
            failure("modulus by zero")
        }
        ("_+_", Val::Int(a), Val::Int(b)) => checked(a.checked_add(*b)),
        ("_-_", Val::Int(a), Val::Int(b)) => checked(a.checked_sub(*b)),
        ("_*_", Val::Int(a), Val::Int(b)) => checked(a.checked_mul(*b)),
        ("_/_", Val::Int(a), Val::Int(b)) => checked(a.checked_div(*b)),
        ("_%_", Val::Int(a), Val::Int(b)) => checked(a.checked_rem(*b)),
        ("_+_", Val::UInt(a), Val::UInt(b)) => unsigned(a.checked_add(*b)),
        ("_-_", Val::UInt(a), Val::UInt(b)) => unsigned(a.checked_sub(*b)),
        ("_*_", Val::UInt(a), Val::UInt(b)) => unsigned(a.checked_mul(*b)),
        ("_/_", Val::UInt(a), Val::UInt(b)) => unsigned(a.checked_div(*b)),
        ("_%_", Val::UInt(a), Val::UInt(b)) => unsigned(a.checked_rem(*b)),
        ("_+_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a + b)),
        ("_-_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a - b)),
        ("_*_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a * b)),
        ("_/_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a / b)),
        ("_+_", Val::String(a), Val::String(b)) => {
            if a.len() + b.len() > super::eval::SIZE_MAX {
                return Err(Failure::Budget);
            }
            Ok(Val::text(format!("{}{}", &**a, &**b)))
        }
        ("_+_", Val::Bytes(a), Val::Bytes(b)) => Ok(Val::Bytes([&**a, &**b].concat().into())),
        ("_+_", Val::List(a), Val::List(b)) => {
            if a.len() + b.len() > super::eval::SIZE_MAX / 16 {
                return Err(Failure::Budget);
            }
            Ok(Val::list(a.plus(b)))
        }
        ("_+_", Val::Duration(a), Val::Duration(b)) => duration(a.checked_add(*b)),
        ("_-_", Val::Duration(a), Val::Duration(b)) => duration(a.checked_sub(*b)),
        ("_+_", Val::Timestamp(t), Val::Duration(d))
        | ("_+_", Val::Duration(d), Val::Timestamp(t)) => moved(*t, *d),
        ("_-_", Val::Timestamp(t), Val::Duration(d)) => moved(*t, d.saturating_neg()),
        ("_-_", Val::Timestamp(a), Val::Timestamp(b)) => {
            duration(i64::try_from(a.as_nanosecond() - b.as_nanosecond()).ok())
        }
        _ => no_overload(),
    }
}

fn duration<'v>(nanos: Option<i64>) -> Out<'v> {
    match nanos {
        Some(nanos) => Ok(Val::Duration(nanos)),
        None => failure("duration overflow"),
    }
}

fn moved<'v>(stamp: times::Stamp, nanos: i64) -> Out<'v> {
    match stamp.checked_add(jiff::SignedDuration::from_nanos(nanos)) {
        Ok(stamp) => Ok(Val::Timestamp(stamp)),
        Err(_) => failure("timestamp overflow"),
    }
}

fn convert<'v>(target: &str, value: &Val<'v>) -> Out<'v> {
    let wrong = || {
        let shown = match target {
            "timestamp" => "google.protobuf.Timestamp",
            "duration" => "google.protobuf.Duration",
            other => other,
        };
        failure(format!(
            "type conversion error from '{}' to '{shown}'",
            value.type_name()
        ))
    };
    let range = || failure("integer overflow");
    match (target, value) {
        ("bool", Val::Bool(_))
        | ("bytes", Val::Bytes(_))
        | ("double", Val::Double(_))
        | ("duration", Val::Duration(_))
        | ("int", Val::Int(_))
        | ("string", Val::String(_))
        | ("timestamp", Val::Timestamp(_))
        | ("uint", Val::UInt(_)) => Ok(value.clone()),
        ("bool", Val::String(text)) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Val::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Val::Bool(false)),
            _ => wrong(),
        },
        ("bytes", Val::String(text)) => Ok(Val::Bytes(text.as_bytes().into())),
        ("double", Val::Int(i)) => Ok(Val::Double(*i as f64)),
        ("double", Val::UInt(u)) => Ok(Val::Double(*u as f64)),
        ("double", Val::String(text)) => text
            .parse()
            .map_or_else(|_| wrong(), |d| Ok(Val::Double(d))),
        ("duration", Val::String(text)) => {
            times::parse_duration(text).map_or_else(wrong, |nanos| Ok(Val::Duration(nanos)))
        }
        ("duration", Val::Int(nanos)) => Ok(Val::Duration(*nanos)),
        ("int", Val::Double(d)) if d.is_finite() && d.abs() < 9.223_372_036_854_775e18 => {
            Ok(Val::Int(*d as i64))
        }
        ("int", Val::Double(_)) => range(),
        ("int", Val::UInt(u)) => i64::try_from(*u).map_or_else(|_| range(), |i| Ok(Val::Int(i))),
        ("int", Val::String(text)) => text.parse().map_or_else(|_| wrong(), |i| Ok(Val::Int(i))),
        ("int", Val::Timestamp(stamp)) => Ok(Val::Int(stamp.as_second())),
        ("int", Val::Duration(nanos)) => Ok(Val::Int(*nanos)),
        ("timestamp", Val::String(text)) => {
            times::parse_timestamp(text).map_or_else(wrong, |stamp| Ok(Val::Timestamp(stamp)))
        }
        ("timestamp", Val::Int(seconds)) => match times::Stamp::from_second(*seconds) {
            Ok(stamp) => Ok(Val::Timestamp(stamp)),
            Err(_) => failure("timestamp overflow"),
        },
        ("uint", Val::Int(i)) => u64::try_from(*i).map_or_else(
            |_| failure("unsigned integer overflow"),
            |u| Ok(Val::UInt(u)),
        ),
        ("uint", Val::Double(d)) if *d >= 0.0 && *d < 1.844_674_407_370_955e19 => {
            Ok(Val::UInt(*d as u64))
        }
        ("uint", Val::Double(_)) => failure("unsigned integer overflow"),
        ("uint", Val::String(text)) => text.parse().map_or_else(|_| wrong(), |u| Ok(Val::UInt(u))),
        ("string", Val::Bytes(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Val::text(text)),
            Err(_) => failure("invalid UTF-8 in bytes, cannot convert to string"),
        },
        ("string", Val::Null | Val::List(_) | Val::Dict(_) | Val::Type(_) | Val::Optional(_)) => {
            wrong()
        }
        ("string", value) => Ok(Val::text(plain(value))),
        _ => wrong(),
    }
}

/// A scalar as `string()` and messages show it.
pub(crate) fn plain(value: &Val<'_>) -> String {
    match value {
        Val::Null => "null".to_owned(),
        Val::Bool(b) => b.to_string(),
        Val::Int(i) => i.to_string(),
        Val::UInt(u) => u.to_string(),
        Val::Double(d) => go_float(*d),
        Val::String(text) => text.to_string(),
        Val::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Val::Timestamp(stamp) => stamp.to_string(),
        Val::Duration(nanos) => times::format_duration(*nanos),
        Val::Type(name) => (*name).to_owned(),
        Val::Opaque(opaque) => match &**opaque {
            Opaque::Quantity(quantity) => quantity.to_string(),
            Opaque::Ip(ip) => ip.to_string(),
            Opaque::Cidr(cidr) => cidr.to_string(),
            _ => value.type_name().to_owned(),
        },
        other => other.type_name().to_owned(),
    }
}

/// Go's `%g` with the shortest digits.
pub(crate) fn go_float(d: f64) -> String {
    if d.is_nan() {
        return "NaN".to_owned();
    }
    if d.is_infinite() {
        return if d > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = d.abs();
    if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let text = format!("{d:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{d}")
}

fn getter<'v>(name: &str, args: &[Val<'v>]) -> Out<'v> {
    if let Val::Duration(nanos) = &args[0] {
        return Ok(Val::Int(match name {
            "getHours" => nanos / 3_600_000_000_000,
            "getMinutes" => nanos / 60_000_000_000,
            "getSeconds" => nanos / 1_000_000_000,
            "getMilliseconds" => nanos / 1_000_000,
            _ => return no_overload(),
        }));
    }
    let Val::Timestamp(stamp) = &args[0] else {
        return no_overload();
    };
    let zone = match args.get(1) {
        Some(Val::String(zone)) => Some(&**zone),
        Some(_) => return no_overload(),
        None => None,
    };
    let Some(civil) = times::civil(*stamp, zone) else {
        return failure(format!("unknown time zone {}", zone.unwrap_or_default()));
    };
    Ok(Val::Int(match name {
        "getFullYear" => i64::from(civil.year()),
        "getMonth" => i64::from(civil.month()) - 1,
        "getDayOfYear" => i64::from(civil.date().day_of_year()) - 1,
        "getDayOfMonth" => i64::from(civil.day()) - 1,
        "getDate" => i64::from(civil.day()),
        "getDayOfWeek" => i64::from(civil.date().weekday().to_sunday_zero_offset()),
        "getHours" => i64::from(civil.hour()),
        "getMinutes" => i64::from(civil.minute()),
        "getSeconds" => i64::from(civil.second()),
        "getMilliseconds" => i64::from(civil.subsec_nanosecond() / 1_000_000),
        _ => return no_overload(),
    }))
}

/// What a call costs by its arguments.
fn cost_before(name: &str, args: &[Val<'_>]) -> u64 {
    let size = |i: usize| args.get(i).map_or(0, Val::size);
    match name {
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => traversal(size(0).min(size(1))).max(1),
        "@in" => match args.get(1) {
            Some(Val::List(list)) => list.len() as u64,
            _ => 1,
        },
        "_+_" => match &args[0] {
            Val::String(_) | Val::Bytes(_) => traversal(size(0) + size(1)),
            // Sets and maps-as-lists are merged pair by pair.
            Val::List(a) if a.merges() => 1 + size(0).saturating_mul(size(1)) / 16,
            Val::List(_) => 1 + size(0) / 64,
            _ => 1,
        },
        "startsWith" | "endsWith" => traversal(size(1)),
        "contains" => traversal(size(0)) * traversal(size(1)).max(1),
        "matches" | "find" | "findAll" => traversal(size(0) + 1) * size(1).div_ceil(4).max(1),
        "bytes"
        | "strings.quote"
        | "format"
        | "url"
        | "isURL"
        | "lowerAscii"
        | "upperAscii"
        | "substring"
        | "trim"
        | "ip"
        | "isIP"
        | "cidr"
        | "isCIDR"
        | "quantity"
        | "isQuantity"
        | "semver"
        | "isSemver"
        | "jsonpatch.escapeKey"
        | "indexOf"
        | "lastIndexOf"
        | "charAt" => match &args[0] {
            Val::List(_) => nested(&args[0]),
            _ => traversal(size(0)).max(1),
        },
        "replace" | "split" | "ip.isCanonical" => traversal(2 * size(0)).max(1),
        "isSorted" | "sum" | "min" | "max" | "distinct" | "sort" | "reverse" | "slice"
        | "flatten" | "join" => nested(&args[0]),
        "sets.contains" | "sets.equivalent" | "sets.intersects" => size(0) * size(1) + 1,
        "validate" => traversal(size(1)).max(1),
        "lists.range" => match args.first() {
            Some(Val::Int(i)) => u64::try_from(*i).unwrap_or(0),
            _ => 1,
        },
        "check" => 350_000,
        "@mapInsert" => 1 + size(0) / 16,
        _ => 1,
    }
}

/// A pass over a list and over the text in it.
fn nested(value: &Val<'_>) -> u64 {
    match value {
        Val::List(list) => list
            .iter()
            .map(|item| match item {
                Val::String(_) | Val::Bytes(_) => 1 + traversal(item.size()),
                _ => 1,
            })
            .sum(),
        other => other.size(),
    }
}
