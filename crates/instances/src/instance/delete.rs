//! Deletes an instance: nothing of it stays.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::events::Reporter;
use base::files::{FileError, FileLock, present};
use base::space;

use super::dir::InstanceDir;
use super::error::InstanceError;
use super::registry::Registry;
use super::{Instance, remove, remove_dir};

/// What is left of an instance whose deletion was interrupted. No other command works on it.
#[derive(Debug)]
pub(crate) struct Deleted {
    dir: InstanceDir,
    lock: FileLock,
}

impl Instance {
    /// Whether there is such an instance, or something is left of one that was being deleted.
    ///
    /// # Errors
    /// When that cannot be determined.
    pub fn exists(&self) -> Result<bool, InstanceError> {
        Ok(present(self.dir.root())? || present(self.dir.deleted())?)
    }

    /// Ends the machine, if one runs, and removes the instance with everything that belongs to it. Returns the bytes that it had on
    /// the disk.
    ///
    /// A command that is killed in between leaves the instance as it was but for its machine, or a directory that has lost its
    /// name and that the next one removes.
    ///
    /// # Errors
    /// When there is no such instance, QEMU cannot be ended, or a file cannot be removed.
    pub async fn delete(&self, reporter: &dyn Reporter) -> Result<u64, InstanceError> {
        if !self.exists()? {
            return Err(self.unknown());
        }
        let lock = self.lock(reporter).await?;
        self.delete_holding(lock).await
    }

    /// The same, where its lock is held.
    pub(super) async fn delete_holding(&self, lock: FileLock) -> Result<u64, InstanceError> {
        let mut bytes = space::used(self.dir.deleted());
        remove_dir(self.dir.deleted())?;
        if present(self.dir.root())? {
            self.end_regardless().await?;
            bytes += space::used(self.dir.root());
            set_apart(&self.dir)?;
        }
        Deleted { dir: self.dir.clone(), lock }.remove()?;
        Ok(bytes)
    }

    /// Returns the error that there is no such instance, with those that there are.
    pub fn unknown(&self) -> InstanceError {
        match Registry::new(&self.home).names() {
            Ok(known) => InstanceError::NoInstance { name: self.name.clone(), known },
            Err(error) => error.into(),
        }
    }
}

impl Deleted {
    /// What a command that was killed has left of the instance in `dir`; none if nothing is left, or a command works on it.
    pub(crate) fn of(dir: InstanceDir) -> Result<Option<Self>, FileError> {
        let Some(lock) = FileLock::try_acquire(dir.lock())? else { return Ok(None) };
        Ok(present(dir.deleted())?.then_some(Self { dir, lock }))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.dir.deleted()
    }

    /// Removes it, and the lock unless there is a new instance of that name.
    pub(crate) fn remove(self) -> Result<(), FileError> {
        remove_dir(self.dir.deleted())?;
        if present(self.dir.root())? { Ok(()) } else { self.lock.remove(self.dir.lock()) }
    }
}

/// Renames the directory: from here on there is no such instance.
fn set_apart(dir: &InstanceDir) -> Result<(), FileError> {
    let root = dir.root();
    if let Some(target) = target_of_link(root)? {
        // The data is behind the link. Without a rename that takes all of it away, the link goes last.
        remove_content(&target)?;
        remove(root)?;
        return remove_dir(&target);
    }
    match fs::rename(root, dir.deleted()) {
        // A directory of a container's image cannot be renamed.
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => remove_dir(root),
        renamed => renamed.map_err(FileError::of("rename", root)),
    }
}

/// Where the directory is, if a link stands in its place.
fn target_of_link(root: &Path) -> Result<Option<PathBuf>, FileError> {
    let look = FileError::of("look at", root);
    let target = || {
        let is_link = fs::symlink_metadata(root)?.is_symlink();
        is_link.then(|| fs::canonicalize(root)).transpose()
    };
    target().map_err(look)
}

fn remove_content(dir: &Path) -> Result<(), FileError> {
    base::files::entries(dir)?.iter().try_for_each(|entry| remove(entry).map(drop))
}

#[cfg(test)]
mod tests {
    use base::events::Silent;
    use base::files::create_private_dir;
    use vm::home::Home;

    use super::super::record::{self, Record};
    use super::*;
    use crate::home::HomeExt;

    fn instances(home: &Path) -> PathBuf {
        Home::new(home).instances()
    }

    /// An instance with a record and some data.
    fn instance(home: &Path, name: &str) -> Instance {
        let instance = Instance::new(&Home::new(home), name.parse().unwrap());
        create_private_dir(instance.dir().root()).unwrap();
        fs::write(instance.dir().boot_files(), vec![1; 1 << 16]).unwrap();
        record::write(&instance.dir().record(), &Record::new(instance.name().clone())).unwrap();
        instance
    }

    fn is_empty(dir: &Path) -> bool {
        fs::read_dir(dir).unwrap().next().is_none()
    }

    #[tokio::test]
    async fn nothing_of_a_deleted_instance_is_left_and_the_others_stay() {
        let home = tempfile::tempdir().unwrap();
        let (one, other) = (instance(home.path(), "one"), instance(home.path(), "other"));
        assert!(one.delete(&Silent).await.unwrap() >= 1 << 16);
        assert!(!one.exists().unwrap() && other.exists().unwrap());
        let error = one.delete(&Silent).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no instance `one`: there is `other`");
        other.delete(&Silent).await.unwrap();
        assert!(is_empty(&instances(home.path())));
        let error = one.delete(&Silent).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no instance `one`: there is none");
    }

    #[tokio::test]
    async fn a_deletion_that_was_cut_short_is_finished_by_the_next() {
        let home = tempfile::tempdir().unwrap();
        let one = instance(home.path(), "one");
        fs::rename(one.dir().root(), one.dir().deleted()).unwrap();
        assert_eq!(Registry::new(one.home()).names().unwrap(), []);
        assert!(one.delete(&Silent).await.unwrap() >= 1 << 16);
        assert!(is_empty(&instances(home.path())));
    }

    #[tokio::test]
    async fn what_is_left_of_a_deletion_does_not_hide_a_new_instance() {
        let home = tempfile::tempdir().unwrap();
        let one = instance(home.path(), "one");
        fs::rename(one.dir().root(), one.dir().deleted()).unwrap();
        let again = instance(home.path(), "one");
        let [left] = <[Deleted; 1]>::try_from(Registry::new(one.home()).deleted().unwrap()).unwrap();
        left.remove().unwrap();
        assert!(again.exists().unwrap() && !again.dir().deleted().exists());
        // A command that works on the new one holds the same lock.
        assert!(again.dir().lock().exists());
        fs::create_dir(again.dir().deleted()).unwrap();
        let held = FileLock::try_acquire(again.dir().lock()).unwrap();
        assert!(Registry::new(one.home()).deleted().unwrap().is_empty());
        drop(held);
        again.delete(&Silent).await.unwrap();
        assert!(is_empty(&instances(home.path())));
    }

    #[tokio::test]
    async fn the_data_behind_a_link_goes_too() {
        let (home, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = instance(home.path(), "one");
        let elsewhere = disk.path().join("one");
        fs::rename(one.dir().root(), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, one.dir().root()).unwrap();
        one.delete(&Silent).await.unwrap();
        assert!(is_empty(disk.path()) && is_empty(&instances(home.path())));
    }
}
