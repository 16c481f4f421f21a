//! Linters of what is not Rust: the workflows, the composite actions and the shell programs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base::digest;
use base::events::{Event, Phase, Reporter};
use base::files::{self, FileLock};
use base::process::Cmd;

use super::cargo::run_openly;

/// Pinned versions, with the digests of their wheels.
const REQUIREMENTS: &str = include_str!("../../linters/requirements.txt");

/// Hexadecimal digits of the digest that names an installation.
const KEY_DIGITS: usize = 12;

/// File that is there when an installation is whole.
const COMPLETE: &str = ".complete";

/// Shell programs outside of the guest.
const SHELL: [&str; 7] = [
    ".ci/run",
    ".github/actions/setup-emulator/export-credentials.sh",
    ".github/actions/setup-emulator/install-emulator.sh",
    ".github/actions/setup-emulator/open-kvm.sh",
    ".github/actions/setup-emulator/pull-image.sh",
    "install.sh",
    "vm-tests/clients/sign-in.sh",
];

const GITHUB: &str = ".github";

/// Runs every linter at its default level.
///
/// # Errors
/// When one cannot be installed, or has something to say.
pub(crate) async fn run(reporter: &dyn Reporter) -> anyhow::Result<()> {
    let bin = installed(reporter).await?;
    run_openly(Path::new("shellcheck"), SHELL, []).await?;
    let workflows = workflows()?;
    run_openly(&bin.join("actionlint"), workflows.iter().map(String::as_str), []).await?;
    // Offline: what it would ask GitHub for needs a token, and a new answer must not break a build that has not changed.
    run_openly(&bin.join("zizmor"), ["--offline", "--no-progress", "--quiet", GITHUB], []).await
}

fn workflows() -> anyhow::Result<Vec<String>> {
    let dir = Path::new(GITHUB).join("workflows");
    let entries = fs::read_dir(&dir).with_context(|| format!("cannot read `{}`", dir.display()))?;
    let mut files: Vec<String> = entries
        .map(|entry| Ok(entry?.path().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<_>>()?;
    files.sort_unstable();
    Ok(files)
}

/// The directory with the linters that come from `PyPI`, which are installed there unless they are there already.
async fn installed(reporter: &dyn Reporter) -> anyhow::Result<PathBuf> {
    let cache = base::cache::root().context("there is no home directory: set `STACK_EMULATOR_CACHE`")?;
    files::create_private_dir(&cache)?;
    let key = digest::of_bytes(REQUIREMENTS.as_bytes()).first_digits(KEY_DIGITS);
    let venv = cache.join(format!("linters-{key}"));
    let bin = venv.join("bin");
    let wait = || reporter.report(&Event::Notice("another command installs the linters; waiting for it"));
    let _lock = FileLock::acquire(&cache.join("linters.lock"), wait).await?;
    if venv.join(COMPLETE).exists() {
        return Ok(bin);
    }
    let phase = Phase::start(reporter, "linters", "Install actionlint and zizmor");
    let log = cache.join("linters.log");
    let logged = |cmd: Cmd| {
        let (log, phase) = (&log, &phase);
        async move { cmd.logged(log, |line| phase.detail(line)).await }
    };
    logged(Cmd::new("python3").args(["-m", "venv", "--clear"]).arg(&venv)).await?;
    let requirements = venv.join("requirements.txt");
    files::write_atomic(&requirements, REQUIREMENTS.as_bytes(), files::PUBLIC_FILE)?;
    let pip = ["-m", "pip", "install", "--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes"];
    logged(Cmd::new(bin.join("python")).args(pip).arg("--requirement").arg(&requirements)).await?;
    files::write_atomic(&venv.join(COMPLETE), b"", files::PUBLIC_FILE)?;
    phase.done();
    Ok(bin)
}
