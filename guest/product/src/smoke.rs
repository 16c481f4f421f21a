//! The smoke test from inside the machine: what should work works, and what must be refused is refused.

use guest::service;

use crate::checks::{Outcome, Services, api, dashboard};

/// Checks everything, and fails with the names of the checks that failed.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    service::run(async {
        let services = Services::find().await?;
        let mut outcome = Outcome::default();
        api::every_endpoint(&services, &mut outcome).await;
        api::refusals(&services, &mut outcome).await;
        // The refused sign-in comes before the one that succeeds, which forgets the failed attempt.
        dashboard::refusals(&services, &mut outcome).await;
        dashboard::every_page(&services, &mut outcome).await;
        dashboard::status_page(&services, &mut outcome).await;
        outcome.conclude()
    })?
}
