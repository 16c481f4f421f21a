//! Passwords: hashed with Argon2id, on blocking threads, a few at a time.

use std::sync::{Arc, LazyLock};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::{self, phc::PasswordHash},
};
use protocol::Secret;
use tokio::sync::Semaphore;

use super::StoreError;

/// One of OWASP's equivalent minimum configurations for Argon2id (Password Storage Cheat Sheet): 7 MiB, 5 passes, 1 lane. They
/// cost an attacker the same; this one touches the least memory, and in here memory is what counts: touched pages make a
/// snapshot larger and a resumed machine slower. Natively a hash takes some 10 ms, under software emulation a few tenths of
/// a second.
const MEMORY_KIB: u32 = 7 * 1024;
const PASSES: u32 = 5;
const LANES: u32 = 1;
/// As many hashes at a time as a small virtual machine has processors: more would only take turns, and hold 7 MiB each.
const AT_A_TIME: usize = 2;

/// Shortest and longest password, in bytes. Length is what makes a password strong; the upper end keeps a request from
/// buying much work with one large body.
pub(crate) const LENGTH: std::ops::RangeInclusive<usize> = 8..=256;

static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(AT_A_TIME)));

fn argon2() -> Argon2<'static> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the constants are within Argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes a password with a new salt into a PHC string.
pub(crate) async fn hash(password: Secret) -> Result<String, StoreError> {
    off_the_main_thread(move || {
        let hash: PasswordHash =
            argon2().hash_password(password.reveal().as_bytes()).map_err(StoreError::PasswordHashing)?;
        Ok(hash.to_string())
    })
    .await
}

/// Whether `password` is the one behind `stored`. Without a stored hash the answer is no, and takes as long: how long a
/// sign-in takes must not tell whether the user exists.
pub(crate) async fn verify(password: Secret, stored: Option<String>) -> Result<bool, StoreError> {
    off_the_main_thread(move || {
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

async fn off_the_main_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let _turn = TURNS.acquire().await.expect("the semaphore is never closed");
    tokio::task::spawn_blocking(work).await.expect("hashing neither panics nor is cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_verifies_and_another_does_not() {
        let stored = hash(Secret::new("correct horse")).await.unwrap();
        assert!(verify(Secret::new("correct horse"), Some(stored.clone())).await.unwrap());
        assert!(!verify(Secret::new("correct house"), Some(stored)).await.unwrap());
    }

    #[tokio::test]
    async fn a_user_without_a_password_cannot_sign_in_with_any() {
        assert!(!verify(Secret::new("anything"), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_hash_is_salted_and_says_how_it_was_made() {
        let (one, two) = (hash(Secret::new("same")).await.unwrap(), hash(Secret::new("same")).await.unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{one}");
    }

    #[tokio::test]
    async fn a_broken_hash_is_an_error_and_not_a_wrong_password() {
        let error = verify(Secret::new("any"), Some("not a hash".to_owned())).await.unwrap_err();
        assert!(matches!(error, StoreError::PasswordHash(_)), "{error}");
    }
}
