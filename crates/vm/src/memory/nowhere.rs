//! Where the operating system has no files that only exist in memory.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;

/// There is none here, so no strategy that needs it is ever chosen.
#[derive(Debug)]
pub struct SharedMemory(Infallible);

impl SharedMemory {
    /// Always fails.
    ///
    /// # Errors
    /// Always.
    pub fn new(_: u64) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Where a process that has inherited it finds it.
    pub fn path(&self) -> PathBuf {
        match self.0 {}
    }

    /// Its file descriptor.
    pub fn number(&self) -> i32 {
        match self.0 {}
    }
}
