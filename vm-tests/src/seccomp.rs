//! System calls that are denied, as the filters of containers do.

use std::io;

use tokio::process::Command;

/// Where the system call's number is in what a filter is shown.
const NUMBER: u32 = 0;

/// The number of `io_uring_setup`.
const IO_URING_SETUP: u32 = 425;
const _: () = assert!(libc::SYS_io_uring_setup == 425);

// As the kernel reads them: as whole words.
const YES: libc::c_ulong = 1;
const NONE: libc::c_ulong = 0;
const MODE: libc::c_ulong = 2;
const _: () = assert!(libc::SECCOMP_MODE_FILTER == 2);

/// Lets `io_uring_setup` fail in `command`, and in what it starts, by EPERM: as the default filter of a container does.
pub fn deny_io_uring(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; `prctl` is, and nothing else is called.
    #[expect(unsafe_code, reason = "the standard library has no call for it")]
    unsafe {
        command.pre_exec(forbid);
    }
}

fn forbid() -> io::Result<()> {
    let step = |code: u32, skipped_unless: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt: 0,
        jf: skipped_unless,
        k,
    };
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, NUMBER),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, IO_URING_SETUP),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs()),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel reads the filter, which lives until it has, and writes nothing.
    #[expect(unsafe_code, reason = "the standard library has no call for it")]
    let denied = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, YES, NONE, NONE, NONE) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, MODE, &raw const program) == 0
    };
    if denied { Ok(()) } else { Err(io::Error::last_os_error()) }
}
