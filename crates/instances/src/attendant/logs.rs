//! The logs of a machine, kept short: QEMU appends what a guest writes to its console for as long as the guest writes.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use base::files::create_private_file;

use crate::instance::dir::InstanceDir;

/// Bytes that a log may have.
const LIMIT: u64 = 8 << 20;

/// Shortens those of the instance in `dir`. What cannot be shortened now, as on a full disk, is tried again the next time.
pub(super) fn shorten(dir: &InstanceDir) {
    for log in [dir.serial_log(), dir.qemu_log(), dir.watch_log()] {
        let _ = enforce(&log, &InstanceDir::previous(&log), LIMIT);
    }
}

/// Moves the last `limit` bytes of the log at `path` into `previous` once there are more, and starts again. The process that
/// writes to it must append, as QEMU does; what is written at that very moment is lost.
///
/// # Errors
/// When a file cannot be read or written.
fn enforce(path: &Path, previous: &Path, limit: u64) -> io::Result<()> {
    let mut log = match File::options().read(true).write(true).open(path) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let len = log.metadata()?.len();
    if len <= limit {
        return Ok(());
    }
    log.seek(SeekFrom::Start(len - limit))?;
    io::copy(&mut log, &mut create_private_file(previous)?)?;
    log.set_len(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_that_is_too_long_is_emptied_and_its_end_is_kept_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, previous) = (dir.path().join("log"), dir.path().join("log.1"));
        enforce(&path, &previous, 4).unwrap();
        let mut writer = File::options().create(true).append(true).open(&path).unwrap();
        writer.write_all(b"1234").unwrap();
        enforce(&path, &previous, 4).unwrap();
        assert!(!previous.exists());
        writer.write_all(b"56").unwrap();
        enforce(&path, &previous, 4).unwrap();
        writer.write_all(b"7").unwrap();
        assert_eq!(std::fs::read(&previous).unwrap(), b"3456");
        assert_eq!(std::fs::read(&path).unwrap(), b"7");
    }
}
