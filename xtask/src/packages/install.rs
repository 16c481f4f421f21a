//! Installing, without ever asking anybody anything.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use super::Manager;
use base::events::Phase;
use base::files::{self, FileError};
use base::process::{Cmd, ProcessError};
use base::variables;

/// How long a package manager may take to end when it is interrupted. Killed in the middle of an installation it leaves
/// packages half-installed, and those are the host's.
const PATIENCE: Duration = Duration::from_mins(5);

/// Why something was not installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
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
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NeedsRoot { command, .. } => {
                Some(format!("run `sudo {command}`, or `sudo -v` and try again"))
            }
            _ => None,
        }
    }
}

/// Installs packages with the host's manager; nothing to do for none. Lists of packages are fetched when there are none, and
/// once more when the installation fails, which is what old ones lead to; what an earlier one has left half-done is ended
/// before that. When the wait is dropped, the manager is not killed, but given minutes to end.
///
/// # Errors
/// When there is no manager, no way to become root without a password, or the installation fails.
pub(crate) async fn install_packages(packages: &[String], phase: &Phase<'_>) -> Result<(), InstallError> {
    install_with_apt_options(packages, &[], phase).await
}

/// Like [`install_packages`]; where the manager is apt, it gets these options too, and fetches its lists with them first.
///
/// # Errors
/// As [`install_packages`].
pub(crate) async fn install_with_apt_options(
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
    if let Some(repair) = manager.repair() {
        // What cannot be repaired need not be in the way.
        let _ = runner.run("end an interrupted installation", &repair).await;
    }
    runner.refresh(manager, options).await?;
    runner.run(&task, &install).await
}

/// Fetches the lists of packages where the manager has none at all, as in a fresh container.
///
/// # Errors
/// When there is no way to become root without a password, or the lists cannot be fetched.
pub(crate) async fn fetch_lists_if_none(phase: &Phase<'_>) -> Result<(), InstallError> {
    let Some(manager) = Manager::of_this_host().filter(|manager| manager.has_no_lists()) else {
        return Ok(());
    };
    let command = manager.refresh(&[]).unwrap_or_default();
    Runner::of(manager, &command, phase).await?.refresh(manager, &[]).await
}

/// Installs programs with cargo, each with the dependencies that its author tested. They are not optimised: they run for seconds,
/// or wait for tests, and optimising them takes minutes.
pub(super) async fn crates(names: &[String], phase: &Phase<'_>) -> Result<(), InstallError> {
    let runner = Runner { phase, log: log()?, sudo: false, patience: None };
    for name in names {
        let command = ["cargo", "install", "--locked", "--debug", name.as_str()].map(str::to_owned);
        runner.run(&format!("install `{name}`"), &command).await?;
    }
    Ok(())
}

/// The log that installations are added to.
fn log() -> Result<PathBuf, FileError> {
    let dir = base::cache::root().unwrap_or_else(variables::temp_dir);
    files::create_private_dir(&dir)?;
    Ok(dir.join("setup.log"))
}

/// Runs commands of a package manager, as root where it wants that.
struct Runner<'a> {
    phase: &'a Phase<'a>,
    log: PathBuf,
    sudo: bool,
    /// How long it may take to end when it is interrupted; `None` for what can be killed.
    patience: Option<Duration>,
}

impl<'a> Runner<'a> {
    /// A runner for `manager`; `command` is what a message asks people to run when there is no way to become root.
    async fn of(manager: Manager, command: &[String], phase: &'a Phase<'a>) -> Result<Self, InstallError> {
        let sudo = manager.wants_root() && !rustix::process::geteuid().is_root();
        if sudo && Cmd::new("sudo").args(["-n", "true"]).output().await.is_err() {
            return Err(InstallError::NeedsRoot { command: command.join(" ") });
        }
        Ok(Self { phase, log: log()?, sudo, patience: Some(PATIENCE) })
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
        let mut run = Cmd::new(program).args(words).env("LC_ALL", "C.UTF-8");
        if let Some(patience) = self.patience {
            run = run.finish_within(patience);
        }
        let running = pin!(run.logged(&self.log, |line| self.phase.detail(line)));
        // Declared after what it reports on, so dropped before it.
        let unfinished = self.patience.map(|_| Unfinished { phase: self.phase, task });
        let result = running.await;
        std::mem::forget(unfinished);
        result.map_err(|source| InstallError::Failed { task: task.to_owned(), log: self.log.clone(), source })
    }
}

/// Says, when it is dropped, that an interrupted package manager is waited for.
struct Unfinished<'a> {
    phase: &'a Phase<'a>,
    task: &'a str,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let text = "killing it now could break this host's packages: waiting until it has ended";
        self.phase.notice(&format!("interrupted while the package manager was to {}; {text}", self.task));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use base::events::{Event, Reporter};

    #[derive(Default)]
    struct Notices(Mutex<Vec<String>>);

    impl Reporter for Notices {
        fn report(&self, event: &Event<'_>) {
            if let Event::Notice(text) = event {
                self.0.lock().unwrap().push((*text).to_owned());
            }
        }
    }

    #[tokio::test]
    async fn an_interrupted_package_manager_finishes_and_that_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let [begun, ended, log] = ["begun", "ended", "log"].map(|name| dir.path().join(name));
        let notices = Notices::default();
        let phase = Phase::start(&notices, "setup", "Install");
        let runner = Runner { phase: &phase, log, sudo: false, patience: Some(PATIENCE) };
        let script = format!("trap '' INT; : > {}; sleep 0.1; : > {}", begun.display(), ended.display());
        let command = ["sh", "-c", script.as_str()].map(str::to_owned);
        tokio::select! {
            result = runner.run("install `a`", &command) => panic!("ended by itself: {result:?}"),
            () = async { while !begun.exists() { tokio::task::yield_now().await } } => {}
        }
        assert!(ended.exists());
        let said = notices.0.lock().unwrap().join("\n");
        assert!(said.starts_with("interrupted while the package manager was to install `a`; "), "{said}");
    }
}
