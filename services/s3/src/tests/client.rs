//! Sends requests to the service without a network.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request},
};
use http_body_util::BodyExt as _;
use service_kit::variables::Variables;
use tower::ServiceExt as _;

use crate::{api::Api, blobs::Blobs, front, settings::Settings, signing::Signer};

/// A client of a service of the test's own.
pub(super) struct Client {
    pub(super) api: Arc<Api>,
    router: Router,
    signer: Signer,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    /// The text of the first element of this name.
    pub(super) fn element(&self, name: &str) -> &str {
        let start = self.body.split(&format!("<{name}>")).nth(1).unwrap_or_default();
        start.split(&format!("</{name}>")).next().unwrap_or_default()
    }

    /// The texts of all elements of this name.
    pub(super) fn elements(&self, name: &str) -> Vec<&str> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        self.body.split(&open).skip(1).filter_map(|rest| rest.split(&close).next()).collect()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// Does `work` with a client, and a bucket `bkt`.
pub(super) async fn with_client(work: impl AsyncFnOnce(&Client)) {
    test_postgres::with_server(async |url: String| {
        let directory = tempfile::tempdir().unwrap();
        let files = directory.path().display().to_string();
        let pairs = [
            ("DATABASE_URL", url.as_str()),
            ("S3_DIRECTORY", &files),
            ("S3_ACCESS_KEY_ID", "access"),
            ("S3_SECRET_ACCESS_KEY", "secret"),
        ];
        let variables = Variables::of(&pairs);
        crate::migrate(&variables).await.unwrap();
        let settings = Settings::from_variables(&variables).unwrap();
        let (signer, blobs) = (Signer::of(&settings), Blobs::open(&settings.directory).unwrap());
        let api = Arc::new(Api::new(settings, blobs).unwrap());
        let client = Client { router: front::answers(&api).router, api, signer };
        let bucket = client.put("/bkt", "").await;
        assert_eq!(bucket.status, 200, "{}", bucket.body);
        work(&client).await;
    })
    .await;
}

impl Client {
    pub(super) async fn put(&self, path: &str, body: &str) -> Answer {
        self.send(Method::PUT, path, &[], body).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], "").await
    }

    /// Sends a request that is signed.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let request = Request::builder().method(&method).uri(path).header("content-length", body.len());
        let request = self.signer.sign(request, &method, path);
        self.answer(request, headers, body).await
    }

    /// Sends a request of someone without keys.
    pub(super) async fn send_unsigned(&self, method: Method, path: &str, body: &str) -> Answer {
        let request = Request::builder().method(&method).uri(path).header("content-length", body.len());
        self.answer(request.header("host", "127.0.0.1"), &[], body).await
    }

    /// The same client with another key.
    pub(super) fn signed_with(&self, secret: &str) -> Self {
        let (api, router) = (Arc::clone(&self.api), self.router.clone());
        Self { api, router, signer: self.signer.with_secret(secret) }
    }

    async fn answer(
        &self,
        request: axum::http::request::Builder,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, body: String::from_utf8(body.into()).unwrap() }
    }
}
