//! When each task of the cron service ran last, and with what result.

use std::time::Duration;

use time::OffsetDateTime;

use service_kit::database::Database;

use super::StoreError;

/// A task's last run.
#[derive(Debug, Clone)]
pub(crate) struct LastRun {
    pub(crate) at: OffsetDateTime,
    pub(crate) took: Duration,
    /// What it did, in a few words.
    pub(crate) summary: String,
}

/// Records a run that ended just now.
pub(crate) async fn record(
    database: &Database,
    task: &str,
    took: Duration,
    summary: &str,
) -> Result<(), StoreError> {
    database
        .execute(
            r#"INSERT INTO "CronTask" ("name", "runs", "lastRunAt", "lastDurationMillis", "lastSummary")
               VALUES ($1, 1, now(), $2, $3)
               ON CONFLICT ("name") DO UPDATE SET "runs" = "CronTask"."runs" + 1, "lastRunAt" = now(),
                   "lastDurationMillis" = excluded."lastDurationMillis", "lastSummary" = excluded."lastSummary""#,
            &[&task, &(took.as_secs_f64() * 1000.0), &summary],
        )
        .await?;
    Ok(())
}

/// The last run of a task; `None` if it never ran.
pub(crate) async fn last_run(database: &Database, task: &str) -> Result<Option<LastRun>, StoreError> {
    let row = database
        .query_opt(
            r#"SELECT "lastRunAt", "lastDurationMillis", "lastSummary" FROM "CronTask" WHERE "name" = $1"#,
            &[&task],
        )
        .await?;
    row.map(|row| {
        Ok(LastRun {
            at: row.try_get("lastRunAt")?,
            took: Duration::from_secs_f64(row.try_get::<_, f64>("lastDurationMillis")?.max(0.0) / 1000.0),
            summary: row.try_get("lastSummary")?,
        })
    })
    .transpose()
}
