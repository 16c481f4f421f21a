//! Limits that the host sets to a program: raised where it may raise them, and asked before it runs into them.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files that are enough: QEMU takes two for every connection through a forwarded port.
const OPEN_FILES: u64 = if cfg!(target_os = "macos") { 10_240 } else { 65_536 };

/// Open files that a machine needs: QEMU has about forty for disks, sockets and ports, and two more for each of a hundred connections.
const MACHINE_FILES: u64 = 256;

/// Processor time that a machine needs at least, in seconds: it boots, and serves for some hours.
const MACHINE_TIME: u64 = 3600;

/// Limits of counts are reported after a failure only if they are below this: every system sets some limit to them.
const FEW: u64 = 1024;

/// The limits before [`raise`].
static BEFORE: OnceLock<[(Resource, Rlimit); 2]> = OnceLock::new();

/// Lets this process, and what it starts from here on, have as much as the hard limits allow, where the soft ones are lower: of open
/// files, and of processor time. Shells and service managers give a soft limit of 1,024 files for the sake of old programs; none of
/// those is started here.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let _ = BEFORE.set([(Resource::Nofile, limit), (Resource::Cpu, getrlimit(Resource::Cpu))]);
    if let Some(current) = raised(limit) {
        // A refusal leaves what there was, which is enough for a few hundred connections.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
    }
    let limit = getrlimit(Resource::Cpu);
    let _ = setrlimit(Resource::Cpu, Rlimit { current: limit.maximum, ..limit });
}

/// Sets the limits that [`raise`] has raised to what they were. Allocates nothing.
pub(crate) fn restore() {
    for (resource, limit) in BEFORE.get().into_iter().flatten() {
        // The hard limit is the same, so there is nothing to refuse.
        let _ = setrlimit(*resource, *limit);
    }
}

/// Returns the soft limit that replaces a lower one. No limit is `None` in `limit`.
fn raised(limit: Rlimit) -> Option<u64> {
    let wanted = limit.maximum.map_or(OPEN_FILES, |hard| hard.min(OPEN_FILES));
    limit.current.filter(|&soft| soft < wanted).map(|_| wanted)
}

/// A limit is too low for what is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooLow {
    /// Files may not become as long as they have to.
    #[error("a file may be {} MiB long at most here (`ulimit -f`), but {what} needs {} MiB", limit >> 20, needed.div_ceil(1 << 20))]
    FileSize {
        /// What the file is for.
        what: &'static str,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// Too few files may be open.
    #[error(
        "a program may have {limit} files open at most here (`ulimit -n`), but a machine needs {MACHINE_FILES}"
    )]
    OpenFiles {
        /// How many are allowed.
        limit: u64,
    },
    /// A program is ended after little work.
    #[error(
        "a program may use {limit} s of processor time at most here (`ulimit -t`), and a machine is ended by that: it needs {MACHINE_TIME} s"
    )]
    ProcessorTime {
        /// Seconds that are allowed.
        limit: u64,
    },
}

impl TooLow {
    /// What to do about it.
    pub fn hint(&self) -> String {
        let allow = match self {
            Self::FileSize { .. } => "`ulimit -f unlimited`".to_owned(),
            Self::OpenFiles { .. } => format!("`ulimit -n {FEW}`"),
            Self::ProcessorTime { .. } => "`ulimit -t unlimited`".to_owned(),
        };
        format!("allow it with {allow}, in the shell that starts this; where that is refused, root can")
    }
}

/// Checks that a file of so many bytes may be written.
///
/// # Errors
/// When this process, and so those that it starts, may only write shorter ones.
pub fn file_size(what: &'static str, needed: u64) -> Result<(), TooLow> {
    within(needed, getrlimit(Resource::Fsize).current, |limit| TooLow::FileSize { what, needed, limit })
}

/// Checks that a machine may have as many files open and use as much processor time as it needs: a limit that is reached later would
/// end a machine in use.
///
/// # Errors
/// When this process, and so those that it starts, may not.
pub fn machine() -> Result<(), TooLow> {
    let open_files = |limit| TooLow::OpenFiles { limit };
    within(MACHINE_FILES, getrlimit(Resource::Nofile).current, open_files)?;
    let processor_time = |limit| TooLow::ProcessorTime { limit };
    within(MACHINE_TIME, getrlimit(Resource::Cpu).current, processor_time)
}

fn within(needed: u64, limit: Option<u64>, error: impl FnOnce(u64) -> TooLow) -> Result<(), TooLow> {
    limit.filter(|&limit| limit < needed).map_or(Ok(()), |limit| Err(error(limit)))
}

/// The limits that this process has, and so those that it starts, and that a program may have met: "`ulimit -v` is 1953 MiB".
pub fn described() -> Option<String> {
    described_of(|resource| getrlimit(resource).current)
}

fn described_of(limit: impl Fn(Resource) -> Option<u64>) -> Option<String> {
    let sizes = [("-v", Resource::As), ("-d", Resource::Data), ("-f", Resource::Fsize)];
    let sizes = sizes
        .into_iter()
        .filter_map(|(flag, resource)| Some(format!("`ulimit {flag}` is {} MiB", limit(resource)? >> 20)));
    let counts = [("-n", Resource::Nofile), ("-u", Resource::Nproc)];
    let counts = counts.into_iter().filter_map(|(flag, resource)| {
        let few = limit(resource).filter(|&count| count < FEW)?;
        Some(format!("`ulimit {flag}` is {few}"))
    });
    let time = limit(Resource::Cpu).map(|seconds| format!("`ulimit -t` is {seconds} s"));
    let described: Vec<String> = sizes.chain(counts).chain(time).collect();
    (!described.is_empty()).then(|| described.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_raised_to_the_hard_one_and_never_lowered() {
        let limit = |current, maximum| raised(Rlimit { current, maximum });
        assert_eq!(limit(Some(1024), Some(4096)), Some(4096));
        assert_eq!(limit(Some(1024), Some(1 << 20)), Some(OPEN_FILES));
        assert_eq!(limit(Some(1024), None), Some(OPEN_FILES));
        assert_eq!(limit(Some(4096), Some(4096)), None);
        assert_eq!(limit(Some(1 << 20), Some(1 << 20)), None);
        assert_eq!(limit(None, None), None);
    }

    #[test]
    fn a_limit_that_is_too_low_is_reported_with_both_sizes() {
        let within =
            |needed, limit| within(needed, limit, |limit| TooLow::FileSize { what: "memory", needed, limit });
        within(1 << 30, None).unwrap();
        within(1 << 30, Some(1 << 30)).unwrap();
        let error = within(2 << 30, Some(256 << 20)).unwrap_err().to_string();
        assert_eq!(error, "a file may be 256 MiB long at most here (`ulimit -f`), but memory needs 2048 MiB");
    }

    #[test]
    fn limits_that_every_system_sets_are_not_reported() {
        let usual = |resource| match resource {
            Resource::Nofile => Some(65_536),
            Resource::Nproc => Some(30_000),
            _ => None,
        };
        assert_eq!(described_of(usual), None);
        let low = |resource| match resource {
            Resource::As => Some(64 << 20),
            Resource::Nofile => Some(40),
            Resource::Nproc => Some(10),
            Resource::Cpu => Some(1),
            _ => None,
        };
        let expected = "`ulimit -v` is 64 MiB, `ulimit -n` is 40, `ulimit -u` is 10, `ulimit -t` is 1 s";
        assert_eq!(described_of(low).unwrap(), expected);
    }
}
