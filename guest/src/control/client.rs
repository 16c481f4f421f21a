//! The sender's side of a control socket.

use std::{
    io::{self, Write as _},
    os::unix::net::UnixStream as BlockingStream,
    path::{Path, PathBuf},
    time::Duration,
};

use base::wait::Backoff;
use protocol::Secret;
use thiserror::Error;
use tokio::{io::AsyncReadExt as _, net::UnixStream, time::timeout};

use super::{BUSY, DONE, FAILED, LONGEST_ANSWER, LONGEST_ORDER, Order, Secrets};

/// In a cold boot the agent starts before everything else, and every attempt takes time from what is starting.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How long a service may take to carry `order` out.
fn patience(order: Order) -> Duration {
    match order {
        // A matter of milliseconds.
        Order::Rehearse | Order::Drain | Order::Settle => Duration::from_secs(5),
        // A container that has other secrets in its environment ends, which may take as long as it wants, and is started again.
        Order::Reload => Duration::from_mins(2),
        // A database may be starting, or recovering from a crash, first.
        Order::Renew | Order::WarmUp | Order::Flush => Duration::from_mins(10),
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

/// The outcome of an order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The service has carried it out.
    Done,
    /// The service has not finished something that has to end first.
    Busy,
    /// The service does not run: it reads its settings when it starts, and has nothing pooled.
    NotRunning,
}

/// Why a service may not have carried an order out.
#[derive(Debug, Error)]
pub(crate) enum CallError {
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
    /// There is more to send than a service reads.
    #[error("`{order}` with all secrets has more than {LONGEST_ORDER} bytes")]
    TooLong {
        /// The order.
        order: Order,
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

/// A whole answer.
enum Answer {
    Reply(Reply),
    Failed(String),
}

impl Answer {
    /// Reads an answer; `None` when it was cut off.
    fn of(text: &str) -> Option<Self> {
        let line = text.strip_suffix('\n')?;
        match line.split_once(' ').unwrap_or((line, "")) {
            (DONE, _) => Some(Self::Reply(Reply::Done)),
            (BUSY, _) => Some(Self::Reply(Reply::Busy)),
            (FAILED, reason) => Some(Self::Failed(reason.to_owned())),
            _ => None,
        }
    }
}

/// Whether a service that does not run has to start for `order`. Other orders mean nothing to one that starts later: it reads
/// its settings then, and has nothing pooled.
fn is_owed(order: Order) -> bool {
    matches!(order, Order::Renew | Order::WarmUp | Order::Flush)
}

/// Sends `order` to the service behind `socket`, and waits until it has been carried out. `secrets` go with [`Order::Renew`]. In a
/// cold boot the host's first message comes before anything is up, so a service that has to do something is waited for.
///
/// # Errors
/// When the service says that it cannot, or does not answer in time.
pub(crate) async fn send(socket: &Path, order: Order, secrets: &Secrets) -> Result<Reply, CallError> {
    let line = to_line(order, secrets);
    if line.reveal().len() > LONGEST_ORDER {
        return Err(CallError::TooLong { order });
    }
    let mut broken = Backoff::default();
    let mut absent = Backoff::between(FIRST_PAUSE, LONGEST_PAUSE);
    let calls = async {
        loop {
            match exchange(socket, &line).await {
                Ok(answer) => match Answer::of(&answer) {
                    Some(Answer::Reply(reply)) => return Ok(reply),
                    Some(Answer::Failed(reason)) => {
                        return Err(CallError::Failed { socket: socket.to_owned(), order, reason });
                    }
                    // It ended during the order. Only the next attempt shows whether it has read what it should.
                    None => broken.pause().await,
                },
                Err(error) if is_absence(&error) && !is_owed(order) => return Ok(Reply::NotRunning),
                Err(error) if is_absence(&error) => absent.pause().await,
                Err(_) => broken.pause().await,
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
pub(crate) fn begin(socket: &Path, order: Order) -> io::Result<BlockingStream> {
    written(socket, &to_line(order, &Secrets::new()))
}

/// Writes at once, and not when this thread looks for events again: a resume does a lot until then, and the service could be at work.
fn written(socket: &Path, line: &Secret) -> io::Result<BlockingStream> {
    let mut stream = BlockingStream::connect(socket)?;
    stream.write_all(line.reveal().as_bytes())?;
    Ok(stream)
}

/// Whether an error of a connection says that there is no service.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

async fn exchange(socket: &Path, line: &Secret) -> io::Result<String> {
    let stream = written(socket, line)?;
    stream.set_nonblocking(true)?;
    let stream = UnixStream::from_std(stream)?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER as u64).read_to_string(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Progress, SOCKET, Socket, bind_at},
        *,
    };

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
    async fn what_has_to_be_done_waits_for_a_service_that_is_not_up_yet() {
        for order in [Order::Renew, Order::WarmUp, Order::Flush] {
            let (_dir, path) = socket();
            let sent = {
                let path = path.clone();
                tokio::spawn(async move { tell(&path, order).await })
            };
            tokio::task::yield_now().await;
            assert!(!sent.is_finished());
            let mut calls = Socket(Some(bind_at(&path).unwrap())).listen().unwrap();
            calls.recv().await.unwrap().answer(Ok(Progress::Done)).await;
            assert_eq!(sent.await.unwrap().unwrap(), Reply::Done);
        }
    }

    #[tokio::test]
    async fn what_is_not_an_order_is_refused_instead_of_repeated() {
        let (_dir, path) = socket();
        let _calls = Socket(Some(bind_at(&path).unwrap())).listen().unwrap();
        let answer = exchange(&path, &Secret::new("dance\n")).await.unwrap();
        assert_eq!(answer, "failed not an order\n");
        let secrets = Secrets::from([("a".to_owned(), Secret::new("x".repeat(LONGEST_ORDER)))]);
        let error = send(&path, Order::Renew, &secrets).await.unwrap_err().to_string();
        assert_eq!(error, "`renew` with all secrets has more than 65536 bytes");
    }

    #[test]
    fn an_answer_that_was_cut_off_is_none() {
        assert!(Answer::of("ok").is_none() && Answer::of("failed par").is_none() && Answer::of("").is_none());
        assert!(matches!(Answer::of("ok\n"), Some(Answer::Reply(Reply::Done))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_does_not_answer_is_an_error() {
        let (_dir, path) = socket();
        let _bound = bind_at(&path).unwrap();
        let error = tell(&path, Order::Drain).await.unwrap_err().to_string();
        assert!(error.ends_with("did not answer to `drain` within 5 s"), "{error}");
    }
}
