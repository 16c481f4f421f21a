//! Requests to the services through the forwarded ports.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

/// An answer: status and body.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Seconds after which to ask again, where it says so.
    pub retry_after: Option<u64>,
    /// The body as JSON; a string where it is something else.
    pub body: Value,
}

/// A client of one service.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    url: String,
    headers: Vec<(&'static str, String)>,
    /// Name and password of every request.
    user: Option<(String, String)>,
}

impl Api {
    /// A client of the service at `url`, without a proxy, as loopback needs.
    ///
    /// # Panics
    /// When no client can be made.
    pub fn new(url: &str) -> Self {
        let client = Client::builder().no_proxy().timeout(Duration::from_mins(1)).build();
        let url = url.trim_end_matches('/').to_owned();
        Self { client: client.expect("a plain client can be made"), url, headers: Vec::new(), user: None }
    }

    /// The same client as this user, by HTTP's basic authentication.
    #[must_use]
    pub fn user(self, name: &str, password: &str) -> Self {
        Self { user: Some((name.to_owned(), password.to_owned())), ..self }
    }

    /// The same client with one more header on every request.
    #[must_use]
    pub fn with(mut self, header: &'static str, value: &str) -> Self {
        self.headers.push((header, value.to_owned()));
        self
    }

    /// GETs `path`.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path).send().await, path).await
    }

    /// POSTs `body` to `path`.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body).send().await, path).await
    }

    /// POSTs `body` to `path`, where the machine may go away meanwhile. Gives the answer if there is a whole one.
    pub async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        self.attempt_post(path, body).await.ok()
    }

    /// POSTs `body` to `path`, where what matters is whether there is an answer.
    ///
    /// # Errors
    /// When there is none, or half of one.
    pub async fn attempt_post(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        whole(self.request(Method::POST, path).json(body).send().await).await
    }

    /// GETs `path` in the same way.
    ///
    /// # Errors
    /// The same.
    pub async fn attempt_get(&self, path: &str) -> reqwest::Result<Answer> {
        whole(self.request(Method::GET, path).send().await).await
    }

    /// GETs `path`, where the machine may not be there yet. Gives the answer if there is a whole one.
    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        self.attempt_get(path).await.ok()
    }

    /// DELETEs `path`.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn delete(&self, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path).send().await, path).await
    }

    /// Whether anything answers at all.
    pub async fn answers(&self, path: &str) -> bool {
        self.try_get(path).await.is_some()
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some((name, password)) = &self.user {
            request = request.basic_auth(name, Some(password));
        }
        self.headers.iter().fold(request, |request, (name, value)| request.header(*name, value))
    }
}

async fn answer(response: reqwest::Result<Response>, path: &str) -> Answer {
    whole(response).await.unwrap_or_else(|error| panic!("no answer to {path}: {error:?}"))
}

async fn whole(response: reqwest::Result<Response>) -> reqwest::Result<Answer> {
    let response = response?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let text = response.text().await?;
    Ok(Answer { status, retry_after, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
}
