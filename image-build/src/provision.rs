//! Provisioning: a machine boots the disk, cloud-init does its work, the machine powers off.
//!
//! The host follows what the guest reports and gives up as soon as success is impossible: a step has failed, QEMU has
//! died, the host's disk is full, the guest is silent, or time is up. The machine never outlives the wait.

mod failure;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use base::events::{Event, Reporter};
use base::files::FileError;
use base::wait::Backoff;
use image::stack::Network;
use protocol::names::ports;
use vm::accel::AccelError;
use vm::machine::{
    Access, Begin, DISK_ROOT, DirectBoot, DiskFile, Launch, Machine, MachineError, Memory, PortEnd, Topology,
};
use vm::process::{Launched, VmProcessError};
use vm::qemu::QemuError;
use vm::qmp::{self, Qmp, QmpError};
use vm::runtime::{self, RuntimeDirError};
use vm::tail::Tail;

use crate::host_machine::{Deadlines, HostMachine};
use crate::seed::{Payload, SeedError};
pub use failure::{GuestFailure, Trouble};
use watch::{State, StepFailure, Watch};

/// How long QEMU may take to open its monitor.
const MONITOR: Duration = Duration::from_secs(20);

/// Ids of the disks with the seed and the bundle.
const SEED: &str = "seed";
const BUNDLE: &str = "bundle";

/// The serial console's log.
pub const CONSOLE_LOG: &str = "console.log";

/// The guest's progress messages.
pub const PROGRESS_LOG: &str = "progress.jsonl";

/// What QEMU itself prints.
pub const QEMU_LOG: &str = "qemu.log";

/// Why provisioning failed.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The guest was started, and it did not end as it should.
    #[error(transparent)]
    Guest(#[from] Box<GuestFailure>),
    /// The machine cannot be described.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// QEMU does not know the machine.
    #[error(transparent)]
    Type(#[from] QemuError),
    /// No accelerator could be tried.
    #[error(transparent)]
    Accel(#[from] AccelError),
    /// There is no directory for QEMU's sockets.
    #[error(transparent)]
    Runtime(#[from] RuntimeDirError),
    /// QEMU could not be started.
    #[error(transparent)]
    Start(#[from] VmProcessError),
    /// QEMU's monitor cannot be used.
    #[error(transparent)]
    Monitor(#[from] QmpError),
    /// The volumes cannot be created.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl ProvisionError {
    /// Whether the emulation is the cause, so that another run from a fresh disk may succeed.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Guest(failure) if matches!(failure.trouble, Trouble::CpuStall))
    }
}

/// One provisioning run.
pub struct Run<'a> {
    /// Where it runs.
    pub machine: &'a HostMachine,
    /// The raw disk, which is changed.
    pub disk: &'a Path,
    /// Kernel, initial RAM file system and command line.
    pub boot: &'a DirectBoot,
    /// The files for the guest.
    pub payload: Payload<'a>,
    /// Directory for temporary files.
    pub work: &'a Path,
    /// Directory for the logs, which stay.
    pub logs: &'a Path,
    /// Where progress is reported.
    pub reporter: &'a dyn Reporter,
}

impl Run<'_> {
    /// Provisions the disk. Dropping the future kills the machine.
    ///
    /// # Errors
    /// When it cannot be started, or fails.
    pub async fn run(&self) -> Result<(), ProvisionError> {
        let (seed, bundle) = (self.work.join("seed.img"), self.work.join("bundle.img"));
        self.payload.write_seed(&seed)?;
        self.payload.write_bundle(&bundle, &self.work.join("bundle.tar"))?;

        let decision = self.machine.accelerator(self.boot).await?;
        if let Some(notice) = decision.notice() {
            self.reporter.report(&Event::Notice(&notice));
        }
        let deadlines = self.machine.limits.on(decision.accelerator);

        let short = runtime::ensure(&self.machine.home.qemu())?;
        let sockets = tempfile::tempdir_in(&short).map_err(FileError::of("create a directory in", &short))?;
        let topology = Topology::new(self.machine.qemu.board()?, decision.accelerator, &self.machine.size)
            .disk(SEED, Access::Read)
            .disk(BUNDLE, Access::Read)
            .port(ports::PROGRESS);
        let machine = Machine::new(topology, self.launch(&seed, &bundle, sockets.path()))?;
        let command = self.machine.qemu.command(&machine);
        let launched = Launched::start(&command, &self.logs.join(QEMU_LOG))?;
        self.follow(launched, &machine.launch().qmp, deadlines).await
    }

    fn launch(&self, seed: &Path, bundle: &Path, sockets: &Path) -> Launch {
        let disks = [
            (DISK_ROOT, DiskFile::raw(self.disk)),
            (SEED, DiskFile::raw(seed)),
            (BUNDLE, DiskFile::raw(bundle)),
        ];
        let ports = [
            (ports::QGA, PortEnd::Socket(sockets.join("qga"))),
            (ports::PROGRESS, PortEnd::File(self.logs.join(PROGRESS_LOG))),
        ];
        Launch {
            name: "stack-emulator-build".to_owned(),
            boot: self.boot.clone(),
            memory: Memory::Anonymous,
            begin: Begin::Boot,
            // Packages are installed from the network.
            network: Network::Open,
            disks: disks.map(|(id, file)| (id.to_owned(), file)).into(),
            ports: BTreeMap::from(ports.map(|(name, end)| (name.to_owned(), end))),
            console: self.logs.join(CONSOLE_LOG),
            qmp: sockets.join("qmp"),
            listening: None,
        }
    }

    async fn follow(
        &self,
        mut launched: Launched,
        monitor: &Path,
        deadlines: Deadlines,
    ) -> Result<(), ProvisionError> {
        let mut observer = Observer {
            watch: Watch::new(self.reporter, Instant::now()),
            progress: Tail::new(&self.logs.join(PROGRESS_LOG)),
            console: Tail::new(&self.logs.join(CONSOLE_LOG)),
            logs: self.logs,
        };
        let verdict = tokio::select! {
            verdict = observer.judge(deadlines) => verdict?,
            trouble = disk_trouble(monitor) => trouble.map(Verdict::DiskWrite)?,
            ended = launched.finished(deadlines.overall) => Verdict::Ended(ended),
        };
        let result = observer.result(verdict, &mut launched, deadlines).await;
        if result.is_err() {
            // Whatever is wrong with the guest, it reports no more.
            let _ = launched.kill().await;
        }
        result
    }
}

/// What ended the wait.
enum Verdict {
    /// The guest reported that it is done, or has failed.
    Said,
    /// The guest was silent for too long.
    Silent(Duration),
    /// The guest's kernel reported that a CPU has stalled.
    CpuStall,
    /// The guest's disk cannot be written.
    DiskWrite(String),
    /// QEMU ended, or is still running at the overall deadline.
    Ended(Result<(), VmProcessError>),
}

struct Observer<'a> {
    watch: Watch<'a>,
    progress: Tail,
    console: Tail,
    logs: &'a Path,
}

impl Observer<'_> {
    /// Reads what the guest has written since the last time.
    fn poll(&mut self) -> Result<(), FileError> {
        let Self { watch, progress, console, logs } = self;
        let spoke = progress
            .poll(|line| watch.progress(line))
            .map_err(FileError::of("read", &logs.join(PROGRESS_LOG)))?;
        let printed = console
            .poll(|line| watch.console(line))
            .map_err(FileError::of("read", &logs.join(CONSOLE_LOG)))?;
        if spoke || printed {
            watch.alive(Instant::now());
        }
        Ok(())
    }

    /// Follows the guest until it has reported how provisioning ended, or is silent for too long.
    async fn judge(&mut self, deadlines: Deadlines) -> Result<Verdict, ProvisionError> {
        let mut backoff = Backoff::default();
        loop {
            self.poll()?;
            match self.watch.state() {
                State::Running => {}
                State::CpuStall => return Ok(Verdict::CpuStall),
                State::Done | State::Failed(_) => return Ok(Verdict::Said),
            }
            let silence = self.watch.silence(Instant::now());
            if silence >= deadlines.stall {
                return Ok(Verdict::Silent(silence));
            }
            backoff.pause().await;
        }
    }

    /// Turns what ended the wait into a result. A guest that has reported the end gets time to power off.
    async fn result(
        mut self,
        verdict: Verdict,
        launched: &mut Launched,
        deadlines: Deadlines,
    ) -> Result<(), ProvisionError> {
        let ended = match verdict {
            Verdict::Ended(ended) => ended,
            Verdict::Said => launched.finished(deadlines.power_off).await,
            Verdict::Silent(silence) => return Err(self.failure(Trouble::Silent(silence))),
            Verdict::CpuStall => return Err(self.failure(Trouble::CpuStall)),
            Verdict::DiskWrite(reason) => return Err(self.failure(Trouble::DiskWrite(reason))),
        };
        // What it wrote just before its end.
        self.poll()?;
        match (self.watch.state(), ended) {
            (State::Failed(StepFailure { status, .. }), _) => {
                let trouble = Trouble::Step(status.clone());
                Err(self.failure(trouble))
            }
            (State::Done, Ok(())) => {
                self.watch.off();
                Ok(())
            }
            (State::Done, Err(VmProcessError::StillRunning { limit, .. })) => {
                Err(self.failure(Trouble::Silent(limit)))
            }
            (State::Running | State::CpuStall, Ok(())) => Err(self.failure(Trouble::WentOff)),
            (State::Running | State::CpuStall, Err(VmProcessError::StillRunning { limit, .. })) => {
                Err(self.failure(Trouble::TimedOut(limit)))
            }
            (_, Err(source)) => Err(self.failure(Trouble::Qemu(source))),
        }
    }

    /// What is known about the guest when `trouble` came.
    fn failure(&self, trouble: Trouble) -> ProvisionError {
        let (step, tail) = match self.watch.state() {
            State::Failed(failure) => (failure.step.clone(), failure.tail.clone()),
            State::Done => (Some("power-off".to_owned()), self.watch.tail()),
            State::Running | State::CpuStall => (self.watch.step().map(str::to_owned), self.watch.tail()),
        };
        Box::new(GuestFailure { trouble, step, tail, logs: self.logs.to_owned() }).into()
    }
}

/// Waits until QEMU reports that a write failed, which stops the guest. Never ends while all is well.
async fn disk_trouble(monitor: &Path) -> Result<String, ProvisionError> {
    let qmp = match Qmp::connect(monitor, MONITOR).await {
        Ok(qmp) => qmp,
        // QEMU has died, which is noticed where its process is waited for.
        Err(QmpError::Closed(_) | QmpError::Connect { .. }) => return std::future::pending().await,
        Err(error) => return Err(error.into()),
    };
    let mut events = qmp.events();
    while let Some(event) = events.next().await {
        if let qmp::Event::BLOCK_IO_ERROR { data, .. } = event {
            return Ok(data.reason);
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use base::events::Silent;

    use super::*;

    const DEADLINES: Deadlines = Deadlines {
        stall: Duration::from_millis(100),
        overall: Duration::from_mins(1),
        power_off: Duration::from_mins(1),
    };

    fn observer(logs: &Path) -> Observer<'_> {
        Observer {
            watch: Watch::new(&Silent, Instant::now()),
            progress: Tail::new(&logs.join(PROGRESS_LOG)),
            console: Tail::new(&logs.join(CONSOLE_LOG)),
            logs,
        }
    }

    #[tokio::test]
    async fn a_guest_that_falls_silent_is_reported_with_its_step() {
        let logs = tempfile::tempdir().unwrap();
        let start = r#"{"v":1,"event":"start","step":"60-migrations","title":"Create the tables"}"#;
        std::fs::write(logs.path().join(PROGRESS_LOG), format!("{start}\n")).unwrap();
        let mut observer = observer(logs.path());
        let Verdict::Silent(silence) = observer.judge(DEADLINES).await.unwrap() else { panic!("not silent") };
        assert!(silence >= DEADLINES.stall);
        let error = observer.failure(Trouble::Silent(Duration::from_secs(90))).to_string();
        assert_eq!(error, "the guest hangs in step `60-migrations`: no sign of life for 90.0 s");
    }

    #[tokio::test]
    async fn a_guest_with_output_is_followed_until_it_reports_the_result() {
        let logs = tempfile::tempdir().unwrap();
        let mut observer = observer(logs.path());
        let guest = async {
            // Longer in all than a guest may be silent.
            for step in 0..8 {
                tokio::time::sleep(DEADLINES.stall / 4).await;
                let text = format!("{step} boot\n");
                std::fs::write(logs.path().join(CONSOLE_LOG), text.repeat(step + 1)).unwrap();
            }
            std::fs::write(logs.path().join(PROGRESS_LOG), "{\"v\":1,\"event\":\"done\"}\n").unwrap();
        };
        let (verdict, ()) = tokio::join!(observer.judge(DEADLINES), guest);
        assert!(matches!(verdict.unwrap(), Verdict::Said));
        assert_eq!(observer.watch.state(), &State::Done);
    }
}
