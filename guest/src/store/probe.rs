//! Proves that PostgreSQL and Redis answer, and how fast.

use std::time::{Duration, Instant};

use super::{Store, StoreError, database::Database, projects};

/// Longer than any sound answer even under software emulation on a busy machine, and short enough for a health check.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);

/// How long the answer took, or why there was none.
pub(crate) type Probe = Result<Duration, StoreError>;

/// A real query: the schema is there and the seed has run.
pub(crate) async fn postgres(store: &Store) -> Probe {
    within_deadline("PostgreSQL", query(&store.probe)).await
}

/// That query, without a deadline.
pub(super) async fn query(database: &Database) -> Result<(), StoreError> {
    let row = database
        .query_one(r#"SELECT EXISTS (SELECT FROM "Project" WHERE "id" = $1)"#, &[&projects::INTERNAL])
        .await?;
    if row.try_get(0)? { Ok(()) } else { Err(StoreError::NotSeeded) }
}

/// A real `PING`.
pub(crate) async fn redis(store: &Store) -> Probe {
    within_deadline("Redis", async {
        let mut pipeline = redis::pipe();
        pipeline.ping().ignore();
        store.redis.run(&pipeline).await
    })
    .await
}

async fn within_deadline(
    service: &'static str,
    probe: impl Future<Output = Result<(), StoreError>>,
) -> Probe {
    let started = Instant::now();
    tokio::time::timeout(DEADLINE, probe)
        .await
        .unwrap_or(Err(StoreError::TimedOut { service, seconds: DEADLINE.as_secs_f64() }))
        .map(|()| started.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_answers_ends_at_its_deadline() {
        let error = within_deadline("Redis", std::future::pending()).await.unwrap_err();
        assert_eq!(error.to_string(), "Redis gave no answer within 2 s");
    }
}
