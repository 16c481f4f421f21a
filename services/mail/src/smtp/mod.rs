//! SMTP: the session without a network, what carries it over a connection, and the server of all connections.

mod connection;
mod server;
mod session;

pub(crate) use connection::converse;
pub(crate) use server::serve;
pub(crate) use session::Delivery;
