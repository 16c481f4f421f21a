//! Instances that are made for one run, and are gone afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base::events::Reporter;
use base::files::{FileError, FileLock, create_private_dir, entries, present};
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

    /// Deletes it if it was made for a run that was killed.
    async fn sweep(&self) -> Result<(), InstanceError> {
        let exists = present(self.dir.root())?;
        if exists && !present(&self.dir.fresh())? && !is_empty(self.dir.root())? {
            return Ok(());
        }
        // In this order: a run that uses it must not have to wait for the other lock.
        let alone = if exists { FileLock::try_acquire(&self.dir.runs_lock())? } else { None };
        if exists && alone.is_none() {
            return Ok(());
        }
        let Some(lock) = FileLock::try_acquire(self.dir.lock())? else { return Ok(()) };
        self.end_orphans();
        self.delete_holding(lock).await.map(drop)
    }
}

/// Deletes the instances in `home` that were made for runs which have been killed, with all that such a run may have left.
///
/// # Errors
/// When they cannot be listed, or one cannot be deleted.
pub async fn sweep(home: &Home) -> Result<(), InstanceError> {
    let entries = entries(&home.instances())?;
    let names: BTreeSet<_> = entries.iter().filter_map(|entry| owner(entry)).collect();
    for name in names {
        Instance::new(home, name).sweep().await?;
    }
    Ok(())
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

    fn left(home: &Home) -> Vec<String> {
        let names = entries(&home.instances()).unwrap();
        names.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[tokio::test]
    async fn an_instance_for_a_run_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let (instance, used) = Instance::fresh(&home, &Silent).await.unwrap();
        sweep(&home).await.unwrap();
        assert!(instance.exists().unwrap(), "it is in use");
        instance.end_run(used, &Silent).await.unwrap();
        assert_eq!(left(&home), [""; 0]);
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
        sweep(&home).await.unwrap();
        assert_eq!(left(&home), ["run-own"]);
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
