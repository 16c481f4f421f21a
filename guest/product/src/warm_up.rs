//! Calls every endpoint once, so that code is in memory, connections are open and caches are warm. It fails when a
//! service does not work.

use guest::service;

use crate::checks::{Outcome, Services, api, dashboard};

/// Warms up.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    let outcomes = [Outcome::default(), Outcome::default()];
    service::run(async { call_everything(&Services::find().await?, outcomes).await.conclude() })?
}

/// Warms up within a service; only failures are logged.
pub(crate) async fn quietly() -> anyhow::Result<()> {
    let outcomes = [Outcome::quiet(), Outcome::quiet()];
    call_everything(&Services::find().await?, outcomes).await.conclude()
}

/// Calls everything, the API beside the dashboard: there are two processors, and most of the time goes into passwords.
async fn call_everything(services: &Services, [mut outcome, mut pages]: [Outcome; 2]) -> Outcome {
    tokio::join!(api::every_endpoint(services, &mut outcome), dashboard::every_page(services, &mut pages));
    outcome.add(pages);
    // It shows when the periodic tasks have run last, which is among the endpoints.
    dashboard::status_page(services, &mut outcome).await;
    outcome
}
