//! Processes of the machine that runs the tests: who belongs to a home, and signals.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::wait;
use rustix::process::{Pid, Signal, kill_process};

/// How long a process that was asked to end may take.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Sends a signal.
///
/// # Panics
/// When there is no such process.
pub fn send(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("0 is not a process");
    kill_process(pid, signal).unwrap_or_else(|error| panic!("cannot send {signal:?} to {pid:?}: {error}"));
}

/// Command lines of all processes, arguments separated by spaces.
///
/// # Panics
/// When `/proc` cannot be read.
pub fn command_lines() -> Vec<String> {
    directories().filter_map(|dir| text(&dir, "cmdline")).collect()
}

/// The most memory in KiB that a process has had at a time.
///
/// # Panics
/// When there is no such process.
pub fn peak_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.split_whitespace().next()?.parse().ok());
    peak.expect("the kernel counts memory")
}

/// A process that has a home in its arguments or its environment.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id.
    pub pid: i32,
    /// Its arguments, separated by spaces.
    pub command_line: String,
}

/// The processes that have `home` in their arguments or their environment.
///
/// # Panics
/// When `/proc` cannot be read.
pub fn of(home: &Path) -> Vec<Member> {
    let mark = home.to_string_lossy();
    let belongs = |dir: &PathBuf| {
        ["cmdline", "environ"].iter().any(|file| text(dir, file).is_some_and(|text| text.contains(&*mark)))
    };
    let member = |dir: PathBuf| {
        let pid = dir.file_name()?.to_str()?.parse().ok()?;
        Some(Member { pid, command_line: text(&dir, "cmdline")? })
    };
    directories().filter(belongs).filter_map(member).collect()
}

/// Kills them. One that has ended meanwhile is ignored.
pub(crate) fn kill_all_of(home: &Path) {
    for pid in of(home).iter().filter_map(|member| Pid::from_raw(member.pid)) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Asserts that there are none of those.
///
/// # Panics
/// When one is there still after a while.
pub async fn assert_none_of(home: &Path) {
    let gone = async || of(home).is_empty().then_some(());
    let outcome = wait::until(END_LIMIT, gone).await;
    assert!(outcome.is_ok(), "still running: {:?}", of(home));
}

fn directories() -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir("/proc").expect("`/proc` can be listed").filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_name().as_bytes().iter().all(u8::is_ascii_digit))
        .map(|entry| entry.path())
}

/// Nothing where the process has ended meanwhile or is none of ours.
fn text(process: &Path, file: &str) -> Option<String> {
    let bytes = std::fs::read(process.join(file)).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
}
