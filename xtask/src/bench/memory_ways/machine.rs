//! One machine that is resumed from a snapshot, runs for a while, and is saved again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base::blocking;
use base::sparse::{self, Range};
use instances::snapshot::SnapshotDir;
use instances::snapshot::manifest::SnapshotManifest;
use protocol::Command;
use tokio::task::JoinHandle;
use vm::agent::Agent;
use vm::boot_files::BootFiles;
use vm::home::Home;
use vm::machine::{Begin, DiskFile, Machine, Memory, Topology};
use vm::memory::{HeldMemory, SavedMemory, SharedMemory, StoppedMemory, inherited};
use vm::process::Launched;
use vm::qemu::Qemu;
use vm::qmp::Qmp;
use vm::runtime;
use vm::saving::Strategy;
use vm::stack_machine::{self, Files};

use super::Way;
use super::filling::fill;

/// How long each step may take: only a broken machine needs so long.
const LIMIT: Duration = Duration::from_mins(1);

/// What the machines are resumed from.
pub(crate) struct Source<'a> {
    home: &'a Home,
    qemu: &'a Qemu,
    boot: &'a BootFiles,
    snapshot: SnapshotDir,
    /// The machine that was captured.
    topology: Topology,
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// Seconds from the first copy to the moment in which the machine resumes.
    pub(super) resume: f64,
    /// Seconds until the guest answers: until then it has touched memory that may have to be read first.
    pub(super) answer: f64,
    /// Seconds from the machine's stop to the moment in which all that it is has reached the disk.
    pub(super) save: f64,
    /// Bytes that its memory and devices take there.
    pub(super) bytes: u64,
    /// Bytes that the whole system has written back while the guest was idle.
    pub(super) written_back: Option<u64>,
}

/// A machine's memory.
struct Placed {
    memory: Memory,
    /// Where it has to be copied from, when it is kept.
    held: Option<HeldMemory>,
    /// The process that fills it and keeps it open until QEMU has opened it.
    filling: Option<JoinHandle<io::Result<SharedMemory>>>,
    /// What is to be mapped, open until QEMU has it too.
    open: Option<SavedMemory>,
}

impl<'a> Source<'a> {
    /// `snapshot` of `home`, captured with [`Strategy::Template`] from the image of `boot`.
    ///
    /// # Errors
    /// When its manifest cannot be read.
    pub(crate) fn new(
        home: &'a Home,
        qemu: &'a Qemu,
        boot: &'a BootFiles,
        snapshot: SnapshotDir,
    ) -> anyhow::Result<Self> {
        let manifest: SnapshotManifest = serde_json::from_slice(&fs::read(snapshot.manifest())?)?;
        Ok(Self { home, qemu, boot, snapshot, topology: manifest.state.fingerprint.topology })
    }

    pub(super) async fn run(&self, way: Way, idle: Option<Duration>) -> anyhow::Result<Sample> {
        let work = tempfile::Builder::new().prefix("memory-").tempdir_in(self.home.root())?;
        let sockets = Sockets(runtime::ensure(work.path())?);
        let (memory_file, state) = (work.path().join("memory"), work.path().join("state"));
        io::copy(&mut File::open(self.snapshot.overlay())?, &mut File::create(work.path().join("overlay"))?)?;

        let begun = Instant::now();
        let Placed { memory, held, filling, open } = self.place(way, &memory_file)?;
        let machine = self.machine(work.path(), &sockets, memory)?;
        let mut qemu = Launched::start(&self.qemu.command(&machine), &work.path().join("qemu.log"))?;
        let go_on = async {
            let qmp = Qmp::connect(&machine.launch().qmp, LIMIT).await?;
            if let Some(filling) = filling {
                filling.await??;
            }
            drop(open);
            qmp.load(Strategy::Template, &self.snapshot.devices(), LIMIT).await?;
            qmp.cont().await?;
            anyhow::Ok((qmp, begun.elapsed().as_secs_f64()))
        };
        let (qmp, resume) = qemu.race(go_on).await?;
        let meet = async {
            let mut agent = Agent::connect(&sockets.0.join("agent"), LIMIT).await?;
            agent.call(Command::Hello, LIMIT).await?;
            let answer = begun.elapsed().as_secs_f64();
            let written_back = written_back_in(idle).await?;
            // As before every suspension.
            agent.call(Command::Sync, LIMIT).await?;
            anyhow::Ok((answer, written_back))
        };
        let (answer, written_back) = qemu.race(meet).await?;

        let begun = Instant::now();
        let identity = qemu.identity();
        let keep = async {
            qmp.stop().await?;
            let strategy = if way == Way::PrivateByQemu { Strategy::MappedRam } else { Strategy::Template };
            qmp.save(strategy, &state, LIMIT).await?;
            if let Some(held) = held {
                let (from, to) = (StoppedMemory::of(identity, held)?, memory_file.clone());
                blocking::run(move || from.store(&to)).await?;
            }
            anyhow::Ok(())
        };
        qemu.race(keep).await?;
        let kept: &[&Path] = if way == Way::PrivateByQemu { &[&state] } else { &[&state, &memory_file] };
        let bytes = kept.iter().map(|path| synced(path)).sum::<io::Result<u64>>()?;
        let save = begun.elapsed().as_secs_f64();
        qmp.quit().await?;
        qemu.finished(LIMIT).await?;
        Ok(Sample { resume, answer, save, bytes, written_back })
    }

    fn place(&self, way: Way, file: &Path) -> anyhow::Result<Placed> {
        let from = self.snapshot.memory();
        let len = fs::metadata(&from)?.len();
        Ok(match way {
            Way::Private | Way::PrivateByQemu => {
                let saved = SavedMemory::open(&from, len)?;
                let number = saved.number();
                Placed {
                    memory: Memory::Private(inherited(number)),
                    held: (way == Way::Private).then_some(HeldMemory::Private(number)),
                    filling: None,
                    open: Some(saved),
                }
            }
            Way::Filled => {
                let shared = SharedMemory::new(len)?;
                let (path, number) = (shared.path(), shared.number());
                let filling = tokio::task::spawn_blocking(move || fill(&shared, &from).map(|()| shared));
                Placed {
                    memory: Memory::Shared(path),
                    held: Some(HeldMemory::Shared(number)),
                    filling: Some(filling),
                    open: None,
                }
            }
            Way::OnDisk => {
                let (from, to) =
                    (File::open(from)?, File::options().create_new(true).write(true).open(file)?);
                to.set_len(len)?;
                sparse::copy(&from, Range { start: 0, len }, &to, 0)?;
                Placed { memory: Memory::Shared(file.to_owned()), held: None, filling: None, open: None }
            }
        })
    }

    fn machine(&self, work: &Path, sockets: &Sockets, memory: Memory) -> anyhow::Result<Machine> {
        let snapshot = &self.snapshot;
        let below = DiskFile::qcow2(snapshot.disk()).on(DiskFile::qcow2(self.home.image(self.topology.arch)));
        let files = Files {
            root: DiskFile::qcow2(work.join("overlay")).on(below),
            config: snapshot.config(),
            console: work.join("serial.log"),
            qmp: sockets.0.join("qmp"),
            qga: sockets.0.join("qga"),
            agent: sockets.0.join("agent"),
        };
        let name = "stack-emulator-bench".to_owned();
        let (boot, begin) = (self.boot.direct_boot(), Begin::Devices);
        let network = self.boot.manifest.stack.network;
        let launch = stack_machine::launch(name, boot, files, memory, begin, network);
        Ok(Machine::new(self.topology.clone(), launch)?)
    }
}

/// Waits until a file is on the disk, and returns the bytes that it takes there.
fn synced(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    file.sync_all()?;
    sparse::allocated(&file)
}

/// Bytes that the system writes back while nothing is asked of the guest.
async fn written_back_in(idle: Option<Duration>) -> anyhow::Result<Option<u64>> {
    let Some(idle) = idle else { return Ok(None) };
    let before = written_back()?;
    tokio::time::sleep(idle).await;
    let after = written_back()?;
    Ok(before.zip(after).map(|(before, after)| after - before))
}

/// Bytes that the kernel has written back to disks since it was booted, by any process.
#[cfg(target_os = "linux")]
fn written_back() -> anyhow::Result<Option<u64>> {
    let pages = procfs::vmstat()?.get("nr_written").copied();
    Ok(pages.and_then(|pages| u64::try_from(pages).ok()).map(|pages| pages * procfs::page_size()))
}

/// Other operating systems do not count it.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature everywhere")]
fn written_back() -> anyhow::Result<Option<u64>> {
    Ok(None)
}

/// The sockets' directory, removed when it is dropped.
struct Sockets(PathBuf);

impl Drop for Sockets {
    fn drop(&mut self) {
        // Empty sockets in a private directory are harmless.
        let _ = fs::remove_dir_all(&self.0);
    }
}
