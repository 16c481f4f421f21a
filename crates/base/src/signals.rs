//! Signals one by one, and whether the terminal sent them: for a program that passes them on to a command that it runs.

use std::io;
use std::os::unix::net::UnixDatagram as Socket;

use rustix::net::SendFlags;
use signal_hook_registry::SigId;
use tokio::net::UnixDatagram;

use crate::interrupt::is_ignored;

/// The signals that a command gets which are meant for it.
const PASSED_ON: [i32; 6] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2];

/// A signal that was delivered to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub number: i32,
    /// Whether it came from the terminal, which has sent it to every process of the foreground group then.
    pub from_terminal: bool,
}

/// Collects the signals that would end this process, and those of users, from its creation on; those that are ignored then stay
/// ignored.
#[derive(Debug)]
pub struct Signals {
    receiver: UnixDatagram,
    registered: Vec<SigId>,
}

impl Signals {
    /// Begins to collect them.
    ///
    /// # Errors
    /// When the operating system refuses a handler, or a socket.
    pub fn collect() -> io::Result<Self> {
        let (receiver, sender) = Socket::pair()?;
        receiver.set_nonblocking(true)?;
        sender.set_nonblocking(true)?;
        let mut it = Self { receiver: UnixDatagram::from_std(receiver)?, registered: Vec::new() };
        for number in PASSED_ON.into_iter().filter(|number| !is_ignored(*number)) {
            it.registered.push(register(number, sender.try_clone()?)?);
        }
        Ok(it)
    }

    /// Waits for the next signal. Safe to drop and call again.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn next(&self) -> io::Result<Received> {
        let mut message = [0; 2];
        self.receiver.recv(&mut message).await?;
        Ok(Received { number: message[0].into(), from_terminal: message[1] != 0 })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            signal_hook_registry::unregister(id);
        }
    }
}

fn register(number: i32, sender: Socket) -> io::Result<SigId> {
    let tell = move |info: &libc::siginfo_t| {
        let number = u8::try_from(number).unwrap_or_default();
        // A reader that is late has enough to read.
        let _ = rustix::net::send(&sender, &[number, u8::from(is_of_terminal(info))], SendFlags::empty());
    };
    // SAFETY: a handler may only do what is safe in the middle of anything: this one makes one system call, on a descriptor that it
    // owns, and allocates nothing.
    #[expect(unsafe_code, reason = "what a handler may do cannot be checked by the compiler")]
    unsafe {
        signal_hook_registry::register_sigaction(number, tell)
    }
}

/// Whether the kernel has sent it of its own accord, and not for a process.
#[cfg(target_os = "linux")]
fn is_of_terminal(info: &libc::siginfo_t) -> bool {
    info.si_code > 0
}

#[cfg(not(target_os = "linux"))]
fn is_of_terminal(info: &libc::siginfo_t) -> bool {
    info.si_pid == 0
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn each_signal_of_a_process_is_collected_in_its_order() {
        let signals = Signals::collect().unwrap();
        for signal in [Signal::USR1, Signal::TERM, Signal::USR1] {
            kill_process(getpid(), signal).unwrap();
            let expected = Received { number: signal.as_raw(), from_terminal: false };
            assert_eq!(signals.next().await.unwrap(), expected);
        }
    }
}
