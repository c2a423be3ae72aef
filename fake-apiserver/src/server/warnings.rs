//! The warnings of a request: each once, and no more of them than a real server sends.
//!
//! A header has room for so many characters: once all warnings together have more than [`TOTAL_MAX`], each is cut to
//! [`ITEM_MAX`], and when these are too many as well no further one is added.
//! Source: apiserver `endpoints/filters/warning.go`.

/// Characters of all warnings before each of them is cut.
const TOTAL_MAX: usize = 4 * 1024;
/// Characters of one warning once they are cut.
const ITEM_MAX: usize = 256;

/// Warnings in the order of their coming.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    texts: Vec<String>,
    /// Characters in all of them.
    whole: usize,
    /// Characters in all of them were each cut.
    cut: usize,
}

impl Warnings {
    /// Adds a warning that is not there yet, if a header can carry it.
    pub(crate) fn add(&mut self, text: String) {
        let full = self.whole > TOTAL_MAX && self.cut >= TOTAL_MAX;
        let none = text.is_empty() || text.chars().any(char::is_control);
        if full || none || self.texts.contains(&text) {
            return;
        }
        let length = text.chars().count();
        self.whole += length;
        self.cut += length.min(ITEM_MAX);
        self.texts.push(text);
    }

    /// The values of their headers: of what is no letter, only quotes and backslashes are escaped.
    pub(crate) fn headers(&self) -> Vec<String> {
        let whole = self.whole <= TOTAL_MAX;
        let most = if whole { usize::MAX } else { ITEM_MAX };
        let header = |text: &String| {
            let mut out = String::from("299 - \"");
            for c in text.chars().take(most) {
                if matches!(c, '"' | '\\') {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('"');
            out
        };
        self.texts.iter().map(header).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d11_warnings_come_once_and_are_cut_when_there_are_too_many() {
        let mut warnings = Warnings::default();
        for text in ["a", "b", "a", "", "c\n"] {
            warnings.add(text.to_owned());
        }
        assert_eq!(warnings.headers(), ["299 - \"a\"", "299 - \"b\""]);
        let long = "x".repeat(4_000);
        warnings.add(long.clone());
        assert_eq!(warnings.headers()[2], format!("299 - \"{long}\""));
        for n in 0..10_000 {
            warnings.add(format!("{n:0300}"));
        }
        let headers = warnings.headers();
        let frame = "299 - \"\"".len();
        assert!(headers.iter().all(|text| text.len() <= frame + ITEM_MAX));
        assert_eq!(headers.len(), 18);
    }

    #[test]
    fn a10_headers_escape_quotes_alone() {
        let mut warnings = Warnings::default();
        warnings.add("a \"b\" \\ \u{e9}\u{200b}".to_owned());
        let want = "299 - \"a \\\"b\\\" \\\\ \u{e9}\u{200b}\"";
        assert_eq!(warnings.headers(), [want]);
    }
}
