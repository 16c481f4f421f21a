//! Connections to PostgreSQL that are opened before they are needed, and stay open: a resume then costs one round trip. Their processes
//! in PostgreSQL are in every copy of a snapshot.

use std::{error::Error as _, io, time::Duration};

use base::wait::Backoff;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{sync::Mutex, time::Instant};
use tokio_postgres::{Client, Config, Error, NoTls, error::SqlState};
use tracing::warn;

use crate::{
    control::{Call, Socket},
    report,
    service::{self, Event, Events},
};

/// Commits are not waited for to be on the disk: after a crash the machine boots cold, and at every cold boot the host sends the secrets
/// again. A generic plan is made once and for all. The limit is for a lock that is not released, and long enough for a checkpoint.
pub const OPTIONS: &str =
    "-c synchronous_commit=off -c plan_cache_mode=force_generic_plan -c statement_timeout=60s";

/// How long PostgreSQL may take to come up. Its recovery after a crash is long over by then.
pub const LIMIT: Duration = Duration::from_mins(5);

/// How long it may take to answer to a new connection.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// In a cold boot a service starts before PostgreSQL, and every attempt takes time from it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A connection with what was prepared on it, as soon as there is one.
pub struct Standing<S>(Mutex<Option<S>>);

impl<S> Default for Standing<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S> Standing<S> {
    /// Does `work` over the connection, and again over a new one, which `open` opens, while the connection is what fails. `is_passing`
    /// says of which failures that is worth trying.
    ///
    /// # Errors
    /// When the work fails, or PostgreSQL is not there in time.
    pub async fn with<T, E>(
        &self,
        open: impl AsyncFn() -> Result<S, E>,
        is_passing: fn(&E) -> bool,
        work: impl AsyncFn(&S) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut session = self.0.lock().await;
        let mut backoff = Backoff::between(FIRST_PAUSE, LONGEST_PAUSE);
        let deadline = Instant::now() + LIMIT;
        loop {
            let result = match &*session {
                Some(open) => work(open).await,
                None => match open().await {
                    Ok(open) => work(session.insert(open)).await,
                    Err(error) => Err(error),
                },
            };
            match result {
                Err(error) if is_passing(&error) && Instant::now() < deadline => {
                    *session = None;
                    backoff.pause().await;
                }
                result => return result,
            }
        }
    }
}

/// Serves the orders of a service that keeps connections open, until it is stopped, and has `connecting` open them meanwhile.
///
/// # Errors
/// When the control socket cannot be listened on.
pub async fn serve<A: Future<Output = ()>>(
    control: Socket,
    connecting: impl Future<Output = ()>,
    answer: impl Fn(Call) -> A,
) -> anyhow::Result<()> {
    let mut events = Events::new(control)?;
    service::ready();
    tokio::pin!(connecting);
    let mut is_connecting = true;
    // Concurrently: what waits for a database that is starting must not delay anything else.
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Event::Stop => return Ok(()),
                // The connections stay: a session changes what is in the databases, not where they are.
                Event::Hangup => service::announce_reload(async || true).await,
                Event::Call(call) => under_way.push(answer(call)),
            },
            () = &mut connecting, if is_connecting => is_connecting = false,
            Some(()) = under_way.next(), if !under_way.is_empty() => {}
        }
    }
}

/// Opens a connection.
///
/// # Errors
/// When PostgreSQL is not there, or refuses.
pub async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            warn!("the connection to PostgreSQL broke: {}", report(&error));
        }
    });
    Ok(client)
}

/// Whether it is worth trying again: PostgreSQL is not there, just starting, or going down. Anything else stays as it is.
pub fn is_absent(error: &Error) -> bool {
    const PASSING: [&SqlState; 4] = [
        &SqlState::CANNOT_CONNECT_NOW,
        &SqlState::ADMIN_SHUTDOWN,
        &SqlState::CRASH_SHUTDOWN,
        &SqlState::TOO_MANY_CONNECTIONS,
    ];
    match error.code() {
        Some(code) => PASSING.contains(&code),
        None => {
            error.is_closed()
                || error.source().and_then(|source| source.downcast_ref::<io::Error>()).is_some()
        }
    }
}
