//! Commands inside the machine of a running instance.

use std::time::Duration;

use protocol::exec::{Ended, FromHost, Open, TOKEN_DIGITS, Task};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use vm::exec::{self, Connection, Door, Ends, ExecError};
use vm::process::ProcessIdentity;

use super::error::InstanceError;
use super::{Instance, meanwhile};
use crate::name::InstanceName;
use crate::secrets::random;

/// How long the start of a command may take, on hardware acceleration.
const START_LIMIT: Duration = Duration::from_secs(5);

/// A command that runs inside the machine. Dropping it ends the command.
#[derive(Debug)]
pub struct Running {
    name: InstanceName,
    process: ProcessIdentity,
    command: exec::Running<Connection>,
}

impl Instance {
    /// Starts `task` inside the machine.
    ///
    /// # Errors
    /// When the instance does not run, has no such service, or its guest cannot start the command.
    pub async fn exec(&self, task: Task) -> Result<Running, InstanceError> {
        let live = self.running()?;
        if let Some(name) = &task.service
            && !live.stack.services.iter().any(|service| service.name == *name)
        {
            let known = live.stack.services.iter().map(|service| format!("`{}`", service.name)).collect();
            return Err(InstanceError::UnknownService { service: name.clone(), known });
        }
        let not_running = || InstanceError::NotRunning(self.name.clone());
        let process = live.machine.process.ok_or_else(not_running)?;
        let limit = START_LIMIT * live.topology().accelerator.patience();
        let token = random::<{ TOKEN_DIGITS / 2 }>().map_err(InstanceError::Random)?;
        let door = Door { qmp: live.machine.qmp.clone(), agent: live.machine.agent.clone() };
        let started = async {
            self.mend_sockets(&live).await?;
            Ok(door.start(Open { token, task }, limit).await?)
        };
        let command = meanwhile::unless_gone(process, started).await?.ok_or_else(not_running)?;
        Ok(Running { name: self.name.clone(), process, command })
    }
}

impl Running {
    /// Passes everything on, in both directions, until the command has ended. What comes in `orders` is sent too.
    ///
    /// # Errors
    /// When the machine or the connection ends first, and when this program's own streams fail.
    pub async fn run<I, O, E>(
        self,
        ends: Ends<I, O, E>,
        orders: mpsc::UnboundedReceiver<FromHost>,
    ) -> Result<Ended, InstanceError>
    where
        I: AsyncRead + Unpin,
        O: AsyncWrite + Unpin,
        E: AsyncWrite + Unpin,
    {
        match self.command.run(ends, orders).await {
            Err(ExecError::Closed) if meanwhile::is_ending(self.process).await => {
                Err(InstanceError::StoppedMeanwhile(self.name))
            }
            ended => Ok(ended?),
        }
    }
}
