//! `stackd container init`: a small first process of a container. It passes signals on to the program, and waits for processes that lost
//! their parents.

use std::{os::unix::process::ExitStatusExt as _, process::ExitCode, process::ExitStatus};

use anyhow::Context as _;
use base::process::Cmd;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::service;

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Init {
    /// Runs it to its end, and returns its exit status.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        service::run(self.until_end())?
    }

    async fn until_end(self) -> anyhow::Result<ExitCode> {
        let (program, args) = self.command.split_first().context("there is no program to run")?;
        let mut signals: FuturesUnordered<_> = passed_on()?.into_iter().map(next).collect();
        let mut child = Cmd::new(program).args(args).attach()?;
        loop {
            tokio::select! {
                status = child.ended() => return Ok(exit_code(status.context("cannot wait for the program")?)),
                Some(received) = signals.next() => {
                    child.signal(received.kind.as_raw_value());
                    signals.push(next(received));
                }
            }
        }
    }
}

/// A signal that is passed on.
struct Received {
    kind: SignalKind,
    stream: Signal,
}

async fn next(mut signal: Received) -> Received {
    signal.stream.recv().await;
    signal
}

/// All that can be asked of a program by a signal.
fn passed_on() -> anyhow::Result<Vec<Received>> {
    let kinds = [
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::terminate(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
        SignalKind::window_change(),
    ];
    let listen =
        |kind| Ok(Received { kind, stream: signal(kind).context("cannot install a signal handler")? });
    kinds.into_iter().map(listen).collect()
}

/// The exit status that a shell would have: a signal's is its number and 128.
fn exit_code(status: ExitStatus) -> ExitCode {
    let signalled = || status.signal().map_or(1, |signal| signal + 128);
    ExitCode::from(u8::try_from(status.code().unwrap_or_else(signalled)).unwrap_or(1))
}
