//! The network that the programs of a stack share, and how it is seen from inside that one of them works.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base::wait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Port of PostgreSQL.
const POSTGRES: u16 = 5432;

/// The first message of a client of PostgreSQL, version 3.0 of the protocol, for the database and the user `postgres`.
const STARTUP: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";

/// How long a program may take until it works.
const LIMIT: Duration = Duration::from_mins(2);

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What shows that a program works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sign {
    /// A GET of `path` answers 200.
    Answers { port: u16, path: String },
    /// PostgreSQL asks for a password, and does not say that it is starting.
    Database { port: u16 },
    /// Connections are accepted.
    Accepts { port: u16 },
}

impl Sign {
    /// That of a program that serves this port.
    pub(super) const fn of_port(port: u16) -> Self {
        if port == POSTGRES { Self::Database { port } } else { Self::Accepts { port } }
    }

    async fn is_shown(&self) -> bool {
        let (port, question, answer) = match self {
            Self::Answers { port, path } => {
                let question = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
                (*port, question.into_bytes(), &b"HTTP/1.1 200"[..])
            }
            Self::Database { port } => (*port, STARTUP.to_vec(), &b"R"[..]),
            Self::Accepts { port } => (*port, Vec::new(), &b""[..]),
        };
        let asked = tokio::time::timeout(PATIENCE, answers(port, &question, answer)).await;
        matches!(asked, Ok(Ok(true)))
    }
}

/// Whether the answer to a question begins as expected.
async fn answers(port: u16, question: &[u8], expected: &[u8]) -> io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(question).await?;
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer == expected)
}

/// A network of its own.
#[derive(Debug, Clone)]
pub(super) struct Network {
    /// Where programs find it, as long as the first one in it runs.
    pub(super) path: PathBuf,
    file: Arc<File>,
}

impl Network {
    /// The one of the process `pid`; none as long as that is the one of this process.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        let name = std::fs::read_link(&path).ok()?;
        let is_own = std::fs::read_link("/proc/self/ns/net").ok()? == name;
        if is_own { None } else { Some(Self { file: Arc::new(File::open(&path).ok()?), path }) }
    }

    /// Waits until `sign` is shown inside.
    ///
    /// # Errors
    /// When it is not shown in time.
    pub(super) async fn shows(&self, sign: &Sign) -> anyhow::Result<()> {
        let (tell, answer) = oneshot::channel();
        let (network, sign) = (self.clone(), sign.clone());
        // A thread enters a network for good, so it is one of its own.
        std::thread::spawn(move || {
            let mut tell = tell;
            let shown = network.watch(&sign, &mut tell);
            // The one that waits may be gone.
            let _ = tell.send(shown);
        });
        answer.await.context("the thread that watches has panicked")?
    }

    fn watch(&self, sign: &Sign, tell: &mut oneshot::Sender<anyhow::Result<()>>) -> anyhow::Result<()> {
        enter(&self.file).context("cannot enter the network of the programs")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let seen = async || (tell.is_closed() || sign.is_shown().await).then_some(());
        Ok(runtime.block_on(wait::until(LIMIT, seen))?)
    }
}

/// Moves this thread into a network.
#[cfg(target_os = "linux")]
fn enter(network: &File) -> io::Result<()> {
    use std::os::fd::AsFd as _;

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    Ok(move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Other operating systems have no networks of programs.
#[cfg(not(target_os = "linux"))]
fn enter(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A server that gives one answer.
    fn server(answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 1024];
            let _ = stream.read(&mut question);
            let _ = stream.write_all(answer);
        });
        port
    }

    #[tokio::test]
    async fn a_program_works_when_it_answers_as_expected() {
        let path = || "/health".to_owned();
        let is_shown = async |sign: Sign| sign.is_shown().await;
        assert!(is_shown(Sign::Answers { port: server(b"HTTP/1.1 200 OK\r\n\r\n"), path: path() }).await);
        assert!(!is_shown(Sign::Answers { port: server(b"HTTP/1.1 503 Busy\r\n\r\n"), path: path() }).await);
        assert!(is_shown(Sign::Database { port: server(b"R\0\0\0\x17") }).await);
        assert!(!is_shown(Sign::Database { port: server(b"E\0\0\0\x50") }).await);
        assert!(is_shown(Sign::Accepts { port: server(b"") }).await);
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        assert!(!is_shown(Sign::Accepts { port: closed }).await);
    }

    #[test]
    fn the_first_message_to_postgresql_has_its_own_length() {
        assert_eq!(STARTUP[..4], u32::try_from(STARTUP.len()).unwrap().to_be_bytes());
        assert_eq!(Sign::of_port(5432), Sign::Database { port: 5432 });
    }

    #[test]
    fn the_network_of_this_process_is_not_one_of_its_own() {
        assert!(Network::of(std::process::id()).is_none());
    }
}
