//! What a command has started: its processes, and theirs.

use rustix::process::Pid;

#[cfg(target_os = "linux")]
pub(super) use linux::{Family, end_with};
#[cfg(not(target_os = "linux"))]
pub(super) use portable::{Family, end_with};

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::time::Duration;

    use rustix::process::{
        Signal as Number, WaitOptions, getppid, kill_process, set_child_subreaper,
        set_parent_process_death_signal, waitpid,
    };

    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::Pid;

    /// How long the kernel may take to end what was killed.
    const LIMIT: Duration = Duration::from_secs(5);

    /// The processes that the command is going to start: all that become children of this process, except for those that are
    /// already.
    #[derive(Debug)]
    pub(in super::super) struct Family {
        others: Vec<Pid>,
        /// Of the ends of children; none where the operating system refuses a handler.
        ends: Option<Signal>,
    }

    impl Family {
        /// Has the kernel give this process, and not the first one, every orphan of what it starts from here on.
        pub(in super::super) fn gather() -> Self {
            // A kernel that refuses leaves orphans to the first process, as without this program.
            let _ = set_child_subreaper(Some(rustix::process::getpid()));
            Self { others: children(), ends: signal(SignalKind::child()).ok() }
        }

        /// Waits until a child of this process has ended. Safe to drop and call again.
        pub(in super::super) async fn child_ended(&mut self) {
            match &mut self.ends {
                Some(ends) => drop(ends.recv().await),
                None => std::future::pending().await,
            }
        }

        /// Takes note of the orphans that have ended, which the kernel would keep otherwise; not of `command`.
        pub(in super::super) fn reap(&self, command: Pid) {
            for child in self.own().into_iter().filter(|child| *child != command) {
                let _ = waitpid(Some(child), WaitOptions::NOHANG);
            }
        }

        /// The children of this process that the command is, or has left.
        fn own(&self) -> Vec<Pid> {
            let mut children = children();
            children.retain(|child| !self.others.contains(child));
            children
        }

        /// Kills all of them but `command`, which its owner waits for. Each generation becomes children of this process when the one
        /// above it has ended.
        pub(in super::super) async fn kill(&self, command: Pid) {
            let none_left = async || {
                let left = self.own();
                for child in &left {
                    let _ = kill_process(*child, Number::KILL);
                }
                self.reap(command);
                left.iter().all(|child| *child == command && has_ended(command)).then_some(())
            };
            // One that the kernel cannot end, as in a system call that hangs, cannot be waited for.
            let _ = crate::wait::until(LIMIT, none_left).await;
        }
    }

    /// Has the kernel kill the calling process, a child of `parent`, when that ends.
    pub(in super::super) fn end_with(parent: Pid) {
        let _ = set_parent_process_death_signal(Some(Number::KILL));
        // It may have ended before.
        if getppid() != Some(parent) {
            let _ = kill_process(rustix::process::getpid(), Number::KILL);
        }
    }

    /// The children of all threads of this process; none where the kernel does not list them.
    fn children() -> Vec<Pid> {
        let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        let pids = |list: String| {
            let pids = list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
            pids.collect::<Vec<_>>()
        };
        lists.flat_map(pids).collect()
    }

    /// Whether the child is a zombie, whose own children have been given away.
    fn has_ended(child: Pid) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero()));
        stat.map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use super::Pid;

    /// The processes that the command is going to start, of which nothing is known here.
    #[derive(Debug)]
    pub(in super::super) struct Family;

    impl Family {
        pub(in super::super) fn gather() -> Self {
            Self
        }

        pub(in super::super) async fn child_ended(&mut self) {
            std::future::pending().await
        }

        pub(in super::super) fn reap(&self, _command: Pid) {}

        pub(in super::super) async fn kill(&self, _command: Pid) {}
    }

    pub(in super::super) fn end_with(_parent: Pid) {}
}
