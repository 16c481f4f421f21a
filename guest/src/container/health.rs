//! What the results of health checks say about a container.

use std::time::Duration;

use protocol::containers::Health;

/// Longest wait for the next check until one has passed: what depends on the container waits for that.
const EAGER: Duration = Duration::from_millis(500);

/// The results so far of the checks of one program.
pub(super) struct Record {
    health: Health,
    failures: u32,
    /// When the last failure counted, from the start of the program on.
    counted: Duration,
    has_passed: bool,
}

/// What is known after a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It passed.
    Healthy,
    /// It failed, which is not the last word: the state stays.
    Undecided,
    /// So many have failed that the container does not work, for this reason.
    Unhealthy(String),
}

impl Record {
    pub(super) fn new(health: Health) -> Self {
        Self { health, failures: 0, counted: Duration::ZERO, has_passed: false }
    }

    /// The check itself.
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Takes the result of a check that ended `since_start` after the program was started. Failures do not count while it starts, which
    /// ends with the first check that passes; nor do those of checks that come earlier than described.
    pub(super) fn take(&mut self, result: Result<(), String>, since_start: Duration) -> Verdict {
        match result {
            Ok(()) => {
                self.failures = 0;
                self.has_passed = true;
                Verdict::Healthy
            }
            Err(_) if !self.counts(since_start) => Verdict::Undecided,
            Err(reason) => {
                self.counted = since_start;
                self.failures = self.failures.saturating_add(1);
                if self.failures >= self.health.retries {
                    Verdict::Unhealthy(reason)
                } else {
                    Verdict::Undecided
                }
            }
        }
    }

    /// How long to wait for the next check, `since_start` after the program was started.
    pub(super) fn pause(&self, since_start: Duration) -> Duration {
        let interval = Duration::from_millis(self.health.interval_ms);
        if self.has_passed {
            return interval;
        }
        let start_interval = Duration::from_millis(self.health.start_interval_ms);
        let described = if self.is_starting(since_start) { start_interval } else { interval };
        described.min(EAGER)
    }

    /// Whether a failure at this time is one.
    fn counts(&self, since_start: Duration) -> bool {
        let interval = Duration::from_millis(self.health.interval_ms);
        let is_due = self.has_passed || since_start >= self.counted + interval;
        is_due && !self.is_starting(since_start)
    }

    fn is_starting(&self, since_start: Duration) -> bool {
        !self.has_passed && since_start < Duration::from_millis(self.health.start_period_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: Duration = Duration::from_secs(1);
    const LATE: Duration = Duration::from_secs(100);

    fn record() -> Record {
        Record::new(Health {
            test: vec!["true".into()],
            interval_ms: 30_000,
            timeout_ms: 1000,
            retries: 2,
            start_period_ms: 10_000,
            start_interval_ms: 200,
        })
    }

    fn failure() -> Result<(), String> {
        Err("no answer".into())
    }

    #[test]
    fn as_many_failures_as_allowed_make_it_unhealthy() {
        let mut record = record();
        assert_eq!(record.take(Ok(()), EARLY), Verdict::Healthy);
        assert_eq!(record.take(failure(), EARLY), Verdict::Undecided);
        assert_eq!(record.take(failure(), LATE), Verdict::Unhealthy("no answer".into()));
        assert_eq!(record.take(failure(), LATE), Verdict::Unhealthy("no answer".into()));
        assert_eq!(record.take(Ok(()), LATE), Verdict::Healthy);
        assert_eq!(record.take(failure(), LATE), Verdict::Undecided, "only failures in a row count");
    }

    #[test]
    fn failures_do_not_count_while_it_starts() {
        let mut record = record();
        for _ in 0..5 {
            assert_eq!(record.take(failure(), EARLY), Verdict::Undecided);
        }
        assert_eq!(record.pause(EARLY), Duration::from_millis(200));
    }

    #[test]
    fn checks_before_the_first_success_are_frequent_and_count_as_described() {
        let mut record = record();
        assert_eq!(record.pause(LATE), EAGER);
        assert_eq!(record.take(failure(), LATE), Verdict::Undecided, "the first that counts");
        assert_eq!(record.take(failure(), LATE + EAGER), Verdict::Undecided, "it comes too early");
        let due = LATE + Duration::from_secs(30);
        assert!(matches!(record.take(failure(), due), Verdict::Unhealthy(_)));
    }

    #[test]
    fn the_first_check_that_passes_ends_the_start() {
        let mut record = record();
        assert_eq!(record.take(Ok(()), EARLY), Verdict::Healthy);
        assert_eq!(record.pause(EARLY), Duration::from_secs(30));
        assert_eq!(record.take(failure(), EARLY), Verdict::Undecided);
        assert!(matches!(record.take(failure(), EARLY), Verdict::Unhealthy(_)));
    }
}
