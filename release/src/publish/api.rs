//! The requests that publishing is made of. Each is sent once: what failed is repeated as a whole, after another look at what is
//! there.

use fetch::Refusal;
use http::Method;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use super::plan::PlannedRelease;
use crate::github::model::{Asset, Release};
use crate::github::{ApiError, GitHub, missing_as_none, segment};

/// What a request says about a release.
#[derive(Debug, Serialize)]
struct Properties<'a> {
    tag_name: &'a str,
    /// Where the tag is made, when the release is published and there is none. A token that may not write workflows is refused as
    /// soon as this is a commit that changes one, whether there is a tag to be made or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_commitish: Option<&'a str>,
    name: &'a str,
    body: &'a str,
    draft: bool,
    prerelease: bool,
    /// Whether `releases/latest` leads to it.
    make_latest: &'static str,
}

impl<'a> Properties<'a> {
    fn of(planned: &'a PlannedRelease, draft: bool, target: Option<&'a str>) -> Self {
        Self {
            tag_name: &planned.tag,
            target_commitish: target,
            name: &planned.title,
            body: &planned.notes,
            draft,
            prerelease: planned.prerelease,
            make_latest: if planned.prerelease { "false" } else { "true" },
        }
    }
}

#[derive(Debug, Deserialize)]
struct Reference {
    object: Object,
}

#[derive(Debug, Deserialize)]
struct Object {
    sha: String,
}

/// Where one commit is, seen from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Position {
    /// After it.
    Ahead,
    /// Before it.
    Behind,
    /// It is the same.
    Identical,
    /// On another way.
    Diverged,
}

#[derive(Debug, Deserialize)]
struct Comparison {
    status: Position,
}

/// The release with this tag: the published one, else a draft.
pub(super) async fn find(github: &GitHub, tag: &str) -> Result<Option<Release>, ApiError> {
    let route = format!("/releases/tags/{}", segment(tag));
    let published = github.call(Method::GET, &route, None::<&()>).await;
    if let Some(release) = missing_as_none(published)? {
        return Ok(Some(release));
    }
    // Drafts have no tag yet, so they are only in the list.
    let is_it = |release: &Release| release.tag_name == tag;
    let listed = github.list("/releases", |page: Vec<Release>| page, |all| all.iter().any(is_it)).await?;
    Ok(listed.into_iter().find(is_it))
}

/// The release as it is now.
pub(super) async fn look(github: &GitHub, id: u64) -> Result<Release, ApiError> {
    github.call(Method::GET, &format!("/releases/{id}"), None::<&()>).await
}

/// Makes the release, as a draft.
pub(super) async fn create(github: &GitHub, planned: &PlannedRelease) -> Result<Release, ApiError> {
    github.call(Method::POST, "/releases", Some(&Properties::of(planned, true, None))).await
}

/// Gives the release its properties, and publishes it where it is a draft. A tag that is not there is made on `target`, else on the
/// default branch.
pub(super) async fn publish(
    github: &GitHub,
    id: u64,
    planned: &PlannedRelease,
    target: Option<&str>,
) -> Result<Release, ApiError> {
    github
        .call(Method::PATCH, &format!("/releases/{id}"), Some(&Properties::of(planned, false, target)))
        .await
}

/// The commit that a tag is on, if there is such a tag.
pub(super) async fn tagged(github: &GitHub, tag: &str) -> Result<Option<String>, ApiError> {
    let route = format!("/git/ref/tags/{}", segment(tag));
    let found: Option<Reference> = missing_as_none(github.call(Method::GET, &route, None::<&()>).await)?;
    Ok(found.map(|reference| reference.object.sha))
}

/// Gives an asset another name.
pub(super) async fn rename(github: &GitHub, asset: &Asset, name: &str) -> Result<(), ApiError> {
    let body = serde_json::json!({ "name": name });
    let _: Asset = github.call(Method::PATCH, &format!("/releases/assets/{}", asset.id), Some(&body)).await?;
    Ok(())
}

/// Removes an asset; one that is gone already is fine.
pub(super) async fn delete(github: &GitHub, asset: &Asset) -> Result<(), ApiError> {
    let route = format!("/releases/assets/{}", asset.id);
    missing_as_none(github.call(Method::DELETE, &route, None::<&()>).await).map(|_: Option<()>| ())
}

/// Where `commit` is, seen from `base`; nothing when the repository does not have both.
pub(super) async fn position(
    github: &GitHub,
    base: &str,
    commit: &str,
) -> Result<Option<Position>, ApiError> {
    let route = format!("/compare/{}...{}?per_page=1", segment(base), segment(commit));
    let found: Option<Comparison> = missing_as_none(github.call(Method::GET, &route, None::<&()>).await)?;
    Ok(found.map(|comparison| comparison.status))
}

/// Puts a tag on `commit`, wherever it is; does nothing where it is there already.
pub(super) async fn move_tag(github: &GitHub, tag: &str, commit: &str) -> Result<(), ApiError> {
    if tagged(github, tag).await?.as_deref() == Some(commit) {
        return Ok(());
    }
    let body = serde_json::json!({ "sha": commit, "force": true });
    let _: Reference =
        github.call(Method::PATCH, &format!("/git/refs/tags/{}", segment(tag)), Some(&body)).await?;
    Ok(())
}

/// Whether a request was understood and refused, as one is that puts a tag on a commit which changes workflows, when the token may not
/// write these. That of Actions never may.
pub(super) fn is_refusal(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::Refused(Refusal::Forbidden { .. })
            | ApiError::NotFound { .. }
            | ApiError::Status { status: StatusCode::UNPROCESSABLE_ENTITY, .. }
    )
}
