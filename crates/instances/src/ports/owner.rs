//! The process that has a port, so that a person need not search for it.

use std::fmt;

use listeners::{Protocol, SocketState};

use crate::name::InstanceName;

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
    /// The machine of an instance of this home.
    Instance {
        /// The instance.
        name: InstanceName,
        /// The id of its QEMU.
        pid: u32,
    },
    /// Another user's process, one in another namespace, or one that does not listen: the operating system does not report it.
    Hidden,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, name } => write!(f, "`{name}` (pid {pid})"),
            Self::Instance { name, pid } => write!(f, "instance `{name}` (QEMU, pid {pid})"),
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
