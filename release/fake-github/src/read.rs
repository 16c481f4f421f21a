//! The addresses of the API that change nothing.

use std::cmp::Ordering;
use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header::{ACCEPT, HeaderMap, LINK};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Shared;
use crate::api::{Caller, not_found, visible};
use crate::fault::message;
use crate::state::{Artifact, Asset, PullRequest, Release, Run};
use crate::web::redirect;

/// Entries of a page when it is not said.
const PAGE: usize = 30;

type Parameters = Query<HashMap<String, String>>;
type RepoPath = Path<(String, String)>;
type IdPath = Path<(String, String, u64)>;

pub(crate) async fn repo(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name)): RepoPath,
) -> Response {
    let world = shared.world();
    let Some(repo) = visible(&world, caller, &owner, &name) else { return not_found() };
    let private = repo.private;
    Json(json!({ "name": name, "full_name": format!("{owner}/{name}"), "private": private, "default_branch": "dev" }))
        .into_response()
}

/// Repositories are numbered by their names' order.
pub(crate) async fn numbered_repo(state: State<Shared>, caller: Caller, Path(id): Path<usize>) -> Response {
    let name = state.world().repos.keys().nth(id).cloned();
    let Some((owner, name)) = name.as_deref().and_then(|name| name.split_once('/')) else {
        return not_found();
    };
    repo(state, caller, Path((owner.to_owned(), name.to_owned()))).await
}

/// Where a commit is, seen from another: `BASE...HEAD`.
pub(crate) async fn comparison(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, commits)): Path<(String, String, String)>,
) -> Response {
    let world = shared.world();
    let Some(repo) = visible(&world, caller, &owner, &name) else { return not_found() };
    let place = |wanted: &str| repo.history.iter().position(|commit| commit == wanted);
    let places = commits.split_once("...").and_then(|(base, head)| Some((place(base)?, place(head)?)));
    let Some((base, head)) = places else { return not_found() };
    let status = match head.cmp(&base) {
        Ordering::Greater => "ahead",
        Ordering::Less => "behind",
        Ordering::Equal => "identical",
    };
    Json(json!({ "status": status })).into_response()
}

pub(crate) async fn releases(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name)): RepoPath,
    Query(parameters): Parameters,
) -> Response {
    let world = shared.world();
    let Some(repo) = visible(&world, caller, &owner, &name) else { return not_found() };
    let mut releases: Vec<_> =
        repo.releases.iter().filter(|(_, release)| caller.known || !release.draft).collect();
    releases.sort_by_key(|(id, release)| std::cmp::Reverse((release.created_at, **id)));
    let shape = |(id, release): &(&u64, &Release)| release_json(&shared, &owner, &name, **id, release);
    let all: Vec<Value> = releases.iter().map(shape).collect();
    let (page, headers) = page(&shared, &format!("/repos/{owner}/{name}/releases"), &all, &parameters);
    (headers, Json(page)).into_response()
}

pub(crate) async fn release_by_tag(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, tag)): Path<(String, String, String)>,
) -> Response {
    let world = shared.world();
    let Some(repo) = visible(&world, caller, &owner, &name) else { return not_found() };
    let found = repo.releases.iter().find(|(_, release)| !release.draft && release.tag == tag);
    found.map_or_else(not_found, |(id, release)| {
        Json(release_json(&shared, &owner, &name, *id, release)).into_response()
    })
}

pub(crate) async fn release(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, id)): IdPath,
) -> Response {
    let world = shared.world();
    let release = visible(&world, caller, &owner, &name)
        .and_then(|repo| repo.releases.get(&id))
        .filter(|release| caller.known || !release.draft);
    release.map_or_else(not_found, |release| {
        Json(release_json(&shared, &owner, &name, id, release)).into_response()
    })
}

pub(crate) async fn assets(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, id)): IdPath,
    Query(parameters): Parameters,
) -> Response {
    let world = shared.world();
    let release = visible(&world, caller, &owner, &name).and_then(|repo| repo.releases.get(&id));
    let Some(release) = release else { return not_found() };
    let shape = |(id, asset): (&u64, &Asset)| asset_json(&shared, &owner, &name, release, *id, asset);
    let all: Vec<Value> = release.assets.iter().map(shape).collect();
    let path = format!("/repos/{owner}/{name}/releases/{id}/assets");
    let (page, headers) = page(&shared, &path, &all, &parameters);
    (headers, Json(page)).into_response()
}

/// An asset's description, or a redirect to its content when that is what the caller accepts.
pub(crate) async fn asset(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, id)): IdPath,
    headers: HeaderMap,
) -> Response {
    let mut world = shared.world();
    let found = visible(&world, caller, &owner, &name).and_then(|repo| {
        repo.releases.values().find_map(|release| Some((release.clone(), release.assets.get(&id)?.clone())))
    });
    let Some((release, asset)) = found else { return not_found() };
    let wants_content = headers.get(ACCEPT).is_some_and(|accept| accept == "application/octet-stream");
    if !wants_content {
        return Json(asset_json(&shared, &owner, &name, &release, id, &asset)).into_response();
    }
    let path = world.sign(asset.content);
    redirect(&format!("{}{path}", shared.storage_url()))
}

pub(crate) async fn pull(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, number)): IdPath,
) -> Response {
    let world = shared.world();
    let pull = visible(&world, caller, &owner, &name).and_then(|repo| repo.pulls.get(&number));
    pull.map_or_else(not_found, |pull| {
        Json(pull_json(&format!("{owner}/{name}"), number, pull)).into_response()
    })
}

pub(crate) async fn runs(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name)): RepoPath,
    Query(parameters): Parameters,
) -> Response {
    let world = shared.world();
    let Some(repo) = visible(&world, caller, &owner, &name) else { return not_found() };
    let fits = |run: &Run| {
        let is = |key: &str, value: &str| parameters.get(key).is_none_or(|wanted| wanted == value);
        is("head_sha", &run.head_sha) && is("branch", &run.head_branch) && is("event", &run.event)
    };
    let runs = repo.runs.iter().rev().filter(|(_, run)| fits(run));
    let all: Vec<Value> = runs.map(|(id, run)| run_json(&owner, &name, *id, run)).collect();
    let path = format!("/repos/{owner}/{name}/actions/runs");
    let (page, headers) = page(&shared, &path, &all, &parameters);
    (headers, Json(json!({ "total_count": all.len(), "workflow_runs": page }))).into_response()
}

pub(crate) async fn run(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, id)): IdPath,
) -> Response {
    let world = shared.world();
    let run = visible(&world, caller, &owner, &name).and_then(|repo| repo.runs.get(&id));
    run.map_or_else(not_found, |run| Json(run_json(&owner, &name, id, run)).into_response())
}

pub(crate) async fn artifacts(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, id)): IdPath,
    Query(parameters): Parameters,
) -> Response {
    let world = shared.world();
    let Some(repo) = visible(&world, caller, &owner, &name).filter(|repo| repo.runs.contains_key(&id)) else {
        return not_found();
    };
    let wanted = |artifact: &Artifact| parameters.get("name").is_none_or(|name| *name == artifact.name);
    let of_run = repo.artifacts.iter().filter(|(_, artifact)| artifact.run == id && wanted(artifact));
    let shape = |(id, artifact): (&u64, &Artifact)| artifact_json(&shared, &owner, &name, *id, artifact);
    let all: Vec<Value> = of_run.map(shape).collect();
    let path = format!("/repos/{owner}/{name}/actions/runs/{id}/artifacts");
    let (page, headers) = page(&shared, &path, &all, &parameters);
    (headers, Json(json!({ "total_count": all.len(), "artifacts": page }))).into_response()
}

/// A redirect to an artifact's content. Needs a token, whatever the repository.
pub(crate) async fn archive(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, id)): IdPath,
    headers: HeaderMap,
) -> Response {
    if headers.get(ACCEPT).is_some_and(|accept| accept == "application/octet-stream") {
        return message(415, "Unsupported 'Accept' header. Must accept 'application/json'").into_response();
    }
    let mut world = shared.world();
    let artifact = visible(&world, caller, &owner, &name).and_then(|repo| repo.artifacts.get(&id)).cloned();
    let Some(artifact) = artifact else { return not_found() };
    if !caller.known {
        return message(401, "Requires authentication").into_response();
    }
    if artifact.expired {
        return message(410, "Artifact has expired").into_response();
    }
    let path = world.sign(artifact.content);
    redirect(&format!("{}{path}", shared.storage_url()))
}

/// The page that was asked for, and the header that leads to the next.
fn page(
    shared: &Shared,
    path: &str,
    all: &[Value],
    parameters: &HashMap<String, String>,
) -> (Vec<Value>, HeaderMap) {
    let number = |key: &str, default: usize| {
        parameters.get(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let (size, current) = (number("per_page", PAGE), number("page", 1));
    let mut pages = all.chunks(size).skip(current - 1);
    let page = pages.next().map(<[Value]>::to_vec).unwrap_or_default();
    let mut headers = HeaderMap::new();
    if pages.next().is_some() {
        let next = format!("<{}{path}?per_page={size}&page={}>; rel=\"next\"", shared.api_url(), current + 1);
        headers.insert(LINK, next.parse().expect("it is a header's value"));
    }
    (page, headers)
}

/// A release as the API describes it.
pub(crate) fn release_json(shared: &Shared, owner: &str, name: &str, id: u64, release: &Release) -> Value {
    let (api, web) = (shared.api_url(), shared.web_url());
    let shape = |(id, asset): (&u64, &Asset)| asset_json(shared, owner, name, release, *id, asset);
    json!({
        "id": id,
        "url": format!("{api}/repos/{owner}/{name}/releases/{id}"),
        "html_url": format!("{web}/{owner}/{name}/releases/tag/{}", release.tag),
        "upload_url": format!("{api}/repos/{owner}/{name}/releases/{id}/assets{{?name,label}}"),
        "tag_name": release.tag,
        "target_commitish": release.target,
        "name": release.name,
        "body": release.body,
        "draft": release.draft,
        "prerelease": release.prerelease,
        "created_at": rfc3339(release.created_at),
        "published_at": (!release.draft).then(|| rfc3339(release.created_at)),
        "assets": release.assets.iter().map(shape).collect::<Vec<_>>(),
    })
}

/// An asset as the API describes it.
pub(crate) fn asset_json(
    shared: &Shared,
    owner: &str,
    name: &str,
    release: &Release,
    id: u64,
    asset: &Asset,
) -> Value {
    let (api, web) = (shared.api_url(), shared.web_url());
    json!({
        "id": id,
        "url": format!("{api}/repos/{owner}/{name}/releases/assets/{id}"),
        "browser_download_url":
            format!("{web}/{owner}/{name}/releases/download/{}/{}", release.tag, asset.name),
        "name": asset.name,
        "label": "",
        "state": asset.state,
        "content_type": "application/octet-stream",
        "size": asset.content.length(),
        "digest": asset.has_digest.then(|| format!("sha256:{}", asset.content.sha256())),
    })
}

fn pull_json(base: &str, number: u64, pull: &PullRequest) -> Value {
    let owner = pull.head_repo.as_deref().and_then(|repo| repo.split_once('/')).map(|(owner, _)| owner);
    json!({
        "number": number,
        "state": pull.state,
        "title": pull.title,
        "head": {
            "ref": pull.head_ref,
            "sha": pull.head_sha,
            "user": owner.map(|login| json!({ "login": login })),
            "repo": pull.head_repo.as_ref().map(|repo| json!({ "full_name": repo, "fork": repo != base })),
        },
        "base": { "ref": "dev", "repo": { "full_name": base } },
    })
}

fn run_json(owner: &str, name: &str, id: u64, run: &Run) -> Value {
    json!({
        "id": id,
        "name": run.name,
        "path": run.path,
        "event": run.event,
        "status": run.status,
        "conclusion": run.conclusion,
        "head_branch": run.head_branch,
        "head_sha": run.head_sha,
        "html_url": format!("https://github.com/{owner}/{name}/actions/runs/{id}"),
        "created_at": rfc3339(run.created_at),
        "head_repository": { "full_name": run.head_repo },
        "repository": { "full_name": format!("{owner}/{name}") },
    })
}

fn artifact_json(shared: &Shared, owner: &str, name: &str, id: u64, artifact: &Artifact) -> Value {
    let url = format!("{}/repos/{owner}/{name}/actions/artifacts/{id}", shared.api_url());
    json!({
        "id": id,
        "name": artifact.name,
        "size_in_bytes": artifact.content.length(),
        "archive_download_url": format!("{url}/zip"),
        "url": url,
        "expired": artifact.expired,
        "created_at": rfc3339(artifact.created_at),
        "digest": artifact.has_digest.then(|| format!("sha256:{}", artifact.content.sha256())),
        "workflow_run": { "id": artifact.run },
    })
}

fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("years have four digits")
}
