//! The emulator's home directory, and what any program that runs a machine keeps in it: images and QEMU. `docs/home.md` documents
//! every name in this module.

use std::path::{Path, PathBuf};

use base::digest::Sha256;
use base::variables;
use image::arch::Arch;

use crate::error::{Class, Explain};
use crate::utf8::{self, NotUtf8};

/// Hexadecimal digits of a program's SHA-256 in the name of what is known about it.
const NAME_DIGITS: usize = 16;

/// Environment variable that names the home directory.
pub const HOME_VARIABLE: &str = "STACK_EMULATOR_HOME";

/// Default home directory under the user's own.
const DEFAULT: [&str; 2] = [".stack", "emulator"];

/// Why there is no home.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nothing names a place, though there is this variable.
    #[error("there is no home directory: neither `{HOME_VARIABLE}` nor `HOME` is set{}", to_anything(*.0))]
    Nowhere(Option<&'static str>),
    /// The working directory, which the path is relative to; it cannot be determined.
    #[error("`{HOME_VARIABLE}` is relative to a working directory that cannot be found")]
    Relative(#[source] std::io::Error),
    /// Nothing can be made in it.
    #[error("the home `{}`, which `{named_by}` leads to, cannot be written to: `{}`", path.display(), nearest.display())]
    Closed {
        /// The home.
        path: PathBuf,
        /// The variable that names it.
        named_by: &'static str,
        /// It, or the nearest directory above that there is.
        nearest: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// Its path is not valid UTF-8.
    #[error(transparent)]
    NotUtf8(#[from] NotUtf8),
}

impl Explain for HomeError {
    fn class(&self) -> Class {
        match self {
            Self::NotUtf8(source) => source.class(),
            Self::Nowhere(_) | Self::Relative(_) | Self::Closed { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Nowhere(_) => Some(format!("set `{HOME_VARIABLE}` to a directory")),
            Self::Relative(_) => Some(format!("set `{HOME_VARIABLE}` to an absolute path")),
            Self::Closed { .. } => {
                Some(format!("set `{HOME_VARIABLE}` to a directory that you can write to"))
            }
            Self::NotUtf8(source) => source.hint(),
        }
    }
}

fn nowhere() -> HomeError {
    HomeError::Nowhere(["HOME", HOME_VARIABLE].into_iter().find(|name| variables::is_set_to_nothing(name)))
}

/// How `variable`, which is there, names no place.
fn to_anything(variable: Option<&str>) -> String {
    variable.map(|name| format!(" to anything; `{name}` is set to nothing")).unwrap_or_default()
}

pub use image::stack::DEFAULT_STACK;

/// Everything that the emulator keeps between runs, for one stack: each has images of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
    stack: String,
}

impl Home {
    /// The home at `root`, which need not exist yet, for the default stack.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), stack: DEFAULT_STACK.to_owned() }
    }

    /// The same for another stack, whose name is valid as a name of a file.
    #[must_use]
    pub fn for_stack(self, stack: impl Into<String>) -> Self {
        Self { stack: stack.into(), ..self }
    }

    /// The stack whose images are meant.
    pub fn stack(&self) -> &str {
        &self.stack
    }

    /// The home that the environment names: `$STACK_EMULATOR_HOME`, else `~/.stack/emulator`.
    ///
    /// # Errors
    /// When there is no home directory either, or its path is not valid UTF-8.
    pub fn from_env() -> Result<Self, HomeError> {
        let named = variables::path(HOME_VARIABLE);
        let (named_by, root) = if let Some(root) = named {
            (HOME_VARIABLE, std::path::absolute(root).map_err(HomeError::Relative)?)
        } else {
            let user = variables::home_dir().ok_or_else(nowhere)?;
            ("HOME", DEFAULT.iter().fold(user, |dir, part| dir.join(part)))
        };
        utf8::check(named_by, &root)?;
        Ok(Self::new(root))
    }

    /// Verifies that files can be created in it, by making one that is gone at once: in it, or where it would be made.
    ///
    /// # Errors
    /// When that fails.
    pub fn check_writable(&self) -> Result<(), HomeError> {
        let nearest = self.root.ancestors().find(|dir| dir.exists()).unwrap_or(&self.root);
        tempfile::tempfile_in(nearest).map(drop).map_err(|source| HomeError::Closed {
            path: self.root.clone(),
            named_by: if variables::raw(HOME_VARIABLE).is_some() { HOME_VARIABLE } else { "HOME" },
            nearest: nearest.to_owned(),
            source,
        })
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Images, and beside each its boot files.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// The image for `arch`.
    pub fn image(&self, arch: Arch) -> PathBuf {
        self.images().join(arch.image_file_of(&self.stack))
    }

    /// What was read out of the image for `arch`: manifest, kernel, initrd, and the image that they belong to.
    pub fn boot_files(&self, arch: Arch) -> PathBuf {
        self.images().join(format!("{}-{arch}.boot", self.stack))
    }

    /// QEMU builds, one prefix each, and what is known about them.
    pub fn qemu(&self) -> PathBuf {
        self.root.join("qemu")
    }

    /// Link to the prefix of the QEMU that is used.
    pub fn qemu_current(&self) -> PathBuf {
        self.qemu().join("current")
    }

    /// SHA-256 of every QEMU program that was used, by its path, and the file's stamp that it holds for.
    pub fn qemu_digests(&self) -> PathBuf {
        self.qemu().join("digests.json")
    }

    /// What the QEMU program with this SHA-256 can do.
    pub fn qemu_capabilities(&self, sha256: Sha256) -> PathBuf {
        self.qemu().join(format!("capabilities-{}.json", sha256.first_digits(NAME_DIGITS)))
    }

    /// Which accelerators were found to work, or not to, by host kernel, QEMU and CPU model.
    pub fn accelerators(&self) -> PathBuf {
        self.qemu().join("accelerators.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_set_to_nothing_is_reported_as_that() {
        assert_eq!(
            HomeError::Nowhere(Some("HOME")).to_string(),
            "there is no home directory: neither `STACK_EMULATOR_HOME` nor `HOME` is set to anything; `HOME` is set to nothing"
        );
        assert!(HomeError::Nowhere(None).to_string().ends_with("nor `HOME` is set"));
    }

    #[test]
    fn every_path_is_inside_the_home() {
        let home = Home::new("/h");
        assert_eq!(home.image(Arch::Amd64), Path::new("/h/images/stack-emulator-amd64.qcow2"));
        assert_eq!(home.boot_files(Arch::Arm64), Path::new("/h/images/stack-emulator-arm64.boot"));
        let home = home.for_stack("shop");
        assert_eq!(home.image(Arch::Amd64), Path::new("/h/images/shop-amd64.qcow2"));
        assert_eq!(home.boot_files(Arch::Arm64), Path::new("/h/images/shop-arm64.boot"));
    }
}
