//! `RECONVERGE_LOG`: which log lines of operators are shown with a run.
//!
//! The notation is that of `RUST_LOG` and `tracing_subscriber`'s `Targets`: `warn`, or `my_operator=info,kube_runtime=off`;
//! the most specific target decides, and what no part speaks of is shown. The engine keeps lines up to `info`. Does not
//! change a run: lines are no part of its fingerprint.

use sim::trace::LogLine;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// The form that is taken, for messages.
pub(crate) const FORM: &str =
    "write a level (off, error, warn, info), or target=level; several with commas between";

/// Which lines are kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogFilter(Targets);

impl LogFilter {
    /// What the environment says; everything, if it says nothing.
    pub(crate) fn from_env() -> Result<Self, String> {
        let text = std::env::var("RECONVERGE_LOG").unwrap_or_default();
        Self::parse(&text).map_err(|word| format!("RECONVERGE_LOG: `{word}` is no level"))
    }

    /// The word that is no level is the error.
    fn parse(text: &str) -> Result<Self, String> {
        let mut targets = Targets::new().with_default(LevelFilter::TRACE);
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (target, word) = part.split_once('=').unwrap_or(("", part));
            let level: LevelFilter = word.parse().map_err(|_| word.to_owned())?;
            targets = match target {
                "" => targets.with_default(level),
                target => targets.with_target(target, level),
            };
        }
        Ok(Self(targets))
    }

    /// Drops the lines that are not asked for.
    pub(crate) fn keep(&self, lines: &mut Vec<LogLine>) {
        lines.retain(|line| {
            let target = line.line.split(": ").next().unwrap_or_default();
            let level = line.level.parse();
            level.is_ok_and(|level| self.0.would_enable(target, &level))
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
