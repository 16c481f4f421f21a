//! What the services of a backend have in common: one process serves all that a stack lists, and each of them is a library that knows
//! nothing of the others.
//!
//! A service has a port, settings from the environment, a schema of its own in PostgreSQL, and answers to the orders of the agent.

mod connect;
pub mod database;
pub mod guard;
pub mod health;
pub mod migrate;
mod process;
pub mod variables;

use std::pin::Pin;

use async_trait::async_trait;
use guest::http_server;
use tokio::{net::TcpListener, sync::watch};

pub use process::serve;

/// A port of a service whose protocol is not HTTP.
pub struct Other {
    /// Where it listens in the machine.
    pub port: u16,
    /// Serves it until the value is true, and then until what is under way has ended.
    pub serve: Box<dyn FnOnce(TcpListener, watch::Receiver<bool>) -> Serving + Send>,
}

/// The work of serving a port.
pub type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One service of the process.
#[async_trait]
pub trait Part: Send + Sync {
    /// Its name, which is that of its schema and of its directory among the services of a stack.
    fn name(&self) -> &'static str;

    /// Where it listens in the machine.
    fn port(&self) -> u16;

    /// What it answers.
    fn answers(&self) -> http_server::Service;

    /// Its ports whose protocol is not HTTP.
    fn others(&self) -> Vec<Other> {
        Vec::new()
    }

    /// Is called once, when the service is up, for what may take its time.
    async fn started(&self);

    /// Reads its settings again, and forgets its connections.
    ///
    /// # Errors
    /// When the settings are not valid; the old ones stay.
    fn reload(&self) -> anyhow::Result<()>;

    /// Forgets its connections, and opens none by itself.
    fn drain(&self);

    /// Does what its health check does.
    ///
    /// # Errors
    /// When it cannot do its work.
    async fn check(&self) -> anyhow::Result<()>;

    /// Uses all that it offers once, and leaves nothing behind.
    ///
    /// # Errors
    /// When something of it does not work.
    async fn self_test(&self) -> anyhow::Result<()>;
}
