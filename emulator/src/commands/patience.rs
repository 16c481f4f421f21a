//! What becomes of the signals that ask a command to end: the first one is its own business, the second one ends it for certain.

use std::io;
use std::time::{Duration, Instant};

use base::signals::Signals;

/// Two signals within this time are one wish: a terminal and a program between (npm) both deliver it.
const ECHO: Duration = Duration::from_millis(100);

/// A second one within this time means that the command should end at once. Later it may mean anything to a program that continues
/// after the first, such as `psql`.
const PAIR: Duration = Duration::from_secs(5);

/// What to do about a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reaction {
    /// The command gets it.
    PassOn,
    /// It has come before.
    Nothing,
    /// The command is killed.
    Kill,
}

/// Remembers the last signal that asked the command to end.
#[derive(Debug, Default)]
pub(super) struct Patience {
    last: Option<Instant>,
}

impl Patience {
    /// Decides about a signal with this number that was received `now`.
    pub(super) fn reaction(&mut self, number: i32, now: Instant) -> Reaction {
        if !ends(number) {
            return Reaction::PassOn;
        }
        match self.last.map(|last| now.duration_since(last)) {
            Some(since) if since < ECHO => Reaction::Nothing,
            Some(since) if since < PAIR => {
                self.last = Some(now);
                Reaction::Kill
            }
            _ => {
                self.last = Some(now);
                Reaction::PassOn
            }
        }
    }
}

/// Whether a signal asks a command to end, as a person or a supervisor does.
pub(super) fn ends(number: i32) -> bool {
    matches!(number, libc::SIGINT | libc::SIGTERM | libc::SIGHUP)
}

/// Waits for a signal that interrupts what comes before the command, and returns its number.
pub(super) async fn interrupted(signals: &Signals) -> io::Result<i32> {
    loop {
        let number = signals.next().await?.number;
        if ends(number) || number == libc::SIGQUIT {
            return Ok(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_of_two_wishes_kills_and_an_echo_is_none() {
        let mut patience = Patience::default();
        let begun = Instant::now();
        let mut after = |ms, number| patience.reaction(number, begun + Duration::from_millis(ms));
        assert_eq!(after(0, libc::SIGINT), Reaction::PassOn);
        assert_eq!(after(50, libc::SIGINT), Reaction::Nothing);
        assert_eq!(after(200, libc::SIGUSR1), Reaction::PassOn);
        assert_eq!(after(400, libc::SIGINT), Reaction::Kill);
        assert_eq!(after(9000, libc::SIGTERM), Reaction::PassOn, "a wish of its own");
        assert_eq!(after(12_000, libc::SIGINT), Reaction::Kill);
    }
}
