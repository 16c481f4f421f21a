//! The pool of connections to PostgreSQL.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use tokio::sync::OwnedRwLockWriteGuard;
use tokio_postgres::{Row, types::ToSql};

use super::{StoreError, connect::Orderly};

/// Every connection is a process of PostgreSQL's with some MiB of its own; the services answer one developer.
const MAX_CONNECTIONS: usize = 4;
/// How long to wait for a free connection, and how long for a new one: a process that PostgreSQL starts for it, which took more than 2 s
/// in an emulated guest with 15 % of a processor.
const PATIENCE: Duration = Duration::from_secs(5);
/// A query that runs longer than this waits for a lock that will not be released. Plans are made once for every statement of a
/// connection: none of these queries has a better one for some values than for others, and planning costs as much as running.
const OPTIONS: &str = "-c statement_timeout=5s -c plan_cache_mode=force_generic_plan";

/// What PostgreSQL knows the probe's connection by.
pub(crate) const PROBE: &str = "stack-probe";

/// A pool that connects when it is first used.
#[derive(Clone)]
pub(crate) struct Database {
    config: tokio_postgres::Config,
    pool: Arc<RwLock<Pool>>,
    gate: Gate,
}

/// Closed while the first connection is being opened: a request that comes meanwhile waits for that one instead of making
/// PostgreSQL start a second process.
type Gate = Arc<tokio::sync::RwLock<()>>;

impl Database {
    pub(crate) fn new(url: &str) -> Result<Self, StoreError> {
        let mut config: tokio_postgres::Config = url.parse().map_err(StoreError::DatabaseUrl)?;
        config.connect_timeout(PATIENCE).options(OPTIONS);
        Ok(Self::of(config))
    }

    /// For the probe alone.
    pub(super) fn for_probe(url: &str) -> Result<Self, StoreError> {
        let mut config = Self::new(url)?.config;
        config.application_name(PROBE);
        Ok(Self::of(config))
    }

    fn of(config: tokio_postgres::Config) -> Self {
        let pool = Arc::new(RwLock::new(pool_for(&config)));
        Self { config, pool, gate: Gate::default() }
    }

    /// Forgets all connections. A request under way keeps its own, which is closed instead of going back.
    pub(crate) fn drain(&self) {
        let fresh = pool_for(&self.config);
        let old = std::mem::replace(&mut *self.pool.write().unwrap_or_else(PoisonError::into_inner), fresh);
        old.close();
    }

    /// Closes the gate until the guard is dropped, and returns the same pool for use behind the gate. There is no
    /// guard if it is closed or about to be passed.
    pub(crate) fn behind_gate(&self) -> (Self, Option<OwnedRwLockWriteGuard<()>>) {
        let guard = Arc::clone(&self.gate).try_write_owned().ok();
        (Self { gate: Gate::default(), ..self.clone() }, guard)
    }

    /// Takes a connection, for what needs more than one statement.
    pub(super) async fn connection(&self) -> Result<Object, StoreError> {
        drop(self.gate.read().await);
        loop {
            let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner).clone();
            match pool.get().await {
                // Drained while this request was waiting: the pool that took its place is open.
                Err(PoolError::Closed) => {}
                Err(PoolError::Backend(error)) => return Err(StoreError::DatabaseUnreachable(error)),
                result => return result.map_err(StoreError::DatabasePool),
            }
        }
    }

    /// Runs a query that returns at most one row.
    pub(crate) async fn query_opt(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, StoreError> {
        let connection = self.connection().await?;
        let statement = connection.prepare_cached(sql).await?;
        Ok(connection.query_opt(&statement, parameters).await?)
    }

    /// Runs a query that returns exactly one row.
    pub(crate) async fn query_one(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, StoreError> {
        let connection = self.connection().await?;
        let statement = connection.prepare_cached(sql).await?;
        Ok(connection.query_one(&statement, parameters).await?)
    }

    /// Runs a query that returns any number of rows.
    pub(crate) async fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let connection = self.connection().await?;
        let statement = connection.prepare_cached(sql).await?;
        Ok(connection.query(&statement, parameters).await?)
    }

    /// Runs a statement and returns the number of rows that it changed.
    pub(crate) async fn execute(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StoreError> {
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

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_the_first_connection_but_within_limits() {
        let database = Database::new("host=/nonexistent user=stack").unwrap();
        let (inside, guard) = database.behind_gate();
        assert!(inside.query_opt("SELECT 1", &[]).await.is_err(), "the request that opens it does not wait");
        let waiting = database.query_opt("SELECT 1", &[]);
        let mut waiting = std::pin::pin!(waiting);
        assert!(tokio::time::timeout(PATIENCE, &mut waiting).await.is_err());
        drop(guard);
        assert!(matches!(waiting.await, Err(StoreError::DatabaseUnreachable(_))));
    }
}
