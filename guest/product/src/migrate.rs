//! Brings the schema up to date: the files of `guest/migrations`, in order, each once.

use anyhow::Context as _;
use guest::{report, service};
use refinery::embed_migrations;
use tokio_postgres::{Client, NoTls};
use tracing::{info, warn};

use crate::settings::CurrentSettings;

embed_migrations!("migrations");

/// The advisory lock under which migrations run, so that two runs at once take turns. The number is the ASCII of `stack`.
const LOCK: i64 = 0x73_74_61_63_6b;

/// Migrates the schema, and logs what it did.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    let settings = CurrentSettings::load()?;
    service::run(async {
        let mut client = connect(&settings.get().database_url).await?;
        migrate(&mut client).await
    })?
}

/// Opens a connection outside the pool: migrations have no time limit, and the lock ends with the connection.
async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("PostgreSQL cannot be reached")?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            warn!("the connection to PostgreSQL broke: {}", report(&error));
        }
    });
    Ok(client)
}

async fn migrate(client: &mut Client) -> anyhow::Result<()> {
    client
        .execute("SELECT pg_advisory_lock($1)", &[&LOCK])
        .await
        .context("the lock of the migrations cannot be taken")?;
    // Each in a transaction of its own and not all in one: so the error names the file that failed, which leaves no trace.
    let report = migrations::runner()
        .set_grouped(false)
        .run_async(client)
        .await
        .context("the database's schema cannot be brought up to date")?;
    for migration in report.applied_migrations() {
        info!("applied {migration}");
    }
    if report.applied_migrations().is_empty() {
        info!("the schema is up to date");
    }
    Ok(())
}
