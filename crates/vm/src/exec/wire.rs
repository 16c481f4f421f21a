//! A connection as frames.

use std::io;

use bytes::{Buf, BytesMut};
use protocol::exec::{Frame, FromGuest, LARGEST_PIECE};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::ExecError;

/// Frames that wait to be sent. What they hold is bounded by the windows of the streams anyway.
pub(super) const QUEUE: usize = 8;

/// What the guest sends.
#[derive(Debug)]
pub(super) struct Incoming<S> {
    read: ReadHalf<S>,
    bytes: BytesMut,
}

impl<S: AsyncRead> Incoming<S> {
    pub(super) fn new(read: ReadHalf<S>) -> Self {
        Self { read, bytes: BytesMut::new() }
    }

    /// The next frame. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Result<Frame<FromGuest>, ExecError> {
        loop {
            let decoded = Frame::decode(&self.bytes);
            let decoded = decoded
                .map_err(|error| ExecError::Answer(io::Error::new(io::ErrorKind::InvalidData, error)))?;
            if let Some((frame, length)) = decoded {
                self.bytes.advance(length);
                return Ok(frame);
            }
            self.bytes.reserve(LARGEST_PIECE);
            match self.read.read_buf(&mut self.bytes).await {
                Ok(0) | Err(_) => return Err(ExecError::Closed),
                Ok(_) => {}
            }
        }
    }
}

/// What is sent to the guest.
#[derive(Debug)]
pub(super) struct Outgoing<S>(WriteHalf<S>);

impl<S: AsyncWrite> Outgoing<S> {
    pub(super) fn new(write: WriteHalf<S>) -> Self {
        Self(write)
    }

    /// Sends the bytes of a frame.
    pub(super) async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.0.write_all(frame).await
    }
}
