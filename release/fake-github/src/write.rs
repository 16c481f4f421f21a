//! The addresses of the API that change something: releases, their assets, and tags.

use std::collections::{BTreeMap, HashMap};

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::StreamExt;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::api::{Caller, not_found};
use crate::blob::Content;
use crate::fault::{ContentFaults, Fault, message};
use crate::read::{asset_json, release_json};
use crate::state::{Asset, Release, Repo};
use crate::{Guard, Shared};

type RepoPath = Path<(String, String)>;
type IdPath = Path<(String, String, u64)>;
type TagPath = Path<(String, String, String)>;

/// The repository, if the caller may write to it; to others it is not there, as with GitHub.
fn writable<'a>(world: &'a mut Guard<'_>, caller: Caller, owner: &str, name: &str) -> Option<&'a mut Repo> {
    world.repos.get_mut(&format!("{owner}/{name}")).filter(|_| caller.known)
}

/// The refusal of what would put a tag on a commit that changes workflows, as tokens without the right to write these meet it.
fn refusal(repo: &Repo, commit: &Value) -> Option<Response> {
    let is_workflow = commit.as_str().is_some_and(|commit| repo.workflow_commits.contains(commit));
    is_workflow.then(|| message(403, "Resource not accessible by integration").into_response())
}

/// An answer to something that contradicts what is there.
fn invalid(resource: &str, code: &str, field: &str) -> Response {
    let (status, Json(mut body)) = message(422, "Validation Failed");
    body["errors"] = json!([{ "resource": resource, "code": code, "field": field }]);
    (status, Json(body)).into_response()
}

pub(crate) async fn create_release(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name)): RepoPath,
    Json(wanted): Json<Value>,
) -> Response {
    let mut world = shared.world();
    let id = world.next_id();
    let Some(repo) = writable(&mut world, caller, &owner, &name) else { return not_found() };
    let Some(tag) = wanted["tag_name"].as_str() else {
        return invalid("Release", "missing_field", "tag_name");
    };
    if let Some(refusal) = refusal(repo, &wanted["target_commitish"]) {
        return refusal;
    }
    let mut release = Release {
        tag: tag.to_owned(),
        target: "main".to_owned(),
        name: String::new(),
        body: String::new(),
        draft: false,
        prerelease: false,
        created_at: OffsetDateTime::now_utc(),
        assets: BTreeMap::new(),
    };
    change(&mut release, &wanted);
    if is_taken(repo, id, &release) {
        return invalid("Release", "already_exists", "tag_name");
    }
    keep(repo, id, release.clone());
    (StatusCode::CREATED, Json(release_json(&shared, &owner, &name, id, &release))).into_response()
}

pub(crate) async fn update_release(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, id)): IdPath,
    Json(wanted): Json<Value>,
) -> Response {
    let mut world = shared.world();
    let Some(repo) = writable(&mut world, caller, &owner, &name) else { return not_found() };
    let Some(mut release) = repo.releases.get(&id).cloned() else { return not_found() };
    if let Some(refusal) = refusal(repo, &wanted["target_commitish"]) {
        return refusal;
    }
    change(&mut release, &wanted);
    if is_taken(repo, id, &release) {
        return invalid("Release", "already_exists", "tag_name");
    }
    keep(repo, id, release.clone());
    Json(release_json(&shared, &owner, &name, id, &release)).into_response()
}

fn change(release: &mut Release, wanted: &Value) {
    let text = |key: &str, field: &mut String| {
        if let Some(text) = wanted[key].as_str() {
            text.clone_into(field);
        }
    };
    text("tag_name", &mut release.tag);
    text("target_commitish", &mut release.target);
    text("name", &mut release.name);
    text("body", &mut release.body);
    release.draft = wanted["draft"].as_bool().unwrap_or(release.draft);
    release.prerelease = wanted["prerelease"].as_bool().unwrap_or(release.prerelease);
}

/// Whether another published release has the tag of `release`, which is to be published. Drafts may share one.
fn is_taken(repo: &Repo, id: u64, release: &Release) -> bool {
    let twin = |(other, published): (&u64, &Release)| {
        *other != id && !published.draft && published.tag == release.tag
    };
    !release.draft && repo.releases.iter().any(twin)
}

/// Publishing makes the tag, where it is not there already.
fn keep(repo: &mut Repo, id: u64, release: Release) {
    if !release.draft {
        repo.tags.entry(release.tag.clone()).or_insert_with(|| release.target.clone());
    }
    repo.releases.insert(id, release);
}

/// Takes a file. From the first byte to the last, and for good when the connection breaks, it is there in state `starter`.
pub(crate) async fn upload(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, release)): IdPath,
    Query(parameters): Query<HashMap<String, String>>,
    Extension(ContentFaults(faults)): Extension<ContentFaults>,
    body: Body,
) -> Response {
    let Some(file) = parameters.get("name").cloned() else {
        return invalid("ReleaseAsset", "missing_field", "name");
    };
    let id = {
        let mut world = shared.world();
        let id = world.next_id();
        let repo = writable(&mut world, caller, &owner, &name);
        let Some(found) = repo.and_then(|repo| repo.releases.get_mut(&release)) else { return not_found() };
        if found.assets.values().any(|asset| asset.name == file) {
            return invalid("ReleaseAsset", "already_exists", "name");
        }
        let starter = Asset { name: file, content: Vec::new().into(), state: "starter", has_digest: false };
        found.assets.insert(id, starter);
        id
    };
    let mut bytes = Vec::new();
    let mut body = body.into_data_stream();
    while let Some(block) = body.next().await {
        let Ok(block) = block else { return message(400, "Bad Size").into_response() };
        bytes.extend_from_slice(&block);
        let here = bytes.len() as u64;
        if faults.iter().any(|fault| matches!(fault, Fault::HangAt(offset) if *offset <= here)) {
            shared.hold().await;
        }
    }
    let mut world = shared.world();
    let has_digest = !world.hides_digests;
    let repo = writable(&mut world, caller, &owner, &name);
    let Some(found) = repo.and_then(|repo| repo.releases.get_mut(&release)) else { return not_found() };
    let Some(asset) = found.assets.get_mut(&id) else { return not_found() };
    (asset.content, asset.state, asset.has_digest) = (Content::from(bytes), "uploaded", has_digest);
    let shape = asset_json(&shared, &owner, &name, found, id, &found.assets[&id]);
    (StatusCode::CREATED, Json(shape)).into_response()
}

pub(crate) async fn update_asset(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, id)): IdPath,
    Json(wanted): Json<Value>,
) -> Response {
    let mut world = shared.world();
    let repo = writable(&mut world, caller, &owner, &name);
    let Some(release) = repo.and_then(|repo| with_asset(repo, id)) else { return not_found() };
    if let Some(file) = wanted["name"].as_str() {
        if release.assets.iter().any(|(other, asset)| *other != id && asset.name == file) {
            return invalid("ReleaseAsset", "already_exists", "name");
        }
        file.clone_into(&mut release.assets.get_mut(&id).expect("it was found").name);
    }
    Json(asset_json(&shared, &owner, &name, release, id, &release.assets[&id])).into_response()
}

pub(crate) async fn delete_asset(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, id)): IdPath,
) -> Response {
    let mut world = shared.world();
    let repo = writable(&mut world, caller, &owner, &name);
    let Some(release) = repo.and_then(|repo| with_asset(repo, id)) else { return not_found() };
    release.assets.remove(&id);
    StatusCode::NO_CONTENT.into_response()
}

fn with_asset(repo: &mut Repo, id: u64) -> Option<&mut Release> {
    repo.releases.values_mut().find(|release| release.assets.contains_key(&id))
}

pub(crate) async fn tag(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, tag)): TagPath,
) -> Response {
    let mut world = shared.world();
    let repo = writable(&mut world, caller, &owner, &name);
    let Some(sha) = repo.and_then(|repo| repo.tags.get(&tag)) else { return not_found() };
    Json(reference(&tag, sha)).into_response()
}

pub(crate) async fn move_tag(
    State(shared): State<Shared>,
    caller: Caller,
    Path((owner, name, tag)): TagPath,
    Json(wanted): Json<Value>,
) -> Response {
    let mut world = shared.world();
    let Some(repo) = writable(&mut world, caller, &owner, &name) else { return not_found() };
    if let Some(refusal) = refusal(repo, &wanted["sha"]) {
        return refusal;
    }
    let Some(sha) = repo.tags.get_mut(&tag) else {
        return message(422, "Reference does not exist").into_response();
    };
    wanted["sha"].as_str().unwrap_or_default().clone_into(sha);
    Json(reference(&tag, sha)).into_response()
}

fn reference(tag: &str, sha: &str) -> Value {
    json!({ "ref": format!("refs/tags/{tag}"), "object": { "type": "commit", "sha": sha } })
}
