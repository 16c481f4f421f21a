//! Medians and spreads.

use serde::Serialize;

/// Every run of something, and how far they lie apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// In the order in which they were made.
    pub(crate) runs: Vec<f64>,
}

impl Spread {
    /// The spread of some seconds, which are kept to a tenth of a millisecond; none where there are none.
    pub(crate) fn of(seconds: &[f64]) -> Option<Self> {
        let runs: Vec<f64> = seconds.iter().copied().map(rounded).collect();
        let min = runs.iter().copied().min_by(f64::total_cmp)?;
        let max = runs.iter().copied().max_by(f64::total_cmp)?;
        Some(Self { median: rounded(median(&runs)?), min, max, runs })
    }
}

/// The value in the middle, or the mean of the two there; none where there are none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// The smallest value that `part` of all, of 1, do not exceed; none where there are none.
pub(crate) fn percentile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a count is a count"
    )]
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The median of how many times as long each run has taken as the run of the other in the same round; none where there are none.
pub(crate) fn ratio(runs: &[f64], others: &[f64]) -> Option<f64> {
    let pairs: Vec<f64> = runs.iter().zip(others).map(|(run, other)| run / other).collect();
    median(&pairs)
}

/// The same as [`median`] for what is counted.
pub(crate) fn median_count(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    let upper = *values.get(values.len() / 2)?;
    Some(u64::midpoint(values[(values.len() - 1) / 2], upper))
}

/// To a tenth of a millisecond: nothing beyond that is more than noise.
pub(crate) fn rounded(seconds: f64) -> f64 {
    (seconds * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_one_or_between_the_two_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert_eq!(median_count(vec![9, 1, 4]), Some(4));
        assert_eq!(median_count(vec![9, 1]), Some(5));
        assert_eq!(median_count(Vec::new()), None);
    }

    #[test]
    fn a_ratio_is_of_runs_that_were_made_one_after_the_other() {
        assert_eq!(ratio(&[1.0, 3.0, 2.0], &[2.0, 3.0, 1.0]), Some(1.0));
        assert_eq!(ratio(&[], &[1.0]), None);
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(
            [0.5, 0.99, 1.0].map(|part| percentile(&values, part)),
            [Some(100.0), Some(198.0), Some(200.0)]
        );
        assert_eq!(percentile(&[3.0], 0.01), Some(3.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn a_spread_keeps_every_run_in_its_order() {
        let spread = Spread::of(&[0.5, 0.400_04, 0.700_06]).unwrap();
        assert_eq!(spread, Spread { median: 0.5, min: 0.4, max: 0.7001, runs: vec![0.5, 0.4, 0.7001] });
        assert_eq!(Spread::of(&[]), None);
    }
}
