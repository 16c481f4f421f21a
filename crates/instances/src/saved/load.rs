//! Loading a saved state into a QEMU that waits for it.

use std::time::Duration;

use base::files::FileError;
use vm::machine::Begin;
use vm::memory::SavedMemory;
use vm::qmp::{Qmp, QmpError};
use vm::saving::{self, Strategy};

use super::files::StateFiles;
use super::packing;

/// A saved state whose files are as QEMU reads them.
#[derive(Debug)]
pub(crate) struct Loadable {
    strategy: Strategy,
    files: StateFiles,
}

impl Loadable {
    /// Prepares the state in `files`, unpacked if necessary.
    ///
    /// # Errors
    /// When it cannot be unpacked.
    pub(crate) fn prepare(strategy: Strategy, files: StateFiles) -> Result<Self, FileError> {
        if let (Strategy::MappedRam, Some(packed)) = (strategy, &files.packed) {
            packing::ensure_unpacked(&files.savevm, packed)?;
        }
        Ok(Self { strategy, files })
    }

    /// The memory, where QEMU maps it instead of loading it.
    ///
    /// # Errors
    /// When it cannot be opened, or is not that of a machine with this many `bytes` of memory.
    pub(crate) fn memory(&self, bytes: u64) -> Result<Option<SavedMemory>, FileError> {
        match self.strategy {
            Strategy::Template => SavedMemory::open(&self.files.memory, bytes).map(Some),
            Strategy::MappedRam => Ok(None),
        }
    }

    /// How the machine that loads it begins.
    ///
    /// # Errors
    /// When the file that QEMU loads cannot be read.
    pub(crate) fn begin(&self) -> Result<Begin, FileError> {
        saving::begin(self.strategy, self.files.of_qemu(self.strategy))
    }

    /// Loads it. The machine is stopped then.
    ///
    /// # Errors
    /// When QEMU refuses or `limit` passes. A state that does not fit ends QEMU, so race this against its end.
    pub(crate) async fn load(&self, qmp: &Qmp, limit: Duration) -> Result<(), QmpError> {
        qmp.load(self.strategy, self.files.of_qemu(self.strategy), limit).await
    }
}
