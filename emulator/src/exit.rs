//! The exit codes of `emulator`. `docs/home.md` lists them; scripts depend on them.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

/// How a command ended. A command that a signal interrupted exits with 128 plus the signal's number instead, and a
/// command line that cannot be understood with 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked. For `status`: running and healthy.
    Ok,
    /// It failed. For `status`: running but unhealthy, or broken.
    Failed,
    /// The command line or an environment variable asks for something that does not exist.
    Usage,
    /// The instance is not running, and the command needs it to be. For `status`: not running.
    NotRunning,
    /// A token is missing or refused, or no more requests are allowed for now.
    Access,
    /// This host cannot do it: no QEMU, no such accelerator, an operating system without support.
    HostUnsupported,
    /// A deadline passed first.
    TimedOut,
    /// Something is not what it was recorded to be, so it was not touched.
    VerificationFailed,
    /// The user's command, which it ran, ended with this code.
    Command(u8),
}

/// How a command failed that runs a command of the user's, which has not been started: with codes that such a command seldom has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotStarted {
    /// It failed itself.
    Failed = 125,
    /// The user's command exists, and cannot be run.
    NotExecutable = 126,
    /// There is no such command.
    NotFound = 127,
}

impl Exit {
    /// The word that JSON has for it, as an error's `code`. Programs depend on it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed | Self::Command(_) => "failed",
            Self::Usage => "usage",
            Self::NotRunning => "not-running",
            Self::Access => "access",
            Self::HostUnsupported => "host-unsupported",
            Self::TimedOut => "timed-out",
            Self::VerificationFailed => "verification-failed",
        }
    }
}

/// How the user's command ended.
impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Self::Command(code.or_else(|| status.signal().map(after)).unwrap_or(u8::MAX))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotRunning => 3,
            Exit::Access => 4,
            Exit::HostUnsupported => 5,
            Exit::TimedOut => 6,
            Exit::VerificationFailed => 7,
            Exit::Command(code) => code,
        })
    }
}

impl From<NotStarted> for ExitCode {
    fn from(exit: NotStarted) -> Self {
        Self::from(exit as u8)
    }
}

/// How this program ends after `signal`.
pub(crate) fn interrupted(signal: i32) -> ExitCode {
    after(signal).into()
}

/// The exit code after `signal`: 128 plus its number, as shells have it.
fn after(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_and_this_program_have_the_same_codes_after_a_signal() {
        assert_eq!(Exit::from(ExitStatus::from_raw(7 << 8)), Exit::Command(7));
        assert_eq!(Exit::from(ExitStatus::from_raw(libc::SIGTERM)), Exit::Command(128 + 15));
        assert_eq!(format!("{:?}", interrupted(libc::SIGTERM)), format!("{:?}", ExitCode::from(128 + 15)));
    }

    #[test]
    fn every_error_code_of_json_is_documented() {
        use Exit::{Access, Failed, HostUnsupported, NotRunning, TimedOut, Usage, VerificationFailed};
        let document = include_str!("../../docs/json.md");
        let exits = [Failed, Usage, NotRunning, Access, HostUnsupported, TimedOut, VerificationFailed];
        for (code, exit) in (1..).zip(exits) {
            assert_eq!(format!("{:?}", ExitCode::from(exit)), format!("{:?}", ExitCode::from(code)));
            let row = format!("| `{}` | {code} |", exit.word());
            assert!(document.contains(&row), "{row}");
        }
    }
}
