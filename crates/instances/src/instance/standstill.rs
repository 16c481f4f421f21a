//! A machine that is paused though QEMU runs: why, and how it continues.

use std::fmt;
use std::time::Duration;

use base::events::{Event as Report, Reporter};
use protocol::Command;
use qapi::qmp::{self, BlockDeviceIoStatus, BlockErrorAction};
use vm::agent::{self, Agent};
use vm::qmp::{Event, Events, Qmp, QmpError, RunState};

use super::Instance;
use super::error::InstanceError;
use super::live::Live;
use super::suspension;

/// How long the monitor of a running machine may take to greet.
const MONITOR_LIMIT: Duration = Duration::from_secs(5);

/// How long QEMU may take to give up saving.
pub(super) const CANCEL_LIMIT: Duration = Duration::from_secs(10);

/// How long it may take when only the reason is needed.
const LOOK_LIMIT: Duration = Duration::from_secs(1);

/// How long the agent may take to set the clock, on hardware acceleration.
const AGENT_LIMIT: Duration = Duration::from_secs(1);

/// Why a machine is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standstill {
    /// The command that was suspending it has ended, or is still running.
    CutShort,
    /// QEMU has paused it, because there is no room for its disk. A quota may be the cause too: that of XFS, and sometimes that of Btrfs.
    DiskFull,
    /// QEMU has paused it, because its disk could not be read or written.
    DiskFails,
}

impl fmt::Display for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CutShort => "a stop was cut short",
            Self::DiskFull => "its disk could not be written: this machine's is full, or a quota is used up",
            Self::DiskFails => {
                "its disk could not be read or written: this machine's fails, or a quota is used up"
            }
        })
    }
}

impl Standstill {
    /// Why the machine of this monitor is paused, if it is.
    pub(super) async fn of(qmp: &Qmp) -> Result<Option<Self>, QmpError> {
        Ok(match qmp.status().await? {
            RunState::paused | RunState::finish_migrate | RunState::postmigrate => Some(Self::CutShort),
            RunState::io_error => {
                let disks = qmp.execute(qmp::query_block {}).await?;
                let full = |disk: &qmp::BlockInfo| disk.io_status == Some(BlockDeviceIoStatus::nospace);
                Some(if disks.iter().any(full) { Self::DiskFull } else { Self::DiskFails })
            }
            _ => None,
        })
    }

    /// Why the machine of `live` is paused. `None` also when its monitor does not answer, as while another command uses it.
    pub async fn look(live: &Live) -> Option<Self> {
        Self::of(&Qmp::reach(&live.machine.qmp, LOOK_LIMIT).await.ok()?).await.ok()?
    }
}

/// A machine that was just continued.
pub(super) struct Released {
    /// Keeps the connection.
    _qmp: Qmp,
    events: Events,
}

impl Released {
    /// Waits until QEMU pauses it again because the host's disk fails, and returns that as an error. Never ends while all is well.
    pub(super) async fn fails(&mut self) -> InstanceError {
        disk_error(&mut self.events).await
    }
}

impl Instance {
    /// Continues a paused machine: the command that was suspending it was killed, or QEMU has paused it because the host's
    /// disk failed.
    pub(super) async fn unpause(
        &self,
        live: &Live,
        reporter: &dyn Reporter,
    ) -> Result<Option<Released>, InstanceError> {
        let qmp = Qmp::reach(&live.machine.qmp, MONITOR_LIMIT).await?;
        let Some(because) = Standstill::of(&qmp).await? else { return Ok(None) };
        reporter.report(&Report::Notice(&format!("`{}` is paused ({because}): continuing", self.name())));
        qmp.cancel_save(CANCEL_LIMIT).await?;
        // The saved state of a machine that continues is invalid, and as large as its memory.
        suspension::forget(&self.dir)?;
        let events = qmp.events();
        continue_machine(&qmp, live).await?;
        Ok(Some(Released { _qmp: qmp, events }))
    }
}

/// Lets the virtual CPUs run and sets the guest's clock, which has not noticed how long they were paused. The time is the first message
/// to the guest; and it is sent once more when the guest has woken up, since waking takes time. A guest that does not answer is reported
/// by the health checks.
///
/// # Errors
/// When QEMU refuses, has ended, or pauses the machine again because the host's disk still fails.
pub(super) async fn continue_machine(qmp: &Qmp, live: &Live) -> Result<(), InstanceError> {
    let limit = AGENT_LIMIT * live.topology().accelerator.patience();
    let set_clock = async || {
        let mut agent = Agent::reach(&live.machine.agent, limit).await?;
        agent.call(Command::Clock { time: agent::now() }, limit).await?;
        agent.call(Command::Clock { time: agent::now() }, limit).await
    };
    let mut events = qmp.events();
    let clock_set = async {
        let _ = set_clock().await;
        Ok(())
    };
    let (clock_set, continued) = tokio::join!(unless_disk_fails(&mut events, clock_set), qmp.cont());
    continued?;
    clock_set
}

/// Waits until QEMU pauses the machine because the host's disk fails. Never ends while all is well.
pub(super) async fn disk_error(events: &mut Events) -> InstanceError {
    while let Some(event) = events.next().await {
        if let Some(reason) = disk_failure(&event) {
            return InstanceError::DiskFails { reason };
        }
    }
    std::future::pending().await
}

/// Why the disk fails, if `event` reports that the machine is paused because of it.
pub(super) fn disk_failure(event: &Event) -> Option<String> {
    match event {
        Event::BLOCK_IO_ERROR { data, .. } if data.action == BlockErrorAction::stop => {
            Some(data.reason.clone())
        }
        _ => None,
    }
}

/// Runs `work` unless QEMU pauses the machine first because the host's disk fails.
pub(super) async fn unless_disk_fails<T>(
    events: &mut Events,
    work: impl Future<Output = Result<T, InstanceError>>,
) -> Result<T, InstanceError> {
    tokio::select! {
        biased;
        done = work => done,
        error = disk_error(events) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fake_monitor::{Server, Step, answer, monitor_opening, say};

    const SOON: Duration = Duration::from_secs(5);

    /// A block device that is `io_status`, as QEMU 10.2 describes it.
    fn block(io_status: &str) -> String {
        format!(
            r#"{{"return": [{{"io-status": "{io_status}", "device": "", "locked": false, "removable": false, "qdev": "/machine/peripheral/disk-root/virtio-backend", "type": "unknown"}}], "id": 3}}"#
        )
    }

    fn status(status: &str) -> Step {
        let text = format!(r#"{{"return": {{"status": "{status}", "running": false}}, "id": 2}}"#);
        fake_monitor::answer_with("query-status", move |_| text)
    }

    async fn connected(steps: Vec<Step>) -> (Server, Qmp) {
        let server = Server::start(vec![monitor_opening().into_iter().chain(steps).collect()]);
        let qmp = Qmp::connect(&server.path(), SOON).await.unwrap();
        (server, qmp)
    }

    #[tokio::test]
    async fn a_machine_paused_by_its_disk_reports_whether_the_hosts_is_full() {
        for (io_status, expected) in [("nospace", Standstill::DiskFull), ("failed", Standstill::DiskFails)] {
            let text = block(io_status);
            let block = fake_monitor::answer_with("query-block", move |_| text);
            let (_server, qmp) = connected(vec![status("io-error"), block]).await;
            assert_eq!(Standstill::of(&qmp).await.unwrap(), Some(expected));
        }
    }

    #[tokio::test]
    async fn a_running_machine_is_distinguished_from_a_paused_one() {
        let (_server, qmp) = connected(vec![status("running")]).await;
        assert_eq!(Standstill::of(&qmp).await.unwrap(), None);
        let (_server, qmp) = connected(vec![status("paused")]).await;
        assert_eq!(Standstill::of(&qmp).await.unwrap(), Some(Standstill::CutShort));
    }

    #[tokio::test]
    async fn a_disk_that_pauses_the_machine_ends_the_wait_for_it() {
        let event = |action: &str, reason: &str| {
            say(&format!(
                r#"{{"event": "BLOCK_IO_ERROR", "data": {{"device": "", "qom-path": "/machine/x", "node-name": "root", "operation": "write", "action": "{action}", "nospace": false, "reason": "{reason}"}}, "timestamp": {{"seconds": 1, "microseconds": 2}}}}"#
            ))
        };
        let steps = vec![
            answer("cont", r#"{"return": {}, "id": 2}"#),
            event("report", "Input/output error"),
            event("stop", "Disk quota exceeded"),
        ];
        let (_server, qmp) = connected(steps).await;
        let mut events = qmp.events();
        qmp.cont().await.unwrap();
        let error =
            unless_disk_fails(&mut events, std::future::pending::<Result<(), _>>()).await.unwrap_err();
        assert!(error.to_string().ends_with("Disk quota exceeded"), "{error}");
    }
}
