//! Linters of what is not Rust: the workflows, the composite actions and the shell programs.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use base::events::Reporter;

use super::cargo::run_openly;
use super::python::Packages;

/// The linters that come from `PyPI`.
const PACKAGES: Packages = Packages {
    name: "linters",
    title: "actionlint and zizmor",
    requirements: include_str!("../../linters/requirements.txt"),
};

/// Shell programs outside of the guest.
const SHELL: [&str; 9] = [
    ".ci/run",
    ".github/actions/setup-emulator/export-credentials.sh",
    ".github/actions/setup-emulator/install-emulator.sh",
    ".github/actions/setup-emulator/open-kvm.sh",
    ".github/actions/setup-emulator/pull-image.sh",
    "install.sh",
    "vm-tests/clients/s3-rclone.sh",
    "vm-tests/clients/s3-s3cmd.sh",
    "vm-tests/clients/sign-in.sh",
];

const GITHUB: &str = ".github";

/// Runs every linter at its default level.
///
/// # Errors
/// When one cannot be installed, or has something to say.
pub(crate) async fn run(reporter: &dyn Reporter) -> anyhow::Result<()> {
    let bin = PACKAGES.installed(reporter).await?;
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
