//! Passwords: hashed with Argon2id, on blocking threads, a few at a time. Others wait in a queue, which is limited in length
//! and in time: a request that finds no place in it, or has waited too long, is asked to try again.

use std::{
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::{self, phc::PasswordHash},
};
use protocol::Secret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StoreError;

/// One of OWASP's equivalent minimum configurations for Argon2id (Password Storage Cheat Sheet): 7 MiB, 5 passes, 1 lane. They
/// cost an attacker the same; this one touches the least memory, and in here memory is what counts: touched pages make a
/// snapshot larger and a resumed machine slower. Natively a hash takes some 10 ms, under software emulation a few tenths of
/// a second.
const MEMORY_KIB: u32 = 7 * 1024;
const PASSES: u32 = 5;
const LANES: u32 = 1;
/// This many may wait for their turn: what two processors hash natively within a second.
const QUEUE: usize = 64;
/// How long a request waits for its turn at most. Below every deadline of a request, so that the answer says what was wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shortest and longest password, in bytes. Length is what makes a password strong; the upper end keeps a request from
/// buying much work with one large body.
pub(crate) const LENGTH: std::ops::RangeInclusive<usize> = 8..=256;

/// As many hashes at a time as there are processors: more would only take turns, and hold 7 MiB each.
static TURNS: LazyLock<Turns> =
    LazyLock::new(|| Turns::new(thread::available_parallelism().map_or(1, usize::from), QUEUE));

struct Turns {
    /// Places of requests that hash or wait.
    places: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// The right to hash one password now.
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
    _running: OwnedSemaphorePermit,
}

impl Turns {
    fn new(at_a_time: usize, queue: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(at_a_time + queue)),
            running: Arc::new(Semaphore::new(at_a_time)),
        }
    }

    async fn next(&self) -> Result<Turn, StoreError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| StoreError::PasswordsBusy)?;
        let running = tokio::time::timeout(PATIENCE, Arc::clone(&self.running).acquire_owned())
            .await
            .map_err(|_| StoreError::PasswordsBusy)?
            .expect("the semaphore is never closed");
        Ok(Turn { _place: place, _running: running })
    }
}

/// Waits for a turn to hash a password, or says that too many are waiting.
pub(crate) async fn turn() -> Result<Turn, StoreError> {
    TURNS.next().await
}

fn argon2() -> Argon2<'static> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the constants are within Argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes a password with a new salt into a PHC string.
pub(crate) async fn hash(password: Secret) -> Result<String, StoreError> {
    off_the_main_thread(turn().await?, move || {
        let hash: PasswordHash =
            argon2().hash_password(password.reveal().as_bytes()).map_err(StoreError::PasswordHashing)?;
        Ok(hash.to_string())
    })
    .await
}

/// Whether `password` is the one behind `stored`. Without a stored hash the answer is `false`, and takes as long: how long a
/// sign-in takes must not reveal whether the user exists.
pub(crate) async fn verify(turn: Turn, password: Secret, stored: Option<String>) -> Result<bool, StoreError> {
    off_the_main_thread(turn, move || {
        let Some(stored) = stored else {
            let _: PasswordHash =
                argon2().hash_password(password.reveal().as_bytes()).map_err(StoreError::PasswordHashing)?;
            return Ok(false);
        };
        let stored = PasswordHash::new(&stored).map_err(StoreError::PasswordHash)?;
        match argon2().verify_password(password.reveal().as_bytes(), &stored) {
            Ok(()) => Ok(true),
            Err(password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(StoreError::PasswordHashing(error)),
        }
    })
    .await
}

/// The turn ends with the work and not with the request: if the request breaks off, its hash is still computed.
async fn off_the_main_thread<T: Send + 'static>(
    turn: Turn,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let work = move || {
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(work).await.expect("hashing neither panics nor is cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_verifies_and_another_does_not() {
        let stored = hash(Secret::new("correct horse")).await.unwrap();
        assert!(
            verify(turn().await.unwrap(), Secret::new("correct horse"), Some(stored.clone())).await.unwrap()
        );
        assert!(!verify(turn().await.unwrap(), Secret::new("correct house"), Some(stored)).await.unwrap());
    }

    #[tokio::test]
    async fn a_user_without_a_password_cannot_sign_in_with_any() {
        assert!(!verify(turn().await.unwrap(), Secret::new("anything"), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_hash_is_salted_and_says_how_it_was_made() {
        let (one, two) = (hash(Secret::new("same")).await.unwrap(), hash(Secret::new("same")).await.unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{one}");
    }

    #[tokio::test]
    async fn a_broken_hash_is_an_error_and_not_a_wrong_password() {
        let error = verify(turn().await.unwrap(), Secret::new("any"), Some("not a hash".to_owned()))
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::PasswordHash(_)), "{error}");
    }

    #[tokio::test]
    async fn a_request_that_finds_the_queue_full_is_refused_at_once() {
        let turns = Turns::new(1, 1);
        let first = turns.next().await.unwrap();
        let waiting = turns.next();
        let mut waiting = std::pin::pin!(waiting);
        assert!(
            tokio::time::timeout(Duration::from_millis(1), &mut waiting).await.is_err(),
            "it has a place"
        );
        assert!(matches!(turns.next().await, Err(StoreError::PasswordsBusy)));
        drop(first);
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_waits_too_long_frees_its_place() {
        let turns = Turns::new(1, 1);
        let first = turns.next().await.unwrap();
        assert!(matches!(turns.next().await, Err(StoreError::PasswordsBusy)));
        drop(first);
        let (one, two) = (turns.next(), turns.next());
        drop(one.await.unwrap());
        two.await.unwrap();
    }

    #[tokio::test]
    async fn a_request_that_breaks_off_keeps_its_turn_until_the_hash_is_done() {
        let turns = Turns::new(1, 0);
        let (finish, finished) = std::sync::mpsc::channel();
        let work = off_the_main_thread(turns.next().await.unwrap(), move || {
            finished.recv().unwrap();
            Ok(())
        });
        assert!(tokio::time::timeout(Duration::from_millis(1), work).await.is_err());
        assert!(turns.next().await.is_err(), "the hash is still being made");
        finish.send(()).unwrap();
        base::wait::until(PATIENCE, async || turns.next().await.ok()).await.unwrap();
    }
}
