//! Debian's cross compiler in a root of its own: unpacked but not installed, and used through a change of root.

use std::fs;
use std::path::{Path, PathBuf};

use base::blocking;
use base::events::{Event, Phase, Reporter};
use base::files::{FileError, FileLock};
use base::process::{Cmd, ProcessError};
use image::arch::Arch;

use crate::base::{Archives, keyring};
use crate::inputs::Key;
use crate::{leftovers, mmdebstrap};

/// The release that the compiler is from. The stable one's is too old for the workspace; in this one the compiler and the
/// standard libraries of all architectures are published together.
const SUITE: &str = "testing";

/// Runs a program in the root. A file of its own in the source tree, because it is a shell script.
const IN_CHROOT: &str = include_str!("in-chroot");

/// What mmdebstrap prints, beside the root.
const LOG: &str = "mmdebstrap.log";

/// The compiler drivers that link, by target.
pub(super) const LINKERS: [(&str, &str); 2] = [
    ("x86_64-unknown-linux-gnu", "x86_64-linux-gnu-gcc"),
    ("aarch64-unknown-linux-gnu", "aarch64-linux-gnu-gcc"),
];

/// Why there is no such root.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChrootError {
    /// A file cannot be created or moved.
    #[error(transparent)]
    File(#[from] FileError),
    /// A tool failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// A root with compiler, standard libraries and linkers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chroot(PathBuf);

impl Chroot {
    #[cfg(test)]
    pub(super) fn at(root: &str) -> Self {
        Self(root.into())
    }

    /// Returns the root with a compiler for `arch` from `cache`, or creates it there. Two builds that need it wait for each other.
    pub(super) async fn ensure(
        arch: Arch,
        cache: &Path,
        reporter: &dyn Reporter,
        phase: &Phase<'_>,
    ) -> Result<Self, ChrootError> {
        let host = Arch::host().unwrap_or(Arch::Amd64);
        let packages = packages(host, arch);
        let key = Key::default().value("suite", SUITE).value("host", host.as_str());
        let key = key.value("packages", packages.join(" ")).finish();
        let root = cache.join(&key[..16]);
        let _lock = FileLock::acquire(&root.with_extension("lock"), || {
            reporter.report(&Event::Notice("waiting for another build that fetches the same compiler"));
        })
        .await?;
        if !root.exists() {
            let prefix = format!(".{}-", &key[..16]);
            leftovers::sweep(cache, &prefix)?;
            let work = tempfile::Builder::new()
                .prefix(&prefix)
                .tempdir_in(cache)
                .map_err(FileError::of("create a directory in", cache))?;
            let sources = Archives::of_host().await?.main_only(SUITE);
            let unpack = unpack(host, arch, &packages, &sources, work.path());
            unpack.logged(&cache.join(LOG), |line| phase.detail(line)).await?;
            let (new, place) = (work.keep(), root.clone());
            blocking::run(move || base::files::publish_tree(&new, &place)).await?;
        }
        let script = root.with_extension("sh");
        fs::write(&script, IN_CHROOT).map_err(FileError::of("write", &script))?;
        Ok(Self(root))
    }

    /// Starts `program` with the workspace and cargo's home at the same paths as on the host. Neither stays mounted.
    pub(super) fn command(&self, workspace: &Path, cargo_home: &Path, program: &str) -> Cmd {
        let mut cmd = Cmd::new("unshare").arg("--mount");
        if !rustix::process::geteuid().is_root() {
            cmd = cmd.arg("--map-root-user");
        }
        cmd.arg("sh").arg(self.0.with_extension("sh")).args([&self.0, workspace, cargo_home]).arg(program)
    }
}

/// What is unpacked: a compiler and a linker for programs of the host, which builds run, and the standard library and a linker
/// for the target.
fn packages(host: Arch, arch: Arch) -> Vec<String> {
    let triple = |arch: Arch| format!("{}-linux-gnu", arch.qemu().replace('_', "-"));
    let native = ["cargo", "rustc", "gcc", "libc6-dev", "coreutils", "dash"].map(str::to_owned);
    let cross = [
        format!("gcc-{}", triple(arch)),
        format!("libc6-dev-{arch}-cross"),
        format!("libstd-rust-dev:{arch}"),
    ];
    debug_assert_ne!(host, arch, "the workspace's own compiler is for the host");
    native.into_iter().chain(cross).collect()
}

/// Unpacking runs nothing of what it unpacks, so it needs neither root rights nor a second pass.
fn unpack(host: Arch, arch: Arch, packages: &[String], sources: &[String], root: &Path) -> Cmd {
    let mode = if rustix::process::geteuid().is_root() { "root" } else { "chrootless" };
    let mut cmd = mmdebstrap::command()
        .args(["--variant=extract", "--format=directory"])
        .arg(format!("--mode={mode}"))
        .arg(format!("--architectures={host},{arch}"))
        .arg(format!("--include=base-files,{}", packages.join(",")))
        // A mirror may lag behind; its content is signed all the same.
        .arg("--aptopt=Acquire::Check-Valid-Until \"false\"");
    if let Some(keyring) = keyring() {
        cmd = cmd.arg(format!("--keyring={}", keyring.display()));
    }
    cmd.arg(SUITE).arg(root).args(sources).env("LC_ALL", "C.UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_comes_with_the_targets_library_of_the_same_archive() {
        insta::assert_snapshot!(
            packages(Arch::Amd64, Arch::Arm64).join(" "),
            @"cargo rustc gcc libc6-dev coreutils dash gcc-aarch64-linux-gnu libc6-dev-arm64-cross libstd-rust-dev:arm64"
        );
        assert!(packages(Arch::Arm64, Arch::Amd64).contains(&"gcc-x86-64-linux-gnu".to_owned()));
    }
}
