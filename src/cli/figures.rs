//! What the figures of a scenario come to over many runs.
//!
//! Owns the summary and its words. Does not own what a figure is in one run (`sim::property::cel`).

use serde::{Deserialize, Serialize};
use sim::verdict::Figure;

use crate::rates;

/// A figure over many runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Summary {
    /// Of numbers: the least, the median and the most.
    Spread(i64, i64, i64),
    /// Of truths: in how many runs it was so, of how many.
    Share(u64, u64),
}

impl Summary {
    /// What all runs together say; a figure is of one sort in all of them.
    pub(super) fn new(values: &[Figure]) -> Summary {
        let mut numbers: Vec<i64> = Vec::new();
        let (mut hits, mut truths) = (0, 0);
        for value in values {
            match value {
                Figure::Number(number) => numbers.push(*number),
                Figure::Truth(truth) => {
                    truths += 1;
                    hits += u64::from(*truth);
                }
            }
        }
        if truths > 0 {
            return Summary::Share(hits, truths);
        }
        numbers.sort_unstable();
        let at = |percent| rates::percentile(&numbers, percent).unwrap_or_default();
        Summary::Spread(at(0), at(50), at(100))
    }

    /// `2 … 151 … 153`, or `in 66.7 % (61.2–71.8) of runs`.
    pub(super) fn words(self) -> String {
        match self {
            Summary::Spread(least, median, most) if least == most => format!("{median}"),
            Summary::Spread(least, median, most) => format!("{least} … {median} … {most}"),
            Summary::Share(0, runs) => format!("in {}", rates::words(0, runs)),
            Summary::Share(hits, runs) => format!("in {} of runs", rates::words(hits, runs)),
        }
    }

    /// What the numbers are, for whoever sees them without the document that says so.
    pub(super) fn legend(self) -> &'static str {
        match self {
            Summary::Spread(least, _, most) if least == most => " (in each run)",
            Summary::Spread(..) => " (least, median, most)",
            Summary::Share(..) => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_spread_and_truths_a_share() {
        let numbers = [5, 1, 3].map(Figure::Number);
        assert_eq!(Summary::new(&numbers).words(), "1 … 3 … 5");
        assert_eq!(Summary::new(&numbers[..1]).words(), "5");
        let truths = [true, false, true, true].map(Figure::Truth);
        assert_eq!(
            Summary::new(&truths).words(),
            "in 75.0 % (30.1–95.4) of runs"
        );
        let never = [Figure::Truth(false); 300];
        assert_eq!(Summary::new(&never).words(), "in 0 of 300 (p < 1.0 %)");
    }

    #[test]
    fn both_are_read_from_a_file_as_they_were_written() {
        for summary in [Summary::Spread(1, 2, 3), Summary::Share(1, 4)] {
            let text = serde_json::to_string(&summary).expect("it is data");
            let read: Summary = serde_json::from_str(&text).expect("it is one of the two");
            assert_eq!(read, summary);
        }
    }
}
