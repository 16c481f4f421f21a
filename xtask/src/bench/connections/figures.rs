//! What became of all requests of one kind.

use serde::Serialize;

use super::burst::{Ended, Outcome};
use crate::bench::statistics::{percentile, rounded};

/// Counts over all rounds, and how long those took that were answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Figures {
    pub(super) requests: usize,
    pub(super) answered: usize,
    pub(super) busy: usize,
    pub(super) reset: usize,
    pub(super) hung: usize,
    /// Seconds that half of those took at most which were answered; none where none was.
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) max: Option<f64>,
}

impl Figures {
    /// The figures of these requests.
    pub(super) fn of(ended: &[Ended]) -> Self {
        let count = |outcome| ended.iter().filter(|one| one.outcome == outcome).count();
        let answered = ended.iter().filter(|one| one.outcome == Outcome::Answered);
        let seconds: Vec<f64> = answered.map(|one| one.seconds).collect();
        let at = |part| percentile(&seconds, part).map(rounded);
        Self {
            requests: ended.len(),
            answered: seconds.len(),
            busy: count(Outcome::Busy),
            reset: count(Outcome::Reset),
            hung: count(Outcome::Hung),
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_answered_counts_for_the_times() {
        let ended = |outcome, seconds| Ended { outcome, seconds };
        let figures = Figures::of(&[
            ended(Outcome::Answered, 0.2),
            ended(Outcome::Hung, 60.0),
            ended(Outcome::Answered, 0.1),
            ended(Outcome::Reset, 1.0),
            ended(Outcome::Busy, 9.0),
        ]);
        let expected = Figures {
            requests: 5,
            answered: 2,
            busy: 1,
            reset: 1,
            hung: 1,
            p50: Some(0.1),
            p99: Some(0.2),
            max: Some(0.2),
        };
        assert_eq!(figures, expected);
        assert_eq!(Figures::of(&[]), Figures::default());
    }
}
