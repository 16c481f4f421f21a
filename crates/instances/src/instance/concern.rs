//! What does not show in the state of an instance and is wrong all the same.

use std::path::PathBuf;

use super::state::Fault;

/// Something that the next start or stop will find.
#[derive(Debug, thiserror::Error)]
pub enum Concern {
    /// The saved memory cannot be used.
    #[error("its memory is dropped by the next start: {0}")]
    Memory(String),
    /// The disk that the machine has open has no name any more. A stop gives it one.
    #[error("its disk `{}` was removed", .0.display())]
    DiskRemoved(PathBuf),
    /// The record cannot be used.
    #[error("{0}")]
    Record(Fault),
}
