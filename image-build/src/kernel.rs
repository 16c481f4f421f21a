//! The boot files of a base: its kernel, its own initial RAM file system, and the fast one that is built here.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use base::files::FileError;
use vm::machine::DirectBoot;

use crate::ext4::{ReadError, Reader};
use crate::initrd;
use crate::modules::{self, Module, ModuleError};
use crate::source::Source;

/// Where the distribution keeps kernels.
const DIR: &str = "/boot";

/// Start of a kernel's file name; its release follows.
const KERNEL: &str = "vmlinuz-";

/// Why a base cannot be booted.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A file is not in it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A module of the fast initial RAM file system is not in it.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// A file cannot be written or read on the host.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A kernel with its modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The kernel itself.
    pub image: Vec<u8>,
    release: String,
    modules: Vec<Module>,
}

impl Kernel {
    /// Reads the newest kernel of the root file system `root`, with the modules that `source` names.
    ///
    /// # Errors
    /// When there is none, or a module is missing.
    pub fn read(root: &Reader, source: &Source) -> Result<Self, KernelError> {
        let path = root.last(DIR, KERNEL)?;
        let release = path.rsplit_once(KERNEL).map_or("", |(_, release)| release);
        Ok(Self {
            image: root.read(&path)?,
            modules: modules::load(root, release, &source.initrd_modules)?,
            release: release.to_owned(),
        })
    }

    /// Reads the distribution's initial RAM file system for it, which knows other hypervisors' disks.
    ///
    /// # Errors
    /// When there is none.
    pub fn generic_initrd(&self, root: &Reader) -> Result<Vec<u8>, KernelError> {
        Ok(root.read(&root.last(DIR, &format!("initrd.img-{}", self.release))?)?)
    }

    /// Writes kernel and fast initial RAM file system into `dir`; returns how to boot with them.
    ///
    /// # Errors
    /// When the guest's program cannot be read, or a file cannot be written.
    pub fn write(&self, dir: &Path, stackd: &Path, cmdline: &str) -> Result<DirectBoot, KernelError> {
        let boot = DirectBoot {
            kernel: dir.join("vmlinuz"),
            initrd: dir.join("initrd"),
            cmdline: cmdline.to_owned(),
        };
        fs::write(&boot.kernel, &self.image).map_err(FileError::of("write", &boot.kernel))?;
        let init = fs::read(stackd).map_err(FileError::of("read", stackd))?;
        let file = File::create(&boot.initrd).map_err(FileError::of("create", &boot.initrd))?;
        initrd::write(&init, &self.modules, BufWriter::new(file))
            .and_then(|writer| writer.into_inner().map_err(std::io::Error::from))
            .map_err(FileError::of("write", &boot.initrd))?;
        Ok(boot)
    }
}

#[cfg(test)]
mod tests {
    use image::arch::Arch;

    use super::*;

    #[tokio::test]
    async fn the_newest_kernel_is_taken_with_its_own_initrd() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root");
        let files: &[(&str, &[u8])] = &[
            ("boot/vmlinuz-6.1-cloud", b"old kernel"),
            ("boot/initrd.img-6.1-cloud", b"old initrd"),
            ("boot/vmlinuz-6.2-cloud", b"kernel"),
            ("boot/initrd.img-6.2-cloud", b"initrd"),
            ("usr/lib/modules/6.2-cloud/modules.dep", b"kernel/virtio_blk.ko:\n"),
            ("usr/lib/modules/6.2-cloud/modules.builtin", b""),
            ("usr/lib/modules/6.2-cloud/kernel/virtio_blk.ko", b"module"),
        ];
        crate::ext4::tests::file_system(&path, 0, files).await;
        let root = Reader::open(&path, 0).unwrap();
        let stackd = dir.path().join("stackd");
        fs::write(&stackd, "program").unwrap();

        let kernel = Kernel::read(&root, &source(&["virtio_blk"])).unwrap();
        assert_eq!(kernel.generic_initrd(&root).unwrap(), b"initrd");
        let boot = kernel.write(dir.path(), &stackd, "quiet").unwrap();
        assert_eq!(fs::read(&boot.kernel).unwrap(), b"kernel");
        let archive = fs::read(&boot.initrd).unwrap();
        assert!(archive.starts_with(b"070701"), "an initrd is a cpio archive");
        assert!(archive.windows(7).any(|window| window == b"program"));
    }

    fn source(modules: &[&str]) -> Source {
        let dir = crate::source::tests::directories();
        fs::write(dir.path().join("base/initrd-modules"), modules.join("\n")).unwrap();
        crate::source::tests::open(&dir, Arch::Amd64).unwrap()
    }
}
