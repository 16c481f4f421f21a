//! The machine that runs a stack: one topology for booting, capturing and resuming it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use image::stack::{MachineSize, Network};

use crate::machine::Accelerator;
use crate::machine::{Access, Begin, DISK_ROOT, DirectBoot, DiskFile, Launch, Memory, PortEnd, Topology};
use crate::qemu::{Qemu, QemuError};
use protocol::names::ports;

/// Id of the disk with a start's settings.
const CONFIG_DISK: &str = "config";

/// The machine of `size`: the image's root, the settings of a start, and a channel to each of the agents.
///
/// # Errors
/// When QEMU has no suitable machine type.
pub fn topology(qemu: &Qemu, accelerator: Accelerator, size: &MachineSize) -> Result<Topology, QemuError> {
    let bare = Topology::new(qemu.board()?, accelerator, size);
    Ok(bare.port(ports::AGENT).disk(CONFIG_DISK, Access::Read))
}

/// The files and sockets of one run of a stack's machine.
#[derive(Debug, Clone)]
pub struct Files {
    /// The qcow2 that the guest writes to, with all that is below it.
    pub root: DiskFile,
    /// The volume with the start's settings.
    pub config: PathBuf,
    /// Log of the serial console.
    pub console: PathBuf,
    /// Socket of the monitor.
    pub qmp: PathBuf,
    /// Socket of QEMU's guest agent.
    pub qga: PathBuf,
    /// Socket of the guest's own agent.
    pub agent: PathBuf,
}

/// One run of that machine.
pub fn launch(
    name: String,
    boot: DirectBoot,
    files: Files,
    memory: Memory,
    begin: Begin,
    network: Network,
) -> Launch {
    Launch {
        name,
        boot,
        memory,
        begin,
        network,
        disks: BTreeMap::from([
            (DISK_ROOT.to_owned(), files.root),
            (CONFIG_DISK.to_owned(), DiskFile::raw(files.config)),
        ]),
        ports: BTreeMap::from([
            (ports::QGA.to_owned(), PortEnd::Socket(files.qga)),
            (ports::AGENT.to_owned(), PortEnd::Socket(files.agent)),
        ]),
        console: files.console,
        qmp: files.qmp,
        listening: None,
    }
}
