//! What goes wrong, and when.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::http::header::{AUTHORIZATION, IF_RANGE, LOCATION, RANGE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use time::OffsetDateTime;

use crate::{Request, Shared};

/// Which of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The REST API.
    Api,
    /// The web pages, which release assets can be had from without the API.
    Web,
    /// The storage that contents are redirected to.
    Storage,
}

/// One thing that goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The request is answered with this status.
    Status(u16),
    /// The answer leads elsewhere: this status, with this `Location`.
    Moved(u16, String),
    /// Too many requests: this status, with the headers that say when they are allowed again.
    RateLimit {
        /// 403 or 429.
        status: u16,
        /// Until then.
        reset_in: Duration,
        /// Whether it is announced by `Retry-After`, as for secondary limits, or by `X-RateLimit-Reset`.
        retry_after: bool,
    },
    /// The answer never comes.
    Hang,
    /// What was asked for is done, and the answer never comes.
    Unanswered,
    /// The connection breaks when this byte of the content is reached.
    CutAt(u64),
    /// The content stops coming at this byte, and the connection stays; of what is uploaded, no more is taken.
    HangAt(u64),
    /// The content is shorter than it was, without a notice.
    TruncateTo(u64),
    /// This byte of the content is another one.
    WrongByte(u64),
    /// The content has another entity tag: it was replaced.
    ETag(String),
    /// `Range` is ignored.
    NoRanges,
    /// The signed address is no longer valid.
    Expired,
    /// Every answer comes so much later.
    Delay(Duration),
}

/// When something goes wrong.
#[derive(Debug, Clone)]
pub struct Rule {
    place: Place,
    method: Option<&'static str>,
    path: String,
    skip: u32,
    times: u32,
    fault: Fault,
}

impl Rule {
    /// Every request to `place` meets `fault`.
    pub fn new(place: Place, fault: Fault) -> Self {
        Self { place, method: None, path: String::new(), skip: 0, times: u32::MAX, fault }
    }

    /// Only those with this method.
    #[must_use]
    pub fn method(self, method: &'static str) -> Self {
        Self { method: Some(method), ..self }
    }

    /// Only those whose path and query contain this.
    #[must_use]
    pub fn path(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// Only after so many of them.
    #[must_use]
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    /// Only so many of them.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    pub(crate) fn strike(&mut self, request: &Request) -> Option<Fault> {
        let meant = self.place == request.place
            && self.method.is_none_or(|method| method == request.method)
            && request.path.contains(&self.path);
        if !meant {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times = self.times.checked_sub(1)?;
        Some(self.fault.clone())
    }
}

/// The faults that concern the content of an answer; in the request's extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContentFaults(pub(crate) Vec<Fault>);

/// Lets every request to `routes` be noted, and meet its faults.
pub(crate) fn meets(routes: Router<Shared>, shared: &Shared, place: Place) -> Router<Shared> {
    let shared = shared.clone();
    routes.layer(middleware::from_fn(move |request: HttpRequest, next: Next| {
        let shared = shared.clone();
        async move { pass(&shared, place, request, next).await }
    }))
}

async fn pass(shared: &Shared, place: Place, mut request: HttpRequest, next: Next) -> Response {
    let mut of_content = Vec::new();
    let mut unanswered = false;
    for fault in shared.arrive(noted(place, &request)) {
        match fault {
            Fault::Status(status) => return message(status, "it was set to fail").into_response(),
            Fault::Moved(status, location) => {
                let location = [(LOCATION, location)];
                return (location, message(status, "Moved Permanently")).into_response();
            }
            Fault::RateLimit { status, reset_in, retry_after } => {
                return rate_limited(status, reset_in, retry_after);
            }
            Fault::Hang => shared.hold().await,
            Fault::Delay(delay) => tokio::time::sleep(delay).await,
            Fault::Unanswered => unanswered = true,
            fault => of_content.push(fault),
        }
    }
    request.extensions_mut().insert(ContentFaults(of_content));
    let answer = next.run(request).await;
    if unanswered {
        shared.hold().await;
    }
    answer
}

fn noted(place: Place, request: &HttpRequest) -> Request {
    let header = |name| request.headers().get(&name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Request {
        place,
        method: request.method().to_string(),
        path: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
        authorization: header(AUTHORIZATION),
        range: header(RANGE),
        if_range: header(IF_RANGE),
    }
}

/// An answer in the form that the API gives all its errors.
pub(crate) fn message(status: u16, text: &str) -> (StatusCode, axum::Json<serde_json::Value>) {
    let status = StatusCode::from_u16(status).expect("tests use valid statuses");
    (status, axum::Json(json!({ "message": text, "documentation_url": "https://docs.github.com/rest" })))
}

pub(crate) fn rate_limited(status: u16, reset_in: Duration, retry_after: bool) -> Response {
    let mut headers = HeaderMap::new();
    let number = |value: i64| value.to_string().parse().expect("digits are a header's value");
    if retry_after {
        headers.insert(RETRY_AFTER, number(reset_in.as_secs().try_into().expect("it is soon")));
    } else {
        let reset = OffsetDateTime::now_utc() + reset_in;
        headers.insert("x-ratelimit-remaining", number(0));
        headers.insert("x-ratelimit-reset", number(reset.unix_timestamp()));
    }
    (headers, message(status, "API rate limit exceeded")).into_response()
}

/// An empty answer.
pub(crate) fn empty(status: StatusCode) -> Response {
    (status, Body::empty()).into_response()
}
