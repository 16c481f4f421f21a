//! The end of a machine that a command of the user's needs, and that no command has ended.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base::memory::{Exhausted, Kills};
use base::wait;
use vm::process::{ProcessIdentity, log_tail};

use super::Instance;
use super::error::InstanceError;
use super::live::Live;
use super::state::{Fault, State};

/// How long a command that has ended a machine may take to tidy up after it.
const TIDY_LIMIT: Duration = Duration::from_mins(1);

/// A machine whose QEMU crashed or was killed. Displays as what is known of the cause, and where the logs are.
#[derive(Debug)]
pub struct Loss {
    process: ProcessIdentity,
    exhausted: Option<Exhausted>,
    /// The last line of its log.
    said: Option<String>,
    logs: PathBuf,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QEMU (pid {}) crashed or was killed", self.process.pid)?;
        if let Some(exhausted) = self.exhausted {
            write!(f, " ({exhausted})")?;
        }
        if let Some(said) = &self.said {
            write!(f, "; the last line of its log is `{said}`")?;
        }
        write!(f, "; the logs are in `{}`", self.logs.display())
    }
}

impl Instance {
    /// Waits until the QEMU of `live` crashes or is killed. Never ends for a machine that a command ends.
    ///
    /// # Errors
    /// When the operating system or a file does not show whether it runs.
    pub async fn lost(&self, live: &Live) -> Result<Loss, InstanceError> {
        let Some(process) = live.machine.process else { return std::future::pending().await };
        let kills = Kills::now();
        process.ended().await?;
        let settled = async || match self.state() {
            Ok(State::Starting(_) | State::Stopping(_) | State::Running(_)) => None,
            other => Some(other),
        };
        let died = |fault: &Fault| matches!(fault, Fault::Died { process: gone } if *gone == process);
        match wait::until(TIDY_LIMIT, settled).await {
            Ok(Ok(State::Broken(faults))) if faults.iter().any(died) => {}
            Ok(Err(error)) => return Err(error),
            // A command has ended it, or another machine runs by now.
            _ => return std::future::pending().await,
        }
        let log = log_tail(&self.dir.qemu_log());
        let said = log.lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned);
        Ok(Loss { process, exhausted: kills.since(), said, logs: self.dir.logs() })
    }
}

#[cfg(test)]
mod tests {
    use base::files::{FileLock, create_private_dir};
    use base::process::Cmd;
    use vm::home::Home;
    use vm::process::{Launched, Signal};

    use super::super::live::tests::live;
    use super::super::record;
    use super::*;
    use crate::name::InstanceName;

    struct Running {
        _home: tempfile::TempDir,
        instance: Instance,
        qemu: Launched,
        live: Live,
    }

    fn running() -> Running {
        let home = tempfile::tempdir().unwrap();
        let instance = Instance::new(&Home::new(home.path()), InstanceName::default());
        create_private_dir(instance.dir.root()).unwrap();
        create_private_dir(&instance.dir.logs()).unwrap();
        let command = Cmd::new("sh").args(["-c", "echo no luck; exec sleep 600"]);
        let qemu = Launched::start(&command, &instance.dir.qemu_log()).unwrap();
        let live = live(Some(qemu.identity()), true);
        record::write(&instance.dir.live(), &live).unwrap();
        Running { _home: home, instance, qemu, live }
    }

    #[tokio::test]
    async fn a_machine_that_is_killed_is_lost_and_its_last_line_is_shown() {
        let it = running();
        let said = async || (!log_tail(&it.instance.dir.qemu_log()).is_empty()).then_some(());
        wait::until(TIDY_LIMIT, said).await.unwrap();
        it.qemu.identity().signal(Signal::Kill).unwrap();
        let text = it.instance.lost(&it.live).await.unwrap().to_string();
        assert!(text.contains(&format!("(pid {})", it.qemu.identity().pid)), "{text}");
        assert!(text.contains("`no luck`") && text.ends_with("/logs`"), "{text}");
    }

    #[tokio::test]
    async fn a_machine_that_a_command_ends_is_not_lost() {
        let it = running();
        let lock = FileLock::try_acquire(it.instance.dir.lock()).unwrap().unwrap();
        let command = async {
            it.qemu.identity().kill().await.unwrap();
            std::fs::remove_file(it.instance.dir.live()).unwrap();
            drop(lock);
            // Longer than it takes to notice.
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        tokio::select! {
            lost = it.instance.lost(&it.live) => panic!("{lost:?}"),
            () = command => {}
        }
    }
}
