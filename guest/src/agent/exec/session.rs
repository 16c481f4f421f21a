//! One connection: the command that it carries, from the token to the exit status.

use std::{io, os::unix::process::ExitStatusExt as _, process::ExitStatus, time::Duration};

use protocol::exec::{
    Ended, Failed, FailureKind, Frame, FromGuest, FromHost, LARGEST_PIECE, Passed, Stream, Task, WINDOW,
};
use rustix::net::sockopt;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpStream, unix::pipe},
    sync::{Semaphore, mpsc, watch},
    time::timeout,
};
use tracing::warn;

use super::{
    Door,
    child::{self, Child, Ends},
    frames::{Gone, Incoming, Outgoing},
    place::NotRunning,
    work::Work,
};
use crate::{container::exec::NoProgram, report};

/// How long a connection may take to show its token.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// How long a terminal may be silent after its command has ended, before what others still write to it is left.
const SILENCE_LIMIT: Duration = Duration::from_millis(500);

/// How long the host may take to read the end, and to close the connection.
const END_LIMIT: Duration = Duration::from_secs(30);

/// How long the connection may be quiet before its other side is asked whether it is there. A machine that was suspended meanwhile
/// has lost it.
const QUIET: Duration = Duration::from_secs(5);

/// How often it is asked.
const QUESTIONS: u32 = 4;

/// End of input on a terminal: Ctrl-D.
const END_OF_INPUT: &[u8] = b"\x04";

/// Serves one connection.
pub(super) async fn serve(stream: TcpStream, door: Door) {
    let kept = sockopt::set_socket_keepalive(&stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(&stream, QUIET))
        .and_then(|()| sockopt::set_tcp_keepintvl(&stream, QUIET))
        .and_then(|()| sockopt::set_tcp_keepcnt(&stream, QUESTIONS))
        .and_then(|()| sockopt::set_tcp_nodelay(&stream, true));
    if let Err(error) = kept {
        warn!("cannot set the connection up: {error}");
    }
    let (read, write) = stream.into_split();
    let mut incoming = Incoming::new(read);
    let opened = timeout(OPEN_LIMIT, incoming.next()).await;
    door.is_known();
    let Ok(Ok(Some(Frame::Message(FromHost::Open(open))))) = opened else { return };
    if !door.opens(&open.token) {
        warn!("refused a connection without a valid token");
        return;
    }
    let (outgoing, sending) = Outgoing::new(write);
    let said = match start(&open.task) {
        Ok((child, ends)) => run(child, ends, &mut incoming, &outgoing).await,
        Err(failed) => Some(FromGuest::Failed(failed)),
    };
    if let Some(last) = said {
        let _ = outgoing.message(last).await;
    }
    drop(outgoing);
    // Whatever the host still sends is read: otherwise the kernel would reset the connection, and the end with it.
    let read = async {
        let _ = sending.await;
        while let Ok(Some(_)) = incoming.next().await {}
    };
    let _ = timeout(END_LIMIT, read).await;
}

/// Starts what the host asks for.
fn start(task: &Task) -> Result<(Child, Ends), Failed> {
    let work = Work::of(task).map_err(|error| {
        if let Some(NoProgram(error)) = error.downcast_ref() {
            return cannot_run(task, error);
        }
        let kind = if error.is::<NotRunning>() { FailureKind::NotRunning } else { FailureKind::Other };
        Failed { kind, reason: report(&*error) }
    })?;
    child::start(work, task.terminal.as_ref()).map_err(|error| cannot_run(task, &error))
}

/// Why the program of a task was not started.
fn cannot_run(task: &Task, error: &io::Error) -> Failed {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => FailureKind::NotFound,
        // What was said about something else than the program has no number.
        _ if error.raw_os_error().is_none() => FailureKind::Other,
        _ => FailureKind::NotExecutable,
    };
    let program = task.command.first().map_or("", String::as_str);
    Failed { kind, reason: format!("cannot run `{}`: {}", program.escape_debug(), report(error)) }
}

/// Runs it to its end, and returns what to say about that: nothing, if the host is gone.
async fn run(
    mut child: Child,
    ends: Ends,
    incoming: &mut Incoming,
    outgoing: &Outgoing,
) -> Option<FromGuest> {
    let Ends { stdin, stdout, stderr, terminal } = ends;
    let group = child.group();
    let (queue, inputs) = mpsc::unbounded_channel();
    let room = Semaphore::new(WINDOW as usize);
    let (ended, end) = watch::channel(false);
    let has_terminal = terminal.is_some();
    let stdout = Output::new(stdout, Stream::Stdout, has_terminal, end.clone());
    let stderr = stderr.map(|stderr| Output::new(stderr, Stream::Stderr, has_terminal, end));

    let hear = async {
        let mut input = Input { queue: Some(queue), room: &room };
        while let Ok(Some(frame)) = incoming.next().await {
            let heard = match frame {
                Frame::Piece(Stream::Stdin, bytes) => input.take(bytes),
                Frame::Message(FromHost::End) => {
                    input.queue = None;
                    Ok(())
                }
                Frame::Message(FromHost::Signal { signal }) => {
                    group.signal(signal);
                    Ok(())
                }
                Frame::Message(FromHost::Resize(size)) => terminal
                    .as_ref()
                    .map_or(Ok(()), |terminal| child::resize(terminal, size))
                    .map_err(|_| Gone),
                Frame::Message(FromHost::Passed(Passed { stream, bytes })) => {
                    let output = match stream {
                        Stream::Stdin => None,
                        Stream::Stdout => Some(&stdout),
                        Stream::Stderr => stderr.as_ref(),
                    };
                    output.map_or(Err(Gone), |output| output.widen(bytes))
                }
                Frame::Piece(..) | Frame::Message(FromHost::Open(_)) => Err(Gone),
            };
            if heard.is_err() {
                return;
            }
        }
    };
    let feed = async {
        if feed(stdin, inputs, &room, has_terminal, outgoing).await.is_ok() {
            // The command continues without input.
            std::future::pending::<()>().await;
        }
    };
    let err = async { if let Some(stderr) = &stderr { stderr.pump(outgoing).await } else { Ok(()) } };
    let work = async {
        outgoing.message(FromGuest::Started).await?;
        let status = async {
            let status = child.wait().await;
            ended.send_replace(true);
            Ok(status)
        };
        let (status, (), ()) = tokio::try_join!(status, stdout.pump(outgoing), err)?;
        Ok::<_, Gone>(status)
    };
    let outcome = tokio::select! {
        biased;
        outcome = work => outcome,
        () = hear => Err(Gone),
        () = feed => Err(Gone),
    };
    match outcome {
        Ok(Ok(status)) => Some(FromGuest::Ended(how(status))),
        Ok(Err(error)) => {
            let reason = format!("cannot wait for the command: {error}");
            Some(FromGuest::Failed(Failed { kind: FailureKind::Other, reason }))
        }
        Err(Gone) => {
            child.end().await;
            None
        }
    }
}

fn how(status: ExitStatus) -> Ended {
    let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match status.signal() {
        Some(signal) => Ended::Killed(byte(signal)),
        None => Ended::Exited(byte(status.code().unwrap_or_default())),
    }
}

/// What comes for stdin.
struct Input<'a> {
    queue: Option<mpsc::UnboundedSender<Vec<u8>>>,
    /// Bytes that may still come before some are passed on.
    room: &'a Semaphore,
}

impl Input<'_> {
    fn take(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        let count = u32::try_from(bytes.len()).map_err(|_| Gone)?;
        self.room.try_acquire_many(count).map_err(|_| Gone)?.forget();
        // A command that does not read is not fed any more.
        if let Some(queue) = &self.queue {
            let _ = queue.send(bytes);
        }
        Ok(())
    }
}

/// Writes to stdin what comes, until it ends.
async fn feed(
    mut stdin: pipe::Sender,
    mut queue: mpsc::UnboundedReceiver<Vec<u8>>,
    room: &Semaphore,
    has_terminal: bool,
    outgoing: &Outgoing,
) -> Result<(), Gone> {
    while let Some(bytes) = queue.recv().await {
        if stdin.write_all(&bytes).await.is_err() {
            return outgoing.message(FromGuest::InputClosed).await;
        }
        room.add_permits(bytes.len());
        let bytes = u32::try_from(bytes.len()).map_err(|_| Gone)?;
        outgoing.message(FromGuest::Passed(Passed { stream: Stream::Stdin, bytes })).await?;
    }
    if has_terminal {
        let _ = stdin.write_all(END_OF_INPUT).await;
    }
    Ok(())
}

/// A stream of the command.
struct Output {
    source: pipe::Receiver,
    stream: Stream,
    has_terminal: bool,
    /// Bytes that may be sent before the host has passed some on.
    window: Semaphore,
    /// Whether the command has ended.
    end: watch::Receiver<bool>,
}

impl Output {
    fn new(source: pipe::Receiver, stream: Stream, has_terminal: bool, end: watch::Receiver<bool>) -> Self {
        Self { source, stream, has_terminal, window: Semaphore::new(WINDOW as usize), end }
    }

    /// Lets so many more bytes be sent.
    fn widen(&self, bytes: u32) -> Result<(), Gone> {
        let bytes = bytes as usize;
        if self.window.available_permits() + bytes > WINDOW as usize {
            return Err(Gone);
        }
        self.window.add_permits(bytes);
        Ok(())
    }

    /// Sends what the command writes, until nothing more can come.
    async fn pump(&self, outgoing: &Outgoing) -> Result<(), Gone> {
        loop {
            let first = self.window.acquire().await.map_err(|_| Gone)?;
            let mut bytes = vec![0; LARGEST_PIECE.min(1 + self.window.available_permits())];
            let count = self.read(&mut bytes).await;
            if count == 0 {
                return Ok(());
            }
            first.forget();
            self.window.forget_permits(count - 1);
            bytes.truncate(count);
            outgoing.piece(self.stream, bytes).await?;
        }
    }

    /// Reads what there is, or waits for it; 0 at the end. What the command has written before it ended is all there then; others that
    /// it has left behind may still write, which is not waited for.
    async fn read(&self, bytes: &mut [u8]) -> usize {
        let mut end = self.end.clone();
        loop {
            match self.source.try_read(bytes) {
                Ok(count) => return count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A terminal that no process has open any more.
                Err(_) => return 0,
            }
            let ended = *end.borrow_and_update();
            if !ended {
                tokio::select! {
                    _ = self.source.readable() => {}
                    _ = end.changed() => {}
                }
            } else if !self.has_terminal {
                return 0;
            // The kernel hands on what was written to a terminal a little later.
            } else if timeout(SILENCE_LIMIT, self.source.readable()).await.is_err() {
                return 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use protocol::exec::{Signal, Size, Terminal};
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    use super::{super::place::Place, *};

    /// How long a test waits for what has to come.
    const SOON: Duration = Duration::from_secs(10);

    /// The host's side of a connection whose command runs here, as this user.
    struct Host {
        stream: TcpStream,
        bytes: Vec<u8>,
        session: tokio::task::JoinHandle<()>,
    }

    impl Host {
        async fn start(script: &str, terminal: Option<Terminal>) -> Self {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let connect = TcpStream::connect(listener.local_addr().unwrap());
            let (stream, accepted) = tokio::join!(connect, listener.accept());
            let (read, write) = accepted.unwrap().0.into_split();
            let command = ["sh", "-c", script].map(str::to_owned).to_vec();
            let session = tokio::spawn(async move {
                let mut incoming = Incoming::new(read);
                let (outgoing, sending) = Outgoing::new(write);
                let place = Place::of_process(Path::new("/proc/self")).unwrap();
                let (child, ends) =
                    child::start(Work { command, place, input: None }, terminal.as_ref()).unwrap();
                if let Some(last) = run(child, ends, &mut incoming, &outgoing).await {
                    let _ = outgoing.message(last).await;
                }
                drop(outgoing);
                sending.await.unwrap();
            });
            let mut host = Self { stream: stream.unwrap(), bytes: Vec::new(), session };
            assert_eq!(host.next().await, Frame::Message(FromGuest::Started));
            host
        }

        async fn send(&mut self, frame: Frame<FromHost>) {
            self.stream.write_all(&frame.encode().unwrap()).await.unwrap();
        }

        async fn message(&mut self, message: FromHost) {
            self.send(Frame::Message(message)).await;
        }

        async fn stdin(&mut self, bytes: &[u8]) {
            self.send(Frame::Piece(Stream::Stdin, bytes.to_owned())).await;
        }

        async fn next(&mut self) -> Frame<FromGuest> {
            loop {
                if let Some((frame, length)) = Frame::decode(&self.bytes).unwrap() {
                    self.bytes.drain(..length);
                    return frame;
                }
                let read = timeout(SOON, self.stream.read_buf(&mut self.bytes)).await;
                assert_ne!(read.expect("the guest sends").unwrap(), 0, "the connection was closed");
            }
        }

        /// Passes everything on until the end: what came, and how the command ended.
        async fn rest(&mut self) -> (Vec<u8>, Vec<u8>, Ended) {
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            loop {
                match self.next().await {
                    Frame::Piece(stream, bytes) => {
                        let passed = Passed { stream, bytes: bytes.len().try_into().unwrap() };
                        if stream == Stream::Stdout { &mut stdout } else { &mut stderr }.extend(bytes);
                        let passed = Frame::Message(FromHost::Passed(passed)).encode().unwrap();
                        // A session that has ended by now does not need it.
                        let _ = self.stream.write_all(&passed).await;
                    }
                    Frame::Message(FromGuest::Ended(ended)) => return (stdout, stderr, ended),
                    Frame::Message(_) => {}
                }
            }
        }

        /// Waits for text on stdout.
        async fn until(&mut self, wanted: &str) -> String {
            let mut text = String::new();
            while !text.contains(wanted) {
                if let Frame::Piece(Stream::Stdout, bytes) = self.next().await {
                    text.push_str(&String::from_utf8_lossy(&bytes));
                }
            }
            text
        }

        async fn closed(mut self) {
            let closed =
                async { while self.stream.read_buf(&mut self.bytes).await.is_ok_and(|count| count > 0) {} };
            timeout(SOON, closed).await.expect("the guest closes the connection");
            timeout(SOON, self.session).await.expect("the session ends").unwrap();
        }
    }

    fn terminal() -> Terminal {
        Terminal { term: Some("vt100".to_owned()), size: Size { columns: 132, rows: 43 } }
    }

    #[tokio::test]
    async fn streams_and_status_arrive_apart() {
        let mut host = Host::start("echo out; echo err >&2; exit 7", None).await;
        assert_eq!(host.rest().await, (b"out\n".to_vec(), b"err\n".to_vec(), Ended::Exited(7)));
        let mut host = Host::start("kill -9 $$", None).await;
        assert_eq!(host.rest().await.2, Ended::Killed(9));
    }

    #[tokio::test]
    async fn more_than_a_window_comes_back_as_it_was() {
        let mut host = Host::start("cat", None).await;
        let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let (mut room, mut at, mut back) = (WINDOW as usize, 0, Vec::new());
        while back.len() < sent.len() {
            let piece = LARGEST_PIECE.min(room).min(sent.len() - at);
            if piece > 0 {
                host.stdin(&sent[at..at + piece]).await;
                (room, at) = (room - piece, at + piece);
                continue;
            }
            match host.next().await {
                Frame::Message(FromGuest::Passed(passed)) => room += passed.bytes as usize,
                Frame::Piece(stream, bytes) => {
                    let passed = Passed { stream, bytes: bytes.len().try_into().unwrap() };
                    back.extend(bytes);
                    host.message(FromHost::Passed(passed)).await;
                }
                Frame::Message(other) => panic!("{other:?}"),
            }
        }
        assert!(back == sent, "not what was sent");
        host.message(FromHost::End).await;
        assert_eq!(host.rest().await.2, Ended::Exited(0));
    }

    #[tokio::test]
    async fn a_signal_passes_what_no_one_reads() {
        let mut host = Host::start("exec sleep 600", None).await;
        for _ in 0..WINDOW as usize / LARGEST_PIECE {
            host.stdin(&vec![0; LARGEST_PIECE]).await;
        }
        host.message(FromHost::Signal { signal: Signal::Interrupt }).await;
        assert_eq!(host.rest().await.2, Ended::Killed(2));
    }

    #[tokio::test]
    async fn a_host_that_sends_more_than_a_window_is_left() {
        let mut host = Host::start("exec sleep 600", None).await;
        for _ in 0..=WINDOW as usize / LARGEST_PIECE {
            host.stdin(&vec![0; LARGEST_PIECE]).await;
        }
        // What the pipe has taken was passed on, and made room for as much.
        for _ in 0..=(128 << 10) / LARGEST_PIECE {
            let _ = host
                .stream
                .write_all(&Frame::<FromHost>::Piece(Stream::Stdin, vec![0; LARGEST_PIECE]).encode().unwrap())
                .await;
        }
        host.closed().await;
    }

    #[tokio::test]
    async fn all_of_a_command_ends_when_its_host_is_gone() {
        let mut host = Host::start("trap '' HUP; sleep 600 & echo \"<$!>\"; wait", None).await;
        let text = host.until(">").await;
        let pid: i32 = text.trim().trim_matches(['<', '>']).parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let Host { stream, session, .. } = host;
        drop(stream);
        timeout(SOON, session).await.expect("the session ends").unwrap();
        let gone = async || rustix::process::test_kill_process(pid).is_err().then_some(());
        base::wait::until(SOON, gone).await.expect("what it had started is gone");
    }

    #[tokio::test]
    async fn what_a_command_leaves_behind_does_not_hold_it_up() {
        let mut host = Host::start("sleep 600 & echo $!", None).await;
        let (stdout, _, ended) = timeout(SOON, host.rest()).await.expect("it ends");
        assert_eq!(ended, Ended::Exited(0));
        let pid = String::from_utf8(stdout).unwrap().trim().parse().unwrap();
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
    }

    #[tokio::test]
    async fn a_command_that_reads_no_more_is_said_to() {
        let mut host = Host::start("exec <&-; sleep 600", None).await;
        // The pipe takes some before its other end is closed.
        loop {
            host.stdin(b"more").await;
            if host.next().await == Frame::Message(FromGuest::InputClosed) {
                break;
            }
        }
        host.message(FromHost::Signal { signal: Signal::Terminate }).await;
        assert_eq!(host.rest().await.2, Ended::Killed(15));
    }

    #[tokio::test]
    async fn a_terminal_has_its_kind_and_the_size_of_the_hosts() {
        let script = "stty -echo; tty; echo $TERM; stty size; read line; stty size; echo \"got $line\"";
        let mut host = Host::start(script, Some(terminal())).await;
        let text = host.until("43 132").await;
        assert!(text.starts_with("/dev/pts/") && text.contains("vt100"), "{text}");
        host.message(FromHost::Resize(Size { columns: 100, rows: 30 })).await;
        host.stdin(b"hello\r").await;
        let (stdout, _, ended) = host.rest().await;
        assert_eq!(String::from_utf8(stdout).unwrap().trim_start(), "30 100\r\ngot hello\r\n");
        assert_eq!(ended, Ended::Exited(0));
    }

    #[tokio::test]
    async fn keys_reach_the_command_of_a_terminal_as_signals() {
        let mut host = Host::start("echo ready; exec sleep 600", Some(terminal())).await;
        host.until("ready").await;
        host.stdin(b"\x03").await;
        assert_eq!(host.rest().await.2, Ended::Killed(2));
        let mut host = Host::start("echo ready; exec cat", Some(terminal())).await;
        host.until("ready").await;
        host.message(FromHost::End).await;
        assert_eq!(host.rest().await.2, Ended::Exited(0), "the end of the input is one of the terminal");
    }
}
