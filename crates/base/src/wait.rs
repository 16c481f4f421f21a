//! Waiting without fixed sleeps: poll with a back-off of milliseconds, always against a deadline.

use std::time::{Duration, Instant};

/// First pause between two polls.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// Longest pause between two polls.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// The deadline passed before the condition held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing after {:.1} s", .0.as_secs_f64())]
pub struct TimedOut(pub Duration);

/// Pauses between polls: 1 ms, doubling up to 20 ms.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::between(FIRST_PAUSE, LONGEST_PAUSE)
    }
}

impl Backoff {
    /// Other pauses, for polls that cost more than a few system calls: `first`, doubling up to `longest`.
    pub fn between(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// Waits for the next poll.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(self.longest);
    }
}

/// Polls `probe` until it returns a value.
///
/// # Errors
/// When `limit` passes first.
pub async fn until<T>(limit: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> Result<T, TimedOut> {
    let start = Instant::now();
    let mut backoff = Backoff::default();
    loop {
        if let Some(value) = probe().await {
            return Ok(value);
        }
        if start.elapsed() >= limit {
            return Err(TimedOut(limit));
        }
        backoff.pause().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_true_ends_the_wait() {
        let mut polls = 0;
        let value = until(Duration::from_secs(5), async || {
            polls += 1;
            (polls == 4).then_some("ready")
        });
        assert_eq!(value.await, Ok("ready"));
    }

    #[tokio::test]
    async fn a_condition_that_never_holds_ends_at_the_deadline() {
        let limit = Duration::from_millis(10);
        assert_eq!(until(limit, async || None::<()>).await, Err(TimedOut(limit)));
    }
}
