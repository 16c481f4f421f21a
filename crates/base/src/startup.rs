//! What a program settles when it starts, before it makes anything: which of its starter's things it passes on. To a command that it
//! runs in its own place it gives all of them.

use std::fs;
use std::sync::OnceLock;

use crate::interrupt::is_ignored;
use crate::limits;

/// Whether a write beyond the limit on file sizes ends what this program's starter starts.
static ENDED_BY_FILE_SIZE: OnceLock<bool> = OnceLock::new();

/// The descriptors that this program was started with and would have passed on.
static DESCRIPTORS: OnceLock<Vec<i32>> = OnceLock::new();

/// Ignores SIGXFSZ, so that a write beyond the limit on file sizes fails with an error, here and in child processes, instead of
/// ending the program without a message.
pub fn outlive_file_size_limit() {
    let _ = ENDED_BY_FILE_SIZE.set(!is_ignored(libc::SIGXFSZ));
    // SAFETY: no handler is installed, and nothing else in this program changes what becomes of this signal.
    #[expect(unsafe_code, reason = "the standard library has no call for it")]
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Keeps the descriptors that this program was started with, other than the three standard ones, from the programs that it starts
/// itself: one that lives on would hold its starter's locks, pipes and file systems. To be called before any file is opened that a child
/// is to inherit.
pub fn keep_descriptors() {
    // All there are, also those opened here: the standard library marks its own in the same way.
    let open = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    let entries = fs::read_dir(open).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let passed_on = numbers.filter(|number| *number > 2 && flags(*number) == 0).collect::<Vec<_>>();
    for number in &passed_on {
        mark(*number, libc::FD_CLOEXEC);
    }
    let _ = DESCRIPTORS.set(passed_on);
}

/// The flags of a descriptor; -1 where there is none.
fn flags(number: i32) -> i32 {
    // SAFETY: asking reads and writes no memory, and a descriptor that is closed by now is refused.
    #[expect(unsafe_code, reason = "the descriptors have no owner here, only their numbers")]
    unsafe {
        libc::fcntl(number, libc::F_GETFD)
    }
}

fn mark(number: i32, flags: i32) {
    // SAFETY: marking a descriptor reads and writes no memory, and one that is closed by now is refused.
    #[expect(unsafe_code, reason = "the descriptors have no owner here, only their numbers")]
    unsafe {
        libc::fcntl(number, libc::F_SETFD, flags);
    }
}

/// Gives the calling process, a child that is about to execute a program in this one's place, what this one was started with: its
/// descriptors, its limits, and the end by the limit on file sizes. Allocates nothing, as is required between fork and exec.
pub(crate) fn give_back() {
    for number in DESCRIPTORS.get().into_iter().flatten() {
        mark(*number, 0);
    }
    limits::restore();
    if ENDED_BY_FILE_SIZE.get() == Some(&true) {
        // SAFETY: no handler is installed, and the process is about to execute another program.
        #[expect(unsafe_code, reason = "the standard library has no call for it")]
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{ErrorKind, Seek, SeekFrom, Write};

    use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;
    use crate::process::Cmd;

    #[tokio::test]
    async fn a_descriptor_of_the_starters_does_not_reach_a_child() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("lock")).unwrap();
        fcntl_setfd(&file, FdFlags::empty()).unwrap();
        keep_descriptors();
        assert_eq!(fcntl_getfd(&file).unwrap(), FdFlags::CLOEXEC);
        let open = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
        let listed = Cmd::new("ls").arg("-l").arg(open).text().await.unwrap();
        assert!(!listed.contains("/lock"), "{listed}");
    }

    #[tokio::test]
    async fn a_limit_on_file_sizes_is_an_error_here_and_in_a_child() {
        outlive_file_size_limit();
        let mut file = tempfile::tempfile().unwrap();
        let before = getrlimit(Resource::Fsize);
        setrlimit(Resource::Fsize, Rlimit { current: Some(1 << 20), maximum: before.maximum }).unwrap();
        file.seek(SeekFrom::Start(1 << 20)).unwrap();
        let written = file.write_all(b"too far");
        let dir = tempfile::tempdir().unwrap();
        let script = format!("head -c 2000000 /dev/zero > {}", dir.path().join("f").display());
        let child = Cmd::new("sh").arg("-c").arg(script).output().await;
        setrlimit(Resource::Fsize, before).unwrap();
        assert_eq!(written.unwrap_err().kind(), ErrorKind::FileTooLarge);
        let said = child.unwrap_err().to_string();
        assert!(said.contains("exited with status 1") && said.contains("File too large"), "{said}");
    }
}
