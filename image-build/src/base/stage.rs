//! The directory in which a base is created: one that mmdebstrap's user can reach.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base::events::{Event, Reporter};
use base::files::{FileError, FileLock};
use tempfile::TempDir;

use super::BaseError;
use crate::{leftovers, mmdebstrap};

/// Start of the names of stages.
const PREFIX: &str = "stack-base-";

/// The lock of the process that works in a stage, within it.
const LOCK: &str = "lock";

/// Where users without root rights have theirs: every user can reach it, and it is not a memory file system.
const SHARED: &str = "/var/tmp";

/// A stage, which is removed when it is dropped.
pub(super) struct Stage {
    dir: TempDir,
    _lock: FileLock,
}

impl Stage {
    /// Creates a stage for the file system `root`. Those that this user's killed builds have left are removed first.
    pub(super) async fn new(root: &Path, reporter: &dyn Reporter) -> Result<Self, BaseError> {
        let parent = match parent_elsewhere() {
            Some(parent) => {
                sweep(parent, reporter).await?;
                parent
            }
            None => root.parent().unwrap_or(Path::new(".")),
        };
        // Without root rights the new system's files belong to a subordinate user, who can reach neither a home directory nor
        // what is in it. So that user may pass through this directory, whose files' names no other user can find out.
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o711))
            .tempdir_in(parent)
            .map_err(FileError::of("create a directory in", parent))?;
        let lock = FileLock::acquire(&dir.path().join(LOCK), || ()).await?;
        Ok(Self { dir, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Where stages are that are not beside the base: root works there, others cannot.
pub(crate) fn parent_elsewhere() -> Option<&'static Path> {
    (!rustix::process::geteuid().is_root()).then_some(Path::new(SHARED))
}

/// Removes the stages in `parent` that builds of this user have left. One that cannot be removed is reported, and does not prevent
/// the build.
async fn sweep(parent: &Path, reporter: &dyn Reporter) -> Result<(), FileError> {
    for stage in left(parent)? {
        if let Err(error) = remove(&stage).await {
            let text =
                format!("`{}`, which a killed build has left, cannot be removed: {error}", stage.display());
            reporter.report(&Event::Notice(&text));
        }
    }
    Ok(())
}

/// The stages of this user in which no process works. One without a lock is about to get it.
fn left(parent: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut left = Vec::new();
    for stage in leftovers::starting_with(parent, PREFIX)? {
        let own = fs::symlink_metadata(&stage)
            .is_ok_and(|metadata| metadata.uid() == rustix::process::geteuid().as_raw());
        let lock = stage.join(LOCK);
        if own && lock.exists() && FileLock::try_acquire(&lock)?.is_some() {
            left.push(stage);
        }
    }
    Ok(left)
}

/// Removes a stage. Of roots in it only the directory itself belongs to this user.
async fn remove(stage: &Path) -> Result<(), BaseError> {
    let entries = fs::read_dir(stage).map_err(FileError::of("list", stage))?;
    let owner = rustix::process::geteuid().as_raw();
    for entry in entries.flatten() {
        if entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() != owner) {
            mmdebstrap::empty(&entry.path()).output().await?;
        }
    }
    Ok(fs::remove_dir_all(stage).map_err(FileError::of("remove", stage))?)
}

#[cfg(test)]
mod tests {
    use base::events::Silent;

    use super::*;

    #[tokio::test]
    async fn a_stage_that_was_left_is_removed_and_one_in_use_stays() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let stage = parent.path().join(name);
            fs::create_dir_all(stage.join("hooks")).unwrap();
            stage
        };
        let [killed, in_use, new, other] =
            ["stack-base-1", "stack-base-2", "stack-base-3", "other"].map(make);
        for stage in [&killed, &in_use, &other] {
            fs::write(stage.join(LOCK), "").unwrap();
        }
        let _lock = FileLock::try_acquire(&in_use.join(LOCK)).unwrap();
        sweep(parent.path(), &Silent).await.unwrap();
        assert!(!killed.exists());
        assert!(in_use.exists() && new.exists() && other.exists());
    }

    #[tokio::test]
    async fn a_stage_is_locked_while_it_is_there() {
        let parent = tempfile::tempdir().unwrap();
        let stage = Stage::new(&parent.path().join("root"), &Silent).await.unwrap();
        let dir = stage.path().to_owned();
        assert!(FileLock::try_acquire(&dir.join(LOCK)).unwrap().is_none());
        drop(stage);
        assert!(!dir.exists());
    }
}
