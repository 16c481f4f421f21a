//! The control socket of a resident service: orders of the agent, each answered when it has been carried out. A signal costs as
//! little, but nobody learns when its work is done.
//!
//! A connection carries one order, a word on a line, and its answer, `ok` or `failed`. The socket is bound before the service
//! reads its settings: whoever finds none, or one that refuses, knows that the service has yet to read them.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener as BlockingListener, UnixStream as BlockingStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use base::variables;
use base::wait::Backoff;
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
    time::timeout,
};
use tracing::warn;

/// Name of the socket in the service's own runtime directory.
const SOCKET: &str = "control";

/// Where systemd says that directory is.
const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";

/// How long a service may take to carry an order out. Each is a matter of milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// No order and no answer is longer.
const LONGEST_LINE: u64 = 64;

const DONE: &str = "ok";
const FAILED: &str = "failed";

/// What a service is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Read the settings again, forget what is pooled, and make the first connections anew.
    Reload,
    /// Forget what is pooled, and stay quiet: the machine is about to be captured.
    Drain,
    /// Begin with what a host is about to ask. Answered at once.
    Rehearse,
}

impl Order {
    fn word(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Drain => "drain",
            Self::Rehearse => "rehearse",
        }
    }

    fn from_line(line: &str) -> Option<Self> {
        [Self::Reload, Self::Drain, Self::Rehearse].into_iter().find(|order| line.trim_end() == order.word())
    }
}

/// The socket of `service`: its unit has the runtime directory of the same name.
pub(crate) fn socket_of(run: &Path, service: &str) -> PathBuf {
    run.join(format!("stack-{service}")).join(SOCKET)
}

/// A service's own socket; none where no runtime directory was given, as in a run by hand.
pub(crate) struct Socket(Option<BlockingListener>);

impl Socket {
    /// Binds it. Orders wait in it until [`Socket::listen`].
    pub(crate) fn bind() -> anyhow::Result<Self> {
        let Some(dir) = variables::raw(RUNTIME_DIRECTORY) else { return Ok(Self(None)) };
        let path = Path::new(&dir).join(SOCKET);
        let listener =
            bind_at(&path).with_context(|| format!("cannot make the control socket `{}`", path.display()))?;
        Ok(Self(Some(listener)))
    }

    /// Takes orders from now on.
    pub(crate) fn listen(self) -> anyhow::Result<mpsc::Receiver<Call>> {
        let (sender, receiver) = mpsc::channel(1);
        if let Some(listener) = self.0 {
            let listener = UnixListener::from_std(listener).context("cannot listen on the control socket")?;
            tokio::spawn(accept(listener, sender));
        }
        Ok(receiver)
    }
}

fn bind_at(path: &Path) -> io::Result<BlockingListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = BlockingListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(base::files::PRIVATE_FILE))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn accept(listener: UnixListener, sender: mpsc::Sender<Call>) {
    let mut backoff = Backoff::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let sender = sender.clone();
                tokio::spawn(async move {
                    match Call::read(stream).await {
                        Ok(call) => drop(sender.send(call).await),
                        Err(error) => warn!("no order came over the control socket: {error}"),
                    }
                });
            }
            Err(error) => {
                warn!("cannot accept on the control socket: {error}");
                backoff.pause().await;
            }
        }
    }
}

/// An order whose sender waits for the answer.
pub(crate) struct Call {
    pub(crate) order: Order,
    stream: UnixStream,
}

impl Call {
    async fn read(stream: UnixStream) -> io::Result<Self> {
        let mut reader = BufReader::new(stream.take(LONGEST_LINE));
        let mut line = String::new();
        reader.read_line(&mut line).await?;
        let order = Order::from_line(&line).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { order, stream: reader.into_inner().into_inner() })
    }

    /// Says how it went.
    pub(crate) async fn answer(mut self, done: bool) {
        let answer = if done { DONE } else { FAILED };
        if let Err(error) = self.stream.write_all(format!("{answer}\n").as_bytes()).await {
            warn!("nobody waits any more for the answer to `{}`: {error}", self.order.word());
        }
    }
}

/// What came of an order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The service has carried it out.
    Done,
    /// There is no service: it reads its settings when it starts, and has nothing pooled.
    NotRunning,
}

/// Why a service may not have done what it was told.
#[derive(Debug, Error)]
pub(crate) enum CallError {
    #[error("`{}` could not carry out `{order}`: its journal says why", .socket.display())]
    Failed { socket: PathBuf, order: &'static str },
    #[error("`{}` did not answer to `{order}` within {} s", .socket.display(), PATIENCE.as_secs())]
    Silent { socket: PathBuf, order: &'static str },
}

/// Tells the service behind `socket`, and waits until it has done it.
pub(crate) async fn tell(socket: &Path, order: Order) -> Result<Reply, CallError> {
    let silent = || CallError::Silent { socket: socket.to_owned(), order: order.word() };
    let mut backoff = Backoff::default();
    let calls = async {
        loop {
            match call(socket, order).await {
                Ok(answer) if answer.trim_end() == DONE => return Ok(Reply::Done),
                Ok(answer) if answer.trim_end() == FAILED => {
                    return Err(CallError::Failed { socket: socket.to_owned(), order: order.word() });
                }
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
                {
                    return Ok(Reply::NotRunning);
                }
                // It ended over the order. Whether it comes up with what it was to read, only the next attempt can tell.
                Ok(_) | Err(_) => backoff.pause().await,
            }
        }
    };
    timeout(PATIENCE, calls).await.unwrap_or_else(|_| Err(silent()))
}

/// Tells the service behind `socket`, and waits for nothing. The connection has to last until the service has answered.
pub(crate) fn begin(socket: &Path, order: Order) -> io::Result<BlockingStream> {
    let mut stream = BlockingStream::connect(socket)?;
    writeln!(stream, "{}", order.word())?;
    Ok(stream)
}

async fn call(socket: &Path, order: Order) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(format!("{}\n", order.word()).as_bytes()).await?;
    let mut answer = String::new();
    stream.take(LONGEST_LINE).read_to_string(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SOCKET);
        (dir, path)
    }

    #[tokio::test]
    async fn an_order_is_answered_when_it_has_been_carried_out() {
        let (_dir, path) = socket();
        let mut calls = Socket(Some(bind_at(&path).unwrap())).listen().unwrap();
        for (order, done) in [(Order::Reload, true), (Order::Drain, true), (Order::Reload, false)] {
            let service = async {
                let call = calls.recv().await.unwrap();
                assert_eq!(call.order, order);
                call.answer(done).await;
            };
            let (reply, ()) = tokio::join!(tell(&path, order), service);
            assert_eq!(reply.is_ok(), done, "{reply:?}");
        }
    }

    #[tokio::test]
    async fn an_order_waits_in_the_socket_of_a_service_that_is_still_reading_its_settings() {
        let (_dir, path) = socket();
        let bound = Socket(Some(bind_at(&path).unwrap()));
        let told = tokio::spawn(async move { tell(&path, Order::Reload).await });
        tokio::task::yield_now().await;
        let call = bound.listen().unwrap().recv().await.unwrap();
        assert!(!told.is_finished());
        call.answer(true).await;
        assert_eq!(told.await.unwrap().unwrap(), Reply::Done);
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_has_nothing_to_be_told() {
        let (_dir, path) = socket();
        assert_eq!(tell(&path, Order::Reload).await.unwrap(), Reply::NotRunning);
        // What a service that was killed leaves behind.
        drop(bind_at(&path).unwrap());
        assert_eq!(tell(&path, Order::Reload).await.unwrap(), Reply::NotRunning);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_does_not_answer_is_an_error() {
        let (_dir, path) = socket();
        let _bound = bind_at(&path).unwrap();
        let error = tell(&path, Order::Drain).await.unwrap_err().to_string();
        assert!(error.ends_with("did not answer to `drain` within 5 s"), "{error}");
    }

    #[test]
    fn only_its_owner_can_give_orders() {
        let (_dir, path) = socket();
        let _bound = bind_at(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Order::from_line("reload all\n"), None);
    }
}
