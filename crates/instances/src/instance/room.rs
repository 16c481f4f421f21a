//! Room for what a machine writes first.

use std::io;
use std::path::Path;

use base::files::FileError;

/// Twice of what a machine that is resumed or boots writes until its services answer: 4 MiB were measured.
const ROOM: u64 = 8 << 20;

/// Makes sure that a machine whose disk is in `dir` can write. One that cannot is paused before it is ready, and its saved memory is
/// used up by then. Quotas count as well, since room is taken for a moment, by a file without a name.
///
/// # Errors
/// When there is not as much room. A file system that does not report it in advance counts as having it.
pub(super) fn ensure(dir: &Path) -> Result<(), FileError> {
    match take(dir) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        taken => taken.map_err(FileError::of("take room in", dir)),
    }
}

#[cfg(target_os = "linux")]
fn take(dir: &Path) -> io::Result<()> {
    let file = tempfile::tempfile_in(dir)?;
    Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, ROOM)?)
}

/// Does not consider quotas.
#[cfg(not(target_os = "linux"))]
fn take(dir: &Path) -> io::Result<()> {
    let free = rustix::fs::statvfs(dir)?;
    if free.f_bavail.saturating_mul(free.f_frsize) < ROOM {
        Err(rustix::io::Errno::NOSPC.into())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_for_a_moment_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        ensure(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn where_no_file_can_be_created_that_is_the_error() {
        let error = ensure(Path::new("/no/such/directory")).unwrap_err();
        assert!(error.to_string().starts_with("cannot take room in `/no/such/directory`"), "{error}");
    }
}
