//! The order in which a document names its fields.
//!
//! Values keep their keys sorted; the strict decoder of built-in kinds complains in the order of the document (D11). Only a
//! body with several complaints is walked again for that. Source: sigs.k8s.io/json, `decode.go` (at most 100 strict errors).

use std::collections::BTreeSet;

use crate::status::{cut_path, go_quote};

const STRICT_ERRORS_MAX: usize = 100;

/// The complaints about unknown and doubled fields (paths like `spec.containers[0].foo`) of a JSON document, in its order.
pub fn complaints(body: &[u8], duplicates: &[String], unknown: &[String]) -> Vec<String> {
    let mut walk = Walk {
        body,
        at: 0,
        path: String::new(),
        duplicates: duplicates.iter().map(String::as_str).collect(),
        unknown: unknown.iter().map(String::as_str).collect(),
        told: BTreeSet::new(),
        found: Vec::new(),
    };
    walk.value();
    let mut found = walk.found;
    found.truncate(STRICT_ERRORS_MAX);
    found
}

struct Walk<'a> {
    // Valid JSON: it has been parsed before.
    body: &'a [u8],
    at: usize,
    path: String,
    duplicates: BTreeSet<&'a str>,
    unknown: BTreeSet<&'a str>,
    told: BTreeSet<String>,
    found: Vec<String>,
}

impl Walk<'_> {
    fn peek(&mut self) -> u8 {
        while self.body.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.body.get(self.at).copied().unwrap_or(b'}')
    }

    fn value(&mut self) {
        match self.peek() {
            b'{' => self.object(),
            b'[' => self.list(),
            b'"' => drop(self.string()),
            _ => {
                let plain = |b: &&u8| !matches!(b, b',' | b'}' | b']') && !b.is_ascii_whitespace();
                self.at += self.body[self.at.min(self.body.len())..]
                    .iter()
                    .take_while(plain)
                    .count();
            }
        }
    }

    fn object(&mut self) {
        let length = self.path.len();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        self.at += 1;
        while self.peek() != b'}' {
            if self.peek() == b',' {
                self.at += 1;
                continue;
            }
            if self.peek() != b'"' {
                return;
            }
            let key = self.string();
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            cut_path(&mut self.path);
            let again = !seen.insert(key);
            self.note(again);
            self.peek();
            self.at += 1;
            self.value();
            self.path.truncate(length);
        }
        self.at += 1;
    }

    fn list(&mut self) {
        let length = self.path.len();
        let mut index = 0;
        self.at += 1;
        while self.peek() != b']' && self.at < self.body.len() {
            if self.peek() == b',' {
                self.at += 1;
                index += 1;
                continue;
            }
            self.path.push_str(&format!("[{index}]"));
            cut_path(&mut self.path);
            let before = self.at;
            self.value();
            self.path.truncate(length);
            if self.at == before {
                return;
            }
        }
        self.at += 1;
    }

    // The text of a string, its escapes resolved.
    fn string(&mut self) -> String {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.body.get(self.at) {
            match byte {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.at = (self.at + 1).min(self.body.len());
        let text = crate::json::parse(&self.body[start..self.at]);
        text.ok()
            .and_then(|text| text.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    fn note(&mut self, again: bool) {
        let what = if again && self.duplicates.contains(self.path.as_str()) {
            "duplicate"
        } else if self.unknown.contains(self.path.as_str()) {
            "unknown"
        } else {
            return;
        };
        let text = format!("{what} field {}", go_quote(&self.path));
        if self.told.insert(text.clone()) {
            self.found.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, duplicates: &[&str], unknown: &[&str], want: &[&str]) {
        let owned = |list: &[&str]| {
            list.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            complaints(body.as_bytes(), &owned(duplicates), &owned(unknown)),
            want
        );
    }

    #[test]
    fn d11_complaints_come_in_the_order_of_the_document() {
        check(
            r#"{"zz": 1, "metadata": {"name": "a", "name": "b", "bogus": [1, {"x": "}"}]}, "aa": "\""}"#,
            &["metadata.name"],
            &["aa", "metadata.bogus", "zz"],
            &[
                "unknown field \"zz\"",
                "duplicate field \"metadata.name\"",
                "unknown field \"metadata.bogus\"",
                "unknown field \"aa\"",
            ],
        );
        check(
            r#"{"l": [{"b": 1}, {"a": {}, "b": 2}]}"#,
            &[],
            &["l[0].b", "l[1].a", "l[1].b"],
            &[
                "unknown field \"l[0].b\"",
                "unknown field \"l[1].a\"",
                "unknown field \"l[1].b\"",
            ],
        );
    }

    #[test]
    fn cut_documents_end_the_walk() {
        for body in [
            "", "{", "{\"a", "{\"a\":", "[", "[1", "{\"a\":[", "\\", "{1}", "[}",
        ] {
            complaints(body.as_bytes(), &[], &["a".to_owned()]);
        }
    }
}
