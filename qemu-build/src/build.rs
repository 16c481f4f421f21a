//! The build as a whole. What an interrupted run has finished is not done again.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::events::{Event, Phase, Reporter, Unit};
use base::files::{self, FileError, FileLock};
use base::process::{Cmd, ProcessError};

use crate::error::BuildError;
use crate::key::Key;
use crate::ninja::{self, Step};
use crate::obtain::{self, Tarball};
use crate::prefix::{self, Record};
use crate::sources::Sources;
use crate::{firmware, recipe, tree};

/// How long ninja may take to end its compilers when the build is interrupted.
const NINJA_GRACE: Duration = Duration::from_secs(10);

/// Variables that would change the result without changing the key.
const FLAG_VARIABLES: [&str; 4] = ["CFLAGS", "CPPFLAGS", "CXXFLAGS", "LDFLAGS"];

/// What to build, and where.
#[derive(Debug, Clone)]
pub struct Request {
    /// Directory of the prefixes: `<home>/qemu`.
    pub prefix_root: PathBuf,
    /// The cache: tarballs in `downloads/`, unfinished builds and logs in `qemu-build/`.
    pub cache: PathBuf,
    /// A tarball to take instead of fetching one. It must be one of the pinned ones.
    pub source: Option<PathBuf>,
    /// Builds from the beginning even if there is a working result or an unfinished build.
    pub force: bool,
    /// Compilers that run at once; by default one a processor.
    pub jobs: Option<NonZeroUsize>,
}

/// A QEMU that works.
#[derive(Debug, Clone)]
pub struct Built {
    /// Directory with `bin/` and `share/qemu/`.
    pub prefix: PathBuf,
    /// Key of the build.
    pub key: String,
    /// Whether this call built it; `false` when it was there already.
    pub fresh: bool,
}

/// Returns the pinned QEMU in `prefix_root`, if it exists and works; `current` then names it.
///
/// # Errors
/// When `current` cannot be changed.
pub async fn existing(prefix_root: &Path) -> Result<Option<Built>, BuildError> {
    let key = Key::of_this_host().await;
    let prefix = prefix_root.join(key.as_str());
    if prefix::verify(&prefix, &Sources::pinned().version).await.is_err() {
        return Ok(None);
    }
    prefix::make_current(&prefix)?;
    Ok(Some(Built { prefix, key: key.as_str().to_owned(), fresh: false }))
}

/// Returns the pinned QEMU: the existing one if it works, else a new one. Several processes may ask at once; one builds,
/// the others wait. Afterwards `current` in the prefix root names it.
///
/// # Errors
/// When no source can be had, a step of the build fails, or the result does not run.
pub async fn build(request: &Request, reporter: &dyn Reporter) -> Result<Built, BuildError> {
    if !request.force
        && let Some(built) = existing(&request.prefix_root).await?
    {
        return Ok(built);
    }
    let sources = Sources::pinned();
    let key = Key::of_this_host().await;
    let prefix = request.prefix_root.join(key.as_str());

    // A tarball that was named on purpose is looked at first: if it is the wrong one, nothing is touched.
    let given = request.source.as_deref().map(|path| obtain::given(&sources, path)).transpose()?;
    let dir = request.cache.join("qemu-build");
    files::create_private_dir(&dir)?;
    let wait = || reporter.report(&Event::Notice("another `build-qemu` is running; waiting for it to end"));
    let _lock = FileLock::acquire(&dir.join("lock"), wait).await?;
    // Builds with another cache may have the same prefixes.
    files::create_private_dir(&request.prefix_root)?;
    let _prefixes = FileLock::acquire(&prefix::lock(&request.prefix_root), wait).await?;
    prefix::recover(&request.prefix_root)?;
    if !request.force
        && let Some(built) = existing(&request.prefix_root).await?
    {
        return Ok(built);
    }

    let work = Work::new(&dir, &key, reporter);
    if request.force {
        work.forget()?;
    }
    let tarball = match given {
        Some(tarball) => tarball,
        None => obtain::any(&sources, &request.cache.join("downloads"), reporter).await?,
    };
    work.unpack(&tarball).await?;
    work.configure().await?;
    work.compile(request.jobs).await?;
    work.option_roms().await?;
    work.install(&prefix, &key, &sources.version, &tarball).await?;
    prefix::make_current(&prefix)?;
    // Unfinished builds of other keys will not be finished any more.
    remove_directories(&dir)?;
    Ok(Built { prefix, key: key.as_str().to_owned(), fresh: true })
}

/// An unfinished build: everything lives in `<cache>/qemu-build/<key>/`.
struct Work<'a> {
    root: PathBuf,
    source: PathBuf,
    build: PathBuf,
    log: PathBuf,
    reporter: &'a dyn Reporter,
}

impl<'a> Work<'a> {
    fn new(dir: &Path, key: &Key, reporter: &'a dyn Reporter) -> Self {
        let root = dir.join(key.as_str());
        let log = dir.join(format!("{}.log", key.as_str()));
        Self { source: root.join("source"), build: root.join("build"), root, log, reporter }
    }

    /// Removes what earlier runs left.
    fn forget(&self) -> Result<(), FileError> {
        remove(&self.root)?;
        if self.log.exists() {
            fs::remove_file(&self.log).map_err(FileError::of("remove", &self.log))?;
        }
        Ok(())
    }

    async fn unpack(&self, tarball: &Tarball) -> Result<(), BuildError> {
        if self.source.exists() {
            return Ok(());
        }
        let phase = Phase::start(self.reporter, "unpack", "Unpack the source of QEMU");
        tree::prepare(&tarball.path, &self.root.join("unpacking"), &self.source, &phase).await?;
        phase.done();
        Ok(())
    }

    async fn configure(&self) -> Result<(), BuildError> {
        // Written last: a configuration that was interrupted half-way is worth nothing.
        let done = self.build.join("configured");
        if done.exists() {
            return Ok(());
        }
        let phase = Phase::start(self.reporter, "configure", "Configure QEMU");
        remove(&self.build)?;
        fs::create_dir_all(&self.build).map_err(FileError::of("create", &self.build))?;
        tree::complete_wheels(&self.source, &self.root, &self.log)
            .await
            .map_err(self.step("fetch the Python packages for"))?;
        let mut command = Cmd::new(self.source.join("configure"))
            .args(recipe::configure_args(std::env::consts::OS))
            .current_dir(&self.build)
            .env("LC_ALL", "C");
        for variable in FLAG_VARIABLES {
            command = command.env_remove(variable);
        }
        command.logged(&self.log, |line| phase.detail(line)).await.map_err(self.step("configure"))?;
        files::write_atomic(&done, b"", files::PUBLIC_FILE)?;
        phase.done();
        Ok(())
    }

    async fn compile(&self, jobs: Option<NonZeroUsize>) -> Result<(), BuildError> {
        let phase = Phase::start(self.reporter, "compile", "Compile QEMU");
        let processors = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Cmd::new("ninja")
            .arg(format!("-j{}", jobs.unwrap_or_else(processors)))
            .args(recipe::PROGRAMS)
            .current_dir(&self.build)
            .env("NINJA_STATUS", ninja::STATUS)
            .env("LC_ALL", "C")
            .grace(NINJA_GRACE)
            .logged(&self.log, |line| {
                if let Some(Step { done, total, what }) = Step::parse(line) {
                    phase.progress(done, Some(total), Unit::Steps);
                    phase.detail(what);
                }
            })
            .await
            .map_err(self.step("compile"))?;
        phase.done();
        Ok(())
    }

    /// Builds the option ROMs from their source if the tarball has none. They are x86 code, which only an x86 compiler
    /// produces; elsewhere they come from the host's packages.
    async fn option_roms(&self) -> Result<(), BuildError> {
        if !firmware::lacks_option_roms(&self.source) || std::env::consts::ARCH != "x86_64" {
            return Ok(());
        }
        // configure leaves this out where there is no 32-bit libgcc, which these ROMs do not need.
        let settings = self.build.join(firmware::OPTION_ROMS).join("config.mak");
        let content = format!("TOPSRC_DIR={}\nCC=cc\n", self.source.display());
        files::write_atomic(&settings, content.as_bytes(), files::PUBLIC_FILE)?;
        Cmd::new("make")
            .args(["-C", firmware::OPTION_ROMS, "OBJCOPY=objcopy"])
            .arg(format!("PYTHON={}", self.build.join("pyvenv/bin/python3").display()))
            .current_dir(&self.build)
            .logged(&self.log, |_| {})
            .await
            .map_err(self.step("make the option ROMs of"))
    }

    async fn install(
        &self,
        prefix: &Path,
        key: &Key,
        version: &str,
        tarball: &Tarball,
    ) -> Result<(), BuildError> {
        let phase = Phase::start(self.reporter, "install", "Install QEMU");
        let root = prefix.parent().unwrap_or(Path::new("."));
        let images = firmware::find(&self.source, &self.build)?;
        let new = tempfile::Builder::new().prefix(prefix::NEW).tempdir_in(root);
        let new = new.map_err(FileError::of("create a directory in", root))?;
        let filled = new.path().join(key.as_str());
        let record = Record { key: key.as_str(), tarball: tarball.sha256, inputs: &key.inputs };
        prefix::fill(&filled, &self.build, &images, &record)?;
        prefix::verify(&filled, version)
            .await
            .map_err(|source| BuildError::Broken { prefix: filled.clone(), source })?;
        prefix::replace(&filled, prefix)?;
        phase.done();
        Ok(())
    }

    fn step(&self, step: &'static str) -> impl FnOnce(ProcessError) -> BuildError {
        let log = self.log.clone();
        move |source| BuildError::Step { step, log, source }
    }
}

fn remove(dir: &Path) -> Result<(), FileError> {
    if dir.exists() { fs::remove_dir_all(dir).map_err(FileError::of("remove", dir)) } else { Ok(()) }
}

/// Removes the directories in `dir` and leaves the files.
fn remove_directories(dir: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(dir).map_err(FileError::of("read", dir))?.flatten() {
        if entry.path().is_dir() {
            remove(&entry.path())?;
        }
    }
    Ok(())
}
