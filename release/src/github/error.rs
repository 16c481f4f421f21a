//! What the API may answer instead, told apart: each has another way out.

use std::error::Error;

use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Token, token};
use crate::http::ClientError;

/// Why the API did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No connection.
    #[error("cannot reach `{url}`")]
    Offline {
        /// The address.
        url: String,
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
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
        /// What GitHub says.
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
    /// It is not there, or hidden from whoever asks.
    #[error("`{url}` answered 404: it does not exist{}", hidden(*anonymous))]
    NotFound {
        /// The address.
        url: String,
        /// Whether the request had no token: private repositories are hidden from such.
        anonymous: bool,
    },
    /// The repository has another name.
    #[error("the repository `{repo}` is called `{name}` by now")]
    Renamed {
        /// What it was asked for as.
        repo: String,
        /// What it is called.
        name: String,
    },
    /// The answer leads elsewhere.
    #[error("`{url}` answered {status}{}", leading(location.as_deref()))]
    Moved {
        /// The address.
        url: String,
        /// The answer.
        status: StatusCode,
        /// Where it leads.
        location: Option<String>,
    },
    /// Any other answer that is no success.
    #[error("`{url}` answered {status}{}", said(message))]
    Status {
        /// The address.
        url: String,
        /// The answer.
        status: StatusCode,
        /// What GitHub says.
        message: String,
    },
    /// The answer is not what the API's description says.
    #[error("`{url}` answered something that cannot be read")]
    Unexpected {
        /// The address.
        url: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The API's client cannot be set up, or not express a request.
    #[error("cannot talk to GitHub's API")]
    Setup(#[source] octocrab::Error),
}

/// What GitHub's error documents say.
#[derive(Deserialize)]
struct Message {
    message: String,
}

impl ApiError {
    pub(super) fn transport(url: &str, source: octocrab::Error) -> Self {
        Self::Offline { url: url.to_owned(), source: root(Box::new(source)) }
    }

    pub(super) fn answered(
        url: String,
        head: &http::response::Parts,
        body: &[u8],
        token: Option<&Token>,
    ) -> Self {
        let said = serde_json::from_slice::<Message>(body).map(|said| said.message).unwrap_or_default();
        Self::of(url, head.status, &head.headers, said, token)
    }

    /// The meaning of an answer that is no success.
    pub(crate) fn of(
        url: String,
        status: StatusCode,
        headers: &HeaderMap,
        message: String,
        token: Option<&Token>,
    ) -> Self {
        let anonymous = token.is_none();
        match status {
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS if is_limit(status, headers, &message) => {
                Self::RateLimited { url, status, anonymous, reset: reset_time(headers) }
            }
            StatusCode::UNAUTHORIZED => Self::Unauthorized { url, token: token.map(Token::source) },
            StatusCode::FORBIDDEN => Self::Forbidden { url, message },
            StatusCode::NOT_FOUND => Self::NotFound { url, anonymous },
            _ => Self::Status { url, status, message },
        }
    }

    /// Whether the same request may succeed in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Offline { .. } => true,
            Self::Status { status, .. } => status.is_server_error(),
            _ => false,
        }
    }

    /// Whether it is about who asks: no token, a wrong one, or too many requests.
    pub fn is_about_access(&self) -> bool {
        matches!(self, Self::Unauthorized { .. } | Self::Forbidden { .. } | Self::RateLimited { .. })
    }

    /// Whether nothing came for too long.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Offline { source, .. } => {
                source.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout)
            }
            _ => false,
        }
    }

    /// Whether it is because of too many requests.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::RateLimited { .. })
    }

    /// When requests are allowed again, if that is the matter and GitHub has said so.
    pub fn reset(&self) -> Option<OffsetDateTime> {
        match self {
            Self::RateLimited { reset, .. } => *reset,
            _ => None,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Offline { .. } => Some(
                "check the network, and `HTTPS_PROXY` and `SSL_CERT_FILE` if there is a proxy; an image that is here already \
                 starts without"
                    .to_owned(),
            ),
            Self::Unauthorized { token: Some(source), .. } => Some(token::hint(source)),
            Self::Unauthorized { token: None, .. }
            | Self::RateLimited { anonymous: true, .. }
            | Self::NotFound { anonymous: true, .. } => {
                Some("set `GITHUB_TOKEN`, or sign in with `gh auth login`".to_owned())
            }
            Self::Forbidden { .. } => {
                Some("use a token that may read the repository's contents and actions".to_owned())
            }
            Self::Renamed { name, .. } => Some(format!("name it `{name}`, by `--repo` or the variable that stands in for it")),
            Self::Moved { .. } => Some("check `--repo` and `GITHUB_API_URL`: nothing was sent there".to_owned()),
            Self::RateLimited { .. } => Some("wait, or use another token".to_owned()),
            Self::Client(source) => source.hint(),
            _ => None,
        }
    }
}

fn leading(location: Option<&str>) -> String {
    location.map_or_else(
        || ", and does not say where it leads".to_owned(),
        |location| format!(", which leads to `{location}`"),
    )
}

/// Whether a refusal is because of too many requests (GitHub's documentation, "Rate limits for the REST API").
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

/// The part of a chain that says something: what is above names only the libraries that it went through.
fn root(mut error: Box<dyn Error + Send + Sync>) -> Box<dyn Error + Send + Sync> {
    error = match error.downcast::<octocrab::Error>() {
        Ok(octocrab) => match *octocrab {
            octocrab::Error::Service { source, .. } => return root(source),
            octocrab::Error::Reqwest { source, .. } => return Box::new(source.without_url()),
            other => Box::new(other),
        },
        Err(other) => other,
    };
    error
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

fn hidden(anonymous: bool) -> &'static str {
    if anonymous { ", or is hidden from requests without a token" } else { "" }
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}
