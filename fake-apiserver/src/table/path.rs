//! The simple JSONPath of printer columns: fields, indexes, wildcards, equality filters; the first match counts.
//!
//! Simplified: unions, ranges, recursive descent and filters other than `==` and `!=` find nothing.

use crate::json::Value;

#[derive(Debug, PartialEq)]
enum Part {
    Field(String),
    Index(i64),
    Every,
    Filter {
        path: Vec<Part>,
        equal: bool,
        value: Value,
    },
}

/// The first value that a path finds.
pub(super) fn first<'a>(path: &str, object: &'a Value) -> Option<&'a Value> {
    let mut found = vec![object];
    for part in parse(path)? {
        found = found
            .into_iter()
            .flat_map(|value| step(&part, value))
            .collect();
    }
    found.into_iter().next()
}

fn step<'a>(part: &Part, value: &'a Value) -> Vec<&'a Value> {
    match part {
        Part::Field(name) => value.get(name).into_iter().collect(),
        Part::Index(index) => {
            let Some(items) = value.as_array() else {
                return Vec::new();
            };
            let index = if *index < 0 {
                index + items.len() as i64
            } else {
                *index
            };
            usize::try_from(index)
                .ok()
                .and_then(|i| items.get(i))
                .into_iter()
                .collect()
        }
        Part::Every => match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        },
        Part::Filter {
            path,
            equal,
            value: wanted,
        } => {
            let Some(items) = value.as_array() else {
                return Vec::new();
            };
            let fits = |item: &&Value| {
                let mut found = vec![*item];
                for part in path {
                    found = found
                        .into_iter()
                        .flat_map(|value| step(part, value))
                        .collect();
                }
                found
                    .first()
                    .is_some_and(|found| (*found == wanted) == *equal)
            };
            items.iter().filter(fits).collect()
        }
    }
}

fn parse(path: &str) -> Option<Vec<Part>> {
    let path = path
        .strip_prefix('{')
        .and_then(|p| p.strip_suffix('}'))
        .unwrap_or(path);
    let path = path.strip_prefix(['$', '@']).unwrap_or(path);
    let mut parts = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = closing(inner)?;
            parts.push(bracket(&inner[..end])?);
            rest = &inner[end + 1..];
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let mut name = String::new();
        let mut chars = rest.char_indices();
        let mut end = rest.len();
        while let Some((i, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                '.' | '[' => {
                    end = i;
                    break;
                }
                c => name.push(c),
            }
        }
        rest = &rest[end..];
        match name.as_str() {
            "" => {}
            "*" => parts.push(Part::Every),
            _ => parts.push(Part::Field(name)),
        }
    }
    Some(parts)
}

fn closing(inner: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0;
    for (i, c) in inner.char_indices() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(i),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Option<Part> {
    if text == "*" {
        return Some(Part::Every);
    }
    if let Some(name) = quoted(text) {
        return Some(Part::Field(name));
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|t| t.strip_suffix(')')) {
        let equal = filter.contains("==");
        let (path, value) = filter.split_once(if equal { "==" } else { "!=" })?;
        let value = value.trim();
        let value = match quoted(value) {
            Some(text) => Value::from(text.as_str()),
            None => crate::json::parse(value.as_bytes()).ok()?,
        };
        return Some(Part::Filter {
            path: parse(path.trim())?,
            equal,
            value,
        });
    }
    text.parse().ok().map(Part::Index)
}

fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    Some(inner.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn h13_paths_of_columns() {
        let object = json!({"spec": {"a.b": 1, "n": [1, 2], "c": [{"type": "Ready", "status": "True"}, {"type": "X", "status": "No"}]}});
        let check = |path: &str, want: Option<Value>| {
            assert_eq!(first(path, &object), want.as_ref(), "{path}")
        };
        check(".spec.n[1]", Some(json!(2)));
        check(".spec.n[-1]", Some(json!(2)));
        check("{.spec.n[*]}", Some(json!(1)));
        check(".spec.a\\.b", Some(json!(1)));
        check(".spec['a.b']", Some(json!(1)));
        check(".spec.c[?(@.type==\"X\")].status", Some(json!("No")));
        check(".spec.none.x", None);
        check(".spec.c[", None);
    }
}
