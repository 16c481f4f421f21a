//! The kernel's announcements of new devices.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// Multicast group of the kernel's own messages; udev's processed ones are group 2. See udev's
/// `libudev-monitor.c`, `UDEV_MONITOR_KERNEL`.
const KERNEL_GROUP: u32 = 1;

/// A socket that the kernel sends a message to for every change of a device.
#[derive(Debug)]
pub(crate) struct Uevents(OwnedFd);

impl Uevents {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the kernel refuses such a socket.
    pub(crate) fn listen() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        Ok(Self(socket))
    }

    /// Waits for something to happen, at most for `limit`, and forgets all messages that have come: which ones they
    /// were does not matter to a caller that looks again.
    ///
    /// # Errors
    /// When the socket fails.
    pub(crate) fn wait(&self, limit: Duration) -> io::Result<()> {
        let limit = Timespec::try_from(limit).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&limit))?;
        let mut message = [0; 4096];
        loop {
            match recv(&self.0, message.as_mut_slice(), RecvFlags::empty()) {
                // Without room for all messages the kernel drops some: something has happened all the same.
                Ok(_) | Err(rustix::io::Errno::NOBUFS) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
