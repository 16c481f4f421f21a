//! What else the API may answer: each kind of answer has its own way out.

use std::error::Error;

use fetch::http::ClientError;
use fetch::{Credential, Refusal};
use http::StatusCode;
use http::header::HeaderMap;
use serde::Deserialize;

use super::token;

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
    /// It is about who asks: no token, a wrong one, or too many requests.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It does not exist, or is hidden from this client.
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
    /// Any other answer that is not a success.
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
        token: Option<&Credential>,
    ) -> Self {
        let said = serde_json::from_slice::<Message>(body).map(|said| said.message).unwrap_or_default();
        Self::of(url, head.status, &head.headers, said, token)
    }

    /// Returns the meaning of an answer that is not a success.
    pub(crate) fn of(
        url: String,
        status: StatusCode,
        headers: &HeaderMap,
        message: String,
        token: Option<&Credential>,
    ) -> Self {
        match Refusal::of(&url, status, headers, &message, token) {
            Some(refusal) => Self::Refused(refusal),
            None if status == StatusCode::NOT_FOUND => Self::NotFound { url, anonymous: token.is_none() },
            None => Self::Status { url, status, message },
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
        matches!(self, Self::Refused(_))
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
        matches!(self, Self::Refused(refusal) if refusal.is_limit())
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Offline { .. } => Some(
                "check the network, and `HTTPS_PROXY` and `SSL_CERT_FILE` if there is a proxy; an image that is here already \
                 starts without"
                    .to_owned(),
            ),
            Self::Refused(refusal) => Some(refused(refusal)),
            Self::NotFound { anonymous: true, .. } => Some(SIGN_IN.to_owned()),
            Self::Renamed { name, .. } => Some(format!("name it `{name}`, by `--repo` or the variable that stands in for it")),
            Self::Moved { .. } => Some("check `--repo` and `GITHUB_API_URL`: nothing was sent there".to_owned()),
            Self::Client(source) => source.hint(),
            _ => None,
        }
    }
}

/// What to do without a valid token.
const SIGN_IN: &str = "set `GITHUB_TOKEN`, or sign in with `gh auth login`";

/// What to do about a refusal of GitHub's.
pub fn refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Unauthorized { token: Some(source), .. } => token::hint(source),
        Refusal::Unauthorized { token: None, .. } | Refusal::RateLimited { anonymous: true, .. } => {
            SIGN_IN.to_owned()
        }
        Refusal::Forbidden { .. } => {
            "use a token that may read the repository's contents and actions".to_owned()
        }
        Refusal::RateLimited { .. } => "wait, or use another token".to_owned(),
    }
}

fn leading(location: Option<&str>) -> String {
    location.map_or_else(
        || ", and does not say where it leads".to_owned(),
        |location| format!(", which leads to `{location}`"),
    )
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

fn hidden(anonymous: bool) -> &'static str {
    if anonymous { ", or is hidden from requests without a token" } else { "" }
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}
