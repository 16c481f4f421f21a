//! Sign-in with a password: the same rules for every application and for the dashboard.

use protocol::Secret;

use super::{
    Store, StoreError, passwords,
    rate_limit::{self, TooManyAttempts},
    users::{self, User},
};

/// Why somebody is not signed in.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The address is unknown, the user has no password, or it is another one. Which of them is not told.
    Mismatch,
    TooManyAttempts(TooManyAttempts),
}

/// Finds the user whom an address and a password prove.
pub(crate) async fn with_password(
    store: &Store,
    project_id: &str,
    email: &str,
    password: Secret,
) -> Result<Result<User, Refusal>, StoreError> {
    // What is no address is nobody's, but is counted and answered like one.
    let email = users::normalise_email(email).unwrap_or_else(|| email.to_owned());
    if let Err(refusal) = rate_limit::count_attempt(&store.redis, project_id, &email).await {
        return Ok(Err(Refusal::TooManyAttempts(refusal)));
    }
    let found = users::with_password_hash(&store.database, project_id, &email).await?;
    let (user, hash) = found.unzip();
    let correct = passwords::verify(password, hash.flatten()).await?;
    match user {
        Some(user) if correct => {
            rate_limit::forget_attempts(&store.redis, project_id, &email).await;
            Ok(Ok(user))
        }
        _ => Ok(Err(Refusal::Mismatch)),
    }
}
