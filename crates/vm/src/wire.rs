//! The wire that QMP and QGA share: a unix socket with one JSON object a line.
//!
//! Commands and answers have the types of crate `qapi`, which are made from QEMU's schema. The transport is our own, since
//! both channels live longer than one failed call: an answer that comes after its deadline and a message that the schema
//! does not know must be passed over, where the crate's transport gives the connection up.

use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use qapi::{Command, Execute};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::codec::{AnyDelimiterCodec, FramedRead};

use base::text::beginning;
use base::wait::Backoff;

use crate::socket;

/// Longest line that is taken, in bytes. The guest agent sends up to 16 MiB of output, base64 encoded.
const LINE_LIMIT: usize = 64 << 20;

/// Longest error that is shown, in characters.
const ERROR_LIMIT: usize = 2000;

/// Byte that the guest agent puts before an answer when its input was out of step; it occurs nowhere in UTF-8.
pub(crate) const SENTINEL: u8 = 0xff;

/// The receiving side.
#[derive(Debug)]
pub(crate) struct Receiver(FramedRead<OwnedReadHalf, AnyDelimiterCodec>);

/// The sending side.
#[derive(Debug)]
pub(crate) struct Sender(OwnedWriteHalf);

/// One answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The command's value.
    Return(Value),
    /// What the other side does not like.
    Error(String),
}

/// One message.
#[derive(Debug)]
pub(crate) enum Message {
    /// An answer, with the id of its command where the channel has ids.
    Answer(Option<u64>, Answer),
    /// Anything else that is JSON.
    Other(Value),
}

#[derive(Deserialize)]
struct RawAnswer {
    #[serde(rename = "return")]
    value: Option<Value>,
    error: Option<RawError>,
    id: Option<u64>,
}

#[derive(Deserialize)]
struct RawError {
    desc: String,
}

/// Whose socket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    /// Of a QEMU that is being started: it is waited for until somebody listens there.
    Starting,
    /// Of a QEMU that has opened its sockets long ago: one that is missing does not come back.
    Running,
}

/// Connects to the socket at `path` as [`open`] does, and speaks lines of JSON there.
///
/// # Errors
/// As [`open`].
pub(crate) async fn connect(path: &Path, listener: Listener) -> io::Result<(Sender, Receiver)> {
    let (read, write) = open(path, listener).await?.into_split();
    let codec = AnyDelimiterCodec::new_with_max_length(vec![b'\n', SENTINEL], b"\n".to_vec(), LINE_LIMIT);
    Ok((Sender(write), Receiver(FramedRead::new(read, codec))))
}

/// Connects to the socket at `path`; while QEMU starts, as soon as somebody listens there, which never gives up: race it
/// against a deadline.
///
/// # Errors
/// When the socket cannot be connected to for another reason than that no process listens yet.
pub(crate) async fn open(path: &Path, listener: Listener) -> io::Result<UnixStream> {
    let mut backoff = Backoff::default();
    loop {
        match socket::connect(path).await {
            Ok(stream) => return Ok(stream),
            Err(error)
                // QEMU lets one connection wait, and has others come again.
                if error.kind() == io::ErrorKind::WouldBlock
                    || listener == Listener::Starting
                        && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                backoff.pause().await;
            }
            Err(error) => return Err(error),
        }
    }
}

impl Sender {
    /// Sends a command.
    ///
    /// # Errors
    /// When the other side is gone.
    pub(crate) async fn send<C: Command>(&mut self, command: C, id: Option<u64>) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Execute::new(command, id)).map_err(io::Error::other)?;
        line.push(b'\n');
        self.0.write_all(&line).await
    }

    /// Sends the byte that makes a guest agent forget what it has read of an unfinished command.
    ///
    /// # Errors
    /// When the other side is gone.
    pub(crate) async fn reset(&mut self) -> io::Result<()> {
        self.0.write_all(&[SENTINEL]).await
    }
}

impl Receiver {
    /// The next message, or `None` when the other side is gone. What is not JSON is passed over. Safe to drop and call
    /// again.
    ///
    /// # Errors
    /// When the socket fails, or a line is longer than any that belongs here.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Message>> {
        while let Some(line) = self.0.next().await {
            let line = line.map_err(io::Error::other)?;
            if let Ok(value) = serde_json::from_slice::<Value>(&line) {
                return Ok(Some(Message::from(value)));
            }
        }
        Ok(None)
    }
}

impl From<Value> for Message {
    fn from(value: Value) -> Self {
        match RawAnswer::deserialize(&value) {
            Ok(RawAnswer { error: Some(error), id, .. }) => {
                Self::Answer(id, Answer::Error(beginning(&error.desc, ERROR_LIMIT).into_owned()))
            }
            Ok(RawAnswer { value: Some(value), id, .. }) => Self::Answer(id, Answer::Return(value)),
            _ => Self::Other(value),
        }
    }
}

/// Runs `work` for at most `limit`; `None` when that is over.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, work).await.ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_are_told_from_everything_else() {
        let message = |text: &str| Message::from(serde_json::from_str::<Value>(text).unwrap());
        assert!(matches!(message(r#"{"return": {}, "id": 4}"#), Message::Answer(Some(4), Answer::Return(_))));
        assert!(matches!(message(r#"{"return": 5}"#), Message::Answer(None, Answer::Return(_))));
        let error = message(r#"{"error": {"class": "New", "desc": "no"}, "id": 1}"#);
        assert!(matches!(error, Message::Answer(Some(1), Answer::Error(reason)) if reason == "no"));
        assert!(matches!(message(r#"{"event": "STOP"}"#), Message::Other(_)));
        assert!(matches!(message("[]"), Message::Other(_)));
        let long = format!(r#"{{"error": {{"desc": "{}"}}}}"#, "x".repeat(10_000));
        let Message::Answer(_, Answer::Error(text)) = message(&long) else { panic!("no error") };
        assert_eq!(text.chars().count(), ERROR_LIMIT + 1);
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line in prop_oneof![
            any::<Vec<u8>>(),
            r#"\{"(return|error|event|id)": ?[0-9a-z{}\[\]",: ]{0,40}\}"#.prop_map(String::into_bytes),
        ]) {
            if let Ok(value) = serde_json::from_slice::<Value>(&line) {
                let _ = Message::from(value);
            }
        }
    }
}
