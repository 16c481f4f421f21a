//! Whether this process may use `io_uring`: a container's filter of system calls, a security module or `kernel.io_uring_disabled`
//! may forbid what the kernel has.

/// Tries it: a matter of microseconds. What is forbidden here is forbidden to the programs that are started from here.
#[cfg(target_os = "linux")]
pub fn is_allowed() -> bool {
    use std::os::fd::{FromRawFd, OwnedFd};

    /// As many as QEMU asks for.
    const ENTRIES: libc::c_long = 128;
    // `struct io_uring_params` of linux/io_uring.h is 120 bytes; all zero asks for nothing special.
    let mut params = [0_u64; 15];
    // SAFETY: the kernel reads and writes the parameters only, which are as large as it says.
    #[expect(unsafe_code, reason = "the standard library has no call for it")]
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, params.as_mut_ptr()) };
    let Some(number) = i32::try_from(ring).ok().filter(|number| *number >= 0) else { return false };
    // SAFETY: the descriptor was made right above, and nothing else uses it.
    #[expect(unsafe_code, reason = "the system call gives a number")]
    drop(unsafe { OwnedFd::from_raw_fd(number) });
    true
}

/// There is none.
#[cfg(not(target_os = "linux"))]
pub fn is_allowed() -> bool {
    false
}
