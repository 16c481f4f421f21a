//! New secrets for an instance that runs.

use std::time::Duration;

use base::events::{Phase, Reporter};
use base::files::present;
use protocol::Command;
use vm::agent::{self, Agent};

use super::error::InstanceError;
use super::live::Live;
use super::record::{self, Record};
use super::secrets::{self, Telling};
use super::state::{State, Viewer, inspect};
use super::{Instance, meanwhile};

/// How long the agent may take, on hardware acceleration.
const AGENT_LIMIT: Duration = Duration::from_secs(5);

impl Instance {
    /// Gives the running instance new secrets; the ones that it had are refused from then on.
    ///
    /// # Errors
    /// When it does not run or has the image's placeholders; and when its agent fails or does not answer. Then it may have the new
    /// secrets or the old: that is noted, and the next rotation or start puts the noted ones in place.
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
        // Asked before anything is noted: without them the guest cannot be told.
        self.mend_sockets(&live).await?;
        let mut renewed: Record = record::read(&self.dir.record())?.ok_or_else(not_running)?;
        let phase = Phase::start(reporter, "rotate", "Renew the secrets");
        let Some(session) = renewed.session.as_mut().filter(|session| session.secrets.is_some()) else {
            return Err(InstanceError::NotRotated(self.name.clone()));
        };
        let fresh = secrets::fresh(&live.secrets).map_err(InstanceError::Random)?;
        session.secrets = Some(fresh.clone());
        session.unconfirmed = true;
        // Noted first: secrets that are noted and not in force can be renewed again, the other way round nobody knows them.
        record::write(&self.dir.record(), &renewed)?;
        let telling = Telling {
            name: &self.name,
            ports: &live.ports,
            described: &live.secrets,
            hooks: &live.hooks,
            secrets: Some(&fresh),
        };
        let in_doubt = |cause| InstanceError::Unconfirmed { name: self.name.clone(), cause: Box::new(cause) };
        let told = async { tell(&live, &telling).await.map_err(in_doubt) };
        let process = live.process.ok_or_else(not_running)?;
        // The next start puts the noted ones in place.
        meanwhile::unless_gone(process, told).await?.ok_or_else(not_running)?;
        self.confirm(renewed)?;
        phase.done();
        Ok(live)
    }

    /// Notes that the guest has the secrets of `record`, where that was in doubt.
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

async fn tell(live: &Live, telling: &Telling<'_>) -> Result<(), InstanceError> {
    let limit = AGENT_LIMIT * live.accelerator.patience();
    let message = || {
        let message = telling.message(true).map_err(InstanceError::Random)?;
        Ok::<_, InstanceError>(Command::Resume(Box::new(message)))
    };
    let told = async {
        let command = message()?;
        Ok::<_, InstanceError>(Agent::reach(&live.agent, limit).await?.call(command, limit).await?)
    };
    if told.await.is_err() {
        agent::call_through_qga(&live.qga, message()?, limit).await?;
    }
    Ok(())
}
