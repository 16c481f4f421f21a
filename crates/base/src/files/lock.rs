//! Locks between processes.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{FileError, is_absence, remove_if_there};

/// A lock between processes, held until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

impl FileLock {
    /// Takes the lock at `path` (created when missing), or returns `None` when another process holds it.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, FileError> {
        Self::attempt(path, File::try_lock)
    }

    /// Whether a process holds the lock at `path` exclusively. Does not create it, and keeps no other process from finding out at the
    /// same time.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn is_held(path: &Path) -> Result<bool, FileError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if is_absence(&error) => return Ok(false),
            Err(error) => return Err(FileError::of("open", path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(FileError::of("lock", path)(error)),
        }
    }

    fn attempt(path: &Path, lock: fn(&File) -> Result<(), TryLockError>) -> Result<Option<Self>, FileError> {
        loop {
            let file = Self::open(path)?;
            let error = |source| FileError { action: "lock", path: path.to_owned(), source };
            match lock(&file) {
                Ok(()) if is_removed(&file, path).map_err(error)? => {}
                Ok(()) => return Ok(Some(Self(file))),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(error(source)),
            }
        }
    }

    /// Removes the lock's file at `path`, and releases it. Who waits for it takes a new one.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove(self, path: &Path) -> Result<(), FileError> {
        remove_if_there(path)
    }

    /// Takes the lock at `path`, waiting for its holder; `on_wait` is called once if there is one.
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub async fn acquire(path: &Path, on_wait: impl FnOnce()) -> Result<Self, FileError> {
        Self::wait(path, File::try_lock, on_wait).await
    }

    /// Takes the lock at `path` shared with others, waiting for a process that holds it exclusively; `on_wait` is called once if there
    /// is one.
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub async fn shared(path: &Path, on_wait: impl FnOnce()) -> Result<Self, FileError> {
        Self::wait(path, File::try_lock_shared, on_wait).await
    }

    /// Takes the lock at `path`, blocking this thread for as long as another process holds it.
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub fn block(path: &Path) -> Result<Self, FileError> {
        let lock = |file: &File| file.lock().map_err(TryLockError::Error);
        loop {
            if let Some(lock) = Self::attempt(path, lock)? {
                return Ok(lock);
            }
        }
    }

    async fn wait(
        path: &Path,
        lock: fn(&File) -> Result<(), TryLockError>,
        on_wait: impl FnOnce(),
    ) -> Result<Self, FileError> {
        if let Some(lock) = Self::attempt(path, lock)? {
            return Ok(lock);
        }
        on_wait();
        let mut backoff = crate::wait::Backoff::default();
        loop {
            if let Some(lock) = Self::attempt(path, lock)? {
                return Ok(lock);
            }
            backoff.pause().await;
        }
    }

    fn open(path: &Path) -> Result<File, FileError> {
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true);
        options.open(path).map_err(FileError::of("open", path))
    }
}

/// Whether the file of a lock was removed by its last holder, so that the next command would take another one.
fn is_removed(file: &File, path: &Path) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() == 0 || fs::symlink_metadata(path).is_err_and(|error| is_absence(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_was_removed_is_not_the_next_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::try_acquire(&path).unwrap().expect("it is free");
        let opened = FileLock::open(&path).unwrap();
        assert!(!is_removed(&opened, &path).unwrap());
        held.remove(&path).unwrap();
        assert!(is_removed(&opened, &path).unwrap() && !path.exists());
        opened.try_lock().unwrap();
        let next = FileLock::try_acquire(&path).unwrap().expect("it is another file");
        assert!(is_removed(&opened, &path).unwrap() && path.exists());
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        drop(next);
    }

    #[test]
    fn whether_a_lock_is_held_can_be_seen_without_taking_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!FileLock::is_held(&path).unwrap() && !path.exists());
        let held = FileLock::try_acquire(&path).unwrap();
        assert!(FileLock::is_held(&path).unwrap());
        drop(held);
        assert!(!FileLock::is_held(&path).unwrap());
    }

    #[tokio::test]
    async fn a_lock_is_held_by_several_who_share_it_or_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let shared = async || FileLock::shared(&path, || panic!("it is not held exclusively")).await.unwrap();
        let (first, second) = (shared().await, shared().await);
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        drop((first, second));
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
    }

    #[test]
    fn a_thread_can_wait_for_a_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::try_acquire(&path).unwrap();
        let waiter = std::thread::spawn({
            let path = path.clone();
            move || FileLock::block(&path).map(drop)
        });
        assert!(!waiter.is_finished());
        drop(held);
        waiter.join().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_lock_is_exclusive_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::try_acquire(&path).unwrap().unwrap();
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        let mut waited = false;
        let second = FileLock::acquire(&path, || waited = true);
        let (second, ()) = tokio::join!(second, async { drop(held) });
        second.unwrap();
        assert!(waited);
    }
}
