//! `stackd ready`: waits until the services answer as the host will ask them.
//!
//! systemd knows when a service listens, which is not yet when it works: the first connection to a database that has just started
//! takes as long again. What starts after this leaves the processor to the services until then.

use std::time::Duration;

use anyhow::Context;
use axum::http::Method;

use crate::http_client::{HttpClient, Parts};
use crate::service;
use crate::settings::{CurrentSettings, Settings};

/// How long a single answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How long the services may take in all. The recovery of a database after a crash is long over by then.
const LIMIT: Duration = Duration::from_mins(5);

/// What the host asks the dashboard.
const DASHBOARD: &str = "/handler/sign-in";

/// Waits for backend and dashboard.
pub(crate) fn run() -> anyhow::Result<()> {
    let settings = CurrentSettings::load()?.get();
    service::run(services_answer(&settings))?
}

/// Waits until both have answered with success.
pub(crate) async fn services_answer(settings: &Settings) -> anyhow::Result<()> {
    tokio::try_join!(
        answers(settings.local_backend(), "/health?db=1"),
        answers(settings.local_dashboard(), DASHBOARD),
    )?;
    Ok(())
}

async fn answers(base: String, path: &str) -> anyhow::Result<()> {
    let what = format!("{base}{path}");
    let client = HttpClient::new(base, ANSWER_LIMIT);
    let probe = async || {
        let answer = client.send(Method::GET, path, Parts::new()).await;
        answer.is_ok_and(|answer| answer.status.is_success()).then_some(())
    };
    base::wait::until(LIMIT, probe).await.with_context(|| format!("`{what}` does not answer with success"))
}
