//! Why a server refuses a client.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Credential;

/// An answer that is about who asks, and not about what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The token is not valid, or there is none where one is needed.
    #[error("`{url}` answered 401: {}", unauthorized(*token))]
    Unauthorized {
        /// The address.
        url: String,
        /// Where the token was found.
        token: Option<&'static str>,
    },
    /// The token may not do that.
    #[error("`{url}` answered 403: {message}")]
    Forbidden {
        /// The address.
        url: String,
        /// What the server says.
        message: String,
    },
    /// Too many requests.
    #[error("`{url}` answered {status}: the limit of requests {} is used up{}", whose(*anonymous), until(*reset))]
    RateLimited {
        /// The address.
        url: String,
        /// 403 or 429.
        status: StatusCode,
        /// Whether the requests had no token: such ones share a limit with all others from the same network address.
        anonymous: bool,
        /// When requests are allowed again.
        reset: Option<OffsetDateTime>,
    },
}

impl Refusal {
    /// The refusal that an answer with `status` is; `None` for every other answer. `message` is what its body says.
    pub fn of(
        url: &str,
        status: StatusCode,
        headers: &HeaderMap,
        message: &str,
        credential: Option<&Credential>,
    ) -> Option<Self> {
        let url = url.to_owned();
        match status {
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS if is_limit(status, headers, message) => {
                let (anonymous, reset) = (credential.is_none(), reset_time(headers));
                Some(Self::RateLimited { url, status, anonymous, reset })
            }
            StatusCode::UNAUTHORIZED => {
                Some(Self::Unauthorized { url, token: credential.map(Credential::source) })
            }
            StatusCode::FORBIDDEN => Some(Self::Forbidden { url, message: message.to_owned() }),
            _ => None,
        }
    }

    /// Whether it is because of too many requests.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::RateLimited { .. })
    }

    /// When requests are allowed again, if that is the matter and the server has said so.
    pub fn reset(&self) -> Option<OffsetDateTime> {
        match self {
            Self::RateLimited { reset, .. } => *reset,
            _ => None,
        }
    }
}

/// Whether a refusal is because of too many requests. `Retry-After` is RFC 9110's; the other two are what the APIs of forges send
/// (GitHub's documentation, "Rate limits for the REST API").
fn is_limit(status: StatusCode, headers: &HeaderMap, message: &str) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || headers.contains_key(RETRY_AFTER)
        || headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0")
        || message.to_lowercase().contains("rate limit")
}

/// When requests are allowed again: `Retry-After` in seconds, else `X-RateLimit-Reset` in seconds since 1970.
fn reset_time(headers: &HeaderMap) -> Option<OffsetDateTime> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<i64>().ok();
    if let Some(seconds) = number(RETRY_AFTER.as_str()) {
        return Some(OffsetDateTime::now_utc() + time::Duration::seconds(seconds));
    }
    OffsetDateTime::from_unix_timestamp(number("x-ratelimit-reset")?).ok()
}

fn unauthorized(token: Option<&str>) -> String {
    match token {
        Some(source) => format!("the token of `{source}` is not valid"),
        None => "it needs a token".to_owned(),
    }
}

fn whose(anonymous: bool) -> &'static str {
    if anonymous { "without a token" } else { "of this token" }
}

fn until(reset: Option<OffsetDateTime>) -> String {
    let at = reset.and_then(|at| at.truncate_to_second().format(&Rfc3339).ok());
    at.map(|at| format!(" until {at}")).unwrap_or_default()
}
