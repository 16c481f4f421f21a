//! Instances: one machine each, with its own disk, ports and records.
//!
//! A command looks up whatever it needs to know about an instance: the durable record, the live record, the process. A
//! lock keeps two commands from changing one instance at once; reading needs no lock.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::events::{Event, Reporter};
use base::files::{self, FileError, FileLock, create_private_dir, present};

use vm::disk_lock;
use vm::place::{Elsewhere, Sight};
use vm::process::ProcessIdentity;

pub mod capture;
pub mod concern;
pub mod containers;
pub(crate) mod delete;
pub mod dir;
mod end;
mod ending;
pub mod error;
pub mod exec;
pub mod exports;
pub mod fresh;
pub mod health;
mod healthy;
mod hold;
mod journal;
mod line;
pub mod live;
pub mod logs;
pub mod loopback;
pub mod loss;
mod meanwhile;
mod needs;
mod newer_image;
mod ready;
pub mod record;
pub mod registry;
mod removed;
pub mod reset;
mod room;
pub mod rotate;
pub mod runs;
mod session;
mod sockets;
pub mod standstill;
pub mod start;
pub mod state;
pub mod stop;
mod suspend;
pub mod suspension;

use crate::home::HomeExt;
use crate::name::InstanceName;
use concern::Concern;
use dir::InstanceDir;
use error::InstanceError;
use live::{Live, Noted, StartedBy};
use record::{Record, RecordError, Session};
use state::{Fault, State, Viewer, inspect};
use suspension::{Goes, Suspension};
use vm::home::{DEFAULT_STACK, Home};
use vm::qmp::Qmp;
use vm::runtime;
use vm::socket;

/// How long a monitor may take to greet when the connection only tests whether there is one.
const ORPHAN_LIMIT: Duration = Duration::from_secs(1);

/// How long a QEMU may take to end after `quit`.
const QUIT_LIMIT: Duration = Duration::from_secs(10);

/// How long the kernel may take to close the disk of a process that was killed.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// One instance. Creating this value changes nothing.
#[derive(Debug, Clone)]
pub struct Instance {
    home: Home,
    name: InstanceName,
    dir: InstanceDir,
}

impl Instance {
    /// The instance `name` in `home`.
    pub fn new(home: &Home, name: InstanceName) -> Self {
        Self { home: home.clone(), dir: InstanceDir::new(home, &name), name }
    }

    /// The home that it is in.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Its name.
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    /// Its files.
    pub fn dir(&self) -> &InstanceDir {
        &self.dir
    }

    /// The session that has data, with the values of its secrets.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn session(&self) -> Result<Option<Session>, InstanceError> {
        Ok(record::read::<Record>(&self.dir.record())?.and_then(|record| record.session))
    }

    /// What runs now.
    ///
    /// # Errors
    /// When nothing does, as far as can be seen, or a file or a process cannot be examined.
    pub fn running(&self) -> Result<Live, InstanceError> {
        match self.state()? {
            State::Running(live) => Ok(live),
            State::Elsewhere(elsewhere) => Err(elsewhere.into()),
            State::Broken(faults) => Err(InstanceError::Broken { name: self.name.clone(), faults }),
            State::Absent
            | State::Stopped(_)
            | State::Suspended(_)
            | State::Starting(_)
            | State::Stopping(_) => Err(InstanceError::NotRunning(self.name.clone())),
        }
    }

    /// The directory that it belongs to, if its record notes one.
    pub fn directory(&self) -> Option<PathBuf> {
        // What is wrong with the record is part of the state.
        record::read::<Record>(&self.dir.record()).ok().flatten()?.directory
    }

    /// The stack that it belongs to, if there is a record of it.
    pub fn stack(&self) -> Option<String> {
        let record = record::read::<Record>(&self.dir.record()).ok().flatten()?;
        Some(record.stack.unwrap_or_else(|| DEFAULT_STACK.to_owned()))
    }

    /// The state that it is in now.
    ///
    /// # Errors
    /// When a file or a process cannot be examined.
    pub fn state(&self) -> Result<State, InstanceError> {
        Ok(inspect(&self.dir, Viewer::Bystander)?)
    }

    /// The problems that the state does not show: what a start or a stop will find.
    ///
    /// # Errors
    /// When a file cannot be examined.
    pub fn concerns(&self, state: &State) -> Result<Vec<Concern>, InstanceError> {
        Ok(match state {
            State::Suspended(Record { session: Some(session), .. }) => {
                match Suspension::of(&self.dir, session)? {
                    Goes::Not(why) => vec![Concern::Memory(why)],
                    Goes::On(_) | Goes::Nowhere => Vec::new(),
                }
            }
            State::Running(_) => {
                let disk = self.dir.overlay();
                let removed = (!present(&disk)?).then_some(Concern::DiskRemoved(disk));
                let record = record::read::<Record>(&self.dir.record()).err();
                let record = record.map(|error| Concern::Record(Fault::Record(error)));
                removed.into_iter().chain(record).collect()
            }
            _ => Vec::new(),
        })
    }

    /// Cleans up after a start or a stop that a signal has interrupted, unless another command works on the instance.
    ///
    /// # Errors
    /// When QEMU cannot be ended, or a file cannot be removed.
    pub async fn recover_interrupted(&self, reporter: &dyn Reporter) -> Result<(), InstanceError> {
        if !files::present(self.dir.root())? {
            return Ok(());
        }
        let Some(_lock) = FileLock::try_acquire(self.dir.lock())? else { return Ok(()) };
        match inspect(&self.dir, Viewer::Holder)? {
            State::Broken(faults)
                if faults.iter().all(|fault| matches!(fault, Fault::StartCutShort { .. })) =>
            {
                let used_up = self.has_used_up_memory()?;
                self.clean_up().await?;
                reporter.report(&Event::Notice("the start was undone: nothing is left running"));
                if used_up {
                    reporter.report(&Event::Notice(&self.memory_is_used_up()));
                }
            }
            State::Running(live) => {
                let Some(process) = live.machine.process else { return Ok(()) };
                // If one ends meanwhile, the next command cleans up.
                meanwhile::unless_gone(process, self.unpause(&live, reporter)).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes the lock that changing the instance needs, with a notice when another command holds it.
    async fn lock(&self, reporter: &dyn Reporter) -> Result<FileLock, InstanceError> {
        create_private_dir(&self.home.instances())?;
        let text = format!("another command works on `{}`: waiting for it", self.name);
        let lock = FileLock::acquire(self.dir.lock(), || reporter.report(&Event::Notice(&text))).await?;
        // It may contain secrets.
        files::sweep_unwritten(self.dir.root())?;
        record::renew::<Live>(&self.dir.live())?;
        Ok(lock)
    }

    /// Reports the faults and repairs them. The data on the disk stays.
    async fn recover(&self, faults: &[Fault], reporter: &dyn Reporter) -> Result<(), InstanceError> {
        for fault in faults {
            reporter.report(&Event::Notice(&format!("`{}` is cleaned up: {fault}", self.name)));
        }
        if self.has_used_up_memory()? {
            reporter.report(&Event::Notice(&self.memory_is_used_up()));
        }
        self.clean_up().await
    }

    /// Whether an unfinished start has resumed the suspended machine. Its guest has written to its disk since, so that it cannot be
    /// resumed a second time from the same memory.
    fn has_used_up_memory(&self) -> Result<bool, FileError> {
        let live = record::read::<Live>(&self.dir.live()).ok().flatten();
        let resumes = |live: Live| live.run.ready.is_none() && live.run.started_by == StartedBy::Suspended;
        Ok(live.is_some_and(resumes) && !present(&self.dir.suspension())?)
    }

    /// What such a start has cost.
    fn memory_is_used_up(&self) -> String {
        format!(
            "the saved memory of `{}` is used up, since the guest had been resumed: the next boot is from its disk, and the data \
             stays",
            self.name
        )
    }

    /// Ends the machine of the live record, and removes what an unfinished start has created.
    async fn clean_up(&self) -> Result<(), InstanceError> {
        let live = match record::read::<Live>(&self.dir.live()) {
            Ok(Some(live)) => live,
            Ok(None) => return Ok(()),
            Err(error @ (RecordError::File(_) | RecordError::Newer { .. })) => return Err(error.into()),
            Err(_) => {
                self.end_unknown().await?;
                return self.clear_live();
            }
        };
        self.end(&live.noted(), &live.machine.qmp).await?;
        if live.run.new_session && live.run.ready.is_none() {
            self.discard_session()?;
            let record = record::read::<Record>(&self.dir.record())?;
            if record.is_some_and(|record| record.created_at >= live.run.started_at) {
                remove(&self.dir.record())?;
            }
        }
        self.clear_live()
    }

    /// Removes the overlay, then its session in the record: in this order, since a record without an overlay is noticed
    /// and repaired by doing this again.
    fn discard_session(&self) -> Result<bool, InstanceError> {
        suspension::forget(&self.dir)?;
        remove_dir(&self.dir.spent())?;
        let had = remove(&self.dir.overlay())?;
        remove(&self.dir.config())?;
        if let Some(mut record) = record::read::<Record>(&self.dir.record())? {
            record.session = None;
            record::write(&self.dir.record(), &record)?;
        }
        Ok(had)
    }

    /// Ends the machine of a live record that cannot be read: by the readable part of it, or by the path of its monitor.
    async fn end_unknown(&self) -> Result<(), InstanceError> {
        let own = self.dir.monitor();
        let qmp = if present(&own)? { own } else { self.monitor_elsewhere() };
        self.end(&Noted::read(&self.dir.live()), &qmp).await
    }

    /// The path of the monitor when it is not in the instance's directory: the one that exists, or else the one that it would have.
    fn monitor_elsewhere(&self) -> PathBuf {
        let places = runtime::candidates(self.dir.root()).into_iter().map(|dir| dir.join(runtime::QMP));
        let places: Vec<_> = places.collect();
        places.iter().find(|path| path.exists()).unwrap_or(&places[0]).clone()
    }

    /// Ends the machine of a live record, unless it runs where it is not visible from here.
    async fn end(&self, noted: &Noted, qmp: &Path) -> Result<(), InstanceError> {
        match (noted.look(&self.dir, qmp)?, noted.process) {
            (Sight::Elsewhere(elsewhere), _) => return Err(elsewhere.into()),
            (Sight::Alive, Some(process)) => process.kill().await?,
            (_, None) => end_orphan(qmp).await?,
            (Sight::Gone | Sight::Copied, Some(_)) => {}
        }
        self.released().await
    }

    /// Waits until no process has the disk open: the kernel may close the files of a killed process after its end.
    ///
    /// # Errors
    /// When a process keeps it open. Then nothing of the instance may be removed, and no machine started.
    async fn released(&self) -> Result<(), InstanceError> {
        let disk = self.dir.overlay();
        let free = async || match disk_lock::is_held(&disk) {
            Ok(true) => None,
            Ok(false) => Some(Ok(())),
            Err(error) => Some(Err(FileError::of("look at", &disk)(error))),
        };
        match base::wait::until(RELEASE_LIMIT, free).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Elsewhere::DiskInUse(disk.clone()).into()),
        }
    }

    /// Removes what only a running instance has. QEMU must be gone.
    fn clear_live(&self) -> Result<(), InstanceError> {
        runtime::remove(self.dir.root())?;
        // One that ended by itself has removed it.
        remove(&self.dir.monitor())?;
        remove(&self.dir.live())?;
        Ok(())
    }
}

/// Ends the QEMU that listens at `qmp`, if any does: one whose starter was killed before it could record the process.
async fn end_orphan(qmp: &Path) -> Result<(), InstanceError> {
    if socket::connect(qmp).await.is_err() {
        return Ok(());
    }
    let quit = async {
        let qmp = Qmp::reach(qmp, ORPHAN_LIMIT).await?;
        let thread = thread_of(&qmp).await;
        qmp.quit().await.map(|()| thread)
    };
    let quit = quit.await;
    let limit = if quit.is_ok() { QUIT_LIMIT } else { ORPHAN_LIMIT };
    let gone = async || socket::connect(qmp).await.is_err().then_some(());
    match (base::wait::until(limit, gone).await, quit) {
        // One that is ending already does not answer.
        (Ok(()), Err(_) | Ok(None)) => Ok(()),
        // Until its end it removes its sockets by their paths, which may be those of the next QEMU by then.
        (Ok(()), Ok(Some(thread))) => Ok(thread.gone(QUIT_LIMIT).await?),
        (Err(_), Err(error)) => Err(error.into()),
        (Err(late), Ok(_)) => Err(InstanceError::Orphan(late)),
    }
}

/// A thread of this QEMU, which lives as long as its process.
async fn thread_of(qmp: &Qmp) -> Option<ProcessIdentity> {
    let id = qmp.processor_thread().await.ok().flatten()?;
    ProcessIdentity::of(i32::try_from(id).ok()?).ok().flatten()
}

/// Removes a file, or a directory at its path, and returns whether it was there.
fn remove(path: &Path) -> Result<bool, FileError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FileError::of("remove", path)(error)),
    }
}

/// Removes a directory with all that is in it, if it is there.
pub(crate) fn remove_dir(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::of("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use base::events::Silent;
    use base::process::Cmd;
    use fake_monitor::{Server, answer_with, monitor_opening};
    use vm::error::{Class, Explain};
    use vm::process::Launched;

    use super::live::tests::live;
    use super::record::ImageIdentity;
    use super::*;
    #[cfg(target_os = "linux")]
    use vm::place::Place;

    /// An instance with an overlay whose start was cut short.
    struct CutShort {
        home: tempfile::TempDir,
        instance: Instance,
    }

    impl CutShort {
        fn new(process: Option<ProcessIdentity>, new_session: bool) -> Self {
            let home = tempfile::tempdir().unwrap();
            let instance = Instance::new(&Home::new(home.path()), InstanceName::default());
            let dir = &instance.dir;
            create_private_dir(dir.root()).unwrap();
            fs::write(dir.overlay(), "data").unwrap();
            let image = home.path().join("image");
            fs::write(&image, "image").unwrap();
            let image = ImageIdentity { path: image, sha256: [0; 32].into(), size: 5 };
            let session = Some(Session::new(image, None, None));
            let record = Record { session, ..Record::new(InstanceName::default()) };
            record::write(&dir.record(), &record).unwrap();
            let mut live = live(process, false);
            live.machine.qmp = home.path().join("qmp");
            live.machine.qga = home.path().join("qga");
            live.machine.agent = home.path().join("agent");
            live.machine.config = home.path().join("config");
            live.run.new_session = new_session;
            record::write(&dir.live(), &live).unwrap();
            Self { home, instance }
        }

        fn qmp(&self) -> PathBuf {
            self.home.path().join("qmp")
        }

        fn has_data(&self) -> bool {
            self.instance.dir.overlay().exists()
        }
    }

    fn sleeper(dir: &Path) -> Launched {
        Launched::start(&Cmd::new("sleep").arg("600"), &dir.join("log")).unwrap()
    }

    #[tokio::test]
    async fn an_interrupted_first_start_leaves_no_process_and_no_overlay() {
        let logs = tempfile::tempdir().unwrap();
        let qemu = sleeper(logs.path());
        let it = CutShort::new(Some(qemu.identity()), true);
        it.instance.recover_interrupted(&Silent).await.unwrap();
        assert!(!qemu.identity().is_alive().unwrap());
        assert!(!it.has_data());
        assert!(matches!(it.instance.state().unwrap(), State::Absent));
    }

    #[tokio::test]
    async fn an_interrupted_later_start_leaves_the_data() {
        let logs = tempfile::tempdir().unwrap();
        let qemu = sleeper(logs.path());
        let it = CutShort::new(Some(qemu.identity()), false);
        it.instance.recover_interrupted(&Silent).await.unwrap();
        assert!(!qemu.identity().is_alive().unwrap());
        assert!(it.has_data());
        assert!(matches!(it.instance.state().unwrap(), State::Stopped(Record { session: Some(_), .. })));
    }

    #[derive(Default)]
    struct Notices(std::sync::Mutex<String>);

    impl Reporter for Notices {
        fn report(&self, event: &Event<'_>) {
            if let Event::Notice(text) = event {
                self.0.lock().unwrap().push_str(text);
            }
        }
    }

    #[tokio::test]
    async fn an_interrupted_start_reports_whether_saved_memory_is_used_up() {
        for (started_by, used_up) in [(StartedBy::Cold, false), (StartedBy::Suspended, true)] {
            let it = CutShort::new(None, false);
            let path = it.instance.dir.live();
            let mut live = record::read::<Live>(&path).unwrap().unwrap();
            live.run.started_by = started_by;
            record::write(&path, &live).unwrap();
            // A record of an earlier start means nothing for this one.
            create_private_dir(&it.instance.dir.spent()).unwrap();
            let notices = Notices::default();
            it.instance.recover_interrupted(&notices).await.unwrap();
            let said = notices.0.into_inner().unwrap();
            assert_eq!(said.contains("the saved memory of `default` is used up"), used_up, "{said}");
        }
    }

    #[tokio::test]
    async fn a_killed_start_is_reported_with_the_memory_that_it_has_used_up() {
        for (ready, used_up) in [(false, true), (true, false)] {
            let it = CutShort::new(None, false);
            let path = it.instance.dir.live();
            let mut live = record::read::<Live>(&path).unwrap().unwrap();
            live.run.started_by = StartedBy::Suspended;
            let at = live.run.started_at;
            live.run.ready = ready.then(|| live::Ready { at, seconds: 1.0, phases: Vec::new() });
            record::write(&path, &live).unwrap();
            let notices = Notices::default();
            it.instance.stop(stop::How::Suspend, &notices).await.unwrap();
            let said = notices.0.into_inner().unwrap();
            assert!(said.contains("is cleaned up"), "{said}");
            assert_eq!(said.contains("is used up"), used_up, "{said}");
            assert!(it.has_data());
        }
    }

    #[tokio::test]
    async fn a_killed_start_that_has_not_resumed_yet_leaves_the_saved_memory() {
        let it = CutShort::new(None, false);
        let path = it.instance.dir.live();
        let mut live = record::read::<Live>(&path).unwrap().unwrap();
        live.run.started_by = StartedBy::Suspended;
        record::write(&path, &live).unwrap();
        fs::write(it.instance.dir.suspension(), "kept").unwrap();
        let notices = Notices::default();
        it.instance.recover_interrupted(&notices).await.unwrap();
        let said = notices.0.into_inner().unwrap();
        assert!(!said.contains("is used up"), "{said}");
        assert_eq!(fs::read_to_string(it.instance.dir.suspension()).unwrap(), "kept");
    }

    #[tokio::test]
    async fn a_process_that_has_inherited_the_pid_is_left_alone() {
        let logs = tempfile::tempdir().unwrap();
        let stranger = sleeper(logs.path());
        let recorded = ProcessIdentity { started: stranger.identity().started + 1, ..stranger.identity() };
        let it = CutShort::new(Some(recorded), false);
        it.instance.stop(stop::How::PowerOff, &Silent).await.unwrap();
        assert!(stranger.identity().is_alive().unwrap());
        assert!(matches!(it.instance.state().unwrap(), State::Stopped(_)));
    }

    #[tokio::test]
    async fn a_qemu_that_was_not_recorded_in_time_is_ended() {
        let it = CutShort::new(None, false);
        let link = it.qmp();
        let logs = tempfile::tempdir().unwrap();
        let qemu = sleeper(logs.path());
        let identity = qemu.identity();
        let threads = answer_with("query-cpus-fast", move |_| {
            let processor = r#""cpu-index": 0, "qom-path": "/", "target": "x86_64""#;
            format!(r#"{{"return": [{{{processor}, "thread-id": {}}}], "id": 2}}"#, identity.pid)
        });
        let quit = answer_with("quit", move |_| {
            fs::remove_file(&link).unwrap();
            // What it does until its end takes a while.
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                qemu.kill().await.unwrap();
            });
            r#"{"return": {}, "id": 3}"#.to_owned()
        });
        let script = monitor_opening().into_iter().chain([threads, quit]).collect();
        // The first connection only tests whether there is one.
        let server = Server::start(vec![Vec::new(), script]);
        std::os::unix::fs::symlink(server.path(), it.qmp()).unwrap();
        it.instance.stop(stop::How::PowerOff, &Silent).await.unwrap();
        assert!(!it.qmp().exists());
        assert!(!identity.is_alive().unwrap(), "its end is waited for");
        assert!(it.has_data());
        assert!(matches!(it.instance.state().unwrap(), State::Stopped(_)));
    }

    #[tokio::test]
    async fn a_reset_leaves_the_ports_and_nothing_of_the_data() {
        let it = CutShort::new(None, false);
        let mut record: Record = record::read(&it.instance.dir.record()).unwrap().unwrap();
        record.ports.insert("backend".into(), 30001);
        record::write(&it.instance.dir.record(), &record).unwrap();
        assert!(it.instance.reset(&Silent).await.unwrap());
        assert!(!it.has_data());
        let State::Stopped(kept) = it.instance.state().unwrap() else { panic!("not stopped") };
        assert_eq!((kept.ports, kept.session), (record.ports, None));
        assert!(!it.instance.reset(&Silent).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn secrets_stay_unconfirmed_in_the_record_until_the_guest_confirms_them() {
        let logs = tempfile::tempdir().unwrap();
        let qemu = sleeper(logs.path());
        let it = CutShort::new(Some(qemu.identity()), false);
        let dir = &it.instance.dir;
        let mut live: Live = record::read(&dir.live()).unwrap().unwrap();
        live.run.ready = Some(live::Ready { at: live.run.started_at, seconds: 1.0, phases: Vec::new() });
        record::write(&dir.live(), &live).unwrap();
        let mut record: Record = record::read(&dir.record()).unwrap().unwrap();
        record.session.as_mut().unwrap().secrets = Some(record::Secrets::new());
        record::write(&dir.record(), &record).unwrap();
        // The monitor is not asked, but it is there.
        fs::write(&live.machine.qmp, "").unwrap();
        // Both agents hang up.
        let (agent, qga) = (Server::start(vec![Vec::new()]), Server::start(vec![Vec::new()]));
        std::os::unix::fs::symlink(agent.path(), live.machine.agent).unwrap();
        std::os::unix::fs::symlink(qga.path(), live.machine.qga).unwrap();

        let error = it.instance.rotate(&Silent).await.unwrap_err();
        assert!(matches!(error, InstanceError::Unconfirmed { .. }), "{error}");
        assert!(it.instance.session().unwrap().unwrap().unconfirmed);
        it.instance.confirm(record::read(&dir.record()).unwrap().unwrap()).unwrap();
        assert!(!it.instance.session().unwrap().unwrap().unconfirmed);
    }

    #[tokio::test]
    async fn a_machine_with_a_newer_record_is_not_stopped_and_a_reset_ends_it() {
        let logs = tempfile::tempdir().unwrap();
        let qemu = sleeper(logs.path());
        let it = CutShort::new(Some(qemu.identity()), false);
        let live = it.instance.dir.live();
        let newer =
            fs::read_to_string(&live).unwrap().replace("\"schemaVersion\": 2", "\"schemaVersion\": 99");
        fs::write(&live, newer).unwrap();

        let error = it.instance.stop(stop::How::Suspend, &Silent).await.unwrap_err();
        let is_newer = |fault: &Fault| matches!(fault, Fault::Record(RecordError::Newer { .. }));
        let InstanceError::Broken { faults, .. } = &error else { panic!("{error}") };
        assert!(faults.iter().any(is_newer), "{error}");
        assert!(qemu.identity().is_alive().unwrap());

        it.instance.reset(&Silent).await.unwrap();
        assert!(!qemu.identity().is_alive().unwrap());
        assert!(!it.has_data() && !live.exists());
    }

    #[tokio::test]
    async fn an_invalid_live_record_is_removed_and_the_data_stays() {
        for damaged in ["", "{", "[1]", r#"{"schemaVersion": 1}"#] {
            let it = CutShort::new(None, false);
            let live = it.instance.dir.live();
            fs::write(&live, damaged).unwrap();
            let stopped = it.instance.stop(stop::How::Suspend, &Silent).await.unwrap();
            assert_eq!(stopped.ending, stop::Ending::WasGone, "{damaged}");
            assert!(it.has_data() && !live.exists(), "{damaged}");
        }
    }

    /// Records that the machine was ready, and was started in another container.
    #[cfg(target_os = "linux")]
    fn move_elsewhere(instance: &Instance) {
        let mut live: Live = record::read(&instance.dir.live()).unwrap().unwrap();
        live.machine.place = Some(Place { pid_namespace: Some(1), ..Place::here() });
        live.run.ready = Some(live::Ready { at: live.run.started_at, seconds: 1.0, phases: Vec::new() });
        record::write(&instance.dir.live(), &live).unwrap();
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn no_command_touches_what_runs_in_another_container() {
        // A pid that belongs to another process here.
        let stranger = tempfile::tempdir().unwrap();
        let stranger = sleeper(stranger.path());
        let it = CutShort::new(Some(stranger.identity()), false);
        let (instance, dir) = (&it.instance, &it.instance.dir);
        move_elsewhere(instance);
        let held = fake_image::hold(&dir.overlay());

        assert!(matches!(instance.state().unwrap(), State::Elsewhere(Elsewhere::Runs { .. })));
        let query = |source| logs::LogQuery { source, lines: Some(1), since: None, follow: false };
        let take = |_| std::ops::ControlFlow::Continue(());
        let refusals = [
            instance.stop(stop::How::Suspend, &Silent).await.unwrap_err(),
            instance.reset(&Silent).await.unwrap_err(),
            instance.rotate(&Silent).await.unwrap_err(),
            instance.logs(query(None), take).await.unwrap_err(),
            instance.logs(query(Some("backend")), take).await.unwrap_err(),
        ];
        for error in refusals {
            let text = error.to_string();
            assert!(text.contains("in another container (host `") && text.contains("overlay"), "{text}");
            assert_eq!(error.hint().as_deref(), Some("stop it where it was started"));
            assert_eq!(error.class(), Class::Failed);
        }
        // Its files can be read from everywhere.
        create_private_dir(&dir.logs()).unwrap();
        fs::write(dir.serial_log(), "booted\n").unwrap();
        instance.logs(query(Some(logs::SERIAL)), take).await.unwrap();
        instance.recover_interrupted(&Silent).await.unwrap();
        crate::attendant::attend(instance).await.unwrap();
        assert!(it.has_data() && dir.live().exists());

        // Its end shows by its disk.
        drop(held);
        let State::Broken(faults) = instance.state().unwrap() else { panic!("not broken") };
        assert!(matches!(faults[..], [Fault::Died { .. }]));
        let stopped = instance.stop(stop::How::Suspend, &Silent).await.unwrap();
        assert_eq!(stopped.ending, stop::Ending::WasGone);
        assert!(stranger.identity().is_alive().unwrap());
        assert!(it.has_data() && !dir.live().exists());
    }

    #[tokio::test(start_paused = true)]
    #[cfg(target_os = "linux")]
    async fn a_disk_in_use_is_not_deleted_even_without_a_record_of_its_user() {
        let it = CutShort::new(None, false);
        fs::remove_file(it.instance.dir.live()).unwrap();
        let held = fake_image::hold(&it.instance.dir.overlay());
        let error = it.instance.reset(&Silent).await.unwrap_err();
        assert!(matches!(error, InstanceError::Elsewhere(Elsewhere::DiskInUse(_))), "{error}");
        assert!(error.hint().unwrap().contains("`fuser -v "), "{error}");
        assert!(it.has_data());
        let error = it.instance.stop(stop::How::Suspend, &Silent).await.unwrap_err();
        assert!(matches!(error, InstanceError::Elsewhere(Elsewhere::DiskInUse(_))), "{error}");
        drop(held);
        assert!(it.instance.reset(&Silent).await.unwrap());
    }

    #[test]
    fn a_machine_of_another_network_is_used_or_ended_where_it_was_started() {
        let error = InstanceError::OtherNetwork("blue".parse().unwrap());
        assert!(error.to_string().ends_with("its ports are in another network namespace"), "{error}");
        assert_eq!(error.class(), Class::Failed);
    }
}
