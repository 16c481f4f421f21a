//! Commands that the host runs in this machine. The agent opens a port for as long as it expects a connection, and each connection
//! has to begin with a token that came over the agent's own channel: other programs in the machine, and other users of the host,
//! can connect to the port as well.

mod child;
mod frames;
mod place;
mod session;
mod work;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::ensure;
use base::wait::Backoff;
use protocol::{
    Secret,
    exec::{PORT, TOKEN_DIGITS},
};
use tokio::{
    net::TcpListener,
    sync::Notify,
    time::{Instant, timeout_at},
};
use tracing::warn;

use crate::service;

/// How long a connection is expected.
const PATIENCE: Duration = Duration::from_secs(20);

/// Most connections that are expected at a time.
const EXPECTED_LIMIT: usize = 64;

/// Most connections that have not shown a token yet.
const STRANGERS_LIMIT: usize = 64;

/// Where connections of the host are expected.
#[derive(Clone, Default)]
pub(super) struct Door(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// A token was used, so that the port may be closed.
    used: Notify,
}

#[derive(Default)]
struct State {
    /// The tokens, each with the moment from which it is worth nothing.
    expected: Vec<(Secret, Instant)>,
    is_open: bool,
    strangers: usize,
}

impl Door {
    /// Expects one connection with `token`.
    pub(super) fn expect(&self, token: Secret) -> anyhow::Result<()> {
        ensure!(
            token.reveal().len() == TOKEN_DIGITS
                && token.reveal().bytes().all(|byte| byte.is_ascii_hexdigit()),
            "the token is not {TOKEN_DIGITS} hexadecimal digits"
        );
        let mut state = self.state();
        state.forget_expired();
        ensure!(state.expected.len() < EXPECTED_LIMIT, "more than {EXPECTED_LIMIT} connections are expected");
        if !state.is_open {
            let listener = service::bind(PORT)?;
            tokio::spawn(self.clone().admit(listener));
            state.is_open = true;
        }
        state.expected.push((token, Instant::now() + PATIENCE));
        Ok(())
    }

    /// Whether `presented` is the token of a connection that is expected, which it is only once.
    fn opens(&self, presented: &Secret) -> bool {
        let mut state = self.state();
        state.forget_expired();
        let known = state.expected.iter().position(|(token, _)| token == presented);
        let Some(known) = known else { return false };
        state.expected.swap_remove(known);
        self.0.used.notify_one();
        true
    }

    /// Takes connections until none is expected any more.
    async fn admit(self, listener: TcpListener) {
        let mut backoff = Backoff::default();
        while let Some(until) = self.expects_until() {
            let accepted = tokio::select! {
                accepted = timeout_at(until, listener.accept()) => accepted,
                () = self.0.used.notified() => continue,
            };
            match accepted {
                Ok(Ok((stream, _))) if self.enter() => {
                    drop(tokio::spawn(session::serve(stream, self.clone())))
                }
                Ok(Err(error)) => {
                    warn!("cannot take a connection of the host: {error}");
                    backoff.pause().await;
                }
                // Too many strangers, or none came in time.
                Ok(Ok(_)) | Err(_) => {}
            }
        }
    }

    /// Until when a connection is expected; `None` closes the port.
    fn expects_until(&self) -> Option<Instant> {
        let mut state = self.state();
        state.forget_expired();
        let until = state.expected.iter().map(|(_, until)| *until).max();
        state.is_open = until.is_some();
        until
    }

    /// Counts a connection that has yet to show a token, unless there are too many of them.
    fn enter(&self) -> bool {
        let mut state = self.state();
        let room = state.strangers < STRANGERS_LIMIT;
        state.strangers += usize::from(room);
        room
    }

    /// Counts it no more.
    fn is_known(&self) {
        self.state().strangers -= 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_expired(&mut self) {
        let now = Instant::now();
        self.expected.retain(|(_, until)| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(digit: char) -> Secret {
        Secret::new(digit.to_string().repeat(TOKEN_DIGITS))
    }

    fn expecting(token: Secret) -> Door {
        let door = Door::default();
        // The port itself belongs to root.
        door.state().is_open = true;
        door.expect(token).unwrap();
        door
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_opens_once_and_for_a_while() {
        let door = expecting(token('a'));
        assert!(!door.opens(&token('b')) && !door.opens(&Secret::new("")));
        assert!(door.opens(&token('a')));
        assert!(!door.opens(&token('a')), "it was used");
        door.expect(token('c')).unwrap();
        tokio::time::advance(PATIENCE).await;
        assert!(!door.opens(&token('c')), "it has expired");
        assert_eq!(door.expects_until(), None);
    }

    #[tokio::test]
    async fn what_is_not_a_token_is_refused_and_not_shown() {
        let door = Door::default();
        for text in ["", "hunter2", &"g".repeat(TOKEN_DIGITS), &"a".repeat(TOKEN_DIGITS + 1)] {
            let error = door.expect(Secret::new(text)).unwrap_err().to_string();
            assert_eq!(error, "the token is not 64 hexadecimal digits");
        }
    }

    #[tokio::test]
    async fn tokens_and_strangers_are_bounded() {
        let door = expecting(token('a'));
        for _ in 1..EXPECTED_LIMIT {
            door.expect(token('a')).unwrap();
        }
        assert!(door.expect(token('a')).is_err());
        assert_eq!((0..100).filter(|_| door.enter()).count(), STRANGERS_LIMIT);
        door.is_known();
        assert!(door.enter());
    }

    #[tokio::test]
    async fn the_port_is_closed_when_its_last_token_was_used() {
        let door = expecting(token('a'));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let admitting = tokio::spawn(door.clone().admit(listener));
        tokio::task::yield_now().await;
        assert!(door.opens(&token('a')));
        tokio::time::timeout(Duration::from_secs(5), admitting).await.expect("it ends").unwrap();
        assert!(!door.state().is_open);
    }
}
