//! The compiler of the guest's program: the workspace's own, for another architecture with the standard library that
//! rustup has, or Debian's compiler in a root of its own.

mod debian;

use std::path::{Path, PathBuf};

use base::events::{Event, Phase, Reporter};
use base::files::FileError;
use base::process::{Cmd, ProcessError};
use base::variables;
use image::arch::Arch;

use debian::Chroot;

/// What rustup prints, in the directory of cross compilers.
const LOG: &str = "rustup.log";

/// The linker that is part of every toolchain of rustup. It links for all architectures.
const LINKER: &str = "rust-lld";

/// Why there is no compiler.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// The workspace's own compiler does not answer.
    #[error("the Rust compiler does not work")]
    Compiler(#[source] ProcessError),
    /// A file cannot be created.
    #[error(transparent)]
    File(#[from] FileError),
    /// Debian's compiler cannot be fetched either.
    #[error(
        "there is no compiler for {arch}: rustup has no standard library for it ({rustup}), and Debian's compiler cannot be fetched"
    )]
    None {
        /// The architecture.
        arch: Arch,
        /// Why rustup could not.
        rustup: String,
        /// Why Debian's archive could not.
        #[source]
        debian: ProcessError,
    },
}

/// A compiler for programs of one architecture. The C library is linked into the program, which is also `/init` of the initial
/// RAM file system, where there is no C library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    arch: Arch,
    way: Way,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// The workspace's compiler, for the machine that it runs on.
    Native,
    /// The workspace's compiler with rustup's standard library. musl's C library comes with that, so nothing of the other
    /// architecture is needed from the host.
    Rustup,
    /// Debian's compiler, in a root of its own.
    Debian(Chroot),
}

impl Toolchain {
    /// Chooses the compiler for `arch`, and fetches it into `cache` if necessary.
    ///
    /// # Errors
    /// When there is none.
    pub async fn choose(
        arch: Arch,
        workspace: &Path,
        cache: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Self, ToolchainError> {
        if Arch::host() == Some(arch) {
            return Ok(Self { arch, way: Way::Native });
        }
        if has_standard_library(arch, workspace).await? {
            return Ok(Self { arch, way: Way::Rustup });
        }
        let dir = cache.join("cross");
        std::fs::create_dir_all(&dir).map_err(FileError::of("create", &dir))?;
        let phase = Phase::start(reporter, "cross-compiler", "Get a compiler for the other architecture");
        let rustup = match add_standard_library(arch, workspace, &dir.join(LOG), &phase).await {
            Ok(()) => {
                phase.done();
                return Ok(Self { arch, way: Way::Rustup });
            }
            Err(error) => {
                error.to_string().lines().next().unwrap_or_default().trim_end_matches(':').to_owned()
            }
        };
        reporter.report(&Event::Notice(&format!("{rustup}: using Debian's cross compiler")));
        let chroot = Chroot::ensure(arch, &dir, reporter, &phase).await.map_err(|error| match error {
            debian::ChrootError::File(error) => error.into(),
            debian::ChrootError::Process(debian) => ToolchainError::None { arch, rustup, debian },
        })?;
        phase.done();
        Ok(Self { arch, way: Way::Debian(chroot) })
    }

    /// Its name for people: "rustup's aarch64-unknown-linux-musl".
    pub fn name(&self) -> String {
        let whose = match &self.way {
            Way::Native => "this machine's",
            Way::Rustup => "rustup's",
            Way::Debian(_) => "Debian's",
        };
        format!("{whose} {}", self.target())
    }

    /// The target triple.
    pub fn target(&self) -> String {
        match self.way {
            Way::Native | Way::Debian(_) => format!("{}-unknown-linux-gnu", self.arch.qemu()),
            Way::Rustup => rustup_target(self.arch),
        }
    }

    /// Reads the compiler's own description of itself.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn version(&self, workspace: &Path) -> Result<String, ProcessError> {
        let rustc = match &self.way {
            Way::Native | Way::Rustup => Cmd::new("rustc"),
            Way::Debian(chroot) => chroot.command(workspace, &cargo_home(), "rustc"),
        };
        rustc.arg("-vV").current_dir(workspace).text().await
    }

    /// Returns the call of cargo that builds program `bin` of `package`, from the lock file.
    pub fn cargo(&self, workspace: &Path, package: &str, bin: &str) -> Cmd {
        let target = self.target();
        let cargo = match &self.way {
            Way::Native | Way::Rustup => Cmd::new("cargo"),
            Way::Debian(chroot) => chroot.command(workspace, &cargo_home(), "cargo"),
        };
        let cargo = cargo
            .args(["build", "--release", "--locked", "--package", package, "--bin", bin, "--target", &target])
            .arg("--target-dir")
            .arg(workspace.join("target"))
            .current_dir(workspace)
            .env(variable(&target, "RUSTFLAGS"), "-C target-feature=+crt-static")
            // Either would replace the target's own flags.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        match &self.way {
            Way::Native => cargo,
            Way::Rustup => cargo.env(variable(&target, "LINKER"), LINKER),
            Way::Debian(_) => debian::LINKERS
                .iter()
                .fold(cargo, |cargo, (target, linker)| cargo.env(variable(target, "LINKER"), linker))
                // The crates were fetched by the workspace's cargo.
                .arg("--offline"),
        }
    }

    /// Fetches the crates, where the compiler cannot do so itself.
    ///
    /// # Errors
    /// When cargo fails.
    pub async fn fetch(&self, workspace: &Path, log: &Path, phase: &Phase<'_>) -> Result<(), ProcessError> {
        if !matches!(self.way, Way::Debian(_)) {
            return Ok(());
        }
        // For all targets: what builds the program runs here.
        let fetch = Cmd::new("cargo").args(["fetch", "--locked"]).current_dir(workspace);
        fetch.logged(log, |line| phase.detail(line)).await
    }

    /// Where [`Toolchain::cargo`] puts the program.
    pub fn built(&self, workspace: &Path, bin: &str) -> PathBuf {
        workspace.join("target").join(self.target()).join("release").join(bin)
    }
}

/// The target that rustup has a complete standard library for, C library included.
fn rustup_target(arch: Arch) -> String {
    format!("{}-unknown-linux-musl", arch.qemu())
}

/// `CARGO_TARGET_<TRIPLE>_<NAME>`: cargo's variable for a setting of one target.
fn variable(target: &str, name: &str) -> String {
    format!("CARGO_TARGET_{}_{name}", target.to_uppercase().replace('-', "_"))
}

/// Where cargo keeps the crates that it has fetched.
fn cargo_home() -> PathBuf {
    variables::path("CARGO_HOME").unwrap_or_else(|| variables::home_dir().unwrap_or_default().join(".cargo"))
}

/// Whether the workspace's compiler has the target's standard library.
async fn has_standard_library(arch: Arch, workspace: &Path) -> Result<bool, ToolchainError> {
    let print = Cmd::new("rustc").args(["--print", "target-libdir", "--target", &rustup_target(arch)]);
    let dir = print.current_dir(workspace).text().await.map_err(ToolchainError::Compiler)?;
    Ok(Path::new(&dir).is_dir())
}

/// Makes rustup fetch the target's standard library for the workspace's compiler.
async fn add_standard_library(
    arch: Arch,
    workspace: &Path,
    log: &Path,
    phase: &Phase<'_>,
) -> Result<(), ProcessError> {
    let add = Cmd::new("rustup").args(["target", "add", &rustup_target(arch)]);
    add.current_dir(workspace).logged(log, |line| phase.detail(line)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(arch: Arch, way: Way) -> Toolchain {
        Toolchain { arch, way }
    }

    #[test]
    fn the_program_is_static_and_built_from_the_lock_file() {
        let native = toolchain(Arch::Amd64, Way::Native);
        insta::assert_snapshot!(
            native.cargo(Path::new("/w"), "guest", "stackd").argv(),
            @"cargo build --release --locked --package guest --bin stackd --target x86_64-unknown-linux-gnu --target-dir /w/target"
        );
    }

    #[test]
    fn another_architecture_uses_rustups_library_or_debians_root() {
        let rustup = toolchain(Arch::Arm64, Way::Rustup);
        assert_eq!(rustup.name(), "rustup's aarch64-unknown-linux-musl");
        assert_eq!(
            rustup.built(Path::new("/w"), "stackd"),
            Path::new("/w/target/aarch64-unknown-linux-musl/release/stackd")
        );
        let debian = toolchain(Arch::Arm64, Way::Debian(Chroot::at("/c/cross/key")));
        let argv = debian.cargo(Path::new("/w"), "guest", "stackd").argv();
        assert!(argv.starts_with("unshare "), "{argv}");
        assert!(argv.ends_with(
            "cargo build --release --locked --package guest --bin stackd --target aarch64-unknown-linux-gnu \
             --target-dir /w/target --offline"
        ), "{argv}");
    }
}
