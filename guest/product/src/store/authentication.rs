//! Sign-in with a password: the same rules for every application and for the dashboard.

use protocol::Secret;

use super::{
    Store, StoreError, passwords,
    rate_limit::{self, TooManyAttempts},
    users::{self, User},
};

/// Why a sign-in is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The address is unknown, the user has no password, or it is another one. The error does not say which.
    Mismatch,
    TooManyAttempts(TooManyAttempts),
}

/// A user whose password was correct when it was checked. Hashing takes a while, so that a function that acts on it, such as
/// [`super::sessions::open`], verifies in the same statement that the hash is still this one.
pub(crate) struct Proven {
    pub(crate) user: User,
    pub(crate) password_hash: String,
}

/// Finds the user who has this address and this password.
pub(crate) async fn with_password(
    store: &Store,
    project_id: &str,
    email: &str,
    password: Secret,
) -> Result<Result<Proven, Refusal>, StoreError> {
    // What is not an address belongs to no user, but is counted and answered like one.
    let email = users::normalise_email(email).unwrap_or_else(|| email.to_owned());
    // First of all: an attempt that is refused because too many are waiting does not count as failed.
    let turn = passwords::turn().await?;
    if let Err(refusal) = rate_limit::count_attempt(&store.redis, project_id, &email).await {
        return Ok(Err(Refusal::TooManyAttempts(refusal)));
    }
    let found = users::with_password_hash(&store.database, project_id, &email).await?;
    let hash = found.as_ref().and_then(|(_, hash)| hash.clone());
    let correct = passwords::verify(turn, password, hash).await?;
    match found {
        Some((user, Some(password_hash))) if correct => {
            rate_limit::forget_attempts(&store.redis, project_id, &email).await;
            Ok(Ok(Proven { user, password_hash }))
        }
        _ => Ok(Err(Refusal::Mismatch)),
    }
}
