//! How many exchanges came out right, per folder of cases. Owns the sums; who prints them chooses the form.

use std::collections::BTreeMap;

use super::play::Report;

/// Sums over some cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Exchanges that came out right.
    pub right: usize,
    /// All exchanges.
    pub exchanges: usize,
    /// Exchanges that differ in wording alone.
    pub wording: usize,
    /// Cases without a difference.
    pub whole: usize,
    /// All cases.
    pub cases: usize,
}

impl Tally {
    fn add(&mut self, report: &Report) {
        self.right += report.right();
        self.exchanges += report.exchanges;
        self.wording += report.wording();
        self.whole += usize::from(report.wrong.is_empty());
        self.cases += 1;
    }
}

/// The sums per folder in order of their names, and last those of all under the name `all`.
pub fn by_folder(reports: &[Report]) -> Vec<(&str, Tally)> {
    let (mut folders, mut all) = (BTreeMap::<&str, Tally>::new(), Tally::default());
    for report in reports {
        let folder = report.case.split('/').next().unwrap_or_default();
        folders.entry(folder).or_default().add(report);
        all.add(report);
    }
    folders.into_iter().chain([("all", all)]).collect()
}
