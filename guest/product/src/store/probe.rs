//! Verifies that PostgreSQL and Redis answer and that the disk can be written, and measures how fast.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use service_kit::database::Database;

use super::{Store, StoreError, projects};

/// Longer than any normal answer takes even under software emulation on a busy machine, where a connection may have to be opened first.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// The variable in which systemd names the service's directory on the disk.
const STATE_DIRECTORY: &str = "STATE_DIRECTORY";

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

/// Whether the kernel would let the service write: on a file system that has become read-only it would not, while what PostgreSQL has in
/// memory still answers queries. Creating a file would verify the same, and cost the first answer after a resume some 30 ms under
/// software emulation (phase `health` of `cargo xtask bench --peer`). Where the service has no directory, nothing is tried.
pub(crate) fn disk() -> Probe {
    base::variables::path(STATE_DIRECTORY).map_or(Ok(Duration::ZERO), |directory| writable(&directory))
}

fn writable(directory: &Path) -> Probe {
    let start = Instant::now();
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK)
        .map_err(|error| StoreError::Disk(error.into()))?;
    Ok(start.elapsed())
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

    #[test]
    fn a_directory_that_cannot_be_written_gives_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        writable(directory.path()).unwrap();
        let error = writable(&directory.path().join("gone")).unwrap_err();
        assert_eq!(
            guest::report(&error),
            "the disk cannot be written: No such file or directory (os error 2)"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_answers_ends_at_its_deadline() {
        let error = within_deadline("Redis", std::future::pending()).await.unwrap_err();
        assert_eq!(error.to_string(), "Redis gave no answer within 5 s");
    }
}
