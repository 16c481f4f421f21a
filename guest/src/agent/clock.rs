//! The machine's clock.
//!
//! A resumed machine's clock shows the time of the snapshot, and is set once. While the machine runs, it follows the host's: forward
//! at once, and backward only if the host's clock was set back. Small backward corrections are ignored, because data
//! is ordered by this clock, and the next correction is smaller.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rustix::time::{ClockId, Timespec, clock_settime};
use tracing::info;

/// Smaller differences are not worth a system call: the message itself has taken as long.
const NEGLIGIBLE: Duration = Duration::from_millis(1);

/// If the host's clock is behind by less, it has not been set back: the guest's clock has run fast.
const SET_BACK: Duration = Duration::from_millis(500);

/// Reads the clock, in nanoseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Sets the clock to `time`, in nanoseconds since 1970.
pub(super) fn step(time: u64) -> anyhow::Result<()> {
    let time = Duration::from_nanos(time);
    let timespec =
        Timespec { tv_sec: i64::try_from(time.as_secs())?, tv_nsec: i64::from(time.subsec_nanos()) };
    clock_settime(ClockId::Realtime, timespec).context("cannot set the clock")
}

/// Sets the clock to `time` if the difference requires it.
pub(super) fn follow(time: u64) -> anyhow::Result<()> {
    let guest = now();
    if !needs_step(guest, time) {
        return Ok(());
    }
    let difference = Duration::from_nanos(guest.abs_diff(time));
    if difference >= SET_BACK {
        let direction = if time > guest { "forward" } else { "back" };
        info!("set the clock {direction} by {:.1} s", difference.as_secs_f64());
    }
    step(time)
}

fn needs_step(guest: u64, host: u64) -> bool {
    let difference = Duration::from_nanos(guest.abs_diff(host));
    if host > guest { difference >= NEGLIGIBLE } else { difference >= SET_BACK }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_follows_forward_and_is_only_set_back_when_the_hosts_was() {
        let millis = |millis: u64| 1_764_000_000_000_000_000 + millis * 1_000_000;
        assert!(needs_step(millis(0), millis(1)));
        assert!(needs_step(millis(0), millis(86_400_000)));
        assert!(needs_step(millis(500), millis(0)));
        assert!(!needs_step(millis(0), millis(0) + 999_999));
        assert!(!needs_step(millis(499), millis(0)));
    }
}
