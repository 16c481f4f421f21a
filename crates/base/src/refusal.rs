//! What the host refuses: room, memory, descriptors and permissions. Such a failure says nothing against what was to be
//! used, and goes away by itself or by a change of the host's.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// Errors by which an operating system refuses something that it may grant another time, and how the C library of a program puts
/// them into words: glibc's strerror(3). EPERM and EIO have none here, because QEMU also says so of a saved state that it cannot read.
const REFUSALS: [(Errno, Option<&str>); 11] = [
    (Errno::NOMEM, Some("Cannot allocate memory")),
    (Errno::MFILE, Some("Too many open files")),
    (Errno::NFILE, Some("Too many open files in system")),
    (Errno::ACCESS, Some("Permission denied")),
    (Errno::PERM, None),
    (Errno::AGAIN, Some("Resource temporarily unavailable")),
    (Errno::NOSPC, Some("No space left on device")),
    (Errno::DQUOT, Some("Disk quota exceeded")),
    (Errno::FBIG, Some("File too large")),
    (Errno::ROFS, Some("Read-only file system")),
    (Errno::IO, None),
];

/// Other words for the same: QEMU's, glib's, and those of macOS.
const WORDS: [&str; 3] = ["cannot set up guest memory", "failed to allocate", "Disc quota exceeded"];

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
    error.raw_os_error().is_some_and(|code| REFUSALS.iter().any(|(errno, _)| errno.raw_os_error() == code))
}

/// Whether a program's output says that the operating system has refused it something.
pub fn is_said(output: &str) -> bool {
    let named = REFUSALS.iter().filter_map(|(_, words)| *words);
    named.chain(WORDS).any(|words| output.contains(words))
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
    fn a_refusal_is_recognised_unless_it_may_be_about_the_saved_state() {
        for (errno, words) in REFUSALS {
            let said = io::Error::from(errno).to_string();
            assert_eq!(is_said(&format!("qemu-system-x86_64: Could not open 'x': {said}")), words.is_some());
            if let (Some(words), true) = (words, cfg!(target_env = "gnu")) {
                assert_eq!(said, format!("{words} (os error {})", errno.raw_os_error()));
            }
        }
    }

    #[test]
    fn a_lack_of_memory_is_not_taken_for_a_damaged_state() {
        assert!(is_said("qemu-system-x86_64: cannot set up guest memory 'ram': Cannot allocate memory"));
        assert!(is_said("qemu_thread_create: Resource temporarily unavailable"));
        assert!(!is_said("qemu-system-x86_64: load of migration failed: Operation not permitted"));
        assert!(!is_said("qemu-system-x86_64: load of migration failed: Input/output error"));
    }
}
