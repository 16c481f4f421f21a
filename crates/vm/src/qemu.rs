//! The QEMU of this host: where it is, which one it is, what it can do.

use std::path::{Path, PathBuf};

use base::digest::Sha256;
use base::files::FileError;
use base::process::Cmd;
use base::variables;
use image::arch::Arch;
use image::manifest::{MINIMUM_QEMU, Manifest};

use crate::disk::QemuImg;
use crate::error::{Class, Explain};
use crate::home::Home;
use crate::machine::{Board, HostFeatures, Machine, Memory, machine_family};
use crate::qmp::QmpError;
use crate::runtime::RuntimeDirError;
use crate::utf8::{self, NotUtf8};
use crate::version::{NoVersion, Version};

mod cache;
mod capabilities;

pub use cache::host_kernel;
pub use capabilities::Capabilities;

/// Environment variable that names the `qemu-img` to be used.
pub const IMG_VARIABLE: &str = "QEMU_IMG";

/// Environment variable that names the `qemu-system-…` to be used for `arch`.
pub const fn system_variable(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "QEMU_SYSTEM_X86_64",
        Arch::Arm64 => "QEMU_SYSTEM_AARCH64",
    }
}

/// Why there is no usable QEMU.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// The program is nowhere.
    #[error("`{program}` is neither in `{}` nor on `PATH`", prefix.display())]
    Missing {
        /// The program.
        program: String,
        /// Where the project's own build would be.
        prefix: PathBuf,
    },
    /// An environment variable names something that is not a program.
    #[error("`{variable}` names `{}`, which is not a file", path.display())]
    BadVariable {
        /// The variable.
        variable: &'static str,
        /// Its value.
        path: PathBuf,
    },
    /// The program does not answer questions.
    #[error("cannot ask `{}` what it can do", path.display())]
    Ask {
        /// The program.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: QmpError,
    },
    /// The program is too old.
    #[error("`{}` is QEMU {found}, but {minimum} is needed", path.display())]
    TooOld {
        /// The program.
        path: PathBuf,
        /// Its version.
        found: Version,
        /// What is needed.
        minimum: Version,
    },
    /// The program was built without the machines that are needed.
    #[error("`{}` has no versioned machine type `{family}-…`", path.display())]
    NoMachine {
        /// The program.
        path: PathBuf,
        /// The machine type without its version.
        family: &'static str,
    },
    /// The image does not say which version it needs.
    #[error("the image's manifest names no version of QEMU")]
    Requirement(#[from] NoVersion),
    /// What is known about QEMU cannot be kept.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its path is not valid UTF-8.
    #[error(transparent)]
    NotUtf8(#[from] NotUtf8),
    /// There is no place for its sockets.
    #[error(transparent)]
    Runtime(#[from] RuntimeDirError),
}

impl Explain for QemuError {
    fn class(&self) -> Class {
        match self {
            Self::File(_) => Class::Failed,
            Self::Requirement(_) => Class::VerificationFailed,
            Self::NotUtf8(source) => source.class(),
            _ => Class::HostUnsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::TooOld { minimum, .. } => Some(install(minimum)),
            Self::Missing { .. } | Self::NoMachine { .. } => Some(install(&MINIMUM_QEMU)),
            Self::BadVariable { variable, .. } => Some(format!("correct `{variable}`, or unset it")),
            Self::Ask { path, source } => source.hint().or_else(|| {
                let [amd64, arm64] = Arch::ALL.map(system_variable);
                Some(format!(
                    "see what `{} --version` says; `{amd64}` or `{arm64}` names another QEMU, by its guest's architecture",
                    path.display()
                ))
            }),
            Self::File(source) => source.hint(),
            Self::Requirement(_) => None,
            Self::Runtime(source) => source.hint(),
            Self::NotUtf8(source) => source.hint(),
        }
    }
}

/// How to come by a QEMU that is not older than `minimum`.
fn install(minimum: &dyn std::fmt::Display) -> String {
    format!(
        "install QEMU {minimum} or newer (Debian: `apt install qemu-system-x86 qemu-utils`, macOS: `brew install qemu`)"
    )
}

/// One QEMU installation, as it is used for guests of one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qemu {
    arch: Arch,
    system: PathBuf,
    img: QemuImg,
    digest: Sha256,
    capabilities: Capabilities,
}

impl Qemu {
    /// The QEMU for guests of `arch`: what the environment names, else the project's own build, else what is on `PATH`.
    /// What it can do is asked once for each program and host kernel and kept in `home`.
    ///
    /// # Errors
    /// When there is none, it is too old, or it does not work.
    pub async fn find(home: &Home, arch: Arch) -> Result<Self, QemuError> {
        let system = locate(home, system_variable(arch), &format!("qemu-system-{}", arch.qemu()), None)?;
        let img = img_beside(home, Some(&system))?;
        let digest = cache::digest(home, &system)?;
        let capabilities = cache::capabilities(home, &system, digest).await?;
        let qemu = Self { arch, system, img, digest, capabilities };
        qemu.at_least(MINIMUM_QEMU.parse().expect("the minimum is a version"))?;
        Ok(qemu)
    }

    /// Checks that this QEMU can run the image that `manifest` is from.
    ///
    /// # Errors
    /// When the image needs a newer one.
    pub fn can_run(&self, manifest: &Manifest) -> Result<(), QemuError> {
        self.at_least(manifest.minimum_qemu.parse()?)
    }

    fn at_least(&self, minimum: Version) -> Result<(), QemuError> {
        let found = self.version();
        if found >= minimum {
            return Ok(());
        }
        Err(QemuError::TooOld { path: self.system.clone(), found, minimum })
    }

    /// Architecture of its guests.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// The `qemu-system-…` program.
    pub fn system(&self) -> &Path {
        &self.system
    }

    /// Its `qemu-img`.
    pub fn img(&self) -> &QemuImg {
        &self.img
    }

    /// SHA-256 of the `qemu-system-…` program.
    pub fn digest(&self) -> Sha256 {
        self.digest
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.capabilities.version
    }

    /// What it can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What it builds machines on: the newest versioned machine type that fits, `pc-q35-10.2`.
    ///
    /// # Errors
    /// When there is none.
    pub fn board(&self) -> Result<Board, QemuError> {
        let family = machine_family(self.arch);
        let machine_type = newest(&self.capabilities.machine_types, family)
            .ok_or_else(|| QemuError::NoMachine { path: self.system.clone(), family })?;
        let vmgenid = self.capabilities.vmgenid;
        Ok(Board { arch: self.arch, machine_type: machine_type.to_owned(), vmgenid })
    }

    /// The command that runs `machine`.
    pub fn command(&self, machine: &Machine) -> Cmd {
        let Capabilities { io_uring, sandbox, .. } = self.capabilities;
        let command = Cmd::new(&self.system).args(machine.args(HostFeatures { io_uring, sandbox }));
        match machine.launch().memory {
            Memory::Private(_) => command.readable(),
            Memory::Anonymous | Memory::Shared(_) => command,
        }
    }
}

/// The `qemu-img` of this host, without a look at any `qemu-system-…`.
///
/// # Errors
/// When there is none.
pub fn find_img(home: &Home) -> Result<QemuImg, QemuError> {
    img_beside(home, None)
}

/// All tools come from one installation where that has them: another one's may be older than its images.
fn img_beside(home: &Home, system: Option<&Path>) -> Result<QemuImg, QemuError> {
    locate(home, IMG_VARIABLE, "qemu-img", system.and_then(Path::parent)).map(QemuImg::new)
}

fn locate(
    home: &Home,
    variable: &'static str,
    program: &str,
    beside: Option<&Path>,
) -> Result<PathBuf, QemuError> {
    if let Some(path) = variables::path(variable) {
        utf8::check(variable, &path)?;
        // It is started in another directory.
        let path = std::path::absolute(&path).unwrap_or(path);
        return if path.is_file() { Ok(path) } else { Err(QemuError::BadVariable { variable, path }) };
    }
    let prefix = home.qemu_current().join("bin");
    let own = prefix.join(program);
    let near = beside.map(|dir| dir.join(program)).filter(|path| path.is_file());
    let found = near
        .or_else(|| own.is_file().then_some(own))
        .or_else(|| which::which(program).ok())
        .ok_or_else(|| QemuError::Missing { program: program.to_owned(), prefix })?;
    utf8::check("PATH", &found)?;
    Ok(found)
}

/// The member of `family` with the highest version.
fn newest<'a>(machine_types: &'a [String], family: &str) -> Option<&'a str> {
    let version = |name: &str| -> Option<(u32, u32)> {
        let (major, minor) = name.strip_prefix(family)?.strip_prefix('-')?.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let versioned = machine_types.iter().filter_map(|name| Some((version(name)?, name)));
    versioned.max().map(|(_, name)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_machine_type_is_found_by_number() {
        let names =
            ["q35", "pc-q35-9.2", "pc-q35-10.1", "pc-i440fx-10.2", "pc-q35-2.4.1", "none"].map(str::to_owned);
        assert_eq!(newest(&names, "pc-q35"), Some("pc-q35-10.1"));
        assert_eq!(newest(&names, "virt"), None);
    }

    #[test]
    fn a_missing_program_is_named_with_what_to_do() {
        let home = Home::new("/no/such/home");
        let error = locate(&home, "NO_SUCH_VARIABLE", "qemu-system-z80", None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`qemu-system-z80` is neither in `/no/such/home/qemu/current/bin` nor on `PATH`"
        );
        assert!(error.hint().unwrap().contains("brew install qemu"));
        assert_eq!(error.class(), Class::HostUnsupported);
    }

    #[test]
    fn the_hint_names_the_version_that_is_needed() {
        let (found, minimum) = (Version::new(10, 2, 2), Version::new(99, 0, 0));
        let error = QemuError::TooOld { path: "/q".into(), found, minimum };
        assert_eq!(error.to_string(), "`/q` is QEMU 10.2.2, but 99.0.0 is needed");
        assert!(error.hint().unwrap().contains("install QEMU 99.0.0 or newer"));
    }

    #[test]
    fn the_projects_own_build_comes_before_the_path() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::new(root.path());
        let own = home.qemu_current().join("bin").join("sh");
        std::fs::create_dir_all(own.parent().unwrap()).unwrap();
        std::fs::write(&own, "").unwrap();
        assert_eq!(locate(&home, "NO_SUCH_VARIABLE", "sh", None).unwrap(), own);
    }
}
