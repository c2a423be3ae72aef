//! An answer beside its recording: the differences, each with its JSON pointer.

use std::fmt;

use super::doc::Doc;
use super::symbols::{self, Bindings};

/// One difference between an answer and its recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where: a JSON pointer into the body, or `status`, `header NAME`, `events`, …
    pub at: String,
    /// What was recorded; `None` when nothing is there.
    pub want: Option<Doc>,
    /// What came; `None` when nothing is there.
    pub got: Option<Doc>,
    /// Nothing but the wording of a message or a warning differs.
    pub wording: bool,
}

impl Difference {
    /// A difference in words.
    pub fn new(at: impl Into<String>, want: Option<Doc>, got: Option<Doc>) -> Self {
        Difference {
            at: at.into(),
            want,
            got,
            wording: false,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |doc: &Option<Doc>| {
            doc.as_ref()
                .map_or("(absent)".to_string(), |d| cut(d.to_compact()))
        };
        let mark = if self.wording { " (wording)" } else { "" };
        write!(
            f,
            "{}{mark}: want {} got {}",
            self.at,
            text(&self.want),
            text(&self.got)
        )
    }
}

/// Compares a recorded value with one that came, and notes every difference.
/// With `subset`, objects may hold more keys than recorded.
pub fn compare(
    want: &Doc,
    got: &Doc,
    at: &str,
    subset: bool,
    bindings: &mut Bindings,
    out: &mut Vec<Difference>,
) {
    match (want, got) {
        (Doc::Object(wanted), Doc::Object(found)) => {
            let keys: Vec<&str> = wanted
                .iter()
                .map(|(key, _)| meant(key, found, bindings))
                .collect();
            for ((_, want), key) in wanted.iter().zip(&keys) {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                match got.get(key) {
                    Some(got) => compare(want, got, &at, subset, bindings, out),
                    None => out.push(Difference::new(at, Some(want.clone()), None)),
                }
            }
            for (key, value) in found
                .iter()
                .filter(|(key, _)| !subset && !keys.contains(&key.as_str()))
            {
                out.push(Difference::new(
                    format!("{at}/{key}"),
                    None,
                    Some(value.clone()),
                ));
            }
        }
        (Doc::Array(wanted), Doc::Array(found)) => {
            if wanted.len() != found.len() {
                let count = |n: usize| Some(Doc::String(format!("{n} elements")));
                out.push(Difference::new(at, count(wanted.len()), count(found.len())));
            }
            for (i, (want, got)) in wanted.iter().zip(found).enumerate() {
                compare(want, got, &format!("{at}/{i}"), subset, bindings, out);
            }
        }
        (Doc::String(text), Doc::Number(number)) if whole(number) && symbols::is_symbol(text) => {
            if !bindings.matches(text, number) {
                out.push(Difference::new(at, Some(want.clone()), Some(got.clone())));
            }
        }
        (Doc::String(text), Doc::String(found)) => {
            if !bindings.matches(text, found) {
                let wording = at.ends_with("/message");
                out.push(Difference {
                    wording,
                    ..Difference::new(at, Some(want.clone()), Some(got.clone()))
                });
            }
        }
        (Doc::Number(a), Doc::Number(b))
            if whole(a) == whole(b)
                && (a == b || (!whole(a) && a.parse::<f64>() == b.parse::<f64>())) => {}
        (a, b) if a == b => {}
        _ => out.push(Difference::new(at, Some(want.clone()), Some(got.clone()))),
    }
}

/// The key of the answer that a recorded key with symbols means.
fn meant<'a>(key: &'a str, found: &'a [(String, Doc)], bindings: &Bindings) -> &'a str {
    if !key.contains('«') {
        return key;
    }
    found
        .iter()
        .map(|(k, _)| k.as_str())
        .find(|k| bindings.would_match(key, k))
        .unwrap_or(key)
}

fn whole(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

fn cut(text: String) -> String {
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(want: &str, got: &str, subset: bool) -> Vec<String> {
        let (want, got) = (
            Doc::parse(want.as_bytes()).unwrap(),
            Doc::parse(got.as_bytes()).unwrap(),
        );
        let mut out = Vec::new();
        compare(&want, &got, "", subset, &mut Bindings::default(), &mut out);
        out.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn order_of_keys_does_not_matter_order_of_lists_does() {
        assert!(differences(r#"{"a":1,"b":[1,2]}"#, r#"{"b":[1,2],"a":1}"#, false).is_empty());
        assert_eq!(
            differences("[1,2]", "[2,1]", false),
            ["/0: want 1 got 2", "/1: want 2 got 1"]
        );
    }

    #[test]
    fn absent_is_not_null_and_more_is_only_fine_in_a_subset() {
        assert_eq!(
            differences(r#"{"a":null}"#, "{}", false),
            ["/a: want null got (absent)"]
        );
        assert_eq!(
            differences("{}", r#"{"a":1}"#, false),
            ["/a: want (absent) got 1"]
        );
        assert!(differences("{}", r#"{"a":1}"#, true).is_empty());
    }

    #[test]
    fn whole_numbers_are_not_floats() {
        assert_eq!(
            differences("1", "1.0", false),
            ["/: want 1 got 1.0".replace('/', "")]
        );
        assert!(differences("1.0", "1e0", false).is_empty());
        assert!(differences(r#""«port:1»""#, "30001", false).is_empty());
    }

    #[test]
    fn messages_are_wording() {
        assert_eq!(
            differences(r#"{"message":"a"}"#, r#"{"message":"b"}"#, false),
            [r#"/message (wording): want "a" got "b""#]
        );
    }

    #[test]
    fn symbols_in_keys() {
        let want = r#"{"f:x-«suffix:1»":{},"y":"«suffix:1»"}"#;
        assert!(differences(want, r#"{"f:x-abcde":{},"y":"abcde"}"#, false).is_empty());
    }
}
