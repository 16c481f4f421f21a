//! The memory of the host: how much there is, and whether the kernel has ended processes for want of it.

use std::fmt;

/// Returns the bytes of memory of this machine, where that is known.
pub fn total() -> Option<u64> {
    platform::total()
}

/// How often the kernel has ended a process for want of memory, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kills {
    /// In this process's control group.
    group: Option<u64>,
    /// On the whole host.
    host: Option<u64>,
}

/// Whose memory was used up. Displays as a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// That of the control group, which may have so many bytes, if it has a limit of its own.
    Group(Option<u64>),
    /// That of the host.
    Host,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(Some(limit)) => {
                write!(f, "out of memory: the control group's limit is {} MiB", limit >> 20)
            }
            Self::Group(None) => f.write_str("out of memory, in this control group"),
            Self::Host => f.write_str("out of memory, on this host"),
        }
    }
}

impl Kills {
    /// Counts them.
    pub fn now() -> Self {
        platform::kills()
    }

    /// What was used up, if there have been more since.
    pub fn since(self) -> Option<Exhausted> {
        self.until(Self::now(), platform::group_limit)
    }

    fn until(self, later: Self, limit: impl FnOnce() -> Option<u64>) -> Option<Exhausted> {
        let more =
            |before: Option<u64>, after: Option<u64>| matches!((before, after), (Some(b), Some(a)) if a > b);
        if more(self.group, later.group) {
            return Some(Exhausted::Group(limit()));
        }
        more(self.host, later.host).then_some(Exhausted::Host)
    }
}

#[cfg(target_os = "linux")]
mod platform {
    //! proc(5), and control groups of either version: `admin-guide/cgroup-v2.rst` and `cgroup-v1/memory.rst` of the kernel's
    //! documentation.

    use std::fs;
    use std::path::{Path, PathBuf};

    use super::Kills;

    /// Where control groups are, by the convention that every distribution follows.
    const GROUPS: &str = "/sys/fs/cgroup";

    /// A limit of version 1 from here on is none: it is the largest number of pages.
    const UNLIMITED: u64 = 1 << 60;

    pub(super) fn total() -> Option<u64> {
        let text = fs::read_to_string("/proc/meminfo").ok()?;
        Some(field(&text, "MemTotal:")? << 10)
    }

    pub(super) fn kills() -> Kills {
        let count = |path: &Path| field(&fs::read_to_string(path).ok()?, "oom_kill");
        let group = own_group().and_then(|group| {
            let counters = ["memory.events", "memory.oom_control"];
            counters.iter().find_map(|name| count(&group.join(name)))
        });
        Kills { group, host: count(Path::new("/proc/vmstat")) }
    }

    /// The lowest limit of this process's control group and those above.
    pub(super) fn group_limit() -> Option<u64> {
        let group = own_group()?;
        let limits = group.ancestors().take_while(|dir| dir.starts_with(GROUPS)).flat_map(|dir| {
            ["memory.max", "memory.limit_in_bytes"].map(|name| {
                fs::read_to_string(dir.join(name))
                    .ok()?
                    .trim()
                    .parse()
                    .ok()
                    .filter(|limit| *limit < UNLIMITED)
            })
        });
        limits.flatten().min()
    }

    /// The directory of the control group that counts this process's memory.
    fn own_group() -> Option<PathBuf> {
        let text = fs::read_to_string("/proc/self/cgroup").ok()?;
        group_of(&text).find(|dir| dir.is_dir())
    }

    /// Where it may be: version 1 has a hierarchy of its own for memory, and is then the one that counts.
    fn group_of(text: &str) -> impl Iterator<Item = PathBuf> {
        let path = |controllers: &str| {
            text.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (found, path) = rest.split_once(':')?;
                let same = found.split(',').any(|controller| controller == controllers);
                same.then(|| path.trim_start_matches('/').to_owned())
            })
        };
        let first = path("memory").map(|path| ("memory", path));
        let second = path("").map(|path| ("", path));
        first.into_iter().chain(second).flat_map(|(hierarchy, path)| {
            let root = Path::new(GROUPS).join(hierarchy);
            // A container may have its own group mounted as the root of all, and yet see the host's path of it.
            [root.join(path), root]
        })
    }

    /// The number after `name` in a file of lines with a name and a number each.
    fn field(text: &str, name: &str) -> Option<u64> {
        text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            if words.next() == Some(name) { words.next()?.parse().ok() } else { None }
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_control_group_is_found_in_both_versions() {
            let first = |text| group_of(text).next().unwrap();
            assert_eq!(first("0::/user.slice/a\n"), Path::new("/sys/fs/cgroup/user.slice/a"));
            let mixed = "5:cpu,cpuacct:/\n4:memory:/docker/1\n0::/\n";
            assert_eq!(first(mixed), Path::new("/sys/fs/cgroup/memory/docker/1"));
        }

        #[test]
        fn a_number_is_found_by_its_whole_name() {
            assert_eq!(field("oom 1\noom_kill 2\noom_group_kill 3\n", "oom_kill"), Some(2));
            assert_eq!(field("low 0\n", "oom_kill"), None);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    //! No counters, and no groups.

    use super::Kills;

    pub(super) fn total() -> Option<u64> {
        None
    }

    pub(super) fn kills() -> Kills {
        Kills { group: None, host: None }
    }

    pub(super) fn group_limit() -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_groups_memory_is_told_before_the_hosts() {
        let before = Kills { group: Some(1), host: Some(7) };
        let limit = || Some(260 << 20);
        assert_eq!(before.until(before, limit), None);
        assert_eq!(before.until(Kills { host: Some(8), ..before }, limit), Some(Exhausted::Host));
        let exhausted = before.until(Kills { group: Some(2), host: Some(8) }, limit).unwrap();
        assert_eq!(exhausted.to_string(), "out of memory: the control group's limit is 260 MiB");
        let unknown = Kills { group: None, host: None };
        assert_eq!(unknown.until(before, limit), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_memory() {
        assert!(total().unwrap() > 64 << 20);
    }
}
