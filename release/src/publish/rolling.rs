//! Replacing the assets of a release that people download from meanwhile.
//!
//! A new file is uploaded under a name of its own and verified. Then the old one is renamed out of the way and the new one into its
//! place, one request after the other, and the old one removed. Between those two requests the release has no file of that name: a
//! client that comes just then finds the same file in the immutable release, which was published before.

use super::execute::{Publication, holds};
use super::plan::PlannedAsset;
use super::upload::upload;
use super::{PublishError, api};
use crate::github::model::{Asset, Release};

/// Makes the published `release` what the plan says.
pub(super) async fn replace(publication: &Publication<'_>, release: Release) -> Result<(), PublishError> {
    let release = restored(publication, release).await?;
    let release = uploaded(publication, release).await?;
    for planned in &publication.planned.assets {
        swap(publication, &release, planned).await?;
    }
    // The tag, which is there since the release was published, follows below.
    let release = api::publish(publication.github, release.id, publication.planned, None).await?;
    for asset in &release.assets {
        if !publication.planned.assets.iter().any(|planned| planned.name == asset.name) {
            api::delete(publication.github, asset).await?;
        }
    }
    publication.move_tag().await
}

/// First of all, a file that lacks its name gets it back: the publication before this one was killed between two renames.
async fn restored(publication: &Publication<'_>, release: Release) -> Result<Release, PublishError> {
    let mut changed = false;
    for planned in &publication.planned.assets {
        if release.asset(&planned.name).is_some() {
            continue;
        }
        let named = |start: &str| {
            let start = beside(&planned.name, start);
            release.assets.iter().filter(move |asset| asset.name.starts_with(&start) && asset.is_complete())
        };
        let wanted = named(INCOMING).find(|asset| holds(asset, planned));
        if let Some(asset) = wanted.or_else(|| named(OUTGOING).next()) {
            api::rename(publication.github, asset, &planned.name).await?;
            changed = true;
        }
    }
    if changed { Ok(api::look(publication.github, release.id).await?) } else { Ok(release) }
}

/// Uploads what is not there yet beside what is, and verifies it.
async fn uploaded(publication: &Publication<'_>, release: Release) -> Result<Release, PublishError> {
    let mut missing = Vec::new();
    for planned in &publication.planned.assets {
        if release.asset(&planned.name).is_some_and(|asset| holds(asset, planned)) {
            continue;
        }
        let name = incoming(planned);
        let there = release.assets.iter().find(|asset| asset.name == name);
        if there.is_some_and(|asset| holds(asset, planned)) {
            continue;
        }
        if let Some(spoilt) = there {
            api::delete(publication.github, spoilt).await?;
        }
        upload(publication.github, &release, planned, &name, publication.reporter).await?;
        missing.push((planned, name));
    }
    if missing.is_empty() {
        return Ok(release);
    }
    let release = api::look(publication.github, release.id).await?;
    for (planned, name) in missing {
        publication.verify(&release, planned, &name)?;
    }
    Ok(release)
}

async fn swap(
    publication: &Publication<'_>,
    release: &Release,
    planned: &PlannedAsset,
) -> Result<(), PublishError> {
    let old = release.assets.iter().find(|asset| asset.name == planned.name);
    if old.is_some_and(|asset| holds(asset, planned)) {
        return Ok(());
    }
    let name = incoming(planned);
    let Some(new) = release.asset(&name) else {
        return Err(PublishError::Missing { tag: release.tag_name.clone(), name });
    };
    if let Some(old) = old {
        api::rename(publication.github, old, &outgoing(&planned.name, old)).await?;
    }
    api::rename(publication.github, new, &planned.name).await?;
    Ok(())
}

const INCOMING: &str = "incoming";
const OUTGOING: &str = "outgoing";

/// Where a file waits until it takes its place: `stack-emulator-amd64.incoming-<digest>.qcow2`.
fn incoming(planned: &PlannedAsset) -> String {
    let digest = planned.sha256.first_digits(12);
    let (_, extension) = split(&planned.name);
    format!("{}-{digest}.{extension}", beside(&planned.name, INCOMING))
}

/// Where a file that was replaced waits until it is removed.
fn outgoing(name: &str, asset: &Asset) -> String {
    let (_, extension) = split(name);
    format!("{}-{}.{extension}", beside(name, OUTGOING), asset.id)
}

fn beside(name: &str, what: &str) -> String {
    format!("{}.{what}", split(name).0)
}

fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or((name, "file"))
}
