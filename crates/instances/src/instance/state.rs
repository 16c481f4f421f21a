//! The state of an instance, always determined from its files and processes.

use std::fmt;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use crate::home::HomeExt;
use base::dangling::if_present;
use base::files::{FileError, FileLock, is_absence, present};
use vm::process::{ProcessIdentity, VmProcessError};

use super::dir::InstanceDir;
use super::live::Live;
use super::record::{self, Record, RecordError};
use super::suspension::Suspension;
use vm::disk_lock;
use vm::place::{Elsewhere, Sight};

/// The state of an instance.
#[derive(Debug)]
pub enum State {
    /// It has never been started, or its record is gone.
    Absent,
    /// It can be started.
    Stopped(Record),
    /// It can be started, and its memory was kept when it was stopped. A start finds out whether that still fits.
    Suspended(Record),
    /// A command is starting it right now.
    Starting(Live),
    /// A command is stopping it. QEMU may still run, paused while its memory is saved.
    Stopping(Live),
    /// QEMU runs; [`super::health`] finds out whether the services do.
    Running(Live),
    /// A machine that is not visible from here runs on its disk, or may.
    Elsewhere(Elsewhere),
    /// Something is not as a command left it.
    Broken(Vec<Fault>),
}

impl State {
    /// Its name, for people and for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Stopped(_) => "stopped",
            Self::Suspended(_) => "suspended",
            Self::Starting(_) => "starting",
            Self::Stopping(_) => "stopping",
            Self::Running(_) => "running",
            Self::Elsewhere(_) => "elsewhere",
            Self::Broken(_) => "broken",
        }
    }
}

/// What is wrong with a broken instance.
#[derive(Debug)]
pub enum Fault {
    /// QEMU ended without a command, or was killed.
    Died {
        /// The process that is gone.
        process: ProcessIdentity,
    },
    /// It is a copy of an instance that runs.
    Copied {
        /// The process, which is the original's.
        process: ProcessIdentity,
    },
    /// The command that was starting it has ended.
    StartCutShort {
        /// QEMU, if it was started and still runs.
        process: Option<ProcessIdentity>,
    },
    /// A record cannot be used.
    Record(RecordError),
    /// The live record is invalid. It contains nothing but what runs now.
    Live(RecordError),
    /// There is an overlay, and no record of what is below it.
    UnknownOverlay(PathBuf),
    /// There should be an overlay, and there is none.
    NoOverlay(PathBuf),
    /// There should be an overlay, and there is something else.
    OtherOverlay(PathBuf),
    /// The overlay is shorter than it was when the machine was suspended.
    CutOverlay(PathBuf),
    /// The image below the overlay is gone.
    NoImage(PathBuf),
    /// The snapshot's disk between the image and the overlay is gone.
    NoSnapshot(PathBuf),
    /// The image below the overlay has another size than when the overlay was created.
    ImageChanged(PathBuf),
}

impl Fault {
    /// Whether the next start repairs it without losing anything that was on the disk.
    pub fn heals(&self) -> bool {
        matches!(self, Self::Died { .. } | Self::Copied { .. } | Self::StartCutShort { .. } | Self::Live(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Died { process } => {
                write!(
                    f,
                    "QEMU (pid {}) is gone: it crashed, was killed, or this machine went down",
                    process.pid
                )
            }
            Self::Copied { process } => {
                write!(
                    f,
                    "it is a copy of an instance that runs (QEMU's pid is {}), with the disk of when it was copied",
                    process.pid
                )
            }
            Self::StartCutShort { process: Some(process) } => {
                write!(f, "its start was cut short, and QEMU (pid {}) still runs", process.pid)
            }
            Self::StartCutShort { process: None } => f.write_str("its start was cut short"),
            Self::Record(error) | Self::Live(error) => {
                write!(f, "{error}")?;
                match std::error::Error::source(error) {
                    Some(cause) => write!(f, ": {cause}"),
                    None => Ok(()),
                }
            }
            Self::UnknownOverlay(path) => {
                write!(f, "there is a disk `{}`, but no record of the image below it", path.display())
            }
            Self::NoOverlay(path) => write!(f, "its disk `{}` is gone", path.display()),
            Self::OtherOverlay(path) => write!(f, "its disk `{}` is not a file", path.display()),
            Self::CutOverlay(path) => {
                write!(f, "its disk `{}` is shorter than `stop` left it", path.display())
            }
            Self::NoImage(path) => write!(f, "the image `{}` below its disk is gone", path.display()),
            Self::NoSnapshot(path) => {
                write!(f, "the disk `{}` of the snapshot that it began with is gone", path.display())
            }
            Self::ImageChanged(path) => {
                write!(f, "the image `{}` is not the one that its disk was made on", path.display())
            }
        }
    }
}

/// Why the state cannot be determined.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// A file cannot be examined.
    #[error(transparent)]
    File(#[from] FileError),
    /// The operating system does not report whether QEMU runs.
    #[error(transparent)]
    Process(#[from] VmProcessError),
}

/// Who determines the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// Holds the instance's lock, so no other command can be starting it.
    Holder,
    /// Does not hold it.
    Bystander,
}

/// Determines the state of the instance in `dir`.
///
/// # Errors
/// When a file or a process cannot be examined. What is wrong with them is a [`Fault`].
pub fn inspect(dir: &InstanceDir, viewer: Viewer) -> Result<State, InspectError> {
    match record::read::<Live>(&dir.live()) {
        Ok(Some(live)) => inspect_live(dir, live, viewer),
        Ok(None) if is_in_use(dir)? => Ok(State::Elsewhere(Elsewhere::DiskInUse(dir.overlay()))),
        Ok(None) => inspect_disk(dir),
        Err(RecordError::File(error)) => Err(error.into()),
        Err(error @ RecordError::Newer { .. }) => Ok(State::Broken(vec![Fault::Record(error)])),
        Err(error) => Ok(State::Broken(vec![Fault::Live(error)])),
    }
}

fn inspect_live(dir: &InstanceDir, live: Live, viewer: Viewer) -> Result<State, InspectError> {
    let sight = live.noted().look(dir, &live.machine.qmp)?;
    let alive = live.machine.process.filter(|_| matches!(sight, Sight::Alive));
    if live.run.ready.is_some() && alive.is_some() {
        let stops = viewer == Viewer::Bystander && FileLock::is_held(&dir.stopping_lock())?;
        return Ok(if stops { State::Stopping(live) } else { State::Running(live) });
    }
    // It does not run: if the lock is held, another command works on it, or else it is broken.
    let worked_on = viewer == Viewer::Bystander && FileLock::try_acquire(dir.lock())?.is_none();
    Ok(match (worked_on, live.run.ready.is_some(), live.machine.process) {
        (true, false, _) => State::Starting(live),
        (true, true, _) => State::Stopping(live),
        (false, ..) if let Sight::Elsewhere(elsewhere) = sight => State::Elsewhere(elsewhere),
        (false, _, Some(process)) if matches!(sight, Sight::Copied) => {
            State::Broken(vec![Fault::Copied { process }])
        }
        (false, true, Some(process)) => State::Broken(vec![Fault::Died { process }]),
        (false, ..) => State::Broken(vec![Fault::StartCutShort { process: alive }]),
    })
}

/// Whether a process that is not in a record has the disk open.
fn is_in_use(dir: &InstanceDir) -> Result<bool, FileError> {
    let disk = dir.overlay();
    disk_lock::is_held(&disk).map_err(FileError::of("look at", &disk))
}

fn inspect_disk(dir: &InstanceDir) -> Result<State, InspectError> {
    let record = match record::read::<Record>(&dir.record()) {
        Ok(record) => record,
        Err(RecordError::File(error)) => return Err(error.into()),
        Err(error) => return Ok(State::Broken(vec![Fault::Record(error)])),
    };
    if record.as_ref().is_none_or(|record| record.session.is_none())
        && let Some(overlay) = unknown_overlay(dir)?
    {
        return Ok(State::Broken(vec![Fault::UnknownOverlay(overlay)]));
    }
    let Some(record) = record else { return Ok(State::Absent) };
    let mut faults = Vec::new();
    if let Some(session) = &record.session {
        match metadata_of_overlay(dir)? {
            None => faults.push(Fault::NoOverlay(dir.overlay())),
            Some(data) if !data.is_file() => faults.push(Fault::OtherOverlay(dir.overlay())),
            // QEMU would read zeroes after the end.
            Some(data) if data.len() < size_when_suspended(dir) => {
                faults.push(Fault::CutOverlay(dir.overlay()));
            }
            Some(_) => {}
        }
        match size(&session.image.location(dir.home()))? {
            None => faults.push(Fault::NoImage(dir.home().resolve(&session.image.path))),
            Some(size) if size != session.image.size => {
                faults.push(Fault::ImageChanged(dir.home().resolve(&session.image.path)));
            }
            Some(_) => {}
        }
        if let Some(disk) = session.snapshot.as_ref().map(|name| dir.snapshot(name).disk())
            && size(&disk)?.is_none()
        {
            faults.push(Fault::NoSnapshot(disk));
        }
    }
    if !faults.is_empty() {
        return Ok(State::Broken(faults));
    }
    Ok(if present(&dir.suspension())? { State::Suspended(record) } else { State::Stopped(record) })
}

/// The overlay of an instance in whose record there is no session, if there is one all the same.
///
/// # Errors
/// When it cannot be examined.
pub(super) fn unknown_overlay(dir: &InstanceDir) -> Result<Option<PathBuf>, FileError> {
    let overlay = dir.overlay();
    Ok(present(&overlay)?.then_some(overlay))
}

/// The metadata of the overlay; `None` when it is gone. One behind a broken link does not count as gone.
fn metadata_of_overlay(dir: &InstanceDir) -> Result<Option<Metadata>, FileError> {
    let overlay = dir.overlay();
    if_present(&overlay, std::fs::metadata(&overlay)).map_err(FileError::of("look at", &overlay))
}

/// Size of the overlay when its machine was suspended, which it is still; 0 when that is not known.
fn size_when_suspended(dir: &InstanceDir) -> u64 {
    record::read::<Suspension>(&dir.suspension()).ok().flatten().map_or(0, |suspension| suspension.disk.size)
}

/// Size of the file at `path`; `None` when it is gone.
fn size(path: &Path) -> Result<Option<u64>, FileError> {
    match std::fs::metadata(path) {
        Ok(data) => Ok(Some(data.len())),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(FileError::of("look at", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use vm::home::Home;

    use super::super::live::tests::live;
    use super::super::record::{ImageIdentity, Session};
    use super::*;
    use crate::name::InstanceName;

    struct Fabricated {
        _home: tempfile::TempDir,
        dir: InstanceDir,
    }

    fn fabricated() -> Fabricated {
        let home = tempfile::tempdir().unwrap();
        let dir = InstanceDir::new(&Home::new(home.path()), &InstanceName::default());
        std::fs::create_dir_all(dir.root()).unwrap();
        Fabricated { _home: home, dir }
    }

    fn myself() -> ProcessIdentity {
        ProcessIdentity::of(std::process::id().try_into().unwrap()).unwrap().unwrap()
    }

    impl Fabricated {
        fn with_live(self, process: Option<ProcessIdentity>, ready: bool) -> Self {
            record::write(&self.dir.live(), &live(process, ready)).unwrap();
            self
        }

        fn with_session(self, image: PathBuf) -> Self {
            let image = ImageIdentity { path: image, sha256: [0; 32].into(), size: 5 };
            let session = Session::new(image, None, None);
            let record = Record { session: Some(session), ..Record::new(InstanceName::default()) };
            record::write(&self.dir.record(), &record).unwrap();
            self
        }

        fn state(&self) -> State {
            inspect(&self.dir, Viewer::Bystander).unwrap()
        }

        fn faults(&self) -> String {
            match self.state() {
                State::Broken(faults) => {
                    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n") + "\n"
                }
                other => panic!("not broken: {other:?}"),
            }
        }
    }

    #[test]
    fn a_directory_without_a_record_is_not_an_instance() {
        let it = fabricated();
        assert!(matches!(it.state(), State::Absent));
        std::fs::remove_dir(it.dir.root()).unwrap();
        assert!(matches!(it.state(), State::Absent));
    }

    #[test]
    fn a_living_process_that_was_ready_is_running() {
        let it = fabricated().with_live(Some(myself()), true);
        assert!(matches!(it.state(), State::Running(_)));
    }

    #[test]
    fn a_dead_process_is_a_fault_and_so_is_a_later_one_with_its_pid() {
        let recycled = ProcessIdentity { started: myself().started + 1, ..myself() };
        let it = fabricated().with_live(Some(recycled), true);
        let State::Broken(faults) = it.state() else { panic!("not broken") };
        assert!(matches!(faults[..], [Fault::Died { process }] if process == recycled));
        assert!(faults[0].heals());
    }

    #[test]
    fn a_copy_of_what_runs_does_not_run_and_is_reported() {
        let it = fabricated();
        std::fs::write(it.dir.overlay(), "").unwrap();
        let mut copied = live(Some(myself()), true);
        copied.machine.disk_inode = Some(1);
        record::write(&it.dir.live(), &copied).unwrap();
        let State::Broken(faults) = it.state() else { panic!("not broken") };
        assert!(faults[0].heals());
        let text = it.faults();
        assert!(text.starts_with("it is a copy of an instance that runs (QEMU's pid is "), "{text}");
        let mut own = copied;
        own.machine.disk_inode = vm::place::inode(&it.dir.overlay());
        record::write(&it.dir.live(), &own).unwrap();
        assert!(matches!(it.state(), State::Running(_)));
    }

    #[test]
    fn a_start_is_in_progress_only_while_the_lock_is_held() {
        let it = fabricated().with_live(Some(myself()), false);
        let lock = FileLock::try_acquire(it.dir.lock()).unwrap();
        assert!(matches!(it.state(), State::Starting(_)));
        drop(lock);
        let text = it.faults();
        assert!(text.starts_with("its start was cut short, and QEMU (pid "), "{text}");
        let it = fabricated().with_live(None, false);
        assert_eq!(it.faults(), "its start was cut short\n");
    }

    #[test]
    fn a_stop_is_in_progress_while_the_lock_is_held() {
        let gone = ProcessIdentity { started: myself().started + 1, ..myself() };
        let it = fabricated().with_live(Some(gone), true);
        let _lock = FileLock::try_acquire(it.dir.lock()).unwrap();
        assert!(matches!(it.state(), State::Stopping(_)));
    }

    #[test]
    fn a_machine_is_stopping_while_its_stop_is_under_way_and_no_longer() {
        let it = fabricated().with_live(Some(myself()), true);
        let lock = FileLock::try_acquire(&it.dir.stopping_lock()).unwrap();
        assert!(matches!(it.state(), State::Stopping(_)));
        assert!(matches!(inspect(&it.dir, Viewer::Holder).unwrap(), State::Running(_)));
        drop(lock);
        assert!(matches!(it.state(), State::Running(_)));
    }

    #[test]
    fn a_session_needs_its_overlay_and_its_image() {
        let it = fabricated();
        let image = it.dir.root().join("image");
        let it = it.with_session(image.clone());
        let shown = it.faults().replace(it.dir.root().to_str().unwrap(), "[dir]");
        insta::assert_snapshot!(shown, @r"
        its disk `[dir]/overlay.qcow2` is gone
        the image `[dir]/image` below its disk is gone
        ");
        std::fs::write(it.dir.overlay(), b"").unwrap();
        std::fs::write(&image, b"other image").unwrap();
        assert!(it.faults().ends_with("is not the one that its disk was made on\n"));
        std::fs::write(&image, b"image").unwrap();
        assert!(matches!(it.state(), State::Stopped(_)));
    }

    #[test]
    fn what_cannot_be_examined_is_an_error_and_not_missing() {
        let refused = |file: fn(&InstanceDir) -> PathBuf| {
            let it = fabricated();
            let it = it.with_session("/image".into());
            let file = file(&it.dir);
            let _ = std::fs::remove_file(&file);
            // Root may read everything; a link to itself is an error for every user.
            std::os::unix::fs::symlink(&file, &file).unwrap();
            assert!(
                matches!(inspect(&it.dir, Viewer::Bystander), Err(InspectError::File(_))),
                "{}",
                file.display()
            );
        };
        refused(InstanceDir::live);
        refused(InstanceDir::record);
        refused(InstanceDir::overlay);
    }

    #[test]
    fn what_a_link_leads_to_that_is_not_mounted_is_neither_absent_nor_gone() {
        let reported = |link: fn(&InstanceDir) -> PathBuf| {
            let it = fabricated().with_session("/image".into());
            let link = link(&it.dir);
            let _ = std::fs::remove_file(&link);
            let _ = std::fs::remove_dir_all(&link);
            std::os::unix::fs::symlink("/no/such/disk", &link).unwrap();
            let Err(InspectError::File(error)) = inspect(&it.dir, Viewer::Bystander) else {
                panic!("{}", link.display())
            };
            assert!(error.source.to_string().ends_with("is a link to `/no/such/disk`, which is not there"));
            assert!(error.advice().is_some());
        };
        reported(|dir| dir.home().instances());
        reported(|dir| dir.root().to_owned());
        reported(InstanceDir::record);
        reported(InstanceDir::live);
        reported(InstanceDir::overlay);
    }

    #[test]
    fn a_disk_without_a_record_is_a_fault() {
        let it = fabricated();
        std::fs::write(it.dir.overlay(), "data").unwrap();
        assert!(it.faults().ends_with("but no record of the image below it\n"));
    }

    #[test]
    #[cfg(target_os = "linux")] // Elsewhere a pipe is created in another way.
    fn a_pipe_instead_of_a_disk_is_a_fault_and_not_waited_for() {
        let it = fabricated().with_session("/image".into());
        rustix::fs::mknodat(
            rustix::fs::CWD,
            it.dir.overlay(),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(it.faults().contains("overlay.qcow2` is not a file"), "{}", it.faults());
    }

    #[test]
    fn a_damaged_record_is_a_fault_that_says_where() {
        let it = fabricated();
        std::fs::write(it.dir.record(), "{").unwrap();
        let text = it.faults();
        assert!(text.contains("instance.json` is not a valid record: EOF while parsing"), "{text}");
        std::fs::write(it.dir.live(), r#"{"schemaVersion": 7}"#).unwrap();
        let text = it.faults();
        assert!(text.contains("live.json` has schema version 7"), "{text}");
    }
}
