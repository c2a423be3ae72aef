//! `RECONVERGE_LOG`: which log lines of operators are shown with a run.
//!
//! Owns the notation, that of `RUST_LOG` in small: `warn`, or `my_operator=info,kube_runtime=off`; the longest target
//! that fits decides. The engine keeps lines up to `info`. Does not change a run: lines are no part of its fingerprint.

use sim::trace::LogLine;

const LEVELS: [&str; 4] = ["off", "error", "warn", "info"];

/// The form that is taken, for messages.
pub(crate) const FORM: &str =
    "write a level (off, error, warn, info), or target=level; several with commas between";

/// Which lines are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFilter {
    /// Targets with the level up to which their lines are kept; the empty target is every one.
    levels: Vec<(String, usize)>,
}

impl LogFilter {
    /// What the environment says; everything, if it says nothing.
    pub(crate) fn from_env() -> Result<Self, String> {
        let text = std::env::var("RECONVERGE_LOG").unwrap_or_default();
        Self::parse(&text).map_err(|word| format!("RECONVERGE_LOG: `{word}` is no level"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut levels = vec![(String::new(), LEVELS.len() - 1)];
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (target, word) = part.split_once('=').unwrap_or(("", part));
            let word = word.to_lowercase();
            // Finer levels are known words; the engine does not keep such lines.
            let level = match word.as_str() {
                "debug" | "trace" => Some(LEVELS.len() - 1),
                word => LEVELS.iter().position(|l| *l == word),
            };
            levels.push((target.to_owned(), level.ok_or(word)?));
        }
        Ok(Self { levels })
    }

    /// Drops the lines that are not asked for.
    pub(crate) fn keep(&self, lines: &mut Vec<LogLine>) {
        lines.retain(|line| {
            let level = LEVELS
                .iter()
                .position(|l| l.eq_ignore_ascii_case(&line.level));
            // Of equally long targets the last one counts.
            let fitting = self
                .levels
                .iter()
                .filter(|(target, _)| line.line.starts_with(target.as_str()));
            let most = fitting.max_by_key(|(target, _)| target.len());
            level.unwrap_or(usize::MAX) <= most.map_or(0, |(_, level)| *level)
        });
    }
}

#[cfg(test)]
mod tests {
    use sim::time::SimTime;

    use super::*;

    fn kept(filter: &str) -> Vec<String> {
        let line = |level: &str, line: &str| LogLine {
            at: SimTime(0),
            replica: "a-0".to_owned(),
            reconcile: None,
            level: level.to_owned(),
            line: line.to_owned(),
        };
        let mut lines = vec![
            line("INFO", "mine::run: one"),
            line("WARN", "mine::run: two"),
            line("WARN", "kube_runtime: three"),
            line("ERROR", "kube_runtime: four"),
        ];
        LogFilter::parse(filter).expect("a filter").keep(&mut lines);
        let last = |l: &LogLine| l.line.split(": ").last().unwrap_or_default().to_owned();
        lines.iter().map(last).collect()
    }

    #[test]
    fn the_longest_target_decides() {
        assert_eq!(kept(""), ["one", "two", "three", "four"]);
        assert_eq!(kept("warn"), ["two", "three", "four"]);
        assert_eq!(kept("off,mine=info"), ["one", "two"]);
        assert_eq!(kept("kube_runtime=error"), ["one", "two", "four"]);
        assert_eq!(kept("debug"), kept(""));
        assert_eq!(LogFilter::parse("loud"), Err("loud".to_owned()));
    }
}
