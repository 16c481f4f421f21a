//! The trial: a guest that must say that it has come up.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base::files::FileError;
use base::wait::Backoff;
use image::stack::{MachineSize, Network};
use protocol::names::{boot_words, markers};

use super::{AccelError, Chooser, Unusable};
use crate::machine::{Accelerator, Begin, DirectBoot, Launch, Machine, Memory, Topology};
use crate::process::{Launched, VmProcessError};
use crate::qmp::{Event, Qmp, QmpError, RunState};
use crate::runtime;

/// How long the trial guest may take. A processor boots it in under a second; a broken accelerator hangs.
pub const PROBE_LIMIT: Duration = Duration::from_secs(4);

/// The reported end of a QEMU that never was a process.
pub(super) const NOT_STARTED: &str = "could not be started";

/// The trial guest's size: two CPUs, since bringing up the second one is a test of its own.
const SIZE: MachineSize = MachineSize { memory_mib: 512, cpus: 2, disk_gib: 0 };

/// Boots a guest with `accelerator` and says whether it came up.
pub(super) async fn run(
    chooser: &Chooser<'_>,
    accelerator: Accelerator,
) -> Result<Result<(), Unusable>, AccelError> {
    let short = runtime::ensure(&chooser.home.qemu())?;
    let dir = tempfile::tempdir_in(&short).map_err(FileError::of("create a directory in", &short))?;
    let machine = trial(chooser, accelerator, dir.path())?;
    let command = chooser.qemu.command(&machine);
    let launched = Launched::start(&command, &dir.path().join("log"));
    let mut launched = match launched {
        Ok(launched) => launched,
        Err(error) => return Ok(Err(unusable(&error))),
    };
    let trial = launched.race(watch(machine.launch().qmp.as_path(), &machine.launch().console));
    let verdict = match tokio::time::timeout(PROBE_LIMIT, trial).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(QmpError::Process(death))) => Err(unusable(&death)),
        Ok(Err(_)) | Err(_) => Err(Unusable::Silent { seconds: PROBE_LIMIT.as_secs() }),
    };
    // The guest's last words may be in the file of a QEMU that has ended already.
    let verdict = if said(&machine.launch().console) { Ok(()) } else { verdict };
    // What matters is known; a process that does not die is noticed by the owner of its machine.
    let _ = launched.kill().await;
    Ok(verdict)
}

/// The machine of the trial: the topology of a real one without its disks and ports.
fn trial(chooser: &Chooser<'_>, accelerator: Accelerator, dir: &Path) -> Result<Machine, AccelError> {
    let mut topology = Topology::new(chooser.qemu.board()?, accelerator, &SIZE);
    topology.disks.clear();
    topology.ports.clear();
    let boot = chooser.boot;
    let launch = Launch {
        name: "stack-emulator-trial".to_owned(),
        boot: DirectBoot { cmdline: format!("{} {}", boot.cmdline, boot_words::PROBE), ..boot.clone() },
        memory: Memory::Anonymous,
        begin: Begin::Boot,
        network: Network::Closed,
        disks: BTreeMap::new(),
        ports: BTreeMap::new(),
        console: dir.join("console"),
        qmp: dir.join("qmp"),
        listening: None,
    };
    Ok(Machine::new(topology, launch)?)
}

/// Watches a trial guest until it has come up or failed. Never gives up: race it against a deadline.
async fn watch(socket: &Path, console: &Path) -> Result<Result<(), Unusable>, QmpError> {
    tokio::select! {
        () = marker(console) => Ok(Ok(())),
        failure = failure(socket) => failure.map(Err),
    }
}

async fn marker(console: &Path) {
    let mut backoff = Backoff::default();
    while !said(console) {
        backoff.pause().await;
    }
}

fn said(console: &Path) -> bool {
    let text = std::fs::read(console).unwrap_or_default();
    text.windows(markers::PROBE_OK.len()).any(|window| window == markers::PROBE_OK.as_bytes())
}

/// Waits until QEMU reports that the guest cannot continue.
async fn failure(socket: &Path) -> Result<Unusable, QmpError> {
    let qmp = Qmp::connect(socket, PROBE_LIMIT).await?;
    let mut events = qmp.events();
    loop {
        // Asked after the subscription, so that what happened before it is not missed.
        match qmp.status().await? {
            RunState::internal_error => return Ok(Unusable::InternalError),
            RunState::shutdown | RunState::guest_panicked => return Ok(Unusable::Ended),
            _ => {}
        }
        match events.next().await {
            Some(Event::SHUTDOWN { .. } | Event::GUEST_PANICKED { .. }) => return Ok(Unusable::Ended),
            Some(_) => {}
            None => return Err(QmpError::Closed("query-status")),
        }
    }
}

fn unusable(death: &VmProcessError) -> Unusable {
    match death {
        VmProcessError::Died { status, .. } if status == "exited with status 0" => Unusable::Ended,
        VmProcessError::Died { status, tail, .. } => Unusable::Died {
            status: status.clone(),
            last_words: tail.lines().next_back().unwrap_or_default().to_owned(),
        },
        other => Unusable::Died { status: NOT_STARTED.to_owned(), last_words: other.to_string() },
    }
}
