//! Waiting for a file descriptor that is neither a socket nor a file.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch `fd` for being readable.
///
/// # Errors
/// When it cannot be watched, as a plain file cannot.
pub fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, stays the same one for as long as it lives, and lives in the value that is made.
    #[expect(unsafe_code, reason = "tokio cannot know that of every type, and asks for it to be promised")]
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    Ok(watched?)
}
