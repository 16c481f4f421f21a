//! The live record: what runs now, so that any later command finds it, and nothing else is ever mistaken for it.
//!
//! It is written just before QEMU is started and again with QEMU's identity right after, so that a command that is killed
//! in between leaves enough behind for the next one to clean up. It goes when QEMU is known to have ended.

use std::io;
use std::path::{Path, PathBuf};

use base::events::Timing;
use base::files;
use image::arch::Arch;
use image::stack::{self, Service, check};
use protocol::Hooks;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use vm::machine::Accelerator;
use vm::memory::HeldMemory;
use vm::process::{ProcessIdentity, VmProcessError};

use super::dir::InstanceDir;
use super::ports::PublishedPort;
use crate::checked::{self, Checked, Impossible, described};
use crate::place::{Place, Sight, Traces};
use crate::snapshot::Fingerprint;

/// How a running instance came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartedBy {
    /// The guest booted from its disk.
    Cold,
    /// It goes on from a snapshot, as a machine of its own.
    Snapshot,
    /// It goes on where this instance was suspended.
    Suspended,
}

/// What runs now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Live {
    /// [`super::record::SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The QEMU process; none while it is being started.
    pub process: Option<ProcessIdentity>,
    /// Where it was started; none when an earlier version has.
    #[serde(default)]
    pub place: Option<Place>,
    /// Inode of the disk that it was started on, which a copy of this record has not beside it; none in records of earlier versions.
    #[serde(default)]
    pub disk_inode: Option<u64>,
    /// Socket of the monitor.
    pub qmp: PathBuf,
    /// Socket of QEMU's guest agent.
    pub qga: PathBuf,
    /// Socket of the guest's own agent.
    pub agent: PathBuf,
    /// Architecture of the guest.
    pub arch: Arch,
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
    /// Why it is not a faster one, where that would have been preferred.
    pub fallback: Option<String>,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The image below the overlay.
    pub image: PathBuf,
    /// Where the services are found.
    pub ports: Vec<PublishedPort>,
    /// The services whose journals can be read.
    pub services: Vec<Service>,
    /// The stack's secrets, as the manifest describes them.
    pub secrets: Vec<stack::Secret>,
    /// What has to be done for daemons that cannot take secrets while they run.
    pub hooks: Hooks,
    /// Whether the services have secrets of this session, or the image's placeholders.
    pub rotated: bool,
    /// What a suspended machine has to find again.
    pub fingerprint: Fingerprint,
    /// Where the guest's memory is; none where only QEMU knows.
    pub memory: Option<HeldMemory>,
    /// Whether QEMU can write memory that it has for itself.
    pub can_map_memory: bool,
    /// The volume with settings that the guest has mounted.
    pub config: PathBuf,
    /// How it was started.
    pub started_by: StartedBy,
    /// Why it was booted, where it should have gone on from saved memory.
    pub cold_because: Option<String>,
    /// Whether this start made the overlay, so that it goes again if the start fails.
    pub new_session: bool,
    /// When the start began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// Set when every service has answered for the first time.
    pub ready: Option<Ready>,
}

impl Live {
    /// Whether its ports are of another network namespace, where this program cannot reach them.
    pub fn is_in_other_network(&self) -> bool {
        self.place.as_ref().is_some_and(|place| !Place::here().shares_network(place))
    }

    /// Whether the monitor's socket is not there any more, if it was once. The other ones can be made again through it.
    pub fn has_lost_monitor(&self) -> bool {
        self.ready.is_some() && is_missing(&self.qmp)
    }

    /// What it says of its process.
    pub(super) fn noted(&self) -> Noted {
        Noted { process: self.process, place: self.place.clone(), disk_inode: self.disk_inode }
    }
}

/// Whether nothing is at `path`, for certain.
pub(super) fn is_missing(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

impl Checked for Live {
    fn check(&self) -> Result<(), Impossible> {
        self.process.map_or(Ok(()), checked::process)?;
        for (what, path) in [
            ("the monitor's socket", &self.qmp),
            ("the guest agent's socket", &self.qga),
            ("the agent's socket", &self.agent),
            ("the image", &self.image),
            ("the volume with settings", &self.config),
        ] {
            checked::absolute(what, path)?;
        }
        checked::few("the number of ports", self.ports.len())?;
        self.ports.iter().try_for_each(PublishedPort::check)?;
        described("the services", check::services(&self.services))?;
        described("the secrets", check::secrets(&self.secrets))?;
        described("the hooks", check::hooks(&self.hooks, &self.secrets))?;
        self.fingerprint.topology.check()?;
        let Some(Ready { seconds, phases, .. }) = &self.ready else { return Ok(()) };
        checked::seconds("the time of the start", *seconds)?;
        checked::timings(phases)
    }
}

/// What a live record says of its process.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Noted {
    /// The process; none while it was being started.
    pub(super) process: Option<ProcessIdentity>,
    /// Where it was started.
    #[serde(default)]
    place: Option<Place>,
    /// Inode of its disk.
    #[serde(default)]
    disk_inode: Option<u64>,
}

impl Noted {
    /// That of the live record at `path`, whatever else is in it.
    pub(super) fn read(path: &Path) -> Self {
        let noted = || serde_json::from_slice(&files::read_document(path).ok()?).ok();
        let noted: Self = noted().unwrap_or_default();
        let process = noted.process.filter(|process| checked::process(*process).is_ok());
        Self { process, ..noted }
    }

    /// Looks whether the process runs, whose instance is in `dir` and whose monitor's socket is `qmp`.
    ///
    /// # Errors
    /// When the operating system refuses to tell.
    pub(super) fn look(&self, dir: &InstanceDir, qmp: &Path) -> Result<Sight, VmProcessError> {
        let (disk, record) = (dir.overlay(), dir.live());
        let traces = Traces {
            process: self.process,
            place: self.place.as_ref(),
            disk: &disk,
            inode: self.disk_inode,
            qmp: Some(qmp),
            record: &record,
        };
        traces.look()
    }
}

/// The end of a start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// When every service had answered.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// How long the start took, in seconds.
    pub seconds: f64,
    /// What it was spent on.
    pub phases: Vec<Timing>,
}
