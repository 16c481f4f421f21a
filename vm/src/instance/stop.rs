//! Stopping: a ladder from asking the guest to killing QEMU, each step down reported with its cause.

use std::path::Path;
use std::time::{Duration, Instant};

use host::events::{Event, Phase, Reporter};
use host::files::present;
use serde::Serialize;

use super::Instance;
use super::error::{InstanceError, one_line};
use super::live::Live;
use super::state::{Fault, State, Viewer, inspect};
use crate::process::{ProcessIdentity, Signal, VmProcessError};
use crate::qga::Qga;
use crate::qmp::{Qmp, QmpError};

/// How an instance came to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It did not run.
    WasStopped,
    /// QEMU had ended without being told to; what it left behind is cleaned up.
    WasGone,
    /// The machine was suspended: memory and devices are kept beside its disk.
    Suspended,
    /// The guest powered itself off.
    PoweredOff,
    /// QEMU was told to end, and closed its disks; the guest did not shut down.
    Terminated,
    /// QEMU had to be killed.
    Killed,
}

/// How an instance was stopped.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// The last step of the ladder that was needed.
    pub ending: Ending,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Stopped {
    /// How long it took.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// How long each step of the ladder may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The power button's effect, before the guest agent is asked too.
    pub(super) button: Duration,
    /// The guest agent's sign of life.
    pub(super) agent: Duration,
    /// The monitor's greeting.
    pub(super) monitor: Duration,
    /// The guest's shutdown.
    pub(super) power_off: Duration,
    /// QEMU's end after SIGTERM: it flushes its disks.
    pub(super) terminate: Duration,
}

impl Limits {
    /// For a guest that is `scale` times slower than under hardware acceleration.
    pub(super) fn scaled(scale: u32) -> Self {
        Self {
            button: Duration::from_millis(250) * scale,
            agent: Duration::from_secs(1) * scale,
            monitor: Duration::from_secs(1),
            power_off: Duration::from_secs(10) * scale,
            terminate: Duration::from_secs(10),
        }
    }
}

/// A QEMU that is to end.
pub(super) struct Ladder<'a> {
    pub(super) process: ProcessIdentity,
    pub(super) qmp: &'a Path,
    pub(super) qga: &'a Path,
    pub(super) limits: Limits,
}

impl Ladder<'_> {
    /// Takes one step after the other until the process is gone, and gives the last one.
    pub(super) async fn descend(&self, reporter: &dyn Reporter) -> Result<Ending, VmProcessError> {
        if !self.process.is_alive()? {
            return Ok(Ending::WasGone);
        }
        let Limits { power_off, terminate, .. } = self.limits;
        let cause = match tokio::time::timeout(power_off, self.power_off()).await {
            Ok(Ok(())) => return Ok(Ending::PoweredOff),
            Ok(Err(cause)) => cause,
            Err(_) => format!("the guest did not power off within {:.0} s", power_off.as_secs_f64()),
        };
        reporter.report(&Event::Warning(&format!("{cause}: telling QEMU to end (SIGTERM)")));
        self.process.signal(Signal::Terminate)?;
        if self.process.gone(terminate).await.is_ok() {
            return Ok(Ending::Terminated);
        }
        let cause = format!("QEMU did not end within {:.0} s", terminate.as_secs_f64());
        reporter.report(&Event::Warning(&format!("{cause}: killing it (SIGKILL)")));
        self.process.kill().await?;
        Ok(Ending::Killed)
    }

    /// Presses the power button, and asks the guest agent too when that shows no effect: a guest that is still booting, or
    /// has lost its button's daemon, may heed only one of them. Returns when the process is gone, or nobody can be asked.
    async fn power_off(&self) -> Result<(), String> {
        let pressed = self.press_button().await;
        if pressed.is_ok() && self.process.gone(self.limits.button).await.is_ok() {
            return Ok(());
        }
        let mut qga = Qga::new(self.qga);
        let asked = tokio::select! {
            gone = self.gone() => return gone,
            asked = qga.shutdown(self.limits.agent) => asked,
        };
        match (pressed, asked) {
            (Err(button), Err(agent)) => {
                Err(format!("the guest cannot be asked to power off ({button}; {agent})"))
            }
            _ => self.gone().await,
        }
    }

    async fn press_button(&self) -> Result<(), QmpError> {
        Qmp::reach(self.qmp, self.limits.monitor).await?.system_powerdown().await
    }

    /// Waits for as long as the caller's deadline lets it.
    async fn gone(&self) -> Result<(), String> {
        self.process.gone(self.limits.power_off).await.map_err(|error| error.to_string())
    }
}

/// How an instance is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// So that the next start goes on where it was; powered off where that cannot be done, which is told.
    Suspend,
    /// By the guest's own shutdown.
    PowerOff,
}

impl Instance {
    /// Stops the instance and proves that nothing of it runs any more. Its data stays.
    ///
    /// # Errors
    /// When QEMU outlives even SIGKILL, or the instance's files cannot be read or removed.
    pub async fn stop(&self, how: How, reporter: &dyn Reporter) -> Result<Stopped, InstanceError> {
        let start = Instant::now();
        let ended = |ending| Stopped { ending, seconds: start.elapsed().as_secs_f64() };
        if !present(self.dir.root())? {
            return Ok(ended(Ending::WasStopped));
        }
        let _lock = self.lock(reporter).await?;
        let ending = match inspect(&self.dir, Viewer::Holder)? {
            State::Running(live) => {
                let Some(process) = live.process else { return Ok(ended(Ending::WasStopped)) };
                let ending = match how {
                    How::Suspend => match self.suspended(&live, process, reporter).await? {
                        Some(ending) => ending,
                        None => power_off(&live, process, reporter).await?,
                    },
                    How::PowerOff => power_off(&live, process, reporter).await?,
                };
                self.released().await?;
                self.clear_live()?;
                ending
            }
            State::Elsewhere(elsewhere) => return Err(elsewhere.into()),
            State::Broken(faults) if faults.iter().any(Fault::heals) => {
                self.recover(&faults, reporter).await?;
                Ending::WasGone
            }
            // Whether it runs cannot be told.
            State::Broken(faults) if present(&self.dir.live()).unwrap_or(true) => {
                return Err(InstanceError::Broken { name: self.name.clone(), faults });
            }
            _ => Ending::WasStopped,
        };
        Ok(ended(ending))
    }

    /// Suspends the machine, or says why it cannot be. Gives how it ended, if it has.
    async fn suspended(
        &self,
        live: &Live,
        process: ProcessIdentity,
        reporter: &dyn Reporter,
    ) -> Result<Option<Ending>, InstanceError> {
        if let Some(socket) = live.lost_socket().filter(|socket| *socket == live.qmp) {
            let text =
                format!("cannot keep the memory (the socket `{}` is gone): powering off", socket.display());
            reporter.report(&Event::Warning(&text));
            return Ok(None);
        }
        let phase = Phase::start(reporter, "suspend", "Suspend");
        let Err(error) = self.suspend(live, process, reporter).await else {
            phase.done();
            return Ok(Some(Ending::Suspended));
        };
        drop(phase);
        let reason = one_line(&error);
        let (text, ending) = if process.is_alive()? {
            (format!("cannot suspend ({reason}): powering off"), None)
        } else {
            let text = format!("cannot keep the memory ({reason}): the next start boots from the disk");
            (text, Some(Ending::Terminated))
        };
        reporter.report(&Event::Warning(&text));
        Ok(ending)
    }
}

async fn power_off(
    live: &Live,
    process: ProcessIdentity,
    reporter: &dyn Reporter,
) -> Result<Ending, VmProcessError> {
    let limits = Limits::scaled(live.accelerator.patience());
    let ladder = Ladder { process, qmp: &live.qmp, qga: &live.qga, limits };
    let phase = Phase::start(reporter, "stop", "Power off");
    let ending = ladder.descend(reporter).await?;
    phase.done();
    Ok(ending)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Mutex;

    use host::process::Cmd;

    use super::*;
    use crate::process::Launched;
    use crate::wire::script::{Server, answer, answer_with, monitor_opening};

    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);

    impl Reporter for Warnings {
        fn report(&self, event: &Event<'_>) {
            if let Event::Warning(text) = event {
                self.0.lock().unwrap().push((*text).to_owned());
            }
        }
    }

    const QUICK: Limits = Limits {
        button: Duration::from_secs(5),
        agent: Duration::from_millis(50),
        monitor: Duration::from_secs(5),
        power_off: Duration::from_secs(20),
        terminate: Duration::from_millis(300),
    };

    struct Victim {
        dir: tempfile::TempDir,
        launched: Launched,
    }

    impl Victim {
        /// A process in place of QEMU; `ready` appears in the log once its traps are set.
        async fn new(script: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().join("log");
            let cmd =
                Cmd::new("sh").args(["-c", &format!("{script}; echo ready; while :; do sleep 1; done")]);
            let launched = Launched::start(&cmd, &log).unwrap();
            let set =
                async || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("ready")).then_some(());
            host::wait::until(Duration::from_secs(10), set).await.unwrap();
            Self { dir, launched }
        }

        /// Nobody listens there, unless a test puts a link.
        fn qga(&self) -> PathBuf {
            self.dir.path().join("qga")
        }

        /// Nobody listens there.
        fn qmp(&self) -> PathBuf {
            self.dir.path().join("qmp")
        }

        async fn descend(&self, qmp: &Path, limits: Limits) -> (Ending, Vec<String>) {
            let warnings = Warnings::default();
            let process = self.launched.identity();
            let ladder = Ladder { process, qmp, qga: &self.qga(), limits };
            let ending = ladder.descend(&warnings).await.unwrap();
            assert!(!process.is_alive().unwrap());
            let said = warnings.0.into_inner().unwrap();
            (
                ending,
                said.into_iter()
                    .map(|text| text.replace(self.dir.path().to_str().unwrap(), "[dir]"))
                    .collect(),
            )
        }
    }

    #[tokio::test]
    async fn the_power_button_needs_no_agent() {
        let victim = Victim::new(":").await;
        let process = victim.launched.identity();
        let button = answer_with("system_powerdown", move |_| {
            process.signal(Signal::Kill).unwrap();
            r#"{"return": {}, "id": 2}"#.to_owned()
        });
        let server = Server::start(vec![monitor_opening().into_iter().chain([button]).collect()]);
        assert_eq!(victim.descend(&server.path(), QUICK).await, (Ending::PoweredOff, Vec::new()));
    }

    #[tokio::test]
    async fn a_guest_that_ignores_its_button_is_asked_through_its_agent() {
        let victim = Victim::new(":").await;
        let process = victim.launched.identity();
        let button = answer("system_powerdown", r#"{"return": {}, "id": 2}"#);
        let monitor = Server::start(vec![monitor_opening().into_iter().chain([button]).collect()]);
        let sync =
            answer_with("guest-sync", |command| format!("{{\"return\": {}}}", command["arguments"]["id"]));
        let shutdown = answer_with("guest-shutdown", move |_| {
            process.signal(Signal::Kill).unwrap();
            String::new()
        });
        let agent = Server::start(vec![vec![sync, shutdown]]);
        std::os::unix::fs::symlink(agent.path(), victim.qga()).unwrap();
        let limits = Limits { button: Duration::from_millis(50), agent: Duration::from_secs(5), ..QUICK };
        assert_eq!(victim.descend(&monitor.path(), limits).await, (Ending::PoweredOff, Vec::new()));
    }

    #[tokio::test]
    async fn a_guest_that_cannot_be_asked_is_terminated_and_the_reason_is_said() {
        let victim = Victim::new(":").await;
        let limits = Limits { monitor: Duration::from_millis(50), ..QUICK };
        let (ending, said) = victim.descend(&victim.qmp(), limits).await;
        assert_eq!(ending, Ending::Terminated);
        insta::assert_snapshot!(said.join("\n"), @"the guest cannot be asked to power off (cannot talk to QEMU's monitor at `[dir]/qmp`; cannot talk to the guest agent at `[dir]/qga`): telling QEMU to end (SIGTERM)");
    }

    #[tokio::test]
    async fn what_ignores_even_that_is_killed() {
        let victim = Victim::new("trap '' TERM").await;
        let limits = Limits { monitor: Duration::from_millis(50), ..QUICK };
        let (ending, said) = victim.descend(&victim.qmp(), limits).await;
        assert_eq!(ending, Ending::Killed);
        assert_eq!(said[1], "QEMU did not end within 0 s: killing it (SIGKILL)");
    }

    #[tokio::test]
    async fn a_process_that_is_gone_needs_no_step() {
        let victim = Victim::new(":").await;
        victim.launched.identity().kill().await.unwrap();
        assert_eq!(victim.descend(&victim.qmp(), QUICK).await, (Ending::WasGone, Vec::new()));
    }
}
