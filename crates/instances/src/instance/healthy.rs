//! Waiting for an instance that another command starts, or has started.

use std::time::{Duration, Instant};

use base::events::{Phase, Reporter};
use base::files::FileError;
use base::wait::Backoff;
use vm::machine::Accelerator;
use vm::tail::Tail;

use super::error::InstanceError;
use super::live::Live;
use super::start::READY_LIMIT;
use super::state::State;
use super::{Instance, meanwhile, ready};

impl Instance {
    /// Waits until the instance runs and every service answers, at most `limit`; by default as long as the machine may take to boot.
    /// One that does not run is waited for only while a command is starting it, and `for_start` also before that.
    ///
    /// # Errors
    /// When it does not run, is broken or elsewhere, its guest reports a failure, or the deadline passes.
    pub async fn wait(
        &self,
        limit: Option<Duration>,
        for_start: bool,
        reporter: &dyn Reporter,
    ) -> Result<Live, InstanceError> {
        let begun = Instant::now();
        let phase = Phase::start(reporter, "services", "Check service health");
        let mut backoff = Backoff::default();
        loop {
            let state = self.state()?;
            let accelerator = match &state {
                State::Starting(live) | State::Running(live) => live.topology().accelerator,
                // What is going to run is not known yet.
                _ => Accelerator::Tcg,
            };
            let limit = limit.unwrap_or(READY_LIMIT * accelerator.patience());
            let left = limit.saturating_sub(begun.elapsed());
            match state {
                State::Running(live) => {
                    if let Some(live) = self.answers(live, limit, left, &phase).await? {
                        phase.done();
                        return Ok(live);
                    }
                }
                State::Starting(_) => {}
                State::Elsewhere(elsewhere) => return Err(elsewhere.into()),
                State::Broken(faults) if !for_start => {
                    return Err(InstanceError::Broken { name: self.name.clone(), faults });
                }
                _ if !for_start => return Err(InstanceError::NotRunning(self.name.clone())),
                _ => {}
            }
            if left.is_zero() {
                return Err(InstanceError::NotReady { limit, unhealthy: Vec::new(), console: String::new() });
            }
            backoff.pause().await;
        }
    }

    /// Waits until every service of the running machine answers; `None` when it ends meanwhile.
    async fn answers(
        &self,
        live: Live,
        limit: Duration,
        left: Duration,
        phase: &Phase<'_>,
    ) -> Result<Option<Live>, InstanceError> {
        let Some(process) = live.machine.process else { return Ok(None) };
        if live.is_in_other_network() {
            return Err(InstanceError::OtherNetwork(self.name.clone()));
        }
        let console = self.dir.serial_log();
        let console = Tail::from_now_on(&console).map_err(FileError::of("read", &console))?;
        let ready = ready::wait(&live.stack.ports, console, left, phase);
        let outcome = meanwhile::unless_gone(process, ready).await.map_err(|error| match error {
            InstanceError::NotReady { unhealthy, console, .. } => {
                InstanceError::NotReady { limit, unhealthy, console }
            }
            other => other,
        })?;
        Ok(outcome.map(|()| live))
    }
}
