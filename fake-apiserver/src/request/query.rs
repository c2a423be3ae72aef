//! Query parameters and their conversion: first one counts, booleans never fail, integers do (D14, H3a).

use std::borrow::Cow;

use crate::status::{Status, go_quote};

/// The decoded query, in the order sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// From the text behind the `?`.
    pub fn parse(text: &str) -> Query {
        // A16: what cannot be read is as if it were not there.
        let readable = |pair: &&str| !pair.is_empty() && !pair.contains(';') && escaped(pair);
        let pairs = text.split('&').filter(readable);
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (
                decode(name, true).into_owned(),
                decode(value, true).into_owned(),
            )
        });
        Query {
            pairs: pairs.collect(),
        }
    }

    /// The first value of a parameter, `None` if it is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.pairs.iter().filter(move |(key, _)| key == name);
        pairs.map(|(_, value)| value.as_str())
    }

    /// The first value, "" if absent.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// A boolean: absent = `None`; `0` and `false` in any case are false, everything else is true.
    pub fn flag(&self, name: &str) -> Option<bool> {
        let value = self.get(name)?;
        Some(!(value == "0" || value.eq_ignore_ascii_case("false")))
    }

    /// An integer; 400 if it is none.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Status> {
        self.get(name).map(parse_int).transpose()
    }
}

fn parse_int(text: &str) -> Result<i64, Status> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let why = if valid {
        match text.parse() {
            Ok(number) => return Ok(number),
            Err(_) => "value out of range",
        }
    } else {
        "invalid syntax"
    };
    let quoted = go_quote(text);
    Err(Status::bad_request(format!(
        "strconv.ParseInt: parsing {quoted}: {why}"
    )))
}

/// True if every `%` is followed by two hex digits.
fn escaped(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    parts.all(|part| {
        let digits = part.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Undoes percent encoding; in a query `+` is a blank.
pub fn decode(text: &str, plus: bool) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let hex = |at: usize| {
        bytes
            .get(at)
            .and_then(|byte| (*byte as char).to_digit(16))
            .map(|digit| digit as u8)
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'%' => {
                if let (Some(high), Some(low)) = (hex(i + 1), hex(i + 2)) {
                    out.push(high << 4 | low);
                    i += 3;
                    continue;
                }
                out.push(b'%');
            }
            b'+' if plus => out.push(b' '),
            byte => out.push(byte),
        }
        i += 1;
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d14_booleans_never_fail_and_integers_do() {
        let query = Query::parse("watch=maybe&force=FALSE&limit=abc&limit=1&x=a%20b%2Fc+d&e");
        assert_eq!(query.flag("watch"), Some(true));
        assert_eq!(query.flag("force"), Some(false));
        assert_eq!(query.flag("e"), Some(true));
        assert_eq!(query.flag("none"), None);
        assert_eq!(query.text("x"), "a b/c d");
        assert_eq!(
            query.integer("limit").unwrap_err().message,
            "strconv.ParseInt: parsing \"abc\": invalid syntax"
        );
    }
}
