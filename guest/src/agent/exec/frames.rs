//! A connection as frames.

use std::io;

use bytes::{Buf as _, BytesMut};
use protocol::exec::{Frame, FromGuest, FromHost, LARGEST_PIECE, Stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::mpsc,
};

/// Frames that wait to be sent. What they hold is bounded by the windows of the streams anyway.
const QUEUE: usize = 8;

/// What the host sends.
pub(super) struct Incoming {
    read: OwnedReadHalf,
    bytes: BytesMut,
}

impl Incoming {
    pub(super) fn new(read: OwnedReadHalf) -> Self {
        Self { read, bytes: BytesMut::new() }
    }

    /// The next frame; `None` when the host is gone. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> io::Result<Option<Frame<FromHost>>> {
        loop {
            let decoded = Frame::decode(&self.bytes);
            let decoded = decoded.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if let Some((frame, length)) = decoded {
                self.bytes.advance(length);
                return Ok(Some(frame));
            }
            self.bytes.reserve(LARGEST_PIECE);
            if self.read.read_buf(&mut self.bytes).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// What is sent to the host, by several at once.
#[derive(Clone)]
pub(super) struct Outgoing(mpsc::Sender<Vec<u8>>);

/// The host is gone.
#[derive(Debug)]
pub(super) struct Gone;

impl Outgoing {
    /// Sends to `write`. The task ends when everything has been sent and nothing more can come.
    pub(super) fn new(mut write: OwnedWriteHalf) -> (Self, tokio::task::JoinHandle<()>) {
        let (sender, mut queue) = mpsc::channel::<Vec<u8>>(QUEUE);
        let sending = tokio::spawn(async move {
            while let Some(bytes) = queue.recv().await {
                // Senders notice it by the queue.
                if write.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        (Self(sender), sending)
    }

    /// Sends a message.
    pub(super) async fn message(&self, message: FromGuest) -> Result<(), Gone> {
        self.frame(&Frame::Message(message)).await
    }

    /// Sends a piece of a stream.
    pub(super) async fn piece(&self, stream: Stream, bytes: Vec<u8>) -> Result<(), Gone> {
        self.frame(&Frame::Piece(stream, bytes)).await
    }

    async fn frame(&self, frame: &Frame<FromGuest>) -> Result<(), Gone> {
        let bytes = frame.encode().map_err(|_| Gone)?;
        self.0.send(bytes).await.map_err(|_| Gone)
    }
}
