//! Makes the machine worth capturing: every copy of it starts where this ends.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use base::{process::Cmd, wait};
use tracing::warn;

use super::{
    keys::Keys,
    lock, memory,
    services::{self, Rehearsal},
    steps::{Failure, Steps},
    sync,
};
use crate::{
    checks::{Outcome, Services},
    control::Order,
    ready,
    settings::CurrentSettings,
    warm_up,
};

/// How long the rest of the boot may take once the services answer. What it has not done by then, every copy does.
const BOOT_LIMIT: Duration = Duration::from_mins(1);

/// How long connections may take to end, and PostgreSQL's own workers.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Waits until the services answer and the boot has come to its end: what it has not done by then, every copy would do.
pub(super) async fn ready(steps: &mut Steps) -> Result<(), Failure> {
    steps.run("answering", answering()).await?;
    steps.run("boot", boot_ends()).await?;
    steps.run("udev", rest_udev()).await
}

/// Does all of it.
pub(super) async fn prepare(keys: &Keys, rehearsal: &Rehearsal, steps: &mut Steps) -> Result<(), Failure> {
    steps.run("warm-up", Box::pin(warm_up())).await?;
    steps.run("drain", drain(keys)).await?;
    let before = steps.run("caches", async { memory::drop_page_cache() }).await?;
    steps.run("memory", async { memory::zero_free_memory(before) }).await?;
    // What the first requests of a copy read from the disk is in memory again after this, and nothing else.
    steps.run("rehearsal", rehearse(keys, rehearsal)).await?;
    // After the last write to the database: what is not on the disk by now, every copy would put there.
    steps.run("checkpoint", keys.checkpoint()).await?;
    steps.run("sync", async { sync() }).await
}

async fn answering() -> anyhow::Result<()> {
    ready::services_answer(&CurrentSettings::load()?.get()).await
}

/// Calls everything once.
async fn warm_up() -> anyhow::Result<()> {
    let outcomes = [Outcome::quiet(), Outcome::quiet()];
    warm_up::call_everything(&Services::find().await?, outcomes).await.conclude()
}

/// Waits until systemd has started all that it wants to. It says so by its exit status, which is not 0 when a unit has failed:
/// that is not for a capture to judge.
async fn boot_ends() -> anyhow::Result<()> {
    let cmd = Cmd::new("systemctl").args(["is-system-running", "--wait"]);
    match tokio::time::timeout(BOOT_LIMIT, cmd.finished()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => warn!("cannot ask systemd: {error}"),
        Err(_) => warn!("the boot has not ended within {} s", BOOT_LIMIT.as_secs()),
    }
    Ok(())
}

/// Stops udev, whose workers would end in every copy, some seconds after they had their last work. Its sockets start it again
/// when the kernel has something to tell.
async fn rest_udev() -> anyhow::Result<()> {
    if let Err(error) = Cmd::new("systemctl").args(["stop", "systemd-udevd.service"]).output().await {
        warn!("cannot stop udev: {error}");
    }
    Ok(())
}

/// Empties the services' pools and waits until nobody but this agent is at work in PostgreSQL.
async fn drain(keys: &Keys) -> anyhow::Result<()> {
    let drained = async || -> anyhow::Result<bool> {
        // Every time: a connection that somebody was just making goes into the pool after it was emptied.
        services::tell_all(Path::new(services::RUN), Order::Drain).await?;
        keys.is_alone().await
    };
    wait::until(DRAIN_LIMIT, async || match drained().await {
        Ok(true) => Some(Ok(())),
        Ok(false) => None,
        Err(error) => Some(Err(error)),
    })
    .await
    .context("PostgreSQL does not come to rest")?
}

/// What the host and the first user will ask, once more.
async fn rehearse(keys: &Keys, rehearsal: &Rehearsal) -> anyhow::Result<()> {
    lock::everything().context("cannot bring all of the agent into memory")?;
    answering().await?;
    rehearsal.begin(Path::new(services::RUN));
    keys.rehearse().await?;
    drain(keys).await
}
