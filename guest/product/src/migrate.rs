//! Brings the schema up to date: the files of `guest/migrations`, in order, each once.

use guest::service;
use refinery::embed_migrations;
use service_kit::migrate;

use crate::settings::CurrentSettings;

embed_migrations!("migrations");

/// Migrates the schema, and logs what it did.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    let settings = CurrentSettings::load()?;
    service::run(async {
        let mut client = migrate::connect(&settings.get().database_url).await?;
        migrate::migrate(&mut client, migrations::runner()).await
    })?
}
