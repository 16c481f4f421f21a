//! Warm snapshots: memory, device state and the disk of a machine that was stopped at one point, kept together and never
//! changed.
//!
//! `docs/snapshots.md` has the files, the contract and the measurements.

use std::path::{Path, PathBuf};

use vm::home::Home;

pub mod capture;
pub mod error;
pub mod manifest;
pub mod store;

use crate::home::HomeExt;
use crate::saved::SavedState;
use crate::saved::files::StateFiles;
use crate::saved::load::Loadable;
use manifest::SnapshotManifest;

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

    /// Its saved state, ready to be loaded.
    ///
    /// # Errors
    /// When it cannot be unpacked.
    pub(crate) fn loadable(&self) -> Result<Loadable, base::files::FileError> {
        let SavedState { strategy, fingerprint, .. } = &self.manifest.state;
        Loadable::prepare(*strategy, self.dir.state_files(fingerprint.topology.arch))
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
    /// The directory of the snapshot of `home` that is called `name`.
    pub fn of(home: &Home, name: &str) -> Self {
        Self::new(home.snapshots().join(name))
    }

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

    /// Which files are copies whose content has been verified, by their stamps.
    pub fn copies(&self) -> PathBuf {
        self.0.join("copies.json")
    }

    /// Exists once the snapshot must not be resumed any more; contains the reason.
    pub fn retired(&self) -> PathBuf {
        self.0.join("retired")
    }

    /// The frozen disk: a qcow2 on top of the image, below the overlays of the instances that were resumed from it.
    pub fn disk(&self) -> PathBuf {
        self.0.join("disk.qcow2")
    }

    /// An empty overlay on that disk. A new session's is a copy of it, which is created without a program.
    pub fn overlay(&self) -> PathBuf {
        self.0.join("overlay.qcow2")
    }

    /// The volume with settings that the captured guest has mounted.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.img")
    }

    /// [`Strategy::Template`](vm::saving::Strategy::Template): the memory.
    pub fn memory(&self) -> PathBuf {
        self.0.join("memory")
    }

    /// [`Strategy::Template`](vm::saving::Strategy::Template): the devices.
    pub fn devices(&self) -> PathBuf {
        self.0.join("devices")
    }

    /// [`Strategy::MappedRam`](vm::saving::Strategy::MappedRam): memory and devices, compressed.
    pub fn savevm_zst(&self, arch: image::arch::Arch) -> PathBuf {
        self.0.join(format!("stack-emulator-{arch}.savevm.zst"))
    }

    /// [`Strategy::MappedRam`](vm::saving::Strategy::MappedRam): the same as QEMU reads it; created again from the compressed one when it is missing.
    pub fn savevm_raw(&self, arch: image::arch::Arch) -> PathBuf {
        self.0.join(format!("stack-emulator-{arch}.savevm.raw"))
    }

    /// The files of its saved state.
    pub(crate) fn state_files(&self, arch: image::arch::Arch) -> StateFiles {
        StateFiles {
            memory: self.memory(),
            devices: self.devices(),
            savevm: self.savevm_raw(arch),
            packed: Some(self.savevm_zst(arch)),
        }
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
