//! The cron service: says when, and lets the backend do the work.

use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::http::{Method, StatusCode};
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use crate::{
    http_client::{HttpClient, Parts},
    service::{self, Event, Signals},
    settings::{CurrentSettings, Settings},
    store::report,
};

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

/// From the start of one round to the start of the next. A round right at the start makes the status page true at once.
pub(crate) const INTERVAL: Duration = Duration::from_mins(1);

/// To the next round when one failed: the backend or its database is probably just starting.
const RETRY: Duration = Duration::from_secs(5);

/// Runs the cron service until it is told to stop.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    let settings = CurrentSettings::load()?;
    service::run(rounds(settings))?
}

async fn rounds(settings: CurrentSettings) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    service::ready();
    loop {
        tokio::select! {
            event = signals.next() => match event {
                // A round with the new settings at once proves them, and makes the status page true again after a resume.
                Event::Reload => {
                    service::announce_reload(&mut || reload(&settings));
                    ticks.reset_immediately();
                }
                Event::Stop => return Ok(()),
            },
            _ = ticks.tick() => if !round(&settings.get()).await {
                ticks.reset_after(RETRY);
            },
        }
    }
}

fn reload(settings: &CurrentSettings) {
    if let Err(error) = settings.reload() {
        error!("the old settings stay: {}", report(&error));
    }
}

/// Runs every task, and answers whether all of them succeeded.
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
