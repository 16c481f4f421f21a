//! Commands in the guest: one connection each, whose frames are those of crate `protocol`.

mod door;
mod pump;
mod wire;

use std::io;
use std::time::Duration;

use base::text::beginning;
use protocol::exec::{Ended, Failed, FailureKind, Frame, FrameError, FromGuest, FromHost, Open, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

pub use door::{Door, Stream as Connection};

use crate::agent::AgentError;
use crate::error::{Class, Explain};
use crate::qmp::QmpError;
use pump::{Input, Outputs};
use wire::{Incoming, Outgoing};

/// Longest reason of a failure that is shown, in characters.
const REASON_LIMIT: usize = 2000;

/// Why a command in the guest was not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The guest's agent does not expect the connection.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The guest is of a version that runs no commands.
    #[error("the machine's image is of a version that runs no commands")]
    Unknown,
    /// There is no way to the guest.
    #[error(transparent)]
    Monitor(#[from] QmpError),
    /// The connection fails.
    #[error("cannot connect to the machine")]
    Connect(#[source] io::Error),
    /// The guest does not answer.
    #[error("the machine did not start the command within {:.1} s", .0.as_secs_f64())]
    Silent(Duration),
    /// The command line is longer than a frame.
    #[error("the command line is too long")]
    TooLong(#[source] FrameError),
    /// The guest could not start the command.
    #[error("{reason}")]
    Failed {
        /// What kind of failure it is.
        kind: FailureKind,
        /// Why, in the guest's words.
        reason: String,
    },
    /// The connection ended first.
    #[error("the connection to the machine was closed before the command ended")]
    Closed,
    /// The guest sends what makes no sense.
    #[error("the machine's answer makes no sense")]
    Answer(#[source] io::Error),
    /// A stream of this program fails.
    #[error("cannot write to {}", name(*.0))]
    Local(Stream, #[source] io::Error),
}

impl Explain for ExecError {
    fn class(&self) -> Class {
        match self {
            Self::Agent(source) => source.class(),
            Self::Monitor(source) => source.class(),
            Self::Silent(_) => Class::TimedOut,
            Self::TooLong(_) => Class::Usage,
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Monitor(source) => source.hint(),
            _ => None,
        }
    }
}

const fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdin => "stdin",
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}

/// A command that runs in the guest. Dropping it ends the command.
#[derive(Debug)]
pub struct Running<S> {
    incoming: Incoming<S>,
    outgoing: Outgoing<S>,
}

/// This program's ends of what the command reads and writes.
#[derive(Debug)]
pub struct Ends<I, O, E> {
    /// What is sent to its stdin.
    pub stdin: I,
    /// Takes what it writes to stdout, or to its terminal.
    pub stdout: O,
    /// Takes what it writes to stderr.
    pub stderr: E,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Running<S> {
    /// Starts what `open` says over the connection `stream`.
    ///
    /// # Errors
    /// When the guest cannot start it.
    async fn start(stream: S, open: Open) -> Result<Self, ExecError> {
        let (read, write) = tokio::io::split(stream);
        let (mut incoming, mut outgoing) = (Incoming::new(read), Outgoing::new(write));
        let message = Frame::Message(FromHost::Open(open)).encode().map_err(ExecError::TooLong)?;
        outgoing.send(&message).await.map_err(|_| ExecError::Closed)?;
        match incoming.next().await? {
            Frame::Message(FromGuest::Started) => Ok(Self { incoming, outgoing }),
            Frame::Message(FromGuest::Failed(failed)) => Err(refusal(&failed)),
            _ => Err(nonsense()),
        }
    }

    /// Passes everything on, in both directions, until the command has ended. What comes in `orders` is sent too.
    ///
    /// # Errors
    /// When the connection ends before the command does, or this program's stdout or stderr cannot be written.
    pub async fn run<I, O, E>(
        self,
        ends: Ends<I, O, E>,
        mut orders: mpsc::UnboundedReceiver<FromHost>,
    ) -> Result<Ended, ExecError>
    where
        I: AsyncRead + Unpin,
        O: AsyncWrite + Unpin,
        E: AsyncWrite + Unpin,
    {
        let Self { mut incoming, mut outgoing } = self;
        let Ends { stdin, stdout, stderr } = ends;
        let (queue, mut sending) = mpsc::channel(wire::QUEUE);
        let input = Input::new(queue.clone());
        let (outputs, out, err) = Outputs::new(&queue);

        let send = async {
            loop {
                let message = tokio::select! {
                    Some(frame) = sending.recv() => frame,
                    Some(order) = orders.recv() => Frame::Message(order).encode().map_err(ExecError::TooLong)?,
                    else => std::future::pending().await,
                };
                if outgoing.send(&message).await.is_err() {
                    // What the guest has said before it closed the connection is still to be heard.
                    std::future::pending::<()>().await;
                }
            }
        };
        let hear = async {
            loop {
                match incoming.next().await? {
                    Frame::Piece(stream, bytes) => outputs.take(stream, bytes)?,
                    Frame::Message(FromGuest::Passed(passed)) => input.widen(passed)?,
                    Frame::Message(FromGuest::InputClosed) => input.close(),
                    Frame::Message(FromGuest::Ended(ended)) => {
                        drop(outputs);
                        return Ok(ended);
                    }
                    Frame::Message(FromGuest::Failed(failed)) => return Err(refusal(&failed)),
                    Frame::Message(FromGuest::Started) => return Err(nonsense()),
                }
            }
        };
        // Everything has been written when both have ended, which they do when nothing more can come.
        let work = async {
            let (ended, (), ()) =
                tokio::try_join!(hear, out.pump(Stream::Stdout, stdout), err.pump(Stream::Stderr, stderr))?;
            Ok(ended)
        };
        tokio::select! {
            biased;
            ended = work => ended,
            broken = send => broken,
            () = input.pump(stdin) => Err(ExecError::Closed),
        }
    }
}

fn nonsense() -> ExecError {
    ExecError::Answer(io::ErrorKind::InvalidData.into())
}

fn refusal(failed: &Failed) -> ExecError {
    ExecError::Failed { kind: failed.kind, reason: beginning(&failed.reason, REASON_LIMIT).into_owned() }
}

#[cfg(test)]
mod tests;
