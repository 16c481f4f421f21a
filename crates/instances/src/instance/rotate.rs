//! New secrets for an instance that runs.

use std::time::Duration;

use base::events::{Phase, Reporter};
use base::files::present;
use vm::agent::{Agent, AgentError};

use super::error::InstanceError;
use super::live::Live;
use super::record::{self, Record};
use super::state::{State, Viewer, inspect};
use super::{Instance, meanwhile};
use crate::guest_link::deliver::Fallback;
use crate::guest_link::message::Message;
use crate::secrets;

/// How long the agent may take, on hardware acceleration.
const AGENT_LIMIT: Duration = Duration::from_secs(5);

impl Instance {
    /// Gives the running instance new secrets; the previous ones are refused from then on.
    ///
    /// # Errors
    /// When it does not run or has the image's placeholders; and when its agent fails or does not answer. Then it may have the new
    /// secrets or the old: that is recorded, and the next rotation or start sends the recorded ones.
    pub async fn rotate(&self, reporter: &dyn Reporter) -> Result<Live, InstanceError> {
        let not_running = || InstanceError::NotRunning(self.name.clone());
        if !present(self.dir.root())? {
            return Err(not_running());
        }
        let _lock = self.lock(reporter).await?;
        let live = match inspect(&self.dir, Viewer::Holder)? {
            State::Running(live) => live,
            State::Elsewhere(elsewhere) => return Err(elsewhere.into()),
            State::Broken(faults) => return Err(InstanceError::Broken { name: self.name.clone(), faults }),
            _ => return Err(not_running()),
        };
        // Before anything is recorded: without sockets the guest cannot be reached.
        self.mend_sockets(&live).await?;
        let mut renewed: Record = record::read(&self.dir.record())?.ok_or_else(not_running)?;
        let phase = Phase::start(reporter, "rotate", "Renew the secrets");
        let Some(session) = renewed.session.as_mut().filter(|session| session.secrets.is_some()) else {
            return Err(InstanceError::NotRotated(self.name.clone()));
        };
        let fresh = secrets::fresh(&live.stack.secrets).map_err(InstanceError::Random)?;
        session.secrets = Some(fresh.clone());
        session.unconfirmed = true;
        // Recorded first: recorded secrets that are not in force can be renewed again, but secrets in force that are not recorded are lost.
        record::write(&self.dir.record(), &renewed)?;
        let message = Message {
            name: &self.name,
            ports: &live.stack.ports,
            described: &live.stack.secrets,
            hooks: &live.stack.hooks,
            secrets: Some(&fresh),
        };
        let in_doubt = |cause| InstanceError::Unconfirmed { name: self.name.clone(), cause: Box::new(cause) };
        let renewed_in_guest = async { renew(&live, &message).await.map_err(in_doubt) };
        let process = live.machine.process.ok_or_else(not_running)?;
        // The next start sends the recorded ones.
        meanwhile::unless_gone(process, renewed_in_guest).await?.ok_or_else(not_running)?;
        self.confirm(renewed)?;
        phase.done();
        Ok(live)
    }

    /// Records that the guest has the secrets of `record`, where that was in doubt.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(super) fn confirm(&self, mut record: Record) -> Result<(), InstanceError> {
        match &mut record.session {
            Some(session) if session.unconfirmed => session.unconfirmed = false,
            _ => return Ok(()),
        }
        Ok(record::write(&self.dir.record(), &record)?)
    }
}

async fn renew(live: &Live, message: &Message<'_>) -> Result<(), InstanceError> {
    let limit = AGENT_LIMIT * live.topology().accelerator.patience();
    // An agent that has answered why it could not do it has tried: the other one would wait for the same.
    let after = |error: &AgentError| !matches!(error, AgentError::Failed { .. });
    let fallback = Fallback { qga: &live.machine.qga, limit, after };
    let own = async |command| Agent::reach(&live.machine.agent, limit).await?.call(command, limit).await;
    let command = || message.command(true).map_err(InstanceError::Random);
    fallback.deliver(own, command, |_| ()).await.map(drop)
}
