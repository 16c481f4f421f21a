//! Any error of this library.

use host::files::FileError;
use host::process::ProcessError;

use crate::accel::AccelError;
use crate::agent::AgentError;
use crate::boot_files::BootFilesError;
use crate::disk::DiskError;
use crate::error::{Class, Explain};
use crate::machine::MachineError;
use crate::process::VmProcessError;
use crate::proven::ImageError;
use crate::qemu::QemuError;
use crate::qga::QgaError;
use crate::qmp::QmpError;
use crate::runtime::RuntimeDirError;
use crate::snapshot::error::SnapshotError;
use crate::utf8::NotUtf8;
use crate::volume::VolumeError;

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident($source:ty),)*) => {
        /// Any error of this library.
        #[derive(Debug, thiserror::Error)]
        pub enum Error {
            $($(#[$doc])* #[error(transparent)] $name(#[from] $source),)*
        }

        impl Explain for Error {
            fn class(&self) -> Class {
                match self { $(Self::$name(source) => source.class(),)* }
            }

            fn hint(&self) -> Option<String> {
                match self { $(Self::$name(source) => source.hint(),)* }
            }
        }
    };
}

errors! {
    /// No working accelerator.
    Accel(AccelError),
    /// The guest's own agent does not do what it should.
    Agent(AgentError),
    /// The image's boot files cannot be had.
    BootFiles(BootFilesError),
    /// A disk image cannot be made or read.
    Disk(DiskError),
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
    /// The guest agent does not do what it should.
    Qga(QgaError),
    /// The monitor does not do what it should.
    Qmp(QmpError),
    /// No place for sockets.
    Runtime(RuntimeDirError),
    /// A snapshot cannot be made.
    Snapshot(SnapshotError),
    /// A path is no text.
    NotUtf8(NotUtf8),
    /// The QEMU process does not live as it should.
    Vm(VmProcessError),
    /// A FAT volume cannot be made or read.
    Volume(VolumeError),
}
