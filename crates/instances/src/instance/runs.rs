//! The runs that use an instance: commands of the user's beside its machine. A machine that one of them started is stopped when the last
//! one has ended, and an instance that was made for one is deleted.

use base::events::{Event, Reporter};
use base::files::{FileLock, create_private_dir, entries, present};

use super::Instance;
use super::error::InstanceError;
use super::state::{State, Viewer, inspect};
use super::stop::How;
use crate::home::HomeExt;

/// The use of an instance by one run. It ends when it is dropped, and when the process ends, however it ends.
#[derive(Debug)]
pub struct Used {
    _decides: FileLock,
    _watched: FileLock,
}

impl Instance {
    /// Begins to use the instance, which need not exist yet; waits for a command that stops it because no run uses it.
    ///
    /// # Errors
    /// When a file cannot be created or locked.
    pub async fn begin_run(&self, reporter: &dyn Reporter) -> Result<Used, InstanceError> {
        create_private_dir(&self.home.instances())?;
        create_private_dir(self.dir.root())?;
        let text = format!("the last command that used `{}` stops it: waiting for that", self.name);
        let on_wait = || reporter.report(&Event::Notice(&text));
        let decides = FileLock::shared(&self.dir.runs_lock(), on_wait).await?;
        let watched = FileLock::shared(&self.dir.runs_ended_lock(), || {}).await?;
        Ok(Used { _decides: decides, _watched: watched })
    }

    /// Ends the use of the instance by a run. If it was the last one, a machine that a run has started is stopped.
    ///
    /// # Errors
    /// As [`Instance::stop`].
    pub async fn end_run(&self, used: Used, reporter: &dyn Reporter) -> Result<(), InstanceError> {
        if !present(self.dir.root())? {
            return Ok(());
        }
        let lock = self.lock(reporter).await?;
        // With the lock held: of several that end at once, the last one finds that it is.
        drop(used);
        self.stop_unless_used(lock, reporter).await
    }

    /// Waits until no run uses the instance.
    ///
    /// # Errors
    /// When a file cannot be locked.
    pub(crate) async fn runs_ended(&self) -> Result<(), InstanceError> {
        let path = self.dir.runs_ended_lock();
        // A thread: the operating system says nothing about locks but to those that wait for one.
        let waited = tokio::task::spawn_blocking(move || FileLock::block(&path).map(drop)).await;
        Ok(waited.unwrap_or(Ok(()))?)
    }

    /// Stops the machine, or deletes the instance, that was to be there for runs only, which have all been killed.
    ///
    /// # Errors
    /// As [`Instance::end_run`].
    pub(crate) async fn end_killed_runs(&self, reporter: &dyn Reporter) -> Result<(), InstanceError> {
        if !present(self.dir.root())? {
            return Ok(());
        }
        let lock = self.lock(reporter).await?;
        if !present(self.dir.root())? {
            // Its run has deleted it meanwhile, and this lock is a new one.
            return Ok(lock.remove(self.dir.lock())?);
        }
        if present(&self.dir.fresh())? {
            self.end_orphans();
        }
        self.stop_unless_used(lock, reporter).await
    }

    async fn stop_unless_used(&self, lock: FileLock, reporter: &dyn Reporter) -> Result<(), InstanceError> {
        let Some(_alone) = FileLock::try_acquire(&self.dir.runs_lock())? else { return Ok(()) };
        if present(&self.dir.fresh())? {
            return self.delete_holding(lock).await.map(drop);
        }
        match inspect(&self.dir, Viewer::Holder)? {
            State::Running(live) if live.run.until_runs_end == Some(true) => {
                self.stop_holding(How::Suspend, &lock, reporter).await.map(drop)
            }
            // A run that has failed before there was anything to start leaves nothing.
            State::Absent if self.has_locks_only()? => self.delete_holding(lock).await.map(drop),
            _ => Ok(()),
        }
    }

    fn has_locks_only(&self) -> Result<bool, InstanceError> {
        let locks = [self.dir.runs_lock(), self.dir.runs_ended_lock()];
        Ok(entries(self.dir.root())?.iter().all(|entry| locks.contains(entry)))
    }
}

#[cfg(test)]
mod tests {
    use base::events::Silent;
    use vm::home::Home;

    use super::*;
    use crate::name::InstanceName;

    #[tokio::test]
    async fn the_last_of_the_runs_that_started_nothing_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let instance = Instance::new(&Home::new(dir.path()), InstanceName::default());
        let first = instance.begin_run(&Silent).await.unwrap();
        let second = instance.begin_run(&Silent).await.unwrap();
        instance.end_run(first, &Silent).await.unwrap();
        assert!(instance.exists().unwrap());
        instance.end_run(second, &Silent).await.unwrap();
        assert_eq!(entries(&instance.home.instances()).unwrap(), [""; 0].map(std::path::PathBuf::from));
    }

    #[tokio::test]
    async fn the_end_of_all_runs_is_noticed_also_when_they_are_killed() {
        let dir = tempfile::tempdir().unwrap();
        let instance = Instance::new(&Home::new(dir.path()), InstanceName::default());
        let used = instance.begin_run(&Silent).await.unwrap();
        let ended = instance.runs_ended();
        tokio::pin!(ended);
        assert!(futures_util::poll!(&mut ended).is_pending());
        drop(used);
        ended.await.unwrap();
    }
}
