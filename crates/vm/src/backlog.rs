//! How many connections wait at a forwarded port until QEMU takes them.
//!
//! libslirp listens with a backlog of 1, so that of connections that arrive together most are reset. Its listeners cannot be made
//! otherwise through QEMU, but listen(2) on a socket that listens already changes its backlog, and a process may do that for
//! another one that it could trace.

#[cfg(target_os = "linux")]
pub use linux::{is_possible, widen};

/// Why the ports keep the backlog that libslirp has given them.
#[derive(Debug, thiserror::Error)]
pub enum BacklogError {
    /// The operating system refused a step.
    #[cfg(target_os = "linux")]
    #[error("cannot {action}: {reason}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// What it said.
        reason: std::io::Error,
    },
    /// The rule of `/proc/sys/kernel/yama/ptrace_scope`.
    #[cfg(target_os = "linux")]
    #[error("`kernel.yama.ptrace_scope` is {0}")]
    Scope(u8),
    /// QEMU has no such listener.
    #[cfg(target_os = "linux")]
    #[error("QEMU does not listen on port {0}")]
    NotFound(u16),
    /// The system has no way to another process's sockets.
    #[cfg(not(target_os = "linux"))]
    #[error("this operating system gives no access to the sockets of QEMU")]
    Platform,
}

impl BacklogError {
    /// What helps, in doctor.
    pub fn hint(&self) -> &'static str {
        match self {
            #[cfg(target_os = "linux")]
            Self::Scope(_) => "set it to 1 (3 stays until the next boot), or let clients try again",
            #[cfg(target_os = "linux")]
            Self::Refused { .. } => {
                "give the container the capability `SYS_PTRACE`, or let clients try again"
            }
            _ => "let clients try again",
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;
    use std::io;
    use std::net::SocketAddrV4;
    use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

    use procfs::ProcError;
    use procfs::process::{FDTarget, Process};
    use rustix::io::Errno;
    use rustix::net::{getsockname, listen, sockopt};
    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    use super::BacklogError;

    /// Connections that are to wait at a port. The kernel gives no more than `net.core.somaxconn`.
    const BACKLOG: i32 = 4096;

    /// What is done first, as errors say it.
    const OPEN: &str = "open the process of QEMU";

    /// Yama's rule of who may trace whom, where the kernel has it: `Documentation/admin-guide/LSM/Yama.rst`.
    const PTRACE_SCOPE: &str = "/proc/sys/kernel/yama/ptrace_scope";

    /// Only who has [`SYS_PTRACE`] may trace a process that is another one.
    const ADMIN_ONLY: u8 = 2;

    /// No process may.
    const NONE: u8 = 3;

    /// The bit of `CAP_SYS_PTRACE` among the capabilities (`capabilities(7)`).
    const SYS_PTRACE: u64 = 1 << 19;

    /// Gives the listeners of the process `pid` on `ports` a long queue. Do this while the process is a child that has not been
    /// waited for: `pid` is still its own then, and Yama lets parents have their children's descriptors.
    ///
    /// # Errors
    /// When this is not allowed here, as in a container without `CAP_SYS_PTRACE`, or a port has no listener there.
    pub fn widen(pid: i32, ports: impl IntoIterator<Item = u16>) -> Result<(), BacklogError> {
        let mut missing: BTreeSet<u16> = ports.into_iter().collect();
        let process = open(Pid::from_raw(pid).ok_or_else(|| refused(OPEN)(Errno::SRCH))?)?;
        for number in sockets(pid)? {
            let socket = match pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) {
                Ok(socket) => socket,
                // Closed meanwhile.
                Err(Errno::BADF) => continue,
                Err(error) => return Err(refused("get a socket of QEMU")(error)),
            };
            if let Some(port) = listening_port(&socket).filter(|port| missing.contains(port)) {
                listen(&socket, BACKLOG).map_err(refused("listen on a socket of QEMU"))?;
                missing.remove(&port);
            }
        }
        missing.first().map_or(Ok(()), |port| Err(BacklogError::NotFound(*port)))
    }

    /// Whether the kernel, what filters system calls here, and Yama let a process have descriptors of a child.
    ///
    /// # Errors
    /// When they do not.
    pub fn is_possible() -> Result<(), BacklogError> {
        let file = std::fs::File::open("/dev/null")
            .map_err(|reason| BacklogError::Refused { action: "open `/dev/null`", reason })?;
        let own = open(getpid())?;
        pidfd_getfd(own, file.as_raw_fd(), PidfdGetfdFlags::empty())
            .map(drop)
            .map_err(refused("get a descriptor of another process"))?;
        // Yama does not count the process itself.
        let scope = std::fs::read_to_string(PTRACE_SCOPE).ok().and_then(|text| text.trim().parse().ok());
        let capable =
            || Process::myself().and_then(|own| own.status()).is_ok_and(|own| own.capeff & SYS_PTRACE != 0);
        match scope {
            Some(scope) if is_forbidden(scope, capable) => Err(BacklogError::Scope(scope)),
            _ => Ok(()),
        }
    }

    /// Whether Yama's rule keeps a parent that is `capable` or not from its children.
    fn is_forbidden(scope: u8, capable: impl FnOnce() -> bool) -> bool {
        scope >= NONE || (scope == ADMIN_ONLY && !capable())
    }

    fn open(pid: Pid) -> Result<OwnedFd, BacklogError> {
        pidfd_open(pid, PidfdFlags::empty()).map_err(refused(OPEN))
    }

    fn refused(action: &'static str) -> impl Fn(Errno) -> BacklogError {
        move |error| BacklogError::Refused { action, reason: error.into() }
    }

    /// Numbers of the descriptors of `pid` that are sockets.
    fn sockets(pid: i32) -> Result<Vec<i32>, BacklogError> {
        let refused = |error: ProcError| {
            let reason = io::Error::other(error.to_string());
            BacklogError::Refused { action: "list the descriptors of QEMU", reason }
        };
        let all = Process::new(pid).and_then(|process| process.fd()).map_err(refused)?;
        let sockets = all.filter_map(Result::ok).filter(|info| matches!(info.target, FDTarget::Socket(_)));
        Ok(sockets.map(|info| info.fd).collect())
    }

    /// The port that a socket of IPv4 listens on.
    fn listening_port(socket: impl AsFd) -> Option<u16> {
        if !sockopt::socket_acceptconn(&socket).ok()? {
            return None;
        }
        let address = SocketAddrV4::try_from(getsockname(&socket).ok()?).ok()?;
        Some(address.port())
    }

    #[cfg(test)]
    mod tests {
        use std::net::{SocketAddr, TcpListener, TcpStream};
        use std::time::Duration;

        use base::process::Cmd;

        use super::*;
        use crate::process::Launched;

        /// How long a connection may take that is not made to wait.
        const SOON: Duration = Duration::from_millis(200);

        /// Connections that are made at once.
        const MANY: usize = 100;

        /// How many of [`MANY`] connections are made while none is accepted.
        fn made(address: SocketAddr) -> usize {
            let connect = |_| TcpStream::connect_timeout(&address, SOON);
            (0..MANY).map_while(|number| connect(number).ok()).collect::<Vec<_>>().len()
        }

        #[test]
        fn a_widened_listener_lets_hundreds_of_connections_wait() {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let address = listener.local_addr().unwrap();
            listen(&listener, 1).unwrap();
            let pid = getpid().as_raw_nonzero().get();
            assert!(made(address) < 10, "the kernel has let more wait than it was allowed");
            widen(pid, [address.port()]).unwrap();
            // Those that were made and closed above wait as well.
            assert_eq!(made(address), MANY);
        }

        #[tokio::test]
        async fn a_port_that_the_process_does_not_listen_on_is_named() {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let dir = tempfile::tempdir().unwrap();
            let child = Launched::start(&Cmd::new("sleep").arg("600"), &dir.path().join("log")).unwrap();
            let error = widen(child.identity().pid, [port]).unwrap_err();
            child.kill().await.unwrap();
            assert_eq!(error.to_string(), format!("QEMU does not listen on port {port}"));
        }

        #[test]
        fn yama_keeps_a_parent_from_its_children_only_by_its_strictest_rules() {
            let forbidden = |capable| [0, 1, 2, 3].map(|scope| is_forbidden(scope, || capable));
            assert_eq!(forbidden(true), [false, false, false, true]);
            assert_eq!(forbidden(false), [false, false, true, true]);
        }
    }
}

/// See the one for Linux.
#[cfg(not(target_os = "linux"))]
pub fn widen(_pid: i32, _ports: impl IntoIterator<Item = u16>) -> Result<(), BacklogError> {
    Err(BacklogError::Platform)
}

/// See the one for Linux.
#[cfg(not(target_os = "linux"))]
pub fn is_possible() -> Result<(), BacklogError> {
    Err(BacklogError::Platform)
}
