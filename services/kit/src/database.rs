//! The pool of connections to PostgreSQL.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use thiserror::Error;
use tokio::sync::OwnedRwLockWriteGuard;
use tokio_postgres::{Row, error::SqlState, types::ToSql};

use crate::connect::Orderly;

/// Every connection is a process of PostgreSQL's with some MiB of its own; the services answer one developer.
const MAX_CONNECTIONS: usize = 4;
/// How long to wait for a free connection, and how long for a new one: a process that PostgreSQL starts for it, which took more than 2 s
/// in an emulated guest with 15 % of a processor.
const PATIENCE: Duration = Duration::from_secs(5);
/// A query that runs longer than this waits for a lock that will not be released. Plans are made once for every statement of a
/// connection: none of these queries has a better one for some values than for others, and planning costs as much as running.
const OPTIONS: &str = "-c statement_timeout=5s -c plan_cache_mode=force_generic_plan";

/// What PostgreSQL knows the probe's connection by.
pub const PROBE: &str = "stack-probe";

/// Why the database gave no answer.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// The address cannot be read.
    #[error("`DATABASE_URL` is not a PostgreSQL connection string")]
    Url(#[source] tokio_postgres::Error),
    /// No connection can be opened.
    #[error("PostgreSQL cannot be reached")]
    Unreachable(#[source] tokio_postgres::Error),
    /// All connections are in use for too long.
    #[error("no connection to PostgreSQL is available")]
    Pool(#[source] PoolError),
    /// A statement failed, or its connection broke.
    #[error("PostgreSQL refused a query")]
    Query(#[from] tokio_postgres::Error),
}

impl DatabaseError {
    /// Whether the server is down or overloaded, as opposed to having answered with an error.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Url(_) => false,
            Self::Unreachable(_) | Self::Pool(_) => true,
            Self::Query(error) => match error.code() {
                Some(code) => is_passing(code),
                // An error that the server did not send comes from a connection that broke.
                None => error.is_closed(),
            },
        }
    }
}

/// Whether the same statement may succeed a moment later: the server has too little of something, is going down, has waited too
/// long for a lock, or has ended one of two transactions that waited for each other.
fn is_passing(code: &SqlState) -> bool {
    const CLASSES: [&str; 4] = ["08", "40", "53", "57"];
    CLASSES.iter().any(|class| code.code().starts_with(class))
}

/// A pool that connects when it is first used.
#[derive(Clone)]
pub struct Database {
    config: tokio_postgres::Config,
    pool: Arc<RwLock<Pool>>,
    gate: Gate,
}

/// Closed while the first connection is being opened: a request that comes meanwhile waits for that one instead of making
/// PostgreSQL start a second process.
type Gate = Arc<tokio::sync::RwLock<()>>;

impl Database {
    /// A pool for the database at `url`, which opens no connection yet.
    ///
    /// # Errors
    /// When `url` is not a connection string.
    pub fn new(url: &str) -> Result<Self, DatabaseError> {
        let mut config: tokio_postgres::Config = url.parse().map_err(DatabaseError::Url)?;
        config.connect_timeout(PATIENCE).options(OPTIONS);
        Ok(Self::of(config))
    }

    /// A pool for the probe alone.
    ///
    /// # Errors
    /// When `url` is not a connection string.
    pub fn for_probe(url: &str) -> Result<Self, DatabaseError> {
        let mut config = Self::new(url)?.config;
        config.application_name(PROBE);
        Ok(Self::of(config))
    }

    fn of(config: tokio_postgres::Config) -> Self {
        let pool = Arc::new(RwLock::new(pool_for(&config)));
        Self { config, pool, gate: Gate::default() }
    }

    /// Forgets all connections. A request under way keeps its own, which is closed instead of going back.
    pub fn drain(&self) {
        let fresh = pool_for(&self.config);
        let old = std::mem::replace(&mut *self.pool.write().unwrap_or_else(PoisonError::into_inner), fresh);
        old.close();
    }

    /// Closes the gate until the guard is dropped, and returns the same pool for use behind the gate. There is no
    /// guard if it is closed or about to be passed.
    pub fn behind_gate(&self) -> (Self, Option<OwnedRwLockWriteGuard<()>>) {
        let guard = Arc::clone(&self.gate).try_write_owned().ok();
        (Self { gate: Gate::default(), ..self.clone() }, guard)
    }

    /// Takes a connection, for what needs more than one statement.
    ///
    /// # Errors
    /// When PostgreSQL cannot be reached, or all connections stay in use.
    pub async fn connection(&self) -> Result<Object, DatabaseError> {
        drop(self.gate.read().await);
        loop {
            let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner).clone();
            match pool.get().await {
                // Drained while this request was waiting: the pool that took its place is open.
                Err(PoolError::Closed) => {}
                Err(PoolError::Backend(error)) => return Err(DatabaseError::Unreachable(error)),
                result => return result.map_err(DatabaseError::Pool),
            }
        }
    }

    /// Runs a query that returns at most one row.
    ///
    /// # Errors
    /// When there is no connection, or PostgreSQL refuses.
    pub async fn query_opt(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, DatabaseError> {
        let connection = self.connection().await?;
        let statement = connection.prepare_cached(sql).await?;
        Ok(connection.query_opt(&statement, parameters).await?)
    }

    /// Runs a query that returns exactly one row.
    ///
    /// # Errors
    /// When there is no connection, or PostgreSQL refuses.
    pub async fn query_one(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, DatabaseError> {
        let connection = self.connection().await?;
        let statement = connection.prepare_cached(sql).await?;
        Ok(connection.query_one(&statement, parameters).await?)
    }

    /// Runs a query that returns any number of rows.
    ///
    /// # Errors
    /// When there is no connection, or PostgreSQL refuses.
    pub async fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DatabaseError> {
        let connection = self.connection().await?;
        let statement = connection.prepare_cached(sql).await?;
        Ok(connection.query(&statement, parameters).await?)
    }

    /// Runs a statement and returns the number of rows that it changed.
    ///
    /// # Errors
    /// When there is no connection, or PostgreSQL refuses.
    pub async fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, DatabaseError> {
        let connection = self.connection().await?;
        let statement = connection.prepare_cached(sql).await?;
        Ok(connection.execute(&statement, parameters).await?)
    }
}

fn pool_for(config: &tokio_postgres::Config) -> Pool {
    let manager = Manager::from_connect(
        config.clone(),
        Orderly,
        // Without a query as a test: a connection that died reports an error by itself, and a request saves the round trip.
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    Pool::builder(manager)
        .max_size(MAX_CONNECTIONS)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(PATIENCE))
        .recycle_timeout(Some(PATIENCE))
        .runtime(Runtime::Tokio1)
        .build()
        .expect("a runtime is set, which is all that timeouts need")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_failures_are_distinguished_from_lasting_ones() {
        let passing = [
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::QUERY_CANCELED,
            SqlState::DISK_FULL,
            SqlState::ADMIN_SHUTDOWN,
        ];
        assert!(passing.iter().all(is_passing));
        assert!(!is_passing(&SqlState::SYNTAX_ERROR) && !is_passing(&SqlState::UNIQUE_VIOLATION));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_the_first_connection_but_within_limits() {
        let database = Database::new("host=/nonexistent user=stack").unwrap();
        let (inside, guard) = database.behind_gate();
        assert!(inside.query_opt("SELECT 1", &[]).await.is_err(), "the request that opens it does not wait");
        let waiting = database.query_opt("SELECT 1", &[]);
        let mut waiting = std::pin::pin!(waiting);
        assert!(tokio::time::timeout(PATIENCE, &mut waiting).await.is_err());
        drop(guard);
        assert!(matches!(waiting.await, Err(DatabaseError::Unreachable(_))));
    }
}
