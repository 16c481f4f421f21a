//! Limits that a control group sets, of either version of their interface.

use std::fs;
use std::path::{Path, PathBuf};

/// Microseconds in which the processor's time is dealt out.
const PERIOD: u32 = 100_000;

/// A control group until it is dropped. It must be empty then.
#[derive(Debug)]
pub struct Group(PathBuf);

impl Group {
    /// One with this much memory.
    ///
    /// # Panics
    /// When this user may not make one.
    pub fn with_memory(bytes: u64) -> Self {
        let (it, first) = Self::new("memory");
        it.limit(if first { "memory.limit_in_bytes" } else { "memory.max" }, &bytes.to_string());
        it
    }

    /// One with so many hundredths of one processor's time.
    ///
    /// # Panics
    /// When this user may not make one.
    pub fn with_processor(hundredths: u32) -> Self {
        let (it, first) = Self::new("cpu");
        let quota = PERIOD / 100 * hundredths;
        if first {
            it.limit("cpu.cfs_period_us", &PERIOD.to_string());
            it.limit("cpu.cfs_quota_us", &quota.to_string());
        } else {
            it.limit("cpu.max", &format!("{quota} {PERIOD}"));
        }
        it
    }

    /// What a shell does to enter it and then to become the program that its arguments name.
    pub fn enter(&self) -> String {
        format!("echo $$ > {} && exec \"$@\"", self.0.join("cgroup.procs").display())
    }

    /// A new group of `controller`, and whether it is of the interface's first version.
    fn new(controller: &str) -> (Self, bool) {
        let root = Path::new("/sys/fs/cgroup");
        let own = root.join(controller);
        let first = own.is_dir();
        let parent = if first { own.as_path() } else { root };
        let it = Self(parent.join(format!("vm-test-{}", std::process::id())));
        fs::create_dir(&it.0).expect("the test may make a control group");
        (it, first)
    }

    fn limit(&self, file: &str, value: &str) {
        fs::write(self.0.join(file), value).unwrap_or_else(|error| panic!("no `{file}`: {error}"));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
