//! SMTP: the session without a network, what carries it over a connection, and the server of all connections.

mod connection;
mod server;
mod session;

pub(crate) use connection::converse;
pub(crate) use server::serve;
pub(crate) use session::Delivery;
use tokio::sync::watch;

/// Waits until `stop` is true. An error means that its sender is gone, which is a reason to stop as well.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
