//! Limits that a process may raise for itself and for what it starts.

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
}
