//! Whether someone still reads what this program prints.

use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Waits until the reader of stdout has gone, as `head` does after its last line. Never ends where stdout is a file, or a reader stays.
pub(crate) async fn gone() {
    // A thread: files cannot be registered with what waits for the other events. It ends with the process.
    match tokio::task::spawn_blocking(hangs_up).await {
        Ok(Ok(())) => {}
        _ => std::future::pending().await,
    }
}

fn hangs_up() -> Result<(), Errno> {
    let stdout = io::stdout();
    loop {
        // Nothing is asked for: the end of the other side is reported all the same.
        match poll(&mut [PollFd::new(&stdout, PollFlags::empty())], None) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
