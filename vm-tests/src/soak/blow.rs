//! What happens to the machine.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::iter;
use std::path::PathBuf;
use std::time::Duration;

use base::wait;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rustix::process::Signal;

use super::Soak;
use super::check::is_attendant;
use crate::load::Load;
use crate::ports::START;
use crate::processes;

/// How long a `start` or a `stop` runs before it is killed, at most: about as long as one takes.
const COMMAND: Duration = Duration::from_millis(600);

/// How long writes continue before QEMU is killed, at most.
const WRITES: Duration = Duration::from_millis(300);

/// How long a killed process may take to end.
const END_LIMIT: Duration = Duration::from_secs(10);

/// How long a guest that writes may take to meet a full disk, under software emulation.
const STANDSTILL_LIMIT: Duration = Duration::from_mins(2);

/// Bytes that the disk is filled by at a time.
const BLOCK: usize = 1 << 20;

/// One thing that happens to the machine while rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Blow {
    /// `stop`.
    Suspend,
    /// `reset`.
    Reset,
    /// `reset`, and the `start` of the next session is killed.
    KillFirstStart,
    /// `stop`, and the `start` that resumes is killed.
    KillStart,
    /// `stop` is killed.
    KillStop,
    /// QEMU is killed.
    KillQemu,
    /// What keeps the clock right is killed.
    KillAttendant,
    /// The disk is full when a suspended machine is started.
    FullAtStart,
    /// The disk becomes full while the machine writes to it.
    FullWhileWriting,
}

impl Blow {
    /// All, each with how often it falls in a hundred cycles. Those after which the machine boots are rare, because that takes most
    /// of the time.
    const ALL: [(Self, usize); 9] = [
        (Self::Suspend, 22),
        (Self::Reset, 20),
        (Self::KillFirstStart, 8),
        (Self::KillStart, 9),
        (Self::KillStop, 14),
        (Self::KillQemu, 4),
        (Self::KillAttendant, 16),
        (Self::FullAtStart, 4),
        (Self::FullWhileWriting, 3),
    ];

    /// A hundred in any order, but each kind is among the first to be popped: a short run has all of them.
    pub(super) fn hundred(random: &mut StdRng) -> Vec<Self> {
        let mut each = Self::ALL.map(|(blow, _)| blow);
        each.shuffle(random);
        let more = Self::ALL.into_iter().flat_map(|(blow, count)| iter::repeat_n(blow, count - 1));
        let mut all: Vec<_> = more.collect();
        all.shuffle(random);
        all.extend(each);
        all
    }

    /// Its name in reports.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Reset => "reset",
            Self::KillFirstStart => "kill-first-start",
            Self::KillStart => "kill-start",
            Self::KillStop => "kill-stop",
            Self::KillQemu => "kill-qemu",
            Self::KillAttendant => "kill-attendant",
            Self::FullAtStart => "full-at-start",
            Self::FullWhileWriting => "full-while-writing",
        }
    }
}

impl Soak {
    /// Lets `blow` fall. Gives the load back where the machine it writes to may be there still.
    pub(super) async fn fall(&mut self, blow: Blow, cycle: usize, load: Load) -> Option<Load> {
        match blow {
            Blow::Suspend => self.suspend(load).await,
            Blow::Reset => self.reset(load).await,
            Blow::KillFirstStart => {
                self.reset(load).await;
                self.kill(&START).await;
            }
            Blow::KillStart => {
                self.suspend(load).await;
                self.kill(&START).await;
            }
            Blow::KillStop => {
                self.kill(&["stop"]).await;
                return Some(load);
            }
            Blow::KillQemu => {
                self.moment(WRITES).await;
                self.emulator.kill_qemu().await;
                let written = load.end().await;
                self.rows.extend(written);
            }
            Blow::KillAttendant => {
                self.kill_attendant().await;
                return Some(load);
            }
            Blow::FullAtStart => {
                self.suspend(load).await;
                self.start_on_a_full_disk().await;
            }
            Blow::FullWhileWriting => {
                self.write_to_a_full_disk(cycle).await;
                return Some(load);
            }
        }
        None
    }

    async fn suspend(&mut self, load: Load) {
        self.emulator.finish().await;
        let written = load.end().await;
        self.rows.extend(written);
    }

    async fn reset(&mut self, load: Load) {
        load.stop().await;
        self.emulator.run(&["reset", "--yes"]).await.expect(0);
        self.rows.clear();
    }

    /// Begins a command, and kills it at any moment.
    async fn kill(&mut self, args: &[&str]) {
        let mut child = self.emulator.spawn(args);
        self.moment(COMMAND).await;
        child.kill().await.expect("a child can be killed");
    }

    async fn kill_attendant(&self) {
        let home = self.emulator.home().home().root();
        let attendant = || processes::of(home).into_iter().find(is_attendant);
        let found = wait::until(END_LIMIT, async || attendant()).await.expect("the attendant runs");
        processes::send(found.pid, Signal::KILL);
        let gone = async || processes::of(home).iter().all(|member| member.pid != found.pid).then_some(());
        wait::until(END_LIMIT, gone).await.expect("a killed process ends");
    }

    async fn start_on_a_full_disk(&self) {
        let filler = self.fill();
        let refused = self.emulator.run(&START).await.expect(1);
        assert!(refused.stderr.contains("No space left on device"), "{}", refused.stderr);
        assert!(self.emulator.dir().suspension().exists(), "{}", refused.stderr);
        fs::remove_file(filler).expect("the disk is writable");
    }

    /// The machine pauses then.
    async fn write_to_a_full_disk(&self, cycle: usize) {
        // The attendant removes the memory that the machine resumed from, which makes room.
        let spent = self.emulator.dir().spent();
        wait::until(END_LIMIT, async || (!spent.exists()).then_some(())).await.expect("`spent` is removed");
        let filler = self.fill();
        // A file of its own each time: what the guest has written to once has room on the host. It is not waited for, since its
        // machine is going to pause.
        let write = format!("dd if=/dev/urandom of=/var/tmp/soak-{cycle} bs=1M count=32 oflag=direct");
        self.emulator.guest().try_sh(&format!("{write} > /dev/null 2>&1 &")).await;
        let full = async || {
            let status = self.emulator.run(&["status"]).await;
            status.stdout.contains("this machine's is full").then_some(())
        };
        wait::until(STANDSTILL_LIMIT, full).await.expect("`status` says that the machine is paused");
        fs::remove_file(filler).expect("the disk is writable");
    }

    /// Fills the disk, and gives the file that does it.
    fn fill(&self) -> PathBuf {
        let path = self.disk.path().join("filler");
        let mut filler = File::create(&path).expect("a full disk has room for a name");
        let block = vec![1; BLOCK];
        let full = iter::repeat_with(|| filler.write_all(&block)).find_map(Result::err);
        assert_eq!(full.expect("it cannot all fit").kind(), ErrorKind::StorageFull);
        path
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn every_hundred_has_all_blows_in_an_order_that_follows_from_the_seed() {
        let hundred = |seed| Blow::hundred(&mut StdRng::seed_from_u64(seed));
        assert_eq!(hundred(7), hundred(7));
        assert_ne!(hundred(7), hundred(8));
        assert_eq!(hundred(7).len(), 100);
        for (blow, count) in Blow::ALL {
            assert_eq!(hundred(7).iter().filter(|drawn| **drawn == blow).count(), count);
            assert!(hundred(7).iter().rev().take(Blow::ALL.len()).any(|drawn| *drawn == blow));
        }
    }
}
