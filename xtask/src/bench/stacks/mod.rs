//! The stacks of `examples/`: a session of a machine beside the same programs without one, in turns.

mod example;
mod native;
mod network;
mod program;
mod report;

use anyhow::Context as _;
use base::events::{Phase, Reporter, Unit};
use vm::machine::Accelerator;

pub(crate) use example::Example;
pub(crate) use native::{Native, check_rights};
pub(crate) use report::Report;

use super::contestant::{Contestant, capture_each, whose_turn};
use super::emulator::{Timed, settle};
use super::host_facts::HostFacts;
use super::scenario::{SUSPENDED, TEMPLATE};

/// Sides that take turns: machine and programs.
const SIDES: usize = 2;

/// A measurement of one stack.
pub(crate) struct Stacks<'a> {
    /// Which one.
    pub(crate) example: Example,
    /// The program with the stack's image; a single one.
    pub(crate) contestant: [Contestant<'a>; 1],
    /// The same programs without a machine.
    pub(crate) native: Native,
    /// How many rounds count.
    pub(crate) count: usize,
    /// Where progress is reported.
    pub(crate) console: &'a dyn Reporter,
}

/// Every run of everything in seconds, in the order of the rounds.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// What ran the guests.
    pub(crate) accelerator: Option<Accelerator>,
    session: Vec<f64>,
    suspended: Vec<f64>,
    native: Vec<f64>,
}

impl Stacks<'_> {
    /// Measures everything.
    ///
    /// # Errors
    /// When a command or a program fails, or a start is not the one that was to be measured.
    pub(crate) async fn measure(&self) -> anyhow::Result<Measured> {
        capture_each(&self.contestant, self.console).await?;
        let mut measured = Measured::default();
        let phase = Phase::start(self.console, "bench-rounds", "Measure");
        // The first round reads every file once, and is not counted.
        let turns = (self.count + 1) * SIDES;
        for turn in 0..turns {
            phase.progress(turn as u64, Some(turns as u64), Unit::Steps);
            if turn == SIDES {
                measured = Measured { accelerator: measured.accelerator, ..Measured::default() };
            }
            if whose_turn(turn, SIDES) == 0 {
                phase.detail("machine");
                let [contestant] = &self.contestant;
                contestant.sessions(&mut measured).await.map_err(|error| contestant.explain(error))?;
            } else {
                phase.detail("programs without a machine");
                settle().await;
                let seconds =
                    self.native.run().await.context("running the programs without a machine failed")?;
                measured.native.push(seconds);
            }
        }
        phase.done();
        Ok(measured)
    }

    /// The figures of what was `measured`; none if nothing was.
    pub(crate) fn report(&self, host: HostFacts, measured: &Measured) -> Option<Report> {
        Report::new(self.example, host, measured)
    }
}

impl Contestant<'_> {
    /// A new session from the snapshot, and the same session after a stop.
    async fn sessions(&self, measured: &mut Measured) -> anyhow::Result<()> {
        let Timed { seconds, answer } = self.emulator.start(&TEMPLATE, self.manifest).await?;
        measured.accelerator = Some(answer.accelerator);
        measured.session.push(seconds);
        self.emulator.stop().await?;
        let Timed { seconds, .. } = self.emulator.start(&SUSPENDED, self.manifest).await?;
        measured.suspended.push(seconds);
        self.emulator.reset().await
    }
}
