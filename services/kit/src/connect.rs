//! Connections to PostgreSQL that end in order: with the message for that, once the answers that are under way have come.
//!
//! The pool would abort the task of a connection that it drops, also while PostgreSQL answers, which it then logs as a client that is lost.

use std::pin::Pin;

use deadpool_postgres::Connect;
use guest::report;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, NoTls};
use tracing::warn;

/// A connection, and the task that the pool aborts when it drops it.
type Opened = Result<(Client, JoinHandle<()>), Error>;

/// Opens connections whose tasks the pool cannot abort.
pub(crate) struct Orderly;

impl Connect for Orderly {
    fn connect(&self, config: &Config) -> Pin<Box<dyn Future<Output = Opened> + Send + '_>> {
        let config = config.clone();
        Box::pin(async move {
            // In a task: a request that is given up meanwhile does not break off what PostgreSQL has begun.
            let opening = tokio::spawn(async move { open(&config).await });
            let client = opening.await.expect("opening a connection does not panic")?;
            Ok((client, tokio::spawn(async {})))
        })
    }
}

async fn open(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // It ends by itself, after the client.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            warn!("the connection to PostgreSQL broke: {}", report(&error));
        }
    });
    Ok(client)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{UnixListener, UnixStream},
    };

    use super::*;

    /// The messages `AuthenticationOk` and `ReadyForQuery`.
    const GREETING: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

    /// The message `Terminate`.
    const TERMINATE: &[u8] = b"X\0\0\0\x04";

    async fn greet(listener: &UnixListener) -> UnixStream {
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u32().await.unwrap();
        stream.read_exact(&mut vec![0; length as usize - 4]).await.unwrap();
        stream.write_all(GREETING).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_connection_that_is_dropped_takes_its_leave() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
        let mut config = Config::new();
        config.host_path(dir.path()).user("stack");
        let (opened, mut stream) = tokio::join!(Orderly.connect(&config), greet(&listener));
        let (client, task) = opened.unwrap();
        // As the pool does it.
        task.abort();
        drop(client);
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, TERMINATE);
    }
}
