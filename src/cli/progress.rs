//! The progress bar of `run`, on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar over so many runs; invisible where standard error is no terminal.
    pub(crate) fn new(runs: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(runs), ProgressDrawTarget::stderr_with_hz(10));
        // The width of `per_sec` is how many decimals it has.
        let style = ProgressStyle::with_template(
            "{wide_msg} {bar:20} {pos}/{len} runs {per_sec:1} {eta:>4}",
        );
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// Names the case that is being run.
    pub(crate) fn case(&self, title: String) {
        self.0.set_message(title);
    }

    /// One run more.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    /// So many runs more than was known.
    pub(crate) fn more(&self, runs: u64) {
        self.0.inc_length(runs);
    }

    /// Removes the bar.
    pub(crate) fn done(self) {
        self.0.finish_and_clear();
    }
}
