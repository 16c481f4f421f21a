//! Whether a release has something newer than what is to be published.

use super::plan::PlannedRelease;
use super::{api, notes};
use crate::github::model::Release;
use crate::github::{ApiError, GitHub};

/// The commit of what `release` has, if that is newer than what is planned: a later commit, or a later build where the history does not
/// tell. Notes without a commit do not keep it.
pub(super) async fn newer(
    github: &GitHub,
    planned: &PlannedRelease,
    release: &Release,
) -> Result<Option<String>, ApiError> {
    let there = release.body.as_deref().and_then(notes::built);
    let (Some(there), Some(here)) = (there, notes::built(&planned.notes)) else { return Ok(None) };
    let is_newer = match api::position(github, &there.commit, &here.commit).await? {
        Some(api::Position::Behind) => true,
        Some(api::Position::Ahead) => false,
        Some(api::Position::Identical | api::Position::Diverged) | None => there.time > here.time,
    };
    Ok(is_newer.then_some(there.commit))
}
