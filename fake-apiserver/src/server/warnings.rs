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
    /// Adds a warning that is not there yet.
    pub(crate) fn add(&mut self, text: String) {
        let full = self.whole > TOTAL_MAX && self.cut >= TOTAL_MAX;
        if full || self.texts.contains(&text) {
            return;
        }
        let length = text.chars().count();
        self.whole += length;
        self.cut += length.min(ITEM_MAX);
        self.texts.push(text);
    }

    /// The texts as headers show them.
    pub(crate) fn shown(&self) -> Vec<String> {
        if self.whole <= TOTAL_MAX {
            return self.texts.clone();
        }
        let cut = |text: &String| text.chars().take(ITEM_MAX).collect();
        self.texts.iter().map(cut).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d11_warnings_come_once_and_are_cut_when_there_are_too_many() {
        let mut warnings = Warnings::default();
        for text in ["a", "b", "a"] {
            warnings.add(text.to_owned());
        }
        assert_eq!(warnings.shown(), ["a", "b"]);
        let long = "x".repeat(4_000);
        warnings.add(long.clone());
        assert_eq!(warnings.shown()[2], long);
        for n in 0..10_000 {
            warnings.add(format!("{n:0300}"));
        }
        let shown = warnings.shown();
        assert!(shown.iter().all(|text| text.len() <= ITEM_MAX));
        assert_eq!(shown.len(), 18);
    }
}
