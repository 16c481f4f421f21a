//! What every error of this library can say in addition to its message: what kind of failure it is and what to do next.

use base::files::FileError;
use base::process::ProcessError;
use base::refusal;

/// The kind of a failure, coarse enough to choose an exit status by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Something went wrong.
    Failed,
    /// What was asked for does not exist or contradicts itself.
    Usage,
    /// It needs an instance that runs.
    NotRunning,
    /// This machine lacks something that only its owner can provide: QEMU, KVM, a newer version.
    HostUnsupported,
    /// A deadline passed.
    TimedOut,
    /// Something that was read is not what it should be.
    VerificationFailed,
}

/// What an error says in addition to its message.
pub trait Explain: std::error::Error + 'static {
    /// What kind of failure it is.
    fn class(&self) -> Class {
        self.below().map_or(Class::Failed, Explain::class)
    }

    /// What helps on this host, when there is something. Which command of a program helps is the program's to say: it knows
    /// the error by its type, here or [below](Self::below).
    fn hint(&self) -> Option<String> {
        self.below()?.hint()
    }

    /// The error that this one passes on without a word of its own.
    fn below(&self) -> Option<&(dyn Explain + 'static)> {
        None
    }
}

impl Explain for ProcessError {
    fn class(&self) -> Class {
        match self {
            Self::NotFound { .. } => Class::HostUnsupported,
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        let Self::Failed { tail, .. } = self else { return None };
        let advice = "grant what the host has refused, such as space on the disk, memory or a permission; then try again";
        refusal::is_said(tail).then(|| advice.to_owned())
    }
}

impl Explain for FileError {
    fn hint(&self) -> Option<String> {
        self.advice()
    }
}

/// An error and its causes without the ends of logs that some of them show.
pub fn one_line(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut lines: Vec<String> = Vec::new();
    for error in chain {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default().trim_end_matches(':').to_owned();
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
    lines.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_the_host_refuses_something_has_a_hint() {
        let failed = |tail: &str| ProcessError::Failed {
            argv: "qemu-img convert".into(),
            status: "exited with status 1".into(),
            tail: tail.into(),
        };
        let hint = failed("qemu-img: error while writing: No space left on device").hint();
        assert!(hint.is_some_and(|hint| hint.contains("space on the disk")));
        assert_eq!(failed("qemu-img: Could not open 'a.qcow2': Image is corrupt").hint(), None);
    }
}
