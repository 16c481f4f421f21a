//! What tests run as a developer's own programs: packages of npm and `PyPI`, in pinned versions.

use std::path::PathBuf;

use anyhow::Context as _;
use base::digest;
use base::events::{Event, Phase, Reporter};
use base::files::{self, FileLock};
use base::process::Cmd;

/// Variable that names the installation to the tests.
pub(crate) const VARIABLE: &str = "VM_TESTS_CLIENTS";

/// The files that pin the packages, by the names that npm and pip know them by.
const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("../../../vm-tests/clients/package.json")),
    ("package-lock.json", include_str!("../../../vm-tests/clients/package-lock.json")),
    ("requirements.txt", include_str!("../../../vm-tests/clients/requirements.txt")),
];

/// Hexadecimal digits of the digest that names an installation.
const KEY_DIGITS: usize = 12;

/// File that is there when an installation is whole.
const COMPLETE: &str = ".complete";

/// The directory with `node_modules/` and the virtual environment `python/`, which are installed there unless they are there already.
///
/// # Errors
/// When a package cannot be fetched, or does not have the pinned digest.
pub(crate) async fn installed(reporter: &dyn Reporter) -> anyhow::Result<PathBuf> {
    let cache = base::cache::root().context("there is no home directory: set `STACK_EMULATOR_CACHE`")?;
    files::create_private_dir(&cache)?;
    let pins = FILES.map(|(_, content)| content).concat();
    let key = digest::of_bytes(pins.as_bytes()).first_digits(KEY_DIGITS);
    let dir = cache.join(format!("clients-{key}"));
    let wait = || reporter.report(&Event::Notice("another command installs the clients; waiting for it"));
    let _lock = FileLock::acquire(&cache.join("clients.lock"), wait).await?;
    if dir.join(COMPLETE).exists() {
        return Ok(dir);
    }
    let phase = Phase::start(reporter, "clients", "Install the clients that tests run");
    let log = cache.join("clients.log");
    let logged = |cmd: Cmd| {
        let (log, phase) = (&log, &phase);
        async move { cmd.logged(log, |line| phase.detail(line)).await }
    };
    files::create_private_dir(&dir)?;
    for (name, content) in FILES {
        files::write_atomic(&dir.join(name), content.as_bytes(), files::PUBLIC_FILE)?;
    }
    let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    logged(Cmd::new("npm").args(npm).current_dir(&dir)).await?;
    let python = dir.join("python");
    logged(Cmd::new("python3").args(["-m", "venv", "--clear"]).arg(&python)).await?;
    let pip = ["-m", "pip", "install", "--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes"];
    let pip = Cmd::new(python.join("bin/python")).args(pip);
    logged(pip.arg("--requirement").arg(dir.join("requirements.txt"))).await?;
    files::write_atomic(&dir.join(COMPLETE), b"", files::PUBLIC_FILE)?;
    phase.done();
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lockfile_names_digests_and_no_registry() {
        let (_, lock) = FILES[1];
        let lock: serde_json::Value = serde_json::from_str(lock).expect("npm wrote it");
        let packages = lock["packages"].as_object().expect("it lists packages");
        for (path, package) in packages.iter().filter(|(path, _)| !path.is_empty()) {
            assert!(package["integrity"].is_string(), "{path}");
            assert!(package.get("resolved").is_none(), "{path}");
        }
    }
}
