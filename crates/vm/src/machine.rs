//! The description of a virtual machine as a value.
//!
//! [`Topology`] is everything that the guest can see of its hardware, and [`Launch`] what one run of it adds on the
//! host's side: files, sockets, the kernel. A snapshot must be resumed on the topology that it was captured on, so the
//! topology is a value that can be stored and compared, and [`Machine::args`] makes every command line from it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use image::arch::Arch;
use image::stack::{CPUS_LIMIT, MEMORY_MIB_LIMIT, MachineSize, Network};
use protocol::names::ports;
use serde::{Deserialize, Serialize};

use crate::error::Explain;
use crate::socket::PATH_LIMIT;

mod accelerator;
mod args;
mod model;

pub use accelerator::Accelerator;
pub use args::port_chardev;
pub(crate) use args::{escaped, monitor as monitor_args};
pub use model::{cpu_model, machine_family};

/// Id of the network back end that host forwards are added to.
pub const NETDEV: &str = "net0";

/// Id of the memory, whatever holds it: it is part of a snapshot.
pub const MEMORY: &str = "ram";

/// Id and serial number of the disk that the guest boots from.
pub const DISK_ROOT: &str = "root";

/// Number of the devices' description that is current: see [`Topology::layout`].
///
/// 1: the network card does not announce itself.
pub const LAYOUT: u32 = 1;

/// Everything that a guest can see of its hardware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Topology {
    /// What no other field shows of the devices: raised with a change of them, so that a state that was saved before it is not loaded
    /// after it.
    #[serde(default)]
    pub layout: u32,
    /// Architecture of the guest.
    pub arch: Arch,
    /// Versioned machine type, `pc-q35-10.2`: an alias such as `q35` means another machine after an update of QEMU.
    pub machine_type: String,
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
    /// The value of `-cpu`.
    pub cpu_model: String,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Whether there is a generation id device, by which a guest learns that it was cloned.
    pub generation_id: bool,
    /// Block devices in the order of their addresses.
    pub disks: Vec<Disk>,
    /// Names of the virtio-serial ports in the order of their numbers.
    pub ports: Vec<String>,
}

/// A virtio block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// Id, unique in the machine; the guest sees it as the disk's serial number.
    pub id: String,
    /// What the guest may do with it.
    pub access: Access,
}

/// What a guest may do with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read only.
    Read,
    /// Read, write and discard.
    Write,
}

/// What one run of a machine needs on the host's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Name that the process list shows.
    pub name: String,
    /// Kernel that is started without firmware.
    pub boot: DirectBoot,
    /// What holds the guest's memory.
    pub memory: Memory,
    /// Where the guest begins.
    pub begin: Begin,
    /// What the guest may reach outside of itself.
    pub network: Network,
    /// File behind each disk, by the disk's id.
    pub disks: BTreeMap<String, DiskFile>,
    /// Host's end of each virtio-serial port, by the port's name.
    pub ports: BTreeMap<String, PortEnd>,
    /// File that the serial console is appended to.
    pub console: PathBuf,
    /// Unix socket of the monitor.
    pub qmp: PathBuf,
    /// File descriptor as which QEMU inherits that socket, where it does not make it.
    pub listening: Option<i32>,
}

/// What holds a guest's memory on the host. The guest cannot see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// Memory of QEMU's own.
    Anonymous,
    /// A file of the memory's size, written to by the guest: of QEMU's own file system or, as `/proc/self/fd/N`, one that
    /// it inherits.
    Shared(PathBuf),
    /// A file of the memory's size that only fills it: what the guest writes stays with QEMU, which is to be 8.2 or
    /// newer.
    Private(PathBuf),
}

/// Where a guest begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At its kernel's first instruction, at once.
    Boot,
    /// Where saved devices left off, in memory that is there already: QEMU waits for their state, and then for the command to continue.
    Devices,
    /// Where saved memory and devices left off: QEMU waits for the state of both, and then for the command to continue.
    State,
    /// The same, where the state does not begin with a description of its machine: it was saved by one that had itself begun with
    /// [`Begin::Devices`], as [`Launch`] makes it.
    BareState,
}

/// A kernel that is started without firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectBoot {
    /// Kernel image on the host.
    pub kernel: PathBuf,
    /// Initial RAM file system on the host.
    pub initrd: PathBuf,
    /// Kernel command line.
    pub cmdline: String,
}

/// A file behind a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFile {
    /// Where it is.
    pub path: PathBuf,
    /// How it is written.
    pub format: DiskFormat,
    /// What is below it, where it is an overlay: named here, whatever its own header says, so that an image may be moved.
    pub backing: Option<Box<DiskFile>>,
}

/// Format of a disk image. Always given, never guessed: a guest could write another format's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// QEMU's copy-on-write format.
    Qcow2,
    /// The disk's bytes.
    Raw,
}

impl DiskFormat {
    /// QEMU's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

impl DiskFile {
    /// A qcow2 file.
    pub fn qcow2(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), format: DiskFormat::Qcow2, backing: None }
    }

    /// A raw file.
    pub fn raw(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), format: DiskFormat::Raw, backing: None }
    }

    /// The same file as an overlay of `backing`.
    #[must_use]
    pub fn on(self, backing: Self) -> Self {
        Self { backing: Some(Box::new(backing)), ..self }
    }

    /// The file and all that is below it.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |file| file.backing.as_deref())
    }
}

/// The host's end of a virtio-serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortEnd {
    /// A unix socket that QEMU listens on; one client at a time.
    Socket(PathBuf),
    /// A file that takes what the guest writes.
    File(PathBuf),
}

impl PortEnd {
    fn path(&self) -> &Path {
        match self {
            Self::Socket(path) | Self::File(path) => path,
        }
    }
}

/// Least memory of a machine in MiB: a kernel needs it.
pub const MEMORY_MIB_LEAST: u64 = 64;

/// Longest serial number of a virtio block device in bytes (`VIRTIO_BLK_ID_BYTES`).
const SERIAL_LIMIT: usize = 20;

/// Why a machine description cannot be launched.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MachineError {
    /// No virtual CPU.
    #[error("a machine needs at least one virtual CPU")]
    NoCpu,
    /// Too little memory for a kernel.
    #[error("a machine needs at least {MEMORY_MIB_LEAST} MiB of memory, not {0} MiB")]
    LittleMemory(u64),
    /// More than any board has.
    #[error("a machine has at most {CPUS_LIMIT} virtual CPUs and {MEMORY_MIB_LIMIT} MiB of memory")]
    TooLarge,
    /// An id or name is not one that QEMU and the guest take as it is.
    #[error("invalid name `{0}`: use 1 to {SERIAL_LIMIT} letters, digits, `-`, `.` or `_`")]
    BadDiskId(String),
    /// A port's name has other characters than QEMU and the guest take as they are.
    #[error("invalid port name `{0}`: use letters, digits, `-`, `.` or `_`")]
    BadPortName(String),
    /// Two devices share an id.
    #[error("two devices are called `{0}`")]
    Duplicate(String),
    /// The topology has a disk for which the launch names no file, or the other way round.
    #[error("disk `{0}` is not in both the topology and the launch")]
    UnmatchedDisk(String),
    /// The topology has a port for which the launch names no end, or the other way round.
    #[error("port `{0}` is not in both the topology and the launch")]
    UnmatchedPort(String),
    /// A relative path would mean another file to QEMU than to its caller.
    #[error("`{}` is not an absolute path", .0.display())]
    RelativePath(PathBuf),
    /// A unix socket cannot have so long a path.
    #[error("the socket path `{}` is longer than {PATH_LIMIT} bytes", .0.display())]
    LongSocketPath(PathBuf),
}

impl Explain for MachineError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::LongSocketPath(_) => Some("set `XDG_RUNTIME_DIR` to a shorter path".to_owned()),
            _ => None,
        }
    }
}

/// What a QEMU has to build a machine on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Board {
    /// Architecture of the guest.
    pub arch: Arch,
    /// Versioned machine type.
    pub machine_type: String,
    /// Whether it has a generation id device.
    pub vmgenid: bool,
}

impl Topology {
    /// The machine of `size` on `board`, with a root disk, the guest agent's port and nothing else.
    pub fn new(board: Board, accelerator: Accelerator, size: &MachineSize) -> Self {
        let Board { arch, machine_type, vmgenid } = board;
        Self {
            layout: LAYOUT,
            arch,
            machine_type,
            accelerator,
            cpu_model: cpu_model(arch, accelerator).to_owned(),
            cpus: size.cpus,
            memory_mib: size.memory_mib,
            generation_id: model::has_generation_id(arch, accelerator) && vmgenid,
            disks: vec![Disk { id: DISK_ROOT.to_owned(), access: Access::Write }],
            ports: vec![ports::QGA.to_owned()],
        }
    }

    /// Whether there can be a machine of this size.
    ///
    /// # Errors
    /// When it has too little of something, or more than any board takes.
    pub fn check_size(&self) -> Result<(), MachineError> {
        match (self.cpus, self.memory_mib) {
            (0, _) => Err(MachineError::NoCpu),
            (_, little @ ..MEMORY_MIB_LEAST) => Err(MachineError::LittleMemory(little)),
            (cpus, memory) if cpus > CPUS_LIMIT || memory > MEMORY_MIB_LIMIT => Err(MachineError::TooLarge),
            _ => Ok(()),
        }
    }

    /// Adds a block device after the others.
    #[must_use]
    pub fn disk(mut self, id: &str, access: Access) -> Self {
        self.disks.push(Disk { id: id.to_owned(), access });
        self
    }

    /// Adds a virtio-serial port after the others.
    #[must_use]
    pub fn port(mut self, name: &str) -> Self {
        self.ports.push(name.to_owned());
        self
    }
}

/// A machine whose parts fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    topology: Topology,
    launch: Launch,
}

/// What the QEMU at hand supports in addition to the topology. None of it is visible to the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostFeatures {
    /// Whether disks can be read and written through `io_uring`.
    pub io_uring: bool,
    /// Whether QEMU can forbid itself system calls that it does not need.
    pub sandbox: bool,
}

impl Machine {
    /// Checks that `topology` and `launch` fit together.
    ///
    /// # Errors
    /// When they do not, with the first reason.
    pub fn new(topology: Topology, launch: Launch) -> Result<Self, MachineError> {
        check(&topology, &launch)?;
        Ok(Self { topology, launch })
    }

    /// What the guest sees.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// What this run adds.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// QEMU's arguments.
    pub fn args(&self, features: HostFeatures) -> Vec<OsString> {
        args::all(&self.topology, &self.launch, features)
    }
}

fn check(topology: &Topology, launch: &Launch) -> Result<(), MachineError> {
    topology.check_size()?;
    let mut seen = BTreeSet::new();
    for disk in &topology.disks {
        if !plain(&disk.id) || disk.id.len() > SERIAL_LIMIT {
            return Err(MachineError::BadDiskId(disk.id.clone()));
        }
    }
    for port in &topology.ports {
        if !plain(port) {
            return Err(MachineError::BadPortName(port.clone()));
        }
    }
    let disks = topology.disks.iter().map(|disk| disk.id.as_str());
    let ports = topology.ports.iter().map(String::as_str);
    if let Some(twin) = disks.clone().chain(ports.clone()).find(|name| !seen.insert(*name)) {
        return Err(MachineError::Duplicate(twin.to_owned()));
    }
    if let Some(id) = unmatched(disks, &launch.disks) {
        return Err(MachineError::UnmatchedDisk(id));
    }
    if let Some(name) = unmatched(ports, &launch.ports) {
        return Err(MachineError::UnmatchedPort(name));
    }
    check_paths(launch)
}

fn unmatched<'a, T>(names: impl Iterator<Item = &'a str>, ends: &BTreeMap<String, T>) -> Option<String> {
    let names: BTreeSet<&str> = names.collect();
    let ends: BTreeSet<&str> = ends.keys().map(String::as_str).collect();
    names.symmetric_difference(&ends).next().map(|name| (*name).to_owned())
}

fn check_paths(launch: &Launch) -> Result<(), MachineError> {
    let disks = launch.disks.values().flat_map(DiskFile::chain).map(|file| file.path.as_path());
    let ports = launch.ports.values().map(PortEnd::path);
    let memory = match &launch.memory {
        Memory::Shared(path) | Memory::Private(path) => Some(path.as_path()),
        Memory::Anonymous => None,
    };
    let own = [&launch.boot.kernel, &launch.boot.initrd, &launch.console, &launch.qmp].map(PathBuf::as_path);
    if let Some(path) =
        own.into_iter().chain(memory).chain(disks).chain(ports).find(|path| !path.is_absolute())
    {
        return Err(MachineError::RelativePath(path.to_owned()));
    }
    let sockets = launch.ports.values().filter(|end| matches!(end, PortEnd::Socket(_))).map(PortEnd::path);
    let monitor = launch.listening.is_none().then_some(launch.qmp.as_path());
    match sockets.chain(monitor).find(|path| path.as_os_str().len() > PATH_LIMIT) {
        Some(path) => Err(MachineError::LongSocketPath(path.to_owned())),
        None => Ok(()),
    }
}

fn plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn topology(arch: Arch, accelerator: Accelerator) -> Topology {
        Topology {
            layout: LAYOUT,
            arch,
            machine_type: format!("{}-10.2", model::machine_family(arch)),
            accelerator,
            cpu_model: cpu_model(arch, accelerator).to_owned(),
            cpus: 2,
            memory_mib: 2048,
            generation_id: model::has_generation_id(arch, accelerator),
            disks: vec![Disk { id: DISK_ROOT.to_owned(), access: Access::Write }],
            ports: vec![ports::QGA.to_owned()],
        }
    }

    pub(super) fn launch() -> Launch {
        Launch {
            name: "stack-emulator default".to_owned(),
            boot: DirectBoot {
                kernel: "/boot/vmlinuz".into(),
                initrd: "/boot/initrd".into(),
                cmdline: "root=PARTLABEL=stack-root quiet,really".to_owned(),
            },
            memory: Memory::Anonymous,
            begin: Begin::Boot,
            network: Network::Open,
            disks: BTreeMap::from([(DISK_ROOT.to_owned(), DiskFile::qcow2("/i/disk.qcow2"))]),
            ports: BTreeMap::from([(ports::QGA.to_owned(), PortEnd::Socket("/run/e/qga".into()))]),
            console: "/i/console.log".into(),
            qmp: "/run/e/qmp".into(),
            listening: None,
        }
    }

    fn refused(change: impl FnOnce(&mut Topology, &mut Launch)) -> MachineError {
        let (mut topology, mut launch) = (topology(Arch::Amd64, Accelerator::Tcg), launch());
        change(&mut topology, &mut launch);
        Machine::new(topology, launch).unwrap_err()
    }

    #[test]
    fn a_machine_whose_parts_fit_is_accepted() {
        Machine::new(topology(Arch::Amd64, Accelerator::Tcg), launch()).unwrap();
    }

    #[test]
    fn sizes_that_no_kernel_runs_in_are_refused() {
        assert_eq!(refused(|topology, _| topology.cpus = 0), MachineError::NoCpu);
        assert_eq!(refused(|topology, _| topology.memory_mib = 63), MachineError::LittleMemory(63));
    }

    #[test]
    fn names_that_would_be_read_as_options_are_refused() {
        let error = refused(|topology, _| topology.disks[0].id = "root,snapshot=on".to_owned());
        assert_eq!(error, MachineError::BadDiskId("root,snapshot=on".to_owned()));
        let error = refused(|topology, _| topology.ports[0] = "a b".to_owned());
        assert_eq!(error, MachineError::BadPortName("a b".to_owned()));
    }

    #[test]
    fn a_device_without_a_file_and_a_file_without_a_device_are_refused() {
        let error = refused(|topology, _| *topology = topology.clone().disk("seed", Access::Read));
        assert_eq!(error, MachineError::UnmatchedDisk("seed".to_owned()));
        let end = PortEnd::File("/i/progress".into());
        let error = refused(|_, launch| drop(launch.ports.insert(ports::PROGRESS.to_owned(), end)));
        assert_eq!(error, MachineError::UnmatchedPort(ports::PROGRESS.to_owned()));
        let error = refused(|topology, _| *topology = topology.clone().disk(DISK_ROOT, Access::Read));
        assert_eq!(error, MachineError::Duplicate(DISK_ROOT.to_owned()));
    }

    #[test]
    fn relative_paths_and_long_sockets_are_refused() {
        let error = refused(|_, launch| launch.console = "console.log".into());
        assert_eq!(error, MachineError::RelativePath("console.log".into()));
        let long = PathBuf::from(format!("/{}", "s".repeat(PATH_LIMIT)));
        let error = refused(|_, launch| launch.qmp = long.clone());
        assert_eq!(error, MachineError::LongSocketPath(long.clone()));
        let inherited = Launch { qmp: long, listening: Some(9), ..launch() };
        Machine::new(topology(Arch::Amd64, Accelerator::Tcg), inherited).unwrap();
    }
}
