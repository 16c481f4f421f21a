//! Cargo, and other programs whose output people want to see, as the tasks call them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base::blocking;
use serde::Deserialize;
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

/// Builds the `emulator` program in release mode and returns its path.
///
/// # Errors
/// When the build fails.
pub(crate) async fn emulator_binary() -> anyhow::Result<PathBuf> {
    built("emulator", &["--quiet", "--release"], []).await
}

/// Builds this very program and returns its path.
///
/// The path that the program was started from does not do: a build of the whole workspace replaces the file, and the
/// running program then has a path that is gone.
///
/// # Errors
/// When the build fails.
pub(crate) async fn xtask_binary() -> anyhow::Result<PathBuf> {
    built("xtask", &["--quiet"], []).await
}

/// Builds the program of a package that is called like it, and returns its path.
///
/// # Errors
/// When the build fails.
pub(crate) async fn built<'a>(
    name: &str,
    args: &[&str],
    env: impl IntoIterator<Item = (&'a str, OsString)>,
) -> anyhow::Result<PathBuf> {
    built_in(name, name, args, env).await
}

/// Builds program `name` of `package`, and returns the path that cargo names: variables and cargo's configuration can lead it anywhere.
///
/// # Errors
/// When the build fails.
pub(crate) async fn built_in<'a>(
    package: &str,
    name: &str,
    args: &[&str],
    env: impl IntoIterator<Item = (&'a str, OsString)>,
) -> anyhow::Result<PathBuf> {
    let package: Vec<_> = ["build", "--package", package, "--bin", name].map(str::to_owned).into();
    let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let env: Vec<(String, OsString)> =
        env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let run = move || -> anyhow::Result<String> {
        let sh = Shell::new()?;
        // What people want to see goes to stderr.
        let format = "json-render-diagnostics";
        Ok(cmd!(sh, "cargo {package...} {args...} --message-format {format}").envs(env).read()?)
    };
    let messages = blocking::run(run).await?;
    let executable = executable(&messages, name);
    executable.with_context(|| format!("cargo does not say where it has put `{name}`"))
}

/// A message of `cargo build --message-format json` about what it has made.
#[derive(Deserialize)]
struct Artifact {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Where program `name` is, by cargo's messages.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    artifacts.filter(|artifact| artifact.target.name == name).find_map(|artifact| artifact.executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_where_it_has_put_a_program() {
        let messages = r#"
            {"reason":"compiler-artifact","target":{"name":"emulator","kind":["lib"]},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"emulator","kind":["bin"]},"executable":"/elsewhere/release/emulator"}
            {"reason":"build-finished","success":true}
        "#;
        assert_eq!(executable(messages, "emulator"), Some("/elsewhere/release/emulator".into()));
        assert_eq!(executable(messages, "xtask"), None);
    }

    #[tokio::test]
    async fn a_program_is_found_where_a_variable_leads_cargo_to() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("Cargo.toml"),
            "[package]\nname = \"tiny\"\nedition = \"2024\"\n[workspace]\n",
        )
        .unwrap();
        std::fs::create_dir(dir.path().join("src")).unwrap();
        std::fs::write(dir.path().join("src/main.rs"), "fn main() {}").unwrap();
        let elsewhere = dir.path().join("elsewhere");
        let manifest = dir.path().join("Cargo.toml");
        let args = ["--quiet", "--manifest-path", manifest.to_str().unwrap()];
        let program = built("tiny", &args, [("CARGO_TARGET_DIR", elsewhere.clone().into())]).await.unwrap();
        assert_eq!(program, elsewhere.join("debug/tiny"));
    }
}
