//! Rates with their intervals, and how many seeds it takes to fail.
//!
//! Owns the arithmetic and its words. A run either fails or does not, and seeds are independent, so a rate has a binomial
//! interval (Wilson's, which is right near 0 and 1 too), and the seeds to the first failure are counted over disjoint
//! blocks: each block ends with a failing seed and the next begins after it.

use std::collections::BTreeSet;

/// The normal quantile of a 95 % interval.
const Z: f64 = 1.959_964;

/// The bounds of the 95 % interval (Wilson) of a rate of `hits` in `runs`.
pub fn interval(hits: u64, runs: u64) -> (f64, f64) {
    if runs == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (runs as f64, hits as f64 / runs as f64);
    let z2 = Z * Z;
    let middle = p + z2 / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (
        ((middle - half) / scale).max(0.0),
        ((middle + half) / scale).min(1.0),
    )
}

/// `12.0 % (8.1–17.3)`; of nothing, the bound that follows: `0 of 1000 (p < 0.3 %)`.
pub fn words(hits: u64, runs: u64) -> String {
    if hits == 0 {
        return format!("0 of {runs} ({})", bound(runs));
    }
    let (low, high) = interval(hits, runs);
    let rate = hits as f64 / runs.max(1) as f64;
    let digits = digits(100.0 * rate);
    let percent = |p: f64| format!("{:.digits$}", 100.0 * p);
    format!("{} % ({}–{})", percent(rate), percent(low), percent(high))
}

/// The same with its numbers: `4 of 1032000: 0.00039 % (0.00015–0.00100)`; `0 of 1032000 (p < 0.00029 %)`.
pub fn count_words(hits: u64, runs: u64) -> String {
    match hits {
        0 => words(0, runs),
        _ => format!("{hits} of {runs}: {}", words(hits, runs)),
    }
}

/// How many digits a percentage is told with, so that a small one does not look like none.
fn digits(percent: f64) -> usize {
    match percent {
        p if p >= 1.0 => 1,
        p if p >= 0.1 => 2,
        p if p >= 0.01 => 3,
        _ => 5,
    }
}

/// What none in `runs` says about the rate, at 95 %: `p < 0.3 %`.
pub fn bound(runs: u64) -> String {
    match runs {
        0..=2 => "nothing is said".to_owned(),
        _ => {
            let percent = 300.0 / runs as f64;
            let digits = digits(percent);
            format!("p < {percent:.digits$} %")
        }
    }
}

/// How many seeds it takes to fail: median and 90th percentile over disjoint blocks of the seeds in their order.
pub fn seeds_to_failure(seeds: &[u64], failing: &BTreeSet<u64>) -> Option<(u64, u64)> {
    let mut blocks = Vec::new();
    let mut length = 0;
    for seed in seeds {
        length += 1;
        if failing.contains(seed) {
            blocks.push(length);
            length = 0;
        }
    }
    blocks.sort_unstable();
    Some((percentile(&blocks, 50)?, percentile(&blocks, 90)?))
}

/// The smallest value that is not below `percent` of them.
pub fn percentile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        for (hits, runs, low, high) in [
            (0, 10, 0.0, 0.2775),
            (1, 10, 0.0179, 0.4042),
            (5, 10, 0.2366, 0.7634),
            (10, 10, 0.7225, 1.0),
            (200, 1000, 0.1764, 0.2259),
        ] {
            let (l, h) = interval(hits, runs);
            assert!(
                (l - low).abs() < 1e-4 && (h - high).abs() < 1e-4,
                "{hits}/{runs}: {l} {h}"
            );
        }
        assert_eq!(words(200, 1000), "20.0 % (17.6–22.6)");
    }

    #[test]
    fn a_rate_that_is_small_does_not_look_like_none() {
        assert_eq!(words(2, 1000), "0.20 % (0.05–0.73)");
        assert_eq!(
            count_words(4, 1_032_000),
            "4 of 1032000: 0.00039 % (0.00015–0.00100)"
        );
        assert_eq!(count_words(0, 1_032_000), "0 of 1032000 (p < 0.00029 %)");
    }

    #[test]
    fn none_of_many_is_a_bound() {
        assert_eq!(words(0, 1000), "0 of 1000 (p < 0.30 %)");
        assert_eq!(bound(20_000), "p < 0.015 %");
        assert_eq!(bound(1_000_000), "p < 0.00030 %");
        assert_eq!(bound(0), "nothing is said");
    }

    #[test]
    fn blocks_end_with_a_failing_seed() {
        let seeds: Vec<u64> = (0..10).collect();
        let failing = |list: &[u64]| list.iter().copied().collect();
        assert_eq!(seeds_to_failure(&seeds, &failing(&[])), None);
        assert_eq!(seeds_to_failure(&seeds, &failing(&[0])), Some((1, 1)));
        // Blocks of 3, 1 and 5 seeds.
        assert_eq!(seeds_to_failure(&seeds, &failing(&[2, 3, 8])), Some((3, 5)));
    }
}
