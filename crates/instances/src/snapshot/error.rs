//! Why a snapshot cannot be created or used.

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

/// Why a snapshot cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// This QEMU, or this host, cannot keep a machine's state with the requested strategy.
    #[error("QEMU {version} on this host cannot make a snapshot{}", how.map(|how| format!(" with strategy `{how}`")).unwrap_or_default())]
    Impossible {
        /// Its version.
        version: vm::version::Version,
        /// The requested strategy; none when every one was tried.
        how: Option<vm::saving::Strategy>,
    },
    /// It was removed right after it was created.
    #[error("the snapshot `{0}` was removed as soon as it was made")]
    Gone(String),
    /// The guest could not be prepared for the capture.
    #[error("the guest cannot be captured; the logs are in `{}`", logs.display())]
    Guest {
        /// Why.
        #[source]
        source: Box<SnapshotError>,
        /// Where its logs were put.
        logs: PathBuf,
    },
    /// The guest reports that it cannot continue.
    #[error(transparent)]
    Trouble(#[from] GuestTrouble),
    /// The guest's agent fails.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The guest was not ready in time.
    #[error("the guest was not ready after {:.0} s", .0.as_secs_f64())]
    NotReady(Duration),
    /// The disk image cannot be created.
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
    /// QEMU cannot be started, observed or ended.
    #[error(transparent)]
    Process(#[from] VmProcessError),
    /// QEMU cannot be used.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// The monitor fails.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// There is no directory for sockets.
    #[error(transparent)]
    Runtime(#[from] RuntimeDirError),
    /// The volume with settings cannot be created.
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
