//! The service as a part of the process for all services.

use std::sync::Arc;

use async_trait::async_trait;
use guest::{http_server, report};
use refinery::embed_migrations;
use service_kit::{Other, Part, Serving, database::Database, variables::Variables};
use tracing::warn;

use crate::{front, inbox::Inbox, settings::Settings, smtp};

embed_migrations!("migrations");

/// Its name.
pub const NAME: &str = "mail";

/// The schema of the service, so that nothing of it is in a database whose stack has no mail.
const SCHEMA: &str = "mail";

struct Service(Arc<Inbox>);

/// Creates the service. It opens no connection until a request needs one.
///
/// # Errors
/// When the settings are not valid.
pub fn open(variables: &Variables) -> anyhow::Result<Arc<dyn Part>> {
    let settings = Settings::from_variables(variables)?;
    let database = Database::new(&settings.database_url)?;
    Ok(Arc::new(Service(Arc::new(Inbox::new(settings, database)))))
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

    fn others(&self) -> Vec<Other> {
        let inbox = Arc::clone(&self.0);
        vec![Other {
            port: self.0.settings().smtp_port,
            serve: Box::new(|listener, stop| -> Serving { Box::pin(smtp::serve(listener, inbox, stop)) }),
        }]
    }

    async fn started(&self) {
        // The limits may be others than before.
        match self.0.prune().await {
            Err(error) if !error.is_unavailable() => {
                warn!("old messages are not removed: {}", report(&error));
            }
            _ => {}
        }
    }

    fn reload(&self) -> anyhow::Result<()> {
        self.0.set(Settings::from_variables(&Variables::read()?)?);
        self.drain();
        Ok(())
    }

    fn drain(&self) {
        self.0.database.drain();
    }

    async fn check(&self) -> anyhow::Result<()> {
        check(&self.0).await
    }

    async fn self_test(&self) -> anyhow::Result<()> {
        crate::self_test::run(&self.0).await
    }
}

/// Verifies that messages can be looked up.
pub(crate) async fn check(inbox: &Inbox) -> anyhow::Result<()> {
    inbox.database.query_one("SELECT EXISTS (SELECT FROM mail.message)", &[]).await?;
    Ok(())
}
