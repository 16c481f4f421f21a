//! The process that serves all services of a stack, until it is stopped.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use guest::{
    control::{Call, Order, Progress, Secrets, Socket, not_taken},
    http_server::{self, Limits},
    report,
    service::{self, Event, Events},
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tracing::{error, warn};

use crate::Part;

/// How long requests may last after SIGTERM. Well below systemd's own limit, so that the process ends by itself.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Serves the parts that `open` creates. What the crates in `quiet` log is left out.
///
/// # Errors
/// When a part cannot be created, a port or the control socket cannot be listened on, or a server dies.
pub fn serve(
    quiet: &[&'static str],
    open: impl FnOnce() -> anyhow::Result<Vec<Arc<dyn Part>>>,
) -> anyhow::Result<()> {
    service::start_logging_without(quiet);
    // Before the settings are read: who finds no socket knows that they have yet to be.
    let control = Socket::bind()?;
    let parts = open()?;
    service::run(run(parts, control))?
}

async fn run(parts: Vec<Arc<dyn Part>>, control: Socket) -> anyhow::Result<()> {
    let listeners: Vec<TcpListener> =
        parts.iter().map(|part| service::bind(part.port())).collect::<Result<_, _>>()?;
    let mut others = Vec::new();
    for other in parts.iter().flat_map(|part| part.others()) {
        others.push((service::bind(other.port)?, other.serve));
    }
    let mut events = Events::new(control)?;
    let (stop, stopped) = watch::channel(false);
    let mut servers = JoinSet::new();
    for (part, listener) in parts.iter().zip(listeners) {
        servers.spawn(http_server::run(listener, part.answers(), Limits::default(), stopped.clone()));
    }
    for (listener, serve) in others {
        servers.spawn(serve(listener, stopped.clone()));
    }
    for part in parts.clone() {
        tokio::spawn(async move { part.started().await });
    }
    service::ready();
    loop {
        tokio::select! {
            Some(result) = servers.join_next() => return result.context("a server's task died"),
            event = events.next() => match event {
                Event::Hangup => service::announce_reload(async || reload(&parts)).await,
                Event::Call(call) => carry_out(call, &parts),
                Event::Stop => break,
            },
        }
    }
    stop.send_replace(true);
    if tokio::time::timeout(DRAIN_DEADLINE, servers.join_all()).await.is_err() {
        warn!("stopped with requests still running after {} s", DRAIN_DEADLINE.as_secs());
    }
    Ok(())
}

/// Reads all settings again. Reports in the journal why the old ones of a part stay if they do.
fn reload(parts: &[Arc<dyn Part>]) -> bool {
    let mut is_done = true;
    for part in parts {
        if let Err(error) = part.reload() {
            error!("the old settings of {} stay: {}", part.name(), report(&*error));
            is_done = false;
        }
    }
    is_done
}

/// Carries out an order without holding up the next one.
fn carry_out(call: Call, parts: &[Arc<dyn Part>]) {
    let parts = parts.to_vec();
    tokio::spawn(async move {
        let result = obey(call.order, &call.secrets, &parts).await;
        call.answer(result).await;
    });
}

async fn obey(order: Order, _: &Secrets, parts: &[Arc<dyn Part>]) -> anyhow::Result<Progress> {
    match order {
        Order::Reload if reload(parts) => {}
        Order::Reload => anyhow::bail!("the settings cannot be read; the journal has the reason"),
        Order::Drain => parts.iter().for_each(|part| part.drain()),
        Order::Rehearse => {
            for part in parts.iter().map(Arc::clone) {
                // The host's own request reports what is wrong.
                tokio::spawn(async move { drop(part.check().await) });
            }
        }
        Order::WarmUp => {
            for part in parts {
                part.self_test().await.with_context(|| format!("{} does not work", part.name()))?;
            }
        }
        Order::Renew | Order::Flush | Order::Settle => return Err(not_taken(order)),
    }
    Ok(Progress::Done)
}
