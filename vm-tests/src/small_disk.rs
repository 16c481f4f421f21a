//! A file system that is soon full.

use std::ffi::CStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base::process::Cmd;
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

    /// Mounts an ext4 of `size` (`mke2fs(8)`) at the directory `at`, with its data in the new file `image`. Unlike a tmpfs, it takes no
    /// room for what is only read: a saved memory is mapped, and a hole of it that a full tmpfs cannot fill is the end of QEMU.
    ///
    /// # Panics
    /// When this user may not.
    pub async fn ext4(at: &Path, image: &Path, size: &str) -> Self {
        let run =
            async |command: Cmd| command.output().await.expect("the test may make and mount a file system");
        let make = Cmd::new("mke2fs").args(["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0"]);
        run(make.arg(image).arg(size)).await;
        run(Cmd::new("mount").args(["-o", "loop"]).arg(image).arg(at)).await;
        let it = Self(at.to_owned());
        std::fs::remove_dir(at.join("lost+found")).expect("a new file system is writable");
        std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o700)).expect("it is this user's");
        it
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
