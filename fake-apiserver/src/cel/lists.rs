//! Functions of lists.
//!
//! Behaviour: cel-go `ext/lists.go`, Kubernetes `apiserver/pkg/cel/library/lists.go`.

use super::eval::{Failure, Run, SIZE_MAX, failure};
use super::functions::no_overload;
use super::value::{List, Text, Val};
use std::cmp::Ordering;
use std::rc::Rc;

type Out<'v> = Result<Val<'v>, Failure>;

/// Whether lists have a function of this name.
pub(super) fn has(name: &str) -> bool {
    matches!(
        name,
        "isSorted"
            | "sum"
            | "min"
            | "max"
            | "indexOf"
            | "lastIndexOf"
            | "slice"
            | "flatten"
            | "distinct"
            | "reverse"
            | "sort"
            | "first"
            | "last"
            | "join"
            | "sets.contains"
            | "sets.equivalent"
            | "sets.intersects"
    )
}

/// Calls a function of a list.
pub(super) fn call<'v>(
    run: &mut Run<'_, 'v>,
    name: &str,
    list: &List<'v>,
    rest: &[Val<'v>],
) -> Out<'v> {
    match (name, rest) {
        ("isSorted", []) => is_sorted(list),
        ("sum", []) => sum(list),
        ("min" | "max", []) => extreme(name, list),
        ("indexOf", [value]) => {
            let found = list.iter().position(|item| item.equals(value));
            Ok(Val::Int(found.map_or(-1, |i| i as i64)))
        }
        ("lastIndexOf", [value]) => {
            let found = (0..list.len())
                .rev()
                .find(|i| list.get(*i).is_some_and(|item| item.equals(value)));
            Ok(Val::Int(found.map_or(-1, |i| i as i64)))
        }
        ("slice", [Val::Int(from), Val::Int(to)]) => slice(list, *from, *to),
        ("flatten", []) => flatten(list, 1),
        ("flatten", [Val::Int(depth)]) if *depth >= 0 => flatten(list, (*depth).min(64)),
        ("flatten", [Val::Int(_)]) => failure("level must be non-negative"),
        ("distinct", []) => distinct(run, list),
        ("reverse", []) => {
            let mut items: Vec<Val<'v>> = list.iter().collect();
            items.reverse();
            Ok(Val::list(items))
        }
        ("sort", []) => sort(list),
        ("first", []) => Ok(Val::Optional(list.get(0).map(Rc::new))),
        ("last", []) => {
            let last = list.len().checked_sub(1).and_then(|i| list.get(i));
            Ok(Val::Optional(last.map(Rc::new)))
        }
        ("join", []) => join(list, ""),
        ("join", [Val::String(separator)]) => join(list, separator),
        ("sets.contains", [Val::List(other)]) => {
            Ok(Val::Bool(other.iter().all(|item| list.contains(&item))))
        }
        ("sets.equivalent", [Val::List(other)]) => {
            let both = other.iter().all(|item| list.contains(&item))
                && list.iter().all(|item| other.contains(&item));
            Ok(Val::Bool(both))
        }
        ("sets.intersects", [Val::List(other)]) => {
            Ok(Val::Bool(other.iter().any(|item| list.contains(&item))))
        }
        _ => no_overload(),
    }
}

fn is_sorted<'v>(list: &List<'v>) -> Out<'v> {
    let mut previous: Option<Val<'v>> = None;
    for item in list.iter() {
        if let Some(previous) = &previous {
            match previous.compare(&item) {
                Some(Ordering::Greater) => return Ok(Val::Bool(false)),
                Some(_) => {}
                None => return no_overload(),
            }
        }
        previous = Some(item);
    }
    Ok(Val::Bool(true))
}

fn sum<'v>(list: &List<'v>) -> Out<'v> {
    let mut total: Option<Val<'v>> = None;
    for item in list.iter() {
        total = Some(match (total, item) {
            (None, item @ (Val::Int(_) | Val::UInt(_) | Val::Double(_) | Val::Duration(_))) => item,
            (Some(Val::Int(a)), Val::Int(b)) => match a.checked_add(b) {
                Some(sum) => Val::Int(sum),
                None => return failure("integer overflow"),
            },
            (Some(Val::UInt(a)), Val::UInt(b)) => match a.checked_add(b) {
                Some(sum) => Val::UInt(sum),
                None => return failure("unsigned integer overflow"),
            },
            (Some(Val::Double(a)), Val::Double(b)) => Val::Double(a + b),
            (Some(Val::Duration(a)), Val::Duration(b)) => match a.checked_add(b) {
                Some(sum) => Val::Duration(sum),
                None => return failure("duration overflow"),
            },
            _ => return no_overload(),
        });
    }
    Ok(total.unwrap_or(Val::Int(0)))
}

fn extreme<'v>(name: &str, list: &List<'v>) -> Out<'v> {
    let wanted = if name == "min" {
        Ordering::Less
    } else {
        Ordering::Greater
    };
    let mut best: Option<Val<'v>> = None;
    for item in list.iter() {
        best = Some(match best {
            None => item,
            Some(best) => match item.compare(&best) {
                Some(order) if order == wanted => item,
                Some(_) => best,
                None => return no_overload(),
            },
        });
    }
    match best {
        Some(best) => Ok(best),
        None => failure(format!("{name} called on empty list")),
    }
}

fn slice<'v>(list: &List<'v>, from: i64, to: i64) -> Out<'v> {
    let length = list.len() as i64;
    if from < 0 || to < 0 {
        return failure(format!(
            "cannot slice({from}, {to}), negative indexes not supported"
        ));
    }
    if from > to {
        return failure(format!(
            "cannot slice({from}, {to}), start index must be less than or equal to end index"
        ));
    }
    if to > length {
        return failure(format!(
            "cannot slice({from}, {to}), list is length {length}"
        ));
    }
    Ok(Val::list(
        (from..to).filter_map(|i| list.get(i as usize)).collect(),
    ))
}

fn flatten<'v>(list: &List<'v>, depth: i64) -> Out<'v> {
    fn into<'v>(list: &List<'v>, depth: i64, items: &mut Vec<Val<'v>>) {
        for item in list.iter() {
            match item {
                Val::List(inner) if depth > 0 => into(&inner, depth - 1, items),
                other => items.push(other),
            }
        }
    }
    let mut items = Vec::new();
    into(list, depth, &mut items);
    Ok(Val::list(items))
}

fn distinct<'v>(run: &mut Run<'_, 'v>, list: &List<'v>) -> Out<'v> {
    let mut items: Vec<Val<'v>> = Vec::new();
    for item in list.iter() {
        run.spend(items.len() as u64 / 16)?;
        if !items.iter().any(|before| before.equals(&item)) {
            items.push(item);
        }
    }
    Ok(Val::list(items))
}

fn sort<'v>(list: &List<'v>) -> Out<'v> {
    let mut items: Vec<Val<'v>> = list.iter().collect();
    let comparable = items
        .windows(2)
        .all(|pair| pair[0].compare(&pair[1]).is_some());
    if !comparable {
        return failure("list elements must be comparable");
    }
    items.sort_by(|a, b| a.compare(b).unwrap_or(Ordering::Equal));
    Ok(Val::list(items))
}

fn join<'v>(list: &List<'v>, separator: &str) -> Out<'v> {
    let mut text = String::new();
    for (i, item) in list.iter().enumerate() {
        let Val::String(item) = item else {
            return no_overload();
        };
        if i > 0 {
            text.push_str(separator);
        }
        text.push_str(&item);
        if text.len() > SIZE_MAX {
            return Err(Failure::Budget);
        }
    }
    Ok(Val::String(Text::Owned(text.into())))
}
