//! The memory of a guest: in the host's memory while it runs, in a sparse file on disk, next to the state
//! of its devices, while it does not.
//!
//! A guest that boots has a file in the host's memory; one that resumes from a saved state has the saved file, mapped privately, so that
//! nothing has to be copied before it can continue. Either is written to disk from here, not by QEMU, which would look at every page:
//! `docs/snapshots.md` has the figures.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use base::files::{FileError, create_private_file};
use base::sparse;
use serde::{Deserialize, Serialize};

use crate::process::ProcessIdentity;

#[cfg(target_os = "linux")]
mod memfd;
#[cfg(not(target_os = "linux"))]
mod nowhere;
#[cfg(target_os = "linux")]
mod private;

#[cfg(target_os = "linux")]
pub use memfd::SharedMemory;
#[cfg(not(target_os = "linux"))]
pub use nowhere::SharedMemory;

/// Where the memory of a running guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HeldMemory {
    /// All of it is in the file that QEMU has open as this descriptor.
    Shared(i32),
    /// What the guest has written is QEMU's own; all else is in the file that QEMU has open as this descriptor.
    Private(i32),
}

/// A saved memory, open for a QEMU that is going to map it.
#[derive(Debug)]
pub struct SavedMemory(File);

impl SavedMemory {
    /// Opens the file at `path`. Processes that are started while it is open inherit it, so that it may be renamed or removed
    /// while they have it.
    ///
    /// # Errors
    /// When it cannot be opened, or does not hold the memory of a machine with so many `bytes` of it.
    pub fn open(path: &Path, bytes: u64) -> Result<Self, FileError> {
        let open = || -> io::Result<Self> {
            let file =
                File::from(rustix::fs::open(path, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())?);
            if file.metadata()?.len() != bytes {
                let reason = "it is not as large as the machine's memory";
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            Ok(Self(file))
        };
        open().map_err(FileError::of("read", path))
    }

    /// Its file descriptor here, and in every process that has inherited it.
    pub fn number(&self) -> i32 {
        use std::os::fd::AsRawFd;
        self.0.as_raw_fd()
    }
}

/// Where a process finds what it has inherited as file descriptor `number`.
pub fn inherited(number: i32) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{number}"))
}

/// Whether this host has files that only exist in memory, and memory of other processes that can be looked at.
pub const fn can_share() -> bool {
    cfg!(target_os = "linux")
}

/// The memory of a stopped guest, ready to be read.
#[derive(Debug)]
pub struct StoppedMemory(Kind);

#[derive(Debug)]
enum Kind {
    Shared(File),
    #[cfg(target_os = "linux")]
    Private(private::PrivateMemory),
}

impl StoppedMemory {
    /// The memory that the QEMU `process` holds.
    ///
    /// # Errors
    /// When the process is gone, or the operating system does not let it be looked at.
    pub fn of(process: ProcessIdentity, held: HeldMemory) -> Result<Self, FileError> {
        let open = |number| {
            let path = PathBuf::from(format!("/proc/{}/fd/{number}", process.pid));
            File::open(&path).map_err(FileError::of("open", &path))
        };
        Ok(Self(match held {
            HeldMemory::Shared(number) => Kind::Shared(open(number)?),
            #[cfg(target_os = "linux")]
            HeldMemory::Private(number) => Kind::Private(private::PrivateMemory::of(process, open(number)?)?),
            #[cfg(not(target_os = "linux"))]
            HeldMemory::Private(_) => {
                let path = PathBuf::from("/proc");
                return Err(FileError::of("open", &path)(io::ErrorKind::Unsupported.into()));
            }
        }))
    }

    /// Writes it, and it may hold secrets, to a private file at `path`, without its pages of zeroes, and waits until it is on the
    /// disk. Gives the bytes that it takes there. The guest must be stopped.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn store(&self, path: &Path) -> Result<u64, FileError> {
        let write = || -> io::Result<u64> {
            let file = create_private_file(path)?;
            let written = match &self.0 {
                Kind::Shared(memory) => sparse::copy_nonzero(memory, &file)?,
                #[cfg(target_os = "linux")]
                Kind::Private(memory) => memory.copy_to(&file)?,
            };
            file.sync_all()?;
            Ok(written)
        };
        write().map_err(FileError::of("write", path))
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    const PAGE: usize = 4096;

    fn this_process() -> ProcessIdentity {
        let pid = i32::try_from(std::process::id()).unwrap();
        ProcessIdentity::of(pid).unwrap().unwrap()
    }

    #[test]
    fn shared_memory_is_stored_without_its_zeroes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory");
        let bytes = 64 << 20;
        let memory = SharedMemory::new(bytes).unwrap();
        let open = File::options().write(true).open(memory.path()).unwrap();
        open.write_all_at(b"near", 4096).unwrap();
        open.write_all_at(b"far", bytes - 3).unwrap();
        let held = HeldMemory::Shared(memory.number());
        assert_eq!(StoppedMemory::of(this_process(), held).unwrap().store(&path).unwrap(), 2 * 4096);
        let stored = std::fs::read(&path).unwrap();
        assert_eq!((&stored[4096..4100], &stored[stored.len() - 3..]), (&b"near"[..], &b"far"[..]));
        assert_eq!(stored.iter().filter(|byte| **byte != 0).count(), 7);
    }

    #[test]
    fn private_memory_is_what_was_saved_and_what_was_written_since() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let mut expected = vec![0; 64 * PAGE];
        let file = File::create(&from).unwrap();
        file.set_len(expected.len() as u64).unwrap();
        for page in [1_u8, 2, 3, 40] {
            file.write_all_at(&[page; PAGE], u64::from(page) * PAGE as u64).unwrap();
        }
        let saved = SavedMemory::open(&from, expected.len() as u64).unwrap();
        let mut map = private_map(&saved);
        // Looked at only, cleared, changed, and written where there was a hole.
        assert_eq!(map[PAGE], 1);
        map[2 * PAGE..3 * PAGE].fill(0);
        map[3 * PAGE + 7] = 77;
        map[50 * PAGE] = 5;
        expected.copy_from_slice(&map);
        // A suspended machine's file is gone by the time at which it is suspended again.
        std::fs::remove_file(&from).unwrap();
        let held = HeldMemory::Private(saved.number());
        let written = StoppedMemory::of(this_process(), held).unwrap().store(&to).unwrap();
        assert_eq!(written, 4 * PAGE as u64);
        assert!(std::fs::read(&to).unwrap() == expected, "it is something else that came back");
    }

    #[expect(unsafe_code, reason = "no one else writes to the file")]
    fn private_map(saved: &SavedMemory) -> memmap2::MmapMut {
        // SAFETY: the file is this test's own, and no one writes to it while it is mapped.
        unsafe { memmap2::MmapOptions::new().map_copy(saved.number()).unwrap() }
    }

    #[test]
    fn a_saved_memory_of_another_size_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory");
        std::fs::write(&path, [1; 4096]).unwrap();
        let error = SavedMemory::open(&path, 8192).unwrap_err();
        assert!(error.to_string().contains("memory`"), "{error}");
    }
}
