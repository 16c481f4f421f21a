//! Fills memory that is shared with QEMU, while QEMU starts.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::sparse::{self, Range};
use vm::memory::SharedMemory;

/// How much of a memory one thread copies before it looks for more.
const PORTION: u64 = 8 << 20;

/// Threads that copy. More do not help: the host's memory is the limit.
const THREADS: usize = 2;

/// Fills `memory` with what was stored in the file at `path`.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn fill(memory: &SharedMemory, path: &Path) -> io::Result<()> {
    let len = path.metadata()?.len();
    let portions = usize::try_from(len.div_ceil(PORTION)).map_err(io::Error::other)?;
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<()> {
        // Opened again: threads must not share a position.
        let (from, to) = (File::open(path)?, File::options().write(true).open(memory.path())?);
        loop {
            let portion = next.fetch_add(1, Ordering::Relaxed);
            if portion >= portions {
                return Ok(());
            }
            let start = portion as u64 * PORTION;
            sparse::copy(&from, Range { start, len: PORTION.min(len - start) }, &to, start)?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
