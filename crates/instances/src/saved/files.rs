//! The files with the memory and the devices of a machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::files::FileError;
use vm::saving::Strategy;

use super::frozen::{Frozen, Proof};

/// The files of a saved state. Which of them there are depends on the [`Strategy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateFiles {
    /// [`Strategy::Template`]: the memory.
    pub(crate) memory: PathBuf,
    /// [`Strategy::Template`]: the devices.
    pub(crate) devices: PathBuf,
    /// [`Strategy::MappedRam`]: memory and devices, as QEMU writes and reads them.
    pub(crate) savevm: PathBuf,
    /// [`Strategy::MappedRam`]: the same, compressed for keeping; none where it is not worth the time.
    pub(crate) packed: Option<PathBuf>,
}

impl StateFiles {
    /// The file that QEMU writes and loads.
    pub(super) fn of_qemu(&self, strategy: Strategy) -> &Path {
        match strategy {
            Strategy::Template => &self.devices,
            Strategy::MappedRam => &self.savevm,
        }
    }

    /// Every file that there may be.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Path> {
        let always = [&self.memory, &self.devices, &self.savevm];
        always.into_iter().chain(&self.packed).map(PathBuf::as_path)
    }

    /// Makes the files that are kept read-only, and records their identities. `memory` is what identifies a copy of the memory, which takes
    /// long to read.
    ///
    /// # Errors
    /// When one cannot be read or changed.
    pub(crate) fn freeze(
        &self,
        strategy: Strategy,
        memory: Proof,
    ) -> Result<BTreeMap<String, Frozen>, FileError> {
        let kept = match (strategy, &self.packed) {
            (Strategy::Template, _) => vec![(&self.memory, memory), (&self.devices, Proof::Content)],
            (Strategy::MappedRam, Some(packed)) => vec![(packed, Proof::Content)],
            (Strategy::MappedRam, None) => vec![(&self.savevm, memory)],
        };
        Frozen::freeze_all(kept.into_iter().map(|(path, proof)| (path.clone(), proof)))
    }
}
