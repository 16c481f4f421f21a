//! Calls every endpoint once, so that code is in memory, connections are made and caches are warm. Like every visitor it finds
//! broken what is broken, and fails then.

use crate::{
    checks::{Outcome, Services, api, dashboard},
    service,
};

/// Warms up.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    service::run(async {
        let services = Services::find().await?;
        let mut outcome = Outcome::default();
        api::every_endpoint(&services, &mut outcome).await;
        dashboard::every_page(&services, &mut outcome).await;
        outcome.conclude()
    })?
}
