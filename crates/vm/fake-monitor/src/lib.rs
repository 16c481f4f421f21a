//! The other side of the wire for tests: a unix socket that follows a script. For tests only.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// Makes an answer from a command.
type Answering = Box<dyn FnOnce(Value) -> String + Send>;

/// What the other side does.
pub enum Step {
    /// Sends these bytes.
    Say(Vec<u8>),
    /// Waits for a command of this name and sends what is made from it.
    Answer(&'static str, Answering),
    /// Waits for a command of this name.
    Hear(&'static str),
}

/// What a monitor says first.
pub const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 2, "major": 10}, "package": "v10.2.2"}, "capabilities": ["oob"]}}"#;

/// A monitor greets and leaves negotiation mode. The first command after that has id 2.
pub fn monitor_opening() -> [Step; 2] {
    [say(GREETING), answer("qmp_capabilities", r#"{"return": {}, "id": 1}"#)]
}

/// Sends a line.
pub fn say(line: &str) -> Step {
    Step::Say(format!("{line}\n").into_bytes())
}

/// Waits for a command and answers it with a fixed line.
pub fn answer(command: &'static str, line: &'static str) -> Step {
    Step::Answer(command, Box::new(move |_| line.to_owned()))
}

/// Waits for a command and answers it with a line made from it.
pub fn answer_with(command: &'static str, make: impl FnOnce(Value) -> String + Send + 'static) -> Step {
    Step::Answer(command, Box::new(make))
}

/// A server that follows one script a connection, closes each when its script is over, and keeps the last open.
pub struct Server {
    dir: TempDir,
}

impl Server {
    /// Starts it.
    pub fn start(connections: Vec<Vec<Step>>) -> Self {
        let server = Self { dir: tempfile::tempdir().unwrap() };
        let listener = UnixListener::bind(server.path()).unwrap();
        tokio::spawn(async move {
            let mut last = None;
            let count = connections.len();
            for (number, steps) in connections.into_iter().enumerate() {
                let (stream, _) = listener.accept().await.unwrap();
                let stream = follow(stream, steps).await;
                last = (number + 1 == count).then_some(stream);
            }
            std::future::pending::<()>().await;
            drop(last);
        });
        server
    }

    /// Its socket.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Where its socket is.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

async fn follow(stream: UnixStream, steps: Vec<Step>) -> BufReader<UnixStream> {
    let mut stream = BufReader::new(stream);
    for step in steps {
        let bytes = match step {
            Step::Say(bytes) => bytes,
            Step::Hear(name) => {
                heard(&mut stream, name).await;
                continue;
            }
            Step::Answer(name, make) => {
                let command = heard(&mut stream, name).await;
                format!("{}\n", make(command)).into_bytes()
            }
        };
        if stream.get_mut().write_all(&bytes).await.is_err() {
            break;
        }
    }
    stream
}

/// The next command, which must be called `name`.
async fn heard(stream: &mut BufReader<UnixStream>, name: &str) -> Value {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await.unwrap();
    let json = line.iter().position(|byte| *byte == b'{').map_or(&[][..], |start| &line[start..]);
    let command: Value = serde_json::from_slice(json).unwrap_or_default();
    assert_eq!(command["execute"], name, "the script and the client disagree");
    command
}
