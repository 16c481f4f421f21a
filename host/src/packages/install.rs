//! Installing, without ever asking anybody anything.

use std::path::PathBuf;

use super::Manager;
use crate::events::Phase;
use crate::files::{self, FileError};
use crate::process::{Cmd, ProcessError};

/// Why something was not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The host's package manager is none that this program knows.
    #[error("this host has none of apt, dnf, pacman and brew")]
    NoManager,
    /// Neither root nor allowed to become root without a password.
    #[error("installing `{}` needs root, and `sudo` asks for a password", packages.join(" "))]
    NeedsRoot {
        /// What is wanted.
        packages: Vec<String>,
        /// The command that root would run.
        command: String,
    },
    /// The package manager or cargo failed.
    #[error("cannot install `{}`; the whole log is `{}`", packages.join(" "), log.display())]
    Failed {
        /// What was wanted.
        packages: Vec<String>,
        /// Everything that was printed.
        log: PathBuf,
        /// The command and its last lines.
        #[source]
        source: ProcessError,
    },
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] FileError),
}

impl InstallError {
    /// The command to run next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NeedsRoot { command, .. } => {
                Some(format!("run `sudo {command}`, or `sudo -v` and try again"))
            }
            _ => None,
        }
    }
}

/// Installs packages with the host's manager; nothing to do for none. Lists of packages are fetched when there are none, and
/// once more when the installation fails, which is what old ones lead to.
///
/// # Errors
/// When there is no manager, no way to become root without a password, or the installation fails.
pub async fn install_packages(packages: &[String], phase: &Phase<'_>) -> Result<(), InstallError> {
    install_with_apt_options(packages, &[], phase).await
}

/// Like [`install_packages`]; where the manager is apt, it gets these options too, and fetches its lists with them first.
///
/// # Errors
/// As [`install_packages`].
pub async fn install_with_apt_options(
    packages: &[String],
    options: &[String],
    phase: &Phase<'_>,
) -> Result<(), InstallError> {
    if packages.is_empty() {
        return Ok(());
    }
    let manager = Manager::of_this_host().ok_or(InstallError::NoManager)?;
    let runner = Runner { packages, phase, log: log()?, sudo: sudo(manager, packages).await? };
    let refresh_first = !options.is_empty() || manager.has_no_lists();
    if refresh_first {
        runner.run(manager.refresh(options)).await?;
    }
    let install = || runner.run(Some(manager.install(packages, options)));
    match (install().await, manager.refresh(options)) {
        (Err(_), Some(refresh)) if !refresh_first => {
            runner.run(Some(refresh)).await?;
            install().await
        }
        (result, _) => result,
    }
}

/// Installs programs with cargo, each in the version that its author tested.
pub(super) async fn crates(names: &[String], phase: &Phase<'_>) -> Result<(), InstallError> {
    for name in names {
        let names = [name.clone()];
        let runner = Runner { packages: &names, phase, log: log()?, sudo: false };
        let command = ["cargo", "install", "--locked", name.as_str()];
        runner.run(Some(command.map(str::to_owned).to_vec())).await?;
    }
    Ok(())
}

/// Whether commands must go through `sudo`.
async fn sudo(manager: Manager, packages: &[String]) -> Result<bool, InstallError> {
    if !manager.wants_root() || rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    match Cmd::new("sudo").args(["-n", "true"]).output().await {
        Ok(_) => Ok(true),
        Err(_) => Err(InstallError::NeedsRoot {
            packages: packages.to_vec(),
            command: manager.install(packages, &[]).join(" "),
        }),
    }
}

/// The log that installations are added to.
fn log() -> Result<PathBuf, FileError> {
    let dir = crate::cache::root().unwrap_or_else(std::env::temp_dir);
    files::create_private_dir(&dir)?;
    Ok(dir.join("setup.log"))
}

struct Runner<'a> {
    packages: &'a [String],
    phase: &'a Phase<'a>,
    log: PathBuf,
    sudo: bool,
}

impl Runner<'_> {
    async fn run(&self, command: Option<Vec<String>>) -> Result<(), InstallError> {
        let Some(command) = command else { return Ok(()) };
        let sudo: &[&str] = if self.sudo { &["sudo", "-n"] } else { &[] };
        let mut words = sudo.iter().map(ToString::to_string).chain(command);
        let program = words.next().expect("no command is empty");
        let run = Cmd::new(program).args(words).env("LC_ALL", "C.UTF-8");
        run.logged(&self.log, |line| self.phase.detail(line)).await.map_err(|source| InstallError::Failed {
            packages: self.packages.to_vec(),
            log: self.log.clone(),
            source,
        })
    }
}
