//! Which units run, as the kernel shows it: without a process of systemd's, which would take as long as a whole resume.

use std::{fs, path::Path};

/// Where systemd keeps the control groups of services.
pub(super) const GROUPS: &str = "/sys/fs/cgroup/system.slice";

/// Whether the service with this unit has a process, by its control group in `groups`.
pub(super) fn runs(unit: &str, groups: &Path) -> bool {
    fs::read_to_string(groups.join(unit).join("cgroup.procs")).is_ok_and(|pids| !pids.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_runs_while_its_group_has_a_process() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!runs("a.service", dir.path()));
        fs::create_dir(dir.path().join("a.service")).unwrap();
        for (pids, expected) in [("7\n", true), ("", false)] {
            fs::write(dir.path().join("a.service/cgroup.procs"), pids).unwrap();
            assert_eq!(runs("a.service", dir.path()), expected);
        }
    }
}
