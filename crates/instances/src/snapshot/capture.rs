//! Creating a snapshot: a machine is booted, prepared and stopped, and its whole state at that moment is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::events::{Event, Phase, Reporter};
use base::files::{FileError, FileLock, create_private_dir, move_dir, present, read_document};
use image::arch::Arch;
use protocol::Command;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;
use vm::agent::{Agent, AgentError};
use vm::boot_files::BootFiles;
use vm::console::{self, GuestTrouble};
use vm::error::one_line;
use vm::home::Home;
use vm::machine::{Begin, DiskFile, Machine, Memory, Topology};
use vm::memory::{HeldMemory, SharedMemory, StoppedMemory};
use vm::process::{Launched, ProcessIdentity};
use vm::qcow2::Header;
use vm::qemu::Qemu;
use vm::qmp::{Qmp, QmpError};
use vm::runtime;
use vm::saving::Strategy;
use vm::stack_machine::{self, Files};
use vm::tail::Tail;

use super::error::SnapshotError;
use super::manifest::{FORMAT_VERSION, SnapshotManifest};
use super::store::{DOOMED, Found, Store, UNFINISHED, prefix};
use super::{Snapshot, SnapshotDir};
use crate::checked;
use crate::guest_link::message::Message;
use crate::guest_link::settings;
use crate::home::HomeExt;
use crate::images::users::Users;
use crate::name::InstanceName;
use crate::ports::PublishedPort;
use crate::saved::frozen::{Frozen, Proof};
use crate::saved::save::Way;
use crate::saved::{Fingerprint, SavedState};
use vm::disk_lock;
use vm::place::{self, Place, Sight, Traces};

/// How long QEMU may take to open its monitor.
const MONITOR_LIMIT: Duration = Duration::from_secs(30);

/// How long the state of a machine may take to be written.
const SAVE_LIMIT: Duration = Duration::from_mins(2);

/// How long QEMU may take to end.
const QUIT_LIMIT: Duration = Duration::from_secs(20);

/// A snapshot to create.
pub struct Capture<'a> {
    /// Where snapshots are kept.
    pub home: &'a Home,
    /// The instances with data on snapshots, which stay.
    pub users: &'a dyn Users,
    /// What runs it.
    pub qemu: &'a Qemu,
    /// The image and its boot files.
    pub boot: &'a BootFiles,
    /// The machine.
    pub topology: &'a Topology,
    /// How its state is kept.
    pub strategy: Strategy,
    /// Longest wait for the guest to be ready.
    pub limit: Duration,
    /// Whether to create one even if there is one that fits.
    pub force: bool,
}

impl Capture<'_> {
    fn ports(&self) -> Vec<PublishedPort> {
        self.boot.manifest.stack.ports.iter().map(PublishedPort::by_default).collect()
    }

    /// The settings of the default instance on the default ports. Its start finds that the services have them already, if it does
    /// not have secrets for them.
    fn settings(&self) -> Result<Command, SnapshotError> {
        let (name, stack) = (InstanceName::default(), &self.boot.manifest.stack);
        let message = Message {
            name: &name,
            ports: &self.ports(),
            described: &stack.secrets,
            hooks: &stack.hooks,
            secrets: None,
        };
        message.command(false).map_err(SnapshotError::Random)
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.qemu, self.topology.clone(), self.boot.image.sha256)
    }

    /// Creates the snapshot, or returns the one that another command has created meanwhile. When the future is dropped, nothing is left of
    /// it; what a killed program leaves, the next capture removes.
    ///
    /// # Errors
    /// When the machine does not get ready or its state cannot be kept. Earlier snapshots are still there.
    pub async fn run(&self, reporter: &dyn Reporter) -> Result<Snapshot, SnapshotError> {
        let store = Store::new(self.home);
        create_private_dir(&store.root())?;
        let waiting = || reporter.report(&Event::Notice("another command makes a snapshot: waiting for it"));
        let _lock = FileLock::acquire(&store.capture_lock(), waiting).await?;
        if !self.force
            && let Found::Fits(snapshot) = store.find(&self.fingerprint(), self.strategy)?
        {
            return Ok(*snapshot);
        }
        sweep(&store.root()).await?;
        match self.attempt(&store, reporter).await {
            Err(SnapshotError::Guest { source, .. }) if is_by_chance(&source) => {
                // The user is not the cause: the same boot works the next time.
                reporter.report(&Event::Notice(&format!("{}; booting it once more", one_line(&*source))));
                self.attempt(&store, reporter).await
            }
            outcome => outcome,
        }
    }

    async fn attempt(&self, store: &Store<'_>, reporter: &dyn Reporter) -> Result<Snapshot, SnapshotError> {
        let work = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(store.root())
            .map_err(FileError::of("create a directory in", &store.root()))?;
        let dir = SnapshotDir::new(work.path());
        create_private_dir(&dir.logs())?;
        let sockets = Sockets(runtime::ensure(dir.root())?);
        let created_at = self
            .freeze_machine(&dir, sockets.path(), reporter)
            .await
            .map_err(|error| keep_logs(self.home.failed_capture(), &dir.logs(), error))?;
        // They may be in what becomes the snapshot.
        drop(sockets);
        let phase = Phase::start(reporter, "freeze", "Freeze its files");
        let name = name(self.topology.arch, self.strategy, created_at);
        self.empty_overlay(&dir, &SnapshotDir::of(self.home, &name)).await?;
        let manifest = self.frozen(&dir, created_at)?;
        manifest.write(&dir)?;
        let snapshot = store.publish(work.keep(), &name).await?;
        phase.done();
        let phase = Phase::start(reporter, "prune", "Remove the snapshots that it replaces");
        match store.prune(&snapshot, self.users).await {
            Ok(()) => drop(phase.done()),
            // The snapshot is as good without it.
            Err(error) => {
                drop(phase);
                reporter.report(&Event::Warning(&one_line(&error)));
            }
        }
        Ok(snapshot)
    }

    /// Boots the machine, and writes its whole state at one moment into `dir`. Returns that moment.
    async fn freeze_machine(
        &self,
        dir: &SnapshotDir,
        sockets: &Path,
        reporter: &dyn Reporter,
    ) -> Result<OffsetDateTime, SnapshotError> {
        let memory = match self.strategy {
            Strategy::Template => {
                let shared = SharedMemory::new(self.topology.memory_mib << 20);
                Some(shared.map_err(FileError::of("allocate memory for", dir.root()))?)
            }
            Strategy::MappedRam => None,
        };
        let machine = self.machine(dir, sockets, memory.as_ref()).await?;
        let phase = Phase::start(reporter, "capture-boot", "Boot a machine for the snapshot");
        let mut qemu = Launched::start(&self.qemu.command(&machine), &dir.logs().join("qemu.log"))?;
        note_process(dir, qemu.identity())?;
        let launch = machine.launch();
        let agent_path = sockets.join("agent");
        let ready = async {
            let mut agent = Agent::connect(&agent_path, MONITOR_LIMIT).await?;
            match agent.call(Command::Ready, self.limit).await {
                Err(AgentError::Silent(limit)) => return Err(SnapshotError::NotReady(limit)),
                other => other?,
            };
            agent.call(self.settings()?, self.limit).await?;
            Ok(agent)
        };
        let mut agent = watched(&mut qemu, &launch.console, &phase, ready).await?;
        phase.done();

        let phase = Phase::start(reporter, "prepare", "Warm up the services and tidy up in the guest");
        let prepare = async { Ok(agent.call(Command::Prepare, self.limit).await?) };
        let done = watched(&mut qemu, &launch.console, &phase, prepare).await?;
        for step in done.steps {
            phase.detail(&format!("{}: {:.2} s", step.step, step.seconds));
        }
        phase.done();

        let phase = Phase::start(reporter, "save", "Save memory and devices");
        let files = dir.state_files(self.topology.arch);
        let way = match &memory {
            // Open here, it outlives QEMU.
            Some(memory) => {
                Way::Read(StoppedMemory::of(qemu.identity(), HeldMemory::Shared(memory.number()))?)
            }
            None => Way::ByQemu,
        };
        let saved = qemu.race(async {
            let qmp = Qmp::connect(&launch.qmp, MONITOR_LIMIT).await?;
            qmp.stop().await?;
            let at = OffsetDateTime::now_utc();
            way.save(&qmp, &files, SAVE_LIMIT).await?;
            Ok::<_, SnapshotError>((qmp, at))
        });
        let (qmp, at) = saved.await?;
        let stored = async { Ok::<_, SnapshotError>(way.complete(&files).await?) };
        let ended = async {
            // Its end is expected now, and may be noticed before its answer.
            qmp.quit().await?;
            Ok::<_, SnapshotError>(qemu.finished(QUIT_LIMIT).await?)
        };
        tokio::try_join!(stored, ended)?;
        phase.done();
        Ok(at)
    }

    async fn machine(
        &self,
        dir: &SnapshotDir,
        sockets: &Path,
        memory: Option<&SharedMemory>,
    ) -> Result<Machine, SnapshotError> {
        self.qemu.img().create_overlay(&self.boot.file.disk(), &dir.disk()).await?;
        settings::volume(&InstanceName::default(), &self.ports())?.write(&dir.config())?;
        let files = Files {
            root: DiskFile::qcow2(dir.disk()).on(self.boot.file.disk()),
            config: dir.config(),
            console: dir.logs().join("serial.log"),
            qmp: sockets.join("qmp"),
            qga: sockets.join("qga"),
            agent: sockets.join("agent"),
        };
        let memory = memory.map_or(Memory::Anonymous, |memory| Memory::Shared(memory.path()));
        let boot = self.boot.direct_boot();
        let name = "stack-emulator-capture".to_owned();
        let network = self.boot.manifest.stack.network;
        let launch = stack_machine::launch(name, boot, files, memory, Begin::Boot, network);
        Ok(Machine::new(self.topology.clone(), launch)?)
    }

    /// Creates the overlay from which those of new sessions are copied. Its backing file is the future path of the disk.
    async fn empty_overlay(&self, dir: &SnapshotDir, published: &SnapshotDir) -> Result<(), SnapshotError> {
        let bytes = Header::virtual_size(&dir.disk())?;
        Ok(self
            .qemu
            .img()
            .create_overlay_of(&DiskFile::qcow2(published.disk()), bytes, &dir.overlay())
            .await?)
    }

    fn frozen(
        &self,
        dir: &SnapshotDir,
        created_at: OffsetDateTime,
    ) -> Result<SnapshotManifest, SnapshotError> {
        let mut files = dir.state_files(self.topology.arch).freeze(self.strategy, Proof::Pages)?;
        let disks = [dir.disk(), dir.overlay(), dir.config()];
        files.extend(Frozen::freeze_all(disks.map(|file| (file, Proof::Content)))?);
        fs::remove_file(dir.process()).map_err(FileError::of("remove", &dir.process()))?;
        Ok(SnapshotManifest {
            format_version: FORMAT_VERSION,
            created_at,
            state: SavedState { strategy: self.strategy, fingerprint: self.fingerprint(), files },
        })
    }
}

/// Whether a guest that hangs, or a QEMU that crashes, is the cause.
fn is_by_chance(error: &SnapshotError) -> bool {
    match error {
        SnapshotError::Trouble(GuestTrouble::Hangs { .. }) => true,
        SnapshotError::Process(death) => death.is_crash(),
        _ => false,
    }
}

/// Names sort by the time at which the snapshots were created.
fn name(arch: Arch, strategy: Strategy, at: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day]t[hour][minute][second]");
    let at = at.format(&format).expect("a time of this century has a text");
    format!("{}{at}-{:04x}", prefix(arch, strategy), rand::random::<u16>())
}

/// Runs `work` unless QEMU ends, or the guest reports that it cannot continue.
async fn watched<T>(
    qemu: &mut Launched,
    console: &Path,
    phase: &Phase<'_>,
    work: impl Future<Output = Result<T, SnapshotError>>,
) -> Result<T, SnapshotError> {
    qemu.race(async {
        tokio::select! {
            done = work => done,
            trouble = console::trouble(Tail::new(console), phase) => Err(trouble.into()),
        }
    })
    .await
}

/// The sockets' directory, removed when it is dropped.
struct Sockets(PathBuf);

impl Sockets {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        // Empty sockets in a private directory are harmless.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The process of a capture in progress.
#[derive(Serialize, Deserialize)]
struct Note {
    #[serde(flatten)]
    process: ProcessIdentity,
    #[serde(default)]
    place: Option<Place>,
    /// Inode of its disk.
    #[serde(default)]
    disk_inode: Option<u64>,
}

fn note_process(dir: &SnapshotDir, process: ProcessIdentity) -> Result<(), FileError> {
    let note = Note { process, place: Some(Place::here()), disk_inode: place::inode(&dir.disk()) };
    let text = serde_json::to_vec(&note).expect("a process serialises to JSON");
    fs::write(dir.process(), text).map_err(FileError::of("write", &dir.process()))
}

/// Puts the logs of a capture that failed where the next one does not remove them.
fn keep_logs(kept: PathBuf, logs: &Path, error: SnapshotError) -> SnapshotError {
    let _ = fs::remove_dir_all(&kept);
    match move_dir(logs, &kept) {
        Ok(()) => {
            let error = match error {
                SnapshotError::Process(death) => SnapshotError::Process(death.with_log_in(&kept)),
                SnapshotError::Qmp(QmpError::Process(death)) => {
                    SnapshotError::Process(death.with_log_in(&kept))
                }
                other => other,
            };
            SnapshotError::Guest { source: Box::new(error), logs: kept }
        }
        Err(_) => error,
    }
}

/// Removes what a capture that a signal has interrupted may have left, unless another one is in progress.
///
/// # Errors
/// When it cannot be removed.
pub async fn recover_interrupted(home: &Home) -> Result<(), SnapshotError> {
    let store = Store::new(home);
    if !present(&store.root())? {
        return Ok(());
    }
    match FileLock::try_acquire(&store.capture_lock())? {
        Some(_lock) => sweep(&store.root()).await,
        None => Ok(()),
    }
}

/// Ends and removes what captures that were killed have left. The capture lock must be held.
async fn sweep(root: &Path) -> Result<(), SnapshotError> {
    let entries = fs::read_dir(root).map_err(FileError::of("list", root))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if ![UNFINISHED, DOOMED].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            continue;
        }
        let dir = SnapshotDir::new(entry.path());
        if ended(&dir).await? {
            runtime::remove(dir.root())?;
            fs::remove_dir_all(dir.root()).map_err(FileError::of("remove", dir.root()))?;
        }
    }
    Ok(())
}

/// Ends the machine of the unfinished capture in `dir`, and returns whether its files are unused.
async fn ended(dir: &SnapshotDir) -> Result<bool, SnapshotError> {
    let note = read_document(&dir.process()).ok();
    let note = note.and_then(|text| serde_json::from_slice::<Note>(&text).ok());
    let note = note.filter(|note| checked::process(note.process).is_ok());
    let (disk, record) = (dir.disk(), dir.process());
    let Some(Note { process, place, disk_inode: inode }) = note else {
        // Killed before it could be recorded.
        return Ok(!disk_lock::is_held(&disk).map_err(FileError::of("look at", &disk))?);
    };
    let place = place.as_ref();
    let traces = Traces { process: Some(process), place, disk: &disk, inode, qmp: None, record: &record };
    match traces.look()? {
        Sight::Alive => process.kill().await?,
        Sight::Gone | Sight::Copied => {}
        // Only there can it be ended.
        Sight::Elsewhere(_) => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use base::process::Cmd;

    use super::*;

    /// What a capture that was killed has left.
    struct Left {
        root: tempfile::TempDir,
        dir: SnapshotDir,
    }

    impl Left {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let dir = SnapshotDir::new(root.path().join(format!("{UNFINISHED}1")));
            fs::create_dir(dir.root()).unwrap();
            fs::write(dir.disk(), "data").unwrap();
            Self { root, dir }
        }

        /// Records a process that was started in another container.
        fn noted_elsewhere(self) -> Self {
            let process = ProcessIdentity { pid: i32::MAX, started: 1 };
            let place = Some(Place { pid_namespace: Some(1), ..Place::here() });
            let note = Note { process, place, disk_inode: None };
            fs::write(self.dir.process(), serde_json::to_vec(&note).unwrap()).unwrap();
            self
        }

        async fn is_swept(&self) -> bool {
            sweep(self.root.path()).await.unwrap();
            !self.dir.root().exists()
        }
    }

    #[tokio::test]
    async fn what_a_capture_in_another_container_works_on_stays_until_it_has_ended() {
        let left = Left::new().noted_elsewhere();
        let held = fake_image::hold(&left.dir.disk());
        assert!(!left.is_swept().await);
        drop(held);
        assert!(left.is_swept().await);
    }

    #[tokio::test]
    async fn an_unrecorded_machine_keeps_its_files_while_it_has_them_open() {
        let left = Left::new();
        let held = fake_image::hold(&left.dir.disk());
        assert!(!left.is_swept().await);
        drop(held);
        assert!(left.is_swept().await);
    }

    #[tokio::test]
    async fn the_machine_of_a_capture_that_was_killed_is_ended_and_its_files_go() {
        let left = Left::new();
        let log = left.root.path().join("log");
        let qemu = Launched::start(&Cmd::new("sleep").arg("600"), &log).unwrap();
        note_process(&left.dir, qemu.identity()).unwrap();
        // A copy of it goes, and the machine stays.
        let copy = Left::new();
        fs::copy(left.dir.process(), copy.dir.process()).unwrap();
        assert!(copy.is_swept().await);
        assert!(qemu.identity().is_alive().unwrap());
        assert!(left.is_swept().await);
        assert!(!qemu.identity().is_alive().unwrap());
    }
}
