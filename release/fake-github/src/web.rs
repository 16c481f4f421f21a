//! Release assets by their web address, which neither needs the API nor counts against its limit.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::Shared;
use crate::fault::empty;
use crate::state::Release;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/{owner}/{repo}/releases/download/{tag}/{asset}", get(download))
        .route("/{owner}/{repo}/releases/latest/download/{asset}", get(download_latest))
}

async fn download(
    State(shared): State<Shared>,
    Path((owner, repo, tag, asset)): Path<(String, String, String, String)>,
) -> Response {
    lead_to(&shared, &owner, &repo, &asset, |release| release.tag == tag)
}

async fn download_latest(
    State(shared): State<Shared>,
    Path((owner, repo, asset)): Path<(String, String, String)>,
) -> Response {
    lead_to(&shared, &owner, &repo, &asset, |release| !release.prerelease)
}

/// A redirect to the file of the newest published release that fits.
fn lead_to(
    shared: &Shared,
    owner: &str,
    repo: &str,
    asset: &str,
    fits: impl Fn(&Release) -> bool,
) -> Response {
    let mut world = shared.world();
    let found = world.repos.get(&format!("{owner}/{repo}")).filter(|repo| !repo.private).and_then(|repo| {
        let fitting = repo.releases.values().filter(|release| !release.draft && fits(release));
        let release = fitting.max_by_key(|release| release.created_at)?;
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
