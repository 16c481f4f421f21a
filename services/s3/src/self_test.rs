//! Uses the service once, from the outside: what its own requests do not reach is not served.

use anyhow::{Context as _, ensure};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::{api::Api, front, signing::Signer, store};

/// Puts an object, reads it, lists it and deletes it, in a bucket of its own.
pub(crate) async fn run(api: &std::sync::Arc<Api>) -> anyhow::Result<()> {
    let bucket = format!("stack-self-test-{}", store::fresh_id());
    let test = Test { router: front::answers(api).router, signer: Signer::of(&api.settings()), bucket };
    test.send(Method::PUT, "", "").await?;
    let result = test.objects().await;
    let deleted = test.send(Method::DELETE, "", "").await;
    result.and(deleted.map(drop))
}

struct Test {
    router: axum::Router,
    signer: Signer,
    bucket: String,
}

impl Test {
    async fn objects(&self) -> anyhow::Result<()> {
        // Small content is in the database, large content in a file.
        for content in ["content".to_owned(), "content".repeat(crate::body::SMALL)] {
            self.send(Method::PUT, "/key", &content).await?;
            let read = self.send(Method::GET, "/key", "").await;
            let listed = self.send(Method::GET, "", "").await;
            self.send(Method::DELETE, "/key", "").await?;
            ensure!(read? == content, "an object was not read as it was put");
            ensure!(listed?.contains("<Key>key</Key>"), "an object is not listed");
        }
        Ok(())
    }

    async fn send(&self, method: Method, path: &str, content: &str) -> anyhow::Result<String> {
        let path = format!("/{}{path}", self.bucket);
        let what = format!("{method} {path}");
        let request = Request::builder().method(&method).uri(&path).header("content-length", content.len());
        let request = self.signer.sign(request, &method, &path).body(Body::from(content.to_owned()))?;
        let answer = self.router.clone().oneshot(request).await?;
        let status = answer.status();
        let text = answer.into_body().collect().await.with_context(|| what.clone())?.to_bytes();
        let text = String::from_utf8_lossy(&text).into_owned();
        ensure!(matches!(status, StatusCode::OK | StatusCode::NO_CONTENT), "{what}: {status}: {text}");
        Ok(text)
    }
}
