//! Brings a schema up to date: SQL files, in order, each once.

use anyhow::Context as _;
use guest::report;
use refinery::Runner;
use tokio_postgres::{Client, NoTls};
use tracing::{info, warn};

/// The advisory lock under which migrations run, so that two runs at once take turns. The number is the ASCII of `stack`.
const LOCK: i64 = 0x73_74_61_63_6b;

/// Opens a connection outside of a pool: migrations have no time limit, and the lock ends with the connection.
///
/// # Errors
/// When PostgreSQL cannot be reached.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("PostgreSQL cannot be reached")?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            warn!("the connection to PostgreSQL broke: {}", report(&error));
        }
    });
    Ok(client)
}

/// Applies what is missing of `migrations`, and logs what it did.
///
/// # Errors
/// When one of them fails. It leaves no trace, and those before it stay.
pub async fn migrate(client: &mut Client, migrations: Runner) -> anyhow::Result<()> {
    client
        .execute("SELECT pg_advisory_lock($1)", &[&LOCK])
        .await
        .context("the lock of the migrations cannot be taken")?;
    // Each in a transaction of its own and not all in one: so the error names the file that failed.
    let report = migrations
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

/// Applies what is missing of `migrations` inside of a schema of its own, which is created first.
///
/// # Errors
/// When PostgreSQL refuses, or a migration fails.
pub async fn migrate_schema(url: &str, schema: &str, migrations: Runner) -> anyhow::Result<()> {
    let mut client = connect(url).await?;
    client
        .batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {schema}; SET search_path = {schema}"))
        .await
        .with_context(|| format!("the schema `{schema}` cannot be created"))?;
    migrate(&mut client, migrations).await
}
