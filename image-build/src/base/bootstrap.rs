//! The base from packages: mmdebstrap installs them, and its last hook packs the result into a file system. Where programs
//! of the guest do not run on this host, mmdebstrap only unpacks them, and a virtual machine that boots the result installs them.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base::events::{Event, Phase};
use base::files::FileError;
use base::process::Cmd;
use image::arch::Arch;
use walkdir::WalkDir;

use super::apt::Archives;
use super::binfmt::{self, Handler};
use super::stage::Stage;
use super::{BaseError, Maker, SUITE, in_machine};
use crate::ext4::{ROOT_LABEL, SPARSE_OPTIONS};
use crate::inputs::{InputError, Key};
use crate::mmdebstrap;
use crate::source::Source;

/// mmdebstrap's output, in the directory of logs.
const LOG: &str = "mmdebstrap.log";

/// Hooks that are the same for every description, by their names beside the copy of the base's directory. Files of their own in
/// the source tree, because they are shell scripts.
const HOOKS: [(&str, &str); 4] = [
    (INSTALL_FOREIGN, include_str!("install-foreign")),
    (CLEAN_ROOT, include_str!("clean-root")),
    (BOOTABLE_ROOT, include_str!("bootable-root")),
    (PACK_ROOT, include_str!("pack-root")),
];

/// Installs the packages of a root whose programs are emulated here.
const INSTALL_FOREIGN: &str = "install-foreign";

/// Removes what mmdebstrap would remove too late.
const CLEAN_ROOT: &str = "clean-root";

/// Makes a root bootable whose packages are only unpacked.
const BOOTABLE_ROOT: &str = "bootable-root";

/// Packs the root into a file system.
const PACK_ROOT: &str = "pack-root";

/// The program that such a root is booted into: its name beside the hooks, and where [`BOOTABLE_ROOT`] puts it.
const INIT: &str = "init";
const INIT_IN_GUEST: &str = "/second-stage";

/// What mmdebstrap's variant `minbase` consists of, as apt selects it. The variant itself cannot be used without running programs of it.
const MINBASE: [&str; 3] = ["?essential", "?priority(required)", "apt"];

/// What mmdebstrap would clean up after the hooks, in a root that is about to be deleted. The last hook has done it in
/// time.
const SKIP: &str = "--skip=cleanup/apt,cleanup/mmdebstrap,cleanup/reproducible,cleanup/run,cleanup/tmp";

/// The keys that Debian's archive is signed with, where old and new versions of package debian-archive-keyring put them.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg"];

/// The keys, where the host has them in one of those places.
pub(crate) fn keyring() -> Option<&'static Path> {
    KEYRINGS.iter().map(Path::new).find(|path| path.exists())
}

/// The parts of one call of mmdebstrap.
struct Plan<'a> {
    arch: Arch,
    packages: &'a [String],
    sources: Vec<String>,
    keyring: Option<&'a Path>,
    /// Directory that the new root's user can reach: copies of the settings and hooks, and room for the root.
    stage: &'a Path,
    hooks: Vec<PathBuf>,
    dpkg_settings: Vec<PathBuf>,
    image: &'a Path,
    bytes: u64,
    extent: Extent,
}

/// How far mmdebstrap goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// It installs the packages.
    Install,
    /// It only extracts packages; a hook installs them, with programs of another architecture, which the host's kernel is known
    /// to run.
    InstallForeign,
    /// It only extracts packages, and runs none of their programs.
    Unpack,
}

impl Plan<'_> {
    /// The arguments of `mmdebstrap`.
    fn of(&self, mmdebstrap: Cmd) -> Cmd {
        let own = |name: &str| self.stage.join(name);
        let described = || self.hooks.iter().map(|hook| self.stage.join(hook));
        let (variant, at, hooks): (_, _, Vec<_>) = match self.extent {
            Extent::Install => {
                ("minbase", "customize", described().chain([CLEAN_ROOT, PACK_ROOT].map(own)).collect())
            }
            Extent::InstallForeign => {
                let ends = [CLEAN_ROOT, PACK_ROOT].map(own);
                let all = std::iter::once(own(INSTALL_FOREIGN)).chain(described()).chain(ends);
                ("extract", "extract", all.collect())
            }
            Extent::Unpack => ("extract", "extract", [BOOTABLE_ROOT, PACK_ROOT].map(own).into()),
        };
        let mut cmd = mmdebstrap
            .arg(format!("--variant={variant}"))
            .args(["--format=null", SKIP])
            .arg(format!("--architectures={}", self.arch))
            .arg(format!("--include={}", self.packages.join(",")));
        for settings in &self.dpkg_settings {
            cmd = cmd.arg(format!("--dpkgopt={}", self.stage.join(settings).display()));
        }
        if let Some(keyring) = self.keyring {
            cmd = cmd.arg(format!("--keyring={}", keyring.display()));
        }
        if self.extent != Extent::Install {
            // In options of their own: a list of packages is for names only.
            cmd = cmd.args(MINBASE.map(|pattern| format!("--include={pattern}")));
        }
        for hook in hooks {
            cmd = cmd.arg(format!("--{at}-hook={}", hook.display()));
        }
        cmd.arg(SUITE)
            // Where the root would go; the hook has taken it already.
            .arg("/dev/null")
            .args(&self.sources)
            .env("TMPDIR", self.stage)
            // The root is deleted if anything fails, so nothing has to reach the disk in order.
            .env("DPKG_FORCE", "unsafe-io")
            .env("ROOT_IMAGE", self.image)
            .env("ROOT_BYTES", self.bytes.to_string())
            .env("ROOT_LABEL", ROOT_LABEL)
            .env("ROOT_OPTIONS", SPARSE_OPTIONS)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C.UTF-8")
    }
}

/// Creates the root file system at `root`.
///
/// # Errors
/// When mmdebstrap fails, whose output is in the log, the last lines in the error; or when the virtual machine does.
pub(super) async fn build(maker: &Maker<'_>, root: &Path, phase: &Phase<'_>) -> Result<(), BaseError> {
    if Arch::host() == Some(maker.arch) {
        return run(maker, root, phase, Extent::Install).await;
    }
    if maker.binfmt && foreign_programs_run(maker).await {
        return run(maker, root, phase, Extent::InstallForeign).await;
    }
    run(maker, root, phase, Extent::Unpack).await?;
    let work = root.parent().unwrap_or(Path::new("."));
    let steps = maker.source.second_stage().join(in_machine::STEPS);
    let cmdline = format!("{} init={INIT_IN_GUEST}", maker.source.cmdline);
    in_machine::install(maker, work, root, &[], &steps, &cmdline).await
}

/// Whether the host's kernel runs programs of the guest, although its processor does not; reports how.
async fn foreign_programs_run(maker: &Maker<'_>) -> bool {
    let arch = maker.arch;
    let (run, text) = match binfmt::ensure(arch).await {
        Ok(Handler::Found(name)) => {
            (true, format!("{arch} programs run here by the kernel's handler `{name}`"))
        }
        Ok(Handler::Registered(name)) => {
            let text = "registered the kernel's handler";
            (true, format!("{text} `{name}`: {arch} programs run here until this machine restarts"))
        }
        Err(error) => {
            let text = format!("{arch} programs do not run here ({error})");
            (false, format!("{text}: the base is finished in a virtual machine, which takes longer"))
        }
    };
    maker.reporter.report(&Event::Notice(&text));
    run
}

/// Creates the root file system at `root` as far as `extent` says.
async fn run(maker: &Maker<'_>, root: &Path, phase: &Phase<'_>, extent: Extent) -> Result<(), BaseError> {
    let stage = Stage::new(root, maker.reporter).await?;
    for base in maker.source.base() {
        stage_files(&base, stage.path())?;
    }
    for (name, content) in HOOKS {
        stage_file(stage.path(), name, content.as_bytes())?;
    }
    stage_file(stage.path(), INIT, &maker.source.second_stage_init()?)?;
    // It is written by the user to whom the new system's files belong.
    let image = tempfile::Builder::new()
        .prefix("root-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(stage.path())
        .and_then(|image| {
            // The umask may have removed bits.
            image.as_file().set_permissions(Permissions::from_mode(0o666))?;
            Ok(image.into_temp_path())
        })
        .map_err(FileError::of("create a file in", stage.path()))?;

    let plan = Plan {
        arch: maker.arch,
        packages: &maker.source.base_packages(),
        sources: Archives::of_host().await?.sources(SUITE),
        keyring: keyring(),
        stage: stage.path(),
        hooks: maker.source.hooks()?,
        dpkg_settings: maker.source.dpkg_settings()?,
        image: &image,
        bytes: maker.layout.root.len,
        extent,
    };
    plan.of(mmdebstrap::command()).logged(&maker.logs.join(LOG), |line| phase.detail(line)).await?;
    fs::set_permissions(&image, Permissions::from_mode(0o644)).map_err(FileError::of("change", &image))?;
    super::move_file(&image, root)
}

/// Copies the content of `base` to where mmdebstrap's user can read it: hooks find their files beside them. A file that is there
/// already, of another directory, is not replaced.
fn stage_files(base: &Path, stage: &Path) -> Result<(), BaseError> {
    for entry in WalkDir::new(base).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| FileError::of("read", base)(error.into()))?;
        let to = stage.join(entry.path().strip_prefix(base).unwrap_or(entry.path()));
        let copied = if entry.file_type().is_dir() {
            fs::create_dir_all(&to).and_then(|()| fs::set_permissions(&to, Permissions::from_mode(0o755)))
        } else {
            copy_new(entry.path(), &to)
        };
        copied.map_err(FileError::of("copy", entry.path()))?;
    }
    Ok(())
}

/// Copies a file for everyone to read, and to execute if its owner may.
fn copy_new(from: &Path, to: &Path) -> io::Result<()> {
    let (mut source, mut copy) = (File::open(from)?, File::create_new(to)?);
    io::copy(&mut source, &mut copy)?;
    let executable = source.metadata()?.permissions().mode() & 0o100 != 0;
    copy.set_permissions(Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
}

/// Writes a program next to that copy.
fn stage_file(stage: &Path, name: &str, content: &[u8]) -> Result<(), BaseError> {
    let path = stage.join(name);
    fs::write(&path, content)
        .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o755)))
        .map_err(FileError::of("write", &path))?;
    Ok(())
}

/// Adds what of this module determines the result: its own hooks and, where a machine may have to install the packages, what that
/// runs.
pub(super) fn key(key: Key, arch: Arch, source: &Source) -> Result<Key, InputError> {
    let key = key.value("suite", SUITE).value("mke2fs", SPARSE_OPTIONS);
    let key = HOOKS.iter().fold(key, |key, (name, content)| key.value(name, content));
    if Arch::host() == Some(arch) {
        return Ok(key);
    }
    key.tree("second-stage", &source.second_stage())?.tree("machine", &source.machine())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(arch: Arch, extent: Extent) -> String {
        let plan = Plan {
            arch,
            packages: &["systemd".to_owned(), "redis".to_owned()],
            sources: vec!["deb http://mirror.example/debian trixie main".to_owned()],
            keyring: Some(Path::new(KEYRINGS[1])),
            stage: Path::new("/stage"),
            hooks: vec!["hooks/10-accounts".into()],
            dpkg_settings: ["redis", "system"].map(|name| Path::new("dpkg.cfg.d").join(name)).into(),
            image: Path::new("/stage/root.ext4"),
            bytes: 1 << 30,
            extent,
        };
        plan.of(Cmd::new("mmdebstrap")).argv().replace(" --", "\n--")
    }

    #[test]
    fn mmdebstrap_gets_packages_hooks_and_the_hosts_archive() {
        insta::assert_snapshot!(shown(Arch::Amd64, Extent::Install), @r"
        mmdebstrap
        --variant=minbase
        --format=null
        --skip=cleanup/apt,cleanup/mmdebstrap,cleanup/reproducible,cleanup/run,cleanup/tmp
        --architectures=amd64
        --include=systemd,redis
        --dpkgopt=/stage/dpkg.cfg.d/redis
        --dpkgopt=/stage/dpkg.cfg.d/system
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg
        --customize-hook=/stage/hooks/10-accounts
        --customize-hook=/stage/clean-root
        --customize-hook=/stage/pack-root trixie /dev/null 'deb http://mirror.example/debian trixie main'
        ");
    }

    #[test]
    fn a_foreign_base_is_installed_by_the_kernels_handler_or_only_unpacked() {
        let foreign = shown(Arch::Arm64, Extent::InstallForeign);
        assert!(
            foreign.contains("--extract-hook=/stage/install-foreign\n--extract-hook=/stage/hooks/10"),
            "{foreign}"
        );
        insta::assert_snapshot!(shown(Arch::Arm64, Extent::Unpack), @r"
        mmdebstrap
        --variant=extract
        --format=null
        --skip=cleanup/apt,cleanup/mmdebstrap,cleanup/reproducible,cleanup/run,cleanup/tmp
        --architectures=arm64
        --include=systemd,redis
        --dpkgopt=/stage/dpkg.cfg.d/redis
        --dpkgopt=/stage/dpkg.cfg.d/system
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg '--include=?essential' '--include=?priority(required)'
        --include=apt
        --extract-hook=/stage/bootable-root
        --extract-hook=/stage/pack-root trixie /dev/null 'deb http://mirror.example/debian trixie main'
        ");
    }
}
