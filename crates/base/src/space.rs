//! Free disk space, asked for before it is needed: a disk that is full after ten minutes is a poor way to say so.

use std::path::{Path, PathBuf};

use crate::files::FileError;

/// A file system has less room than the build needs.
#[derive(Debug, thiserror::Error)]
#[error("`{}` has {} MiB of free space, but {what} needs {} MiB", path.display(), available >> 20, needed >> 20)]
pub struct NoSpace {
    /// A directory in the file system.
    pub path: PathBuf,
    /// What the space is for.
    pub what: &'static str,
    /// Bytes that are needed.
    pub needed: u64,
    /// Bytes that a user without privileges can still write.
    pub available: u64,
}

/// Checks that `needed` bytes can be written in `dir`, which exists.
///
/// # Errors
/// When the file system cannot be asked. The inner error is that there is too little room.
pub fn require(dir: &Path, what: &'static str, needed: u64) -> Result<Result<(), NoSpace>, FileError> {
    let stat = rustix::fs::statvfs(dir).map_err(|error| FileError::of("look at", dir)(error.into()))?;
    let available = stat.f_bavail.saturating_mul(stat.f_frsize);
    if available >= needed {
        return Ok(Ok(()));
    }
    Ok(Err(NoSpace { path: dir.to_owned(), what, needed, available }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_told_with_both_sizes() {
        let dir = tempfile::tempdir().unwrap();
        assert!(require(dir.path(), "a disk", 1).unwrap().is_ok());
        let error = require(dir.path(), "a disk", 1 << 60).unwrap().unwrap_err();
        assert_eq!((error.needed, error.path.as_path()), (1 << 60, dir.path()));
        let error = NoSpace { path: "/d".into(), what: "the disk", needed: 3 << 30, available: 5 << 20 };
        assert_eq!(error.to_string(), "`/d` has 5 MiB of free space, but the disk needs 3072 MiB");
    }
}
