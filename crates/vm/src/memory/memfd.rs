//! Memory in a file without a name (`memfd_create(2)`).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

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
        super::inherited(self.number())
    }

    /// Its file descriptor here, and in every process that has inherited it.
    pub fn number(&self) -> i32 {
        self.0.as_raw_fd()
    }
}
