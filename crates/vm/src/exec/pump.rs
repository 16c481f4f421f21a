//! The streams of a command, within their windows.

use std::io;
use std::sync::Arc;

use protocol::exec::{Frame, FromHost, LARGEST_PIECE, Passed, Stream, WINDOW};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};

use super::{ExecError, nonsense};

/// What is to be sent, encoded.
type Queue = mpsc::Sender<Vec<u8>>;

/// What is sent to stdin.
pub(super) struct Input {
    queue: Queue,
    /// Bytes that may be sent before the guest has passed some on.
    window: Semaphore,
}

impl Input {
    pub(super) fn new(queue: Queue) -> Self {
        Self { queue, window: Semaphore::new(WINDOW as usize) }
    }

    /// Lets so many more bytes be sent.
    pub(super) fn widen(&self, Passed { stream, bytes }: Passed) -> Result<(), ExecError> {
        let bytes = bytes as usize;
        if stream != Stream::Stdin || self.window.available_permits() + bytes > WINDOW as usize {
            return Err(nonsense());
        }
        self.window.add_permits(bytes);
        Ok(())
    }

    /// Sends nothing more: the command does not read.
    pub(super) fn close(&self) {
        self.window.close();
    }

    /// Sends what `source` gives, then that it has ended. Returns when nothing can be sent any more.
    pub(super) async fn pump(&self, mut source: impl AsyncRead + Unpin) {
        while let Ok(first) = self.window.acquire().await {
            let mut bytes = vec![0; LARGEST_PIECE.min(1 + self.window.available_permits())];
            // One that cannot be read has nothing more.
            let count = source.read(&mut bytes).await.unwrap_or_default();
            first.forget();
            self.window.forget_permits(count.saturating_sub(1));
            bytes.truncate(count);
            let frame =
                if count == 0 { Frame::Message(FromHost::End) } else { Frame::Piece(Stream::Stdin, bytes) };
            let Ok(frame) = frame.encode() else { return };
            if self.queue.send(frame).await.is_err() {
                return;
            }
            if count == 0 {
                break;
            }
        }
        std::future::pending().await
    }
}

/// What comes from stdout and stderr.
pub(super) struct Outputs {
    stdout: Arriving,
    stderr: Arriving,
}

struct Arriving {
    queue: mpsc::UnboundedSender<Vec<u8>>,
    /// Bytes that may still come before some are passed on.
    room: Arc<Semaphore>,
}

/// What has come from one stream, to be written.
pub(super) struct Output {
    arrived: mpsc::UnboundedReceiver<Vec<u8>>,
    room: Arc<Semaphore>,
    queue: Queue,
}

impl Outputs {
    pub(super) fn new(queue: &Queue) -> (Self, Output, Output) {
        let one = || {
            let (sender, arrived) = mpsc::unbounded_channel();
            let room = Arc::new(Semaphore::new(WINDOW as usize));
            let output = Output { arrived, room: Arc::clone(&room), queue: queue.clone() };
            (Arriving { queue: sender, room }, output)
        };
        let ((stdout, out), (stderr, err)) = (one(), one());
        (Self { stdout, stderr }, out, err)
    }

    /// Takes a piece that has come.
    pub(super) fn take(&self, stream: Stream, bytes: Vec<u8>) -> Result<(), ExecError> {
        let arriving = match stream {
            Stream::Stdin => return Err(nonsense()),
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        let count = u32::try_from(bytes.len()).map_err(|_| nonsense())?;
        arriving.room.try_acquire_many(count).map_err(|_| nonsense())?.forget();
        // If its writer is gone, it has failed, and that is the error.
        let _ = arriving.queue.send(bytes);
        Ok(())
    }
}

impl Output {
    /// Writes what comes, and lets the guest send more.
    pub(super) async fn pump(
        mut self,
        stream: Stream,
        mut sink: impl AsyncWrite + Unpin,
    ) -> Result<(), ExecError> {
        let local = |error: io::Error| ExecError::Local(stream, error);
        while let Some(bytes) = self.arrived.recv().await {
            sink.write_all(&bytes).await.map_err(local)?;
            sink.flush().await.map_err(local)?;
            self.room.add_permits(bytes.len());
            let bytes = u32::try_from(bytes.len()).map_err(|_| nonsense())?;
            let passed = Frame::Message(FromHost::Passed(Passed { stream, bytes }));
            // If nothing can be sent any more, that is another's error.
            let _ = self.queue.send(passed.encode().map_err(ExecError::TooLong)?).await;
        }
        Ok(())
    }
}
