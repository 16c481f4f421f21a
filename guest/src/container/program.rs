//! The program of a container, started and ended by `crun`. No process of `crun` stays: this process takes the program over as its own
//! child.

use std::{
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, anyhow, ensure};
use base::{
    process::{Cmd, Streams, User},
    readiness::readable,
};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal,
    set_child_subreaper, waitid,
};
use tokio::{io::unix::AsyncFd, time::timeout};

use super::signal;

/// The control group stays that of the unit.
const OPTIONS: [&str; 1] = ["--cgroup-manager=disabled"];

/// Where `crun` keeps what it knows of containers.
const STATES: &str = "/run/crun";

/// Where `crun` is found.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// systemd's socket for notifications, which is not the container's.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// The file in the runtime directory of a container with the id of its program's process.
pub(super) const PID_FILE: &str = "pid";

/// Most characters of what `crun` says that are kept as a reason.
const REASON_LIMIT: usize = 400;

/// `crun` for one container.
#[derive(Debug, Clone)]
pub(super) struct Crun {
    name: String,
    runtime: PathBuf,
}

/// How a program has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With this exit status.
    Exited(u8),
    /// By this signal.
    Killed(u8),
}

impl End {
    /// The exit status that a shell would have: a signal's is its number and 128.
    pub(super) fn status(self) -> u8 {
        match self {
            Self::Exited(status) => status,
            Self::Killed(signal) => signal.saturating_add(128),
        }
    }

    /// For people.
    pub(super) fn text(self) -> String {
        match self {
            Self::Exited(status) => format!("its program exited with status {status}"),
            Self::Killed(signal) => format!("its program was killed by signal {signal}"),
        }
    }
}

/// Makes this process the parent of what its children leave behind, or no longer.
fn adopt_orphans(yes: bool) -> anyhow::Result<()> {
    // Any process id says yes.
    let flag = yes.then(rustix::process::getpid);
    set_child_subreaper(flag).context("cannot adopt processes")
}

/// Waits for all that has ended in the process group of `crun`, whose processes start each other.
fn bury(group: Option<u32>) {
    let group = group.and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
    if let Some(group) = group {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        while let Ok(Some(_)) = waitid(WaitId::Pgid(Some(group)), options) {}
    }
}

impl Crun {
    pub(super) fn new(name: &str, runtime: &Path) -> Self {
        Self { name: name.to_owned(), runtime: runtime.to_owned() }
    }

    /// Creates the container of `bundle`, and starts its program with the streams of this process.
    ///
    /// # Errors
    /// When `crun` refuses, with its reason.
    pub(super) async fn start(&self, bundle: &Path) -> anyhow::Result<Program> {
        self.forget().await?;
        let (log, pid_file) = (self.runtime.join("crun.log"), self.runtime.join(PID_FILE));
        base::files::remove_if_there(&log)?;
        let create = Cmd::new("crun")
            .args(OPTIONS)
            .arg("--log")
            .arg(&log)
            .arg("create")
            .arg("--bundle")
            .arg(bundle)
            .arg("--pid-file")
            .arg(&pid_file)
            .arg(&self.name)
            .env("PATH", PATH);
        let streams = Streams {
            stdin: Stdio::null(),
            stdout: Stdio::inherit(),
            stderr: Stdio::inherit(),
            terminal: false,
        };
        // Only the program is adopted: what else `crun` leaves behind, at every check, is not for this process to wait for.
        adopt_orphans(true)?;
        let root = User { uid: 0, gid: 0, groups: vec![0] };
        let mut creating = create
            .spawn_session(&root, streams)
            .with_context(|| format!("cannot run `{}`", create.argv()))?;
        let group = creating.id();
        let status = creating.wait().await.context("cannot wait for `crun`")?;
        adopt_orphans(false)?;
        bury(group);
        ensure!(status.success(), "{}", said(&log).unwrap_or_else(|| format!("`{}` failed", create.argv())));
        let pid =
            fs::read_to_string(&pid_file).with_context(|| format!("cannot read `{}`", pid_file.display()))?;
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
        let program = Program::open(pid.context("`crun` gave no process id")?)?;
        if let Err(error) = command("start").arg(&self.name).output().await {
            program.kill();
            return Err(error.into());
        }
        Ok(program)
    }

    /// Asks the program to end with `signal`, and kills it after `limit`. One that does not hear the signal is killed at once.
    pub(super) async fn stop(&self, program: &Program, signal: &str, limit: Duration) -> End {
        if program.hears(signal) {
            let ask = command("kill").arg(&self.name).arg(signal);
            let ended = async {
                // One that cannot be asked is killed.
                ask.output().await.ok()?;
                Some(program.ended().await)
            };
            if let Ok(Some(Ok(end))) = timeout(limit, ended).await {
                return end;
            }
        }
        program.kill();
        program.ended().await.unwrap_or(End::Killed(9))
    }

    /// Removes what `crun` knows of a container that has ended.
    ///
    /// # Errors
    /// When `crun` refuses.
    pub(super) async fn forget(&self) -> anyhow::Result<()> {
        if Path::new(STATES).join(&self.name).exists() {
            command("delete").arg("--force").arg(&self.name).output().await?;
        }
        Ok(())
    }

    /// Executes the process in the file `process` in the container, and writes its id into `pid`.
    pub(super) fn exec(&self, process: &Path, pid: &Path) -> Cmd {
        command("exec").arg("--process").arg(process).arg("--pid-file").arg(pid).arg(&self.name)
    }
}

fn command(command: &str) -> Cmd {
    Cmd::new("crun").args(OPTIONS).arg(command).env_remove(NOTIFY_SOCKET)
}

/// What `crun` has written about its failure.
fn said(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    let last = text.lines().rfind(|line| !line.trim().is_empty())?;
    // Some versions begin a line with the time.
    let time = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let message = last.split_once("Z: ").filter(|(head, _)| time(head)).map_or(last, |(_, message)| message);
    Some(base::text::beginning(message, REASON_LIMIT).into_owned())
}

/// A program that runs, or has ended and is not reported yet.
pub(super) struct Program {
    pid: Pid,
    fd: AsyncFd<OwnedFd>,
}

impl Program {
    fn open(pid: Pid) -> anyhow::Result<Self> {
        let fd = pidfd_open(pid, PidfdFlags::NONBLOCK).context("cannot watch the program")?;
        Ok(Self { pid, fd: readable(fd).context("cannot watch the program")? })
    }

    /// Waits until it has ended. Safe to drop and call again until it has returned.
    ///
    /// # Errors
    /// When it is not a child of this process.
    pub(super) async fn ended(&self) -> anyhow::Result<End> {
        loop {
            let mut ready = self.fd.readable().await.context("cannot watch the program")?;
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            match waitid(WaitId::PidFd(self.fd.get_ref().as_fd()), options) {
                Ok(Some(status)) => return end(status),
                Ok(None) | Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(io::Error::from(error)).context("cannot wait for the program"),
            }
        }
    }

    fn hears(&self, signal: &str) -> bool {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        fs::read_to_string(path).map_or(true, |status| signal::is_heard(signal, &status))
    }

    /// Ends it and, with it, all other processes of the container.
    fn kill(&self) {
        let _ = pidfd_send_signal(self.fd.get_ref(), Signal::KILL);
    }
}

fn end(status: WaitIdStatus) -> anyhow::Result<End> {
    let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    if let Some(status) = status.exit_status() {
        return Ok(End::Exited(byte(status)));
    }
    status
        .terminating_signal()
        .map(|signal| End::Killed(byte(signal)))
        .ok_or_else(|| anyhow!("it has not ended"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_crun_is_read_without_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let message = "executable file `x` not found in $PATH: No such file or directory";
        for text in [format!("{message}\n"), format!("warning\n2026-01-01T00:00:00.000000Z: {message}\n\n")] {
            fs::write(&log, text).unwrap();
            assert_eq!(said(&log).unwrap(), message);
        }
        assert_eq!(said(&dir.path().join("none")), None);
    }

    #[test]
    fn a_signal_is_a_status_as_in_a_shell() {
        assert_eq!((End::Exited(3).status(), End::Killed(15).status()), (3, 143));
    }
}
