//! Prepares the machine for a capture: every copy of it starts where this ends.

use std::time::Duration;

use anyhow::Context as _;
use base::process::Cmd;
use tracing::warn;

use super::{
    lock, memory,
    orders::Orders,
    steps::{Failure, Steps},
    sync,
};
use crate::{control::Secrets, ready};

/// How long the rest of the boot may take once the services answer. What it has not done by then, every copy does.
const BOOT_LIMIT: Duration = Duration::from_mins(1);

/// Waits until the services answer and the boot has come to its end: what it has not done by then, every copy would do.
pub(super) async fn ready(orders: &Orders, steps: &mut Steps) -> Result<(), Failure> {
    steps.run("answering", ready::services_answer(orders.services())).await?;
    steps.run("boot", boot_ends()).await?;
    steps.run("udev", rest_udev()).await
}

/// Does everything else that a capture needs.
pub(super) async fn prepare(orders: &Orders, steps: &mut Steps) -> Result<(), Failure> {
    steps.run("warm-up", warm_up(orders)).await?;
    steps.run("drain", orders.drain()).await?;
    let before = steps.run("caches", async { memory::drop_page_cache() }).await?;
    steps.run("memory", async { memory::zero_free_memory(before) }).await?;
    // What the first requests of a copy read from the disk is in memory again after this, and nothing else.
    steps.run("rehearsal", rehearse(orders)).await?;
    // After the last write to a database: what is not on the disk by now, every copy would write there.
    steps.run("checkpoint", orders.flush()).await?;
    steps.run("sync", async { sync() }).await
}

/// Has everything called once that is called for the first time in a copy otherwise.
async fn warm_up(orders: &Orders) -> anyhow::Result<()> {
    orders.warm_up().await?;
    ready::call_warm_ups(orders.services()).await
}

/// Waits until systemd has started everything. The exit status, which is not 0 when a unit has failed, is ignored:
/// a capture does not judge units.
async fn boot_ends() -> anyhow::Result<()> {
    let cmd = Cmd::new("systemctl").args(["is-system-running", "--wait"]);
    match tokio::time::timeout(BOOT_LIMIT, cmd.finished()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => warn!("cannot ask systemd: {error}"),
        Err(_) => warn!("the boot has not ended within {} s", BOOT_LIMIT.as_secs()),
    }
    Ok(())
}

/// Stops udev, whose workers would end in every copy, some seconds after their last work. Its sockets start it again
/// when the kernel reports an event.
async fn rest_udev() -> anyhow::Result<()> {
    if let Err(error) = Cmd::new("systemctl").args(["stop", "systemd-udevd.service"]).output().await {
        warn!("cannot stop udev: {error}");
    }
    Ok(())
}

/// Does once more what the host and the first user will request.
async fn rehearse(orders: &Orders) -> anyhow::Result<()> {
    lock::everything().context("cannot load all of the agent into memory")?;
    ready::services_answer(orders.services()).await?;
    orders.begin_rehearsal();
    orders.renew(&Secrets::new()).await?;
    orders.drain().await
}
