//! The QEMU process: started in a session of its own, known by pid and start time, and ended for certain.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::memory::Kills;
use base::process::{Cmd, LOG_TAIL_LINES, ProcessError, status_text};
use base::{limits, refusal, wait};
use rustix::process::Signal as Number;
use serde::{Deserialize, Serialize};
use tokio::process::Child;

use crate::error::{Class, Explain};

mod platform;
pub mod usage;

/// Bytes at the end of a log that an error looks at.
const TAIL_BYTES: u64 = 8192;

/// How much later than its connections the end of a process may be noticed.
const ECHO_LIMIT: Duration = Duration::from_millis(100);

/// How long the kernel may take to end a process after SIGKILL: it gives back the guest's memory and closes files, and
/// on a machine whose disk is busy that was seen to take longer than 5 s.
const KILL_LIMIT: Duration = Duration::from_secs(30);

/// The signals by which the kernel enforces limits.
const LIMITS: [Number; 2] = [Number::XCPU, Number::XFSZ];

/// The signals that QEMU never raises itself: somebody else has ended it.
const FROM_OUTSIDE: [Number; 4] = [Number::KILL, Number::HUP, Number::INT, Number::QUIT];

/// The signals of a program that ends itself because it has found itself broken.
const CRASHES: [Number; 5] = [Number::ABORT, Number::SEGV, Number::BUS, Number::ILL, Number::FPE];

/// The processes that a guard of this program would kill.
static GUARDED: Mutex<Vec<ProcessIdentity>> = Mutex::new(Vec::new());

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

/// What ended a QEMU that should have lived on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The host refused to let it continue: by a limit, a permission, or a lack of memory.
    Refusal,
    /// It crashed.
    Crash,
    /// A signal from outside.
    Kill,
    /// It ended by itself, such as for a state that it cannot load.
    Other,
}

/// Why the QEMU process does not live, or end, as it should.
#[derive(Debug, thiserror::Error)]
pub enum VmProcessError {
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] ProcessError),
    /// It ended by itself before it was expected to.
    #[error("QEMU {status}{}{}", tail_text(tail), log_text(log.as_deref()))]
    Died {
        /// "exited with status 1", "was killed by signal 9", or "ended".
        status: String,
        /// The end of its log.
        tail: String,
        /// The whole log, where it is kept.
        log: Option<PathBuf>,
        /// What ended it, as far as is known.
        cause: Cause,
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
            Self::Died { cause: Cause::Refusal, log, .. } => Some(format!(
                "free memory, raise the limit that it met{}, or mount for writing what is read-only{}",
                limits::described().map(|limits| format!(" ({limits})")).unwrap_or_default(),
                log.as_ref().map(|log| format!("; or read `{}`", log.display())).unwrap_or_default()
            )),
            Self::Died { log, .. } => log.as_ref().map(|log| format!("read `{}`", log.display())),
        }
    }
}

impl VmProcessError {
    /// Whether the host refuses it something that it may grant another time.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Died { cause: Cause::Refusal, .. }) || refusal::is_cause(self)
    }

    /// Whether a signal from outside has ended QEMU, so that its end says nothing about what it was working on.
    pub fn is_kill(&self) -> bool {
        matches!(self, Self::Died { cause: Cause::Kill, .. })
    }

    /// Whether QEMU crashed, which the machine need not be the cause of: what it was started for may work the next time.
    pub fn is_crash(&self) -> bool {
        matches!(self, Self::Died { cause: Cause::Crash, .. })
    }

    /// The same error, where the log that it names may have been moved to `dir`.
    #[must_use]
    pub fn with_log_in(mut self, dir: &Path) -> Self {
        if let Self::Died { log, .. } = &mut self
            && let Some(name) = log.as_ref().and_then(|log| log.file_name())
            && let moved = dir.join(name)
            && moved.is_file()
        {
            *log = Some(moved);
        }
        self
    }

    /// The same error, where the log is not kept.
    #[must_use]
    pub fn without_log(mut self) -> Self {
        if let Self::Died { log, .. } = &mut self {
            *log = None;
        }
        self
    }
}

fn log_text(log: Option<&Path>) -> String {
    log.map(|log| format!("; its log is `{}`", log.display())).unwrap_or_default()
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
        let entry =
            platform::entry(pid).map_err(|source| VmProcessError::Io { action: "look at", pid, source })?;
        Ok(entry.filter(|entry| !entry.ended).map(|entry| Self { pid, started: entry.started }))
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

    /// Waits for as long as the process lives, without looking at it all the time.
    ///
    /// # Errors
    /// When the operating system refuses to tell.
    pub async fn ended(self) -> Result<(), VmProcessError> {
        let io = |source| VmProcessError::Io { action: "wait for", pid: self.pid, source };
        platform::ended(self).await.map_err(io)
    }

    /// Kills the process and verifies that it is gone.
    ///
    /// # Errors
    /// When the kernel does not end it within 30 s, or refuses to.
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
    /// When it was started.
    kills: Kills,
}

impl Launched {
    /// Starts `command` in a session of its own, with stdout and stderr appended to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &Cmd, log: &Path) -> Result<Self, VmProcessError> {
        let kills = Kills::now();
        let child = command.spawn_detached(log)?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        // Not waited for yet, so the pid is this child's even if it has ended already.
        let entry =
            platform::entry(pid).map_err(|source| VmProcessError::Io { action: "look at", pid, source })?;
        let started = entry.map_or(0, |entry| entry.started);
        let identity = ProcessIdentity { pid, started };
        GUARDED.lock().unwrap_or_else(PoisonError::into_inner).push(identity);
        Ok(Self { child, identity, log: log.to_owned(), detached: false, kills })
    }

    /// The process.
    pub fn identity(&self) -> ProcessIdentity {
        self.identity
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Waits until the process ends by itself, and returns the error for a process that should have continued. Safe to
    /// drop and call again: it is one side of a race.
    pub async fn death(&mut self) -> VmProcessError {
        match self.child.wait().await {
            Ok(status) => self.died(status),
            Err(source) => VmProcessError::Io { action: "wait for", pid: self.identity.pid, source },
        }
    }

    /// Runs `work` unless the process ends first. When `work` fails because the process is ending, as by a connection
    /// that breaks off, the process's end is the error.
    ///
    /// # Errors
    /// When the process ends first, with the end of its log; `work`'s own otherwise.
    pub async fn race<T, E: From<VmProcessError>>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::select! {
            // What is done is done, even if the process has ended in the meantime.
            biased;
            done = work => match done {
                Ok(value) => Ok(value),
                Err(error) => match tokio::time::timeout(ECHO_LIMIT, self.death()).await {
                    Ok(death) => Err(death.into()),
                    Err(_) => Err(error),
                },
            },
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
            Ok(Ok(status)) => Err(self.died(status)),
            Ok(Err(source)) => Err(VmProcessError::Io { action: "wait for", pid, source }),
            Err(_) => Err(VmProcessError::StillRunning { pid, limit }),
        }
    }

    /// What its end was.
    fn died(&self, status: ExitStatus) -> VmProcessError {
        let exhausted = self.kills.since().filter(|_| status.signal() == Some(Number::KILL.as_raw()));
        let ended_by = |signals: &[Number]| {
            status.signal().is_some_and(|signal| signals.iter().any(|known| known.as_raw() == signal))
        };
        let (text, tail) = (status_text(status), log_tail(&self.log));
        let cause = if exhausted.is_some() || ended_by(&LIMITS) || refusal::is_said(&tail) {
            Cause::Refusal
        } else if ended_by(&CRASHES) {
            Cause::Crash
        } else if ended_by(&FROM_OUTSIDE) {
            Cause::Kill
        } else {
            Cause::Other
        };
        VmProcessError::Died {
            status: exhausted.map_or(text.clone(), |exhausted| format!("{text} ({exhausted})")),
            cause,
            tail,
            log: Some(self.log.clone()),
        }
    }

    /// Lets the process live on after this program.
    pub fn detach(mut self) -> ProcessIdentity {
        self.detached = true;
        self.identity
    }

    /// Kills the process and reaps it, which verifies that it is gone.
    ///
    /// # Errors
    /// When the kernel does not end it within 30 s, or refuses to.
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
        GUARDED.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| *known != self.identity);
        if !self.detached {
            // A child that was waited for has no pid any more, and `start_kill` then does nothing.
            let _ = self.child.start_kill();
        }
    }
}

/// Kills every process that a [`Launched`] would kill when it is dropped. For the hook of a panic: where a panic ends the program at
/// once, nothing is dropped.
pub fn kill_guarded() {
    // A thread that panics with the lock held has launched nothing else.
    let Ok(guarded) = GUARDED.try_lock() else { return };
    for process in guarded.iter() {
        let _ = process.signal(Signal::Kill);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn start(dir: &Path, script: &str) -> Launched {
        Launched::start(&Cmd::new("sh").arg("-c").arg(script), &dir.join("log")).unwrap()
    }

    #[tokio::test]
    async fn a_process_is_killed_when_its_guard_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let launched = start(dir.path(), "exec sleep 600");
        let identity = launched.identity();
        assert!(identity.is_alive().unwrap());
        drop(launched);
        identity.gone(SOON).await.unwrap();
    }

    #[tokio::test]
    async fn a_process_is_killed_when_a_panic_goes_past_its_guard() {
        let dir = tempfile::tempdir().unwrap();
        let launched = start(dir.path(), "exec sleep 600");
        let identity = launched.identity();
        let start = tokio::spawn(async move {
            let _launched = launched;
            panic!("of a test");
        });
        assert!(start.await.unwrap_err().is_panic());
        identity.gone(SOON).await.unwrap();
    }

    #[tokio::test]
    async fn a_detached_process_lives_on_until_it_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let identity = start(dir.path(), "exec sleep 600").detach();
        let limit = Duration::from_millis(30);
        let still = identity.gone(limit).await.unwrap_err();
        assert!(matches!(still, VmProcessError::StillRunning { .. }), "{still}");
        identity.kill().await.unwrap();
        assert!(!identity.is_alive().unwrap());
    }

    #[tokio::test]
    async fn a_later_process_with_the_same_pid_is_neither_seen_nor_signalled() {
        let dir = tempfile::tempdir().unwrap();
        let launched = start(dir.path(), "exec sleep 600");
        let identity = launched.identity();
        let earlier = ProcessIdentity { started: identity.started - 1, ..identity };
        assert!(!earlier.is_alive().unwrap());
        earlier.kill().await.unwrap();
        assert!(identity.is_alive().unwrap());
        launched.kill().await.unwrap();
        assert!(!identity.is_alive().unwrap());
    }

    #[tokio::test]
    async fn a_record_of_a_process_survives_json() {
        let dir = tempfile::tempdir().unwrap();
        let launched = start(dir.path(), "exec sleep 600");
        let text = serde_json::to_string(&launched.identity()).unwrap();
        assert_eq!(serde_json::from_str::<ProcessIdentity>(&text).unwrap(), launched.identity());
    }

    #[tokio::test]
    async fn an_early_end_is_told_with_status_and_the_end_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut launched = start(dir.path(), "seq 1 30; echo 'bad option' >&2; exit 1");
        let death = launched.death().await.to_string();
        assert!(death.starts_with("QEMU exited with status 1: 12\n13\n"), "{death}");
        assert!(death.contains("\n30\nbad option; its log is `"), "{death}");
    }

    #[tokio::test]
    async fn an_end_by_a_limit_of_the_host_is_a_refusal_and_a_kill_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let refused = async |script: &str| {
            let error = start(dir.path(), script).death().await;
            std::fs::remove_file(dir.path().join("log")).unwrap();
            error.is_refusal()
        };
        assert!(refused("kill -XCPU $$").await);
        assert!(
            refused("echo \"cannot set up guest memory 'ram': Cannot allocate memory\" >&2; exit 1").await
        );
        assert!(!refused("echo 'load of migration failed: Operation not permitted' >&2; exit 1").await);
        assert!(!refused("kill -KILL $$").await);
    }

    #[tokio::test]
    async fn a_log_that_was_moved_is_named_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        let died = start(dir.path(), "exit 1").death().await;
        std::fs::create_dir(&kept).unwrap();
        std::fs::rename(dir.path().join("log"), kept.join("log")).unwrap();
        let said = died.with_log_in(&kept).to_string();
        assert_eq!(said, format!("QEMU exited with status 1; its log is `{}`", kept.join("log").display()));
        let unkept = start(dir.path(), "exit 1").death().await.without_log();
        assert_eq!(unkept.to_string(), "QEMU exited with status 1");
        assert_eq!(unkept.hint(), None);
    }

    #[tokio::test]
    async fn work_that_fails_because_the_process_ends_is_told_as_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut launched = start(dir.path(), "exit 3");
        let echo = VmProcessError::StillRunning { pid: 0, limit: SOON };
        let error = launched.race(async { Err::<(), _>(echo) }).await.unwrap_err();
        assert!(matches!(error, VmProcessError::Died { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_crash_is_told_from_other_ends() {
        let dir = tempfile::tempdir().unwrap();
        for (script, crashes) in
            [("kill -ABRT $$", true), ("kill -SEGV $$", true), ("kill -KILL $$", false), ("exit 1", false)]
        {
            let death = start(dir.path(), script).death().await;
            assert_eq!(death.is_crash(), crashes, "{script}: {death}");
        }
    }

    #[tokio::test]
    async fn work_that_is_done_before_the_process_ends_gives_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let mut launched = start(dir.path(), "exec sleep 600");
        assert_eq!(launched.race(async { Ok::<_, VmProcessError>(7) }).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_guest_that_shut_down_ends_the_process_with_status_0() {
        let dir = tempfile::tempdir().unwrap();
        start(dir.path(), "exit 0").finished(SOON).await.unwrap();
        let error = start(dir.path(), "kill -9 $$").finished(SOON).await.unwrap_err();
        assert!(error.to_string().starts_with("QEMU was killed by signal 9"), "{error}");
        assert!(error.is_kill());
        let error = start(dir.path(), "kill -ABRT $$").finished(SOON).await.unwrap_err();
        assert!(!error.is_kill(), "QEMU may have done that itself: {error}");
    }

    #[tokio::test]
    async fn termination_is_asked_for_politely_first() {
        let dir = tempfile::tempdir().unwrap();
        let ready = dir.path().join("ready");
        let script = format!("trap 'exit 0' TERM; : > {}; while :; do sleep 0.01; done", ready.display());
        let mut launched = start(dir.path(), &script);
        wait::until(SOON, async || ready.exists().then_some(())).await.unwrap();
        launched.identity().signal(Signal::Terminate).unwrap();
        launched.finished(SOON).await.unwrap();
    }

    #[test]
    fn nobody_has_an_impossible_pid() {
        assert_eq!(ProcessIdentity::of(i32::MAX).unwrap(), None);
        assert_eq!(log_tail(Path::new("/no/such/log")), "");
    }
}
