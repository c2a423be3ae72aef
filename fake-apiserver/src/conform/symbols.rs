//! The symbols of a recording («rv:3», «uid:1», «time» …): matching, binding, filling in.
//!
//! A symbol stands for a value that differs from server to server.
//! The first value met binds it and later ones must agree; ranks of revisions are compared at the end of a case.

use std::collections::BTreeMap;

use super::doc::Doc;

/// What stands between « and ».
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Symbol {
    /// `rv`, `uid`, `time`, …
    pub kind: String,
    /// Written with `>=`: the revision of a list, a table or a bookmark.
    pub at_least: bool,
    /// The number or name after the colon; symbols without one bind nothing.
    pub name: Option<String>,
}

/// A piece of a recorded text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Symbol(Symbol),
}

/// The values that the symbols of one case stand for on the server under test.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    bound: BTreeMap<(String, String), String>,
    /// The last value met for each «rv>=:n».
    lists: BTreeMap<String, String>,
    /// All of them, for the order at the end.
    floors: Vec<(u64, u128)>,
}

/// Whether a recorded text is exactly one symbol.
pub fn is_symbol(text: &str) -> bool {
    matches!(pieces(text).as_slice(), [Piece::Symbol(_)])
}

impl Bindings {
    /// Binds a value by hand (the URL of a webhook, the CA bundle).
    pub fn bind(&mut self, kind: &str, name: &str, value: String) {
        self.bound
            .insert((kind.to_string(), name.to_string()), value);
    }

    /// Whether a string of an answer is what the recording says; binds what it meets for the first time.
    pub fn matches(&mut self, want: &str, got: &str) -> bool {
        let Some(found) = split(want, got) else {
            return false;
        };
        for (symbol, value) in found {
            let Some(name) = symbol.name else { continue };
            if symbol.at_least {
                if let (Ok(rank), Ok(value)) = (name.parse(), value.parse()) {
                    self.floors.push((rank, value));
                }
                self.lists.insert(name, value.to_string());
                continue;
            }
            match self.bound.get(&(symbol.kind.clone(), name.clone())) {
                Some(old) if old != value => return false,
                Some(_) => {}
                None => {
                    self.bound.insert((symbol.kind, name), value.to_string());
                }
            }
        }
        true
    }

    /// The same without binding: used to find the key of an object that a recorded key means.
    pub fn would_match(&self, want: &str, got: &str) -> bool {
        let Some(found) = split(want, got) else {
            return false;
        };
        found.into_iter().all(|(symbol, value)| match symbol.name {
            Some(name) if !symbol.at_least => self
                .bound
                .get(&(symbol.kind, name))
                .is_none_or(|old| old == value),
            _ => true,
        })
    }

    /// A recorded text with its symbols replaced by their values; the error names a symbol never learnt.
    pub fn fill_text(&self, text: &str) -> Result<String, String> {
        if !text.contains('«') {
            return Ok(text.to_string());
        }
        let mut out = String::new();
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Symbol(symbol) => {
                    let name = symbol.name.clone().unwrap_or_default();
                    let bound = self.bound.get(&(symbol.kind.clone(), name.clone()));
                    match (symbol.at_least, bound) {
                        (true, bound) => out
                            .push_str(self.lists.get(&name).or(bound).map_or("0", String::as_str)),
                        (false, Some(value)) => out.push_str(value),
                        (false, None) => {
                            return Err(format!("«{}:{name}» was never learnt", symbol.kind));
                        }
                    }
                }
            }
        }
        Ok(out)
    }

    /// A recorded document with the symbols in keys and strings replaced.
    pub fn fill(&self, doc: &Doc) -> Result<Doc, String> {
        Ok(match doc {
            Doc::String(text) => Doc::String(self.fill_text(text)?),
            Doc::Array(elements) => Doc::Array(
                elements
                    .iter()
                    .map(|e| self.fill(e))
                    .collect::<Result<_, _>>()?,
            ),
            Doc::Object(entries) => Doc::Object(
                entries
                    .iter()
                    .map(|(k, v)| Ok((self.fill_text(k)?, self.fill(v)?)))
                    .collect::<Result<_, String>>()?,
            ),
            other => other.clone(),
        })
    }

    /// Revisions must rise as they did in the recording: what does not, in words.
    pub fn disorder(&self) -> Vec<String> {
        let mut revisions: Vec<(u64, u128)> = self
            .bound
            .iter()
            .filter(|((kind, _), _)| kind == "rv")
            .filter_map(|((_, name), value)| Some((name.parse().ok()?, value.parse().ok()?)))
            .collect();
        revisions.sort_unstable();
        let mut out = Vec::new();
        for pair in revisions.windows(2) {
            let [(a, x), (b, y)] = pair else { continue };
            if x >= y {
                out.push(format!("«rv:{a}»={x} is not below «rv:{b}»={y}"));
            }
        }
        for (rank, value) in &self.floors {
            for (i, x) in &revisions {
                if i <= rank && x > value {
                    out.push(format!(
                        "list resourceVersion {value} is below «rv:{i}»={x}"
                    ));
                }
                if i > rank && x <= value {
                    out.push(format!(
                        "list resourceVersion {value} is not below «rv:{i}»={x}"
                    ));
                }
            }
        }
        out
    }
}

/// Cuts a recorded text at its symbols. What is between « and » but no symbol stays text.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut rest = text;
    let mut from = 0;
    while let Some(start) = rest[from..].find('«').map(|i| i + from) {
        let after = start + '«'.len_utf8();
        let found = rest[after..]
            .find('»')
            .and_then(|end| Some((symbol(&rest[after..after + end])?, after + end)));
        let Some((symbol, end)) = found else {
            from = after;
            continue;
        };
        if start > 0 {
            out.push(Piece::Text(&rest[..start]));
        }
        out.push(Piece::Symbol(symbol));
        rest = &rest[end + '»'.len_utf8()..];
        from = 0;
    }
    if !rest.is_empty() {
        out.push(Piece::Text(rest));
    }
    out
}

fn symbol(inner: &str) -> Option<Symbol> {
    let end = inner
        .find(|c: char| !c.is_ascii_lowercase())
        .unwrap_or(inner.len());
    let (kind, mut rest) = inner.split_at(end);
    if kind.is_empty() {
        return None;
    }
    let at_least = rest.starts_with(">=");
    if at_least {
        rest = &rest[2..];
    }
    let name = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        Some(name) if kind == "hook" && !name.is_empty() => Some(name.to_string()),
        Some(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) => {
            Some(name.to_string())
        }
        _ => return None,
    };
    Some(Symbol {
        kind: kind.to_string(),
        at_least,
        name,
    })
}

/// The values of the symbols of `want` in `got`, or nothing when the text around them or their shape differs.
fn split<'a>(want: &str, got: &'a str) -> Option<Vec<(Symbol, &'a str)>> {
    if !want.contains('«') {
        return (want == got).then(Vec::new);
    }
    let pieces = pieces(want);
    let mut found = Vec::new();
    walk(&pieces, got, &mut found).then_some(found)
}

fn walk<'a>(pieces: &[Piece<'_>], got: &'a str, found: &mut Vec<(Symbol, &'a str)>) -> bool {
    match pieces {
        [] => got.is_empty(),
        [Piece::Text(text), rest @ ..] => got
            .strip_prefix(text)
            .is_some_and(|got| walk(rest, got, found)),
        [Piece::Symbol(symbol), rest @ ..] => {
            for length in lengths(&symbol.kind, got) {
                found.push((symbol.clone(), &got[..length]));
                if walk(rest, &got[length..], found) {
                    return true;
                }
                found.pop();
            }
            false
        }
    }
}

/// How long a value of this kind at the start of a text can be, the likeliest first.
fn lengths(kind: &str, got: &str) -> Vec<usize> {
    let run = |ok: fn(u8) -> bool| {
        (1..=got.bytes().take_while(|b| ok(*b)).count())
            .rev()
            .collect()
    };
    let fixed = |length: Option<usize>| length.into_iter().collect();
    match kind {
        "rv" | "number" | "port" => run(|b| b.is_ascii_digit()),
        "ip" => run(|b| b.is_ascii_digit() || b == b'.'),
        "ca" => run(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')),
        "uid" => fixed(shape(got, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")),
        "suffix" => fixed(shape(got, "aaaaa")),
        "time" => fixed(shape(got, "0000-00-00T00:00:00Z")),
        "microtime" => {
            let Some(start) = shape(got, "0000-00-00T00:00:00.") else {
                return Vec::new();
            };
            let digits = got[start..].bytes().take_while(u8::is_ascii_digit).count();
            let end = start + digits;
            fixed(((1..=9).contains(&digits) && got[end..].starts_with('Z')).then_some(end + 1))
        }
        "continue" => (1..=got.len())
            .filter(|i| got.is_char_boundary(*i))
            .collect(),
        "hook" => {
            let Some(start) = ["https://", "http://"]
                .iter()
                .find(|p| got.starts_with(**p))
                .map(|p| p.len())
            else {
                return Vec::new();
            };
            let end = got[start..]
                .find(|c: char| c.is_whitespace() || matches!(c, '"' | '?'))
                .map_or(got.len(), |i| i + start);
            (start + 1..=end)
                .rev()
                .filter(|i| got.is_char_boundary(*i))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The length of a pattern of `x` (hex digit), `a` (lower-case or digit), `0` (digit) and literal bytes, if it fits.
fn shape(got: &str, pattern: &str) -> Option<usize> {
    let bytes = got.as_bytes().get(..pattern.len())?;
    let fits = |(byte, kind): (u8, u8)| match kind {
        b'x' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        b'a' => byte.is_ascii_digit() || byte.is_ascii_lowercase(),
        b'0' => byte.is_ascii_digit(),
        literal => byte == literal,
    };
    bytes
        .iter()
        .copied()
        .zip(pattern.bytes())
        .all(fits)
        .then_some(pattern.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0f0e0d0c-1111-2222-3333-0123456789ab";

    #[test]
    fn plain_text_must_be_equal() {
        let mut b = Bindings::default();
        assert!(b.matches("a", "a") && !b.matches("a", "b"));
        assert!(b.matches("a « b", "a « b") && b.matches("«x", "«x"));
    }

    #[test]
    fn first_value_binds_and_later_ones_must_agree() {
        let mut b = Bindings::default();
        assert!(b.matches("«rv:1»", "41"));
        assert!(b.matches("is «rv:1»!", "is 41!"));
        assert!(!b.matches("«rv:1»", "42"));
        assert!(!b.would_match("«rv:1»", "42") && b.would_match("«rv:2»", "42"));
        assert_eq!(
            b.fill_text("/x?resourceVersion=«rv:1»").unwrap(),
            "/x?resourceVersion=41"
        );
        assert_eq!(
            b.fill_text("«uid:7»").unwrap_err(),
            "«uid:7» was never learnt"
        );
    }

    #[test]
    fn shapes() {
        let mut b = Bindings::default();
        assert!(b.matches("uid «uid:1»: x", &format!("uid {UID}: x")));
        assert!(
            b.matches("«time»", "2026-01-02T03:04:05Z")
                && !b.matches("«time»", "2026-01-02T03:04:05.1Z")
        );
        assert!(
            b.matches("«microtime»", "2026-01-02T03:04:05.123456Z")
                && !b.matches("«microtime»", "2026-01-02T03:04:05Z")
        );
        assert!(b.matches("a-«suffix:1»", "a-b2c4d") && !b.matches("a-«suffix:2»", "a-b2c4"));
        assert!(b.matches(
            "«hook:a-b»?timeout=1s",
            "https://127.0.0.1:9/a-b?timeout=1s"
        ));
        assert!(b.matches("«number»ms", "12ms") && !b.matches("«number»", ""));
        assert!(b.matches("t=«continue:1»", "t=abc"));
    }

    #[test]
    fn list_revisions_do_not_bind_but_have_floors() {
        let mut b = Bindings::default();
        assert!(b.matches("«rv:1»", "5") && b.matches("«rv>=:1»", "7") && b.matches("«rv:2»", "8"));
        assert_eq!(b.disorder(), Vec::<String>::new());
        assert_eq!(b.fill_text("«rv>=:1»").unwrap(), "7");
        assert!(b.matches("«rv>=:2»", "7"));
        assert_eq!(b.disorder(), ["list resourceVersion 7 is below «rv:2»=8"]);
        assert!(b.matches("«rv:3»", "8"));
        assert!(
            b.disorder()
                .contains(&"«rv:2»=8 is not below «rv:3»=8".to_string())
        );
    }
}
