//! What has to be there after a start, and what must not.

use std::collections::HashSet;
use std::time::Duration;

use base::wait;

use super::Soak;
use crate::processes::{self, Member};
use crate::stack::users;

/// Largest difference between the clocks of guest and host.
const CLOCK: Duration = Duration::from_secs(2);

/// How long background work after a start may take: the attendant begins, and removes what the machine resumed from.
const SETTLED: Duration = Duration::from_secs(10);

/// What the directory of a running instance may hold; `docs/home.md` says what each is.
const FILES: [&str; 10] = [
    "instance.json",
    "overlay.qcow2",
    "config.img",
    "live.json",
    ".watch.lock",
    ".stopping.lock",
    "logs",
    "failed-resume",
    "failed-stop",
    "qmp",
];

/// What a check has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Rows that were answered to have been written, and are not there.
    pub(super) lost: Vec<String>,
    /// Unused files and processes.
    pub(super) left_over: Vec<String>,
    /// Everything else that is not as it should be.
    pub(super) wrong: Vec<String>,
}

impl Found {
    /// Whether all is well.
    pub(super) fn is_nothing(&self) -> bool {
        self.lost.is_empty() && self.left_over.is_empty() && self.wrong.is_empty()
    }
}

impl Soak {
    pub(super) async fn check(&self) -> Found {
        let mut found = Found::default();
        let health = self.started.api("backend").get("/health?db=1").await;
        if health.status != 200 {
            found.wrong.push(format!("health: {} {}", health.status, health.body));
        }
        let there: HashSet<String> = users(&self.started).await.into_iter().collect();
        found.lost = self.rows.iter().filter(|row| !there.contains(*row)).cloned().collect();
        let apart = self.emulator.guest().clock_difference().await;
        if apart > CLOCK {
            found.wrong.push(format!("the clocks differ by {apart:?}"));
        }
        let settled = async || {
            let members = self.members();
            (self.left_over_files().is_empty() && is_as_it_should_be(&members)).then_some(())
        };
        if wait::until(SETTLED, settled).await.is_err() {
            found.left_over = self.left_over_files();
            let members = self.members();
            found.left_over.extend(members.iter().filter(|one| is_too_many(one, &members)).map(shown));
            found.wrong.extend(missing(&members));
        }
        found.left_over.extend(self.emulator.home().half_made());
        found
    }

    /// Processes that have to do with this home.
    fn members(&self) -> Vec<Member> {
        processes::of(self.emulator.home().home().root())
    }

    fn left_over_files(&self) -> Vec<String> {
        let dir = std::fs::read_dir(self.emulator.dir().root()).expect("the instance's directory is there");
        let names =
            dir.map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned());
        names.filter(|name| !FILES.contains(&name.as_str())).collect()
    }
}

/// One QEMU, one attendant, and nothing else.
fn is_as_it_should_be(members: &[Member]) -> bool {
    missing(members).is_empty() && members.len() == KINDS.len()
}

/// Whether a process is one of a kind.
type Kind = fn(&Member) -> bool;

/// What has to run, by its name.
const KINDS: [(&str, Kind); 2] = [("QEMU", is_qemu), ("the attendant", is_attendant)];

fn missing(members: &[Member]) -> Vec<String> {
    let missing = KINDS.into_iter().filter(|(_, kind)| !members.iter().any(kind));
    missing.map(|(name, _)| format!("{name} does not run")).collect()
}

/// Whether this is neither of [`KINDS`], or one of them that has an elder.
fn is_too_many(member: &Member, members: &[Member]) -> bool {
    let of_its_kind = KINDS.into_iter().find(|(_, kind)| kind(member));
    of_its_kind.is_none_or(|(_, kind)| {
        members.iter().find(|other| kind(other)).is_some_and(|first| first.pid != member.pid)
    })
}

fn shown(member: &Member) -> String {
    format!("process {}: {}", member.pid, member.command_line)
}

/// Whether this is the process that keeps the guest's clock right.
pub(super) fn is_attendant(member: &Member) -> bool {
    member.command_line.contains(" watch ")
}

fn is_qemu(member: &Member) -> bool {
    member.command_line.contains("qemu-system-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_machine_a_second_attendant_and_a_stranger_are_too_many() {
        let lines =
            ["qemu-system-x86_64 -name a", "emulator watch --quiet", "qemu-system-x86_64 -name b", "sleep 1"];
        let member = |(pid, line): (i32, &str)| Member { pid, command_line: line.to_owned() };
        let members: Vec<_> = (1..).zip(lines).map(member).collect();
        let too_many: Vec<_> =
            members.iter().filter(|one| is_too_many(one, &members)).map(|one| one.pid).collect();
        assert_eq!(too_many, [3, 4]);
        assert!(is_as_it_should_be(&members[..2]));
        assert!(!is_as_it_should_be(&members[..3]));
        assert_eq!(missing(&members[..1]), ["the attendant does not run"]);
    }
}
