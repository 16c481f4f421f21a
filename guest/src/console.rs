//! The machine's console, which the host keeps as a log and searches for markers.

use std::fs::OpenOptions;
use std::io::{self, Write};

/// Writes a line and waits until it has left the machine: what comes next may be the end.
///
/// # Errors
/// When there is no console or it cannot be written to.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut console = OpenOptions::new().write(true).open("/dev/console")?;
    console.write_all(format!("{text}\n").as_bytes())?;
    rustix::termios::tcdrain(&console)?;
    Ok(())
}
