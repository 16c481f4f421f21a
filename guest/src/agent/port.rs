//! The agent's virtio-serial port, as lines.
//!
//! While no host is connected, the port reads as end-of-file and always polls as hung up. tokio takes a hang-up for the end of a
//! file descriptor and would call it readable from then on. So the port is in an epoll set of its own, edge-triggered, and
//! tokio waits for that set: it becomes readable when the driver wakes what polls the port, which is when the host connects,
//! when it has written and when it has read.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::Path,
    time::Duration,
};

use bytes::BytesMut;
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
};
use tokio::{
    io::unix::AsyncFd,
    time::{Instant, timeout_at},
};
use tokio_util::codec::{Decoder as _, LinesCodec, LinesCodecError};
use tracing::warn;

use super::conversation::LONGEST_LINE;

/// How long the host may take to read an answer before it is dropped.
const WRITE_DEADLINE: Duration = Duration::from_secs(2);

/// Bytes that are read at a time: a page of the driver.
const READ: usize = 4096;

/// The port.
pub(super) struct Port {
    reader: File,
    writer: File,
    edges: Edges,
    lines: LinesCodec,
    input: BytesMut,
    /// An answer was dropped after a part of it had been written.
    torn: bool,
}

impl Port {
    /// Opens the port at `path`.
    ///
    /// # Errors
    /// When it is not there, or another process has it open.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(path)?;
        Self::new(file.try_clone()?, file)
    }

    /// Both ends are non-blocking.
    fn new(reader: File, writer: File) -> io::Result<Self> {
        let edges = Edges::of(&reader, &writer)?;
        let lines = LinesCodec::new_with_max_length(LONGEST_LINE);
        Ok(Self { reader, writer, edges, lines, input: BytesMut::new(), torn: false })
    }

    /// Waits for the next line, also while the host disconnects and connects again.
    ///
    /// # Errors
    /// Only when it is impossible to wait.
    pub(super) async fn line(&mut self) -> io::Result<String> {
        loop {
            match self.lines.decode(&mut self.input) {
                Ok(Some(line)) => return Ok(line),
                Ok(None) => self.fill().await?,
                Err(LinesCodecError::MaxLineLengthExceeded) => warn!("dropped a line that is too long"),
                Err(LinesCodecError::Io(error)) => warn!("dropped a line: {error}"),
            }
        }
    }

    /// Reads what there is, or waits until something may have changed.
    async fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; READ];
        match self.reader.read(&mut buffer) {
            Ok(count @ 1..) => {
                self.input.extend_from_slice(&buffer[..count]);
                return Ok(());
            }
            // No host is connected.
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => warn!("cannot read from the port: {error}"),
        }
        self.edges.next().await
    }

    /// Writes a line, or drops it when the host does not read.
    pub(super) async fn send(&mut self, line: &str) {
        let torn = std::mem::take(&mut self.torn);
        let text = if torn { format!("\n{line}") } else { line.to_owned() };
        let mut rest = text.as_bytes();
        let deadline = Instant::now() + WRITE_DEADLINE;
        while !rest.is_empty() {
            let error = match self.writer.write(rest) {
                Ok(count) => {
                    rest = &rest[count..];
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    match timeout_at(deadline, self.edges.next()).await {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => error,
                        Err(_) => ErrorKind::TimedOut.into(),
                    }
                }
                Err(error) => error,
            };
            self.torn = torn || rest.len() < text.len();
            warn!("dropped an answer: {error}");
            return;
        }
    }
}

/// The moments at which the port's state may have changed.
struct Edges(AsyncFd<OwnedFd>);

impl Edges {
    fn of(reader: &File, writer: &File) -> io::Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let edge = epoll::EventFlags::ET;
        epoll::add(&set, reader, epoll::EventData::new_u64(0), epoll::EventFlags::IN | edge)?;
        epoll::add(&set, writer, epoll::EventData::new_u64(1), epoll::EventFlags::OUT | edge)?;
        base::readiness::readable(set).map(Self)
    }

    /// Waits until there was one since the last call. Dropping the future loses none.
    async fn next(&self) -> io::Result<()> {
        let mut events = Vec::with_capacity(2);
        loop {
            let mut guard = self.0.readable().await?;
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if epoll::wait(guard.get_inner(), spare_capacity(&mut events), Some(&now))? > 0 {
                return Ok(());
            }
            guard.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};

    use super::*;

    /// Two named pipes: like the port, they outlive the processes at their other ends, and read as end-of-file while there is none.
    struct Pipes(tempfile::TempDir);

    impl Pipes {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for name in ["to-guest", "to-host"] {
                let mode = Mode::RUSR | Mode::WUSR;
                mknodat(CWD, dir.path().join(name), FileType::Fifo, mode, 0).unwrap();
            }
            Self(dir)
        }

        fn open(&self, name: &str, flags: OFlags) -> File {
            open(self.0.path().join(name), flags | OFlags::NONBLOCK, Mode::empty()).unwrap().into()
        }

        fn port(&self) -> Port {
            // A pipe can only be opened for writing while it is open for reading.
            let writer = self.open("to-host", OFlags::RDWR);
            Port::new(self.open("to-guest", OFlags::RDONLY), writer).unwrap()
        }

        /// A host that connects and writes.
        fn write(&self, text: &str) -> File {
            let mut host = self.open("to-guest", OFlags::WRONLY);
            host.write_all(text.as_bytes()).unwrap();
            host
        }

        fn read(&self) -> String {
            let mut text = vec![0; 1 << 20];
            let count = self.open("to-host", OFlags::RDONLY).read(&mut text).unwrap_or(0);
            String::from_utf8_lossy(&text[..count]).into_owned()
        }
    }

    #[tokio::test]
    async fn lines_come_in_pieces_and_several_at_once() {
        let pipes = Pipes::new();
        let mut port = pipes.port();
        let mut host = pipes.write("one\ntwo\nth");
        assert_eq!(port.line().await.unwrap(), "one");
        assert_eq!(port.line().await.unwrap(), "two");
        let (line, ()) = tokio::join!(port.line(), async {
            tokio::task::yield_now().await;
            host.write_all(b"ree\n").unwrap();
        });
        assert_eq!(line.unwrap(), "three");
    }

    #[tokio::test]
    async fn a_host_that_goes_in_the_middle_of_a_line_spoils_that_line_only() {
        let pipes = Pipes::new();
        let mut port = pipes.port();
        for _ in 0..3 {
            drop(pipes.write("half a li"));
            let (line, ()) = tokio::join!(port.line(), async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                drop(pipes.write("\nwhole\n"));
            });
            assert_eq!(line.unwrap(), "half a li");
            assert_eq!(port.line().await.unwrap(), "whole");
        }
    }

    #[tokio::test]
    async fn without_a_host_the_port_is_not_polled() {
        let pipes = Pipes::new();
        let mut port = pipes.port();
        drop(pipes.write("gone\n"));
        assert_eq!(port.line().await.unwrap(), "gone");
        // What is left of the edges so far.
        let quiet = Duration::from_millis(20);
        while tokio::time::timeout(quiet, port.edges.next()).await.is_ok() {}
        assert_eq!(port.reader.read(&mut [0; 8]).unwrap(), 0, "the pipe is at its end");
        assert!(
            tokio::time::timeout(quiet, port.edges.next()).await.is_err(),
            "the port woke its reader without a host"
        );
        let _host = pipes.write("back\n");
        assert_eq!(port.line().await.unwrap(), "back");
    }

    #[tokio::test]
    async fn what_is_too_long_or_not_text_is_dropped() {
        let pipes = Pipes::new();
        let mut port = pipes.port();
        let mut host = pipes.write("\u{ff}");
        let feed = async {
            host.write_all(b"\xff\xfe\n").unwrap();
            for _ in 0..=LONGEST_LINE / READ {
                while host.write_all(&[b'x'; READ]).is_err() {
                    tokio::task::yield_now().await;
                }
                tokio::task::yield_now().await;
            }
            host.write_all(b"\nshort\n").unwrap();
        };
        let (line, ()) = tokio::join!(port.line(), feed);
        assert_eq!(line.unwrap(), "short");
    }

    #[tokio::test(start_paused = true)]
    async fn an_unread_answer_is_dropped_and_does_not_spoil_the_next() {
        let pipes = Pipes::new();
        let mut port = pipes.port();
        let long = format!("{}\n", "x".repeat(1 << 20));
        port.send(&long).await;
        assert!(port.torn);
        let torn = pipes.read();
        assert!(torn.len() < long.len() && torn.starts_with('x'));
        port.send("next\n").await;
        assert_eq!(pipes.read(), "\nnext\n");
        assert!(!port.torn);
    }
}
