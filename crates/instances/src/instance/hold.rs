//! Pausing a machine with all of its guest's data written to its disk, and ending it in that state.

use std::time::Duration;

use base::events::{Event, Reporter};
use protocol::Command;
use vm::agent::{Agent, AgentError};
use vm::process::ProcessIdentity;
use vm::qmp::{Qmp, RunState};

use super::Instance;
use super::error::InstanceError;
use super::live::Live;
use crate::guest_link::deliver::Fallback;

/// How long the guest may take to write its disk, on hardware acceleration.
const SYNC_LIMIT: Duration = Duration::from_secs(2);

/// How long the monitor may take to greet.
pub(super) const MONITOR_LIMIT: Duration = Duration::from_secs(5);

/// How long QEMU may take to close its disks and end.
const QUIT_LIMIT: Duration = Duration::from_secs(10);

impl Instance {
    /// Pauses the machine, whose guest writes its disk before; one that is paused already cannot. QEMU has written all of its data
    /// then.
    ///
    /// # Errors
    /// When the monitor gives no answer.
    pub(super) async fn hold(
        &self,
        qmp: &Qmp,
        live: &Live,
        reporter: &dyn Reporter,
    ) -> Result<(), InstanceError> {
        if qmp.status().await? == RunState::running {
            self.sync(live, reporter).await;
        }
        Ok(qmp.stop().await?)
    }

    /// Makes the guest write its disk, so that it is as complete as after a shutdown even if the memory is lost. A guest that does not
    /// answer is suspended all the same.
    pub(super) async fn sync(&self, live: &Live, reporter: &dyn Reporter) {
        let limit = SYNC_LIMIT * live.topology().accelerator.patience();
        let after = |error: &AgentError| matches!(error, AgentError::Io { .. });
        let fallback = Fallback { qga: &live.machine.qga, limit, after };
        let own = async |command| {
            Agent::reach(&live.machine.agent, MONITOR_LIMIT).await?.call(command, limit).await
        };
        let synced = fallback.deliver(own, || Ok::<_, AgentError>(Command::Sync), |_| ()).await;
        if let Err(error) = synced {
            reporter.report(&Event::Notice(&format!("the guest has not synced its disk: {error}")));
        }
    }
}

/// Ends a paused machine whose state is kept: by its monitor, or else by a signal, since it must not continue.
pub(super) async fn end_held(qmp: &Qmp, process: ProcessIdentity) -> Result<(), InstanceError> {
    let ended = async {
        qmp.quit().await?;
        Ok::<_, InstanceError>(process.gone(QUIT_LIMIT).await?)
    };
    if ended.await.is_err() {
        process.kill().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use base::process::Cmd;
    use fake_monitor::{Server, answer, monitor_opening};
    use vm::process::Launched;

    use super::*;

    #[tokio::test]
    async fn a_machine_whose_state_is_kept_ends_though_its_monitor_refuses() {
        let dir = tempfile::tempdir().unwrap();
        let cmd = Cmd::new("sh").args(["-c", "exec sleep 600"]);
        let launched = Launched::start(&cmd, &dir.path().join("log")).unwrap();
        let refusal = answer("quit", r#"{"error": {"class": "GenericError", "desc": "not now"}, "id": 2}"#);
        let server = Server::start(vec![monitor_opening().into_iter().chain([refusal]).collect()]);
        let qmp = Qmp::reach(&server.path(), MONITOR_LIMIT).await.unwrap();
        let process = launched.identity();
        end_held(&qmp, process).await.unwrap();
        assert!(!process.is_alive().unwrap());
    }
}
