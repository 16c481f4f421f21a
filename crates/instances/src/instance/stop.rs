//! Stopping: a ladder from asking the guest to killing QEMU, each step down reported with its cause.

use std::path::Path;
use std::time::{Duration, Instant};

use base::events::{Event, Phase, Reporter};
use base::files::{FileLock, present};
use base::limits;
use vm::error::one_line;
use vm::process::{ProcessIdentity, Signal, VmProcessError};
use vm::qga::Qga;
use vm::qmp::QmpError;

use super::end::{self, Witness};
pub use super::ending::{Ending, Stopped};
use super::error::InstanceError;
use super::live::Live;
use super::removed::RemovedDisk;
use super::state::{Fault, State, Viewer, inspect};
use super::{Instance, meanwhile};

/// How long each step of the ladder may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The power button's effect, before the guest agent is asked too.
    pub(super) button: Duration,
    /// The guest agent's first answer.
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

/// A QEMU that has to end.
pub(super) struct Ladder<'a> {
    pub(super) process: ProcessIdentity,
    pub(super) qmp: &'a Path,
    pub(super) qga: &'a Path,
    pub(super) limits: Limits,
}

impl Ladder<'_> {
    /// Takes one step after the other until the process has ended, and returns the last one.
    pub(super) async fn descend(&self, reporter: &dyn Reporter) -> Result<Ending, VmProcessError> {
        if !self.process.is_alive()? {
            return Ok(Ending::WasGone);
        }
        let Limits { power_off, terminate, .. } = self.limits;
        let mut witness = Witness::new(self.qmp);
        let cause = match tokio::time::timeout(power_off, self.power_off(&mut witness)).await {
            Ok(Ok(())) => {
                let (ending, otherwise) = witness.verdict().await;
                if let Some(text) = otherwise {
                    reporter.report(&Event::Warning(&text));
                }
                return Ok(ending);
            }
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

    /// Presses the power button, and asks the guest agent too when that has no effect: a guest that is still booting, or
    /// has lost its button's daemon, may react to only one of them. Returns when the process has ended, neither can be used, or the host's disk
    /// prevents it.
    async fn power_off(&self, witness: &mut Witness<'_>) -> Result<(), String> {
        let pressed = witness.press_button(self.limits.monitor).await;
        if pressed.is_ok() && self.process.gone(self.limits.button).await.is_ok() {
            return Ok(());
        }
        tokio::select! {
            gone = self.asked(pressed) => gone,
            reason = witness.disk_fails() => {
                Err(format!("the guest cannot power off, because the host's disk fails it ({reason})"))
            }
        }
    }

    /// Asks the guest agent too, and waits.
    async fn asked(&self, pressed: Result<(), QmpError>) -> Result<(), String> {
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

    /// Waits until the caller's deadline.
    async fn gone(&self) -> Result<(), String> {
        self.process.gone(self.limits.power_off).await.map_err(|error| error.to_string())
    }
}

/// How to stop an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By suspending it, so that the next start resumes it; powered off if that fails, which is reported.
    Suspend,
    /// By the guest's own shutdown.
    PowerOff,
}

impl Instance {
    /// Stops the instance and verifies that nothing of it runs any more. Its data stays.
    ///
    /// # Errors
    /// When QEMU outlives even SIGKILL, or the instance's files cannot be read or removed.
    pub async fn stop(&self, how: How, reporter: &dyn Reporter) -> Result<Stopped, InstanceError> {
        let start = Instant::now();
        let ending = if present(self.dir.root())? {
            let lock = self.lock(reporter).await?;
            self.stop_holding(how, &lock, reporter).await?
        } else {
            Ending::WasStopped
        };
        Ok(Stopped { ending, seconds: start.elapsed().as_secs_f64() })
    }

    /// The same, where the instance's lock is held.
    pub(super) async fn stop_holding(
        &self,
        how: How,
        _lock: &FileLock,
        reporter: &dyn Reporter,
    ) -> Result<Ending, InstanceError> {
        Ok(match inspect(&self.dir, Viewer::Holder)? {
            State::Running(live) => {
                let Some(process) = live.machine.process else { return Ok(Ending::WasStopped) };
                let stopping = self.dir.stopping_lock();
                let shown = FileLock::acquire(&stopping, || {}).await?;
                let ending = match how {
                    How::Suspend => match self.suspended(&live, process, reporter).await? {
                        Some(ending) => ending,
                        None => self.power_off(&live, process, reporter).await?,
                    },
                    How::PowerOff => self.power_off(&live, process, reporter).await?,
                };
                self.released().await?;
                if ending == Ending::Crashed {
                    reporter.report(&Event::Notice(&self.keep_evidence(&self.dir.failed_stop())));
                }
                self.clear_live()?;
                shown.remove(&stopping)?;
                ending
            }
            State::Elsewhere(elsewhere) => return Err(elsewhere.into()),
            State::Broken(faults) if faults.iter().any(Fault::heals) => {
                self.recover(&faults, reporter).await?;
                Ending::WasGone
            }
            // It is unknown whether it runs.
            State::Broken(faults) if present(&self.dir.live()).unwrap_or(true) => {
                return Err(InstanceError::Broken { name: self.name.clone(), faults });
            }
            _ => Ending::WasStopped,
        })
    }

    /// Suspends the machine, or reports why it cannot be suspended. Returns how it ended, if it has.
    async fn suspended(
        &self,
        live: &Live,
        process: ProcessIdentity,
        reporter: &dyn Reporter,
    ) -> Result<Option<Ending>, InstanceError> {
        if live.has_lost_monitor() {
            let socket = live.machine.qmp.display();
            let text = format!("cannot keep the memory (the socket `{socket}` is not there): powering off");
            reporter.report(&Event::Warning(&text));
            // The guest may not be reached in any other way.
            self.sync(live, reporter).await;
            return Ok(None);
        }
        // A limit of this shell must not cause the loss of the memory.
        limits::file_size("the machine's memory", live.topology().memory_mib << 20)?;
        let phase = Phase::start(reporter, "suspend", "Suspend");
        let Err(error) = self.suspend(live, process, reporter).await else {
            phase.done();
            return Ok(Some(Ending::Suspended));
        };
        drop(phase);
        let reason = one_line(&error);
        let (text, ending) = if !meanwhile::is_ending(process).await {
            (format!("cannot suspend ({reason}): powering off"), None)
        } else if !end::in_order(&live.machine.qmp) {
            let text = format!("QEMU crashed or was killed ({reason}): the next start boots from the disk");
            (text, Some(Ending::Crashed))
        } else {
            let text = format!("cannot keep the memory ({reason}): the next start boots from the disk");
            (text, Some(Ending::Terminated))
        };
        reporter.report(&Event::Warning(&text));
        Ok(ending)
    }

    async fn power_off(
        &self,
        live: &Live,
        process: ProcessIdentity,
        reporter: &dyn Reporter,
    ) -> Result<Ending, InstanceError> {
        let removed = RemovedDisk::of(process, &self.dir.overlay())?;
        // A paused guest does not react to the button. If it cannot be continued, or reached, the ladder reports why.
        let reachable = async {
            let _released = self.unpause(live, reporter).await?;
            self.mend_sockets(live).await
        };
        drop(meanwhile::unless_gone(process, reachable).await);
        if let Some(removed) = &removed
            && let Some(ending) = self.end_with_removed_disk(live, process, removed, reporter).await?
        {
            return Ok(ending);
        }
        let limits = Limits::scaled(live.topology().accelerator.patience());
        let ladder = Ladder { process, qmp: &live.machine.qmp, qga: &live.machine.qga, limits };
        let phase = Phase::start(reporter, "stop", "Power off");
        let ending = ladder.descend(reporter).await?;
        if let Some(removed) = removed {
            self.put_back(removed.copy().await?, reporter)?;
        }
        phase.done();
        Ok(ending)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Mutex;

    use base::process::Cmd;
    use fake_monitor::{Server, answer, answer_with, monitor_opening, say};
    use vm::process::Launched;

    use super::*;

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
        /// A process instead of QEMU; `ready` appears in the log once its traps are set.
        async fn new(script: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().join("log");
            let cmd =
                Cmd::new("sh").args(["-c", &format!("{script}; echo ready; while :; do sleep 1; done")]);
            let launched = Launched::start(&cmd, &log).unwrap();
            let set =
                async || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("ready")).then_some(());
            base::wait::until(Duration::from_secs(10), set).await.unwrap();
            Self { dir, launched }
        }

        /// Nothing listens there, unless a test creates a link.
        fn qga(&self) -> PathBuf {
            self.dir.path().join("qga")
        }

        /// Nothing listens there, unless a test creates a link.
        fn qmp(&self) -> PathBuf {
            self.dir.path().join("qmp")
        }

        /// How it ends when QEMU answers the button with a SHUTDOWN event of `data`, removes its socket if it is `tidy`, and ends.
        async fn pressed(&self, tidy: bool, data: &'static str) -> (Ending, Vec<String>) {
            let process = self.launched.identity();
            let socket = self.qmp();
            let button = answer_with("system_powerdown", move |_| {
                if tidy {
                    std::fs::remove_file(&socket).unwrap();
                }
                process.signal(Signal::Kill).unwrap();
                format!(
                    r#"{{"return": {{}}, "id": 2}}
                    {{"event": "SHUTDOWN", "data": {data}, "timestamp": {{"seconds": 1, "microseconds": 2}}}}"#
                )
            });
            let server = Server::start(vec![monitor_opening().into_iter().chain([button]).collect()]);
            std::os::unix::fs::symlink(server.path(), self.qmp()).unwrap();
            self.descend(&self.qmp(), QUICK).await
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
        let (ending, said) = victim.pressed(true, r#"{"guest": true, "reason": "guest-shutdown"}"#).await;
        assert_eq!((ending, said), (Ending::PoweredOff, Vec::new()));
    }

    #[tokio::test]
    async fn a_qemu_that_crashes_after_the_guest_has_powered_off_is_reported() {
        let victim = Victim::new(":").await;
        let (ending, said) = victim.pressed(false, r#"{"guest": true, "reason": "guest-shutdown"}"#).await;
        assert_eq!(ending, Ending::Crashed);
        assert_eq!(said, ["QEMU crashed or was killed after the guest had powered off"]);
    }

    #[tokio::test]
    async fn a_qemu_that_another_program_ends_has_not_powered_off() {
        let victim = Victim::new(":").await;
        let (ending, said) = victim.pressed(true, r#"{"guest": false, "reason": "host-signal"}"#).await;
        assert_eq!(ending, Ending::Terminated);
        assert_eq!(said, ["QEMU was ended before the guest had powered off (host-signal)"]);
    }

    #[tokio::test]
    async fn a_qemu_killed_while_the_guest_powers_off_leaves_its_socket() {
        let victim = Victim::new(":").await;
        let process = victim.launched.identity();
        let button = answer_with("system_powerdown", move |_| {
            process.signal(Signal::Kill).unwrap();
            r#"{"return": {}, "id": 2}"#.to_owned()
        });
        let server = Server::start(vec![monitor_opening().into_iter().chain([button]).collect(), Vec::new()]);
        let (ending, said) = victim.descend(&server.path(), QUICK).await;
        assert_eq!(ending, Ending::Crashed);
        assert_eq!(said, ["QEMU crashed or was killed before the guest had powered off"]);
    }

    #[tokio::test]
    async fn a_guest_that_is_paused_because_of_its_disk_is_not_waited_for() {
        let victim = Victim::new(":").await;
        let button = answer("system_powerdown", r#"{"return": {}, "id": 2}"#);
        let status =
            answer("query-status", r#"{"return": {"status": "io-error", "running": false}, "id": 3}"#);
        let block = answer("query-block", r#"{"return": [], "id": 4}"#);
        let steps = monitor_opening().into_iter().chain([button, status, block]);
        let server = Server::start(vec![steps.collect()]);
        let limits = Limits { button: Duration::from_millis(50), agent: QUICK.power_off, ..QUICK };
        let (ending, said) = victim.descend(&server.path(), limits).await;
        assert_eq!(ending, Ending::Terminated);
        assert!(said[0].contains("could not be read or written"), "{said:?}");
    }

    #[tokio::test]
    async fn a_guest_whose_disk_fails_is_not_waited_for() {
        let victim = Victim::new(":").await;
        let button = answer("system_powerdown", r#"{"return": {}, "id": 2}"#);
        let event = say(
            r#"{"event": "BLOCK_IO_ERROR", "data": {"device": "", "node-name": "root", "operation": "write", "action": "stop", "nospace": true, "reason": "No space left on device"}, "timestamp": {"seconds": 1, "microseconds": 2}}"#,
        );
        let server = Server::start(vec![monitor_opening().into_iter().chain([button, event]).collect()]);
        let limits = Limits { button: Duration::from_millis(50), agent: QUICK.power_off, ..QUICK };
        let (ending, said) = victim.descend(&server.path(), limits).await;
        assert_eq!(ending, Ending::Terminated);
        assert!(said[0].contains("(No space left on device): telling QEMU to end"), "{said:?}");
    }

    #[tokio::test]
    async fn a_guest_that_ignores_its_button_is_asked_through_its_agent() {
        let victim = Victim::new(":").await;
        let process = victim.launched.identity();
        let button = answer("system_powerdown", r#"{"return": {}, "id": 2}"#);
        let event = say(
            r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}, "timestamp": {"seconds": 1, "microseconds": 2}}"#,
        );
        let monitor = Server::start(vec![monitor_opening().into_iter().chain([button, event]).collect()]);
        let socket = victim.qmp();
        let sync =
            answer_with("guest-sync", |command| format!("{{\"return\": {}}}", command["arguments"]["id"]));
        let shutdown = answer_with("guest-shutdown", move |_| {
            std::fs::remove_file(socket).unwrap();
            process.signal(Signal::Kill).unwrap();
            String::new()
        });
        let agent = Server::start(vec![vec![sync, shutdown]]);
        std::os::unix::fs::symlink(agent.path(), victim.qga()).unwrap();
        std::os::unix::fs::symlink(monitor.path(), victim.qmp()).unwrap();
        let limits = Limits { button: Duration::from_millis(50), agent: Duration::from_secs(5), ..QUICK };
        assert_eq!(victim.descend(&victim.qmp(), limits).await, (Ending::PoweredOff, Vec::new()));
    }

    #[tokio::test]
    async fn a_guest_that_cannot_be_asked_is_terminated_and_the_reason_reported() {
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
