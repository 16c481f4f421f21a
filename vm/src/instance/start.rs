//! Starting: a cold boot of the instance's overlay, until every service answers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use host::events::{Event, Phase, Reporter, Timings};
use host::files::{FileError, create_private_dir};
use release::arch::Arch;
use release::stack::MachineSize;
use time::OffsetDateTime;

use super::error::InstanceError;
use super::live::{Live, Ready, StartedBy};
use super::ports::{PortChoice, PortRequest, PublishedPort, Wishes};
use super::record::{self, Record, SCHEMA_VERSION};
use super::session::Image;
use super::state::{Fault, State, Viewer, inspect};
use super::tail::Tail;
use super::{Instance, config, ports, ready};
use crate::accel::{Choice, Chooser, Decision};
use crate::machine::{Access, DISK_ROOT, DiskFile, Launch, Machine, PORT_QGA, PortEnd, Topology};
use crate::process::Launched;
use crate::qemu::Qemu;
use crate::qmp::{Forward, Qmp};
use crate::runtime;
use crate::volume::Volume;

/// Label of the volume with [`config`]'s files, and where the guest looks for them.
const CONFIG_LABEL: &str = "STACKCFG";

/// Id of that volume's disk.
const CONFIG_DISK: &str = "config";

/// How long the services may take on hardware acceleration; multiplied by the accelerator's patience.
const READY_LIMIT: Duration = Duration::from_secs(40);

/// How long QEMU may take to open its monitor: its files may have to be read from a slow disk first.
const MONITOR_LIMIT: Duration = Duration::from_secs(30);

/// What a person asks of a start. Whatever is `None` comes from the instance's record or the image.
pub struct StartOptions<'a> {
    /// Which accelerator.
    pub accel: Choice,
    /// Architecture of the image.
    pub arch: Option<Arch>,
    /// Virtual CPUs.
    pub cpus: Option<u32>,
    /// Memory in MiB.
    pub memory_mib: Option<u64>,
    /// Image file to use instead of the home's.
    pub image: Option<PathBuf>,
    /// Host ports asked for by flag.
    pub ports: Vec<PortRequest>,
    /// Looks up the environment variables that the image's manifest names for its ports.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Longest wait for the services.
    pub timeout: Option<Duration>,
}

/// An instance that is ready.
#[derive(Debug, Clone)]
pub struct Started {
    /// What runs.
    pub live: Live,
    /// Whether it ran before.
    pub already_running: bool,
}

/// Everything that is decided before anything is changed.
struct Plan {
    qemu: Qemu,
    image: Image,
    decision: Decision,
    size: MachineSize,
    ports: Vec<PublishedPort>,
    limit: Duration,
}

impl Instance {
    /// Starts the instance and returns when every service answers. One that runs already is waited for and reported as
    /// it is. One that QEMU's or a command's sudden end has left broken is put right first; its data stays.
    ///
    /// When the future is dropped, QEMU is killed; [`Instance::recover_interrupted`] then removes the traces, and so does
    /// the next start.
    ///
    /// # Errors
    /// When the host, the image, the ports or the guest do not allow it. Then nothing is left running, and nothing is left
    /// of an instance that did not exist before but its logs.
    pub async fn start(
        &self,
        options: &StartOptions<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Started, InstanceError> {
        let begin = (Instant::now(), OffsetDateTime::now_utc());
        let _lock = self.lock(reporter).await?;
        let mut state = inspect(&self.dir, Viewer::Holder)?;
        if let State::Broken(faults) = &state
            && faults.iter().all(Fault::heals)
        {
            self.recover(faults, reporter).await?;
            state = inspect(&self.dir, Viewer::Holder)?;
        }
        let record = match state {
            State::Running(live) => return self.join(live, options, reporter).await,
            State::Stopped(record) => record,
            State::Broken(faults) => self.despite(faults, options)?,
            _ => Record::new(self.name.clone()),
        };
        self.check_overlay(&record)?;
        let timings = Timings::new(reporter);
        let plan = self.plan(&record, options, &timings).await?;
        let mut outcome = self.boot(record.clone(), &plan, options, begin, &timings).await;
        if let Err(InstanceError::GuestHangs { line, .. }) = &outcome {
            // Nothing that a person did: the same boot works the next time. The console of this one is kept.
            reporter.report(&Event::Notice(&format!("the guest hangs (`{line}`); booting it once more")));
            self.clean_up().await?;
            outcome = self.boot(record, &plan, options, begin, &timings).await;
        }
        if outcome.is_err() {
            self.clean_up().await?;
        }
        outcome.map(|live| Started { live, already_running: false })
    }

    /// The record of an instance whose faults this start can answer: another image than the one that is gone may have the
    /// same content, and what a changed image is now is told better once it has been read.
    fn despite(&self, faults: Vec<Fault>, options: &StartOptions<'_>) -> Result<Record, InstanceError> {
        let answered = |fault: &Fault| match fault {
            Fault::ImageChanged(_) => true,
            Fault::NoImage(_) => options.image.is_some(),
            _ => false,
        };
        let record = if faults.iter().all(answered) { record::read(&self.dir.record())? } else { None };
        record.ok_or(InstanceError::Broken { name: self.name.clone(), faults })
    }

    async fn plan(
        &self,
        record: &Record,
        options: &StartOptions<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Plan, InstanceError> {
        let arch = options.arch.or_else(Arch::host).unwrap_or(Arch::Amd64);
        let phase = Phase::start(reporter, "image", "Look at QEMU and the image");
        let qemu = Qemu::find(&self.home, arch).await?;
        let image = self.image(record, options.image.as_deref(), arch, qemu.img()).await?;
        qemu.can_run(&image.boot.manifest)?;
        phase.done();

        let stack = &image.boot.manifest.stack;
        let wishes = Wishes { requests: &options.ports, variable: options.variable, recorded: &record.ports };
        let published = ports::resolve(&stack.ports, &wishes)?;
        ports::check_free(&published)?;

        let phase = Phase::start(reporter, "accelerator", "Choose the accelerator");
        let boot = image.boot.direct_boot();
        let chooser = Chooser { home: &self.home, qemu: &qemu, boot: &boot };
        let decision = chooser.choose(options.accel).await?;
        phase.done();
        // Said when it is news: right after the trial, and to whoever has not been told by an earlier start.
        let news = decision.trial.is_some() || record.session.is_none();
        if let Some(notice) = decision.notice().filter(|_| news) {
            reporter.report(&Event::Notice(&notice));
        }

        let size = MachineSize {
            cpus: options.cpus.unwrap_or(stack.machine.cpus),
            memory_mib: options.memory_mib.unwrap_or(stack.machine.memory_mib),
            ..stack.machine
        };
        let limit = options.timeout.unwrap_or(READY_LIMIT * decision.accelerator.patience());
        Ok(Plan { qemu, image, decision, size, ports: published, limit })
    }

    /// Changes things, in an order that lets [`Instance::clean_up`] take them back from any point on: the live record
    /// says first what is about to be made.
    async fn boot(
        &self,
        mut record: Record,
        plan: &Plan,
        options: &StartOptions<'_>,
        (begin, started_at): (Instant, OffsetDateTime),
        timings: &Timings<'_>,
    ) -> Result<Live, InstanceError> {
        let phase = Phase::start(timings, "disk", "Prepare the disk");
        create_private_dir(&self.dir.logs())?;
        let sockets = runtime::ensure(self.dir.root())?;
        let manifest = &plan.image.boot.manifest;
        let mut live = Live {
            schema_version: SCHEMA_VERSION,
            process: None,
            qmp: sockets.join("qmp"),
            qga: sockets.join("qga"),
            arch: manifest.arch,
            accelerator: plan.decision.accelerator,
            fallback: plan.decision.fallback.as_ref().map(ToString::to_string),
            cpus: plan.size.cpus,
            memory_mib: plan.size.memory_mib,
            image: plan.image.identity.path.clone(),
            ports: plan.ports.clone(),
            services: manifest.stack.services.clone(),
            started_by: StartedBy::Cold,
            new_session: record.session.is_none(),
            started_at,
            ready: None,
        };
        record::write(&self.dir.live(), &live)?;
        self.keep_previous_logs()?;
        self.overlay(&mut record, &plan.image.identity, plan.qemu.img()).await?;
        record.ports = ports::remembered(&plan.ports, &options.ports, &record.ports);
        record::write(&self.dir.record(), &record)?;
        self.write_config(&plan.ports)?;
        let machine = self.machine(plan, &live)?;
        phase.done();

        let phase = Phase::start(timings, "launch", "Launch QEMU");
        let mut qemu = Launched::start(&plan.qemu.command(&machine), &self.dir.qemu_log())?;
        live.process = Some(qemu.identity());
        record::write(&self.dir.live(), &live)?;
        self.unless_ended(&mut qemu, publish(&live)).await?;
        phase.done();

        let phase = Phase::start(timings, "boot", "Boot until every service answers");
        let console = Tail::new(&self.dir.serial_log());
        self.unless_ended(&mut qemu, ready::wait(&live.ports, console, plan.limit, &phase)).await?;
        phase.done();

        let (at, seconds) = (OffsetDateTime::now_utc(), begin.elapsed().as_secs_f64());
        live.ready = Some(Ready { at, seconds, phases: timings.taken() });
        record::write(&self.dir.live(), &live)?;
        qemu.detach();
        Ok(live)
    }

    fn machine(&self, plan: &Plan, live: &Live) -> Result<Machine, InstanceError> {
        let topology = Topology::new(&plan.qemu, live.accelerator, &plan.size)?;
        let launch = Launch {
            name: format!("stack-emulator-{}", self.name),
            boot: plan.image.boot.direct_boot(),
            disks: BTreeMap::from([
                (DISK_ROOT.to_owned(), DiskFile::qcow2(self.dir.overlay())),
                (CONFIG_DISK.to_owned(), DiskFile::raw(self.dir.config())),
            ]),
            ports: BTreeMap::from([(PORT_QGA.to_owned(), PortEnd::Socket(live.qga.clone()))]),
            console: self.dir.serial_log(),
            qmp: live.qmp.clone(),
        };
        Ok(Machine::new(topology.disk(CONFIG_DISK, Access::Read), launch)?)
    }

    fn write_config(&self, ports: &[PublishedPort]) -> Result<(), InstanceError> {
        let volume = Volume::new(CONFIG_LABEL)?
            .file(config::BASE, config::base_env(ports))
            .file(config::RUNTIME, config::runtime_env(&self.name, ports));
        super::remove(&self.dir.config())?;
        Ok(volume.write(&self.dir.config())?)
    }

    /// The logs of the run before are what a bug report needs after a restart.
    fn keep_previous_logs(&self) -> Result<(), InstanceError> {
        for log in [self.dir.serial_log(), self.dir.qemu_log()] {
            let mut previous = log.clone().into_os_string();
            previous.push(".1");
            match std::fs::rename(&log, previous) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(FileError::of("rename", &log)(error).into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// One side of the race is QEMU's death; the error then shows the console too.
    async fn unless_ended<T>(
        &self,
        qemu: &mut Launched,
        work: impl Future<Output = Result<T, InstanceError>>,
    ) -> Result<T, InstanceError> {
        tokio::select! {
            done = work => done,
            source = qemu.death() => {
                let console = ready::console_end(&self.dir.serial_log());
                Err(InstanceError::EndedEarly { source, console })
            }
        }
    }

    /// Waits for an instance that runs already, and says which wishes it cannot meet.
    async fn join(
        &self,
        live: Live,
        options: &StartOptions<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Started, InstanceError> {
        let ignored = ignored(&live, options);
        if !ignored.is_empty() {
            let text = format!(
                "`{}` runs already: {} will count after `emulator stop`",
                self.name,
                ignored.join(", ")
            );
            reporter.report(&Event::Warning(&text));
        }
        let limit = options.timeout.unwrap_or(READY_LIMIT * live.accelerator.patience());
        let phase = Phase::start(reporter, "services", "Ask the services");
        // A stall that it has survived, as of a laptop that slept, is no news.
        let console = self.dir.serial_log();
        let console = Tail::from_now_on(&console).map_err(FileError::of("read", &console))?;
        ready::wait(&live.ports, console, limit, &phase).await?;
        phase.done();
        Ok(Started { live, already_running: true })
    }
}

/// Opens the host's ports into the guest.
async fn publish(live: &Live) -> Result<(), InstanceError> {
    let qmp = Qmp::connect(&live.qmp, MONITOR_LIMIT).await?;
    for port in &live.ports {
        qmp.add_forward(Forward::loopback(port.host, port.guest)).await?;
    }
    Ok(())
}

/// The flags that a running instance does not meet.
fn ignored(live: &Live, options: &StartOptions<'_>) -> Vec<String> {
    let port_differs = |wish: &&PortRequest| match wish.choice {
        PortChoice::Auto => false,
        PortChoice::Fixed(port) => {
            live.ports.iter().all(|known| known.name != wish.name || known.host != port)
        }
    };
    let flags = [
        ("--accel", matches!(options.accel, Choice::Only(accelerator) if accelerator != live.accelerator)),
        ("--arch", options.arch.is_some_and(|arch| arch != live.arch)),
        ("--cpus", options.cpus.is_some_and(|cpus| cpus != live.cpus)),
        ("--memory", options.memory_mib.is_some_and(|memory| memory != live.memory_mib)),
        ("--image", options.image.as_ref().is_some_and(|image| *image != live.image)),
    ];
    let ports = options.ports.iter().filter(port_differs).map(|wish| format!("`--port {}=…`", wish.name));
    flags.iter().filter(|(_, differs)| *differs).map(|(flag, _)| format!("`{flag}`")).chain(ports).collect()
}
