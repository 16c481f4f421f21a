//! Where an image and its boot files are written.

use std::path::{Path, PathBuf};

use base::files::FileError;
use image::arch::Arch;
use tempfile::TempDir;
use vm::home::Home;

/// Where the image and its boot files are written.
pub(crate) struct Place {
    /// The directory.
    pub(crate) dir: PathBuf,
    /// The image itself.
    pub(crate) image: PathBuf,
    /// What is read out of it.
    pub(crate) boot_files: PathBuf,
    /// The lock of the build that creates it.
    pub(crate) lock: PathBuf,
    /// Start of the names of working directories.
    pub(crate) work_prefix: String,
}

impl Place {
    /// The place in `output`, or in the home's own directory, for the stack of `home`.
    pub(crate) fn of(home: &Home, arch: Arch, output: Option<&Path>) -> Self {
        let (image, boot_files) = (home.image(arch), home.boot_files(arch));
        let dir = output.map_or_else(|| home.images(), Path::to_owned);
        let within = |path: &Path| dir.join(path.file_name().unwrap_or_default());
        Self {
            image: within(&image),
            boot_files: within(&boot_files),
            lock: dir.join(format!(".build-{arch}.lock")),
            work_prefix: format!(".build-{arch}-"),
            dir,
        }
    }

    /// Creates a working directory, which goes away with the value.
    pub(crate) fn work_dir(&self) -> Result<TempDir, FileError> {
        let mut builder = tempfile::Builder::new();
        let dir = builder.prefix(&self.work_prefix).tempdir_in(&self.dir);
        dir.map_err(FileError::of("create a directory in", &self.dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_directory_takes_the_same_names() {
        let home = Home::new("/home");
        let own = Place::of(&home, Arch::Amd64, None);
        assert_eq!((own.image, own.boot_files), (home.image(Arch::Amd64), home.boot_files(Arch::Amd64)));
        let other = Place::of(&home, Arch::Amd64, Some(Path::new("/srv")));
        assert_eq!(other.image, Path::new("/srv/stack-emulator-amd64.qcow2"));
        assert_eq!(other.boot_files, Path::new("/srv/stack-emulator-amd64.boot"));
        let shop = Place::of(&home.for_stack("shop"), Arch::Amd64, Some(Path::new("/srv")));
        assert_eq!(shop.image, Path::new("/srv/shop-amd64.qcow2"));
        assert_eq!(shop.lock, other.lock, "builds of two stacks wait for each other");
    }
}
