//! Release assets by their web address, which neither needs the API nor counts against its limit.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::Shared;
use crate::fault::empty;

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/{owner}/{repo}/releases/download/{tag}/{asset}", get(download))
}

async fn download(
    State(shared): State<Shared>,
    Path((owner, repo, tag, asset)): Path<(String, String, String, String)>,
) -> Response {
    let mut world = shared.world();
    let found = world.repos.get(&format!("{owner}/{repo}")).filter(|repo| !repo.private).and_then(|repo| {
        let release = repo.releases.values().find(|release| !release.draft && release.tag == tag)?;
        let found = release.assets.values().find(|found| found.name == asset && found.state == "uploaded")?;
        Some(found.content.clone())
    });
    let Some(content) = found else { return empty(StatusCode::NOT_FOUND) };
    let path = world.sign(content);
    redirect(&format!("{}{path}", shared.storage_url()))
}

/// A redirect as GitHub sends it.
pub(crate) fn redirect(to: &str) -> Response {
    (StatusCode::FOUND, [("location", to.to_owned())]).into_response()
}
