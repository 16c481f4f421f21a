//! Memory that QEMU has mapped privately from a file: pages that the guest has written are QEMU's own, and are read out of the
//! process.
//!
//! Reference: proc(5), `/proc/pid/maps`, `/proc/pid/pagemap` and `/proc/pid/mem`. The last needs what ptrace(2) needs, so
//! that under Yama the process itself must have permitted it.

use std::fs::File;
use std::io;
use std::ops::Range as Span;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use base::files::FileError;
use base::sparse::{self, Range};
use procfs::process::{MemoryMap, MemoryPageFlags, PageInfo, Process, SwapPageFlags};

use crate::process::ProcessIdentity;

/// The memory of one QEMU.
#[derive(Debug)]
pub(super) struct PrivateMemory {
    process: Process,
    /// All that the process can reach, at its addresses there.
    contents: File,
    /// What is mapped: the pages that the guest has not written.
    base: File,
}

impl PrivateMemory {
    /// What `process` has mapped of the file `base`.
    ///
    /// # Errors
    /// When the operating system does not let the process be looked at.
    pub(super) fn of(process: ProcessIdentity, base: File) -> Result<Self, FileError> {
        let path = PathBuf::from(format!("/proc/{}/mem", process.pid));
        let contents = File::open(&path).map_err(FileError::of("open", &path))?;
        let process = Process::new(process.pid).map_err(io::Error::other);
        Ok(Self { process: process.map_err(FileError::of("open", &path))?, contents, base })
    }

    /// Copies it to the empty file `to`, without its pages of zeroes. Gives the bytes written.
    pub(super) fn copy_to(&self, to: &File) -> io::Result<u64> {
        let file = self.base.metadata()?;
        to.set_len(file.len())?;
        let maps = self.process.maps().map_err(io::Error::other)?;
        let mapped: Vec<MemoryMap> = maps.into_iter().filter(|map| map.inode == file.ino()).collect();
        let total: u64 = mapped.iter().map(|map| map.address.1 - map.address.0).sum();
        if total != file.len() {
            return Err(io::Error::other("QEMU has not mapped all of its guest's memory"));
        }
        mapped.iter().map(|map| self.copy_map(map, to)).sum()
    }

    fn copy_map(&self, map: &MemoryMap, to: &File) -> io::Result<u64> {
        let page = procfs::page_size();
        let (start, end) = (map.address.0 / page, map.address.1 / page);
        let number = |index: u64| usize::try_from(index).map_err(io::Error::other);
        let span = Span { start: number(start)?, end: number(end)? };
        let mut pagemap = self.process.pagemap().map_err(io::Error::other)?;
        let pages = pagemap.get_range_info(span).map_err(io::Error::other)?;
        let (mut first, mut written) = (0, 0);
        for run in pages.chunk_by(|a, b| is_own(a) == is_own(b)) {
            let len = run.len() as u64 * page;
            let offset = map.offset + first;
            if is_own(&run[0]) {
                let range = Range { start: map.address.0 + first, len };
                written += sparse::copy_range_nonzero(&self.contents, range, to, offset)?;
            } else {
                written += sparse::copy(&self.base, Range { start: offset, len }, to, offset)?;
            }
            first += len;
        }
        Ok(written)
    }
}

/// Whether a page is the process's own, and not the file's any more.
fn is_own(page: &PageInfo) -> bool {
    match page {
        PageInfo::MemoryPage(flags) => {
            flags.contains(MemoryPageFlags::PRESENT) && !flags.contains(MemoryPageFlags::FILE)
        }
        // Swapped pages belong to this process alone: pages of a file are just dropped.
        PageInfo::SwapPage(flags) => flags.contains(SwapPageFlags::SWAP),
    }
}
