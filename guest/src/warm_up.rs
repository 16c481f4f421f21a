//! Calls every endpoint once, so that code is in memory, connections are made and caches are warm. Like every visitor it finds
//! broken what is broken, and fails then.

use crate::{
    checks::{Outcome, Services, api, dashboard},
    service,
};

/// Warms up.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    let outcomes = [Outcome::default(), Outcome::default()];
    service::run(async { call_everything(&Services::find().await?, outcomes).await.conclude() })?
}

/// Calls everything, the API beside the dashboard: there are two processors, and most of the time goes into passwords.
pub(crate) async fn call_everything(services: &Services, [mut outcome, mut pages]: [Outcome; 2]) -> Outcome {
    tokio::join!(api::every_endpoint(services, &mut outcome), dashboard::every_page(services, &mut pages));
    outcome.add(pages);
    // It shows when the periodic tasks have run last, which is among the endpoints.
    dashboard::status_page(services, &mut outcome).await;
    outcome
}
