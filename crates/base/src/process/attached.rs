//! A command that runs in the place of this program: with its terminal, its streams, its process group and all that it was started with.

use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use super::{Cmd, ProcessError};
use crate::startup;

mod family;

use family::Family;

/// A command that runs in the place of this program.
#[derive(Debug)]
pub struct Attached {
    child: Child,
    pid: Pid,
    family: Family,
}

impl Cmd {
    /// Starts it with the streams of this program, in its process group, and with the descriptors and limits that this program was
    /// started with: so the terminal's signals and its job control reach it as if it had been started directly. On Linux the kernel
    /// kills it when this process ends.
    ///
    /// # Errors
    /// When it cannot be started: [`ProcessError::NotFound`] where there is no such program, [`ProcessError::NoRunner`] where what
    /// runs it is missing.
    pub fn attach(&self) -> Result<Attached, ProcessError> {
        let family = Family::gather();
        let mut command = self.plain_command();
        command.stdin(Stdio::inherit()).kill_on_drop(false);
        let parent = rustix::process::getpid();
        let prepare = move || {
            startup::give_back();
            family::end_with(parent);
            Ok(())
        };
        // SAFETY: between fork and exec only async-signal-safe calls are allowed: this marks descriptors, sets limits and the effect of
        // signals, and allocates nothing.
        #[expect(unsafe_code, reason = "the standard library has no stable calls for it")]
        unsafe {
            command.pre_exec(prepare);
        }
        let child = command.spawn().map_err(|source| self.spawn_error(source))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let pid = pid.expect("a child that has not been waited for has a pid");
        Ok(Attached { child, pid, family })
    }
}

impl Attached {
    /// Waits until the command has ended. Safe to drop and call again.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        loop {
            tokio::select! {
                status = self.child.wait() => return status,
                () = self.family.child_ended() => self.family.reap(self.pid),
            }
        }
    }

    /// Sends the signal with this number to the command; one that has ended is left alone.
    pub fn signal(&self, number: i32) {
        // One that has been waited for has no pid any more, and the number may be another process's.
        if self.child.id().is_some()
            && let Some(signal) = Signal::from_named_raw(number)
        {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Kills the command, and on Linux everything that it has started, also what has left its process group or was orphaned.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL.as_raw());
        self.family.kill(self.pid).await;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_cannot_be_run_is_told_from_what_is_not_there() {
        let missing = Cmd::new("no-such-program").attach().unwrap_err();
        assert!(matches!(missing, ProcessError::NotFound { .. }), "{missing}");
        let data = Cmd::new("/etc/passwd").attach().unwrap_err();
        assert!(matches!(data, ProcessError::Io { .. }), "{data}");
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let command = Cmd::new(&script);
        for error in [command.check().unwrap_err(), command.attach().unwrap_err()] {
            assert!(
                error.to_string().ends_with("its interpreter `/no/such/interpreter` does not exist"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_signal_reaches_the_command_and_its_status_is_kept() {
        let mut command = Cmd::new("sleep").arg("600").attach().unwrap();
        command.signal(Signal::TERM.as_raw());
        assert_eq!(command.ended().await.unwrap().signal(), Some(Signal::TERM.as_raw()));
        // Its pid may be another process's by now.
        command.signal(Signal::KILL.as_raw());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_killed_command_leaves_none_of_what_it_has_started() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        // An orphan in a session of its own, and a child.
        let script = format!(
            "trap '' TERM; sh -c 'setsid sleep 600 & echo $! >> {0}'; sleep 600 & echo $! >> {0}; wait",
            pids.display()
        );
        let mut command = Cmd::new("sh").arg("-c").arg(script).attach().unwrap();
        let read = || std::fs::read_to_string(&pids).unwrap_or_default();
        let both = async || (read().lines().count() == 2).then_some(());
        crate::wait::until(Duration::from_secs(10), both).await.unwrap();
        command.kill().await;
        assert_eq!(command.ended().await.unwrap().signal(), Some(Signal::KILL.as_raw()));
        for pid in read().lines().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()) {
            assert!(rustix::process::test_kill_process(pid).is_err(), "{pid:?} is still there");
        }
    }
}
