//! A file system that is soon full.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A small file system, until it is dropped. Mounting takes root, as which containers and CI run.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one at the directory `at`, with `options` such as `size=64m` (`tmpfs(5)`).
    ///
    /// # Panics
    /// When this user may not.
    pub fn mount(at: &Path, options: &CStr) -> Self {
        mount("tmpfs", at, "tmpfs", MountFlags::NODEV, options).expect("the test may mount a file system");
        Self(at.to_owned())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}
