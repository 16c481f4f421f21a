//! The base: a root file system with the distribution's packages, before anything of the stack is in it.
//!
//! There are two ways to the same result. `bootstrap` installs the packages natively, `cloud` in a virtual machine that starts from
//! the distribution's own cloud image. Both are kept by content, and built once.

mod apt;
mod binfmt;
mod bootstrap;
mod cloud;
mod in_machine;
mod stage;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base::blocking;
use base::events::{Event, Phase, Reporter};
use base::files::{FileError, FileLock};
use base::process::ProcessError;
use fetch::download::{DownloadError, VerifyError};
use image::arch::Arch;

use crate::bundle::BundleError;
use crate::disk::{DiskError, Layout};
use crate::ext4::{GrowError, ReadError};
use crate::host_machine::HostMachine;
use crate::inputs::{InputError, Key};
use crate::kernel::KernelError;
use crate::leftovers;
use crate::provision::ProvisionError;
use crate::source::{Source, SourceError};
use crate::stackd::{Program, StackdError};
use base::sparse::{self, Range};

pub(crate) use apt::Archives;

pub(crate) use bootstrap::keyring;
pub use cloud::{CloudImage, Origin};
pub(crate) use stage::parent_elsewhere;

/// The distribution's release.
pub const SUITE: &str = "trixie";

/// Bases that are kept. Switching between two branches and two kinds of base should not bootstrap again.
const KEPT: usize = 3;

/// Version of the result of equal inputs of a base. A base is not built again for every change of this crate: raise this with a
/// change that alters bases but not their key.
const VERSION: u32 = 1;

/// The file in a base's directory.
const ROOT: &str = "root.ext4";

/// Where a base comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Base {
    /// Packages, installed natively.
    #[default]
    Bootstrap,
    /// The distribution's cloud image.
    Cloud(Option<CloudImage>),
}

/// A base that is ready, locked against its removal.
#[derive(Debug)]
pub struct Ready {
    /// The root file system, as large as the root partition.
    pub root: PathBuf,
    _lock: FileLock,
}

/// Why there is no base.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The description of the image cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An input cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Two parts of the image have the same file.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A file cannot be created or moved.
    #[error(transparent)]
    File(#[from] FileError),
    /// A tool failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The cloud image cannot be downloaded.
    #[error(transparent)]
    Download(Box<DownloadError>),
    /// The cloud image is not the pinned one.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The cloud image is not a plain image.
    #[error(transparent)]
    Unproven(#[from] vm::proven::ImageError),
    /// The cloud image cannot be unpacked.
    #[error(transparent)]
    Image(#[from] vm::disk::DiskError),
    /// The cloud image has no root partition.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The root file system cannot be grown.
    #[error(transparent)]
    Grow(#[from] GrowError),
    /// The root file system cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The cloud image has no usable kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The guest's program cannot be built.
    #[error(transparent)]
    Stackd(#[from] StackdError),
    /// The packages could not be installed in the virtual machine.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// No image is pinned for the architecture, or the table of pins is wrong.
    #[error("no cloud image is pinned for {0}")]
    NotPinned(Arch),
}

impl From<DownloadError> for BaseError {
    fn from(error: DownloadError) -> Self {
        Self::Download(Box::new(error))
    }
}

/// What the creation of a base needs.
pub struct Maker<'a> {
    /// Architecture of the guest.
    pub arch: Arch,
    /// The image's description.
    pub source: &'a Source,
    /// The disk that the root file system is for.
    pub layout: Layout,
    /// The cache of all builds.
    pub cache: &'a Path,
    /// Directory for the logs of this build.
    pub logs: &'a Path,
    /// Whether a handler for programs of another architecture may be registered in the host's kernel.
    pub binfmt: bool,
    /// QEMU, for the kinds that need it.
    pub machine: &'a HostMachine,
    /// The guest's program, for the kinds that run it.
    pub program: &'a Program<'a>,
    /// Where progress is reported.
    pub reporter: &'a dyn Reporter,
}

impl Base {
    /// Computes the key of the base that [`Base::ensure`] would build.
    ///
    /// # Errors
    /// When an input cannot be read.
    pub fn key(&self, arch: Arch, source: &Source, layout: Layout) -> Result<String, BaseError> {
        let key = Key::default()
            .value("builder", VERSION.to_le_bytes())
            .value("arch", arch.as_str())
            .value("bytes", layout.root.len.to_le_bytes());
        // Modules of the initial RAM file system are taken from the base and do not change it.
        let mut key = key.value("packages", source.base_packages().join("\n"));
        for input in source.base_inputs()? {
            let name = input.file_name().unwrap_or_default().to_string_lossy().into_owned();
            key = key.tree(&name, &input)?;
        }
        let key = match self {
            Self::Bootstrap => bootstrap::key(key, arch, source)?,
            Self::Cloud(image) => cloud::key(key, arch, image.as_ref(), source)?,
        };
        Ok(key.finish())
    }

    /// Returns the base from the cache, or builds it. Two builds that need the same one wait for each other.
    ///
    /// # Errors
    /// When it cannot be built; nothing of it is left then.
    pub async fn ensure(&self, maker: &Maker<'_>, refresh: bool) -> Result<Ready, BaseError> {
        let key = self.key(maker.arch, maker.source, maker.layout)?;
        let bases = maker.cache.join("base");
        fs::create_dir_all(&bases).map_err(FileError::of("create", &bases))?;
        let lock = FileLock::acquire(&bases.join(format!("{key}.lock")), || {
            maker.reporter.report(&Event::Notice("waiting for another build that creates the same base"));
        })
        .await?;
        let dir = bases.join(&key);
        let root = dir.join(ROOT);
        if refresh || !root.exists() {
            self.make(maker, &dir).await?;
        }
        leftovers::touch(&dir)?;
        leftovers::keep_used(&bases, KEPT)?;
        Ok(Ready { root, _lock: lock })
    }

    async fn make(&self, maker: &Maker<'_>, dir: &Path) -> Result<(), BaseError> {
        let phase = Phase::start(maker.reporter, "base", self.title());
        let parent = dir.parent().unwrap_or(dir);
        let prefix = format!(".{}-", dir.file_name().unwrap_or_default().to_string_lossy());
        leftovers::sweep(parent, &prefix)?;
        let work = tempfile::Builder::new()
            .prefix(&prefix)
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .map_err(FileError::of("create a directory in", parent))?;
        let root = work.path().join(ROOT);
        match self {
            Self::Bootstrap => bootstrap::build(maker, &root, &phase).await?,
            Self::Cloud(image) => cloud::build(maker, image.as_ref(), &root, &phase).await?,
        }
        // The name means that it is complete, which has to hold after a crash too.
        let content = root.clone();
        let sync = move || File::open(&content).and_then(|file| file.sync_all());
        blocking::run(sync).await.map_err(FileError::of("write", &root))?;
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(FileError::of("remove", dir)(error).into());
            }
            _ => {}
        }
        base::files::publish(&work.keep(), dir)?;
        phase.done();
        Ok(())
    }

    fn title(&self) -> &'static str {
        match self {
            Self::Bootstrap => "Install the base system",
            Self::Cloud(_) => "Build the base from the cloud image",
        }
    }
}

/// Moves a file, to another file system if necessary; holes stay holes.
fn move_file(from: &Path, to: &Path) -> Result<(), BaseError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {}
        result => return Ok(result.map_err(FileError::of("move", from))?),
    }
    let copy = || -> std::io::Result<()> {
        let source = File::open(from)?;
        let target = File::create_new(to)?;
        let len = source.metadata()?.len();
        target.set_len(len)?;
        sparse::copy(&source, Range { start: 0, len }, &target, 0)?;
        fs::remove_file(from)
    };
    Ok(copy().map_err(FileError::of("copy", from))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_runs_counts_where_a_machine_may_make_the_base() {
        let description = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cloud-init");
        let dir = tempfile::tempdir().unwrap();
        for entry in walkdir::WalkDir::new(&description) {
            let entry = entry.unwrap();
            let to = dir.path().join(entry.path().strip_prefix(&description).unwrap());
            match entry.file_type() {
                kind if kind.is_dir() => fs::create_dir_all(to).unwrap(),
                kind if kind.is_file() => drop(fs::copy(entry.path(), to).unwrap()),
                _ => {}
            }
        }
        let keys = || {
            Arch::ALL.map(|arch| {
                let stack = dir.path().join("stacks/stack-emulator");
                let source = Source::open(dir.path(), &stack, arch).unwrap();
                let layout = Layout::of_size(source.described.stack.machine.disk_gib);
                Base::Bootstrap.key(arch, &source, layout).unwrap()
            })
        };
        let mut before = keys();
        for path in ["second-stage/init", "machine/steps.d/step"] {
            fs::write(dir.path().join(path), "changed").unwrap();
            let after = keys();
            for (arch, (before, after)) in Arch::ALL.into_iter().zip(before.iter().zip(&after)) {
                assert_eq!(before == after, Arch::host() == Some(arch), "{arch}: {path}");
            }
            before = after;
        }
    }
}
