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

/// No answer of the services in here is larger.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// A client of one service.
#[derive(Clone)]
pub(crate) struct HttpClient {
    client: Client<HttpConnector, Body>,
    base: String,
    deadline: Duration,
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum HttpError {
    #[error("`{method} {url}` is not a request")]
    Request { method: Method, url: String, source: axum::http::Error },
    #[error("`{method} {url}` got no answer")]
    Connection { method: Method, url: String, source: hyper_util::client::legacy::Error },
    #[error("`{method} {url}` got an answer that broke off")]
    Body { method: Method, url: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("`{method} {url}` got no answer within {} s", .deadline.as_secs_f64())]
    TimedOut { method: Method, url: String, deadline: Duration },
}

/// What a request carries besides method and path.
#[derive(Debug, Default, Clone)]
pub(crate) struct Parts {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Parts {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self.header(header::CONTENT_TYPE.as_str(), "application/json")
    }

    /// `body` is already in the form `name=value&name=value`.
    pub(crate) fn form(mut self, body: impl Into<String>) -> Self {
        self.body = body.into().into_bytes();
        self.header(header::CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")
    }
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl HttpClient {
    /// A client of the service at `base` (`http://127.0.0.1:8102`) that gives every request this long.
    pub(crate) fn new(base: impl Into<String>, deadline: Duration) -> Self {
        // Nothing is kept open: a connection from before a snapshot would be dead after it.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { client, base: base.into(), deadline }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, parts: Parts) -> Result<Answer, HttpError> {
        let url = format!("{}{path}", self.base);
        tokio::time::timeout(self.deadline, self.exchange(method.clone(), &url, parts))
            .await
            .unwrap_or_else(|_| Err(HttpError::TimedOut { method, url, deadline: self.deadline }))
    }

    async fn exchange(&self, method: Method, url: &str, parts: Parts) -> Result<Answer, HttpError> {
        let mut request = Request::builder().method(method.clone()).uri(url);
        for (name, value) in parts.headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(parts.body)).map_err(|source| HttpError::Request {
            method: method.clone(),
            url: url.to_owned(),
            source,
        })?;
        let answer = self.client.request(request).await.map_err(|source| HttpError::Connection {
            method: method.clone(),
            url: url.to_owned(),
            source,
        })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES)
            .collect()
            .await
            .map_err(|source| HttpError::Body { method, url: url.to_owned(), source })?
            .to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}
