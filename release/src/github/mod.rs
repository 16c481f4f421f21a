//! GitHub's REST API, as far as images are published and found through it.
//!
//! The address comes from `GITHUB_API_URL`, which Actions and GitHub Enterprise set. What is read is described by GitHub's
//! published `OpenAPI` description; only what is used of it is in [`model`].

use std::fmt;
use std::str::FromStr;

use backon::{ExponentialBuilder, Retryable};
use fetch::Credential;
use fetch::http::{STALL_TIMEOUT, client, client_for_changes};
use http::Method;
use http_body_util::BodyExt;
use octocrab::Octocrab;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub mod address;
pub mod error;
pub mod find;
pub mod model;
pub mod token;

pub use address::Address;
pub use error::ApiError;
pub use token::NoToken;

/// Version of the API that the answers are read as.
const API_VERSION: &str = "2022-11-28";

/// Entries of a page: the most that the API gives.
const PAGE: usize = 100;

/// Pages that are read at most; a search that has not found anything by then is not going to.
const PAGES: usize = 10;

/// How often a request that failed for a passing reason is tried again.
const RETRIES: usize = 4;

/// What stands for something else in a path, and so is written as a code: all but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A repository: `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Repo {
    owner: String,
    name: String,
}

impl Repo {
    /// The account that it belongs to.
    pub fn owner(&self) -> &str {
        &self.owner
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// The text names no repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid repository: write `owner/name`")]
pub struct NoRepo(String);

impl FromStr for Repo {
    type Err = NoRepo;

    fn from_str(text: &str) -> Result<Self, NoRepo> {
        let plain = |part: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.is_empty() && !part.chars().all(|c| c == '.') && part.chars().all(known)
        };
        match text.split_once('/') {
            Some((owner, name)) if plain(owner) && plain(name) => {
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => Err(NoRepo(text.to_owned())),
        }
    }
}

/// A connection to one GitHub, about one repository.
#[derive(Debug, Clone)]
pub struct GitHub {
    api: Octocrab,
    /// The same for what changes something.
    changes: Octocrab,
    http: reqwest::Client,
    address: Address,
    repo: Repo,
    token: Option<Credential>,
}

impl GitHub {
    /// A connection that asks with `token`, or anonymously. Nothing is sent yet. To be made inside of a tokio runtime.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(address: Address, repo: Repo, token: Option<Credential>) -> Result<Self, ApiError> {
        let http = client()?;
        let api_through = |http| api(&address, token.as_ref(), http);
        let (api, changes) = (api_through(http.clone())?, api_through(client_for_changes(STALL_TIMEOUT)?)?);
        Ok(Self { api, changes, http, address, repo, token })
    }

    /// The repository.
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// Where the API and the web pages are.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The token that requests are made with.
    pub fn token(&self) -> Option<&Credential> {
        self.token.as_ref()
    }

    /// The HTTP client below, for bodies. It has no token.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Asks for `route` below the repository (`/releases?per_page=1`). Passing failures are tried again.
    pub(crate) async fn get<T: DeserializeOwned>(&self, route: &str) -> Result<T, ApiError> {
        let request = || self.call(Method::GET, route, None::<&()>);
        request.retry(backoff()).when(ApiError::is_passing).await
    }

    /// Every entry of a list that comes in pages, the first ones first, until `enough`.
    pub(crate) async fn list<T, P>(
        &self,
        route: &str,
        entries: impl Fn(P) -> Vec<T>,
        enough: impl Fn(&[T]) -> bool,
    ) -> Result<Vec<T>, ApiError>
    where
        P: DeserializeOwned,
    {
        let separator = if route.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        for number in 1..=PAGES {
            let page: P = self.get(&format!("{route}{separator}per_page={PAGE}&page={number}")).await?;
            let page = entries(page);
            let last = page.len() < PAGE;
            all.extend(page);
            if last || enough(&all) {
                break;
            }
        }
        Ok(all)
    }

    /// What an answer means that leads elsewhere: that the repository has another name, which is asked for, where it is this API that
    /// says so. What changes something is not sent again by itself.
    async fn moved(&self, url: String, head: &http::response::Parts) -> ApiError {
        let (status, location) = (head.status, location(&url, head));
        let elsewhere = ApiError::Moved { url, status, location: location.as_ref().map(ToString::to_string) };
        let Some(path) = location.and_then(|location| self.repository_path(&location)) else {
            return elsewhere;
        };
        match self.name_at(&path).await {
            Some(name) if name != self.repo.to_string() => {
                ApiError::Renamed { repo: self.repo.to_string(), name }
            }
            _ => elsewhere,
        }
    }

    /// The path in this API of the repository that an address in it is about: `/repositories/ID` or `/repos/OWNER/NAME`. Nothing where
    /// the address is another host's, which is not to be given the token.
    fn repository_path(&self, location: &reqwest::Url) -> Option<String> {
        let api = reqwest::Url::parse(self.address.api()).ok()?;
        let path = location.path().strip_prefix(api.path().trim_end_matches('/'))?;
        let mut parts = path.strip_prefix('/')?.split('/');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let path = match next()? {
            "repositories" => format!("/repositories/{}", next()?),
            "repos" => format!("/repos/{}/{}", next()?, next()?),
            _ => return None,
        };
        (location.origin() == api.origin()).then_some(path)
    }

    /// Returns the name of the repository at `path`, if the API reports it.
    async fn name_at(&self, path: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Named {
            full_name: String,
        }
        let request = http::Request::builder().method(Method::GET).uri(path);
        let request = self.api.build_request(request, None::<&()>).ok()?;
        let body = self.api.execute(request).await.ok()?.into_body().collect().await.ok()?.to_bytes();
        let Named { full_name } = serde_json::from_slice(&body).ok()?;
        full_name.parse::<Repo>().ok().map(|repo| repo.to_string())
    }

    /// One request about the repository, once, with an optional JSON body.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ApiError> {
        let path = format!("/repos/{}{route}", self.repo);
        let url = format!("{}{path}", self.address.api());
        let api = if method.is_safe() { &self.api } else { &self.changes };
        let request = http::Request::builder().method(method).uri(path);
        let request = api.build_request(request, body).map_err(ApiError::Setup)?;
        let response = api.execute(request).await.map_err(|source| ApiError::transport(&url, source))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|source| ApiError::transport(&url, source))?.to_bytes();
        if head.status.is_redirection() {
            return Err(self.moved(url, &head).await);
        }
        if !head.status.is_success() {
            return Err(ApiError::answered(url, &head, &body, self.token.as_ref()));
        }
        // Some answers have no content: then there is nothing to read.
        let content = if body.is_empty() { b"null" } else { &body[..] };
        serde_json::from_slice(content).map_err(|source| ApiError::Unexpected { url, source })
    }
}

/// The API at `address` through `http`.
fn api(address: &Address, token: Option<&Credential>, http: reqwest::Client) -> Result<Octocrab, ApiError> {
    let mut builder = Octocrab::builder()
        .base_uri(address.api())
        .map_err(ApiError::Setup)?
        .add_header("x-github-api-version".parse().expect("it is a header"), API_VERSION.to_owned())
        .add_header(http::header::ACCEPT, "application/vnd.github+json".to_owned());
    if let Some(token) = token {
        builder = builder.personal_token(token.secret().reveal().to_owned());
    }
    builder.build_with_reqwest(http).map_err(ApiError::Setup)
}

/// Where an answer of `url` leads.
fn location(url: &str, head: &http::response::Parts) -> Option<reqwest::Url> {
    let location = head.headers.get(http::header::LOCATION)?.to_str().ok()?;
    let mut location = reqwest::Url::parse(url).ok()?.join(location).ok()?;
    // It is only shown: nothing is sent to a host that it may name.
    location.set_username("").ok()?;
    location.set_password(None).ok()?;
    Some(location)
}

/// A tag, or anything else that was typed, as one segment of a path.
pub(crate) fn segment(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

/// Takes "it is not there" for an answer.
pub(crate) fn missing_as_none<T>(answer: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(ApiError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Pauses between tries: from a quarter of a second on, twice as long each time, never quite the same.
pub fn backoff() -> ExponentialBuilder {
    let first = std::time::Duration::from_millis(250);
    ExponentialBuilder::default().with_min_delay(first).with_max_times(RETRIES).with_jitter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_an_owner_and_a_name_and_nothing_that_leads_elsewhere() {
        assert_eq!("stack/emulator.rs".parse::<Repo>().unwrap().to_string(), "stack/emulator.rs");
        for text in ["stack", "a/b/c", "/b", "a/", "../..", "a/b?x", "a b/c", "https://github.com/a/b"] {
            assert_eq!(text.parse::<Repo>(), Err(NoRepo(text.to_owned())));
        }
    }
}
