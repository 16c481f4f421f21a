//! Problems of an instance that its state does not show.

use std::path::PathBuf;

use super::state::Fault;

/// A problem that the next start or stop will find.
#[derive(Debug, thiserror::Error)]
pub enum Concern {
    /// The saved memory cannot be used.
    #[error("its memory is dropped by the next start: {0}")]
    Memory(String),
    /// The disk that the machine has open was removed. A stop restores it.
    #[error("its disk `{}` was removed", .0.display())]
    DiskRemoved(PathBuf),
    /// The record cannot be used.
    #[error("{0}")]
    Record(Fault),
}
