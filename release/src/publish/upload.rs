//! One upload: streamed from the file, with progress, and watched.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::events::{Phase, Reporter, Unit};
use base::files::FileError;
use futures_util::TryStreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Client, Url};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::PublishError;
use super::plan::{PlannedAsset, Source};
use crate::github::model::{Asset, Release};
use crate::github::{ApiError, GitHub};
use fetch::http::client_for_changes;

/// Bytes that are read from the file at once.
const BLOCK: usize = 256 << 10;

/// How long an upload may stand still, the wait for GitHub's answer to all of it included.
const STALL: Duration = Duration::from_mins(2);

/// How long an upload may take in all.
const LIMIT: Duration = Duration::from_hours(3);

/// Uploads the file of `planned` to `release` under `name`. It is sent once; a failure may leave an asset of that name in state
/// `starter`, which has to be removed before another try.
pub(super) async fn upload(
    github: &GitHub,
    release: &Release,
    planned: &PlannedAsset,
    name: &str,
    reporter: &dyn Reporter,
) -> Result<Asset, PublishError> {
    let url = address(&release.upload_url, name)?;
    let phase = Phase::start(reporter, "upload", &format!("Upload {name} to {}", release.tag_name));
    let sent = Arc::new(AtomicU64::new(0));
    let request = Client::post(&client_for_changes(LIMIT).map_err(ApiError::from)?, url.clone())
        .bearer_auth(github.token().ok_or(PublishError::NoToken)?.secret().reveal())
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, planned.size)
        .body(body(planned, sent.clone()).await?);
    let broken_off = |source| PublishError::BrokenOff { name: name.to_owned(), url: url.to_string(), source };
    let answer = async {
        let response = request.send().await.map_err(broken_off)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(broken_off)?;
        if !status.is_success() {
            let said = String::from_utf8_lossy(&body).into_owned();
            let refused = ApiError::of(url.to_string(), status, &headers, said, github.token());
            return Err(PublishError::from(refused));
        }
        Ok(serde_json::from_slice(&body)
            .map_err(|source| ApiError::Unexpected { url: url.to_string(), source })?)
    };
    let asset = tokio::select! {
        asset = answer => asset?,
        () = stalls(&sent, &phase, planned.size) => {
            let (name, url) = (name.to_owned(), url.to_string());
            return Err(PublishError::Stalled { name, url, seconds: STALL.as_secs() });
        }
    };
    phase.done();
    Ok(asset)
}

/// The address that an asset called `name` is uploaded to; `template` is the release's (RFC 6570): `…/assets{?name,label}`.
fn address(template: &str, name: &str) -> Result<Url, ApiError> {
    let plain = template.split('{').next().unwrap_or(template);
    let mut url = Url::parse(plain).map_err(|_| ApiError::Unexpected {
        url: template.to_owned(),
        source: serde::de::Error::custom("`upload_url` is not a valid address"),
    })?;
    url.query_pairs_mut().append_pair("name", name);
    Ok(url)
}

async fn body(planned: &PlannedAsset, sent: Arc<AtomicU64>) -> Result<Body, FileError> {
    let path: &Path = match &planned.source {
        Source::Content(text) => return Ok(Body::from(text.clone())),
        Source::Path(path) => path,
    };
    let file = File::open(path).await.map_err(FileError::of("read", path))?;
    let blocks = ReaderStream::with_capacity(file, BLOCK).inspect_ok(move |block| {
        sent.fetch_add(block.len() as u64, Ordering::Relaxed);
    });
    Ok(Body::wrap_stream(blocks))
}

/// Reports how far it is, and returns when it gets no further.
async fn stalls(sent: &AtomicU64, phase: &Phase<'_>, size: u64) {
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let (mut before, mut since) = (u64::MAX, tokio::time::Instant::now());
    while since.elapsed() < STALL {
        tick.tick().await;
        let now = sent.load(Ordering::Relaxed);
        if now != before {
            (before, since) = (now, tokio::time::Instant::now());
            phase.progress(now, Some(size), Unit::Bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_an_upload_comes_from_the_releases_template() {
        let url =
            address("https://uploads.example.com/repos/o/r/releases/1/assets{?name,label}", "a b.qcow2");
        assert_eq!(
            url.unwrap().as_str(),
            "https://uploads.example.com/repos/o/r/releases/1/assets?name=a+b.qcow2"
        );
        assert!(address("nowhere", "a").is_err());
    }
}
