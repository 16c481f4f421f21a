//! A small HTTP client for the services on this machine: no TLS, no pool, one deadline.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use thiserror::Error;

/// No answer of the services in the machine is larger.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// A client of one service.
#[derive(Clone)]
pub struct HttpClient {
    client: Client<HttpConnector, Body>,
    base: String,
    deadline: Duration,
}

/// A complete answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Error)]
#[error("`{method} {url}` {failure}")]
pub struct HttpError {
    method: Method,
    url: String,
    #[source]
    failure: Failure,
}

/// What was wrong with a request.
#[derive(Debug, Error)]
enum Failure {
    #[error("is not a request")]
    Request(#[source] axum::http::Error),
    #[error("got no answer")]
    Connection(#[source] hyper_util::client::legacy::Error),
    #[error("got an answer that broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("got no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
}

/// What a request carries besides method and path.
#[derive(Debug, Default, Clone)]
pub struct Parts {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Parts {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body to this JSON.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self.header(header::CONTENT_TYPE.as_str(), "application/json")
    }

    /// Sets the body to a form. `body` is already in the form `name=value&name=value`.
    #[must_use]
    pub fn form(mut self, body: impl Into<String>) -> Self {
        self.body = body.into().into_bytes();
        self.header(header::CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")
    }
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl HttpClient {
    /// A client of the service at `base` (`http://127.0.0.1:8102`) that gives every request this long.
    pub fn new(base: impl Into<String>, deadline: Duration) -> Self {
        // Nothing is kept open: a connection from before a snapshot would be dead after it.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { client, base: base.into(), deadline }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When no whole answer comes in time.
    pub async fn send(&self, method: Method, path: &str, parts: Parts) -> Result<Answer, HttpError> {
        let url = format!("{}{path}", self.base);
        tokio::time::timeout(self.deadline, self.exchange(method.clone(), &url, parts))
            .await
            .unwrap_or(Err(Failure::TimedOut(self.deadline)))
            .map_err(|failure| HttpError { method, url, failure })
    }

    async fn exchange(&self, method: Method, url: &str, parts: Parts) -> Result<Answer, Failure> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in parts.headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(parts.body)).map_err(Failure::Request)?;
        let answer = self.client.request(request).await.map_err(Failure::Connection)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(Failure::Body)?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}
