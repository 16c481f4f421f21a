//! The attendant: the one process of the host that stays beside a running machine, and ends with it.

use std::time::Duration;

use base::events::Silent;
use base::files::{FileLock, present};
use base::jumps::Jumps;

use crate::instance::error::InstanceError;
use crate::instance::live::Live;
use crate::instance::state::State;
use crate::instance::{Instance, remove_dir};

mod guest;
mod logs;

/// How often the machine is looked after, besides after each jump of the host's clock: an emulated clock drifts.
const PACE: Duration = Duration::from_mins(1);

/// Attends the machine of `instance` until it ends. Returns at once when no machine runs, or another process attends it already.
///
/// # Errors
/// When the instance cannot be inspected, or what its machine no longer needs cannot be removed.
pub async fn attend(instance: &Instance) -> Result<(), InstanceError> {
    let dir = instance.dir();
    if !present(dir.root())? {
        return Ok(());
    }
    let Some(_lock) = FileLock::try_acquire(&dir.watch_lock())? else { return Ok(()) };
    loop {
        let State::Running(live) = instance.state()? else { return Ok(()) };
        let Some(process) = live.machine.process else { return Ok(()) };
        // The saved state that it was resumed from is of no use any more.
        remove_dir(&dir.spent())?;
        // At any moment: the next machine gets its attendant only when this one has ended.
        tokio::select! {
            ended = process.ended() => return Ok(ended?),
            () = look_after(instance, &live) => {}
            ended = runs_ended(instance, &live) => ended?,
        }
        // A run that begins meanwhile, or a `start`, keeps it.
        instance.end_killed_runs(&Silent).await?;
    }
}

/// Whether a process attends the machine of `instance`.
///
/// # Errors
/// When that cannot be determined.
pub fn is_there(instance: &Instance) -> Result<bool, InstanceError> {
    Ok(FileLock::try_acquire(&instance.dir().watch_lock())?.is_none())
}

/// Waits until no run uses a machine that is there for runs only. Never ends for others.
async fn runs_ended(instance: &Instance, live: &Live) -> Result<(), InstanceError> {
    let for_runs = live.run.until_runs_end == Some(true) || present(&instance.dir().fresh())?;
    if for_runs { instance.runs_ended().await } else { std::future::pending().await }
}

async fn look_after(instance: &Instance, live: &Live) {
    let mut jumps = Jumps::from_now();
    // A guest that does not answer is the concern of health.
    let _ = guest::settle(live).await;
    loop {
        // What fails here is done the next time.
        let _ = instance.mend_sockets(live).await;
        let _ = guest::set_clock(live).await;
        logs::shorten(instance.dir());
        tokio::select! {
            () = jumps.next() => {}
            () = tokio::time::sleep(PACE) => {}
        }
    }
}
