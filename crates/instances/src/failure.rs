//! Any error of this library.

use base::files::FileError;
use base::process::ProcessError;
use vm::accel::AccelError;
use vm::agent::AgentError;
use vm::boot_files::BootFilesError;
use vm::disk::DiskError;
use vm::error::Explain;
use vm::exec::ExecError;
use vm::machine::MachineError;
use vm::process::VmProcessError;
use vm::proven::ImageError;
use vm::qemu::QemuError;
use vm::qga::QgaError;
use vm::qmp::QmpError;
use vm::runtime::RuntimeDirError;
use vm::utf8::NotUtf8;
use vm::volume::VolumeError;

use crate::snapshot::error::SnapshotError;

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident($source:ty),)*) => {
        /// Any error of this library.
        #[derive(Debug, thiserror::Error)]
        pub enum Error {
            $($(#[$doc])* #[error(transparent)] $name(#[from] $source),)*
        }

        impl Explain for Error {
            fn below(&self) -> Option<&(dyn Explain + 'static)> {
                Some(match self { $(Self::$name(source) => source,)* })
            }
        }
    };
}

errors! {
    /// No working accelerator.
    Accel(AccelError),
    /// The guest's own agent fails.
    Agent(AgentError),
    /// The image's boot files cannot be read.
    BootFiles(BootFilesError),
    /// A disk image cannot be created or read.
    Disk(DiskError),
    /// A command cannot be run in the guest.
    Exec(ExecError),
    /// A file of ours cannot be read or written.
    File(FileError),
    /// A file is not used as an image.
    Image(ImageError),
    /// The machine description contradicts itself.
    Machine(MachineError),
    /// An external program failed.
    Process(ProcessError),
    /// No usable QEMU.
    Qemu(QemuError),
    /// QEMU's guest agent fails.
    Qga(QgaError),
    /// The monitor fails.
    Qmp(QmpError),
    /// No directory for sockets.
    Runtime(RuntimeDirError),
    /// A snapshot cannot be created.
    Snapshot(SnapshotError),
    /// A path is not text.
    NotUtf8(NotUtf8),
    /// The QEMU process cannot be started, observed or ended.
    Vm(VmProcessError),
    /// A FAT volume cannot be created or read.
    Volume(VolumeError),
}
