//! The control socket of a resident service: orders of the agent, each answered when it has been carried out. A signal costs as
//! little, but its sender does not learn when the work is done.
//!
//! A connection carries one order on a line, and its answer: `ok`, `busy`, or `failed` with the reason. The order `renew` carries the
//! new secrets as JSON behind its word. The socket is bound before the service reads its settings: a sender that finds none, or one
//! that refuses, knows that the service has yet to read them.

use std::{
    collections::BTreeMap,
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
use protocol::Secret;
pub use protocol::services::Order;
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

/// No order is longer in bytes: a stack has a handful of secrets of a few dozen characters.
const LONGEST_ORDER: u64 = 64 << 10;

/// No answer is longer in bytes.
const LONGEST_ANSWER: usize = 1 << 10;

const DONE: &str = "ok";
const BUSY: &str = "busy";
const FAILED: &str = "failed";

/// New values of secrets by their names.
pub type Secrets = BTreeMap<String, Secret>;

/// How long a service may take to carry `order` out.
fn patience(order: Order) -> Duration {
    match order {
        // A matter of milliseconds.
        Order::Reload | Order::Rehearse | Order::Drain => Duration::from_secs(5),
        // Of seconds, on a busy host that emulates the guest.
        Order::Flush => Duration::from_mins(2),
        // A database may be recovering from a crash first.
        Order::Renew | Order::WarmUp => Duration::from_mins(6),
    }
}

/// The socket of `service`: its unit has the runtime directory of the same name.
pub fn socket_of(run: &Path, service: &str) -> PathBuf {
    run.join(format!("stack-{service}")).join(SOCKET)
}

/// A service's own socket; none where no runtime directory was given, as in a run by hand.
pub struct Socket(Option<BlockingListener>);

impl Socket {
    /// Binds it. Orders wait in it until [`Socket::listen`].
    ///
    /// # Errors
    /// When there is a runtime directory, and the socket cannot be made in it.
    pub fn bind() -> anyhow::Result<Self> {
        let Some(dir) = variables::raw(RUNTIME_DIRECTORY) else { return Ok(Self(None)) };
        let path = Path::new(&dir).join(SOCKET);
        let listener =
            bind_at(&path).with_context(|| format!("cannot make the control socket `{}`", path.display()))?;
        Ok(Self(Some(listener)))
    }

    /// Takes orders from now on.
    ///
    /// # Errors
    /// When the socket cannot be listened on.
    pub fn listen(self) -> anyhow::Result<mpsc::Receiver<Call>> {
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
pub struct Call {
    /// What to do.
    pub order: Order,
    /// What [`Order::Renew`] carries; nothing with any other order.
    pub secrets: Secrets,
    stream: UnixStream,
}

impl Call {
    async fn read(stream: UnixStream) -> io::Result<Self> {
        let mut reader = BufReader::new(stream.take(LONGEST_ORDER));
        let mut line = String::new();
        reader.read_line(&mut line).await?;
        let (order, secrets) = parse(&line).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { order, secrets, stream: reader.into_inner().into_inner() })
    }

    /// Answers how it went: an error is reported to the sender with its causes.
    pub async fn answer(mut self, result: anyhow::Result<Progress>) {
        let answer = match result {
            Ok(Progress::Done) => DONE.to_owned(),
            Ok(Progress::Busy) => BUSY.to_owned(),
            Err(error) => failed(&*error),
        };
        if let Err(error) = self.stream.write_all(format!("{answer}\n").as_bytes()).await {
            warn!("the sender of `{}` does not wait for the answer any more: {error}", self.order);
        }
    }
}

/// How far an order has been carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All of it.
    Done,
    /// Something is still at work that has to end first: the sender asks again.
    Busy,
}

/// An answer of one line.
fn failed(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{FAILED} {}", crate::report(error).replace(char::is_control, " "));
    text.truncate(text.floor_char_boundary(LONGEST_ANSWER - 1));
    text
}

fn parse(line: &str) -> Option<(Order, Secrets)> {
    let line = line.trim_end();
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match Order::from_word(word)? {
        Order::Renew => Some((Order::Renew, serde_json::from_str(rest).ok()?)),
        order => rest.is_empty().then(|| (order, Secrets::new())),
    }
}

fn to_line(order: Order, secrets: &Secrets) -> Secret {
    match order {
        Order::Renew => {
            let secrets = serde_json::to_string(secrets).expect("secrets are strings by names");
            Secret::new(format!("{order} {secrets}\n"))
        }
        order => Secret::new(format!("{order}\n")),
    }
}

/// What came of an order.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// The service has carried it out.
    Done,
    /// The service has not finished something that has to end first.
    Busy,
    /// The service does not run: it reads its settings when it starts, and has nothing pooled.
    NotRunning,
}

/// Why a service may not have carried an order out.
#[derive(Debug, Error)]
pub enum CallError {
    /// It said that it could not.
    #[error("`{}` could not carry out `{order}`: {reason}", .socket.display())]
    Failed {
        /// Its control socket.
        socket: PathBuf,
        /// The order.
        order: Order,
        /// What it said.
        reason: String,
    },
    /// It did not answer in time.
    #[error("`{}` did not answer to `{order}` within {} s", .socket.display(), patience(*order).as_secs())]
    Silent {
        /// Its control socket.
        socket: PathBuf,
        /// The order.
        order: Order,
    },
}

/// Sends `order` to the service behind `socket`, and waits until it has been carried out. `secrets` go with [`Order::Renew`], for
/// which a service that is not up yet is waited for: in a cold boot the host's first message comes before anything is up.
///
/// # Errors
/// When the service says that it cannot, or does not answer in time.
pub async fn send(socket: &Path, order: Order, secrets: &Secrets) -> Result<Reply, CallError> {
    let line = to_line(order, secrets);
    let mut backoff = Backoff::default();
    let calls = async {
        loop {
            match exchange(socket, &line).await {
                Ok(answer) => match answer.trim_end().split_once(' ').unwrap_or((answer.trim_end(), "")) {
                    (DONE, _) => return Ok(Reply::Done),
                    (BUSY, _) => return Ok(Reply::Busy),
                    (FAILED, reason) => {
                        let (socket, reason) = (socket.to_owned(), reason.to_owned());
                        return Err(CallError::Failed { socket, order, reason });
                    }
                    // It ended over the order. Whether it comes up with what it was to read, only the next attempt can tell.
                    _ => backoff.pause().await,
                },
                Err(error) if order != Order::Renew && is_absence(&error) => return Ok(Reply::NotRunning),
                Err(_) => backoff.pause().await,
            }
        }
    };
    let silent = |_| Err(CallError::Silent { socket: socket.to_owned(), order });
    timeout(patience(order), calls).await.unwrap_or_else(silent)
}

/// Sends `order` to the service behind `socket`, and waits for nothing. The connection has to last until the service has answered.
///
/// # Errors
/// When the service does not run.
pub fn begin(socket: &Path, order: Order) -> io::Result<BlockingStream> {
    let mut stream = BlockingStream::connect(socket)?;
    writeln!(stream, "{order}")?;
    Ok(stream)
}

/// Whether an error of a connection says that there is no service.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

async fn exchange(socket: &Path, line: &Secret) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(line.reveal().as_bytes()).await?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER as u64).read_to_string(&mut answer).await?;
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

    async fn tell(path: &Path, order: Order) -> Result<Reply, CallError> {
        send(path, order, &Secrets::new()).await
    }

    #[tokio::test]
    async fn an_order_is_answered_when_it_has_been_carried_out() {
        let (_dir, path) = socket();
        let mut calls = Socket(Some(bind_at(&path).unwrap())).listen().unwrap();
        let answers = [
            (Order::Reload, Some(Progress::Done), Some(Reply::Done)),
            (Order::Drain, Some(Progress::Busy), Some(Reply::Busy)),
            (Order::Reload, None, None),
        ];
        for (order, progress, expected) in answers {
            let service = async {
                let call = calls.recv().await.unwrap();
                assert_eq!(call.order, order);
                call.answer(progress.ok_or_else(|| anyhow::anyhow!("one\ntwo"))).await;
            };
            let (reply, ()) = tokio::join!(tell(&path, order), service);
            if let Err(error) = &reply {
                assert!(error.to_string().ends_with("could not carry out `reload`: one two"), "{error}");
            }
            assert_eq!(reply.ok(), expected);
        }
    }

    #[tokio::test]
    async fn new_secrets_come_with_the_order_to_renew() {
        let (_dir, path) = socket();
        let mut calls = Socket(Some(bind_at(&path).unwrap())).listen().unwrap();
        let secrets = Secrets::from([("secret_server_key".to_owned(), Secret::new("a \"b\""))]);
        let service = async {
            let call = calls.recv().await.unwrap();
            assert_eq!((call.order, &call.secrets), (Order::Renew, &secrets));
            call.answer(Ok(Progress::Done)).await;
        };
        let (reply, ()) = tokio::join!(send(&path, Order::Renew, &secrets), service);
        assert_eq!(reply.unwrap(), Reply::Done);
    }

    #[tokio::test]
    async fn an_order_waits_until_the_service_has_read_its_settings() {
        let (_dir, path) = socket();
        let bound = Socket(Some(bind_at(&path).unwrap()));
        let sent = tokio::spawn(async move { tell(&path, Order::Reload).await });
        tokio::task::yield_now().await;
        let call = bound.listen().unwrap().recv().await.unwrap();
        assert!(!sent.is_finished());
        call.answer(Ok(Progress::Done)).await;
        assert_eq!(sent.await.unwrap().unwrap(), Reply::Done);
    }

    #[tokio::test]
    async fn a_service_that_does_not_run_has_nothing_to_do() {
        let (_dir, path) = socket();
        assert_eq!(tell(&path, Order::Reload).await.unwrap(), Reply::NotRunning);
        // What a service that was killed leaves behind.
        drop(bind_at(&path).unwrap());
        assert_eq!(tell(&path, Order::Reload).await.unwrap(), Reply::NotRunning);
    }

    #[tokio::test]
    async fn new_secrets_wait_for_a_service_that_is_not_up_yet() {
        let (_dir, path) = socket();
        let sent = {
            let path = path.clone();
            tokio::spawn(async move { tell(&path, Order::Renew).await })
        };
        tokio::task::yield_now().await;
        assert!(!sent.is_finished());
        let mut calls = Socket(Some(bind_at(&path).unwrap())).listen().unwrap();
        calls.recv().await.unwrap().answer(Ok(Progress::Done)).await;
        assert_eq!(sent.await.unwrap().unwrap(), Reply::Done);
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
        for line in ["reload all\n", "renew\n", "renew {\"a\":1}\n", "dance\n", ""] {
            assert!(parse(line).is_none(), "{line}");
        }
    }
}
