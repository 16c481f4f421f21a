//! What processes use of the host: processor time, and memory that is theirs alone.

use std::time::{Duration, Instant};

use super::ProcessIdentity;

/// How long the processors are watched to find out how busy a process is now.
const WINDOW: Duration = Duration::from_millis(15);

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Processor time since it was started.
    pub processor: Duration,
    /// How much of one processor it uses now: 2 where it keeps two busy.
    pub load: f64,
    /// Bytes of memory that would be free without it. What several machines share, such as the memory of a snapshot, is not part of it.
    pub memory: u64,
}

/// Finds out what each of these processes uses. One that has ended, or that the operating system says nothing about, has none.
pub async fn of(processes: &[ProcessIdentity]) -> Vec<Option<Usage>> {
    let begun = Instant::now();
    let before: Vec<_> = processes.iter().map(|process| platform::processor(*process)).collect();
    if before.iter().any(Option::is_some) {
        // Not a wait for something: this is what is measured.
        tokio::time::sleep(WINDOW).await;
    }
    let elapsed = begun.elapsed().as_secs_f64();
    let usage = |(process, before): (&ProcessIdentity, Option<Duration>)| {
        let processor = platform::processor(*process)?;
        let load = processor.saturating_sub(before?).as_secs_f64() / elapsed;
        let memory = platform::memory(*process)?;
        // Not another process, which has got the pid meanwhile.
        process.is_alive().is_ok_and(|alive| alive).then_some(Usage { processor, load, memory })
    };
    processes.iter().zip(before).map(usage).collect()
}

#[cfg(target_os = "linux")]
mod platform {
    //! Clocks of processes, which are exact to the nanosecond, and proc(5).

    use std::time::Duration;

    use nix::time::ClockId;
    use nix::unistd::Pid;
    use procfs::process::Process;

    use super::ProcessIdentity;

    pub(super) fn processor(process: ProcessIdentity) -> Option<Duration> {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(process.pid)).ok()?;
        clock.now().ok().map(Duration::from)
    }

    pub(super) fn memory(process: ProcessIdentity) -> Option<u64> {
        let status = Process::new(process.pid).ok()?.status().ok()?;
        let own = [status.rssanon, status.rssshmem, status.vmswap];
        Some(own.into_iter().flatten().sum::<u64>() << 10)
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    //! What is shared is part of the memory here.

    use std::time::Duration;

    use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

    use super::ProcessIdentity;

    pub(super) fn processor(process: ProcessIdentity) -> Option<Duration> {
        let milliseconds = look(process, |process| process.accumulated_cpu_time())?;
        Some(Duration::from_millis(milliseconds))
    }

    pub(super) fn memory(process: ProcessIdentity) -> Option<u64> {
        look(process, |process| process.memory())
    }

    fn look<T>(process: ProcessIdentity, part: impl FnOnce(&sysinfo::Process) -> T) -> Option<T> {
        let pid = Pid::from_u32(u32::try_from(process.pid).ok()?);
        let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
        let mut system = System::new();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
        system.process(pid).map(part)
    }
}

#[cfg(test)]
mod tests {
    use base::process::Cmd;

    use super::super::Launched;
    use super::*;

    #[tokio::test]
    async fn a_busy_process_differs_from_an_idle_one_and_one_that_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let busy = Cmd::new("sh").args(["-c", "while :; do :; done"]);
        let busy = Launched::start(&busy, &dir.path().join("busy")).unwrap();
        let idle = Launched::start(&Cmd::new("sleep").arg("600"), &dir.path().join("idle")).unwrap();
        let gone = ProcessIdentity { started: idle.identity().started + 1, ..idle.identity() };
        let is_busy = async || {
            let found = of(&[busy.identity(), idle.identity(), gone]).await;
            assert_eq!(found[2], None);
            let [busy, idle] = [found[0].unwrap(), found[1].unwrap()];
            (busy.load > idle.load && busy.processor > idle.processor && idle.memory > 0).then_some(())
        };
        base::wait::until(Duration::from_secs(10), is_busy).await.unwrap();
    }
}
