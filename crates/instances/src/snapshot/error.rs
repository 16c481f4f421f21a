//! Why a snapshot cannot be made or used.

use std::path::PathBuf;
use std::time::Duration;

use base::files::FileError;
use vm::agent::AgentError;
use vm::console::GuestTrouble;
use vm::disk::DiskError;
use vm::error::{Class, Explain};
use vm::machine::MachineError;
use vm::process::VmProcessError;
use vm::qemu::QemuError;
use vm::qmp::QmpError;
use vm::runtime::RuntimeDirError;
use vm::volume::VolumeError;

/// Why a snapshot cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// This QEMU, or this host, cannot keep a machine's state in the way that was asked for.
    #[error("QEMU {version} on this host cannot make a snapshot{}", how.map(|how| format!(" with strategy `{how}`")).unwrap_or_default())]
    Impossible {
        /// Its version.
        version: vm::version::Version,
        /// What was asked for; none when every way was tried.
        how: Option<vm::saving::Strategy>,
    },
    /// Somebody has removed it right after it was made.
    #[error("the snapshot `{0}` was removed as soon as it was made")]
    Gone(String),
    /// The guest did not become what is worth capturing.
    #[error("the guest cannot be captured; the logs are in `{}`", logs.display())]
    Guest {
        /// Why.
        #[source]
        source: Box<SnapshotError>,
        /// Where its logs were put.
        logs: PathBuf,
    },
    /// The guest says that it cannot go on.
    #[error(transparent)]
    Trouble(#[from] GuestTrouble),
    /// The guest's agent does not do what it should.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The guest has not come up in time.
    #[error("the guest was not ready after {:.0} s", .0.as_secs_f64())]
    NotReady(Duration),
    /// The disk image cannot be made.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file cannot be written or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The machine contradicts itself.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The operating system gives no random bytes.
    #[error("cannot get random bytes for the guest")]
    Random(#[source] std::io::Error),
    /// QEMU does not live as it should.
    #[error(transparent)]
    Process(#[from] VmProcessError),
    /// QEMU cannot be used.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// The monitor does not do what it should.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// There is no place for sockets.
    #[error(transparent)]
    Runtime(#[from] RuntimeDirError),
    /// The volume with settings cannot be made.
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

impl Explain for SnapshotError {
    fn class(&self) -> Class {
        match self {
            Self::Impossible { .. } => Class::HostUnsupported,
            Self::NotReady(_) => Class::TimedOut,
            Self::Guest { source, .. } => source.class(),
            _ => self.below().map_or(Class::Failed, Explain::class),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Guest { logs, .. } => Some(format!("read `{}`", logs.join("serial.log").display())),
            _ => self.below()?.hint(),
        }
    }

    fn below(&self) -> Option<&(dyn Explain + 'static)> {
        match self {
            Self::Agent(source) => Some(source),
            Self::Disk(source) => Some(source),
            Self::File(source) => Some(source),
            Self::Machine(source) => Some(source),
            Self::Process(source) => Some(source),
            Self::Qemu(source) => Some(source),
            Self::Qmp(source) => Some(source),
            Self::Runtime(source) => Some(source),
            Self::Volume(source) => Some(source),
            Self::Impossible { .. }
            | Self::Gone(_)
            | Self::Guest { .. }
            | Self::Trouble(_)
            | Self::NotReady(_)
            | Self::Random(_) => None,
        }
    }
}
