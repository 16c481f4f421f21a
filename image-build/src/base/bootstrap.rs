//! The base made from packages: mmdebstrap installs them natively, and its last hook packs the result into a file
//! system.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use host::events::Phase;
use host::files::FileError;
use host::process::Cmd;
use release::arch::Arch;

use super::apt::Archives;
use super::{BaseError, SUITE};
use crate::ext4::{ROOT_LABEL, SPARSE_OPTIONS};
use crate::source::Source;

/// The hook that packs the root. A file of its own in the source tree, because it is a shell script.
const PACK_ROOT: &str = include_str!("pack-root");

/// The keys that Debian's archive is signed with, where package debian-archive-keyring puts them.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Everything that one call of mmdebstrap is made from.
struct Plan<'a> {
    arch: Arch,
    packages: &'a [String],
    sources: Vec<String>,
    keyring: Option<&'a Path>,
    /// Directory that the new root's user can reach: copies of the settings and hooks, and room for the root.
    stage: &'a Path,
    hooks: Vec<PathBuf>,
    image: &'a Path,
    bytes: u64,
}

impl Plan<'_> {
    fn mmdebstrap(&self) -> Cmd {
        let mut cmd = Cmd::new("mmdebstrap")
            .args(["--variant=minbase", "--format=null"])
            .arg(format!("--architectures={}", self.arch))
            .arg(format!("--include={}", self.packages.join(",")))
            .arg(format!("--dpkgopt={}", self.stage.join("dpkg.cfg").display()));
        if let Some(keyring) = self.keyring {
            cmd = cmd.arg(format!("--keyring={}", keyring.display()));
        }
        for hook in self.hooks.iter().chain([&self.stage.join("pack-root")]) {
            cmd = cmd.arg(format!("--customize-hook={}", hook.display()));
        }
        cmd.arg(SUITE)
            // Where the root would go; the hook has taken it already.
            .arg("/dev/null")
            .args(&self.sources)
            .env("TMPDIR", self.stage)
            // The root is thrown away if anything goes wrong, so nothing has to reach the disk in order.
            .env("DPKG_FORCE", "unsafe-io")
            .env("ROOT_IMAGE", self.image)
            .env("ROOT_BYTES", self.bytes.to_string())
            .env("ROOT_LABEL", ROOT_LABEL)
            .env("ROOT_OPTIONS", SPARSE_OPTIONS)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C.UTF-8")
    }
}

/// Makes the root file system of `bytes` at `root`.
///
/// # Errors
/// When mmdebstrap fails; its output is in `log`, the last lines in the error.
pub(super) async fn build(
    arch: Arch,
    source: &Source,
    bytes: u64,
    root: &Path,
    log: &Path,
    phase: &Phase<'_>,
) -> Result<(), BaseError> {
    // Without root rights the new system's files belong to a subordinate user, who can reach neither a home directory nor
    // what is in it. The directory has a random name, and only root or that user may write into it.
    let stage = tempfile::Builder::new()
        .prefix("stack-base-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(stage_parent(root))
        .map_err(FileError::of("create a directory in", &stage_parent(root)))?;
    let hooks = stage_files(source, stage.path())?;
    let image = stage.path().join("root.ext4");
    File::create_new(&image)
        .and_then(|file| file.set_permissions(Permissions::from_mode(0o666)))
        .map_err(FileError::of("create", &image))?;

    let sources = Archives::of_host().await?.sources(SUITE);
    let keyring = Some(Path::new(KEYRING)).filter(|path| path.exists());
    let plan = Plan {
        arch,
        packages: &source.packages,
        sources,
        keyring,
        stage: stage.path(),
        hooks,
        image: &image,
        bytes,
    };
    plan.mmdebstrap().logged(log, |line| phase.detail(line)).await?;
    fs::set_permissions(&image, Permissions::from_mode(0o644)).map_err(FileError::of("change", &image))?;
    super::move_file(&image, root)
}

/// Root works beside the result; others in a directory that everybody can reach and that is no memory file system.
fn stage_parent(root: &Path) -> PathBuf {
    if rustix::process::geteuid().is_root() {
        root.parent().unwrap_or(Path::new(".")).to_owned()
    } else {
        PathBuf::from("/var/tmp")
    }
}

/// Copies dpkg's settings and the hooks to where mmdebstrap's user can read them; gives the hooks in order.
fn stage_files(source: &Source, stage: &Path) -> Result<Vec<PathBuf>, BaseError> {
    let put = |name: &str, bytes: &[u8], mode| {
        let path = stage.join(name);
        fs::write(&path, bytes)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode)))
            .map_err(FileError::of("write", &path))
    };
    let read = |path: &Path| fs::read(path).map_err(FileError::of("read", path));
    put("dpkg.cfg", &read(&source.dpkg_cfg())?, 0o644)?;
    put("pack-root", PACK_ROOT.as_bytes(), 0o755)?;
    let hooks = source.hooks()?;
    let mut staged = Vec::with_capacity(hooks.len());
    for hook in hooks {
        let name = format!("hook-{}", hook.file_name().unwrap_or_default().to_string_lossy());
        put(&name, &read(&hook)?, 0o755)?;
        staged.push(stage.join(name));
    }
    Ok(staged)
}

/// What of this module decides about the result.
pub(super) fn key(key: crate::inputs::Key) -> crate::inputs::Key {
    key.value("suite", SUITE).value("pack-root", PACK_ROOT).value("mke2fs", SPARSE_OPTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mmdebstrap_is_given_packages_hooks_and_the_hosts_archive() {
        let plan = Plan {
            arch: Arch::Amd64,
            packages: &["systemd".to_owned(), "redis".to_owned()],
            sources: vec!["deb http://mirror.example/debian trixie main".to_owned()],
            keyring: Some(Path::new(KEYRING)),
            stage: Path::new("/stage"),
            hooks: vec!["/stage/hook-10-accounts".into()],
            image: Path::new("/stage/root.ext4"),
            bytes: 1 << 30,
        };
        insta::assert_snapshot!(plan.mmdebstrap().argv().replace(" --", "\n--"), @"");
    }
}
