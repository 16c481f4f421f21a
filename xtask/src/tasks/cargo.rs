//! Cargo, and other programs whose output people want to see, as the tasks call them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use host::{blocking, variables};
use xshell::{Shell, cmd};

/// Runs `cargo` with `args`, its output going straight through.
///
/// It shares this program's process group, so a Ctrl-C reaches it and whatever it started.
///
/// # Errors
/// When it does not exit with status 0.
pub(crate) async fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> anyhow::Result<()> {
    cargo_with_env(args, []).await
}

/// Like [`cargo`], with environment variables.
///
/// # Errors
/// As [`cargo`].
pub(crate) async fn cargo_with_env<'a>(
    args: impl IntoIterator<Item = &'a str>,
    env: impl IntoIterator<Item = (&'a str, OsString)>,
) -> anyhow::Result<()> {
    run_openly(Path::new("cargo"), args, env).await
}

/// Runs `program` with its output going straight through, in this program's process group.
///
/// # Errors
/// When it does not exit with status 0.
pub(crate) async fn run_openly<'a>(
    program: &Path,
    args: impl IntoIterator<Item = &'a str>,
    env: impl IntoIterator<Item = (&'a str, OsString)>,
) -> anyhow::Result<()> {
    let program = program.to_owned();
    let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
    let env: Vec<(String, OsString)> =
        env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let run = move || -> anyhow::Result<()> {
        let sh = Shell::new()?;
        Ok(cmd!(sh, "{program} {args...}").envs(env).run()?)
    };
    blocking::run(run).await
}

/// Builds the `emulator` program in release mode and gives its path.
///
/// # Errors
/// When the build fails.
pub(crate) async fn emulator_binary() -> anyhow::Result<PathBuf> {
    cargo(["build", "--quiet", "--release", "--package", "emulator"]).await?;
    Ok(target_dir()?.join("release/emulator"))
}

/// Builds this very program and gives its path.
///
/// The path that the program was started from is no substitute: a build of the whole workspace replaces the file, and the
/// running program then has a path that is gone.
///
/// # Errors
/// When the build fails.
pub(crate) async fn xtask_binary() -> anyhow::Result<PathBuf> {
    cargo(["build", "--quiet", "--package", "xtask"]).await?;
    Ok(target_dir()?.join("debug/xtask"))
}

/// Where cargo puts what it builds.
///
/// # Errors
/// When the working directory is gone.
pub(crate) fn target_dir() -> anyhow::Result<PathBuf> {
    let target = variables::path("CARGO_TARGET_DIR").unwrap_or_else(|| PathBuf::from("target"));
    Ok(std::path::absolute(target)?)
}
