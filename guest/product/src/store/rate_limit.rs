//! Counts sign-in attempts in Redis, so that no one can try thousands of passwords.

use std::time::Duration;

use guest::report;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::{StoreError, redis::Redis};

/// This many attempts in a row may fail for one address …
pub(crate) const ATTEMPTS: i64 = 10;
/// … within this time after the first of them.
const WINDOW_SECONDS: i64 = 300;

/// Too many attempts failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManyAttempts {
    pub(crate) retry_after: Duration,
}

/// Counts an attempt before its password is checked, so that attempts made at the same time count as well. Without Redis
/// the limit is off and sign-in still works: the health check reports that Redis is down, and it is not a reason to lock users out.
pub(crate) async fn count_attempt(
    redis: &Redis,
    project_id: &str,
    email: &str,
) -> Result<(), TooManyAttempts> {
    let key = key(project_id, email);
    let mut pipeline = redis::pipe();
    pipeline.atomic().incr(&key, 1).cmd("EXPIRE").arg(&key).arg(WINDOW_SECONDS).arg("NX").ignore().ttl(&key);
    match redis.run::<(i64, i64)>(&pipeline).await {
        Ok((attempts, ttl)) => judge(attempts, ttl),
        Err(error) => {
            warn_unlimited(&error);
            Ok(())
        }
    }
}

/// Forgets the failures of an address that has signed in.
pub(crate) async fn forget_attempts(redis: &Redis, project_id: &str, email: &str) {
    let mut pipeline = redis::pipe();
    pipeline.del(key(project_id, email)).ignore();
    if let Err(error) = redis.run::<()>(&pipeline).await {
        warn_unlimited(&error);
    }
}

fn judge(attempts: i64, ttl: i64) -> Result<(), TooManyAttempts> {
    if attempts <= ATTEMPTS {
        return Ok(());
    }
    Err(TooManyAttempts { retry_after: Duration::from_secs(u64::try_from(ttl).unwrap_or(0).max(1)) })
}

/// Addresses are hashed: what users type into the field, passwords included, is not left lying in Redis.
fn key(project_id: &str, email: &str) -> String {
    format!("sign-in-attempts:{project_id}:{}", hex::encode(Sha256::digest(email.as_bytes())))
}

fn warn_unlimited(error: &StoreError) {
    warn!("sign-in attempts are not limited: {}", report(error));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenth_attempt_is_allowed_and_the_eleventh_has_to_wait() {
        assert_eq!(judge(10, 200), Ok(()));
        assert_eq!(judge(11, 200), Err(TooManyAttempts { retry_after: Duration::from_secs(200) }));
    }

    #[test]
    fn a_window_that_just_ended_asks_for_a_second_and_not_for_a_negative_time() {
        assert_eq!(judge(11, -2), Err(TooManyAttempts { retry_after: Duration::from_secs(1) }));
    }

    #[test]
    fn keys_keep_projects_apart_and_hide_the_address() {
        assert_ne!(key("a", "x@example.com"), key("b", "x@example.com"));
        assert!(!key("a", "x@example.com").contains("example"));
    }
}
