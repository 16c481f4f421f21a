//! What the host refuses: room, memory, descriptors and permissions. Such a failure says nothing against what was to be
//! used, and goes away by itself or by a change of the host's.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// Errors by which an operating system refuses something that it may grant another time.
const REFUSALS: [Errno; 11] = [
    Errno::NOMEM,
    Errno::MFILE,
    Errno::NFILE,
    Errno::ACCESS,
    Errno::PERM,
    Errno::AGAIN,
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::FBIG,
    Errno::ROFS,
    Errno::IO,
];

/// How a program puts the same into words: strerror(3), QEMU, glib and the dynamic linker. EPERM and EIO are not among them, because
/// QEMU also says so of a saved state that it cannot read.
const WORDS: [&str; 9] = [
    "Cannot allocate memory",
    "cannot set up guest memory",
    "failed to allocate",
    "Too many open files",
    "Permission denied",
    "Resource temporarily unavailable",
    "No space left on device",
    "Disk quota exceeded",
    "File too large",
];

/// Whether an error, or one of its causes, is the operating system's refusal.
pub fn is_cause(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(is_refused) {
            return true;
        }
        next = error.source();
    }
    false
}

fn is_refused(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| REFUSALS.iter().any(|errno| errno.raw_os_error() == code))
}

/// Whether a program's output says that the operating system has refused it something.
pub fn is_said(output: &str) -> bool {
    WORDS.iter().any(|words| output.contains(words))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::files::FileError;

    #[test]
    fn a_full_disk_is_found_below_other_errors() {
        let full = io::Error::from(Errno::NOSPC);
        assert!(is_cause(&FileError::of("write", Path::new("/d"))(full)));
    }

    #[test]
    fn a_file_that_is_gone_or_damaged_is_no_refusal() {
        let gone = io::Error::from(Errno::NOENT);
        assert!(!is_cause(&FileError::of("read", Path::new("/d"))(gone)));
        assert!(!is_cause(&io::Error::new(io::ErrorKind::InvalidData, "a bad checksum")));
    }

    #[test]
    fn a_program_that_gets_no_memory_is_told_from_one_that_gets_a_damaged_state() {
        assert!(is_said("qemu-system-x86_64: cannot set up guest memory 'ram': Cannot allocate memory"));
        assert!(is_said("qemu_thread_create: Resource temporarily unavailable"));
        assert!(!is_said("qemu-system-x86_64: load of migration failed: Operation not permitted"));
        assert!(!is_said("qemu-system-x86_64: load of migration failed: Input/output error"));
    }
}
