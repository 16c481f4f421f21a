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
        how: Option<super::Strategy>,
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
            Self::Agent(source) => source.class(),
            Self::Disk(source) => source.class(),
            Self::Process(source) => source.class(),
            Self::Qemu(source) => source.class(),
            Self::Qmp(source) => source.class(),
            Self::Runtime(source) => source.class(),
            Self::Volume(source) => source.class(),
            Self::Gone(_) | Self::Random(_) | Self::Trouble(_) | Self::File(_) | Self::Machine(_) => {
                Class::Failed
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Impossible { .. } => {
                Some("run `cargo xtask build-qemu` in a checkout, or start with `--no-snapshot`".to_owned())
            }
            Self::Guest { logs, .. } => Some(format!("read `{}`", logs.join("serial.log").display())),
            Self::NotReady(_) => Some("wait longer with `--timeout 5m`".to_owned()),
            Self::Disk(source) => source.hint(),
            Self::File(source) => source.hint(),
            Self::Process(source) => source.hint(),
            Self::Qemu(source) => source.hint(),
            Self::Qmp(source) => source.hint(),
            Self::Runtime(source) => source.hint(),
            _ => None,
        }
    }
}
