//! `emulator exec`.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use base::interrupt::Interrupted;
use base::signals::Signals;
use base::terminal;
use base::variables;
use clap::Args;
use instances::failure::Error;
use instances::instance::error::InstanceError;
use instances::instance::exec::Running;
use protocol::exec::{Ended, FromHost, Signal, Size, Stream, Task, Terminal};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;
use vm::exec::{Ends, ExecError};

use super::Run;
use super::patience::{Patience, Reaction, ends, interrupted};
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;

/// What a terminal is taken for that does not say its size.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// What is run when no command is given.
const SHELL: [&str; 2] = ["sh", "-l"];

/// Run a command inside the machine
#[derive(Debug, Args)]
#[command(after_help = "\
With a service, the command has that service's user, environment and working
directory; without one it is root's. It is run without a shell. It has a
terminal when stdin and stdout are one, and pipes otherwise. The command ends
when this program does.

Signals are passed on. A second Ctrl-C within 5 s leaves the command, which is
killed then. At a terminal Ctrl-C goes to the command and nowhere else.

Exit codes: the command's; 128 + n when signal n ended it; 127 when there is no
such program in the machine, 126 when it cannot be run, 125 when anything else
failed.

Examples:
  emulator exec postgres -- psql        the stack's database
  emulator exec postgres -- pg_dump stack > stack.sql
  emulator exec                         a shell of root's
  emulator exec -- journalctl -n 20 | less")]
pub(crate) struct Exec {
    /// Service whose user, environment and working directory the command has
    #[arg(value_name = "SERVICE")]
    service: Option<String>,

    /// Give the command pipes, even at a terminal
    #[arg(short = 'T', long)]
    no_terminal: bool,

    /// Command to run, with its arguments; by default a shell
    #[arg(value_name = "CMD", last = true)]
    command: Vec<String>,
}

impl Run for Exec {
    const HOME_USE: HomeUse = HomeUse::Looks;
    const WRAPS: bool = true;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let signals = Signals::collect().map_err(CommandError::Runtime)?;
        let sizes = unix::signal(SignalKind::window_change()).map_err(CommandError::Runtime)?;
        let task = self.task();
        let has_terminal = task.terminal.is_some();
        let instance = context.instance();
        let running = tokio::select! {
            running = instance.exec(task) => running?,
            number = interrupted(&signals) => {
                return Err(Interrupted(number.map_err(CommandError::Runtime)?).into());
            }
        };
        // Held until the command has ended.
        let _raw = has_terminal.then(terminal::Raw::enter).transpose().map_err(CommandError::Runtime)?;
        let (orders, received) = mpsc::unbounded_channel();
        tokio::select! {
            biased;
            exit = ended(running, received) => exit,
            number = relay(&signals, sizes, has_terminal, &orders) => {
                Err(Interrupted(number.map_err(CommandError::Runtime)?).into())
            }
        }
    }
}

impl Exec {
    fn task(&self) -> Task {
        let shell = || SHELL.map(str::to_owned).to_vec();
        let command = if self.command.is_empty() { shell() } else { self.command.clone() };
        let at_terminal = !self.no_terminal && io::stdin().is_terminal() && io::stdout().is_terminal();
        let terminal = at_terminal.then(|| Terminal { term: variables::text("TERM"), size: size() });
        Task { service: self.service.clone(), command, terminal }
    }
}

fn size() -> Size {
    let (columns, rows) = terminal::size().unwrap_or(USUAL_SIZE);
    Size { columns, rows }
}

/// Passes the streams on until the command has ended, and returns its exit code.
async fn ended(running: Running, orders: mpsc::UnboundedReceiver<FromHost>) -> Result<Exit, CommandError> {
    let stream = |own: BorrowedFd<'_>| own.try_clone_to_owned().map(own_stream);
    let streams = || {
        Ok(Ends {
            stdin: stream(io::stdin().as_fd())?,
            stdout: stream(io::stdout().as_fd())?,
            stderr: stream(io::stderr().as_fd())?,
        })
    };
    let ends = streams().map_err(CommandError::Runtime)?;
    let code = match running.run(ends, orders).await {
        Ok(Ended::Exited(code)) => code,
        Ok(Ended::Killed(signal)) => 128_u8.saturating_add(signal),
        // As a program whose reader has gone.
        Err(InstanceError::Vm(Error::Exec(ExecError::Local(Stream::Stdout, error))))
            if error.kind() == io::ErrorKind::BrokenPipe =>
        {
            BROKEN_PIPE
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Exit::Command(code))
}

/// A stream of this program. Threads read and write it: it may be a file, a pipe or a terminal that others use too, and that must not
/// become non-blocking for them.
fn own_stream(stream: OwnedFd) -> tokio::fs::File {
    tokio::fs::File::from_std(stream.into())
}

/// The exit code of a command that was killed by SIGPIPE.
const BROKEN_PIPE: u8 = 141;

/// Passes signals and sizes of the terminal on, until a signal ends this program: its number.
async fn relay(
    signals: &Signals,
    mut sizes: unix::Signal,
    has_terminal: bool,
    orders: &mpsc::UnboundedSender<FromHost>,
) -> io::Result<i32> {
    let mut patience = Patience::default();
    loop {
        let number = tokio::select! {
            received = signals.next() => received?.number,
            Some(()) = sizes.recv(), if has_terminal => {
                let _ = orders.send(FromHost::Resize(size()));
                continue;
            }
        };
        // A terminal's keys are the command's, so this comes from elsewhere, and an interactive shell would ignore it.
        if has_terminal && ends(number) {
            return Ok(number);
        }
        match (patience.reaction(number, Instant::now()), named(number)) {
            (Reaction::PassOn, Some(signal)) => {
                // If no one takes it, the command has ended.
                let _ = orders.send(FromHost::Signal { signal });
            }
            (Reaction::Kill, _) => return Ok(number),
            (Reaction::PassOn | Reaction::Nothing, _) => {}
        }
    }
}

/// The signal with this number here.
fn named(number: i32) -> Option<Signal> {
    let kinds = [
        (SignalKind::hangup(), Signal::Hangup),
        (SignalKind::interrupt(), Signal::Interrupt),
        (SignalKind::quit(), Signal::Quit),
        (SignalKind::terminate(), Signal::Terminate),
        (SignalKind::user_defined1(), Signal::User1),
        (SignalKind::user_defined2(), Signal::User2),
    ];
    kinds.into_iter().find_map(|(kind, signal)| (kind.as_raw_value() == number).then_some(signal))
}
