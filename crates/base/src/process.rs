//! The one constructor for external processes.
//!
//! `clippy.toml` bans `Command::new` everywhere else. A child runs in its own process group, so a Ctrl-C on
//! the terminal reaches this program first; when the future that waits for the child is dropped, the whole
//! group is killed, or ended in the gentler way that its command asks for. Errors carry the argument vector, the
//! exit status or signal, and the end of stderr.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::io::PipeReader;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

pub mod attached;
mod lookup;
#[cfg(target_os = "linux")]
mod session;

#[cfg(target_os = "linux")]
pub use session::{Streams, User};

use crate::variables;
use lookup::Obstacle;

/// Bytes of a child's stderr that an error keeps.
pub const STDERR_TAIL: usize = 4096;

/// Lines of a child's merged output that an error keeps when the whole of it is in a log file.
pub const LOG_TAIL_LINES: usize = 20;

/// Why an external process did not do its job.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program is not installed or not on `PATH`.
    #[error("`{program}` is not installed or not on `PATH`")]
    NotFound {
        /// The program as it was asked for.
        program: String,
    },
    /// The program is there, and what runs it is not: the interpreter that a script names, or the loader of a binary.
    #[error("`{program}` cannot be run: {runner} does not exist")]
    NoRunner {
        /// The program as it was asked for.
        program: String,
        /// What is missing.
        runner: String,
    },
    /// The working directory does not exist, so nothing could be started there.
    #[error("cannot run `{argv}`: the directory `{cwd}` does not exist")]
    NoDirectory {
        /// The command line.
        argv: String,
        /// The missing directory.
        cwd: PathBuf,
    },
    /// The operating system refused to start the process or to talk to it.
    #[error("cannot run `{argv}`")]
    Io {
        /// The command line.
        argv: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The process ended with something other than exit status 0.
    #[error("`{argv}` {status}{}", tail_text(tail))]
    Failed {
        /// The command line.
        argv: String,
        /// "exited with status 3" or "was killed by signal 9".
        status: String,
        /// The end of what it printed, at most [`STDERR_TAIL`] bytes or [`LOG_TAIL_LINES`] lines.
        tail: String,
    },
}

fn tail_text(tail: &str) -> String {
    if tail.is_empty() { String::new() } else { format!(":\n{}", tail.trim_end()) }
}

/// A process that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Exit status or signal.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: Vec<u8>,
}

/// A command that has not been started yet.
#[derive(Debug, Clone)]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, Option<OsString>)>,
    cwd: Option<PathBuf>,
    stdin: Option<Vec<u8>>,
    ending: Ending,
    readable: bool,
}

/// How a child is ended whose wait is dropped.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// SIGTERM for the group, SIGKILL when this has passed.
    Terminate(Duration),
    /// SIGINT for the child alone, SIGKILL for the group when this has passed.
    Finish(Duration),
}

impl Cmd {
    /// A command for `program`, found on `PATH` when it is not a path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            envs: Vec::new(),
            cwd: None,
            stdin: None,
            ending: Ending::Terminate(Duration::ZERO),
            readable: false,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable for the child.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes an environment variable from what the child inherits.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.as_ref().to_owned(), None));
        self
    }

    /// Sets the child's working directory.
    #[must_use]
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwd = Some(dir.as_ref().to_owned());
        self
    }

    /// Feeds `bytes` to the child's stdin; without it stdin is `/dev/null`. The place for secrets, which must
    /// not be in an argument vector.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// When the wait is dropped, asks the group to end with SIGTERM and gives it this long before SIGKILL. For programs
    /// that put what they start into groups of its own, which only they can end: ninja and its compilers.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.ending = Ending::Terminate(grace);
        self
    }

    /// When the wait is dropped, sends SIGINT to the child alone, and gives it this long before SIGKILL to finish what must not be left
    /// half done; under [`Cmd::logged`] what it prints meanwhile is logged. For package managers, which cancel a download then, but not
    /// an installation.
    #[must_use]
    pub fn finish_within(mut self, limit: Duration) -> Self {
        self.ending = Ending::Finish(limit);
        self
    }

    /// Lets other processes of the same user read the memory of a detached process, where Linux would only let its ancestors
    /// (Yama, `kernel.yama.ptrace_scope=1`). It has no effect elsewhere.
    #[must_use]
    pub fn readable(mut self) -> Self {
        self.readable = true;
        self
    }

    /// The command line, quoted for people.
    pub fn argv(&self) -> String {
        let mut line = quoted(&self.program);
        for arg in &self.args {
            line.push(' ');
            line.push_str(&quoted(arg));
        }
        line
    }

    /// Verifies that the program could be started now, as far as can be seen without doing so.
    ///
    /// # Errors
    /// The error that starting it would give.
    pub fn check(&self) -> Result<(), ProcessError> {
        let own = self.envs.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
        let path = own.unwrap_or_else(|| variables::raw("PATH"));
        let cwd = self.cwd.as_deref().unwrap_or(Path::new(""));
        let program = || self.program.to_string_lossy().into_owned();
        lookup::check(&self.program, path.as_deref(), cwd).map_err(|obstacle| match obstacle {
            Obstacle::Missing => ProcessError::NotFound { program: program() },
            Obstacle::NoInterpreter(name) => {
                let runner = format!("its interpreter `{}`", name.display());
                ProcessError::NoRunner { program: program(), runner }
            }
            Obstacle::Refused(source) => self.io(source),
        })
    }

    /// Runs to the end and returns what the child wrote to stdout.
    ///
    /// # Errors
    /// When it cannot be started or does not exit with status 0.
    pub async fn output(&self) -> Result<Vec<u8>, ProcessError> {
        let finished = self.finished().await?;
        if finished.status.success() {
            return Ok(finished.stdout);
        }
        Err(self.failure(&finished))
    }

    /// The error that `finished` is to a caller for whom its status is one.
    pub fn failure(&self, finished: &Finished) -> ProcessError {
        let kept = &finished.stderr[finished.stderr.len().saturating_sub(STDERR_TAIL)..];
        self.failed(finished.status, String::from_utf8_lossy(kept).into_owned())
    }

    /// Runs to the end, whatever its exit status: for programs whose status is an answer.
    ///
    /// # Errors
    /// When it cannot be started or talked to.
    pub async fn finished(&self) -> Result<Finished, ProcessError> {
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = self.spawn(&mut command)?;
        let stdin = group.child.stdin.take();
        let mut out = group.child.stdout.take().expect("stdout was piped");
        let mut err = group.child.stderr.take().expect("stderr was piped");
        // Declared after the pipes, so dropped before them: a child that says good-bye must not die of SIGPIPE.
        let mut group = group;
        let feed = async {
            if let (Some(mut pipe), Some(bytes)) = (stdin, self.stdin.as_deref()) {
                // A child that does not read its input to the end reports why by its exit status.
                let _ = pipe.write_all(bytes).await;
            }
        };
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let (read_out, read_err, ()) =
            tokio::join!(out.read_to_end(&mut stdout), err.read_to_end(&mut stderr), feed);
        read_out.and(read_err).map_err(|source| self.io(source))?;
        let status = group.wait().await.map_err(|source| self.io(source))?;
        Ok(Finished { status, stdout, stderr })
    }

    /// Like [`Cmd::output`], as text without the final line break.
    ///
    /// # Errors
    /// As [`Cmd::output`].
    pub async fn text(&self) -> Result<String, ProcessError> {
        let out = self.output().await?;
        Ok(String::from_utf8_lossy(&out).trim_end().to_owned())
    }

    /// Runs to the end with stdout and stderr merged, line by line, into `log` (created or appended to) and
    /// `on_line`. On failure the error keeps the last lines.
    ///
    /// # Errors
    /// When it cannot be started, the log cannot be written, or it does not exit with status 0.
    pub async fn logged(&self, log: &Path, mut on_line: impl FnMut(&str)) -> Result<(), ProcessError> {
        let mut file = tokio::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .await
            .map_err(|source| self.io(source))?;
        let header = format!("$ {}\n", self.argv());
        file.write_all(header.as_bytes()).await.map_err(|source| self.io(source))?;

        let (reader, writer) = std::io::pipe().map_err(|source| self.io(source))?;
        let mut command = self.command();
        command.stdout(writer.try_clone().map_err(|source| self.io(source))?).stderr(writer);
        let mut group = self.spawn(&mut command)?;
        if matches!(self.ending, Ending::Finish(_)) {
            let rest = reader.try_clone().map_err(|source| self.io(source))?;
            group.rest = Some((rest, log.to_owned()));
        }
        // The command holds our copies of the write end; end-of-file comes only when they are closed too.
        drop(command);
        if let (Some(mut pipe), Some(bytes)) = (group.child.stdin.take(), self.stdin.as_deref()) {
            let _ = pipe.write_all(bytes).await;
        }
        let reader = tokio::net::unix::pipe::Receiver::from_owned_fd(reader.into())
            .map_err(|source| self.io(source))?;
        let mut reader = BufReader::new(reader);
        // Declared after the pipe, so dropped before it: a child that says good-bye must not die of SIGPIPE.
        let mut group = group;
        let mut tail = std::collections::VecDeque::with_capacity(LOG_TAIL_LINES);
        let mut raw = Vec::new();
        loop {
            raw.clear();
            if reader.read_until(b'\n', &mut raw).await.map_err(|source| self.io(source))? == 0 {
                break;
            }
            file.write_all(&raw).await.map_err(|source| self.io(source))?;
            let line = String::from_utf8_lossy(&raw);
            let line = line.trim_end();
            on_line(line);
            if tail.len() == LOG_TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(line.to_owned());
        }
        file.flush().await.map_err(|source| self.io(source))?;
        let status = group.wait().await.map_err(|source| self.io(source))?;
        if status.success() { Ok(()) } else { Err(self.failed(status, Vec::from(tail).join("\n"))) }
    }

    /// Starts a process that outlives this one: its own session, stdin from `/dev/null`, stdout and stderr
    /// appended to `log`, and `/` as its working directory where it is given no other: the caller's could not be unmounted for as long
    /// as it lives. The caller owns the child and decides when it ends.
    ///
    /// # Errors
    /// When the log cannot be opened or the process cannot be started.
    pub fn spawn_detached(&self, log: &Path) -> Result<Child, ProcessError> {
        let file = File::options().create(true).append(true).open(log).map_err(|source| self.io(source))?;
        let mut command = self.plain_command();
        if self.cwd.is_none() {
            command.current_dir("/");
        }
        command.kill_on_drop(false).stdin(Stdio::null());
        command.stdout(file.try_clone().map_err(|source| self.io(source))?).stderr(file);
        let readable = self.readable;
        let prepare = move || {
            if readable {
                let_others_read();
            }
            rustix::process::setsid().map(drop).map_err(Into::into)
        };
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; `setsid` and `prctl` are, and nothing else
        // is called. The child leads no process group yet, so `setsid` cannot fail for that reason.
        #[expect(unsafe_code, reason = "the standard library has no stable call for a new session")]
        unsafe {
            command.pre_exec(prepare);
        }
        command.spawn().map_err(|source| self.spawn_error(source))
    }

    fn command(&self) -> Command {
        let mut command = self.plain_command();
        command.process_group(0);
        command
    }

    fn plain_command(&self) -> Command {
        #[expect(clippy::disallowed_methods, reason = "this is the one constructor")]
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        for (name, value) in &self.envs {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command
    }

    fn spawn(&self, command: &mut Command) -> Result<Group, ProcessError> {
        let ending = self.ending;
        command
            .spawn()
            .map(|child| Group { child, done: false, ending, rest: None })
            .map_err(|source| self.spawn_error(source))
    }

    fn spawn_error(&self, source: std::io::Error) -> ProcessError {
        if source.kind() == std::io::ErrorKind::NotFound {
            if let Some(cwd) = self.cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
                return ProcessError::NoDirectory { argv: self.argv(), cwd: cwd.clone() };
            }
            let loader = || ProcessError::NoRunner {
                program: self.program.to_string_lossy().into_owned(),
                runner: "the loader that it names".to_owned(),
            };
            return self.check().err().unwrap_or_else(loader);
        }
        self.io(source)
    }

    fn io(&self, source: std::io::Error) -> ProcessError {
        ProcessError::Io { argv: self.argv(), source }
    }

    fn failed(&self, status: ExitStatus, tail: String) -> ProcessError {
        ProcessError::Failed { argv: self.argv(), status: status_text(status), tail }
    }
}

/// "exited with status 3" or "was killed by signal 9".
pub fn status_text(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended without a status".to_owned(),
    }
}

fn quoted(arg: &OsStr) -> String {
    let text = arg.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,.:/@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    let _ = write!(out, "'{}'", text.replace('\'', r"'\''"));
    out
}

/// A child and everything that it started; killed when dropped before it has ended.
struct Group {
    child: Child,
    done: bool,
    ending: Ending,
    /// What it prints, and the log for it once the caller has stopped reading.
    rest: Option<(PipeReader, PathBuf)>,
}

impl Group {
    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.done = true;
        Ok(status)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { return };
        match self.ending {
            Ending::Terminate(grace) => {
                if !grace.is_zero() && kill_process_group(pid, Signal::TERM).is_ok() {
                    wait_at_most(pid, grace);
                }
            }
            Ending::Finish(limit) => {
                if let Some((pipe, log)) = self.rest.take() {
                    std::thread::spawn(move || drain(pipe, &log));
                }
                // One that has changed its user cannot be signalled; it ends when it is done.
                let _ = kill_process(pid, Signal::INT);
                if wait_at_most(pid, limit) {
                    return;
                }
            }
        }
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// Adds to the log what the child still prints: without a reader it would block.
fn drain(mut pipe: PipeReader, log: &Path) -> std::io::Result<()> {
    // The runtime has made it non-blocking.
    rustix::io::ioctl_fionbio(&pipe, false)?;
    std::io::copy(&mut pipe, &mut File::options().append(true).open(log)?)?;
    Ok(())
}

/// Blocks until the child has ended or `limit` has passed, and returns whether it has ended. The child stays a zombie, so that its
/// pid and its group are not reused yet.
fn wait_at_most(pid: Pid, limit: Duration) -> bool {
    let (ended, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let _ = ended.send(());
    });
    wait.recv_timeout(limit).is_ok()
}

/// For the calling process and for what it executes.
#[cfg(target_os = "linux")]
fn let_others_read() {
    // A kernel without Yama knows no such restriction, and says that the call is invalid.
    let _ = rustix::process::set_ptracer(rustix::process::PTracer::Any);
}

#[cfg(not(target_os = "linux"))]
fn let_others_read() {}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Cmd {
        Cmd::new("sh").arg("-c").arg(script)
    }

    #[tokio::test]
    async fn output_is_what_the_child_wrote_to_stdout() {
        assert_eq!(sh("echo out; echo err >&2").text().await.unwrap(), "out");
    }

    #[tokio::test]
    async fn stdin_reaches_the_child() {
        assert_eq!(Cmd::new("cat").stdin("secret").text().await.unwrap(), "secret");
    }

    #[tokio::test]
    async fn a_failure_names_argv_status_and_the_end_of_stderr() {
        let error = sh("echo 'no luck' >&2; exit 3").output().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c 'echo '\\''no luck'\\'' >&2; exit 3'` exited with status 3:\nno luck"
        );
    }

    #[tokio::test]
    async fn a_signal_is_not_an_exit_status() {
        let error = sh("kill -9 $$").output().await.unwrap_err();
        assert!(error.to_string().ends_with("was killed by signal 9"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_program_and_a_missing_directory_are_told_apart() {
        let missing = Cmd::new("no-such-program").output().await.unwrap_err();
        assert!(matches!(missing, ProcessError::NotFound { .. }), "{missing}");
        let nowhere = Cmd::new("true").current_dir("/no/such/dir").output().await.unwrap_err();
        assert!(matches!(nowhere, ProcessError::NoDirectory { .. }), "{nowhere}");
    }

    #[tokio::test]
    async fn a_logged_run_keeps_every_line_and_the_error_the_last_ones() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut lines = Vec::new();
        let error =
            sh("seq 1 30; exit 1").logged(&log, |line| lines.push(line.to_owned())).await.unwrap_err();
        assert_eq!(lines.len(), 30);
        assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 31);
        let text = error.to_string();
        assert!(text.contains("\n11\n") && !text.contains("\n10\n"), "{text}");
    }

    #[tokio::test]
    async fn a_detached_process_is_in_no_directory_of_its_starters() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        sh("pwd").spawn_detached(&log).unwrap().wait().await.unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "/\n");
    }

    #[tokio::test]
    async fn a_detached_process_leads_a_session_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = sh("exec sleep 600").spawn_detached(&dir.path().join("log")).unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
        assert_eq!(rustix::process::getsid(pid).ok(), pid);
        child.kill().await.unwrap();
    }

    #[tokio::test]
    async fn dropping_the_wait_kills_the_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
        let run = sh(&script);
        tokio::select! {
            result = run.output() => panic!("ended by itself: {result:?}"),
            () = async { while !pid_file.exists() || std::fs::read_to_string(&pid_file).unwrap().is_empty() { tokio::task::yield_now().await } } => {}
        }
        let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let gone = || match rustix::process::test_kill_process(pid) {
            Err(_) => Some(()),
            // An orphan that its new parent has not reaped yet is dead all the same.
            Ok(()) => std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
                .is_ok_and(|stat| stat.contains(") Z "))
                .then_some(()),
        };
        crate::wait::until(std::time::Duration::from_secs(5), async || gone())
            .await
            .expect("the grandchild is dead");
    }

    #[tokio::test]
    async fn a_child_with_grace_may_clean_up_before_it_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let (ready, cleaned) = (dir.path().join("ready"), dir.path().join("cleaned"));
        let script = format!(
            "trap 'echo yes > {}; exit' TERM; echo > {}; while :; do sleep 1; done",
            cleaned.display(),
            ready.display()
        );
        let command = sh(&script).grace(Duration::from_secs(5));
        tokio::select! {
            result = command.output() => panic!("ended by itself: {result:?}"),
            () = async { while !ready.exists() { tokio::task::yield_now().await } } => {}
        }
        assert_eq!(std::fs::read_to_string(&cleaned).unwrap(), "yes\n");
    }

    #[tokio::test]
    async fn a_child_that_has_to_finish_is_not_killed_and_what_it_prints_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let [ready, asked, finished, log] =
            ["ready", "asked", "finished", "log"].map(|name| dir.path().join(name));
        // More than a pipe holds, after the wait was dropped.
        let script = format!(
            "trap '' INT; : > {}; while [ ! -e {} ]; do sleep 0.01; done; \
             head -c 300000 /dev/zero | tr '\\0' x; echo; echo the end; : > {}",
            ready.display(),
            asked.display(),
            finished.display()
        );
        let command = sh(&script).finish_within(Duration::from_secs(20));
        tokio::select! {
            result = command.logged(&log, |_| {}) => panic!("ended by itself: {result:?}"),
            () = async {
                while !ready.exists() { tokio::task::yield_now().await }
                std::fs::write(&asked, "").unwrap();
            } => {}
        }
        assert!(finished.exists());
        let printed = || std::fs::read_to_string(&log).unwrap();
        while !printed().ends_with("the end\n") {
            tokio::task::yield_now().await;
        }
    }
}
