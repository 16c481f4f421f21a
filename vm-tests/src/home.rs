//! A home directory for one test.

use std::os::unix::fs::symlink;
use std::path::Path;

use release::arch::Arch;
use release::manifest::Manifest;
use tempfile::TempDir;
use vm::home::Home;

use crate::{SOURCE_HOME_VARIABLE, path_from_env};

/// An emulator home that borrows the image, its boot files and QEMU from the home under test.
#[derive(Debug)]
pub struct TestHome {
    dir: TempDir,
    home: Home,
    arch: Arch,
}

impl TestHome {
    /// A home with the image for `arch`.
    ///
    /// # Panics
    /// When the home under test has no such image.
    pub fn new(arch: Arch) -> Self {
        let source = Home::new(path_from_env(SOURCE_HOME_VARIABLE));
        let image = source.image(arch);
        assert!(
            image.is_file(),
            "there is no image at {}: run `cargo xtask build-image {arch}`",
            image.display()
        );
        let dir =
            tempfile::Builder::new().prefix("vm-test-").tempdir().expect("temporary directories can be made");
        let home = Home::new(dir.path());
        std::fs::create_dir(home.images()).expect("the new home is writable");
        link(&image, &home.image(arch));
        link(&source.boot_files(arch), &home.boot_files(arch));
        link(&source.qemu(), &home.qemu());
        Self { dir, home, arch }
    }

    /// Forgets what the home under test knows about QEMU and this host, so that it has to be found out again.
    ///
    /// # Panics
    /// When the home cannot be changed.
    #[must_use]
    pub fn without_verdicts(self) -> Self {
        let shared = std::fs::read_link(self.home.qemu()).expect("`qemu` is a link");
        std::fs::remove_file(self.home.qemu()).expect("the home is writable");
        std::fs::create_dir(self.home.qemu()).expect("the home is writable");
        let current = shared.join("current");
        if current.exists() {
            link(&current, &self.home.qemu().join("current"));
        }
        self
    }

    /// The home.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The manifest of the image.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn manifest(&self) -> Manifest {
        let path = self.home.boot_files(self.arch).join("manifest.json");
        Manifest::parse(&std::fs::read(path).expect("the boot files are there"))
            .expect("the manifest is valid")
    }

    /// A path for a file of the test's own.
    pub fn scratch(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }
}

fn link(from: &Path, to: &Path) {
    symlink(from, to)
        .unwrap_or_else(|error| panic!("cannot link {} to {}: {error}", to.display(), from.display()));
}
