//! The built program, run as a user runs it and timed from outside.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use base::blocking;
use base::process::{Cmd, Finished};
use image::arch::Arch;
use image::manifest::Manifest;
use serde::de::DeserializeOwned;
use vm::home::HOME_VARIABLE;
use vm::saving::Strategy;

use super::answers::{CaptureAnswer, StartAnswer, StopAnswer};
use super::home::BenchHome;
use super::scenario::StartKind;

/// Beginning of the names of variables that stand for flags of the program.
const VARIABLES: &str = "EMULATOR_";

/// How long the program may take to undo what it was doing when it is interrupted.
const GRACE: Duration = Duration::from_secs(30);

/// How `stop` has to end.
const SUSPENDED: &str = "suspended";

/// How long the machine is left alone before a command.
const PAUSE: Duration = Duration::from_millis(500);

/// The program in a home of its own.
pub(crate) struct Emulator<'a> {
    program: PathBuf,
    arch: Arch,
    home: BenchHome<'a>,
}

/// What a run has answered, and how long it has taken from its start to its end.
pub(super) struct Timed<T> {
    pub(super) seconds: f64,
    pub(super) answer: T,
}

impl<'a> Emulator<'a> {
    /// `program` in `home`, with machines for `arch`.
    pub(crate) fn new(program: PathBuf, arch: Arch, home: BenchHome<'a>) -> Self {
        Self { program, arch, home }
    }

    /// Architecture of the machines.
    pub(crate) fn arch(&self) -> Arch {
        self.arch
    }

    /// Its home.
    pub(crate) fn home(&self) -> &BenchHome<'a> {
        &self.home
    }

    /// `start` on the default ports, as a user has it; on any free ones while another process has one of those.
    ///
    /// # Errors
    /// When it fails, or was not the start that was to be measured.
    pub(super) async fn start(
        &self,
        kind: &StartKind,
        manifest: &Manifest,
    ) -> anyhow::Result<Timed<StartAnswer>> {
        let ports = &manifest.stack.ports;
        let default = ports.iter().all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port.host)).is_ok());
        let ports = ports.iter().filter(|_| !default).map(|port| format!("--port={}=auto", port.name));
        let args =
            ["start".to_owned()].into_iter().chain(kind.args.iter().map(|&arg| arg.to_owned())).chain(ports);
        let expected = StartKind { rotated: kind.rotated && !manifest.stack.secrets.is_empty(), ..*kind };
        self.run(args, |started: &StartAnswer| started.check(&expected)).await
    }

    /// `stop`.
    ///
    /// # Errors
    /// When it fails or does not suspend.
    pub(super) async fn stop(&self) -> anyhow::Result<Timed<StopAnswer>> {
        let suspended = |stopped: &StopAnswer| match stopped.ending.as_str() {
            SUSPENDED => Ok(()),
            other => Err(format!("it ended by `{other}`")),
        };
        self.run(["stop".to_owned()], suspended).await
    }

    /// `capture` with `strategy`, replacing the snapshot that there is.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn capture(&self, strategy: Strategy) -> anyhow::Result<CaptureAnswer> {
        let args = ["capture".to_owned(), "--force".to_owned(), format!("--strategy={strategy}")];
        Ok(self.run(args, |_: &CaptureAnswer| Ok(())).await?.answer)
    }

    /// `reset`, without the question.
    ///
    /// # Errors
    /// When it fails.
    pub(super) async fn reset(&self) -> anyhow::Result<()> {
        self.run(["reset".to_owned(), "--yes".to_owned()], |_: &serde_json::Value| Ok(())).await.map(drop)
    }

    /// Any command, of which only counts that it succeeds: how many seconds it has taken.
    ///
    /// # Errors
    /// When it fails.
    pub(super) async fn time(&self, args: impl IntoIterator<Item = String>) -> anyhow::Result<f64> {
        settle().await;
        self.time_at_once(args).await
    }

    /// The same right after what came before, so that work which that has left to do counts.
    ///
    /// # Errors
    /// When it fails.
    pub(super) async fn time_at_once(&self, args: impl IntoIterator<Item = String>) -> anyhow::Result<f64> {
        Ok(timed(&self.command(args)).await?.0)
    }

    /// Whether it has this command: older programs lack some.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) async fn knows(&self, command: &str) -> anyhow::Result<bool> {
        let cmd = self.command([command.to_owned(), "--help".to_owned()]);
        Ok(cmd.finished().await?.status.success())
    }

    async fn run<T: DeserializeOwned>(
        &self,
        args: impl IntoIterator<Item = String>,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> anyhow::Result<Timed<T>> {
        let cmd = self.command(args);
        settle().await;
        let (seconds, finished) = timed(&cmd).await?;
        let unexpected = |reason: String| {
            let printed =
                [&finished.stdout[..], &finished.stderr[..]].map(String::from_utf8_lossy).join("\n");
            anyhow::anyhow!(
                "`{}` did something else than what was to be measured: {reason}\n{printed}",
                cmd.argv()
            )
        };
        let answer =
            serde_json::from_slice(&finished.stdout).map_err(|error| unexpected(error.to_string()))?;
        match check(&answer) {
            Ok(()) => Ok(Timed { seconds, answer }),
            Err(reason) => bail!(unexpected(reason)),
        }
    }

    /// The program without the caller's settings, so that everybody measures the same.
    fn command(&self, args: impl IntoIterator<Item = String>) -> Cmd {
        let names = std::env::vars_os().map(|(name, _)| name);
        let settings = names.filter(|name| name.to_string_lossy().starts_with(VARIABLES));
        // Before the command: what follows `--` belongs to a program that it runs.
        let cmd = Cmd::new(&self.program).args(["--output", "json", "--arch", self.arch.as_str()]);
        let cmd = cmd.args(args).grace(GRACE).env(HOME_VARIABLE, self.home.home().root());
        settings.fold(cmd, Cmd::env_remove)
    }
}

/// Runs a command that has to succeed: how many seconds it has taken, and its output.
///
/// # Errors
/// When it fails.
async fn timed(cmd: &Cmd) -> anyhow::Result<(f64, Finished)> {
    let begun = Instant::now();
    let finished = cmd.finished().await?;
    let seconds = begun.elapsed().as_secs_f64();
    if !finished.status.success() {
        return Err(cmd.failure(&finished).into());
    }
    Ok((seconds, finished))
}

/// How many seconds a program takes that is not `emulator`.
///
/// # Errors
/// When it fails.
pub(super) async fn time_program(program: &str) -> anyhow::Result<f64> {
    settle().await;
    Ok(timed(&Cmd::new(program)).await?.0)
}

/// Leaves the machine alone for a moment, with nothing to write: what a command has left to the kernel to do, such as the end of
/// a machine that was killed, does not count in the next one.
pub(super) async fn settle() {
    blocking::run(rustix::fs::sync).await;
    tokio::time::sleep(PAUSE).await;
}
