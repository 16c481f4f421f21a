//! Programs from `PyPI`, in pinned versions.

use std::path::PathBuf;

use anyhow::Context as _;
use base::digest;
use base::events::{Event, Phase, Reporter};
use base::files::{self, FileLock};
use base::process::Cmd;

/// Hexadecimal digits of the digest that names an installation.
const KEY_DIGITS: usize = 12;

/// File that is there when an installation is whole.
const COMPLETE: &str = ".complete";

/// Packages that are installed together.
pub(super) struct Packages {
    /// What their directory is called.
    pub(super) name: &'static str,
    /// What people know them as.
    pub(super) title: &'static str,
    /// Pinned versions, with the digests of their wheels.
    pub(super) requirements: &'static str,
}

impl Packages {
    /// The directory with their programs, which are installed there unless they are there already.
    ///
    /// # Errors
    /// When one cannot be fetched, or does not have the pinned digest.
    pub(super) async fn installed(&self, reporter: &dyn Reporter) -> anyhow::Result<PathBuf> {
        let Self { name, title, requirements } = self;
        let cache = base::cache::root().context("there is no home directory: set `STACK_EMULATOR_CACHE`")?;
        files::create_private_dir(&cache)?;
        let key = digest::of_bytes(requirements.as_bytes()).first_digits(KEY_DIGITS);
        let venv = cache.join(format!("{name}-{key}"));
        let bin = venv.join("bin");
        let waiting = format!("another command installs {title}; waiting for it");
        let wait = || reporter.report(&Event::Notice(&waiting));
        let _lock = FileLock::acquire(&cache.join(format!("{name}.lock")), wait).await?;
        if venv.join(COMPLETE).exists() {
            return Ok(bin);
        }
        let phase = Phase::start(reporter, name, &format!("Install {title}"));
        let log = cache.join(format!("{name}.log"));
        let logged = |cmd: Cmd| {
            let (log, phase) = (&log, &phase);
            async move { cmd.logged(log, |line| phase.detail(line)).await }
        };
        logged(Cmd::new("python3").args(["-m", "venv", "--clear"]).arg(&venv)).await?;
        let file = venv.join("requirements.txt");
        files::write_atomic(&file, requirements.as_bytes(), files::PUBLIC_FILE)?;
        let pip =
            ["-m", "pip", "install", "--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes"];
        logged(Cmd::new(bin.join("python")).args(pip).arg("--requirement").arg(&file)).await?;
        files::write_atomic(&venv.join(COMPLETE), b"", files::PUBLIC_FILE)?;
        phase.done();
        Ok(bin)
    }
}
