//! The way to the guest: a unix socket in the private directory of the machine's sockets, which QEMU forwards to the guest. It is opened
//! for the first command, and stays for as long as QEMU runs.
//!
//! QEMU before 10.1 forwards TCP ports only. There the way is a port on 127.0.0.1 for each connection, closed when that has begun.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::files::remove_if_there;
use protocol::exec::{Open, PORT};
use protocol::{Command, Secret};
use rustix::fs::{Mode, OFlags};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use super::{ExecError, Running};
use crate::agent::{Agent, AgentError};
use crate::qmp::{Forward, Qmp, QmpError};
use crate::wire::{self, Listener};

/// Name of the socket beside the other ones.
const SOCKET: &str = "exec";

/// How long the monitor may take to greet.
const MONITOR_LIMIT: Duration = Duration::from_secs(5);

/// The step in which an agent fails that does not know the request.
const PROTOCOL: &str = "protocol";

/// A connection to the guest.
pub type Stream = Either<UnixStream, TcpStream>;

/// How a machine is reached.
#[derive(Debug, Clone)]
pub struct Door {
    /// Socket of its monitor.
    pub qmp: PathBuf,
    /// Socket of the guest's agent. Beside it is the one of this.
    pub agent: PathBuf,
}

impl Door {
    /// Starts what `open` says in the guest, within `limit`. Its token is a new one.
    ///
    /// # Errors
    /// When the guest cannot be reached or cannot start it.
    pub async fn start(&self, open: Open, limit: Duration) -> Result<Running<Stream>, ExecError> {
        let started = async {
            self.announce(open.token.clone(), limit).await?;
            let (stream, port) = self.connect().await?;
            let running = Running::start(stream, open).await;
            if let Some((qmp, forward)) = port {
                // The connection stays. A port that stays open leads to nothing without a token.
                let _ = qmp.remove_forward(forward).await;
            }
            running
        };
        tokio::time::timeout(limit, started).await.map_err(|_| ExecError::Silent(limit))?
    }

    /// Has the guest's agent expect a connection with `token`.
    async fn announce(&self, token: Secret, limit: Duration) -> Result<(), ExecError> {
        let mut agent = Agent::reach(&self.agent, limit).await?;
        match agent.call(Command::Exec { token }, limit).await {
            Ok(_) => Ok(()),
            Err(AgentError::Failed { step, .. }) if step == PROTOCOL => Err(ExecError::Unknown),
            Err(error) => Err(error.into()),
        }
    }

    /// Connects, and returns what has to be closed once the connection has begun.
    async fn connect(&self) -> Result<(Stream, Option<(Qmp, Forward)>), ExecError> {
        let path = self.agent.with_file_name(SOCKET);
        match wire::open(&path, Listener::Running).await {
            Ok(stream) => return Ok((Either::Left(stream), None)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {}
            Err(error) => return Err(ExecError::Connect(error)),
        }
        let qmp = Qmp::reach(&self.qmp, MONITOR_LIMIT).await?;
        // The monitor takes one client at a time: another command may have done it meanwhile.
        if let Ok(stream) = wire::open(&path, Listener::Running).await {
            return Ok((Either::Left(stream), None));
        }
        // That of a QEMU that was killed.
        remove_if_there(&path).map_err(|error| ExecError::Connect(error.source))?;
        let name = Name::of(&path).map_err(ExecError::Connect)?;
        match qmp.add_unix_forward(&name.path, PORT).await {
            Ok(()) => Ok((
                Either::Left(wire::open(&path, Listener::Running).await.map_err(ExecError::Connect)?),
                None,
            )),
            Err(QmpError::Refused { .. }) => through_port(qmp).await,
            Err(error) => Err(error.into()),
        }
    }
}

/// A name without a hyphen for the socket at a path. On Linux it leads through a descriptor of this process.
struct Name {
    path: PathBuf,
    _dir: Option<OwnedFd>,
}

impl Name {
    fn of(path: &Path) -> io::Result<Self> {
        let (true, Some(dir)) = (cfg!(target_os = "linux"), path.parent()) else {
            return Ok(Self { path: path.to_owned(), _dir: None });
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(dir, flags, Mode::empty())?;
        let path = format!("/proc/{}/fd/{}/{SOCKET}", std::process::id(), dir.as_raw_fd());
        Ok(Self { path: path.into(), _dir: Some(dir) })
    }
}

/// Connects through a port of the host.
async fn through_port(qmp: Qmp) -> Result<(Stream, Option<(Qmp, Forward)>), ExecError> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
    let forward = Forward::loopback(free.map_err(ExecError::Connect)?.port(), PORT);
    qmp.add_forward(forward).await?;
    let stream = TcpStream::connect((forward.address, forward.host)).await.map_err(ExecError::Connect)?;
    Ok((Either::Right(stream), Some((qmp, forward))))
}
