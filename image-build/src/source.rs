//! The directory that an image is described by, `cloud-init/` in this repository. `docs/image.md` lists its files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use image::arch::Arch;
use image::stack::{Stack, StackError};

/// Files of the `NoCloud` seed.
pub const SEED_FILES: [&str; 3] = ["user-data", "meta-data", "network-config"];

/// The list of packages.
const BASE_PACKAGES: &str = "base/packages";

/// The list of modules.
const INITRD_MODULES: &str = "base/initrd-modules";

/// The kernel command line.
const CMDLINE: &str = "cmdline";

/// What stands in a list for the architecture by Debian's name.
const ARCH: &str = "{arch}";

/// The hooks, below the directory of the base.
const HOOKS: &str = "hooks";

/// A directory with the description of an image.
#[derive(Debug, Clone)]
pub struct Source {
    dir: PathBuf,
    /// What the stack looks like from the outside.
    pub stack: Stack,
    /// Packages that the base consists of, besides the distribution's essential ones.
    pub packages: Vec<String>,
    /// Kernel modules of the fast initial RAM file system, without those that they depend on.
    pub initrd_modules: Vec<String>,
    /// Kernel command line.
    pub cmdline: String,
}

/// Why a directory does not describe an image.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or directory of it cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Its `stack.toml` is wrong.
    #[error("`{}` does not describe a stack", path.display())]
    Stack {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: StackError,
    },
}

impl Source {
    /// Reads the description in `dir` as it is for `arch`: what only one architecture has is in a file with its name, `cmdline.arm64`
    /// beside `cmdline`.
    ///
    /// # Errors
    /// When a file is missing or not valid.
    pub fn open(dir: &Path, arch: Arch) -> Result<Self, SourceError> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).map_err(|source| SourceError::Read { path, source })
        };
        let stack = Stack::parse(&read("stack.toml")?)
            .map_err(|source| SourceError::Stack { path: dir.join("stack.toml"), source })?;
        let packages = entries(&read(BASE_PACKAGES)?);
        let cmdlines = [read(CMDLINE)?, read(&format!("{CMDLINE}.{arch}"))?];
        Ok(Self {
            dir: dir.to_owned(),
            stack,
            packages: packages.iter().map(|name| name.replace(ARCH, arch.as_str())).collect(),
            initrd_modules: entries(&read(INITRD_MODULES)?),
            cmdline: cmdlines.iter().flat_map(|text| entries(text)).collect::<Vec<_>>().join(" "),
        })
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Everything that shapes the base: packages, dpkg's settings, hooks.
    pub fn base(&self) -> PathBuf {
        self.dir.join("base")
    }

    /// dpkg's settings, relative to [`Source::base`]: which paths are left out.
    pub const DPKG_CFG: &str = "dpkg.cfg";

    /// What in the directory of the base, besides the list of packages, decides about its content.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn base_inputs(&self) -> Result<Vec<PathBuf>, SourceError> {
        let mut inputs = list(&self.base())?;
        inputs
            .retain(|path| ![BASE_PACKAGES, INITRD_MODULES].iter().any(|name| self.dir.join(name) == *path));
        Ok(inputs)
    }

    /// The tree that is laid over the guest's root.
    pub fn bundle(&self) -> PathBuf {
        self.dir.join("bundle")
    }

    /// Programs that run in the new root after its packages are installed, in order; relative to [`Source::base`].
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn hooks(&self) -> Result<Vec<PathBuf>, SourceError> {
        let hooks = list(&self.base().join(HOOKS))?;
        Ok(hooks.iter().filter_map(|hook| Some(Path::new(HOOKS).join(hook.file_name()?))).collect())
    }

    /// What turns the distribution's cloud image into a base: a seed of its own and steps.
    pub fn cloud(&self) -> PathBuf {
        self.dir.join("cloud")
    }

    /// What every virtual machine does that makes a base.
    pub fn machine(&self) -> PathBuf {
        self.dir.join("machine")
    }

    /// What turns unpacked packages into a base: a program to boot into, and steps.
    pub fn second_stage(&self) -> PathBuf {
        self.dir.join("second-stage")
    }

    /// That program.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn second_stage_init(&self) -> Result<Vec<u8>, SourceError> {
        let path = self.second_stage().join("init");
        fs::read(&path).map_err(|source| SourceError::Read { path, source })
    }

    /// The files of the `NoCloud` seed by name.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn seed(&self) -> Result<Vec<(&'static str, Vec<u8>)>, SourceError> {
        seed(&self.dir)
    }

    /// The files of the `NoCloud` seed that turns the distribution's cloud image into a base.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn cloud_seed(&self) -> Result<Vec<(&'static str, Vec<u8>)>, SourceError> {
        seed(&self.cloud())
    }
}

fn seed(dir: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, SourceError> {
    let read = |name| {
        let path = dir.join(name);
        Ok((name, fs::read(&path).map_err(|source| SourceError::Read { path, source })?))
    };
    SEED_FILES.into_iter().map(read).collect()
}

/// Paths of everything in `dir`, sorted.
fn list(dir: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut paths: Vec<_> =
            fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        paths.sort();
        Ok(paths)
    };
    list().map_err(|source| SourceError::Read { path: dir.to_owned(), source })
}

/// The words of a list file: one or more a line, `#` begins a comment.
fn entries(text: &str) -> Vec<String> {
    text.lines()
        .flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_words_and_comments() {
        let text = "# kernel\nlinux-image  # the cloud flavour\n\npostgresql redis\n";
        assert_eq!(entries(text), ["linux-image", "postgresql", "redis"]);
    }

    #[test]
    fn a_description_is_read_for_one_architecture_and_only_what_changes_the_base_is_an_input_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        fs::create_dir_all(base.join("hooks")).unwrap();
        for file in ["dpkg.cfg", "hooks/20-last", "hooks/10-first"] {
            fs::write(base.join(file), "").unwrap();
        }
        fs::write(base.join("packages"), "linux-image-cloud-{arch}").unwrap();
        fs::write(base.join("initrd-modules"), "virtio_blk").unwrap();
        fs::write(dir.path().join("cmdline"), "quiet # words\nro").unwrap();
        fs::write(dir.path().join("cmdline.arm64"), "console=ttyAMA0").unwrap();
        fs::write(dir.path().join("stack.toml"), include_str!("../../cloud-init/stack.toml")).unwrap();
        let source = Source::open(dir.path(), Arch::Arm64).unwrap();
        assert_eq!(source.base_inputs().unwrap(), [base.join("dpkg.cfg"), base.join("hooks")]);
        assert_eq!(source.hooks().unwrap(), [Path::new("hooks/10-first"), Path::new("hooks/20-last")]);
        assert_eq!(source.cmdline, "quiet ro console=ttyAMA0");
        assert_eq!(source.packages, ["linux-image-cloud-arm64"]);
        assert_eq!(source.initrd_modules, ["virtio_blk"]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = Source::open(dir.path(), Arch::Amd64).unwrap_err().to_string();
        assert_eq!(error, format!("cannot read `{}/stack.toml`", dir.path().display()));
    }
}
