//! Why a command on an instance failed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base::digest::Sha256;
use base::files::FileError;
use base::limits::TooLow;
use base::refusal;
use image::arch::Arch;
use vm::console::{GuestTrouble, shown};
use vm::error::{Class, Explain};
use vm::process::VmProcessError;
use vm::qmp::QmpError;

use super::exports::ProjectError;
use super::health::Health;
use super::record::RecordError;
use super::state::{Fault, InspectError};
use crate::failure::Error;
use crate::name::InstanceName;
use crate::ports::PortError;
use vm::place::Elsewhere;

/// Why a command on an instance failed.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The overlay's image has been replaced; on top of another one its data would be garbage.
    #[error("the image `{}` is not the one that instance `{name}` keeps its data on (sha256 {found}, not {expected})", path.display())]
    ImageChanged {
        /// The instance.
        name: InstanceName,
        /// The image that the start would use.
        path: PathBuf,
        /// SHA-256 of the image below the overlay.
        expected: Sha256,
        /// SHA-256 of the image that is there.
        found: Sha256,
    },
    /// The overlay is a disk of another architecture.
    #[error("instance `{name}` keeps data of a machine for {own}, not {asked}")]
    OtherArch {
        /// The instance.
        name: InstanceName,
        /// Its architecture.
        own: Arch,
        /// The requested one.
        asked: Arch,
    },
    /// There is less memory on this host.
    #[error("the machine cannot have {asked_mib} MiB of memory: this host has {host_mib} MiB")]
    TooMuchMemory {
        /// The requested size.
        asked_mib: u64,
        /// What there is.
        host_mib: u64,
    },
    /// A limit of this process is too low for the machine.
    #[error(transparent)]
    Limit(#[from] TooLow),
    /// A fault that a start cannot repair.
    #[error("instance `{name}` is broken: {}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Broken {
        /// The instance.
        name: InstanceName,
        /// What is wrong.
        faults: Vec<Fault>,
    },
    /// There is an overlay, but no record of the image below it.
    #[error("there is a disk `{}`, but no record of the image below it", .overlay.display())]
    UnknownOverlay {
        /// The disk.
        overlay: PathBuf,
        /// The path of the missing record.
        record: PathBuf,
    },
    /// The host's ports cannot be used.
    #[error(transparent)]
    Ports(#[from] PortError),
    /// The deadline passed before every service answered.
    #[error("the services are not ready after {:.0} s: {}{}", limit.as_secs_f64(), unhealthy_text(unhealthy), shown(console))]
    NotReady {
        /// The deadline.
        limit: Duration,
        /// The last answers of the services that are not ready.
        unhealthy: Vec<Health>,
        /// The end of the serial console.
        console: String,
    },
    /// The guest reports that it cannot continue.
    #[error(transparent)]
    Guest(#[from] GuestTrouble),
    /// The host's disk fails, and the machine is paused.
    #[error("the machine is paused, because its disk cannot be read or written: {reason}")]
    DiskFails {
        /// The operating system's error, as QEMU reports it.
        reason: String,
    },
    /// QEMU ended before the services were ready.
    #[error("QEMU ended before the services were ready{}", shown(console))]
    EndedEarly {
        /// How it ended.
        #[source]
        source: VmProcessError,
        /// The end of the serial console.
        console: String,
    },
    /// A QEMU whose start was interrupted does not end.
    #[error("a QEMU whose start was cut short is still there")]
    Orphan(#[source] base::wait::TimedOut),
    /// The operating system gives no random bytes.
    #[error("cannot get random bytes for the secrets")]
    Random(#[source] std::io::Error),
    /// New secrets were sent to the guest, and it did not confirm them.
    #[error("the guest did not confirm the new secrets of `{name}`")]
    Unconfirmed {
        /// The instance.
        name: InstanceName,
        /// The failure.
        #[source]
        cause: Box<InstanceError>,
    },
    /// There are no secrets to renew.
    #[error("instance `{0}` was started without secrets of its own")]
    NotRotated(InstanceName),
    /// The machine cannot be suspended: its memory is not in a file.
    #[error("its memory cannot be saved: this QEMU has no way to")]
    CannotSuspend,
    /// The instance is not running.
    #[error("instance `{0}` is not running")]
    NotRunning(InstanceName),
    /// It has never run.
    #[error("instance `{0}` has no logs yet")]
    NoLogs(InstanceName),
    /// Lines were selected by time, and those of this source have none.
    #[error("the lines of `{0}` have no time that could be selected by")]
    NoTimes(&'static str),
    /// There is no instance of that name.
    #[error("there is no instance `{name}`: there is {}", known_names(known))]
    NoInstance {
        /// The requested name.
        name: InstanceName,
        /// Those that there are.
        known: Vec<InstanceName>,
    },
    /// There is no such source of logs.
    #[error("there is no log source `{source_name}`: there is {}", known.join(", "))]
    UnknownSource {
        /// The requested name.
        source_name: String,
        /// What there is, in backticks.
        known: Vec<String>,
    },
    /// There is no such service.
    #[error("there is no service `{service}`: there is {}", known.join(", "))]
    UnknownService {
        /// The requested name.
        service: String,
        /// What there is, in backticks.
        known: Vec<String>,
    },
    /// The machine was stopped while a command ran inside it.
    #[error("instance `{0}` was stopped before the command ended")]
    StoppedMeanwhile(InstanceName),
    /// The guest's `journalctl` printed something else than its format.
    #[error("the guest's journal cannot be read")]
    Journal(#[source] serde_json::Error),
    /// The record of the session lacks the value of a secret.
    #[error("the record of instance `{name}` has no value for the secret `{secret}`")]
    NoSecret {
        /// The instance.
        name: InstanceName,
        /// The secret's name in the manifest.
        secret: String,
    },
    /// There is no project for a configuration file.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A machine that is not visible from here runs on its disk, or may.
    #[error(transparent)]
    Elsewhere(#[from] Elsewhere),
    /// It is running, and its ports cannot be reached.
    #[error("instance `{0}` is already running, and its ports are in another network namespace")]
    OtherNetwork(InstanceName),
    /// It is running, and its sockets cannot be reached.
    #[error("instance `{name}` runs, and its socket `{}` is not there", path.display())]
    SocketGone {
        /// The instance.
        name: InstanceName,
        /// The socket.
        path: PathBuf,
    },
    /// The state cannot be determined.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// A record cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The machine below.
    #[error(transparent)]
    Vm(#[from] Error),
}

fn known_names(known: &[InstanceName]) -> String {
    let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn unhealthy_text(unhealthy: &[Health]) -> String {
    if unhealthy.is_empty() {
        return "no service has been asked yet".to_owned();
    }
    let each = unhealthy
        .iter()
        .map(|health| format!("{} {}", health.url, health.reason.as_deref().unwrap_or("has not been asked")));
    each.collect::<Vec<_>>().join("; ")
}

impl Explain for InstanceError {
    fn class(&self) -> Class {
        match self {
            Self::NotReady { .. } => Class::TimedOut,
            Self::ImageChanged { .. } => Class::VerificationFailed,
            Self::Ports(
                PortError::Unknown { .. }
                | PortError::UnknownInFile { .. }
                | PortError::Variable { .. }
                | PortError::Clash { .. },
            )
            | Self::UnknownSource { .. }
            | Self::UnknownService { .. }
            | Self::NoInstance { .. }
            | Self::NoTimes(_)
            | Self::OtherArch { .. }
            | Self::TooMuchMemory { .. } => Class::Usage,
            Self::Project(error) => error.class(),
            Self::NotRunning(_) | Self::NoLogs(_) => Class::NotRunning,
            Self::EndedEarly { source, .. } => source.class(),
            Self::Unconfirmed { cause, .. } => cause.class(),
            _ => self.below().map_or(Class::Failed, Explain::class),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Limit(limit) => Some(limit.hint()),
            Self::Ports(PortError::NoLoopback(_)) => {
                Some("bring it up: `ip link set lo up`, as root of this network namespace".to_owned())
            }
            Self::Orphan(_) => Some("find it with `ps -ef | grep qemu-system` and end it".to_owned()),
            _ => self.below()?.hint(),
        }
    }

    fn below(&self) -> Option<&(dyn Explain + 'static)> {
        match self {
            Self::EndedEarly { source, .. } if source.is_refusal() => Some(source),
            Self::Inspect(InspectError::Process(source)) => Some(source),
            Self::Inspect(InspectError::File(source))
            | Self::Record(RecordError::File(source))
            | Self::File(source) => Some(source),
            Self::Vm(source) => Some(source),
            Self::Elsewhere(elsewhere) => Some(elsewhere),
            Self::Project(error) => Some(error),
            _ => None,
        }
    }
}

impl InstanceError {
    /// Whether the host refuses something that it may allow later: the saved memory may still be valid.
    pub(super) fn is_refusal(&self) -> bool {
        if let Some(death) = self.death() {
            return death.is_refusal();
        }
        match self {
            // A boot would write to the same disk.
            Self::Vm(Error::Qmp(QmpError::Refused { reason, .. })) | Self::DiskFails { reason } => {
                refusal::is_said(reason)
            }
            other => refusal::is_cause(other),
        }
    }

    /// Whether QEMU crashed.
    pub(super) fn is_crash(&self) -> bool {
        self.death().is_some_and(VmProcessError::is_crash)
    }

    /// Whether a signal from outside has ended QEMU: the saved memory is as good as before.
    pub(super) fn is_kill(&self) -> bool {
        self.death().is_some_and(VmProcessError::is_kill)
    }

    /// How QEMU has ended, if that is what failed.
    fn death(&self) -> Option<&VmProcessError> {
        match self {
            Self::EndedEarly { source, .. }
            | Self::Vm(Error::Vm(source) | Error::Qmp(QmpError::Process(source))) => Some(source),
            _ => None,
        }
    }

    /// The same error, when the directory of the log that it names has become `dir`.
    pub(super) fn with_logs_in(self, dir: &Path) -> Self {
        match self {
            Self::EndedEarly { source, console } => {
                Self::EndedEarly { source: source.with_log_in(dir), console }
            }
            other => other,
        }
    }
}

macro_rules! through_vm {
    ($($source:ty),* $(,)?) => {
        $(impl From<$source> for InstanceError {
            fn from(source: $source) -> Self {
                Self::Vm(source.into())
            }
        })*
    };
}

through_vm!(
    vm::accel::AccelError,
    vm::agent::AgentError,
    vm::boot_files::BootFilesError,
    vm::disk::DiskError,
    vm::exec::ExecError,
    vm::machine::MachineError,
    vm::process::VmProcessError,
    vm::qemu::QemuError,
    vm::qga::QgaError,
    vm::qmp::QmpError,
    vm::runtime::RuntimeDirError,
    crate::snapshot::error::SnapshotError,
    vm::utf8::NotUtf8,
    vm::volume::VolumeError,
);
