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
    #[error("`{command}` needs root, and `sudo` asks for a password")]
    NeedsRoot {
        /// The command that root would run.
        command: String,
    },
    /// The package manager or cargo failed.
    #[error("cannot {task}; the whole log is `{}`", log.display())]
    Failed {
        /// "install `a`", "fetch the lists of packages".
        task: String,
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
    let install = manager.install(packages, options);
    let runner = Runner::of(manager, &install, phase).await?;
    let refresh_first = !options.is_empty() || manager.has_no_lists();
    if refresh_first {
        runner.refresh(manager, options).await?;
    }
    let task = format!("install `{}`", packages.join(" "));
    let first = runner.run(&task, &install).await;
    if first.is_ok() || refresh_first || manager.refresh(options).is_none() {
        return first;
    }
    runner.refresh(manager, options).await?;
    runner.run(&task, &install).await
}

/// Fetches the lists of packages where the manager has none at all, as in a fresh container.
///
/// # Errors
/// When there is no way to become root without a password, or the lists cannot be fetched.
pub async fn fetch_lists_if_none(phase: &Phase<'_>) -> Result<(), InstallError> {
    let Some(manager) = Manager::of_this_host().filter(|manager| manager.has_no_lists()) else {
        return Ok(());
    };
    let command = manager.refresh(&[]).unwrap_or_default();
    Runner::of(manager, &command, phase).await?.refresh(manager, &[]).await
}

/// Installs programs with cargo, each with the dependencies that its author tested.
pub(super) async fn crates(names: &[String], phase: &Phase<'_>) -> Result<(), InstallError> {
    let runner = Runner { phase, log: log()?, sudo: false };
    for name in names {
        let command = ["cargo", "install", "--locked", name.as_str()].map(str::to_owned);
        runner.run(&format!("install `{name}`"), &command).await?;
    }
    Ok(())
}

/// The log that installations are added to.
fn log() -> Result<PathBuf, FileError> {
    let dir = crate::cache::root().unwrap_or_else(std::env::temp_dir);
    files::create_private_dir(&dir)?;
    Ok(dir.join("setup.log"))
}

/// Runs commands of a package manager, as root where it wants that.
struct Runner<'a> {
    phase: &'a Phase<'a>,
    log: PathBuf,
    sudo: bool,
}

impl<'a> Runner<'a> {
    /// A runner for `manager`; `command` is what people are told to run when there is no way to become root.
    async fn of(manager: Manager, command: &[String], phase: &'a Phase<'a>) -> Result<Self, InstallError> {
        let sudo = manager.wants_root() && !rustix::process::geteuid().is_root();
        if sudo && Cmd::new("sudo").args(["-n", "true"]).output().await.is_err() {
            return Err(InstallError::NeedsRoot { command: command.join(" ") });
        }
        Ok(Self { phase, log: log()?, sudo })
    }

    async fn refresh(&self, manager: Manager, options: &[String]) -> Result<(), InstallError> {
        match manager.refresh(options) {
            Some(command) => self.run("fetch the lists of packages", &command).await,
            None => Ok(()),
        }
    }

    async fn run(&self, task: &str, command: &[String]) -> Result<(), InstallError> {
        let sudo: &[&str] = if self.sudo { &["sudo", "-n"] } else { &[] };
        let mut words = sudo.iter().copied().chain(command.iter().map(String::as_str));
        let program = words.next().expect("no command is empty");
        let run = Cmd::new(program).args(words).env("LC_ALL", "C.UTF-8");
        run.logged(&self.log, |line| self.phase.detail(line)).await.map_err(|source| InstallError::Failed {
            task: task.to_owned(),
            log: self.log.clone(),
            source,
        })
    }
}
