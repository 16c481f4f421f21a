//! Everything about a start that is decided before anything is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use base::events::{Event, Phase, Reporter};
use base::{limits, memory};
use image::arch::Arch;
use image::stack::MachineSize;
use tokio::net::TcpSocket;
use vm::accel::{Choice, Chooser, Decision};
use vm::machine::Topology;
use vm::qemu::Qemu;
use vm::stack_machine;

use super::super::Instance;
use super::super::dir::InstanceDir;
use super::super::error::InstanceError;
use super::super::record::{self, Record};
use super::super::registry::Registry;
use super::super::session::Image;
use super::super::suspension::Suspension;
use super::{READY_LIMIT, StartOptions};
use crate::name::InstanceName;
use crate::ports::{self, PortError, PublishedPort, Wishes};
use crate::saved::Fingerprint;

/// The options of a machine. Whatever is `None` comes from the suspended machine or the image.
#[derive(Debug, Clone)]
pub struct MachineOptions {
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
    /// Longest wait for a machine that boots.
    pub timeout: Option<Duration>,
}

/// The machine that is going to be started.
pub(in crate::instance) struct MachinePlan {
    pub(in crate::instance) qemu: Qemu,
    pub(in crate::instance) image: Image,
    pub(in crate::instance) decision: Decision,
    pub(in crate::instance) topology: Topology,
    pub(in crate::instance) fingerprint: Fingerprint,
    pub(in crate::instance) limit: Duration,
}

/// What a start is going to do.
pub(in crate::instance) struct Plan {
    pub(in crate::instance) machine: MachinePlan,
    pub(in crate::instance) ports: Vec<PublishedPort>,
    /// The ports that the record keeps.
    pub(in crate::instance) remembered: BTreeMap<String, u16>,
    /// Reserves the ports until the first attempt takes them over: a capture may come before.
    held: Mutex<Option<Vec<TcpSocket>>>,
}

impl Plan {
    /// Reserves the ports, until these sockets are dropped.
    ///
    /// # Errors
    /// When another process has one.
    pub(in crate::instance) fn hold(&self) -> Result<Vec<TcpSocket>, PortError> {
        let held = self.held.lock().ok().and_then(|mut held| held.take());
        held.map_or_else(|| ports::hold(&self.ports), Ok)
    }
}

/// Refuses more memory than there is: otherwise the kernel would end the machine only when the guest uses it.
fn check_memory(asked_mib: Option<u64>) -> Result<(), InstanceError> {
    match (asked_mib, memory::total().map(|bytes| bytes >> 20)) {
        (Some(asked_mib), Some(host_mib)) if asked_mib > host_mib => {
            Err(InstanceError::TooMuchMemory { asked_mib, host_mib })
        }
        _ => Ok(()),
    }
}

impl Instance {
    /// Decides, and verifies that nothing obvious prevents the start.
    pub(in crate::instance) async fn plan(
        &self,
        record: &Record,
        options: &StartOptions<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Plan, InstanceError> {
        ports::check_loopback()?;
        let machine = self.machine_plan(record, &options.machine, reporter).await?;
        let stack = &machine.image.boot.manifest.stack;
        let wishes = Wishes {
            requests: &options.ports,
            file_ports: &options.file_ports,
            variable: options.variable,
            recorded: &record.ports,
            automatic: record.automatic_ports,
            instance: self.name.as_str(),
            others: &|| self.ports_of_others(),
        };
        let mut assigned = ports::assign(&stack.ports, &wishes)?;
        for busy in std::mem::take(&mut assigned.moved) {
            let busy = busy.with_instance(|pid| self.instance_with(pid));
            let now = assigned.remembered.get(&busy.name);
            let now = now.map(|port| format!("; it has port {port} now")).unwrap_or_default();
            reporter.report(&Event::Notice(&format!("{busy}{now}")));
        }
        let held = assigned.hold().map_err(|error| self.with_instances(error))?;
        let held = Mutex::new(Some(held));
        Ok(Plan { machine, ports: assigned.ports, remembered: assigned.remembered, held })
    }

    /// The same error, with the instances that have the ports.
    pub(crate) fn with_instances(&self, error: PortError) -> PortError {
        error.with_instances(|pid| self.instance_with(pid))
    }

    fn instance_with(&self, pid: u32) -> Option<InstanceName> {
        Registry::new(&self.home).with_process(pid)
    }

    /// The ports that the records of the other instances keep. One that cannot be read counts on none.
    pub(crate) fn ports_of_others(&self) -> BTreeSet<u16> {
        let names = Registry::new(&self.home).names().unwrap_or_default().into_iter();
        let others = names.filter(|name| *name != self.name).map(|name| InstanceDir::new(&self.home, &name));
        let records = others.filter_map(|dir| record::read::<Record>(&dir.record()).ok().flatten());
        records.flat_map(|record| record.ports.into_values()).collect()
    }

    /// Decides about the machine alone.
    pub(in crate::instance) async fn machine_plan(
        &self,
        record: &Record,
        options: &MachineOptions,
        reporter: &dyn Reporter,
    ) -> Result<MachinePlan, InstanceError> {
        limits::machine()?;
        let arch = self.arch(record, options)?;
        check_memory(options.memory_mib)?;
        let phase = Phase::start(reporter, "image", "Find QEMU and the image");
        let qemu = Qemu::find(&self.home, arch).await?;
        let image = self.image(record, options.image.as_deref(), arch, qemu.img()).await?;
        qemu.can_run(&image.boot.manifest)?;
        phase.done();

        let phase = Phase::start(reporter, "accelerator", "Choose the accelerator");
        let boot = image.boot.direct_boot();
        let chooser = Chooser { home: &self.home, qemu: &qemu, boot: &boot };
        let decision = chooser.choose(options.accel).await?;
        phase.done();
        // Reported when it is news: right after the trial, and when no earlier start has reported it.
        let news = decision.trial.is_some() || record.session.is_none();
        if let Some(notice) = decision.notice().filter(|_| news) {
            reporter.report(&Event::Notice(&notice));
        }

        let size = self.size(image.boot.manifest.stack.machine, options);
        let topology = stack_machine::topology(&qemu, decision.accelerator, &size)?;
        // Before a record of it is written.
        topology.check_size()?;
        limits::file_size("the machine's memory", size.memory_mib << 20)?;
        let fingerprint = Fingerprint::of(&qemu, topology.clone(), image.identity.sha256);
        let limit = options.timeout.unwrap_or(READY_LIMIT * decision.accelerator.patience());
        Ok(MachinePlan { qemu, image, decision, topology, fingerprint, limit })
    }

    /// The given architecture, else the instance's, else this machine's. The data of one cannot be used by another.
    fn arch(&self, record: &Record, options: &MachineOptions) -> Result<Arch, InstanceError> {
        let own = record.arch.or_else(Arch::host).unwrap_or(Arch::Amd64);
        match options.arch {
            Some(asked) if asked != own && record.session.is_some() => {
                Err(InstanceError::OtherArch { name: self.name.clone(), own, asked })
            }
            asked => Ok(asked.unwrap_or(own)),
        }
    }

    /// The given size, else that of the suspended machine, else the image's.
    fn size(&self, image: MachineSize, options: &MachineOptions) -> MachineSize {
        let suspended = record::read::<Suspension>(&self.dir.suspension()).ok().flatten();
        let kept = suspended.map(|suspended| suspended.state.fingerprint.topology);
        let cpus = options.cpus.or(kept.as_ref().map(|kept| kept.cpus));
        let memory_mib = options.memory_mib.or(kept.as_ref().map(|kept| kept.memory_mib));
        MachineSize {
            cpus: cpus.unwrap_or(image.cpus),
            memory_mib: memory_mib.unwrap_or(image.memory_mib),
            ..image
        }
    }
}
