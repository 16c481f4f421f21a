use std::collections::BTreeMap;

use fake_monitor::{Server, Step, answer_with, monitor_opening};
use protocol::exec::{LARGEST_PIECE, Passed, Task, WINDOW};
use protocol::{Answer, Outcome, Request, Secret};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::net::{UnixListener, UnixStream};

use super::*;

/// How long a test waits for what has to come.
const SOON: Duration = Duration::from_secs(5);

fn task() -> Task {
    Task { service: None, command: vec!["true".to_owned()], terminal: None }
}

/// The guest's side of a connection.
struct Guest {
    stream: UnixStream,
    bytes: Vec<u8>,
}

impl Guest {
    async fn next(&mut self) -> Frame<FromHost> {
        loop {
            if let Some((frame, length)) = Frame::decode(&self.bytes).unwrap() {
                self.bytes.drain(..length);
                return frame;
            }
            let read = tokio::time::timeout(SOON, self.stream.read_buf(&mut self.bytes)).await;
            assert_ne!(read.expect("the host sends").unwrap(), 0, "the connection was closed");
        }
    }

    async fn send(&mut self, frame: Frame<FromGuest>) {
        self.stream.write_all(&frame.encode().unwrap()).await.unwrap();
    }

    async fn message(&mut self, message: FromGuest) {
        self.send(Frame::Message(message)).await;
    }

    async fn piece(&mut self, stream: Stream, bytes: &[u8]) {
        self.send(Frame::Piece(stream, bytes.to_owned())).await;
    }
}

/// A command that runs, as both sides see it.
async fn running() -> (Running<UnixStream>, Guest) {
    let (host, guest) = UnixStream::pair().unwrap();
    let mut guest = Guest { stream: guest, bytes: Vec::new() };
    let open = Open { token: Secret::new("ab"), task: task() };
    let started = Running::start(host, open.clone());
    let serve = async {
        assert_eq!(guest.next().await, Frame::Message(FromHost::Open(open.clone())));
        guest.message(FromGuest::Started).await;
    };
    let (running, ()) = tokio::join!(started, serve);
    (running.unwrap(), guest)
}

type Streams = Ends<DuplexStream, DuplexStream, DuplexStream>;

/// The streams of this program, and their other ends.
fn streams() -> (Streams, [DuplexStream; 3]) {
    let ((stdin, input), (stdout, output), (stderr, errors)) = (duplex(64), duplex(1 << 20), duplex(1 << 20));
    (Ends { stdin, stdout, stderr }, [input, output, errors])
}

fn orders() -> (mpsc::UnboundedSender<FromHost>, mpsc::UnboundedReceiver<FromHost>) {
    mpsc::unbounded_channel()
}

#[tokio::test]
async fn streams_arrive_apart_and_are_acknowledged_before_the_end() {
    let (running, mut guest) = running().await;
    let (ends, [_input, mut output, mut errors]) = streams();
    let (_orders, received) = orders();
    let serve = async {
        guest.piece(Stream::Stdout, b"out").await;
        guest.piece(Stream::Stderr, b"error").await;
        let mut passed = [guest.next().await, guest.next().await];
        passed.sort_by_key(|frame| format!("{frame:?}"));
        let of = |stream, bytes| Frame::Message(FromHost::Passed(Passed { stream, bytes }));
        assert_eq!(passed, [of(Stream::Stderr, 5), of(Stream::Stdout, 3)]);
        guest.piece(Stream::Stdout, b" end").await;
        guest.message(FromGuest::Ended(Ended::Exited(7))).await;
    };
    let (ended, ()) = tokio::join!(running.run(ends, received), serve);
    assert_eq!(ended.unwrap(), Ended::Exited(7));
    let (mut out, mut err) = (String::new(), String::new());
    output.read_to_string(&mut out).await.unwrap();
    errors.read_to_string(&mut err).await.unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("out end", "error"));
}

#[tokio::test]
async fn stdin_is_sent_as_far_as_its_window_and_then_its_end() {
    let (running, mut guest) = running().await;
    let (Ends { stdout, stderr, .. }, _others) = streams();
    let more = WINDOW as usize + 10;
    let ends = Ends { stdin: std::io::Cursor::new(vec![b'x'; more]), stdout, stderr };
    let (orders, received) = orders();
    let serve = async {
        let mut came = 0;
        while came < WINDOW as usize {
            let Frame::Piece(Stream::Stdin, bytes) = guest.next().await else { panic!("not stdin") };
            assert!(bytes.len() <= LARGEST_PIECE);
            came += bytes.len();
        }
        assert_eq!(came, WINDOW as usize);
        // A message passes what waits.
        orders.send(FromHost::Resize(protocol::exec::Size { columns: 1, rows: 1 })).unwrap();
        assert!(matches!(guest.next().await, Frame::Message(FromHost::Resize(_))));
        guest.message(FromGuest::Passed(Passed { stream: Stream::Stdin, bytes: WINDOW })).await;
        assert_eq!(guest.next().await, Frame::Piece(Stream::Stdin, vec![b'x'; 10]));
        assert_eq!(guest.next().await, Frame::Message(FromHost::End));
        guest.message(FromGuest::Ended(Ended::Killed(15))).await;
    };
    let (ended, ()) = tokio::join!(running.run(ends, received), serve);
    assert_eq!(ended.unwrap(), Ended::Killed(15));
}

/// How a command ends whose guest does this.
async fn ended(guest_does: impl AsyncFnOnce(&mut Guest)) -> Result<Ended, ExecError> {
    let (running, mut guest) = running().await;
    let (ends, _others) = streams();
    let (_orders, received) = orders();
    let serve = async {
        guest_does(&mut guest).await;
        let Guest { stream, .. } = guest;
        drop(stream);
    };
    tokio::join!(running.run(ends, received), serve).0
}

#[tokio::test]
async fn a_connection_that_ends_first_is_an_error() {
    assert!(matches!(ended(async |_| ()).await, Err(ExecError::Closed)));
    let half = async |guest: &mut Guest| guest.stream.write_all(&[2, 0, 0]).await.unwrap();
    assert!(matches!(ended(half).await, Err(ExecError::Closed)));
}

#[tokio::test]
async fn a_guest_that_makes_no_sense_is_left() {
    let beyond = async |guest: &mut Guest| {
        for _ in 0..4 * WINDOW as usize / LARGEST_PIECE {
            let frame = Frame::<FromGuest>::Piece(Stream::Stdout, vec![0; LARGEST_PIECE]).encode().unwrap();
            if guest.stream.write_all(&frame).await.is_err() {
                return;
            }
        }
    };
    let (running, mut guest) = running().await;
    let (Ends { stdin, stderr, .. }, _others) = streams();
    // No one reads stdout.
    let (stdout, _unread) = duplex(1);
    let (_orders, received) = orders();
    let run = running.run(Ends { stdin, stdout, stderr }, received);
    let (left, ()) = tokio::join!(run, beyond(&mut guest));
    assert!(matches!(left, Err(ExecError::Answer(_))), "{left:?}");
    let stdin = async |guest: &mut Guest| guest.piece(Stream::Stdin, b"x").await;
    assert!(matches!(ended(stdin).await, Err(ExecError::Answer(_))));
    let unknown = async |guest: &mut Guest| guest.stream.write_all(&[9, 0, 0, 0, 0]).await.unwrap();
    assert!(matches!(ended(unknown).await, Err(ExecError::Answer(_))));
    let too_much = async |guest: &mut Guest| {
        guest.message(FromGuest::Passed(Passed { stream: Stream::Stdin, bytes: WINDOW })).await;
    };
    assert!(matches!(ended(too_much).await, Err(ExecError::Answer(_))));
}

#[tokio::test]
async fn a_reader_that_has_gone_ends_it() {
    let (running, mut guest) = running().await;
    let (ends, [_input, output, _errors]) = streams();
    drop(output);
    let (_orders, received) = orders();
    let (ended, ()) = tokio::join!(running.run(ends, received), guest.piece(Stream::Stdout, b"x"));
    assert!(matches!(ended, Err(ExecError::Local(Stream::Stdout, _))), "{ended:?}");
}

#[tokio::test]
async fn a_refusal_is_shown_as_far_as_it_can_be() {
    let (host, guest) = UnixStream::pair().unwrap();
    let mut guest = Guest { stream: guest, bytes: Vec::new() };
    let started = Running::start(host, Open { token: Secret::new("ab"), task: task() });
    let failed = Failed { kind: FailureKind::NotFound, reason: "r".repeat(100_000) };
    let (started, ()) = tokio::join!(started, guest.message(FromGuest::Failed(failed)));
    let error = started.unwrap_err();
    assert!(matches!(error, ExecError::Failed { kind: FailureKind::NotFound, .. }));
    assert!(error.to_string().chars().count() <= REASON_LIMIT + 1);
    let long = Task { command: vec!["x".repeat(1 << 20)], ..task() };
    let (host, _guest) = UnixStream::pair().unwrap();
    let refused = Running::start(host, Open { token: Secret::new("ab"), task: long }).await;
    assert!(matches!(refused, Err(ExecError::TooLong(_))));
}

/// A machine with an agent that answers each request with this outcome.
struct Machine {
    _dir: tempfile::TempDir,
    _monitor: Server,
    door: Door,
}

impl Machine {
    fn new(outcome: Outcome, steps: Vec<Step>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let agent = UnixListener::bind(dir.path().join("agent")).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = agent.accept().await {
                let mut lines = BufReader::new(stream).lines();
                lines.next_line().await.unwrap();
                let line = lines.next_line().await.unwrap().unwrap();
                let request: Request = serde_json::from_str(&line).unwrap();
                let mut answer = serde_json::to_vec(&Answer::new(request.id, outcome.clone())).unwrap();
                answer.push(b'\n');
                lines.into_inner().into_inner().write_all(&answer).await.unwrap();
            }
        });
        let monitor = Server::start(vec![monitor_opening().into_iter().chain(steps).collect()]);
        let door = Door { qmp: monitor.path(), agent: dir.path().join("agent") };
        Self { _dir: dir, _monitor: monitor, door }
    }

    async fn start(&self) -> Result<Running<Connection>, ExecError> {
        self.door.start(Open { token: Secret::new("ab"), task: task() }, SOON).await
    }
}

fn done() -> Outcome {
    Outcome::Done { steps: Vec::new(), time: 1, containers: BTreeMap::new() }
}

/// A command of the monitor that exists for people: answered with what `text` makes of it.
fn human(id: u64, text: impl FnOnce(&str) -> String + Send + 'static) -> Step {
    answer_with("human-monitor-command", move |command| {
        let text = text(command["arguments"]["command-line"].as_str().unwrap());
        serde_json::json!({ "return": text, "id": id }).to_string()
    })
}

/// Serves one connection as a guest whose command starts.
async fn starts(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) {
    let mut bytes = Vec::new();
    while Frame::<FromHost>::decode(&bytes).unwrap().is_none() {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
    }
    stream.write_all(&Frame::Message(FromGuest::Started).encode().unwrap()).await.unwrap();
    let _ = stream.read_buf(&mut bytes).await;
}

#[tokio::test]
async fn the_socket_is_opened_once_by_a_name_without_a_hyphen() {
    let open = human(2, |line| {
        let path = line.strip_prefix("hostfwd_add net0 unix:").and_then(|rest| rest.strip_suffix("-:1022"));
        let path = path.expect(line);
        assert!(!path.contains('-'), "QEMU takes the first one for the end");
        let listener = UnixListener::bind(path).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(starts(stream));
            }
        });
        String::new()
    });
    let machine = Machine::new(done(), vec![open]);
    machine.start().await.unwrap();
    // The monitor's script has nothing more.
    machine.start().await.unwrap();
}

#[tokio::test]
async fn a_qemu_without_such_sockets_gives_each_command_a_port() {
    let refuse = human(2, |_| "Invalid host forwarding rule (Bad protocol name)\r\n".to_owned());
    let open = human(3, |line| {
        let rule = line.strip_prefix("hostfwd_add net0 tcp:127.0.0.1:").expect(line);
        let port: u16 = rule.strip_suffix("-:1022").expect(line).parse().unwrap();
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move { starts(listener.accept().await.unwrap().0).await });
        String::new()
    });
    let close = human(4, |line| {
        let rule = line.strip_prefix("hostfwd_remove net0 ").expect(line);
        format!("host forwarding rule for {rule} removed\r\n")
    });
    let machine = Machine::new(done(), vec![refuse, open, close]);
    machine.start().await.unwrap();
}

#[tokio::test]
async fn an_image_that_runs_no_commands_is_reported() {
    let reason = "invalid request before column 40".to_owned();
    let machine = Machine::new(Outcome::Failed { step: "protocol".to_owned(), reason }, Vec::new());
    assert!(matches!(machine.start().await.unwrap_err(), ExecError::Unknown));
    let failed = Outcome::Failed { step: "expect".to_owned(), reason: "no room".to_owned() };
    let machine = Machine::new(failed, Vec::new());
    assert!(matches!(machine.start().await.unwrap_err(), ExecError::Agent(_)));
}
