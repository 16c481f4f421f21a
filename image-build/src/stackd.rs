//! The guest's program: built by cargo as one static binary, keyed by its sources.

use std::path::{Path, PathBuf};

use host::events::{Phase, Reporter};
use host::process::{Cmd, ProcessError};
use release::arch::Arch;

use crate::inputs::{InputError, Key};

/// Cargo package that holds the program.
const PACKAGE: &str = "guest";

/// Name of the program.
pub const PROGRAM: &str = "stackd";

/// Files besides the package itself that decide what cargo makes of it.
const WORKSPACE_INPUTS: [&str; 3] = ["Cargo.lock", "Cargo.toml", "rust-toolchain.toml"];

/// Why the guest's program could not be built.
#[derive(Debug, thiserror::Error)]
pub enum StackdError {
    /// One of its sources cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// cargo failed, or is not there.
    #[error("cannot build the guest's program `{PROGRAM}`")]
    Cargo(#[source] ProcessError),
}

/// Key of the program that a build would make: its sources, the workspace's settings, the compiler.
///
/// # Errors
/// When a source cannot be read or there is no compiler.
pub async fn key(workspace: &Path) -> Result<String, StackdError> {
    let rustc = Cmd::new("rustc").arg("-vV").current_dir(workspace);
    let mut key = Key::default().value("rustc", rustc.output().await.map_err(StackdError::Cargo)?);
    for input in WORKSPACE_INPUTS {
        key = key.tree(input, &workspace.join(input))?;
    }
    Ok(key.tree(PACKAGE, &workspace.join(PACKAGE))?.finish())
}

/// The target triple of programs that run in a guest.
fn target(arch: Arch) -> String {
    format!("{}-unknown-linux-gnu", arch.qemu())
}

/// The call of cargo. The C library is linked in: the program is also `/init` of the initial RAM file system,
/// where there is no other.
fn cargo(arch: Arch, workspace: &Path) -> Cmd {
    let target = target(arch);
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
    Cmd::new("cargo")
        .args(["build", "--release", "--locked", "--package", PACKAGE, "--bin", PROGRAM, "--target", &target])
        .arg("--target-dir")
        .arg(workspace.join("target"))
        .current_dir(workspace)
        .env(flags, "-C target-feature=+crt-static")
        // Either would take the place of the target's own flags.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
}

/// Where [`build`] puts the program.
pub fn path(arch: Arch, workspace: &Path) -> PathBuf {
    workspace.join("target").join(target(arch)).join("release").join(PROGRAM)
}

/// Builds the program; cargo's output goes to `log`.
///
/// # Errors
/// When cargo fails; the error has the last lines.
pub async fn build(
    arch: Arch,
    workspace: &Path,
    log: &Path,
    reporter: &dyn Reporter,
) -> Result<(), StackdError> {
    let phase = Phase::start(reporter, "stackd", "Building the guest's program");
    cargo(arch, workspace).logged(log, |line| phase.detail(line)).await.map_err(StackdError::Cargo)?;
    phase.done();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_static_and_built_from_the_lock_file() {
        insta::assert_snapshot!(
            cargo(Arch::Amd64, Path::new("/w")).argv(),
            @"cargo build --release --locked --package guest --bin stackd --target x86_64-unknown-linux-gnu --target-dir /w/target"
        );
    }

    #[tokio::test]
    async fn the_key_follows_the_sources() {
        let workspace = tempfile::tempdir().unwrap();
        for input in WORKSPACE_INPUTS {
            std::fs::write(workspace.path().join(input), "").unwrap();
        }
        std::fs::write(
            workspace.path().join("rust-toolchain.toml"),
            include_str!("../../rust-toolchain.toml"),
        )
        .unwrap();
        let source = workspace.path().join(PACKAGE);
        std::fs::create_dir(&source).unwrap();
        std::fs::write(source.join("main.rs"), "fn main() {}").unwrap();
        let first = key(workspace.path()).await.unwrap();
        assert_eq!(key(workspace.path()).await.unwrap(), first);
        std::fs::write(source.join("main.rs"), "fn main() { }").unwrap();
        assert_ne!(key(workspace.path()).await.unwrap(), first);
    }
}
