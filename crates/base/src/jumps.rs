//! Jumps of the host's clock: it was set, or the host has slept.

#[cfg(not(target_os = "linux"))]
pub use polled::Jumps;
#[cfg(target_os = "linux")]
pub use timer::Jumps;

#[cfg(target_os = "linux")]
mod timer {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    /// A time that never comes, which the kernel takes.
    const NEVER: Timespec = Timespec { tv_sec: i64::MAX / 4_000_000_000, tv_nsec: 0 };

    /// Waits for jumps. The kernel tells: a timer at a wall-clock time is cancelled when that clock is set, which it also is when the
    /// machine wakes up (`timerfd_create(2)`, `TFD_TIMER_CANCEL_ON_SET`).
    #[derive(Debug)]
    pub struct Jumps(Option<AsyncFd<OwnedFd>>);

    impl Jumps {
        /// From now on. Where the kernel has no such timer, no jump is seen.
        pub fn from_now() -> Self {
            Self(armed().ok())
        }

        /// The next one. Safe to drop and call again.
        pub async fn next(&mut self) {
            let Some(timer) = &self.0 else { return std::future::pending().await };
            loop {
                let Ok(mut ready) = timer.readable().await else { return std::future::pending().await };
                let read = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0; 8])?));
                match read {
                    Ok(Err(error)) if error.raw_os_error() == Some(Errno::CANCELED.raw_os_error()) => return,
                    _ => {}
                }
            }
        }
    }

    fn armed() -> io::Result<AsyncFd<OwnedFd>> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
        let never = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: NEVER };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&timer, flags, &never)?;
        crate::readiness::readable(timer)
    }
}

#[cfg(not(target_os = "linux"))]
mod polled {
    use std::time::{Duration, Instant, SystemTime};

    /// Pause between two looks.
    const PACE: Duration = Duration::from_secs(5);

    /// A larger difference than drift makes.
    const JUMP: Duration = Duration::from_millis(500);

    /// Waits for jumps: the wall clock is compared with one that cannot be set and that stands still while the host sleeps.
    #[derive(Debug)]
    pub struct Jumps {
        wall: SystemTime,
        steady: Instant,
    }

    impl Jumps {
        /// From now on.
        pub fn from_now() -> Self {
            Self { wall: SystemTime::now(), steady: Instant::now() }
        }

        /// The next one. Safe to drop and call again.
        pub async fn next(&mut self) {
            loop {
                tokio::time::sleep(PACE).await;
                let expected = self.wall + self.steady.elapsed();
                let now = SystemTime::now();
                let off = now.duration_since(expected).unwrap_or_else(|error| error.duration());
                if off > JUMP {
                    *self = Self::from_now();
                    return;
                }
            }
        }
    }
}
