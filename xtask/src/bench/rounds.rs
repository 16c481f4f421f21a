//! The measurement: round after round, every scenario once in each.

use std::collections::BTreeMap;

use anyhow::Context as _;
use base::events::{Phase, Reporter, Timing, Unit};
use instances::snapshot::SnapshotDir;
use vm::machine::Accelerator;
use vm::saving::Strategy;

use super::answers::StartAnswer;
use super::contestant::{Contestant, whose_turn};
use super::emulator::Timed;
use super::memory_use::{self, MemoryUse};
use super::scenario::{SUSPENDED, Scenario, StartKind, TEMPLATE, Turn};
use super::sizes::{self, Sizes};

/// What `stop` is spent on; it prints no other phases.
const SUSPEND: &str = "suspend";

/// Every run of one scenario.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Runs {
    pub(super) seconds: Vec<f64>,
    pub(super) phases: BTreeMap<String, Vec<f64>>,
    pub(super) memory: Vec<MemoryUse>,
}

impl Runs {
    fn add(&mut self, seconds: f64, phases: impl IntoIterator<Item = Timing>) {
        self.seconds.push(seconds);
        for Timing { phase, seconds } in phases {
            self.phases.entry(phase).or_default().push(seconds);
        }
    }
}

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(super) scenarios: BTreeMap<Scenario, Runs>,
    pub(super) sizes: Sizes,
    /// What ran the guests.
    pub(crate) accelerator: Option<Accelerator>,
}

/// A measurement of programs, which take turns.
pub(crate) struct Rounds<'a> {
    /// Each of them.
    pub(crate) contestants: &'a [Contestant<'a>],
    /// How many rounds count.
    pub(crate) count: usize,
    /// Where progress is reported.
    pub(crate) console: &'a dyn Reporter,
}

impl Rounds<'_> {
    /// Measures everything, and returns what each of the programs took.
    ///
    /// # Errors
    /// When a command fails or does something else than what was to be measured. Nothing is left running.
    pub(crate) async fn measure(&self) -> anyhow::Result<Vec<Measured>> {
        let programs = self.contestants.len();
        // What the first ones measure is dropped: their files have to be read from the disk first.
        let mut unused: Vec<Measured> = (0..programs).map(|_| Measured::default()).collect();
        let captures = Strategy::ALL.map(Turn::Capture);
        self.round("Capture both snapshots", 0, &captures, &mut unused).await?;
        self.round("Warm up", 0, &Turn::warm_up(), &mut unused).await?;

        let keep_sizes = |unused: Measured| Measured { sizes: unused.sizes, ..Measured::default() };
        let mut measured: Vec<Measured> = unused.into_iter().map(keep_sizes).collect();
        for round in 0..self.count {
            let title = format!("Round {} of {}", round + 1, self.count);
            self.round(&title, round, &Turn::of_round(round), &mut measured).await?;
        }
        for (Contestant { emulator, .. }, measured) in self.contestants.iter().zip(&mut measured) {
            sizes::image(&mut measured.sizes, emulator.home().home(), emulator.arch())?;
        }
        Ok(measured)
    }

    /// Each turn by each program, one right after the other: what a machine does at one time of the day is so for all of them.
    async fn round(
        &self,
        title: &str,
        round: usize,
        turns: &[Turn],
        measured: &mut [Measured],
    ) -> anyhow::Result<()> {
        let phase = Phase::start(self.console, "bench-round", title);
        let programs = self.contestants.len();
        for step in 0..turns.len() * programs {
            let turn = &turns[step / programs];
            let index = whose_turn(round * programs + step % programs, programs);
            let contestant = &self.contestants[index];
            phase.progress(step as u64, Some((turns.len() * programs) as u64), Unit::Steps);
            phase.detail(&match programs {
                1 => turn.title(),
                _ => format!("{} of {}", turn.title(), contestant.name),
            });
            contestant.turn(turn, &mut measured[index]).await.map_err(|error| contestant.explain(error))?;
        }
        phase.done();
        Ok(())
    }
}

impl Contestant<'_> {
    async fn turn(&self, turn: &Turn, measured: &mut Measured) -> anyhow::Result<()> {
        match turn {
            Turn::Start(kind) => self.start(measured, kind).await?,
            Turn::Suspend => self.suspend(measured).await?,
            Turn::Capture(strategy) => self.capture(measured, *strategy).await?,
        }
        self.emulator.reset().await
    }

    async fn start(&self, measured: &mut Measured, kind: &StartKind) -> anyhow::Result<()> {
        let Timed { seconds, answer } = self.emulator.start(kind, self.manifest).await?;
        let StartAnswer { accelerator, pid, phases, .. } = answer;
        measured.accelerator = Some(accelerator);
        let runs = measured.scenarios.entry(kind.scenario).or_default();
        runs.memory.extend(memory_use::of(pid.context("a started machine has no process")?)?);
        runs.add(seconds, phases);
        Ok(())
    }

    async fn suspend(&self, measured: &mut Measured) -> anyhow::Result<()> {
        self.start(measured, &TEMPLATE).await?;
        let Timed { seconds, answer } = self.emulator.stop().await?;
        let suspend = Timing { phase: SUSPEND.to_owned(), seconds: answer.seconds };
        measured.scenarios.entry(Scenario::Stop).or_default().add(seconds, [suspend]);
        sizes::suspended(&mut measured.sizes, self.emulator.home().instance().dir())?;
        self.start(measured, &SUSPENDED).await
    }

    async fn capture(&self, measured: &mut Measured, strategy: Strategy) -> anyhow::Result<()> {
        let captured = self.emulator.capture(strategy).await?;
        let dir = SnapshotDir::of(self.emulator.home().home(), &captured.snapshot);
        sizes::snapshot(&mut measured.sizes, &dir, strategy, self.emulator.arch())?;
        let phases = captured.beyond_the_boot();
        let seconds = phases.iter().map(|timing| timing.seconds).sum();
        measured.scenarios.entry(Scenario::capture(strategy)).or_default().add(seconds, phases);
        Ok(())
    }
}
