//! Proves that PostgreSQL and Redis answer and that the disk can be written, and how fast.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Store, StoreError, database::Database, projects};

/// Longer than any sound answer even under software emulation on a busy machine, which may have to make a connection first.
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

/// A file that is made and removed again: on a file system that has become read-only neither can be done, while what PostgreSQL has in
/// memory still answers queries. Nothing is written for it at once. Where the service has no directory, nothing is tried.
pub(crate) async fn disk() -> Probe {
    let Some(directory) = host::variables::path(STATE_DIRECTORY) else {
        return Ok(Duration::ZERO);
    };
    within_deadline("the disk", make_file_in(directory)).await
}

async fn make_file_in(directory: PathBuf) -> Result<(), StoreError> {
    let done = tokio::task::spawn_blocking(move || make_and_remove(&directory.join("probe")));
    done.await.map_err(std::io::Error::other).and_then(|made| made).map_err(StoreError::Disk)
}

fn make_and_remove(file: &Path) -> std::io::Result<()> {
    std::fs::File::create(file)?;
    match std::fs::remove_file(file) {
        // Another request has been quicker.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
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

    #[tokio::test]
    async fn a_directory_that_can_be_written_passes_and_one_that_cannot_gives_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        make_file_in(directory.path().to_owned()).await.unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let error = make_file_in(directory.path().join("gone")).await.unwrap_err();
        assert_eq!(
            crate::store::report(&error),
            "the disk cannot be written: No such file or directory (os error 2)"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_answers_ends_at_its_deadline() {
        let error = within_deadline("Redis", std::future::pending()).await.unwrap_err();
        assert_eq!(error.to_string(), "Redis gave no answer within 5 s");
    }
}
