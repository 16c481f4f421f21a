//! Warm snapshots: memory, device state and the disk of a machine that was stopped at one point, kept together and never
//! changed.
//!
//! `docs/snapshots.md` has the files, the contract and the measurements.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub mod capture;
pub mod error;
pub mod fingerprint;
mod host_cpu;
pub mod manifest;
mod savevm;
pub mod store;

pub use fingerprint::Fingerprint;
use manifest::SnapshotManifest;

use crate::qemu::Capabilities;

/// How the memory and the devices of a machine are kept and brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Memory as a file that the new machine maps privately; devices in a file of their own.
    Template,
    /// Both in one file of QEMU's, which QEMU reads with several threads.
    MappedRam,
}

impl Strategy {
    /// All of them, the better first.
    pub const ALL: [Self; 2] = [Self::Template, Self::MappedRam];

    /// The name that people type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::MappedRam => "mapped-ram",
        }
    }

    /// Whether a QEMU with these capabilities and this host can do it.
    pub fn is_possible(self, capabilities: &Capabilities) -> bool {
        let migrates = |name: &str| capabilities.migration.iter().any(|known| known == name);
        match self {
            Self::Template => {
                // QEMU 8.2: memory that can be written in front of a file that cannot.
                let maps = capabilities.memory_backend_file.iter().any(|property| property == "rom");
                crate::memory::can_share() && maps
            }
            Self::MappedRam => migrates("mapped-ram") && migrates("multifd"),
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown strategy `{0}`: it is `template` or `mapped-ram`")]
pub struct UnknownStrategy(String);

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|strategy| strategy.as_str() == text)
            .ok_or_else(|| UnknownStrategy(text.to_owned()))
    }
}

/// A whole snapshot on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    dir: SnapshotDir,
    /// What is known about it.
    pub manifest: SnapshotManifest,
}

impl Snapshot {
    /// Its name: that of its directory.
    pub fn name(&self) -> String {
        self.dir.root().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What QEMU loads of a [`Strategy::MappedRam`] snapshot, unpacked if need be.
    ///
    /// # Errors
    /// When it cannot be unpacked.
    pub(crate) fn savevm(&self) -> Result<PathBuf, host::files::FileError> {
        savevm::unpacked(&self.dir, self.manifest.fingerprint.topology.arch)
    }

    /// Its files.
    pub fn dir(&self) -> &SnapshotDir {
        &self.dir
    }
}

/// The files of a snapshot. `docs/home.md` documents every name in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotDir(PathBuf);

impl SnapshotDir {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// What is known about the snapshot. Written last.
    pub fn manifest(&self) -> PathBuf {
        self.0.join("snapshot.json")
    }

    /// Which files are copies whose content has been proved, by their stamps.
    pub fn copies(&self) -> PathBuf {
        self.0.join("copies.json")
    }

    /// There once the snapshot must not be resumed any more; says why.
    pub fn retired(&self) -> PathBuf {
        self.0.join("retired")
    }

    /// The frozen disk: a qcow2 on top of the image, below the overlays of the instances that were resumed from it.
    pub fn disk(&self) -> PathBuf {
        self.0.join("disk.qcow2")
    }

    /// An empty overlay on that disk. A new session's is a copy of it, which takes no program to make.
    pub fn overlay(&self) -> PathBuf {
        self.0.join("overlay.qcow2")
    }

    /// The volume with settings that the captured guest has mounted.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.img")
    }

    /// [`Strategy::Template`]: the memory.
    pub fn memory(&self) -> PathBuf {
        self.0.join("memory")
    }

    /// [`Strategy::Template`]: the devices.
    pub fn devices(&self) -> PathBuf {
        self.0.join("devices")
    }

    /// [`Strategy::MappedRam`]: memory and devices, compressed.
    pub fn savevm_zst(&self, arch: release::arch::Arch) -> PathBuf {
        self.0.join(format!("stack-emulator-{arch}.savevm.zst"))
    }

    /// [`Strategy::MappedRam`]: the same as QEMU reads it; made again from the compressed one when it is missing.
    pub fn savevm_raw(&self, arch: release::arch::Arch) -> PathBuf {
        self.0.join(format!("stack-emulator-{arch}.savevm.raw"))
    }

    /// Logs of the capture.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The capturing QEMU, while there is one.
    pub(crate) fn process(&self) -> PathBuf {
        self.0.join("process.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_read_by_the_names_that_they_are_shown_by() {
        for strategy in Strategy::ALL {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
        }
        let error = "savevm".parse::<Strategy>().unwrap_err().to_string();
        assert_eq!(error, "unknown strategy `savevm`: it is `template` or `mapped-ram`");
    }
}
