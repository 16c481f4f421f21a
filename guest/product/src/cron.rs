//! The cron service: decides when, and lets the backend do the work.

use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::http::{Method, StatusCode};
use guest::{
    control::{Order, Progress, Socket, not_taken},
    http_client::{HttpClient, Parts},
    service::{self, Event, Events},
};
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tracing::{info, warn};

use crate::settings::{CurrentSettings, Settings, has_reloaded};

/// How long a task may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A periodic task of the backend.
pub(crate) struct Task {
    /// Its name in the database and on the status page.
    pub(crate) name: &'static str,
    path: &'static str,
}

/// Keeps the tables of sessions and tokens small.
pub(crate) const DELETE_EXPIRED_SESSIONS: Task =
    Task { name: "delete-expired-sessions", path: "/api/v1/internal/cron/delete-expired-sessions" };

/// All of them, in the order in which a round runs them.
const TASKS: [Task; 1] = [DELETE_EXPIRED_SESSIONS];

/// From the start of one round to the start of the next. A round right at the start makes the status page correct at once.
pub(crate) const INTERVAL: Duration = Duration::from_mins(1);

/// To the next round when one failed: the backend or its database is probably just starting.
const RETRY: Duration = Duration::from_secs(5);

/// To the round after a reload, which verifies the new settings and makes the status page correct again. The first requests to a machine
/// that was just resumed go before it, and so do the starts of other machines at the same time: under software emulation the round
/// takes as long on a processor as half of a start.
const AFTER_RELOAD: Duration = Duration::from_secs(2);

/// Runs the cron service until it is stopped.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    let control = Socket::bind()?;
    let settings = CurrentSettings::load()?;
    service::run(rounds(settings, control))?
}

async fn rounds(settings: CurrentSettings, control: Socket) -> anyhow::Result<()> {
    let mut events = Events::new(control)?;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // At most one; in a task, so that orders do not wait for it.
    let mut running = JoinSet::new();
    service::ready();
    loop {
        tokio::select! {
            event = events.next() => {
                if matches!(event, Event::Stop) {
                    return Ok(());
                }
                // A round with the old secret verifies nothing, and one in a machine that is captured holds a connection.
                running.shutdown().await;
                ticks.reset_after(AFTER_RELOAD);
                if let Event::Call(call) = event {
                    let result = match call.order {
                        Order::Reload => settings.reload().map(|()| Progress::Done).map_err(Into::into),
                        Order::Drain => {
                            ticks.reset();
                            Ok(Progress::Done)
                        }
                        order => Err(not_taken(order)),
                    };
                    call.answer(result).await;
                } else {
                    service::announce_reload(async || has_reloaded(settings.reload())).await;
                }
            },
            _ = ticks.tick(), if running.is_empty() => {
                let settings = settings.get();
                running.spawn(async move { round(&settings).await });
            }
            Some(result) = running.join_next() => if !result.unwrap_or(false) {
                ticks.reset_after(RETRY);
            },
        }
    }
}

/// Runs every task, and returns whether all of them succeeded.
async fn round(settings: &Settings) -> bool {
    let mut succeeded = true;
    for task in TASKS {
        match call(settings, &task).await {
            Ok(answer) => info!(task = task.name, "{answer}"),
            Err(error) => {
                warn!(task = task.name, "{error:#}");
                succeeded = false;
            }
        }
    }
    succeeded
}

async fn call(settings: &Settings, task: &Task) -> anyhow::Result<String> {
    let secret = settings.cron_secret.as_ref().context("`CRON_SECRET` is not set")?;
    let backend = HttpClient::new(settings.local_backend(), DEADLINE);
    let parts = Parts::new().header("authorization", format!("Bearer {}", secret.reveal()));
    let answer = backend.send(Method::POST, task.path, parts).await?;
    if answer.status != StatusCode::OK {
        bail!("the backend answered {}: {}", answer.status, answer.text());
    }
    Ok(answer.text())
}
