//! Saving the state of a stopped machine: QEMU writes its part first, and may end while the rest is written.

use std::time::Duration;

use base::blocking;
use base::files::FileError;
use vm::memory::StoppedMemory;
use vm::qmp::{Qmp, QmpError};
use vm::saving::Strategy;

use super::files::StateFiles;
use super::packing;

/// Who writes the memory to the disk.
pub(crate) enum Way {
    /// This process, which can read it.
    Read(StoppedMemory),
    /// QEMU, which takes longer.
    ByQemu,
}

impl Way {
    /// How the state is kept then.
    pub(crate) const fn strategy(&self) -> Strategy {
        match self {
            Self::Read(_) => Strategy::Template,
            Self::ByQemu => Strategy::MappedRam,
        }
    }

    /// Makes QEMU write its part of the state.
    ///
    /// # Errors
    /// When QEMU refuses, or takes longer than `limit`.
    pub(crate) async fn save(&self, qmp: &Qmp, files: &StateFiles, limit: Duration) -> Result<(), QmpError> {
        qmp.save(self.strategy(), files.of_qemu(self.strategy()), limit).await
    }

    /// Writes what QEMU does not: the memory where this process reads it, and the compressed file where there is to be one.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(crate) async fn complete(self, files: &StateFiles) -> Result<(), FileError> {
        let files = files.clone();
        blocking::run(move || match (self, &files.packed) {
            (Self::Read(memory), _) => memory.store(&files.memory).map(drop),
            (Self::ByQemu, Some(packed)) => packing::pack(&files.savevm, packed),
            (Self::ByQemu, None) => Ok(()),
        })
        .await
    }
}
