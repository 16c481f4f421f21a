//! Memory in a file without a name (`memfd_create(2)`).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use host::files::FileError;
use host::sparse::{self, Range};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

/// How much of a memory one thread copies before it looks for more.
const PORTION: u64 = 8 << 20;

/// Threads that copy. More do not help: the host's memory is the limit.
const THREADS: usize = 2;

/// Memory that a QEMU is going to share. It lives while somebody has it open.
#[derive(Debug)]
pub struct SharedMemory(OwnedFd);

impl SharedMemory {
    /// Empty memory of so many bytes. Processes that are started while it is open inherit it.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let memory = memfd_create("stack-emulator-memory", MemfdFlags::empty())?;
        ftruncate(&memory, bytes)?;
        Ok(Self(memory))
    }

    /// Where a process that has inherited it finds it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.number()))
    }

    /// Its file descriptor here, and in every process that has inherited it.
    pub fn number(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Fills it with what was stored in the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read or has another size.
    pub fn fill(&self, path: &Path) -> Result<(), FileError> {
        self.copy(path).map_err(FileError::of("read", path))
    }

    fn copy(&self, path: &Path) -> io::Result<()> {
        let from = File::open(path)?;
        let len = from.metadata()?.len();
        if len != File::open(self.path())?.metadata()?.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is not as large as the machine's memory",
            ));
        }
        let portions = usize::try_from(len.div_ceil(PORTION)).map_err(io::Error::other)?;
        let next = AtomicUsize::new(0);
        let work = || -> io::Result<()> {
            // Opened anew: threads must not share a position.
            let (from, to) = (File::open(path)?, File::options().write(true).open(self.path())?);
            loop {
                let portion = next.fetch_add(1, Ordering::Relaxed);
                if portion >= portions {
                    return Ok(());
                }
                let start = portion as u64 * PORTION;
                let range = Range { start, len: PORTION.min(len - start) };
                sparse::copy(&from, range, &to, start)?;
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::super::store;
    use super::*;

    #[test]
    fn what_is_stored_comes_back_and_takes_no_room_for_zeroes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory");
        let bytes = 64 << 20;
        let memory = SharedMemory::new(bytes).unwrap();
        let open =
            |memory: &SharedMemory| File::options().read(true).write(true).open(memory.path()).unwrap();
        open(&memory).write_all_at(b"near", 4096).unwrap();
        open(&memory).write_all_at(b"far", bytes - 3).unwrap();
        assert_eq!(store(&open(&memory), &path).unwrap(), 2 * 4096);

        let again = SharedMemory::new(bytes).unwrap();
        again.fill(&path).unwrap();
        let mut read = [0; 4];
        open(&again).read_exact_at(&mut read, 4096).unwrap();
        assert_eq!(&read, b"near");
        open(&again).read_exact_at(&mut read[..3], bytes - 3).unwrap();
        assert_eq!(&read[..3], b"far");
    }

    #[test]
    fn a_file_of_another_size_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory");
        std::fs::write(&path, [1; 4096]).unwrap();
        let error = SharedMemory::new(8192).unwrap().fill(&path).unwrap_err();
        assert!(error.to_string().contains("memory`"), "{error}");
    }
}
