//! Free disk space, asked for before it is needed: a disk that is full after ten minutes is a poor way to say so.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::files::{FileError, entries};

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

/// Bytes that a file takes on the disk, or everything in a directory does. What cannot be looked at counts as nothing, and a link
/// is not followed.
pub fn used(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => entries(path).unwrap_or_default().iter().map(|entry| used(entry)).sum(),
        // POSIX: `st_blocks` counts units of 512 bytes whatever the file system's block size.
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    }
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

    #[test]
    fn holes_and_what_links_lead_to_take_no_space() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("large"), vec![1; 1 << 20]).unwrap();
        let below = dir.path().join("below");
        fs::create_dir(&below).unwrap();
        fs::write(below.join("file"), vec![1; 1 << 16]).unwrap();
        fs::File::create(below.join("hole")).unwrap().set_len(1 << 30).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), below.join("link")).unwrap();
        let used = used(dir.path());
        assert!((1 << 16..1 << 18).contains(&used), "{used}");
    }
}
