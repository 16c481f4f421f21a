//! The exit codes of `emulator`. `docs/home.md` lists them; scripts depend on them.

use std::process::ExitCode;

/// How a command ended. A command that a signal interrupted exits with 128 plus the signal's number instead, and a
/// command line that cannot be understood with 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked. For `status`: running and healthy.
    Ok = 0,
    /// It failed. For `status`: running but unhealthy, or broken.
    Failed = 1,
    /// The command line or an environment variable asks for something that does not exist.
    Usage = 2,
    /// The instance is not running, and the command needs it to be. For `status`: not running.
    NotRunning = 3,
    /// A token is missing or refused, or no more requests are allowed for now.
    Access = 4,
    /// This host cannot do it: no QEMU, no such accelerator, an operating system without support.
    HostUnsupported = 5,
    /// A deadline passed first.
    TimedOut = 6,
    /// Something is not what it was recorded to be, so it was not touched.
    VerificationFailed = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The exit code after `signal`: 128 plus its number, as shells have it.
pub(crate) fn interrupted(signal: i32) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))
}
