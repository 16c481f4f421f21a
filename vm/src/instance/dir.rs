//! The files of one instance. `docs/home.md` documents every name in this module.

use std::path::{Path, PathBuf};

use super::name::InstanceName;
use crate::home::Home;

/// The directory of one instance, which need not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceDir {
    root: PathBuf,
    lock: PathBuf,
}

impl InstanceDir {
    /// The directory of `name` in `home`.
    pub fn new(home: &Home, name: &InstanceName) -> Self {
        let root = home.instances().join(name.as_str());
        let lock = home.instances().join(format!(".{name}.lock"));
        Self { root, lock }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Held by the command that changes the instance. Outside of the directory, so that whoever creates or removes that
    /// holds it too; no name starts with a dot, so it is never taken for an instance.
    pub fn lock(&self) -> &Path {
        &self.lock
    }

    /// The durable record.
    pub fn record(&self) -> PathBuf {
        self.root.join("instance.json")
    }

    /// The live record: there from just before QEMU starts until it is known to have ended.
    pub fn live(&self) -> PathBuf {
        self.root.join("live.json")
    }

    /// Everything that the guest has written: a qcow2 on top of the image.
    pub fn overlay(&self) -> PathBuf {
        self.root.join("overlay.qcow2")
    }

    /// The STACKCFG volume, made anew for every start.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.img")
    }

    /// What was read out of the image, where that is not the home's: see [`crate::boot_files`].
    pub fn boot_files(&self) -> PathBuf {
        self.root.join("image.boot")
    }

    /// Logs of the last two runs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The guest's serial console.
    pub fn serial_log(&self) -> PathBuf {
        self.logs().join("serial.log")
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
