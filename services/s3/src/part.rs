//! The service as a part of the process for all services.

use std::{collections::HashSet, sync::Arc, time::SystemTime};

use anyhow::Context as _;
use async_trait::async_trait;
use base::wait::Backoff;
use guest::{http_server, report};
use refinery::embed_migrations;
use service_kit::{Part, variables::Variables};
use tracing::{info, warn};

use crate::{api::Api, blobs::Blobs, front, settings::Settings, store};

embed_migrations!("migrations");

/// Its name.
pub const NAME: &str = "s3";

/// The schema of the service, so that nothing of it is in a database whose stack has no S3.
const SCHEMA: &str = "s3";

struct Service(Arc<Api>);

/// Creates the service. It opens no connection until a request needs one.
///
/// # Errors
/// When the settings are not valid, or the directory of the files cannot be created.
pub fn open(variables: &Variables) -> anyhow::Result<Arc<dyn Part>> {
    let settings = Settings::from_variables(variables)?;
    let blobs = Blobs::open(&settings.directory)
        .with_context(|| format!("cannot create the directory `{}`", settings.directory.display()))?;
    Ok(Arc::new(Service(Arc::new(Api::new(settings, blobs)?))))
}

/// Brings the schema of the service up to date.
///
/// # Errors
/// When PostgreSQL cannot be reached or refuses.
pub async fn migrate(variables: &Variables) -> anyhow::Result<()> {
    let settings = Settings::from_variables(variables)?;
    service_kit::migrate::migrate_schema(&settings.database_url, SCHEMA, migrations::runner()).await
}

#[async_trait]
impl Part for Service {
    fn name(&self) -> &'static str {
        NAME
    }

    fn port(&self) -> u16 {
        self.0.settings().port
    }

    fn answers(&self) -> http_server::Service {
        front::answers(&self.0)
    }

    async fn started(&self) {
        sweep(&self.0, SystemTime::now()).await;
    }

    fn reload(&self) -> anyhow::Result<()> {
        self.0.set(Settings::from_variables(&Variables::read()?)?);
        self.drain();
        Ok(())
    }

    fn drain(&self) {
        self.0.database.drain();
        self.0.rules.forget();
    }

    async fn check(&self) -> anyhow::Result<()> {
        check(&self.0).await
    }

    async fn self_test(&self) -> anyhow::Result<()> {
        crate::self_test::run(&self.0).await
    }
}

/// Verifies that the schema is there and that files can be written.
pub(crate) async fn check(api: &Api) -> anyhow::Result<()> {
    api.probe.query_one("SELECT EXISTS (SELECT FROM s3.bucket)", &[]).await?;
    api.blobs.check().context("the disk cannot be written")
}

/// Removes the files from before `start` that a crash has left without a row. Without files there is nothing to ask the database.
pub(crate) async fn sweep(api: &Api, start: SystemTime) {
    let found = match api.blobs.older_than(start).await {
        Ok(found) if found.is_empty() => return,
        Ok(found) => found,
        Err(error) => return warn!("the files cannot be listed: {error}"),
    };
    let mut backoff = Backoff::default();
    let named: HashSet<_> = loop {
        match store::named_files(&api.database).await {
            Ok(named) => break named.into_iter().collect(),
            Err(error) if error.is_unavailable() => backoff.pause().await,
            Err(error) => return warn!("the files are not swept: {}", report(&error)),
        }
    };
    let count = api.blobs.sweep(found, &named);
    if count > 0 {
        info!("removed {count} files that nothing names");
    }
}
