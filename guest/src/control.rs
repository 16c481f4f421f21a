//! The control socket of a resident service: orders of the agent, each answered when it has been carried out. A signal costs as
//! little, but its sender does not learn when the work is done.
//!
//! A connection carries one order on a line, and its answer on another: `ok`, `busy`, or `failed` with the reason. The order `renew` carries the
//! new secrets as JSON behind its word. The socket is bound before the service reads its settings: a sender that finds none, or one
//! that refuses, knows that the service has yet to read them.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{fs::PermissionsExt as _, net::UnixListener as BlockingListener},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use base::variables;
use base::wait::Backoff;
use protocol::Secret;
pub use protocol::services::Order;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};
use tracing::warn;

mod client;

pub(crate) use client::{Reply, begin, send};

/// Name of the socket in the service's own runtime directory.
const SOCKET: &str = "control";

/// Where systemd says that directory is.
const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";

/// No order is longer in bytes, its end included: a stack has a handful of secrets of a few dozen characters.
const LONGEST_ORDER: usize = 64 << 10;

/// No answer is longer in bytes.
const LONGEST_ANSWER: usize = 1 << 10;

const DONE: &str = "ok";
const BUSY: &str = "busy";
const FAILED: &str = "failed";

/// New values of secrets by their names.
pub type Secrets = BTreeMap<String, Secret>;

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
    /// When there is a runtime directory, and the socket cannot be created in it.
    pub fn bind() -> anyhow::Result<Self> {
        let Some(dir) = variables::raw(RUNTIME_DIRECTORY) else { return Ok(Self(None)) };
        let path = Path::new(&dir).join(SOCKET);
        let listener = bind_at(&path)
            .with_context(|| format!("cannot create the control socket `{}`", path.display()))?;
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
                        Ok(Some(call)) => drop(sender.send(call).await),
                        Ok(None) => warn!("refused what is not an order on the control socket"),
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
    /// Reads an order; what is not one is refused, since its sender would repeat it otherwise.
    async fn read(stream: UnixStream) -> io::Result<Option<Self>> {
        let mut reader = BufReader::new(stream.take(LONGEST_ORDER as u64));
        let mut line = String::new();
        reader.read_line(&mut line).await?;
        let mut stream = reader.into_inner().into_inner();
        if let Some((order, secrets)) = parse(&line) {
            return Ok(Some(Self { order, secrets, stream }));
        }
        stream.write_all(format!("{FAILED} not an order\n").as_bytes()).await?;
        Ok(None)
    }

    /// Answers with the result: an error is reported to the sender with its causes.
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

/// The answer of a service to an order that is not among those it takes.
pub fn not_taken(order: Order) -> anyhow::Error {
    anyhow!("`{order}` is for other services")
}

/// An answer of one line.
fn failed(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{FAILED} {}", crate::report(error).replace(char::is_control, " "));
    text.truncate(text.floor_char_boundary(LONGEST_ANSWER - 1));
    text
}

fn parse(line: &str) -> Option<(Order, Secrets)> {
    let line = line.strip_suffix('\n')?;
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match Order::from_word(word)? {
        Order::Renew => Some((Order::Renew, serde_json::from_str(rest).ok()?)),
        order => rest.is_empty().then(|| (order, Secrets::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_owner_can_give_orders() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SOCKET);
        let _bound = bind_at(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn only_whole_orders_are_understood() {
        assert!(parse("reload\n").is_some() && parse("renew {}\n").is_some());
        for line in ["reload all\n", "reload", "renew\n", "renew {\"a\":1}\n", "dance\n", ""] {
            assert!(parse(line).is_none(), "{line}");
        }
    }
}
