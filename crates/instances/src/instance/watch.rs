//! Beside a running guest: its clock is kept right, since a guest stands still while its host sleeps and its clock does not notice, and its
//! logs are kept short.

use std::time::Duration;

use base::files::{FileLock, present};
use protocol::Command;
use vm::agent::{self, Agent, AgentError};

use super::dir::InstanceDir;
use super::error::InstanceError;
use super::live::Live;
use super::state::{State, Viewer, inspect};
use super::{Instance, log_limit, remove_dir};
use base::jumps::Jumps;

/// The clock is also set when so much time has passed: an emulated clock drifts.
const PACE: Duration = Duration::from_mins(1);

/// How long the agent may take, on hardware acceleration.
const AGENT_LIMIT: Duration = Duration::from_secs(1);

impl Instance {
    /// Removes what the machine went on from. Then sets the guest's clock whenever the host's has jumped, and now and then, until the machine ends. Returns at once when
    /// nothing runs or somebody does this already.
    ///
    /// # Errors
    /// When the instance cannot be looked at.
    pub async fn watch(&self) -> Result<(), InstanceError> {
        if !present(self.dir.root())? {
            return Ok(());
        }
        let Some(_lock) = FileLock::try_acquire(&self.dir.watch_lock())? else { return Ok(()) };
        let State::Running(live) = inspect(&self.dir, Viewer::Bystander)? else { return Ok(()) };
        let Some(process) = live.machine.process else { return Ok(()) };
        remove_dir(&self.dir.spent())?;
        let mut jumps = Jumps::from_now();
        let follow = async {
            loop {
                // A guest that does not answer is what health is for; its clock is set the next time.
                let _ = self.mend_sockets(&live).await;
                let _ = set_clock(&live).await;
                self.shorten_logs();
                tokio::select! {
                    () = jumps.next() => {}
                    () = tokio::time::sleep(PACE) => {}
                }
            }
        };
        // At any moment: the watch of the next machine begins only when this one has ended.
        tokio::select! {
            ended = process.ended() => Ok(ended?),
            () = follow => Ok(()),
        }
    }
}

impl Instance {
    /// What cannot be shortened now, as on a disk that is full, is tried again.
    fn shorten_logs(&self) {
        for log in [self.dir.serial_log(), self.dir.qemu_log(), self.dir.watch_log()] {
            let _ = log_limit::enforce(&log, &InstanceDir::previous(&log), log_limit::LIMIT);
        }
    }
}

async fn set_clock(live: &Live) -> Result<(), AgentError> {
    let limit = AGENT_LIMIT * live.topology().accelerator.patience();
    let mut agent = Agent::reach(&live.machine.agent, limit).await?;
    // Asked first, so that a guest that has to wake up for it is not told a time that has passed.
    agent.call(Command::Hello, limit).await?;
    agent.call(Command::Clock { time: agent::now() }, limit).await.map(drop)
}
