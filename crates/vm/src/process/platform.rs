//! What differs between operating systems about processes.

#[cfg(target_os = "linux")]
pub(super) use linux::{ended, entry, signal};
#[cfg(not(target_os = "linux"))]
pub(super) use portable::{ended, entry, signal};

/// What the process table says about a pid.
pub(super) struct Entry {
    /// When the process started, in the platform's unit.
    pub(super) started: u64,
    /// Whether this is only what is left of it until its parent asks for its status.
    pub(super) ended: bool,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;

    use procfs::ProcError;
    use procfs::process::Process;
    use rustix::io::Errno;
    use rustix::process::{Pid, PidfdFlags, Signal as Number, pidfd_open, pidfd_send_signal};

    use super::Entry;
    use crate::process::{ProcessIdentity, Signal};

    /// The process with `pid`, or `None`. It started so many clock ticks after the boot (field 22 of
    /// `/proc/<pid>/stat`).
    pub(in crate::process) fn entry(pid: i32) -> io::Result<Option<Entry>> {
        match Process::new(pid).and_then(|process| process.stat()) {
            Ok(stat) => {
                // The first thread may have ended before others that still have files and ports open.
                let ended = matches!(stat.state, 'Z' | 'X') && stat.num_threads <= 1;
                Ok(Some(Entry { started: stat.starttime, ended }))
            }
            Err(ProcError::NotFound(_)) => Ok(None),
            // The process ended between opening its directory and reading from it.
            Err(ProcError::Io(error, _)) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
                Ok(None)
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    pub(in crate::process) fn signal(process: ProcessIdentity, signal: Signal) -> io::Result<()> {
        let Some(fd) = open(process)? else { return Ok(()) };
        let number = match signal {
            Signal::Terminate => Number::TERM,
            Signal::Kill => Number::KILL,
        };
        match pidfd_send_signal(&fd, number) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the process has ended: its handle becomes readable then.
    pub(in crate::process) async fn ended(process: ProcessIdentity) -> io::Result<()> {
        match open(process)? {
            Some(fd) => base::readiness::readable(fd)?.readable().await.map(drop),
            None => Ok(()),
        }
    }

    /// Opens a handle of this very process. The pid is opened first and looked at after that: once open, the handle cannot
    /// come to mean another process, so the start time that is read then says whose it is.
    fn open(process: ProcessIdentity) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(process.pid) else { return Ok(None) };
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let same = entry(process.pid)?.is_some_and(|entry| entry.started == process.started);
        Ok(same.then_some(fd))
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::io;

    use rustix::io::Errno;
    use rustix::process::{Pid, Signal as Number, kill_process};
    use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

    use super::Entry;
    use crate::process::{ProcessIdentity, Signal};

    /// The process with `pid`, or `None`. It started so many seconds after the beginning of 1970.
    pub(in crate::process) fn entry(pid: i32) -> io::Result<Option<Entry>> {
        let Ok(id) = u32::try_from(pid) else { return Ok(None) };
        let id = sysinfo::Pid::from_u32(id);
        let mut system = System::new();
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[id]),
            true,
            ProcessRefreshKind::nothing(),
        );
        Ok(system.process(id).map(|process| Entry {
            started: process.start_time(),
            ended: process.status() == ProcessStatus::Zombie,
        }))
    }

    /// Waits until the process has ended.
    pub(in crate::process) async fn ended(process: ProcessIdentity) -> io::Result<()> {
        const PACE: std::time::Duration = std::time::Duration::from_secs(1);
        while entry(process.pid)?.is_some_and(|entry| !entry.ended && entry.started == process.started) {
            tokio::time::sleep(PACE).await;
        }
        Ok(())
    }

    pub(in crate::process) fn signal(process: ProcessIdentity, signal: Signal) -> io::Result<()> {
        if entry(process.pid)?.is_none_or(|entry| entry.started != process.started) {
            return Ok(());
        }
        let Some(pid) = Pid::from_raw(process.pid) else { return Ok(()) };
        let number = match signal {
            Signal::Terminate => Number::TERM,
            Signal::Kill => Number::KILL,
        };
        match kill_process(pid, number) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
