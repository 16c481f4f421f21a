//! Asking a server for ranges of a file, wherever the address leads, and noticing when it becomes another one.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use time::OffsetDateTime;

use super::error::DownloadError;
use super::{Pauses, Remote};
use crate::Refusal;

/// Longest wait for a limit of requests to be lifted; if it takes longer, the error says until when.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// What is known of a file before any of it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Strong entity tag.
    pub(super) etag: Option<String>,
    /// Length in bytes.
    pub(super) total: Option<u64>,
}

/// A file on a server.
pub(super) struct Source {
    client: Client,
    pub(super) remote: Remote,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where the address led last time: such an address needs no token, and is good for a while.
    location: Option<String>,
    known: Known,
    /// Whether the server has answered at all.
    reached: bool,
}

/// What a server answers to a request for a range.
pub(super) enum Answer {
    /// The range.
    Piece {
        response: Response,
        /// Length of the whole file.
        total: u64,
    },
    /// The whole file: it knows no ranges.
    Whole(Response),
}

impl Source {
    pub(super) fn new(client: Client, remote: Remote, known: Known) -> Self {
        Self { client, remote, state: Mutex::new(State { known, ..State::default() }) }
    }

    /// What is known by now.
    pub(super) fn known(&self) -> Known {
        self.state().known.clone()
    }

    /// Asks once for the bytes of `range`.
    pub(super) async fn ask(&self, range: Range<u64>) -> Result<Answer, DownloadError> {
        let (location, etag) = {
            let state = self.state();
            (state.location.clone(), state.known.etag.clone())
        };
        let mut request = self.client.get(location.as_ref().unwrap_or(&self.remote.url));
        request = request.header(RANGE, format!("bytes={}-{}", range.start, range.end - 1));
        if let Some(etag) = etag {
            request = request.header(IF_RANGE, etag);
        }
        if location.is_none() {
            request = request.header(ACCEPT, self.remote.accept);
            if let Some(token) = &self.remote.token {
                request = request.bearer_auth(token.secret().reveal());
            }
        }
        let response = request.send().await.map_err(|source| self.broken(range.start, source))?;
        self.state().reached = true;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => self.piece(response, range.start),
            StatusCode::OK => self.whole(response),
            StatusCode::RANGE_NOT_SATISFIABLE => Err(self.changed()),
            status if response.url().as_str() != self.remote.url => {
                let mut state = self.state();
                // Another piece may have been led to a new one by now.
                state.location.take_if(|other| location.as_ref().is_none_or(|location| location == other));
                drop(state);
                Err(self.refused_elsewhere(status, response.headers()))
            }
            status => Err(self.refused(status, response.headers())),
        }
    }

    /// Asks for a range that is kept in memory, with retries, and returns the length of the whole file with it. A server without
    /// ranges sends as much as it does at once, and no length.
    pub(super) async fn small(
        &self,
        range: Range<u64>,
        pauses: Pauses,
    ) -> Result<(Bytes, Option<u64>), DownloadError> {
        let start = range.start;
        let broken = |source| self.broken(start, source);
        let once = async || match self.ask(range.clone()).await? {
            Answer::Piece { response, total } => Ok((response.bytes().await.map_err(broken)?, Some(total))),
            Answer::Whole(mut response) => {
                Ok((response.chunk().await.map_err(broken)?.unwrap_or_default(), None))
            }
        };
        self.patiently(pauses, once).await
    }

    /// Tries until it succeeds or there is no hope.
    pub(super) async fn patiently<T>(
        &self,
        mut pauses: Pauses,
        mut once: impl AsyncFnMut() -> Result<T, DownloadError>,
    ) -> Result<T, DownloadError> {
        loop {
            let error = match once().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match self.pause(&error, &mut pauses) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    /// How long to wait before the next try; `None` when there is no point in one.
    pub(super) fn pause(&self, error: &DownloadError, pauses: &mut Pauses) -> Option<Duration> {
        let next = match error {
            // The first address leads to a new one at once.
            DownloadError::Expired { .. } => return pauses.next().map(|_| Duration::ZERO),
            DownloadError::Refused(refused) => {
                let left = (refused.reset()? - OffsetDateTime::now_utc()).max(time::Duration::SECOND);
                Duration::try_from(left).ok().filter(|left| *left <= LONGEST_WAIT)?
            }
            DownloadError::BrokenOff { .. } => Duration::ZERO,
            DownloadError::Status { status, .. } if status.is_server_error() => Duration::ZERO,
            // What was never reached is not there; what was, is going to be again.
            DownloadError::Unreachable { .. } if self.state().reached => Duration::ZERO,
            _ => return None,
        };
        pauses.next().map(|pause| pause.max(next))
    }

    /// A transfer that broke off after `received` bytes.
    pub(super) fn broken(&self, received: u64, source: reqwest::Error) -> DownloadError {
        let url = self.remote.url.clone();
        let source = source.without_url();
        if source.is_connect() {
            DownloadError::Unreachable { url, source }
        } else {
            DownloadError::BrokenOff { url, received, source: Some(source) }
        }
    }

    /// A transfer that ended after `received` bytes as if that were all.
    pub(super) fn ended_early(&self, received: u64) -> DownloadError {
        DownloadError::BrokenOff { url: self.remote.url.clone(), received, source: None }
    }

    /// The file is not the one that it was.
    pub(super) fn changed(&self) -> DownloadError {
        DownloadError::Changed { url: self.remote.url.clone() }
    }

    fn piece(&self, response: Response, start: u64) -> Result<Answer, DownloadError> {
        let (from, total) = content_range(response.headers()).ok_or_else(|| self.changed())?;
        if from != start {
            return Err(self.changed());
        }
        self.learn(&response, Some(total))?;
        Ok(Answer::Piece { response, total })
    }

    fn whole(&self, response: Response) -> Result<Answer, DownloadError> {
        let total = response.content_length();
        self.learn(&response, total)?;
        Ok(Answer::Whole(response))
    }

    /// Notes what an answer says about the file, and compares it with what was known.
    fn learn(&self, response: &Response, total: Option<u64>) -> Result<(), DownloadError> {
        let etag = response.headers().get(ETAG).and_then(|value| value.to_str().ok());
        // Weak tags do not promise that the bytes are the same (RFC 9110, section 8.8.1).
        let etag = etag.filter(|etag| etag.starts_with('"')).map(str::to_owned);
        let mut state = self.state();
        let differ = |known: bool, new: bool, same: bool| known && new && !same;
        let known = &state.known;
        if differ(known.etag.is_some(), etag.is_some(), known.etag == etag)
            || differ(known.total.is_some(), total.is_some(), known.total == total)
        {
            return Err(self.changed());
        }
        // An artifact's size is that of its files with some versions of the API, and of the archive with others.
        if let (Some(expected), Some(found)) = (self.remote.size.filter(|_| !self.remote.may_be_zip), total)
            && expected != found
        {
            return Err(DownloadError::Size { url: self.remote.url.clone(), expected, found });
        }
        state.known.etag = state.known.etag.take().or(etag);
        state.known.total = state.known.total.or(total);
        if response.url().as_str() != self.remote.url && state.location.is_none() {
            state.location = Some(response.url().to_string());
        }
        Ok(())
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap) -> DownloadError {
        let url = self.remote.url.clone();
        Refusal::of(&url, status, headers, "access is denied", self.remote.token.as_ref())
            .map_or(DownloadError::Status { url, status }, DownloadError::Refused)
    }

    fn refused_elsewhere(&self, status: StatusCode, headers: &HeaderMap) -> DownloadError {
        let refused = self.refused(status, headers);
        let is_limit = matches!(&refused, DownloadError::Refused(refused) if refused.is_limit());
        if status.is_client_error() && !is_limit {
            DownloadError::Expired { url: self.remote.url.clone(), status }
        } else {
            refused
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

/// First byte and length of the whole, of `bytes 100-199/200` (RFC 9110, section 14.4).
fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let value = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()?))
}
