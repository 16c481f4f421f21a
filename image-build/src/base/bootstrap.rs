//! The base made from packages: mmdebstrap installs them natively, and its last hook packs the result into a file
//! system.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use host::events::Phase;
use host::files::FileError;
use host::process::Cmd;
use release::arch::Arch;
use walkdir::WalkDir;

use super::apt::Archives;
use super::{BaseError, Maker, SUITE};
use crate::ext4::{ROOT_LABEL, SPARSE_OPTIONS};
use crate::source::Source;

/// mmdebstrap's output, in the directory of logs.
const LOG: &str = "mmdebstrap.log";

/// The hook that packs the root. A file of its own in the source tree, because it is a shell script.
const PACK_ROOT: &str = include_str!("pack-root");

/// Its name beside the copy of the base's directory.
const PACK_ROOT_NAME: &str = "pack-root";

/// What mmdebstrap would clean up after the hooks, in a root that is about to be thrown away. The last hook has done it in
/// time.
const SKIP: &str = "--skip=cleanup/apt,cleanup/mmdebstrap,cleanup/reproducible,cleanup/run,cleanup/tmp";

/// The keys that Debian's archive is signed with, where old and new versions of package debian-archive-keyring put them.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg"];

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
            .args(["--variant=minbase", "--format=null", SKIP])
            .arg(format!("--architectures={}", self.arch))
            .arg(format!("--include={}", self.packages.join(",")))
            .arg(format!("--dpkgopt={}", self.stage.join(Source::DPKG_CFG).display()));
        if let Some(keyring) = self.keyring {
            cmd = cmd.arg(format!("--keyring={}", keyring.display()));
        }
        for hook in self.hooks.iter().map(PathBuf::as_path).chain([Path::new(PACK_ROOT_NAME)]) {
            cmd = cmd.arg(format!("--customize-hook={}", self.stage.join(hook).display()));
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

/// Makes the root file system at `root`.
///
/// # Errors
/// When mmdebstrap fails; its output is in the log, the last lines in the error.
pub(super) async fn build(maker: &Maker<'_>, root: &Path, phase: &Phase<'_>) -> Result<(), BaseError> {
    // Without root rights the new system's files belong to a subordinate user, who can reach neither a home directory nor
    // what is in it. So that user may pass through this directory and write the image, whose name nobody else can find out.
    let parent = stage_parent(root);
    let stage = tempfile::Builder::new()
        .prefix("stack-base-")
        .permissions(Permissions::from_mode(0o711))
        .tempdir_in(&parent)
        .map_err(FileError::of("create a directory in", &parent))?;
    stage_files(&maker.source.base(), stage.path())?;
    let image = tempfile::Builder::new()
        .prefix("root-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(stage.path())
        .and_then(|image| {
            // The umask may have taken bits away.
            image.as_file().set_permissions(Permissions::from_mode(0o666))?;
            Ok(image.into_temp_path())
        })
        .map_err(FileError::of("create a file in", stage.path()))?;

    let plan = Plan {
        arch: maker.arch,
        packages: &maker.source.packages,
        sources: Archives::of_host().await?.sources(SUITE),
        keyring: KEYRINGS.iter().map(Path::new).find(|path| path.exists()),
        stage: stage.path(),
        hooks: maker.source.hooks()?,
        image: &image,
        bytes: maker.layout.root.len,
    };
    plan.mmdebstrap().logged(&maker.logs.join(LOG), |line| phase.detail(line)).await?;
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

/// Copies the directory `base` to where mmdebstrap's user can read it: hooks find their files beside them.
fn stage_files(base: &Path, stage: &Path) -> Result<(), BaseError> {
    for entry in WalkDir::new(base).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| FileError::of("read", base)(error.into()))?;
        let to = stage.join(entry.path().strip_prefix(base).unwrap_or(entry.path()));
        let copied = if entry.file_type().is_dir() {
            fs::create_dir(&to).and_then(|()| fs::set_permissions(&to, Permissions::from_mode(0o755)))
        } else {
            fs::copy(entry.path(), &to).and_then(|_| {
                let executable = fs::metadata(&to)?.permissions().mode() & 0o100 != 0;
                fs::set_permissions(&to, Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
            })
        };
        copied.map_err(FileError::of("copy", entry.path()))?;
    }
    let pack_root = stage.join(PACK_ROOT_NAME);
    fs::write(&pack_root, PACK_ROOT)
        .and_then(|()| fs::set_permissions(&pack_root, Permissions::from_mode(0o755)))
        .map_err(FileError::of("write", &pack_root))?;
    Ok(())
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
            keyring: Some(Path::new(KEYRINGS[1])),
            stage: Path::new("/stage"),
            hooks: vec!["hooks/10-accounts".into()],
            image: Path::new("/stage/root.ext4"),
            bytes: 1 << 30,
        };
        insta::assert_snapshot!(plan.mmdebstrap().argv().replace(" --", "\n--"), @r"
        mmdebstrap
        --variant=minbase
        --format=null
        --skip=cleanup/apt,cleanup/mmdebstrap,cleanup/reproducible,cleanup/run,cleanup/tmp
        --architectures=amd64
        --include=systemd,redis
        --dpkgopt=/stage/dpkg.cfg
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg
        --customize-hook=/stage/hooks/10-accounts
        --customize-hook=/stage/pack-root trixie /dev/null 'deb http://mirror.example/debian trixie main'
        ");
    }
}
