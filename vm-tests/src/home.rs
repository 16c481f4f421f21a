//! A home directory for one test.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use base::process::Cmd;
use image::arch::Arch;
use image::manifest::Manifest;
use instances::home::HomeExt;
use tempfile::TempDir;
use vm::home::Home;

use crate::{SOURCE_HOME_VARIABLE, path_from_env};

/// What the program's unfinished files and directories are called.
const HALF_MADE: [&str; 3] = [".capture-", ".tmp-", ".savevm-"];

/// The file of the manifest among the boot files.
const MANIFEST: &str = "manifest.json";

/// An emulator home that borrows the image, its boot files, QEMU and snapshots from the home under test.
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
        let dir =
            tempfile::Builder::new().prefix("vm-test-").tempdir().expect("temporary directories can be made");
        let home = Home::new(dir.path());
        std::fs::create_dir(home.images()).expect("the new home is writable");
        link(&source.qemu(), &home.qemu());
        // A snapshot takes a boot, and holds nothing of the session that it was made for: the first test makes it for all.
        std::fs::create_dir_all(source.snapshots()).expect("the home under test is writable");
        link(&source.snapshots(), &home.snapshots());
        let home = Self { dir, home, arch };
        home.add_image(arch);
        home
    }

    /// Borrows one more image.
    ///
    /// # Panics
    /// When the home under test does not have it.
    pub fn add_image(&self, arch: Arch) {
        let source = Home::new(path_from_env(SOURCE_HOME_VARIABLE));
        let image = source.image(arch);
        assert!(
            image.is_file(),
            "there is no image at {}: run `cargo xtask build-image {arch}`",
            image.display()
        );
        link(&image, &self.home.image(arch));
        link(&source.boot_files(arch), &self.home.boot_files(arch));
    }

    /// Borrows the image and the snapshots again, if a test has taken them away.
    ///
    /// # Panics
    /// When the home cannot be changed.
    pub fn put_back(&self) {
        let source = Home::new(path_from_env(SOURCE_HOME_VARIABLE));
        let borrowed = [
            (source.image(self.arch), self.home.image(self.arch)),
            (source.snapshots(), self.home.snapshots()),
        ];
        for (from, to) in borrowed {
            if to.symlink_metadata().is_err() {
                link(&from, &to);
            }
        }
    }

    /// The architecture that it was made for.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// Has snapshots of its own, which are none yet.
    ///
    /// # Panics
    /// When the home cannot be changed.
    #[must_use]
    pub fn without_snapshots(self) -> Self {
        std::fs::remove_file(self.home.snapshots()).expect("the home is writable");
        std::fs::create_dir(self.home.snapshots()).expect("the home is writable");
        self
    }

    /// Has no image, and so no snapshot either.
    ///
    /// # Panics
    /// When the home cannot be changed.
    #[must_use]
    pub fn without_image(self) -> Self {
        let it = self.without_snapshots();
        for link in [it.home.image(it.arch), it.home.boot_files(it.arch)] {
            std::fs::remove_file(link).expect("the home is writable");
        }
        it
    }

    /// Has instances of another stack, whose image the test puts there.
    #[must_use]
    pub fn for_stack(self, stack: &str) -> Self {
        Self { home: self.home.clone().for_stack(stack), ..self }
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
        let path = self.home.boot_files(self.arch).join(MANIFEST);
        Manifest::parse(&std::fs::read(path).expect("the boot files are there"))
            .expect("the manifest is valid")
    }

    /// Gives the image another manifest, as far as this home is concerned.
    ///
    /// # Panics
    /// When the home cannot be changed.
    pub fn change_manifest(&self, change: impl FnOnce(&mut Manifest)) {
        let mut manifest = self.manifest();
        change(&mut manifest);
        let dir = self.home.boot_files(self.arch);
        let shared = std::fs::read_link(&dir).expect("the boot files are a link");
        std::fs::remove_file(&dir).expect("the home is writable");
        std::fs::create_dir(&dir).expect("the home is writable");
        for name in names_in(&shared).iter().filter(|name| *name != MANIFEST) {
            link(&shared.join(name), &dir.join(name));
        }
        std::fs::write(dir.join(MANIFEST), manifest.to_json()).expect("the home is writable");
    }

    /// Replaces what is borrowed by copies of it, which may be given to another user.
    ///
    /// # Panics
    /// When there is no room for them.
    pub async fn copy_borrowed(&self) {
        let (image, boot) = (self.home.image(self.arch), self.home.boot_files(self.arch));
        for borrowed in [image, boot, self.home.qemu(), self.home.snapshots()] {
            let source = std::fs::read_link(&borrowed).expect("it is a link");
            std::fs::remove_file(&borrowed).expect("the home is writable");
            let copy = Cmd::new("cp").args(["-a", "--sparse=always"]).arg(source).arg(borrowed);
            copy.output().await.expect("there is room for a copy");
        }
    }

    /// A path for a file of the test's own.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A program of the QEMU under test, or the host's.
    pub fn tool(&self, name: &str) -> PathBuf {
        let own = self.home.qemu_current().join("bin").join(name);
        if own.is_file() { own } else { PathBuf::from(name) }
    }

    /// Names of the finished snapshots, the oldest first.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub fn snapshots(&self) -> Vec<String> {
        let mut names = names_in(&self.home.snapshots());
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    /// Asserts that nothing incomplete is left.
    ///
    /// # Panics
    /// When something does.
    pub fn assert_nothing_half_made(&self) {
        let left = self.half_made();
        assert!(left.is_empty(), "left: {left:?}");
    }

    /// Paths of what lies about half-made.
    ///
    /// # Panics
    /// When the home cannot be read.
    pub(crate) fn half_made(&self) -> Vec<String> {
        let instances = self.home.instances();
        let instances = names_in(&instances).into_iter().map(|name| instances.join(name));
        let dirs = instances.filter(|path| path.is_dir()).chain([self.home.snapshots()]);
        let unfinished = |name: &String| HALF_MADE.iter().any(|prefix| name.starts_with(prefix));
        let left = |dir: PathBuf| {
            let names = names_in(&dir).into_iter().filter(unfinished);
            names.map(|name| dir.join(name).display().to_string()).collect::<Vec<_>>()
        };
        dirs.flat_map(left).collect()
    }
}

/// Names of the entries of `dir`, which need not exist.
fn names_in(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let name =
        |entry: std::io::Result<std::fs::DirEntry>| entry.expect("the directory can be read").file_name();
    entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect()
}

fn link(from: &Path, to: &Path) {
    symlink(from, to)
        .unwrap_or_else(|error| panic!("cannot link {} to {}: {error}", to.display(), from.display()));
}
