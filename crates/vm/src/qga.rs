//! QEMU's guest agent, typed: runs programs in the guest, sets its clock, shuts it down.
//!
//! The channel has no ids, and what an earlier client sent may be answered to a later one. So every connection, and every
//! call after one that failed, begins with a `guest-sync`: everything before the answer with its number is old.
//!
//! Reference: QEMU's documentation, "QEMU Guest Agent Protocol Reference".

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base::wait::Backoff;
use qapi::qga::{self, GuestExecCaptureOutput, GuestShutdownMode, QgaCommand};

use crate::error::{Class, Explain};
use crate::wire::{self, Answer, Listener, Message, Receiver, Sender};

/// How long one `guest-sync` is waited for before another is sent: the agent may have been restarted in between.
const SYNC_ATTEMPT: Duration = Duration::from_secs(5);

/// The least time for which an agent is asked again whether a program still runs: a busy guest needs about this long for an answer.
const LEAST_TO_ANSWER: Duration = Duration::from_millis(500);

/// Bytes of a program's stderr that an error keeps.
const STDERR_TAIL: usize = 2048;

/// Why the guest agent does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum QgaError {
    /// The socket cannot be connected to.
    #[error("cannot talk to the guest agent at `{}`", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The agent does not run, or not yet.
    #[error("the guest agent gave no sign of life within {:.1} s", .0.as_secs_f64())]
    Silent(Duration),
    /// No answer in time.
    #[error("the guest agent did not answer `{command}` within {:.1} s", limit.as_secs_f64())]
    NoAnswer {
        /// The command.
        command: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// QEMU closed the connection.
    #[error("the guest agent's channel was closed during `{0}`")]
    Closed(&'static str),
    /// The agent answered with an error.
    #[error("the guest agent refused `{command}`: {reason}")]
    Refused {
        /// The command.
        command: &'static str,
        /// Why, in the agent's words.
        reason: String,
    },
    /// The answer is not of the type that the schema gives.
    #[error("the guest agent's answer to `{command}` makes no sense")]
    Answer {
        /// The command.
        command: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A program in the guest did not end in time. It may still run.
    #[error("`{program}` still runs in the guest after {:.1} s", limit.as_secs_f64())]
    StillRunning {
        /// The program.
        program: String,
        /// How long was waited.
        limit: Duration,
    },
    /// A program in the guest failed.
    #[error("`{program}` {status} in the guest{}", tail_text(tail))]
    Failed {
        /// The program.
        program: String,
        /// "exited with status 3", "was killed by signal 9", or "ended without a status".
        status: String,
        /// The end of its stderr.
        tail: String,
    },
}

fn tail_text(tail: &str) -> String {
    if tail.is_empty() { String::new() } else { format!(":\n{}", tail.trim_end()) }
}

impl Explain for QgaError {
    fn class(&self) -> Class {
        match self {
            Self::Silent(_) | Self::NoAnswer { .. } | Self::StillRunning { .. } => Class::TimedOut,
            _ => Class::Failed,
        }
    }
}

/// A program to be run in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exec {
    program: String,
    args: Vec<String>,
    env: Vec<String>,
    stdin: Option<Vec<u8>>,
}

impl Exec {
    /// The program at `path` in the guest.
    pub fn new(path: &str) -> Self {
        Self { program: path.to_owned(), ..Self::default() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable. Without any the program has the agent's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Feeds `bytes` to the program's stdin: the place for secrets.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    fn command(&self) -> qga::guest_exec {
        qga::guest_exec {
            path: self.program.clone(),
            arg: Some(self.args.clone()),
            env: (!self.env.is_empty()).then(|| self.env.clone()),
            input_data: self.stdin.clone(),
            capture_output: Some(GuestExecCaptureOutput::flag(true)),
        }
    }
}

/// How a program in the guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With this exit status.
    Exited(i64),
    /// By this signal.
    Signalled(i64),
    /// The agent does not say: never a success.
    Unknown,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exited with status {status}"),
            Self::Signalled(signal) => write!(f, "was killed by signal {signal}"),
            Self::Unknown => f.write_str("ended without a status"),
        }
    }
}

/// A program that has ended in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// The program.
    pub program: String,
    /// How it ended.
    pub ending: Ending,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: Vec<u8>,
    /// Whether the agent dropped a part of either: it keeps 16 MiB of each.
    pub truncated: bool,
}

impl Completed {
    /// The program's output when it ended with status 0.
    ///
    /// # Errors
    /// When it ended in any other way.
    pub fn success(self) -> Result<Vec<u8>, QgaError> {
        if self.ending == Ending::Exited(0) {
            return Ok(self.stdout);
        }
        let tail = &self.stderr[self.stderr.len().saturating_sub(STDERR_TAIL)..];
        let tail = String::from_utf8_lossy(tail).into_owned();
        Err(QgaError::Failed { program: self.program, status: self.ending.to_string(), tail })
    }
}

/// A client of the guest agent.
#[derive(Debug)]
pub struct Qga {
    path: PathBuf,
    /// `None` before the first call and after one that failed on the way.
    channel: Option<(Sender, Receiver)>,
}

impl Qga {
    /// A client for the socket at `path` of a QEMU that has opened its sockets. Nothing is sent before the first call.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), channel: None }
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until the agent answers.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub async fn ready(&mut self, limit: Duration) -> Result<(), QgaError> {
        self.call(qga::guest_ping {}, limit).await.map(drop)
    }

    /// Runs one command of the agent's schema, for at most `limit`, connecting first where needed.
    ///
    /// # Errors
    /// When the agent does not run, refuses, or does not answer.
    pub async fn call<C: QgaCommand>(&mut self, command: C, limit: Duration) -> Result<C::Ok, QgaError> {
        let start = Instant::now();
        // Taken out, and put back only after a whole exchange: one that is cut short leaves an answer behind.
        let mut channel = match self.channel.take() {
            Some(channel) => channel,
            None => wire::within(limit, synced(&self.path)).await.ok_or(QgaError::Silent(limit))??,
        };
        let left = limit.saturating_sub(start.elapsed());
        let answer = wire::within(left, exchange(&mut channel, command)).await;
        let answer = answer.ok_or(QgaError::NoAnswer { command: C::NAME, limit })?;
        let answer = answer.map_err(|_| QgaError::Closed(C::NAME))?.ok_or(QgaError::Closed(C::NAME))?;
        self.channel = Some(channel);
        match answer {
            Answer::Return(value) => {
                serde_json::from_value(value).map_err(|source| QgaError::Answer { command: C::NAME, source })
            }
            Answer::Error(reason) => Err(QgaError::Refused { command: C::NAME, reason }),
        }
    }

    /// Runs a program in the guest to its end, for at most `limit`.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time. Its own failure is reported by [`Completed::success`].
    pub async fn exec(&mut self, exec: &Exec, limit: Duration) -> Result<Completed, QgaError> {
        let start = Instant::now();
        let pid = self.call(exec.command(), limit).await?.pid;
        let mut backoff = Backoff::default();
        let mut is_known_to_run = false;
        loop {
            let left = limit.saturating_sub(start.elapsed());
            // A question that the limit cuts short would put the blame on an agent that answers.
            if left.is_zero() || is_known_to_run && left < LEAST_TO_ANSWER {
                return Err(QgaError::StillRunning { program: exec.program.clone(), limit });
            }
            let status = self.call(qga::guest_exec_status { pid }, left).await?;
            if status.exited {
                return Ok(completed(&exec.program, status));
            }
            is_known_to_run = true;
            backoff.pause().await;
        }
    }

    /// Sets the guest's clock.
    ///
    /// # Errors
    /// When the agent cannot, as without `hwclock` in the guest, or does not answer within `limit`.
    pub async fn set_time(&mut self, time: SystemTime, limit: Duration) -> Result<(), QgaError> {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanoseconds = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        self.call(qga::guest_set_time { time: Some(nanoseconds) }, limit).await.map(drop)
    }

    /// Asks the guest to power off, and returns when it goes down: the agent answers only when it cannot. The channel stays
    /// open until then, since QEMU drops what a client has sent last when it closes.
    ///
    /// # Errors
    /// When there is no sign of life from the agent within `limit`, or it refuses.
    pub async fn shutdown(&mut self, limit: Duration) -> Result<(), QgaError> {
        let mut channel = match self.channel.take() {
            Some(channel) => channel,
            None => wire::within(limit, synced(&self.path)).await.ok_or(QgaError::Silent(limit))??,
        };
        let command = qga::guest_shutdown { mode: Some(GuestShutdownMode::Powerdown) };
        match exchange(&mut channel, command).await {
            Ok(Some(Answer::Error(reason))) => Err(QgaError::Refused { command: "guest-shutdown", reason }),
            // An answer, or the end of the channel: the agent is going down with the machine.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn completed(program: &str, status: qga::GuestExecStatus) -> Completed {
    let ending = match (status.exitcode, status.signal) {
        (_, Some(signal)) => Ending::Signalled(signal),
        (Some(code), None) => Ending::Exited(code),
        (None, None) => Ending::Unknown,
    };
    Completed {
        program: program.to_owned(),
        ending,
        stdout: status.out_data.unwrap_or_default(),
        stderr: status.err_data.unwrap_or_default(),
        truncated: status.out_truncated.unwrap_or(false) || status.err_truncated.unwrap_or(false),
    }
}

async fn exchange<C: QgaCommand>(channel: &mut (Sender, Receiver), command: C) -> io::Result<Option<Answer>> {
    let (sender, receiver) = channel;
    sender.send(command, None).await?;
    answer(receiver).await
}

async fn answer(receiver: &mut Receiver) -> io::Result<Option<Answer>> {
    loop {
        match receiver.next().await? {
            Some(Message::Answer(_, answer)) => return Ok(Some(answer)),
            Some(Message::Other(_)) => {}
            None => return Ok(None),
        }
    }
}

/// Connects and gets in step with the agent. Never gives up: race it against a deadline.
async fn synced(path: &Path) -> Result<(Sender, Receiver), QgaError> {
    let error = |source| QgaError::Connect { path: path.to_owned(), source };
    let mut backoff = Backoff::default();
    loop {
        let mut channel = wire::connect(path, Listener::Running).await.map_err(error)?;
        match wire::within(SYNC_ATTEMPT, sync(&mut channel)).await {
            Some(Ok(true)) => return Ok(channel),
            // QEMU closes the channel when its client is not the first or the machine is going down.
            Some(Ok(false) | Err(_)) => backoff.pause().await,
            None => {}
        }
    }
}

/// Sends a `guest-sync` and passes over everything up to its answer; `false` when the channel is closed first.
async fn sync((sender, receiver): &mut (Sender, Receiver)) -> io::Result<bool> {
    let id = i64::from(rand::random::<u32>());
    sender.reset().await?;
    sender.send(qga::guest_sync { id }, None).await?;
    while let Some(answer) = answer(receiver).await? {
        if matches!(answer, Answer::Return(value) if value.as_i64() == Some(id)) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fake_monitor::{Server, Step, answer, answer_with, say};

    const SOON: Duration = Duration::from_secs(5);
    const SHORT: Duration = Duration::from_millis(50);

    /// Answers a `guest-sync` with its number.
    fn synced() -> Step {
        answer_with("guest-sync", |command| format!(r#"{{"return": {}}}"#, command["arguments"]["id"]))
    }

    fn agent(steps: impl IntoIterator<Item = Step>) -> Server {
        Server::start(vec![[synced()].into_iter().chain(steps).collect()])
    }

    /// Runs `/bin/job` against an agent that ends it with `status`.
    async fn run(status: &'static str) -> Result<Completed, QgaError> {
        let server = agent([
            answer("guest-exec", r#"{"return": {"pid": 7}}"#),
            answer("guest-exec-status", r#"{"return": {"exited": false}}"#),
            answer("guest-exec-status", status),
        ]);
        Qga::new(server.path()).exec(&Exec::new("/bin/job"), SOON).await
    }

    #[tokio::test]
    async fn old_answers_and_garbage_before_the_sync_are_passed_over() {
        let server = Server::start(vec![vec![
            Step::Say(b"half an ans\n\xff{\"return\": 1}\n{\"error\": {\"class\": \"GenericError\", \"desc\": \"old\"}}\n".to_vec()),
            synced(),
            answer("guest-ping", r#"{"return": {}}"#),
        ]]);
        Qga::new(server.path()).ready(SOON).await.unwrap();
    }

    #[tokio::test]
    async fn a_call_after_a_missed_deadline_begins_a_new_connection() {
        let server = Server::start(vec![
            vec![synced(), Step::Hear("guest-ping")],
            vec![say(r#"{"return": {"late": true}}"#), synced(), answer("guest-ping", r#"{"return": {}}"#)],
        ]);
        let mut qga = Qga::new(server.path());
        let late = qga.ready(SHORT).await.unwrap_err();
        assert!(matches!(late, QgaError::NoAnswer { .. } | QgaError::Closed(_)), "{late}");
        qga.ready(SOON).await.unwrap();
    }

    #[tokio::test]
    async fn a_new_connection_passes_over_what_the_old_one_left() {
        let server = Server::start(vec![
            vec![synced(), Step::Hear("guest-ping")],
            vec![say(r#"{"return": {}}"#), synced(), answer("guest-exec", r#"{"return": {"pid": 9}}"#)],
        ]);
        let mut qga = Qga::new(server.path());
        let closed = qga.ready(SOON).await.unwrap_err();
        assert!(matches!(closed, QgaError::Closed("guest-ping")), "{closed}");
        let started = qga.call(Exec::new("/bin/true").command(), SOON).await.unwrap();
        assert_eq!(started.pid, 9);
    }

    #[tokio::test]
    async fn an_agent_that_does_not_run_is_given_up_at_the_deadline() {
        let server = Server::start(vec![vec![]]);
        let error = Qga::new(server.path()).ready(SHORT).await.unwrap_err();
        assert_eq!(error.to_string(), "the guest agent gave no sign of life within 0.1 s");
    }

    #[tokio::test]
    async fn a_program_gives_its_output_when_it_succeeds() {
        let done =
            run(r#"{"return": {"exited": true, "exitcode": 0, "out-data": "b3V0Cg=="}}"#).await.unwrap();
        assert!(!done.truncated);
        assert_eq!(done.success().unwrap(), b"out\n");
    }

    #[tokio::test]
    async fn a_program_that_fails_tells_its_status_and_stderr() {
        let done =
            run(r#"{"return": {"exited": true, "exitcode": 3, "err-data": "bm8gbHVjawo="}}"#).await.unwrap();
        let error = done.success().unwrap_err().to_string();
        assert_eq!(error, "`/bin/job` exited with status 3 in the guest:\nno luck");
    }

    #[tokio::test]
    async fn a_program_without_an_exit_status_has_failed() {
        let killed = run(r#"{"return": {"exited": true, "signal": 9}}"#).await.unwrap();
        assert_eq!(
            killed.success().unwrap_err().to_string(),
            "`/bin/job` was killed by signal 9 in the guest"
        );
        let unknown = run(r#"{"return": {"exited": true}}"#).await.unwrap();
        assert_eq!(
            unknown.success().unwrap_err().to_string(),
            "`/bin/job` ended without a status in the guest"
        );
    }

    #[tokio::test]
    async fn output_that_the_agent_has_cut_is_marked() {
        let cut = r#"{"return": {"exited": true, "exitcode": 0, "out-data": "", "out-truncated": true}}"#;
        assert!(run(cut).await.unwrap().truncated);
    }

    #[tokio::test]
    async fn a_program_that_runs_on_is_given_up_at_the_deadline() {
        let polls = (0..1000).map(|_| answer("guest-exec-status", r#"{"return": {"exited": false}}"#));
        let start = [answer("guest-exec", r#"{"return": {"pid": 7}}"#)];
        let server = agent(start.into_iter().chain(polls));
        let error = Qga::new(server.path()).exec(&Exec::new("/bin/job"), SHORT).await.unwrap_err();
        assert_eq!(error.class(), Class::TimedOut);
        assert!(matches!(error, QgaError::StillRunning { .. }), "{error}");
    }

    #[tokio::test]
    async fn arguments_environment_and_input_reach_the_agent() {
        let server = agent([
            answer_with("guest-exec", |command| {
                let arguments = &command["arguments"];
                assert_eq!(arguments["arg"], serde_json::json!(["a b"]));
                assert_eq!(arguments["env"], serde_json::json!(["K=V"]));
                assert_eq!(arguments["input-data"], "c2VjcmV0");
                assert_eq!(arguments["capture-output"], true);
                r#"{"return": {"pid": 7}}"#.to_owned()
            }),
            answer("guest-exec-status", r#"{"return": {"exited": true, "exitcode": 0}}"#),
        ]);
        let exec = Exec::new("/bin/job").args(["a b"]).env("K", "V").stdin("secret");
        Qga::new(server.path()).exec(&exec, SOON).await.unwrap().success().unwrap();
    }

    #[tokio::test]
    async fn a_refusal_carries_the_words_of_the_agent() {
        let refusal = r#"{"error": {"class": "GenericError", "desc": "hwclock is missing"}}"#;
        let server = agent([answer("guest-set-time", refusal), answer("guest-ping", r#"{"return": {}}"#)]);
        let mut qga = Qga::new(server.path());
        let error = qga.set_time(SystemTime::now(), SOON).await.unwrap_err();
        assert_eq!(error.to_string(), "the guest agent refused `guest-set-time`: hwclock is missing");
        qga.ready(SOON).await.unwrap();
    }

    #[tokio::test]
    async fn a_shutdown_is_over_when_the_channel_is_closed() {
        let server = Server::start(vec![vec![synced(), Step::Hear("guest-shutdown")], Vec::new()]);
        Qga::new(server.path()).shutdown(SOON).await.unwrap();
    }

    #[tokio::test]
    async fn a_shutdown_that_the_agent_refuses_is_an_error() {
        let refusal = r#"{"error": {"class": "GenericError", "desc": "no shutdown program"}}"#;
        let server = agent([answer("guest-shutdown", refusal)]);
        let error = Qga::new(server.path()).shutdown(SOON).await.unwrap_err();
        assert_eq!(error.to_string(), "the guest agent refused `guest-shutdown`: no shutdown program");
    }
}
