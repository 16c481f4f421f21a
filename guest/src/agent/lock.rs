//! Keeps the agent in memory: reading a page from the disk would take as long as the request that needs it.

use rustix::io::Result;
use rustix::mm::{MlockAllFlags, mlockall};

/// Keeps every page from its first use on, which costs nothing at the start.
pub(super) fn on_use() -> Result<()> {
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
}

/// Loads what has not been used yet: the code of a resume, in a machine that has never been resumed.
pub(super) fn everything() -> Result<()> {
    mlockall(MlockAllFlags::CURRENT)?;
    // The stacks of threads and what is allocated later need not be there before they are used.
    on_use()
}
