//! Keeps the agent in memory: a page that had to come from the disk would cost as much as the request that needs it.

use rustix::io::Result;
use rustix::mm::{MlockAllFlags, mlockall};

/// Keeps every page from its first use on. Costs nothing at the start.
pub(super) fn on_use() -> Result<()> {
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
}

/// Brings in what has not been used yet: the code of a resume, in a machine that has had none.
pub(super) fn everything() -> Result<()> {
    mlockall(MlockAllFlags::CURRENT)?;
    // The stacks of threads and what is allocated later need not be there before they are used.
    on_use()
}
