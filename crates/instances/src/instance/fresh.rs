//! Instances that are made for one run, and are gone afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base::events::Reporter;
use base::files::{FileError, FileLock, create_private_dir, entries, present};
use base::space;
use rand::random;
#[cfg(target_os = "linux")]
use rustix::process::{Pid, Signal, getpid, kill_process};
use vm::home::Home;

use super::Instance;
use super::dir::DELETED;
use super::error::InstanceError;
use super::remove;
use super::runs::Used;
use crate::home::HomeExt;
#[cfg(target_os = "linux")]
use crate::name::INSTANCE_VARIABLE;
use crate::name::InstanceName;

/// What a killed run has left of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes that it takes on the disk.
    pub bytes: u64,
}

/// What their names begin with.
const PREFIX: &str = "run-";

impl Instance {
    /// Creates an instance in `home` with a name of its own, for one run: when no run uses it any more, it is deleted.
    ///
    /// # Errors
    /// When a file cannot be created or locked.
    pub async fn fresh(home: &Home, reporter: &dyn Reporter) -> Result<(Self, Used), InstanceError> {
        let name = format!("{PREFIX}{}-{:08x}", std::process::id(), random::<u32>());
        let instance = Self::new(home, name.parse().expect("such a name is valid"));
        create_private_dir(&home.instances())?;
        // From before there is anything that a sweep could find until it can see the use.
        let _lock = FileLock::acquire(instance.dir.lock(), || {}).await?;
        let used = instance.begin_run(reporter).await?;
        let mark = instance.dir.fresh();
        fs::write(&mark, "").map_err(FileError::of("write", &mark))?;
        Ok((instance, used))
    }

    /// Lets the instance stay when no run uses it.
    ///
    /// # Errors
    /// When its mark cannot be removed.
    pub fn keep_fresh(&self) -> Result<(), InstanceError> {
        Ok(remove(&self.dir.fresh()).map(drop)?)
    }

    /// Kills what the command of a killed run has left, which only this instance was there for. They are known by the variable that
    /// names the instance, which no other instance shares.
    #[cfg(target_os = "linux")]
    pub(super) fn end_orphans(&self) {
        let mark = format!("{INSTANCE_VARIABLE}={}", self.name).into_bytes();
        let marked = |pid: &Pid| {
            let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
            environment.is_ok_and(|text| text.split(|byte| *byte == 0).any(|variable| variable == mark))
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        for pid in pids.filter(|pid| *pid != getpid()).filter(marked) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn end_orphans(&self) {}

    /// Deletes it if it was made for a run that was killed, and returns what there was.
    async fn sweep(&self) -> Result<Option<Left>, InstanceError> {
        let exists = present(self.dir.root())?;
        if exists && !self.may_be_left()? {
            return Ok(None);
        }
        // In this order: a run that uses it must not have to wait for the other lock.
        let alone = if exists { FileLock::try_acquire(&self.dir.runs_lock())? } else { None };
        if exists && alone.is_none() {
            return Ok(None);
        }
        let Some(lock) = FileLock::try_acquire(self.dir.lock())? else { return Ok(None) };
        self.end_orphans();
        let path = if exists { self.dir.root() } else { self.dir.deleted() };
        let left = present(path)?;
        let bytes = self.delete_holding(lock).await?;
        Ok(left.then(|| Left { path: path.to_owned(), bytes }))
    }

    /// Whether it was made for a run, as far as its directory shows.
    fn may_be_left(&self) -> Result<bool, FileError> {
        Ok(present(&self.dir.fresh())? || is_empty(self.dir.root())?)
    }

    /// What [`Instance::sweep`] would delete of it. Nothing is changed, not even a lock's file.
    fn left(&self) -> Result<Option<Left>, FileError> {
        let path = self.dir.root();
        if !present(path)? || !self.may_be_left()? {
            return Ok(None);
        }
        for lock in [self.dir.runs_lock(), self.dir.lock().to_owned()] {
            // One that cannot be opened is not known to be free.
            if present(&lock)? && !matches!(FileLock::try_acquire(&lock), Ok(Some(_))) {
                return Ok(None);
            }
        }
        Ok(Some(Left { path: path.to_owned(), bytes: space::used(path) }))
    }
}

/// Deletes the instances in `home` that were made for runs which have been killed, with all that such a run may have left. Returns what
/// there was.
///
/// # Errors
/// When they cannot be listed, or one cannot be deleted.
pub async fn sweep(home: &Home) -> Result<Vec<Left>, InstanceError> {
    let mut swept = Vec::new();
    for instance in instances(home)? {
        swept.extend(instance.sweep().await?);
    }
    Ok(swept)
}

/// The directories of instances in `home` that a [`sweep`] would delete.
///
/// # Errors
/// When they cannot be listed.
pub fn left(home: &Home) -> Result<Vec<Left>, FileError> {
    let left = instances(home)?.map(|instance| instance.left());
    left.filter_map(Result::transpose).collect()
}

/// The instances in `home` that may have been made for runs.
fn instances(home: &Home) -> Result<impl Iterator<Item = Instance>, FileError> {
    let entries = entries(&home.instances())?;
    let names: BTreeSet<_> = entries.iter().filter_map(|entry| owner(entry)).collect();
    Ok(names.into_iter().map(|name| Instance::new(home, name)))
}

/// The instance for a run that the directory or lock at `path` belongs to.
fn owner(path: &Path) -> Option<InstanceName> {
    let entry = path.file_name()?.to_str()?;
    let lock = || entry.strip_prefix('.')?.strip_suffix(".lock");
    let name = entry.strip_prefix(DELETED).or_else(lock).unwrap_or(entry);
    name.strip_prefix(PREFIX)?;
    name.parse().ok()
}

fn is_empty(dir: &Path) -> Result<bool, FileError> {
    Ok(entries(dir)?.is_empty())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base::events::Silent;
    use base::process::Cmd;
    use vm::process::Launched;

    use super::super::dir::InstanceDir;
    use super::super::record::{self, Record};
    use super::*;

    fn entries_of(home: &Home) -> Vec<String> {
        let names = entries(&home.instances()).unwrap();
        names.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[tokio::test]
    async fn an_instance_for_a_run_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let (instance, used) = Instance::fresh(&home, &Silent).await.unwrap();
        assert_eq!(left(&home).unwrap(), []);
        assert_eq!(sweep(&home).await.unwrap(), []);
        assert!(instance.exists().unwrap(), "it is in use");
        instance.end_run(used, &Silent).await.unwrap();
        assert_eq!(entries_of(&home), [""; 0]);
    }

    #[tokio::test]
    async fn what_killed_runs_have_left_is_swept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let (marked, used) = Instance::fresh(&home, &Silent).await.unwrap();
        drop(used);
        for name in ["run-1-empty", ".deleted-run-2-half"] {
            create_private_dir(&home.instances().join(name)).unwrap();
        }
        fs::write(home.instances().join(".run-3-begun.lock"), "").unwrap();
        let named = InstanceDir::new(&home, &"run-own".parse().unwrap());
        create_private_dir(named.root()).unwrap();
        record::write(&named.record(), &Record::new("run-own".parse().unwrap())).unwrap();
        let listed: Vec<_> = left(&home).unwrap().into_iter().map(|left| left.path).collect();
        let dirs = [marked.dir.root().to_owned(), home.instances().join("run-1-empty")];
        assert_eq!(listed.iter().collect::<BTreeSet<_>>(), dirs.iter().collect());
        let swept: BTreeSet<_> = sweep(&home).await.unwrap().into_iter().map(|left| left.path).collect();
        let half = home.instances().join(".deleted-run-2-half");
        assert_eq!(swept, dirs.into_iter().chain([half]).collect());
        assert_eq!(entries_of(&home), ["run-own"]);
        assert!(!marked.exists().unwrap());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_the_command_of_a_killed_run_has_started_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let (instance, used) = Instance::fresh(&home, &Silent).await.unwrap();
        let start = |name: &str| {
            let command = Cmd::new("sleep").arg("600").env(INSTANCE_VARIABLE, name);
            Launched::start(&command, &dir.path().join("log")).unwrap()
        };
        let (left, other) = (start(instance.name().as_str()), start("run-1-other"));
        drop(used);
        sweep(&home).await.unwrap();
        left.identity().gone(Duration::from_secs(10)).await.unwrap();
        assert!(other.identity().is_alive().unwrap());
    }

    #[tokio::test]
    async fn an_instance_for_a_run_can_be_kept() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let (instance, used) = Instance::fresh(&home, &Silent).await.unwrap();
        record::write(&instance.dir.record(), &Record::new(instance.name.clone())).unwrap();
        instance.keep_fresh().unwrap();
        instance.end_run(used, &Silent).await.unwrap();
        sweep(&home).await.unwrap();
        assert!(instance.exists().unwrap());
    }
}
