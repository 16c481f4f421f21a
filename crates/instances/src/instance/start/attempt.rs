//! One attempt to start a machine: from its files to the first healthy answer of every service.

use std::slice;
use std::time::Duration;

use base::events::{Phase, Timings};
use base::files::{FileError, FileLock, create_private_dir};
use protocol::Command;
use tokio::net::TcpSocket;
use vm::agent::{self, Agent, AgentError};
use vm::console;
use vm::machine::{Begin, Launch, Machine, Memory};
use vm::memory::{HeldMemory, SavedMemory, SharedMemory, inherited};
use vm::process::{Launched, VmProcessError};
use vm::qmp::{Forward, Qmp};
use vm::runtime;
use vm::saving::Strategy;
use vm::socket::Inherited;
use vm::stack_machine::{self, Files};
use vm::tail::Tail;

use super::super::dir::InstanceDir;
use super::super::error::InstanceError;
use super::super::live::{LIVE_VERSION, Live, Ready, Run, RunningMachine, RunningStack};
use super::super::record::{self, Record, Session};
use super::super::standstill::unless_disk_fails;
use super::super::{Instance, ready, room, suspension};
use super::origin::Origin;
use super::plan::{MachinePlan, Plan};
use super::{Begun, Lasts, StartOptions};
use crate::failure::Error;
use crate::guest_link::deliver::Fallback;
use crate::guest_link::message::Message;
use crate::guest_link::settings;
use crate::ports;
use crate::saved::load::Loadable;
use vm::backlog;
use vm::place::{self, Place};

/// How long QEMU may take to open its monitor: its files may have to be read from a slow disk first.
const MONITOR_LIMIT: Duration = Duration::from_secs(30);

/// How long a saved state may take to be loaded on hardware acceleration.
const LOAD_LIMIT: Duration = Duration::from_secs(15);

/// How long the agent of a resumed guest may take to turn it into a machine of its own, on hardware acceleration.
const AGENT_LIMIT: Duration = Duration::from_millis(750);

/// How long the same may take by way of QEMU's guest agent.
const QGA_LIMIT: Duration = Duration::from_secs(3);

/// How long the services of a resumed guest may take to answer.
const WARM_LIMIT: Duration = Duration::from_secs(5);

/// How long a correction of the clock may take. It is one of several, and the next one compensates for a failed one.
const CLOCK_LIMIT: Duration = Duration::from_secs(2);

/// A clock that may be late by more than this when the guest has answered is corrected at once.
const CLOCK_ERROR: Duration = Duration::from_millis(80);

/// One attempt to start a machine.
pub(super) struct Attempt<'a> {
    pub(super) instance: &'a Instance,
    pub(super) plan: &'a Plan,
    pub(super) options: &'a StartOptions<'a>,
    pub(super) timings: &'a Timings<'a>,
    pub(super) begun: Begun,
}

/// The memory of the machine that is being started.
enum GuestMemory {
    /// It is private to QEMU.
    Own,
    /// It is empty, as for a boot.
    Empty(SharedMemory),
    /// It is the saved memory.
    Saved(SavedMemory),
}

impl GuestMemory {
    /// Where QEMU is going to keep it.
    fn held(&self) -> Option<HeldMemory> {
        match self {
            Self::Own => None,
            Self::Empty(shared) => Some(HeldMemory::Shared(shared.number())),
            Self::Saved(saved) => Some(HeldMemory::Private(saved.number())),
        }
    }
}

/// Why an attempt failed.
pub(super) enum Failure {
    /// The cause is something that every attempt needs, or that the host refuses for now. No saved memory is dropped for it.
    Host(InstanceError),
    /// The cause is this machine, or its saved memory: a boot may succeed.
    Machine(InstanceError),
}

impl Failure {
    /// Classifies `error` by its cause.
    fn of(error: InstanceError) -> Self {
        match error {
            // A boot would not have the port either.
            error @ InstanceError::Ports(_) => Self::Host(error),
            error if error.is_refusal() => Self::Host(error),
            error => Self::Machine(error),
        }
    }

    /// The error, whatever its cause is.
    pub(super) fn error(self) -> InstanceError {
        match self {
            Self::Host(error) | Self::Machine(error) => error,
        }
    }
}

/// A machine whose QEMU has been started.
struct Launching<'a> {
    live: Live,
    record: Record,
    session: Session,
    saved: Option<Loadable>,
    /// Lives until QEMU has opened it.
    memory: GuestMemory,
    qemu: Launched,
    phase: Phase<'a>,
}

impl<'a> Attempt<'a> {
    /// Starts the machine. `kept` is released once the record shows what the machine needs, and `because` is why this is a boot,
    /// instead of a resume.
    pub(super) async fn run(
        &self,
        record: Record,
        origin: &Origin,
        kept: Option<FileLock>,
        because: Option<String>,
    ) -> Result<Live, Failure> {
        // Before anything is used up, and until QEMU binds them.
        let held = self.plan.hold();
        let held = held.map_err(|error| Failure::Host(self.instance.with_instances(error).into()))?;
        let phase = Phase::start(self.timings, "disk", "Prepare the disk");
        let saved = origin.loadable(&self.instance.dir).map_err(|error| Failure::of(error.into()))?;
        let memory = self.memory(saved.as_ref()).map_err(Failure::of)?;
        let live = self.live(&record, origin, because, memory.held()).map_err(Failure::Host)?;
        let launching =
            self.launch(record, origin, saved, memory, live, phase).await.map_err(Failure::Host)?;
        drop(kept);
        // Boxed: it is large, and every caller's future would be as large.
        Box::pin(self.bring_up(launching, origin, held)).await.map_err(Failure::of)
    }

    /// Makes the changes, in an order that lets [`Instance::clean_up`] undo them at any point: the live record
    /// first describes what is about to be created.
    async fn launch(
        &self,
        mut record: Record,
        origin: &Origin,
        saved: Option<Loadable>,
        memory: GuestMemory,
        mut live: Live,
        phase: Phase<'a>,
    ) -> Result<Launching<'a>, InstanceError> {
        let dir = &self.instance.dir;
        // Creating the snapshot from which it may start takes long.
        self.instance.released().await?;
        create_private_dir(&dir.logs())?;
        room::ensure(dir.root())?;
        // In the home, which no clean-up program touches. It is elsewhere if the file system does not support sockets.
        let listening = Inherited::at(&dir.monitor()).ok();
        if listening.is_some() {
            live.machine.qmp = dir.monitor();
        }
        record::write(&dir.live(), &live)?;
        self.instance.keep_previous_logs()?;
        let session =
            self.instance.prepare_session(record.session.take(), self.plan, origin, live.run.rotated).await?;
        record.session = Some(session.clone());
        record.ports = self.plan.remembered.clone();
        if matches!(origin, Origin::Cold) {
            super::super::remove(&dir.config())?;
            settings::volume(&self.instance.name, &self.plan.ports)?.write(&dir.config())?;
        }
        let machine =
            self.machine(&live, listening.as_ref().map(Inherited::number), saved.as_ref(), &session)?;
        if !matches!(origin, Origin::Suspended(_)) {
            // Memory from before this launch does not fit the disk from here on.
            record::write(&dir.record(), &record)?;
            suspension::forget(dir)?;
        }
        phase.done();

        let phase = Phase::start(self.timings, "launch", "Launch QEMU");
        let qemu = Launched::start(&self.plan.machine.qemu.command(&machine), &dir.qemu_log())?;
        live.machine.process = Some(qemu.identity());
        live.machine.disk_inode = place::inode(&dir.overlay());
        record::write(&dir.live(), &live)?;
        Ok(Launching { live, record, session, saved, memory, qemu, phase })
    }

    /// Continues from a started QEMU to the first healthy answer of every service.
    async fn bring_up(
        &self,
        launching: Launching<'a>,
        origin: &Origin,
        held: Vec<TcpSocket>,
    ) -> Result<Live, InstanceError> {
        let Launching { live, record, session, saved, memory, mut qemu, phase } = launching;
        let instance = self.instance;
        let connected = async { Ok(Qmp::connect(&live.machine.qmp, MONITOR_LIMIT).await?) };
        let qmp = instance.unless_ended(&mut qemu, connected).await?;
        let connected = async { Ok(Agent::connect(&live.machine.agent, MONITOR_LIMIT).await?) };
        let mut agent = instance.unless_ended(&mut qemu, connected).await?;
        drop(memory);
        phase.done();

        let mut events = qmp.events();
        if let Some(saved) = &saved {
            let resumed = self.resume(&qmp, saved, origin, &record);
            instance.unless_ended(&mut qemu, resumed).await?;
        } else {
            let booted = unless_disk_fails(&mut events, self.until_booted(&mut agent));
            instance.unless_ended(&mut qemu, booted).await?;
        }
        let delivery = Box::pin(self.personalise(&mut agent, &live, &session, origin));
        let delivered = unless_disk_fails(&mut events, delivery);
        let late = instance.unless_ended(&mut qemu, delivered).await?;
        instance.confirm(record)?;

        let phase = Phase::start(self.timings, "health", "Check service health");
        let clock = async {
            if late > CLOCK_ERROR
                && let Err(error) = agent.call(Command::Clock { time: agent::now() }, CLOCK_LIMIT).await
            {
                phase.detail(&format!("the clock was set once only: {error}"));
            }
        };
        let healthy = Box::pin(self.until_healthy(&qmp, &live, origin, held, &phase));
        let healthy = async { tokio::join!(healthy, clock).0 };
        instance.unless_ended(&mut qemu, unless_disk_fails(&mut events, healthy)).await?;
        phase.done();
        self.finish(live, qemu)
    }

    fn memory(&self, saved: Option<&Loadable>) -> Result<GuestMemory, InstanceError> {
        let bytes = self.plan.machine.topology.memory_mib << 20;
        if let Some(saved) = saved {
            return Ok(saved.memory(bytes)?.map_or(GuestMemory::Own, GuestMemory::Saved));
        }
        if !Strategy::Template.is_possible(self.plan.machine.qemu.capabilities()) {
            return Ok(GuestMemory::Own);
        }
        let shared = SharedMemory::new(bytes);
        let shared = shared.map_err(FileError::of("allocate memory for", self.instance.dir.root()))?;
        Ok(GuestMemory::Empty(shared))
    }

    fn live(
        &self,
        record: &Record,
        origin: &Origin,
        because: Option<String>,
        memory: Option<HeldMemory>,
    ) -> Result<Live, InstanceError> {
        let Plan { machine, ports, .. } = self.plan;
        let MachinePlan { image, decision, fingerprint, .. } = machine;
        let sockets = runtime::ensure(self.instance.dir.root())?;
        let manifest = &image.boot.manifest;
        let rotated = match (origin, &record.session) {
            (Origin::Suspended(suspension), _) => suspension.rotated,
            (_, Some(session)) => session.secrets.is_some(),
            (_, None) => self.options.rotate && !manifest.stack.secrets.is_empty(),
        };
        let running = RunningMachine {
            process: None,
            place: Some(Place::here()),
            disk_inode: None,
            qmp: sockets.join(runtime::QMP),
            qga: sockets.join("qga"),
            agent: sockets.join("agent"),
            fallback: decision.fallback.as_ref().map(ToString::to_string),
            image: image.boot.file.path().to_owned(),
            config: origin.config(&self.instance.dir),
            fingerprint: fingerprint.clone(),
            memory,
            can_map_memory: Strategy::MappedRam.is_possible(machine.qemu.capabilities()),
        };
        let stack = RunningStack {
            ports: ports.clone(),
            services: manifest.stack.services.clone(),
            secrets: manifest.stack.secrets.clone(),
            hooks: manifest.stack.hooks.clone(),
            exports: Some(manifest.stack.exports.clone()),
            project: manifest.stack.project.clone(),
        };
        let run = Run {
            started_by: origin.started_by(),
            cold_because: because,
            new_session: record.session.is_none(),
            rotated,
            until_runs_end: (self.options.lasts == Lasts::UntilRunsEnd).then_some(true),
            started_at: self.begun.at,
            ready: None,
        };
        Ok(Live { schema_version: LIVE_VERSION, machine: running, stack, run })
    }

    fn machine(
        &self,
        live: &Live,
        listening: Option<i32>,
        saved: Option<&Loadable>,
        session: &Session,
    ) -> Result<Machine, InstanceError> {
        let dir = &self.instance.dir;
        let files = Files {
            root: self.instance.root_disk(session, &self.plan.machine.image.boot.file),
            config: live.machine.config.clone(),
            console: dir.serial_log(),
            qmp: live.machine.qmp.clone(),
            qga: live.machine.qga.clone(),
            agent: live.machine.agent.clone(),
        };
        let memory = match live.machine.memory {
            Some(HeldMemory::Shared(number)) => Memory::Shared(inherited(number)),
            Some(HeldMemory::Private(number)) => Memory::Private(inherited(number)),
            None => Memory::Anonymous,
        };
        let begin = match saved {
            Some(saved) => saved.begin()?,
            None => Begin::Boot,
        };
        let name = format!("stack-emulator-{}", self.instance.name);
        let image = &self.plan.machine.image.boot;
        let network = image.manifest.stack.network;
        let launch = stack_machine::launch(name, image.direct_boot(), files, memory, begin, network);
        let launch = Launch { listening, ..launch };
        Ok(Machine::new(self.plan.machine.topology.clone(), launch)?)
    }

    /// Loads the saved state, and resumes the machine.
    async fn resume(
        &self,
        qmp: &Qmp,
        saved: &Loadable,
        origin: &Origin,
        record: &Record,
    ) -> Result<(), InstanceError> {
        let phase = Phase::start(self.timings, "load", "Load memory and devices");
        let limit = LOAD_LIMIT * self.plan.machine.decision.accelerator.patience();
        saved.load(qmp, limit).await?;
        // From here on the guest writes to its disk, and this memory is invalid. Not sooner: whatever has failed until now, the
        // next start can resume from it.
        if matches!(origin, Origin::Suspended(_)) {
            record::write(&self.instance.dir.record(), record)?;
            suspension::consume(&self.instance.dir)?;
        }
        qmp.cont().await?;
        suspension::put_aside(&self.instance.dir)?;
        phase.done();
        Ok(())
    }

    /// Waits until the agent of a booting guest answers.
    async fn until_booted(&self, agent: &mut Agent) -> Result<(), InstanceError> {
        let phase = Phase::start(self.timings, "boot", "Boot");
        let limit = self.plan.machine.limit;
        let log = self.instance.dir.serial_log();
        tokio::select! {
            answer = agent.call(Command::Hello, limit) => match answer {
                Ok(_) => {}
                Err(AgentError::Silent(limit)) => {
                    let console = console::end(&log);
                    return Err(InstanceError::NotReady { limit, unhealthy: Vec::new(), console });
                }
                Err(error) => return Err(error.into()),
            },
            trouble = console::trouble(Tail::new(&log), &phase) => return Err(trouble.into()),
        }
        phase.done();
        Ok(())
    }

    /// Gives the guest the current time and the settings of this instance. Returns how late its clock may be: how long the message took
    /// to arrive in a guest that had to wake up for it, neither side knows.
    async fn personalise(
        &self,
        agent: &mut Agent,
        live: &Live,
        session: &Session,
        origin: &Origin,
    ) -> Result<Duration, InstanceError> {
        let phase = Phase::start(self.timings, "guest", "Set clock, randomness and secrets in the guest");
        let message = Message {
            name: &self.instance.name,
            ports: &live.stack.ports,
            described: &live.stack.secrets,
            hooks: &live.stack.hooks,
            secrets: session.secrets.as_ref(),
        };
        // A suspended guest has them already, unless that is unknown. A boot may come after a crash that lost them.
        let renew = session.unconfirmed || !matches!(origin, Origin::Suspended(_));
        let patience = self.plan.machine.decision.accelerator.patience();
        let limit =
            if matches!(origin, Origin::Cold) { self.plan.machine.limit } else { AGENT_LIMIT * patience };
        // The agent of a guest that was booted has answered already.
        let after =
            if matches!(origin, Origin::Cold) { |_: &AgentError| false } else { |_: &AgentError| true };
        let fallback = Fallback { qga: &live.machine.qga, limit: QGA_LIMIT * patience, after };
        let own = async |command| agent.call(command, limit).await;
        let command = || message.command(renew).map_err(InstanceError::Random);
        let failed = |error: &AgentError| phase.detail(&format!("{error}: asking QEMU's guest agent"));
        let done = fallback.deliver(own, command, failed).await?;
        let late = Duration::from_nanos(agent::now().saturating_sub(done.time));
        for step in done.steps {
            phase.detail(&format!("{}: {:.3} s", step.step, step.seconds));
        }
        phase.detail(&format!("the guest's clock is at most {:.3} s late", late.as_secs_f64()));
        phase.done();
        Ok(late)
    }

    /// Opens the host's ports, and waits until every service answers there.
    async fn until_healthy(
        &self,
        qmp: &Qmp,
        live: &Live,
        origin: &Origin,
        held: Vec<TcpSocket>,
        phase: &Phase<'_>,
    ) -> Result<(), InstanceError> {
        self.publish(qmp, live, held, phase).await?;
        let limit = match (origin, self.options.warm_timeout) {
            (Origin::Cold, _) => self.plan.machine.limit,
            (_, Some(timeout)) => timeout,
            _ => WARM_LIMIT * self.plan.machine.decision.accelerator.patience(),
        };
        let console = Tail::from_now_on(&self.instance.dir.serial_log());
        let console = console.map_err(FileError::of("read", &self.instance.dir.serial_log()))?;
        ready::wait(&live.stack.ports, console, limit, phase).await
    }

    /// Opens the host's ports into the guest.
    async fn publish(
        &self,
        qmp: &Qmp,
        live: &Live,
        held: Vec<TcpSocket>,
        phase: &Phase<'_>,
    ) -> Result<(), InstanceError> {
        for (port, held) in live.stack.ports.iter().zip(held) {
            // Not sooner: another process could take it.
            drop(held);
            if let Err(error) = qmp.add_forward(Forward::loopback(port.host, port.guest)).await {
                // Another process may have taken it all the same; then that is the better error. Of the others, QEMU has some already.
                let free = ports::check_free(slice::from_ref(port));
                free.map_err(|error| self.instance.with_instances(error))?;
                return Err(error.into());
            }
        }
        // Here, where QEMU is still a child of this process. Without it the ports work for clients that come one after the other.
        if let Some(process) = live.machine.process
            && let Err(error) = backlog::widen(process.pid, live.stack.ports.iter().map(|port| port.host))
        {
            phase.detail(&format!("few connections at once are answered at a port: {error}"));
        }
        Ok(())
    }

    fn finish(&self, mut live: Live, qemu: Launched) -> Result<Live, InstanceError> {
        let Begun { instant, .. } = self.begun;
        let (at, seconds) = (time::OffsetDateTime::now_utc(), instant.elapsed().as_secs_f64());
        live.run.ready = Some(Ready { at, seconds, phases: self.timings.taken() });
        record::write(&self.instance.dir.live(), &live)?;
        qemu.detach();
        Ok(live)
    }
}

impl Instance {
    /// Keeps the logs of the previous run, which a bug report needs after a restart.
    fn keep_previous_logs(&self) -> Result<(), InstanceError> {
        for log in [self.dir.serial_log(), self.dir.qemu_log()] {
            match std::fs::rename(&log, InstanceDir::previous(&log)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(FileError::of("rename", &log)(error).into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Runs `work` unless QEMU ends first; the error then shows the console too.
    async fn unless_ended<T>(
        &self,
        qemu: &mut Launched,
        work: impl Future<Output = Result<T, InstanceError>>,
    ) -> Result<T, InstanceError> {
        qemu.race(work).await.map_err(|error| match error {
            InstanceError::Vm(Error::Vm(source @ VmProcessError::Died { .. })) => {
                let console = console::end(&self.dir.serial_log());
                InstanceError::EndedEarly { source, console }
            }
            other => other,
        })
    }
}
