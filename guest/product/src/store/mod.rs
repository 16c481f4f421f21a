//! The data and its rules, shared by the backend and the dashboard: both get their answers from the same code, and
//! neither needs the other to be alive.

pub(crate) mod authentication;
pub(crate) mod cron_tasks;
pub(crate) mod keys;
pub(crate) mod passwords;
pub(crate) mod probe;
pub(crate) mod projects;
pub(crate) mod rate_limit;
pub(crate) mod redis;
pub(crate) mod sessions;
pub(crate) mod text;
pub(crate) mod tokens;
pub(crate) mod users;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use service_kit::database::{Database, DatabaseError};
use thiserror::Error;
use tokio_postgres::error::SqlState;

use self::redis::Redis;
use crate::settings::Settings;

/// Access to the data. Creating one opens no connection: the first request that needs a connection opens it, so that a service
/// is up at once and PostgreSQL may still be starting.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) database: Database,
    pub(crate) redis: Redis,
    /// What the probe of PostgreSQL uses.
    probe: Database,
    /// Whether the pool was renewed and has no connection yet.
    cold: Arc<AtomicBool>,
}

impl Store {
    pub(crate) fn new(settings: &Settings) -> Result<Self, StoreError> {
        let database = Database::new(&settings.database_url)?;
        let redis = Redis::new(&settings.redis_url)?;
        Ok(Self { probe: database.clone(), database, redis, cold: Arc::default() })
    }

    /// The same store with a connection to PostgreSQL of the probe's own, which is not forgotten with the pool. A host that has
    /// resumed the machine waits for the probe's answer, and a new process of PostgreSQL's takes longer to start than all
    /// the rest. Every copy of the machine has this connection, which does no harm: nothing random is drawn over it.
    pub(crate) fn with_probe_apart(self, settings: &Settings) -> Result<Self, StoreError> {
        Ok(Self { probe: Database::for_probe(&settings.database_url)?, ..self })
    }

    /// Forgets every pooled connection to PostgreSQL, and makes the next [`Store::prewarm`] open one.
    pub(crate) fn renew(&self) {
        self.drain();
        self.cold.store(true, Ordering::Relaxed);
    }

    /// Forgets every pooled connection to PostgreSQL; requests under way keep theirs until they are done. Nothing else is cached: keys,
    /// sessions and users are read from the database by every request.
    pub(crate) fn drain(&self) {
        self.database.drain();
        self.cold.store(false, Ordering::Relaxed);
    }

    /// Opens the pool's first connection in the background if it was renewed, so that the next request finds it. A process of
    /// PostgreSQL's takes as long to start, under software emulation, as half of the resume of a machine: so only when the host asks for
    /// it, which is when no start waits for an answer any more.
    pub(crate) fn prewarm(&self) {
        if !self.cold.swap(false, Ordering::Relaxed) {
            return;
        }
        let database = self.database.clone();
        tokio::spawn(async move {
            let (database, gate) = database.behind_gate();
            // The next request reports what is wrong.
            let _ = probe::query(&database).await;
            drop(gate);
        });
    }
}

/// What can go wrong below the rules.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    Database(DatabaseError),
    #[error("`REDIS_URL` is not the address of a Redis server")]
    RedisUrl(#[source] ::redis::RedisError),
    #[error("a text has a null byte in it, and PostgreSQL stores none")]
    NullByte,
    #[error("`{field}` has more than {max_bytes} bytes")]
    TextTooLong { field: &'static str, max_bytes: usize },
    #[error("{0} has just been deleted")]
    Gone(Parent),
    #[error("too many passwords are waiting to be hashed")]
    PasswordsBusy,
    #[error("Redis does not answer")]
    Redis(#[source] ::redis::RedisError),
    #[error("{service} gave no answer within {seconds} s")]
    TimedOut { service: &'static str, seconds: f64 },
    #[error("the disk cannot be written")]
    Disk(#[source] std::io::Error),
    #[error("PostgreSQL has no project `internal`: the seed has not run")]
    NotSeeded,
    #[error("the password hash of a user cannot be read")]
    PasswordHash(#[source] argon2::password_hash::phc::Error),
    #[error("a password cannot be hashed")]
    PasswordHashing(#[source] argon2::password_hash::Error),
    #[error("the kernel's random generator failed")]
    Random(#[source] getrandom::Error),
}

/// What a row needs another row for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent {
    Project,
    User,
    Session,
}

impl Parent {
    /// What a row of this table belongs to.
    fn of(table: &str) -> Option<Self> {
        match table {
            "ApiKeySet" | "ProjectUser" => Some(Self::Project),
            "Session" => Some(Self::User),
            "AccessToken" => Some(Self::Session),
            _ => None,
        }
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Project => "the project",
            Self::User => "the user",
            Self::Session => "the session",
        })
    }
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Query(error) => Self::from(error),
            error => Self::Database(error),
        }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let known = error.as_db_error().and_then(|reported| match *reported.code() {
            SqlState::CHARACTER_NOT_IN_REPERTOIRE => Some(Self::NullByte),
            // Nothing but a deletion at the same time gets here: ids come from what was just read.
            SqlState::FOREIGN_KEY_VIOLATION => reported.table().and_then(Parent::of).map(Self::Gone),
            _ => None,
        });
        known.unwrap_or(Self::Database(DatabaseError::Query(error)))
    }
}

impl StoreError {
    /// Whether a server is down or overloaded, as opposed to having answered with an error.
    pub(crate) fn is_unavailable(&self) -> bool {
        match self {
            Self::Database(error) => error.is_unavailable(),
            Self::Redis(_) | Self::TimedOut { .. } | Self::PasswordsBusy => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{net::UnixListener, time::timeout};

    use super::*;

    #[tokio::test]
    async fn only_connections_that_were_forgotten_are_opened_again_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
        let url = format!("host={} user=stack dbname=stack", dir.path().display());
        let database = Database::new(&url).unwrap();
        let store = Store {
            probe: database.clone(),
            database,
            redis: Redis::new("redis://127.0.0.1:1").unwrap(),
            cold: Arc::default(),
        };
        let connected = async || timeout(Duration::from_millis(200), listener.accept()).await.is_ok();
        store.prewarm();
        assert!(!connected().await, "there was none to open again");
        store.renew();
        assert!(!connected().await, "no order asked for it yet");
        store.prewarm();
        assert!(connected().await);
        store.renew();
        store.drain();
        store.prewarm();
        assert!(!connected().await, "a machine that is captured keeps none");
    }
}
