//! The connection to Redis.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use redis::{
    Client, FromRedisValue,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use super::StoreError;

/// As long as the database's. The first connection after a resume took more than 1 s in an emulated guest on a busy host, where a
/// sign-up was then refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// One shared connection that is opened at its first use and again after it broke.
#[derive(Clone)]
pub(crate) struct Redis {
    client: Client,
    manager: Arc<RwLock<Option<ConnectionManager>>>,
}

impl Redis {
    pub(crate) fn new(url: &str) -> Result<Self, StoreError> {
        let client = Client::open(url).map_err(StoreError::RedisUrl)?;
        Ok(Self { client, manager: Arc::default() })
    }

    fn connection(&self) -> Result<ConnectionManager, StoreError> {
        let mut manager = self.manager.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(manager) = &*manager {
            return Ok(manager.clone());
        }
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let made = self.client.get_connection_manager_lazy(config).map_err(StoreError::Redis)?;
        Ok(manager.insert(made).clone())
    }

    /// Runs the commands of `pipeline` in one round trip.
    pub(crate) async fn run<T: FromRedisValue>(&self, pipeline: &redis::Pipeline) -> Result<T, StoreError> {
        let mut connection = self.connection()?;
        match pipeline.query_async(&mut connection).await {
            // The server was restarted since: the manager notices by this failure only, and connects again.
            Err(error) if error.is_connection_dropped() => {
                pipeline.query_async(&mut connection).await.map_err(StoreError::Redis)
            }
            result => result.map_err(StoreError::Redis),
        }
    }
}
