//! The guest's program: built by cargo as one static binary, keyed by its sources.

use std::path::{Path, PathBuf};

use host::events::{Phase, Reporter};
use host::process::{Cmd, ProcessError};
use release::arch::Arch;
use serde::Deserialize;

use crate::inputs::{InputError, Key};

/// Cargo package that holds the program.
const PACKAGE: &str = "guest";

/// Name of the program.
pub const PROGRAM: &str = "stackd";

/// Why the guest's program could not be built.
#[derive(Debug, thiserror::Error)]
pub enum StackdError {
    /// One of its sources cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// cargo failed, or is not there.
    #[error("cannot build the guest's program `{PROGRAM}`")]
    Cargo(#[source] ProcessError),
    /// cargo describes the workspace in a way that this program does not know.
    #[error("the answer of `cargo metadata` makes no sense")]
    Metadata(#[source] serde_json::Error),
}

/// Key of the program that a build would make: the compiler, the crates that go into it with their versions and features, the
/// sources of those in this workspace, and the release profile. The whole of `Cargo.lock` is no part of it, because it
/// changes with every other program's crates.
///
/// # Errors
/// When a source cannot be read, or cargo or the compiler fails.
pub async fn key(arch: Arch, workspace: &Path) -> Result<String, StackdError> {
    let run = |cmd: Cmd| async move { cmd.current_dir(workspace).text().await.map_err(StackdError::Cargo) };
    let rustc = run(Cmd::new("rustc").arg("-vV")).await?;
    let tree = Cmd::new("cargo").args(["tree", "--locked", "--package", PACKAGE, "--edges", "normal,build"]);
    let tree = run(tree.args(["--prefix", "none", "--format", "{p} {f}", "--target", &target(arch)])).await?;
    let metadata =
        run(Cmd::new("cargo").args(["metadata", "--locked", "--no-deps", "--format-version", "1"])).await?;
    let members = members(&metadata, &tree)?;

    let mut crates: Vec<_> =
        tree.lines().map(|line| line.replace(&*workspace.to_string_lossy(), "")).collect();
    crates.sort_unstable();
    crates.dedup();
    let mut key = Key::default().value("rustc", rustc).value("crates", crates.join("\n"));
    key = key.value("profile", release_profile(&workspace.join("Cargo.toml"))?);
    for (name, dir) in members {
        key = key.tree(&name, &dir)?;
    }
    Ok(key.finish())
}

/// Names and directories of the workspace's own packages that are in a listing of `cargo tree`, sorted.
fn members(metadata: &str, tree: &str) -> Result<Vec<(String, PathBuf)>, StackdError> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        manifest_path: PathBuf,
    }
    let Metadata { packages } = serde_json::from_str(metadata).map_err(StackdError::Metadata)?;
    let mut members: Vec<_> = packages
        .into_iter()
        .filter_map(|package| Some((package.name, package.manifest_path.parent()?.to_owned())))
        .filter(|(_, dir)| tree.contains(&format!("({})", dir.display())))
        .collect();
    members.sort_unstable();
    Ok(members)
}

/// The release profile in the workspace's manifest, as text.
fn release_profile(manifest: &Path) -> Result<String, StackdError> {
    let text = std::fs::read_to_string(manifest)
        .map_err(|source| InputError { path: manifest.to_owned(), source })?;
    let table: toml::Table = text
        .parse()
        .map_err(|error| InputError { path: manifest.to_owned(), source: std::io::Error::other(error) })?;
    let profile = table.get("profile").and_then(|profiles| profiles.get("release"));
    Ok(profile.map(ToString::to_string).unwrap_or_default())
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

    /// A workspace with the guest, a library that it uses, and another one.
    fn workspace() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"guest\", \"used\", \"other\"]\n");
        put("rust-toolchain.toml", include_str!("../../rust-toolchain.toml"));
        for (name, dependencies) in
            [("guest", "used = { path = \"../used\" }\n"), ("used", ""), ("other", "")]
        {
            let text =
                format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n[dependencies]\n{dependencies}");
            put(&format!("{name}/Cargo.toml"), &text);
            put(&format!("{name}/src/lib.rs"), "");
        }
        let versions = ["guest", "other", "used"].map(|name| {
            let dependencies = if name == "guest" { "dependencies = [\n \"used\",\n]\n" } else { "" };
            format!("[[package]]\nname = \"{name}\"\nversion = \"0.0.0\"\n{dependencies}\n")
        });
        put("Cargo.lock", &format!("version = 4\n\n{}", versions.concat()));
        dir
    }

    #[tokio::test]
    async fn the_key_follows_what_goes_into_the_program_and_nothing_else() {
        let dir = workspace();
        let key = async || key(Arch::Amd64, dir.path()).await.unwrap();
        let write = |path: &str, text: &str| std::fs::write(dir.path().join(path), text).unwrap();
        let first = key().await;

        write("other/src/lib.rs", "// changed");
        assert_eq!(key().await, first, "a crate that is not in the program");
        write("used/src/lib.rs", "// changed");
        let second = key().await;
        assert_ne!(second, first, "a crate of the workspace that is in the program");

        let manifest = std::fs::read_to_string(dir.path().join("Cargo.toml")).unwrap();
        write("Cargo.toml", &format!("{manifest}[profile.release]\nlto = true\n"));
        assert_ne!(key().await, second, "the release profile");
    }
}
