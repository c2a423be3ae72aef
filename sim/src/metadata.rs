//! Reads names and version off an object's JSON and nothing else.
//!
//! Owns the quick look at what the API server has written: whatever stands around the metadata is passed over, and what
//! stands behind it is not even looked at. Does not own documents that others write: where anything is unusual the answer
//! is none, and the caller reads with care.
//!
//! Invariant: what is read here is what a JSON parser reads.

/// What `metadata` says of an object; empty where it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata<'b> {
    pub(crate) name: &'b str,
    pub(crate) namespace: &'b str,
    pub(crate) resource_version: &'b str,
}

/// The metadata of an object or a list.
pub(crate) fn of_object(body: &[u8]) -> Option<Metadata<'_>> {
    Scanner { bytes: body, at: 0 }.object()
}

/// The metadata of the object in a watch event's line.
pub(crate) fn of_line(line: &[u8]) -> Option<Metadata<'_>> {
    let mut scanner = Scanner { bytes: line, at: 0 };
    let mut found = None;
    scanner.fields(|scanner, key| {
        if key != b"object" {
            return scanner.skip().map(|()| true);
        }
        found = Some(scanner.object()?);
        Some(false)
    })?;
    found
}

struct Scanner<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Scanner<'b> {
    fn object(&mut self) -> Option<Metadata<'b>> {
        let mut found = Metadata::default();
        self.fields(|scanner, key| {
            if key != b"metadata" {
                return scanner.skip().map(|()| true);
            }
            scanner.fields(|scanner, key| {
                let field = match key {
                    b"name" => &mut found.name,
                    b"namespace" => &mut found.namespace,
                    b"resourceVersion" => &mut found.resource_version,
                    _ => return scanner.skip().map(|()| true),
                };
                *field = std::str::from_utf8(scanner.text()?).ok()?;
                Some(true)
            })?;
            Some(false)
        })?;
        Some(found)
    }

    /// Goes through an object's fields until `each`, which takes the value, has had enough.
    fn fields(&mut self, mut each: impl FnMut(&mut Self, &'b [u8]) -> Option<bool>) -> Option<()> {
        self.eat(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let key = self.text()?;
            self.eat(b':')?;
            if !each(self, key)? {
                return Some(());
            }
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        while let b' ' | b'\n' | b'\t' | b'\r' = self.bytes.get(self.at)? {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        let found = self.peek()? == byte;
        self.at += 1;
        found.then_some(())
    }

    /// A string in which nothing is escaped.
    fn text(&mut self) -> Option<&'b [u8]> {
        self.eat(b'"')?;
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\'))
            .filter(|end| rest[*end] == b'"')?;
        self.at += length + 1;
        Some(&rest[..length])
    }

    /// Passes over a value.
    fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.skip_text(),
            b'{' | b'[' => self.skip_nested(),
            _ => {
                let rest = &self.bytes[self.at..];
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n');
                self.at += rest.iter().position(ends)?;
                Some(())
            }
        }
    }

    fn skip_text(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            let rest = &self.bytes[self.at..];
            let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            if rest[end] == b'"' {
                self.at += end + 1;
                return Some(());
            }
            self.at += end + 2;
            self.bytes.get(self.at)?;
        }
    }

    fn skip_nested(&mut self) -> Option<()> {
        let mut depth = 0;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.skip_text()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, want: Option<[&str; 3]>) {
        let want = want.map(|[name, namespace, resource_version]| Metadata {
            name,
            namespace,
            resource_version,
        });
        assert_eq!(of_object(body.as_bytes()), want, "{body}");
    }

    #[test]
    fn metadata_is_found_among_other_things() {
        let body = r#"{"data":{"a}\"":"[{","n":-1.5e3,"t":true},"metadata":{"labels":{"name":"no"},"managedFields":[{"f":{".":{}}}],"name":"a","namespace":"b","resourceVersion":"7","uid":"u"},"spec":"#;
        check(body, Some(["a", "b", "7"]));
        check(r#"{"metadata":{},"items":[]}"#, Some(["", "", ""]));
        check(
            r#"{ "kind" : "Status" , "code" : 404 }"#,
            Some(["", "", ""]),
        );
        check("{}", Some(["", "", ""]));
    }

    #[test]
    fn the_unusual_is_left_to_others() {
        check("", None);
        check("[]", None);
        check(r#"{"metadata":null}"#, None);
        check(r#"{"metadata":{"name":"a\n"}}"#, None);
        check(r#"{"metadata":{"name":5}}"#, None);
        check(r#"{"spec":{"metadata":{"name":"a"}"#, None);
    }

    #[test]
    fn a_watch_line_is_about_its_object() {
        let line = br#"{"type":"ADDED","object":{"kind":"ConfigMap","metadata":{"name":"a"}}}"#;
        assert_eq!(of_line(line).map(|found| found.name), Some("a"));
    }
}
