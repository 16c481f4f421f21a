//! Limits that the host sets to a program: raised where it may raise them, and asked before it runs into them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files that are enough: QEMU takes two for every connection through a forwarded port.
const OPEN_FILES: u64 = if cfg!(target_os = "macos") { 10_240 } else { 65_536 };

/// Lets this process, and what it starts from here on, have as many files open as its hard limit allows, where the soft one is
/// lower. Shells and service managers give a soft limit of 1,024 for the sake of old programs; none of those is started here.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = raised(limit) else { return };
    // A refusal leaves what there was, which is enough for a few hundred connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
}

/// The soft limit in place of a lower one. No limit is `None` in `limit`.
fn raised(limit: Rlimit) -> Option<u64> {
    let wanted = limit.maximum.map_or(OPEN_FILES, |hard| hard.min(OPEN_FILES));
    limit.current.filter(|&soft| soft < wanted).map(|_| wanted)
}

/// Files may not become as long as they have to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a file may be {} MiB long at most here (`ulimit -f`), but {what} needs {} MiB", limit >> 20, needed.div_ceil(1 << 20))]
pub struct FileSizeLimit {
    /// What the file is for.
    pub what: &'static str,
    /// Bytes that are needed.
    pub needed: u64,
    /// Bytes that are allowed.
    pub limit: u64,
}

/// Checks that a file of so many bytes may be written.
///
/// # Errors
/// When this process, and so those that it starts, may only write shorter ones.
pub fn file_size(what: &'static str, needed: u64) -> Result<(), FileSizeLimit> {
    within(what, needed, getrlimit(Resource::Fsize).current)
}

fn within(what: &'static str, needed: u64, limit: Option<u64>) -> Result<(), FileSizeLimit> {
    match limit {
        Some(limit) if limit < needed => Err(FileSizeLimit { what, needed, limit }),
        _ => Ok(()),
    }
}

/// The limits on sizes that this process has, and so those that it starts, where somebody has set any: "`ulimit -v` is 1953 MiB".
pub fn told() -> Option<String> {
    let limits = [("-v", Resource::As), ("-d", Resource::Data), ("-f", Resource::Fsize)];
    let told = |(flag, resource)| {
        let limit = getrlimit(resource).current?;
        Some(format!("`ulimit {flag}` is {} MiB", limit >> 20))
    };
    let told: Vec<String> = limits.into_iter().filter_map(told).collect();
    (!told.is_empty()).then(|| told.join(", "))
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
    fn a_limit_that_is_too_low_is_told_with_both_sizes() {
        within("memory", 1 << 30, None).unwrap();
        within("memory", 1 << 30, Some(1 << 30)).unwrap();
        let error = within("memory", 2 << 30, Some(256 << 20)).unwrap_err().to_string();
        assert_eq!(error, "a file may be 256 MiB long at most here (`ulimit -f`), but memory needs 2048 MiB");
    }
}
