//! The files of one instance. `docs/home.md` documents every name in this module.

use std::path::{Path, PathBuf};

use vm::home::Home;

use crate::home::HomeExt;
use crate::name::InstanceName;
use crate::saved::files::StateFiles;
use crate::snapshot::SnapshotDir;

/// What [`InstanceDir::deleted`] begins with, before the name.
pub(crate) const DELETED: &str = ".deleted-";

/// The directory of one instance, which need not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceDir {
    home: Home,
    root: PathBuf,
    lock: PathBuf,
    deleted: PathBuf,
}

impl InstanceDir {
    /// The directory of `name` in `home`.
    pub fn new(home: &Home, name: &InstanceName) -> Self {
        let root = home.instances().join(name.as_str());
        let lock = home.instances().join(format!(".{name}.lock"));
        let deleted = home.instances().join(format!("{DELETED}{name}"));
        Self { home: home.clone(), root, lock, deleted }
    }

    /// The home that it is in.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Held by the command that changes the instance. Outside of the directory, so that a command that creates or removes that
    /// holds it too; no name starts with a dot, so it is never taken for an instance.
    pub fn lock(&self) -> &Path {
        &self.lock
    }

    /// The name of a deleted instance's directory until it is removed. Changed by the holder of the lock only.
    pub fn deleted(&self) -> &Path {
        &self.deleted
    }

    /// The snapshot called `name` of the same home.
    pub fn snapshot(&self, name: &str) -> SnapshotDir {
        SnapshotDir::of(&self.home, name)
    }

    /// The durable record.
    pub fn record(&self) -> PathBuf {
        self.root.join("instance.json")
    }

    /// The live record: there from just before QEMU starts until it is known to have ended.
    pub fn live(&self) -> PathBuf {
        self.root.join("live.json")
    }

    /// The monitor's socket, where the file system supports sockets.
    pub fn monitor(&self) -> PathBuf {
        self.root.join(vm::runtime::QMP)
    }

    /// Everything that the guest has written: a qcow2 on top of the image.
    pub fn overlay(&self) -> PathBuf {
        self.root.join("overlay.qcow2")
    }

    /// The record of a suspension, with the conditions for a resume. Written last, and removed before the resume.
    pub fn suspension(&self) -> PathBuf {
        self.root.join("suspended.json")
    }

    /// The memory of a suspended machine that shared it.
    pub fn memory(&self) -> PathBuf {
        self.root.join("memory")
    }

    /// The devices of a suspended machine that shared its memory.
    pub fn devices(&self) -> PathBuf {
        self.root.join("devices")
    }

    /// Memory and devices of a suspended machine that did not.
    pub fn savevm(&self) -> PathBuf {
        self.root.join("savevm.raw")
    }

    /// The files of a suspended machine's saved state.
    pub(crate) fn state_files(&self) -> StateFiles {
        StateFiles { memory: self.memory(), devices: self.devices(), savevm: self.savevm(), packed: None }
    }

    /// The saved memory from which the running machine was resumed: unused, and about to be removed.
    pub fn spent(&self) -> PathBuf {
        self.root.join(".spent")
    }

    /// The STACKCFG volume, created again for every cold start.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.img")
    }

    /// What was read out of the image, where that is not the home's: see [`vm::boot_files`].
    pub fn boot_files(&self) -> PathBuf {
        self.root.join("image.boot")
    }

    /// Logs of the last two runs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Held by the attendant.
    pub fn watch_lock(&self) -> PathBuf {
        self.root.join(".watch.lock")
    }

    /// Held by the command that stops the machine, while QEMU may still run.
    pub fn stopping_lock(&self) -> PathBuf {
        self.root.join(".stopping.lock")
    }

    /// Shared by the runs that use the instance, and held by the command that finds out whether one does.
    pub fn runs_lock(&self) -> PathBuf {
        self.root.join(".runs.lock")
    }

    /// Shared by the runs that use the instance, and held by no one else but the attendant, once they have all ended.
    pub fn runs_ended_lock(&self) -> PathBuf {
        self.root.join(".runs-ended.lock")
    }

    /// Marks an instance that is deleted when no run uses it.
    pub fn fresh(&self) -> PathBuf {
        self.root.join(".fresh")
    }

    /// Messages of the attendant.
    pub fn watch_log(&self) -> PathBuf {
        self.logs().join("watch.log")
    }

    /// Logs of the last resume that failed.
    pub fn failed_resume(&self) -> PathBuf {
        self.root.join("failed-resume")
    }

    /// Logs of the last run whose QEMU crashed while it was being stopped.
    pub fn failed_stop(&self) -> PathBuf {
        self.root.join("failed-stop")
    }

    /// The guest's serial console.
    pub fn serial_log(&self) -> PathBuf {
        self.logs().join("serial.log")
    }

    /// Where what was in `log` before is kept.
    pub(crate) fn previous(log: &Path) -> PathBuf {
        let mut previous = log.to_owned().into_os_string();
        previous.push(".1");
        previous.into()
    }

    /// What QEMU wrote to its stdout and stderr.
    pub fn qemu_log(&self) -> PathBuf {
        self.logs().join("qemu.log")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_an_instance_is_in_its_directory_and_the_lock_beside_it() {
        let dir = InstanceDir::new(&Home::new("/h"), &InstanceName::default());
        assert_eq!(dir.overlay(), Path::new("/h/instances/default/overlay.qcow2"));
        assert_eq!(dir.serial_log(), Path::new("/h/instances/default/logs/serial.log"));
        assert_eq!(dir.lock(), Path::new("/h/instances/.default.lock"));
    }
}
