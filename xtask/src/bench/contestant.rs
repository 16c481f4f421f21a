//! A program that is measured, by itself or in turns with others.

use base::events::{Phase, Reporter};
use image::manifest::Manifest;
use vm::saving::Strategy;

use super::emulator::Emulator;

/// A program in a home of its own.
pub(crate) struct Contestant<'a> {
    /// What it is called in the report.
    pub(crate) name: String,
    /// The program.
    pub(crate) emulator: Emulator<'a>,
    /// The description of its image.
    pub(crate) manifest: &'a Manifest,
}

impl Contestant<'_> {
    /// The same error with whose it is, and where its logs are kept.
    pub(crate) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let error = match self.emulator.home().keep_logs() {
            Some(dir) => error.context(format!("its logs are in `{}`", dir.display())),
            None => error,
        };
        error.context(format!("measuring {} failed", self.name))
    }
}

/// Captures a `template` snapshot for each program.
///
/// # Errors
/// When a capture fails.
pub(super) async fn capture_each(
    contestants: &[Contestant<'_>],
    console: &dyn Reporter,
) -> anyhow::Result<()> {
    let phase = Phase::start(console, "bench-snapshots", "Capture a snapshot for each program");
    for contestant in contestants {
        phase.detail(&contestant.name);
        let captured = contestant.emulator.capture(Strategy::Template).await;
        captured.map_err(|error| contestant.explain(error))?;
    }
    phase.done();
    Ok(())
}

/// Which of `programs` is measured at the place `turn`, counted from 0. Every round begins with the next one, so that none always comes
/// after the same other one.
pub(super) const fn whose_turn(turn: usize, programs: usize) -> usize {
    (turn + turn / programs) % programs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_has_one_turn_a_round_and_each_round_begins_with_the_next() {
        let turns: Vec<usize> = (0..9).map(|turn| whose_turn(turn, 3)).collect();
        assert_eq!(turns, [0, 1, 2, 1, 2, 0, 2, 0, 1]);
        assert_eq!([0, 1, 2].map(|turn| whose_turn(turn, 1)), [0; 3]);
    }
}
