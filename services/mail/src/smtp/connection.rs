//! Carries a session over a connection, within limits of time and memory.

use std::{io, sync::Arc, time::Duration};

use guest::{http_server::stopped, report};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::watch,
    time::{Instant, timeout, timeout_at},
};
use tracing::warn;

use super::session::{Outcome, Session, Step};
use crate::inbox::Inbox;

/// Bytes that are read at a time. No line that the parser takes is longer.
const PIECE: usize = 4096;

/// How long a client may be silent: RFC 5321, 4.5.3.2.7.
const SILENCE: Duration = Duration::from_mins(5);

/// How long a client may read nothing of the replies.
const STALL: Duration = Duration::from_mins(1);

/// How long a session may last, however busy it is.
const SESSION: Duration = Duration::from_hours(1);

/// How long a message may take from its first byte to its last.
const MESSAGE: Duration = Duration::from_mins(10);

/// Talks to a client until it leaves, a limit is reached, or `stop` is true.
pub(crate) async fn converse<S>(
    mut stream: S,
    inbox: &Arc<Inbox>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let settings = inbox.settings();
    let mut session = Session::new(settings.limits, settings.naming);
    let mut share = inbox.receiving.share();
    let mut piece = vec![0; PIECE];
    let end = Instant::now() + SESSION;
    let mut message_end = None;
    loop {
        send(&mut stream, &mut session).await?;
        let silence = Instant::now() + SILENCE;
        let deadline = silence.min(end).min(message_end.unwrap_or(end));
        let read = tokio::select! {
            read = timeout_at(deadline, stream.read(&mut piece)) => read,
            () = stopped(&mut stop) => {
                session.end("the service stops");
                break;
            }
        };
        let Ok(read) = read else {
            session.end("this took too long");
            break;
        };
        let count = read?;
        if count == 0 {
            return Ok(());
        }
        let mut bytes = piece[..count].iter();
        loop {
            match session.advance(&mut bytes) {
                Step::Read => break,
                Step::Keep(delivery) => session.kept(match inbox.deliver(delivery).await {
                    Ok(()) => Outcome::Kept,
                    Err(error) => {
                        warn!("a message is not kept: {}", report(&error));
                        Outcome::Failed
                    }
                }),
                Step::End => {
                    send(&mut stream, &mut session).await?;
                    return stream.shutdown().await;
                }
            }
        }
        if !share.set(session.held()) {
            session.shed();
            share.set(session.held());
        }
        message_end = match (session.is_receiving(), message_end) {
            (true, None) => Some(Instant::now() + MESSAGE),
            (true, begun) => begun,
            (false, _) => None,
        };
    }
    send(&mut stream, &mut session).await?;
    stream.shutdown().await
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, session: &mut Session) -> io::Result<()> {
    let replies = session.replies();
    if replies.is_empty() {
        return Ok(());
    }
    let sent = async {
        stream.write_all(&replies).await?;
        stream.flush().await
    };
    timeout(STALL, sent).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
