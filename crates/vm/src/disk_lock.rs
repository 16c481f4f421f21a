//! Whether anybody has a disk image open: QEMU locks bytes of every image that it uses, and the kernel knows these locks
//! whatever container their holder is in. On a network file system the server often knows them too.
//!
//! Reference: QEMU's `block/file-posix.c`, `RAW_LOCK_PERM_BASE` and `RAW_LOCK_SHARED_BASE`.

use std::io;
use std::path::Path;

/// The first byte that QEMU locks; that is far into the header, and no byte is changed by it.
#[cfg(target_os = "linux")]
const FIRST: i64 = 100;

/// How many bytes from there on it may lock: 64 for what it does, and from 200 on 64 for what others must not do.
#[cfg(target_os = "linux")]
const COUNT: i64 = 164;

/// Whether a process has the image at `path` open, in whatever namespace it is. On systems without such locks, none is found.
///
/// # Errors
/// When the file is there and cannot be looked at.
#[cfg(target_os = "linux")]
pub fn is_held(path: &Path) -> io::Result<bool> {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    let file = match base::files::open_file(path) {
        Ok(file) => file,
        // QEMU locks files only.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let mut lock = libc::flock {
        l_type: kind(libc::F_WRLCK),
        l_whence: kind(libc::SEEK_SET),
        l_start: FIRST,
        l_len: COUNT,
        l_pid: 0,
    };
    match fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)) {
        Ok(_) => Ok(lock.l_type != kind(libc::F_UNLCK)),
        // A file system without locks.
        Err(nix::errno::Errno::EOPNOTSUPP | nix::errno::Errno::ENOLCK | nix::errno::Errno::EINVAL) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a process has the image at `path` open, or that is unknown: then it must not be removed.
pub fn may_be_held(path: &Path) -> bool {
    is_held(path).unwrap_or(true)
}

#[cfg(target_os = "linux")]
fn kind(constant: i32) -> i16 {
    i16::try_from(constant).expect("the kinds of locks are small numbers")
}

/// QEMU locks nothing on this system.
///
/// # Errors
/// Never.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "on Linux it can fail")]
pub fn is_held(_path: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_held_for_as_long_as_somebody_has_it_open() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        assert!(!is_held(&disk).unwrap());
        std::fs::write(&disk, "data").unwrap();
        assert!(!is_held(&disk).unwrap());
        let held = fake_image::hold(&disk);
        assert!(is_held(&disk).unwrap());
        drop(held);
        assert!(!is_held(&disk).unwrap());
    }
}
