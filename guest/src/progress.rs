//! What provisioning tells the host: one JSON object a line on a virtio-serial port.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

/// Version of the protocol, in every message.
pub(crate) const VERSION: u32 = 1;

/// Name of the virtio-serial port that the host listens on.
pub(crate) const PORT: &str = "org.stack.progress";

/// Where the kernel lists the ports, each with its name in a file.
const SYS_PORTS: &str = "/sys/class/virtio-ports";

/// How long the host may take to read before a message is dropped: it watches, it does not hold up.
const WRITE_DEADLINE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// One message to the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// [`VERSION`] of the writer.
    pub(crate) v: u32,
    /// What happened.
    #[serde(flatten)]
    pub(crate) event: Event,
}

/// What happened during provisioning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Event {
    /// A step begins.
    Start {
        /// The step's file name.
        step: String,
        /// What it does, for people.
        title: String,
    },
    /// A step printed a line.
    Line {
        /// The step's file name.
        step: String,
        /// The line without its end.
        text: String,
    },
    /// A step did its job.
    End {
        /// The step's file name.
        step: String,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// A step failed, and with it the whole of provisioning.
    Failed {
        /// The step's file name.
        step: String,
        /// "exited with status 3" and the like.
        status: String,
        /// The last lines that it printed.
        tail: Vec<String>,
    },
    /// Everything is done; the machine powers off.
    Done,
}

impl Event {
    /// The line that the host reads, with its end.
    pub(crate) fn to_line(&self) -> String {
        let message = Message { v: VERSION, event: self.clone() };
        let mut line = serde_json::to_string(&message).expect("messages are made of strings and numbers");
        line.push('\n');
        line
    }
}

/// The way to the host.
#[derive(Debug)]
pub(crate) struct Port(Option<File>);

impl Port {
    /// Opens the port; on a machine that has none, messages go nowhere.
    ///
    /// # Errors
    /// When there is one and it cannot be opened.
    pub(crate) fn open() -> io::Result<Self> {
        let Some(device) = find(Path::new(SYS_PORTS), PORT) else { return Ok(Self(None)) };
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        OpenOptions::new().write(true).custom_flags(nonblocking).open(device).map(|file| Self(Some(file)))
    }

    /// Sends a message, or drops it when nobody reads: provisioning does not depend on being watched.
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
    fn messages_are_the_lines_that_the_host_expects() {
        let step = || "30-database".to_owned();
        let lines = [
            Event::Start { step: step(), title: "Initialise PostgreSQL".into() },
            Event::Line { step: step(), text: "creating \"pg_hba\"".into() },
            Event::End { step: step(), seconds: 1.25 },
            Event::Failed { step: step(), status: "exited with status 3".into(), tail: vec!["no".into()] },
            Event::Done,
        ];
        let text: String = lines.iter().map(Event::to_line).collect();
        insta::assert_snapshot!(text, @r#"
        {"v":1,"event":"start","step":"30-database","title":"Initialise PostgreSQL"}
        {"v":1,"event":"line","step":"30-database","text":"creating \"pg_hba\""}
        {"v":1,"event":"end","step":"30-database","seconds":1.25}
        {"v":1,"event":"failed","step":"30-database","status":"exited with status 3","tail":["no"]}
        {"v":1,"event":"done"}
        "#);
    }

    #[test]
    fn a_port_is_found_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        for (device, name) in [("vport1p1", "org.qemu.guest_agent.0\n"), ("vport1p2", "org.stack.progress\n")]
        {
            fs::create_dir(dir.path().join(device)).unwrap();
            fs::write(dir.path().join(device).join("name"), name).unwrap();
        }
        assert_eq!(find(dir.path(), PORT), Some("/dev/vport1p2".into()));
        assert_eq!(find(dir.path(), "org.stack"), None);
    }
}
