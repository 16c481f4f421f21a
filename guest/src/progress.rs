//! The port on which provisioning reports to the host.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use protocol::names::ports;
use protocol::progress::Event;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Where the kernel lists the ports, each with its name in a file.
const SYS_PORTS: &str = "/sys/class/virtio-ports";

/// How long the host may take to read before a message is dropped: a slow reader must not delay provisioning.
const WRITE_DEADLINE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// The port to the host.
#[derive(Debug)]
pub(crate) struct Port(Option<File>);

impl Port {
    /// Opens the port; on a machine that has none, messages are dropped.
    ///
    /// # Errors
    /// When there is one and it cannot be opened.
    pub(crate) fn open() -> io::Result<Self> {
        let Some(device) = find(Path::new(SYS_PORTS), ports::PROGRESS) else { return Ok(Self(None)) };
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        OpenOptions::new().write(true).custom_flags(nonblocking).open(device).map(|file| Self(Some(file)))
    }

    /// Sends a message, or drops it when the host does not read: provisioning does not depend on it.
    pub(crate) fn send(&mut self, event: &Event) {
        let Some(port) = &mut self.0 else { return };
        let line = event.to_line();
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match port.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !writable(port) {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

/// Waits until the port takes more, `false` when the host has gone or does not read.
fn writable(port: &File) -> bool {
    let mut fds = [PollFd::new(port, PollFlags::OUT)];
    let polled = poll(&mut fds, Some(&WRITE_DEADLINE));
    polled.is_ok() && fds[0].revents().contains(PollFlags::OUT) && !fds[0].revents().contains(PollFlags::HUP)
}

/// The device of the port called `name`. No udev is needed: the kernel writes the name into sysfs.
fn find(ports: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(ports).ok()?.flatten().find_map(|entry| {
        let is = fs::read_to_string(entry.path().join("name")).ok()?;
        (is.trim_end() == name).then(|| Path::new("/dev").join(entry.file_name()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        for (device, name) in [("vport1p1", "org.qemu.guest_agent.0\n"), ("vport1p2", "org.stack.progress\n")]
        {
            fs::create_dir(dir.path().join(device)).unwrap();
            fs::write(dir.path().join(device).join("name"), name).unwrap();
        }
        assert_eq!(find(dir.path(), ports::PROGRESS), Some("/dev/vport1p2".into()));
        assert_eq!(find(dir.path(), "org.stack"), None);
    }
}
