//! The memory of a guest: while it runs in a file without a name that only exists in the host's memory, while it does not in a
//! sparse file on disk.
//!
//! QEMU leaves memory that it shares with others out of the state that it saves, so that a save and a load cost next to
//! nothing; moving the memory is done here, beside what QEMU does at the same time. A file on disk that the guest itself
//! writes to would spare the move, and cost the disk instead: `docs/snapshots.md` has the figures.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use host::files::{FileError, create_private_file};
use host::sparse;

use crate::process::ProcessIdentity;

#[cfg(target_os = "linux")]
mod memfd;
#[cfg(not(target_os = "linux"))]
mod nowhere;

#[cfg(target_os = "linux")]
pub use memfd::SharedMemory;
#[cfg(not(target_os = "linux"))]
pub use nowhere::SharedMemory;

/// Whether this host has files that only exist in memory and are found through the process that has them open.
pub const fn can_share() -> bool {
    cfg!(target_os = "linux")
}

/// Opens the memory that `process` has as its file descriptor `number`.
///
/// # Errors
/// When the process is gone, or the operating system does not let it be opened.
pub fn of_process(process: ProcessIdentity, number: i32) -> Result<File, FileError> {
    let path = PathBuf::from(format!("/proc/{}/fd/{number}", process.pid));
    File::open(&path).map_err(FileError::of("open", &path))
}

/// Writes memory, which may hold secrets, to a private file at `path`, without its pages of zeroes, and waits until it is on the disk. Gives the bytes
/// that it takes there.
///
/// # Errors
/// When it cannot be written.
pub fn store(memory: &File, path: &Path) -> Result<u64, FileError> {
    let write = || -> io::Result<u64> {
        let file = create_private_file(path)?;
        let written = sparse::copy_nonzero(memory, &file)?;
        file.sync_all()?;
        Ok(written)
    };
    write().map_err(FileError::of("write", path))
}
