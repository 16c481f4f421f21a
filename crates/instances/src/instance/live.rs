//! The live record: what runs now, so that any later command finds it, and mistakes nothing else for it.
//!
//! It is written just before QEMU is started and again with QEMU's identity right after, so that a command that is killed
//! in between leaves enough behind for the next one to clean up. It is removed when QEMU is known to have ended.

use std::io;
use std::path::{Path, PathBuf};

use base::events::Timing;
use base::files;
use image::stack::exports::{Export, Known, ProjectRequest};
use image::stack::{self, Service, check};
use protocol::Hooks;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use vm::machine::Topology;
use vm::memory::HeldMemory;
use vm::process::{ProcessIdentity, VmProcessError};

use super::dir::InstanceDir;
use crate::checked::{self, Checked, Impossible, described};
use crate::ports::PublishedPort;
use crate::saved::Fingerprint;
use vm::place::{Place, Sight, Traces};

mod flat;

use flat::Flat;

/// How a running instance was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartedBy {
    /// The guest booted from its disk.
    Cold,
    /// It was resumed from a snapshot, as a machine of its own.
    Snapshot,
    /// It was resumed from the suspension of this instance.
    Suspended,
}

/// Version of the live record's format that this program writes. It reads the previous one too.
pub const LIVE_VERSION: u32 = 2;

/// What runs now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Live {
    /// [`LIVE_VERSION`] of the writer.
    pub schema_version: u32,
    /// What runs the guest.
    pub machine: RunningMachine,
    /// What runs in the guest.
    pub stack: RunningStack,
    /// How it was started.
    pub run: Run,
}

/// The machine of a live record: its process, how it is reached, and what it is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunningMachine {
    /// The QEMU process; none while it is being started.
    pub process: Option<ProcessIdentity>,
    /// Where it was started; none when an earlier version has.
    pub place: Option<Place>,
    /// Inode of the disk that it was started on, which a copy of this record has not beside it; none in records of earlier versions.
    pub disk_inode: Option<u64>,
    /// Socket of the monitor.
    pub qmp: PathBuf,
    /// Socket of QEMU's guest agent.
    pub qga: PathBuf,
    /// Socket of the guest's own agent.
    pub agent: PathBuf,
    /// Why its accelerator is not a faster one, where that would have been preferred.
    pub fallback: Option<String>,
    /// The image below the overlay.
    pub image: PathBuf,
    /// The volume with settings that the guest has mounted.
    pub config: PathBuf,
    /// What must be equal when a suspended machine is resumed.
    pub fingerprint: Fingerprint,
    /// Where the guest's memory is; none where only QEMU knows.
    pub memory: Option<HeldMemory>,
    /// Whether QEMU can write memory that it has for itself.
    pub can_map_memory: bool,
}

/// The stack of a live record, as the manifest describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunningStack {
    /// Where the services are reached.
    pub ports: Vec<PublishedPort>,
    /// The services whose journals can be read.
    pub services: Vec<Service>,
    /// The stack's secrets.
    pub secrets: Vec<stack::Secret>,
    /// The hooks for daemons that cannot take secrets while they run.
    pub hooks: Hooks,
    /// The environment variables of a developer's programs; none in records of earlier versions.
    pub exports: Option<Vec<Export>>,
    /// How the project of a configuration file is asked for, if the stack has such projects.
    pub project: Option<ProjectRequest>,
}

/// The start that a live record describes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// How the machine was started.
    pub started_by: StartedBy,
    /// Why it was booted, where saved memory should have been resumed.
    pub cold_because: Option<String>,
    /// Whether this start created the overlay, so that it is removed if the start fails.
    pub new_session: bool,
    /// Whether the services have secrets of this session, or the image's placeholders.
    pub rotated: bool,
    /// Whether it is stopped when the last run that uses it has ended; none in records of earlier versions.
    pub until_runs_end: Option<bool>,
    /// When the start began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// Set when every service has answered for the first time.
    pub ready: Option<Ready>,
}

impl Live {
    /// The machine's architecture, accelerator and size.
    pub fn topology(&self) -> &Topology {
        &self.machine.fingerprint.topology
    }

    /// Whether its ports are in another network namespace, where this program cannot reach them.
    pub fn is_in_other_network(&self) -> bool {
        self.machine.place.as_ref().is_some_and(|place| !Place::here().shares_network(place))
    }

    /// Whether the monitor's socket has disappeared. The other ones can be created again through it.
    pub fn has_lost_monitor(&self) -> bool {
        self.run.ready.is_some() && is_missing(&self.machine.qmp)
    }

    /// What it records about its process.
    pub(super) fn noted(&self) -> Noted {
        let RunningMachine { process, place, disk_inode, .. } = &self.machine;
        Noted { process: *process, place: place.clone(), disk_inode: *disk_inode }
    }
}

/// Whether nothing is at `path`, for certain.
pub(super) fn is_missing(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

impl Checked for Live {
    const VERSION: u32 = LIVE_VERSION;

    fn parse(version: u32, bytes: &[u8]) -> serde_json::Result<Self> {
        if version < LIVE_VERSION {
            Ok(serde_json::from_slice::<Flat>(bytes)?.into())
        } else {
            serde_json::from_slice(bytes)
        }
    }

    fn check(&self) -> Result<(), Impossible> {
        let Self { machine, stack, run, .. } = self;
        machine.process.map_or(Ok(()), checked::process)?;
        for (what, path) in [
            ("the monitor's socket", &machine.qmp),
            ("the guest agent's socket", &machine.qga),
            ("the agent's socket", &machine.agent),
            ("the image", &machine.image),
            ("the volume with settings", &machine.config),
        ] {
            checked::absolute(what, path)?;
        }
        checked::few("the number of ports", stack.ports.len())?;
        stack.ports.iter().try_for_each(PublishedPort::check)?;
        described("the services", check::services(&stack.services))?;
        described("the secrets", check::secrets(&stack.secrets))?;
        described("the hooks", check::hooks(&stack.hooks, &stack.secrets))?;
        let ports: Vec<_> = stack.ports.iter().map(|port| port.name.as_str()).collect();
        let known = Known { ports: &ports, secrets: &stack.secrets };
        let exports = stack.exports.as_deref().unwrap_or_default();
        described("the exports", known.exports(exports))?;
        described("the projects", known.project(stack.project.as_ref(), exports))?;
        self.topology().check()?;
        let Some(Ready { seconds, phases, .. }) = &run.ready else { return Ok(()) };
        checked::seconds("the time of the start", *seconds)?;
        checked::timings(phases)
    }
}

/// What a live record contains about its process.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Noted {
    /// The process; none while it was being started.
    pub(super) process: Option<ProcessIdentity>,
    /// Where it was started.
    place: Option<Place>,
    /// Inode of its disk.
    disk_inode: Option<u64>,
}

impl Noted {
    /// Reads that of the live record at `path`, whatever else is in it.
    pub(super) fn read(path: &Path) -> Self {
        #[derive(Deserialize)]
        struct Nested {
            machine: Noted,
        }
        let bytes = files::read_document(path).unwrap_or_default();
        let nested = serde_json::from_slice(&bytes).map(|nested: Nested| nested.machine);
        let noted: Self = nested.or_else(|_| serde_json::from_slice(&bytes)).unwrap_or_default();
        let process = noted.process.filter(|process| checked::process(*process).is_ok());
        Self { process, ..noted }
    }

    /// Finds out whether the process runs, whose instance is in `dir` and whose monitor's socket is `qmp`.
    ///
    /// # Errors
    /// When the operating system refuses.
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

#[cfg(test)]
pub(crate) mod tests {
    use protocol::{Command, Request};
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::UnixListener;

    use super::*;

    /// A guest's agent that is asked for `command` once, and answers that it is done, with `more` members of the answer.
    pub(crate) async fn is_asked_for(listener: &UnixListener, command: Command, more: &str) {
        let (stream, _) = listener.accept().await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "");
        let request: Request = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        assert_eq!(request.command, command);
        let id = request.id;
        let answer = format!("{{\"v\":1,\"id\":{id},\"outcome\":\"done\",\"steps\":[],\"time\":1{more}}}\n");
        lines.into_inner().into_inner().write_all(answer.as_bytes()).await.unwrap();
    }

    /// A live record of an invented machine: the one with which all tests start.
    pub(crate) fn live(process: Option<ProcessIdentity>, ready: bool) -> Live {
        let at = OffsetDateTime::UNIX_EPOCH;
        let machine = RunningMachine {
            process,
            place: None,
            disk_inode: None,
            qmp: "/run/qmp".into(),
            qga: "/run/qga".into(),
            agent: "/run/agent".into(),
            fallback: None,
            image: "/image".into(),
            config: "/config".into(),
            fingerprint: crate::saved::fingerprint::tests::sample(),
            memory: None,
            can_map_memory: false,
        };
        let stack = RunningStack {
            ports: Vec::new(),
            services: Vec::new(),
            secrets: Vec::new(),
            hooks: Hooks::default(),
            exports: None,
            project: None,
        };
        let run = Run {
            started_by: StartedBy::Cold,
            cold_because: None,
            new_session: false,
            rotated: true,
            until_runs_end: None,
            started_at: at,
            ready: ready.then(|| Ready { at, seconds: 1.0, phases: Vec::new() }),
        };
        Live { schema_version: LIVE_VERSION, machine, stack, run }
    }

    #[test]
    fn a_process_is_found_in_an_otherwise_invalid_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("live.json");
        let process = ProcessIdentity { pid: 7, started: 9 };
        for text in [
            r#"{"schemaVersion": 1, "process": {"pid": 7, "started": 9}, "diskInode": 3}"#,
            r#"{"schemaVersion": 2, "machine": {"process": {"pid": 7, "started": 9}, "diskInode": 3, "qmp": 1}}"#,
            r#"{"schemaVersion": 99, "machine": {"process": {"pid": 7, "started": 9}, "diskInode": 3}}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            let noted = Noted::read(&path);
            assert_eq!((noted.process, noted.disk_inode), (Some(process), Some(3)), "{text}");
        }
    }
}
