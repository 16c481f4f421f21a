//! The QEMU process: started in a session of its own, known by pid and start time, and ended for certain.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::process::{Cmd, LOG_TAIL_LINES, ProcessError, status_text};
use host::wait;
use serde::{Deserialize, Serialize};
use tokio::process::Child;

use crate::error::{Class, Explain};

mod platform;

/// Bytes at the end of a log that an error looks at.
const TAIL_BYTES: u64 = 8192;

/// How long the kernel may take to end a process after SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessIdentity {
    /// Process id.
    pub pid: i32,
    /// When it started, in a unit of the platform's: clock ticks since the boot on Linux, seconds since 1970 on macOS.
    pub started: u64,
}

/// What the process should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: QEMU flushes its disks and quits; the guest is not asked.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// Why the QEMU process does not live, or end, as it should.
#[derive(Debug, thiserror::Error)]
pub enum VmProcessError {
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] ProcessError),
    /// It ended by itself before it was expected to.
    #[error("QEMU {status}{}; its log is `{}`", tail_text(tail), log.display())]
    Died {
        /// "exited with status 1", "was killed by signal 9", or "ended".
        status: String,
        /// The end of its log.
        tail: String,
        /// The whole log.
        log: PathBuf,
    },
    /// It is still there after the deadline.
    #[error("process {pid} is still running after {:.0} s", limit.as_secs_f64())]
    StillRunning {
        /// Its process id.
        pid: i32,
        /// How long was waited.
        limit: Duration,
    },
    /// The operating system refused to tell about it or to signal it.
    #[error("cannot {action} process {pid}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Its process id.
        pid: i32,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

impl Explain for VmProcessError {
    fn class(&self) -> Class {
        match self {
            Self::Start(source) => source.class(),
            Self::StillRunning { .. } => Class::TimedOut,
            Self::Died { .. } | Self::Io { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Start(source) => source.hint(),
            Self::StillRunning { pid, .. } | Self::Io { pid, .. } => {
                Some(format!("look at it with `ps -fp {pid}`"))
            }
            Self::Died { log, .. } => Some(format!("read `{}`", log.display())),
        }
    }
}

fn tail_text(tail: &str) -> String {
    if tail.is_empty() { String::new() } else { format!(": {}", tail.trim_end()) }
}

impl ProcessIdentity {
    /// The process that has `pid` now, or `None` when there is none or it has ended already.
    ///
    /// # Errors
    /// When the operating system refuses to tell.
    pub fn of(pid: i32) -> Result<Option<Self>, VmProcessError> {
        let started =
            platform::started(pid).map_err(|source| VmProcessError::Io { action: "look at", pid, source })?;
        Ok(started.map(|started| Self { pid, started }))
    }

    /// Whether this very process still runs.
    ///
    /// # Errors
    /// When the operating system refuses to tell.
    pub fn is_alive(self) -> Result<bool, VmProcessError> {
        Ok(Self::of(self.pid)? == Some(self))
    }

    /// Sends `signal` to this very process; one that has ended is left alone.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn signal(self, signal: Signal) -> Result<(), VmProcessError> {
        platform::signal(self, signal).map_err(|source| VmProcessError::Io {
            action: "signal",
            pid: self.pid,
            source,
        })
    }

    /// Waits until the process has ended.
    ///
    /// # Errors
    /// When it is still there after `limit`, or the operating system refuses to tell.
    pub async fn gone(self, limit: Duration) -> Result<(), VmProcessError> {
        let gone = async || match self.is_alive() {
            Ok(true) => None,
            Ok(false) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        };
        let still_running = |_| VmProcessError::StillRunning { pid: self.pid, limit };
        wait::until(limit, gone).await.map_err(still_running)?
    }

    /// Kills the process and proves that it is gone.
    ///
    /// # Errors
    /// When the kernel does not end it within 5 s, or refuses to.
    pub async fn kill(self) -> Result<(), VmProcessError> {
        self.signal(Signal::Kill)?;
        self.gone(KILL_LIMIT).await
    }
}

/// A QEMU that this program has started. Killed when dropped, unless it was [detached](Launched::detach).
#[derive(Debug)]
pub struct Launched {
    child: Child,
    identity: ProcessIdentity,
    log: PathBuf,
    detached: bool,
}

impl Launched {
    /// Starts `command` in a session of its own, with stdout and stderr appended to `log`.
    ///
    /// # Errors
    /// When it cannot be started, or has ended before it could be looked at.
    pub fn start(command: &Cmd, log: &Path) -> Result<Self, VmProcessError> {
        let mut child = command.spawn_detached(log)?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        // Not reaped yet, so the pid is still this child's; a child that has ended already is told from its status.
        let identity = ProcessIdentity::of(pid)?;
        match identity {
            Some(identity) => Ok(Self { child, identity, log: log.to_owned(), detached: false }),
            None => {
                let status = child.try_wait().ok().flatten();
                Err(died(status.map_or_else(|| "ended".to_owned(), status_text), log))
            }
        }
    }

    /// The process.
    pub fn identity(&self) -> ProcessIdentity {
        self.identity
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Waits until the process ends by itself, and gives the error that this is where it should have gone on. Safe to
    /// drop and call again: it is one side of a race.
    pub async fn death(&mut self) -> VmProcessError {
        match self.child.wait().await {
            Ok(status) => died(status_text(status), &self.log),
            Err(source) => VmProcessError::Io { action: "wait for", pid: self.identity.pid, source },
        }
    }

    /// Runs `work` unless the process ends first.
    ///
    /// # Errors
    /// When the process ends first, with the end of its log; `work`'s own otherwise.
    pub async fn race<T, E: From<VmProcessError>>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::select! {
            done = work => done,
            death = self.death() => Err(death.into()),
        }
    }

    /// Waits until the process has ended by itself, as after a shutdown of the guest, and reaps it.
    ///
    /// # Errors
    /// When it is still there after `limit`, or did not end with status 0.
    pub async fn finished(&mut self, limit: Duration) -> Result<(), VmProcessError> {
        let pid = self.identity.pid;
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(died(status_text(status), &self.log)),
            Ok(Err(source)) => Err(VmProcessError::Io { action: "wait for", pid, source }),
            Err(_) => Err(VmProcessError::StillRunning { pid, limit }),
        }
    }

    /// Lets the process live on after this program.
    pub fn detach(mut self) -> ProcessIdentity {
        self.detached = true;
        self.identity
    }

    /// Kills the process, reaps it and so proves that it is gone.
    ///
    /// # Errors
    /// When the kernel does not end it within 5 s, or refuses to.
    pub async fn kill(mut self) -> Result<(), VmProcessError> {
        let pid = self.identity.pid;
        let io = |source| VmProcessError::Io { action: "kill", pid, source };
        match tokio::time::timeout(KILL_LIMIT, self.child.kill()).await {
            Ok(killed) => killed.map_err(io),
            Err(_) => Err(VmProcessError::StillRunning { pid, limit: KILL_LIMIT }),
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        if !self.detached {
            // A child that was waited for has no pid any more, and `start_kill` then does nothing.
            let _ = self.child.start_kill();
        }
    }
}

/// The error of a QEMU whose end was noticed from outside: with the end of its log.
pub fn died(status: String, log: &Path) -> VmProcessError {
    VmProcessError::Died { status, tail: log_tail(log), log: log.to_owned() }
}

/// The last lines of the file at `path`, at most 20 and 8 KiB; empty when it cannot be read.
pub fn log_tail(path: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
