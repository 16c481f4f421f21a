//! The process that has a port, so that a person need not search for it.

use std::fmt;

use listeners::{Protocol, SocketState};

/// The process that listens on a port, as far as this user may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A process.
    Process {
        /// Its id.
        pid: u32,
        /// Its name, as the operating system shows it.
        name: String,
    },
    /// Another user's process, one in another namespace, or one that does not listen: the operating system does not report it.
    Hidden,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, name } => write!(f, "`{name}` (pid {pid})"),
            Self::Hidden => f.write_str("a process that this user cannot see, or that is about to listen"),
        }
    }
}

/// The process that listens on `port`.
pub fn of(port: u16) -> Owner {
    listeners::get_all()
        .into_iter()
        .flatten()
        .find(|listener| {
            listener.socket.port() == port
                && listener.protocol == Protocol::TCP
                && listener.state == SocketState::Listen
        })
        .map_or(Owner::Hidden, |listener| Owner::Process {
            pid: listener.process.pid,
            name: listener.process.name,
        })
}
